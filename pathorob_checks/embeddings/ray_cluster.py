"""Joining or starting a Ray cluster, and the number of actors that it has room for."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import platform
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pathorob_checks.cpus import available_cpus
from pathorob_checks.embeddings.locks import Locks
from pathorob_checks.errors import EngineError

_STORE_BYTES, _STORE_BYTES_PER_PATCH = 256 << 20, 1024  # Ray's shared memory holds the cohort's table
_CONNECT_TIMEOUT_S = 10.0
# No usage statistics are collected, and no metrics server is contacted.
_QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_USAGE_DISABLED": "1",
}


def check_usable(address: str | None) -> None:
    """Refuse settings that cannot work, before Ray is imported or started.

    Raises
    ------
    EngineError : Ray is not installed, or `address` is of a kind that Ray Data cannot use.
    """
    if importlib.util.find_spec("ray") is None:
        raise EngineError(
            "--fm-engine=ray needs Ray, which is not installed",
            remedy="install it with pip install 'ray[data]>=2.60'",
        )
    if address is not None and address.startswith("ray://"):
        raise EngineError(
            f"--fm-ray-address={address} is the address of a Ray Client, which Ray Data does not support",
            remedy="start the command on a machine of the cluster, with --fm-ray-address=auto",
        )


def import_ray() -> Any:
    """The module `ray`, with `ray.data`."""
    importlib.import_module("ray.data")
    return importlib.import_module("ray")


@dataclass(frozen=True)
class Pool:
    """The number of actors, and the CPUs and GPUs of each."""

    actors: int
    cpus: int
    gpus: int


def pool_on(nodes: Iterable[Mapping[str, Any]], *, on_gpu: bool, cpus: int) -> Pool:
    """As many actors as the machines of a cluster (`ray.nodes()`) have room for.

    Raises
    ------
    EngineError : no machine has a CPU, or a GPU where one is needed.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    kind = "GPU" if on_gpu else "CPU"
    fitting = [(int(r.get("CPU", 0)), int(r.get("GPU", 0))) for r in alive if r.get(kind, 0) >= 1]
    if not fitting:
        raise EngineError(
            f"no machine of the Ray cluster offers a {kind}, which the model needs",
            remedy="start its nodes with --num-gpus, or give --fm-device=cpu" if on_gpu else "add a node",
        )
    if on_gpu:
        return Pool(sum(gpu for _, gpu in fitting), max(1, min(cpu // gpu for cpu, gpu in fitting)), 1)
    each = min(cpus, *(cpu for cpu, _ in fitting))
    return Pool(sum(cpu // each for cpu, _ in fitting), each, 0)


@contextlib.contextmanager
def joined(ray: Any, address: str | None, locks: Locks, patches: int) -> Iterator[None]:
    """Within the block this process belongs to a cluster.

    Parameters
    ----------
    address : of a running cluster; None starts one on this machine and ends it after the block.
    locks : of the store; they let only one cluster at a time be started on a machine.
    patches : number of patches of the cohort, whose table is kept in the cluster's shared memory.

    Raises
    ------
    EngineError : the cluster cannot be started or joined.
    """
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(**_QUIET))
        if not ray.is_initialized():
            if address is not None:
                _join(ray, address, quiet)
            else:
                # Two clusters on one machine would each use all of its CPUs.
                stack.enter_context(locks.hold(f"ray-{platform.node()}"))
                stack.enter_context(_environment(RAY_AUTH_TOKEN=_token()))
                _start(ray, patches, quiet)
            stack.callback(ray.shutdown)
        yield


@functools.cache
def _token() -> str:
    """A token for the clusters that this process starts; Ray would write its own into the home folder."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Within the block these variables are set, for this process and those that Ray starts."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in {*variables, "RAY_AUTH_MODE"}:  # Ray sets the latter by itself
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def _start(ray: Any, patches: int, quiet: Mapping[str, Any]) -> None:
    """Start a cluster of this machine only, without a dashboard."""
    try:
        ray.init(
            address="local",
            num_cpus=available_cpus(),
            object_store_memory=_STORE_BYTES + _STORE_BYTES_PER_PATCH * patches,
            include_dashboard=False,
            **quiet,
        )
    except Exception as error:
        raise EngineError(
            f"Ray cannot be started on this machine: {one_line(error)}",
            remedy="check its memory and the space for temporary files, or use --fm-engine=local",
        ) from error


def _join(ray: Any, address: str, quiet: Mapping[str, Any]) -> None:
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal():  # otherwise Ray would try for a quarter of an hour
            socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
        ray.init(address=address, **quiet)
    except Exception as error:
        raise EngineError(
            f"no Ray cluster can be joined at {address}: {one_line(error)}",
            remedy="start the command on a machine of the cluster with the address that `ray start` printed, "
            "and with RAY_AUTH_MODE=token if the cluster requires one",
        ) from error


def one_line(error: BaseException) -> str:
    """The text of an error in one line, for a message."""
    return " ".join(str(error).split()) or type(error).__name__
