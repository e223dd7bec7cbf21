"""On a Ray cluster: the same embeddings to the last bit, also after an actor died, and the same errors."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kill_rounds
import numpy as np
import pytest
import torch
from cohort_folders import write_cohort
from terminal import Terminal

from pathorob_checks import errors, hub
from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import extraction, ray_cluster, ray_engine
from pathorob_checks.embeddings.extraction import Embeddings, obtain
from pathorob_checks.embeddings.locks import Locks
from pathorob_checks.embeddings.ray_cluster import Pool, check_usable, import_ray, joined, pool_on
from pathorob_checks.embeddings.ray_engine import RayEngine, tasks_of
from pathorob_checks.embeddings.shards import plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import CohortError, EngineError, PathorobChecksError
from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec

PATCHES, PER_SHARD = kill_rounds.PATCHES, kill_rounds.PER_SHARD

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'ray[data]>=2.60'"
)

# Files beside the module control the model: actors inherit the environment of the cluster, not of a test.
FACTORY = """
import os, signal, time
from pathlib import Path
import numpy as np
import torch

HERE = Path(__file__).parent

class Model:
    dimension, batch_size = 16, 4
    identity = {"architecture": "noise", "seed": 0}

    def __init__(self):
        self.weights = torch.randn(3 * 24 * 24, 16, generator=torch.Generator().manual_seed(0))
        self.note("loaded")

    def note(self, *what):
        with (HERE / "log").open("a") as file:
            file.write(f"{os.getpid()} {' '.join(what)}\\n")

    def preprocess(self, image):
        return torch.from_numpy(np.array(image.resize((24, 24)), dtype=np.float32)).permute(2, 0, 1) / 255

    def embed(self, batch):
        names = [repr(float(image.double().sum())) for image in batch]
        if any((HERE / f"deadly {name}").exists() for name in names):
            os.kill(os.getpid(), signal.SIGKILL)
        if (HERE / "slow").exists():
            self.wait_for_another()
            time.sleep(0.05)
        for name in names:
            self.note(name)
        return batch.flatten(1) @ self.weights

    def wait_for_another(self):
        (HERE / f"{os.getpid()}.here").touch()
        while len(list(HERE.glob("*.here"))) < 2:
            time.sleep(0.02)
"""


@dataclass
class Subject:
    """A model in a module of its own, its log, and a cohort in twenty shards."""

    here: Path
    cohort: Cohort
    prepared: PreparedModel
    rebuild: Any

    def on_ray(self, progress: Any = None, actors: int = 2, retries: int = 3) -> Embeddings:
        engine = RayEngine(self.rebuild, cpus=2 // actors, retries=retries)
        store = EmbeddingStore(self.here / "ray")
        return obtain(self.prepared, self.cohort, store, engine=engine, progress=progress)

    def in_this_process(self) -> Embeddings:
        return obtain(self.prepared, self.cohort, EmbeddingStore(self.here / "local"))

    @cached_property
    def names(self) -> list[str]:
        """The text that the model logs for each row's patch."""
        return [self._name(row) for row in range(PATCHES)]

    def _name(self, row: int) -> str:
        pixels = np.array(self.cohort.read_image(row), dtype=np.float32)
        return repr(float((torch.from_numpy(pixels) / 255).double().sum()))

    def actor_log(self) -> list[tuple[int, str]]:
        """Process and either 'loaded' or the name of a patch that it embedded; other images are trials."""
        known = {"loaded", *self.names}
        lines = [line.split() for line in (self.here / "log").read_text().splitlines()]
        return [(int(pid), text) for pid, text in lines if int(pid) != os.getpid() and text in known]


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    module = f"model_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(extraction, "plan_of", lambda cohort, key: plan_of(cohort, key, size=PER_SHARD))
    kill_rounds.write_cohort(tmp_path / "cohort")
    resolved = resolve(parse_spec(f"python:{module}:Model"), "noise")
    rebuild = partial(prepare, resolved, ModelSettings(device="cpu"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as an actor has
    yield Subject(tmp_path, load_folder(tmp_path / "cohort"), rebuild(), rebuild)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two CPUs, one for each actor; one cluster for all tests, because starting it takes seconds."""
    ray = import_ray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_cluster, "available_cpus", lambda: 2)
        with joined(ray, None, Locks(tmp_path_factory.mktemp("locks")), patches=0):
            yield ray


@needs_ray
@pytest.mark.usefixtures("cluster")
def test_two_actors_give_the_embeddings_of_one_process_and_load_the_model_once_each(subject: Subject) -> None:
    (subject.here / "slow").mkdir()
    counted = []

    def progress(items: Iterable[Any], total: int, text: str) -> Iterator[Any]:
        assert (total, text) == (PATCHES, "noise on cohort: embedding")
        for item in items:
            counted.append(item)
            yield item

    ours = subject.on_ray(progress=progress)
    log = subject.actor_log()
    (subject.here / "slow").rmdir()
    assert ours.values.tobytes() == subject.in_this_process().values.tobytes()
    assert len(counted) == PATCHES
    assert Counter(text for _, text in log if text != "loaded") == Counter(subject.names)
    assert len({pid for pid, text in log if text != "loaded"}) == 2
    assert sorted(Counter(pid for pid, text in log if text == "loaded").values()) == [1, 1]
    names = ("engine", "actors", "machines", "threads", "batch_size")
    assert {name: ours.details[name] for name in names} == {
        "engine": "ray",
        "actors": 2,
        "machines": 1,
        "threads": 1,
        "batch_size": 4,
    }


@needs_ray
@pytest.mark.usefixtures("cluster")
def test_an_actor_that_is_killed_loses_at_most_one_shard(subject: Subject) -> None:
    (subject.here / "slow").mkdir()
    killed = []

    def kill() -> None:
        while not killed:
            with contextlib.suppress(FileNotFoundError):
                work = Counter(pid for pid, text in subject.actor_log() if text != "loaded")
                if len(work) == 2 and (busy := work.most_common(1)[0])[1] > 3 * PER_SHARD:
                    os.kill(busy[0], signal.SIGKILL)
                    killed.append(busy[0])
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    ours = subject.on_ray()
    killer.join()
    log = subject.actor_log()
    (subject.here / "slow").rmdir()
    assert ours.values.tobytes() == subject.in_this_process().values.tobytes()
    assert len({pid for pid, _ in log}) == 3
    assert len([text for _, text in log if text != "loaded"]) <= PATCHES + PER_SHARD


@needs_ray
def test_a_patch_that_kills_every_actor_ends_the_run_and_stored_shards_are_kept(
    subject: Subject, cluster: Any
) -> None:
    plan = extraction.plan_of(subject.cohort, "0" * 64)
    name = plan.patches(18)[0]
    deadly = subject.here / f"deadly {subject.names[subject.cohort.keys.index(name)]}"
    deadly.touch()
    with pytest.raises(EngineError, match=f"^1 actor of the Ray cluster died at patch '{name}' or soon "):
        subject.on_ray(actors=1, retries=0)
    end = time.monotonic() + 20
    while cluster.available_resources().get("CPU", 0) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert cluster.available_resources()["CPU"] == 2  # no actor is left
    deadly.unlink()
    rest = obtain(subject.prepared, subject.cohort, EmbeddingStore(subject.here / "ray"))
    assert PATCHES > int(str(rest.details["resumed_patches"])) >= PATCHES - 3 * PER_SHARD


@needs_ray
@pytest.mark.usefixtures("cluster")
def test_an_unreadable_image_gives_the_same_error_as_locally_and_is_not_retried(subject: Subject) -> None:
    plan = extraction.plan_of(subject.cohort, "0" * 64)
    row = subject.cohort.keys.index(plan.patches(7)[PER_SHARD - 1])
    assert len(set(subject.names)) == PATCHES  # cached while all images can be read
    image = subject.here / "cohort" / f"{row}.png"
    image.write_bytes(image.read_bytes()[:1000])
    subject.cohort = load_folder(subject.here / "cohort")
    with pytest.raises(CohortError) as local:
        subject.in_this_process()
    with pytest.raises(CohortError) as remote:
        subject.on_ray(actors=1)
    assert str(remote.value) == str(local.value)
    first = subject.names[subject.cohort.keys.index(plan.patches(7)[0])]
    assert Counter(text for _, text in subject.actor_log())[first] == 1


def test_a_machine_that_would_give_other_embeddings_is_refused_with_the_differences(
    subject: Subject, tmp_path: Path
) -> None:
    ours = {"versions": {"torch": "2.15.0"}, "device": "cpu", "decoder": {"pillow": "12"}}
    theirs = {"versions": {"torch": "2.14.0"}, "device": "cpu", "decoder": {"pillow": "12"}}
    ray_engine._check_alike(ours, dict(ours))
    with pytest.raises(EngineError, match=r"other embeddings \(versions.torch '2.14.0', not '2.15.0'\); "):
        ray_engine._check_alike(ours, theirs)


def test_an_error_is_sent_as_its_class_in_errors() -> None:
    error: PathorobChecksError = hub.AccessError("it is gated", remedy="accept its terms")
    received = ray_engine._unpacked(ray_engine._packed(error))
    assert type(received) is errors.HubError
    assert str(received) == str(error)


def node(cpus: float, gpus: float = 0, *, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": cpus, "GPU": gpus, "memory": 1e9}
    return {"Alive": alive, "Resources": {name: value for name, value in resources.items() if value}}


@pytest.mark.parametrize(
    ("nodes", "on_gpu", "pool"),
    [
        ([node(2)], False, Pool(actors=1, cpus=2, gpus=0)),
        ([node(64), node(20)], False, Pool(actors=10, cpus=8, gpus=0)),
        ([node(64), node(4), node(64, alive=False), node(0)], False, Pool(actors=17, cpus=4, gpus=0)),
        ([node(4), node(96, 8), node(64, 4)], True, Pool(actors=12, cpus=12, gpus=1)),
        ([node(4, 8)], True, Pool(actors=8, cpus=1, gpus=1)),
    ],
)
def test_there_is_an_actor_for_every_gpu_or_for_every_eight_cpus(
    nodes: list[dict[str, Any]], on_gpu: bool, pool: Pool
) -> None:
    assert pool_on(nodes, on_gpu=on_gpu, cpus=8) == pool


def test_a_cluster_without_a_gpu_is_an_error_when_one_is_needed() -> None:
    with pytest.raises(EngineError, match=r"offers a GPU.*--fm-device=cpu"):
        pool_on([node(8), node(0, 1, alive=False)], on_gpu=True, cpus=8)
    with pytest.raises(EngineError, match="offers a CPU"):
        pool_on([node(0, 1)], on_gpu=False, cpus=8)


@pytest.mark.parametrize(("shards", "actors"), [(1, 4), (20, 2), (391, 8), (5000, 3), (100_000, 8)])
def test_every_shard_is_in_one_task_and_every_actor_has_several_tasks(shards: int, actors: int) -> None:
    missing = list(range(3, 3 + shards))
    tasks = tasks_of(missing, actors)
    assert [shard for task in tasks for shard in task] == missing
    assert max(map(len, tasks)) <= ray_engine.MOST_SHARDS_PER_TASK
    assert len(tasks) >= min(shards, ray_engine.TASKS_PER_ACTOR * actors)


def test_a_missing_ray_is_an_error_with_its_requirement(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"needs Ray.*pip install 'ray\[data\]>=2\.60'"):
        subject.on_ray()


def test_the_address_of_a_ray_client_is_refused_with_an_alternative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", sys.modules[__name__])  # a stand-in: it is not used
    with pytest.raises(EngineError, match=r"Ray Data does not support.*--fm-ray-address=auto"):
        check_usable("ray://head:10001")


def test_no_usage_is_reported_and_the_environment_is_restored(tmp_path: Path) -> None:
    before = dict(os.environ)
    ray = SimpleNamespace(is_initialized=lambda: True)
    with joined(ray, None, Locks(tmp_path), patches=0):
        assert (os.environ["RAY_USAGE_STATS_ENABLED"], os.environ["RAY_DATA_USAGE_DISABLED"]) == ("0", "1")
    assert dict(os.environ) == before


@pytest.mark.slow
def test_an_address_without_a_cluster_is_an_error_at_once(tmp_path: Path) -> None:
    ray = SimpleNamespace(is_initialized=lambda: False)  # real Ray would try for a quarter of an hour
    refused = pytest.raises(EngineError, match=r"no Ray cluster can be joined at 127.0.0.1:1: .*refused")
    with refused, joined(ray, "127.0.0.1:1", Locks(tmp_path), patches=0):
        pass


@pytest.mark.slow
@needs_ray
def test_the_gate_embeds_on_a_cluster_of_its_own_and_ends_it(lone_terminal: Terminal) -> None:
    write_cohort(lone_terminal.folder / "c")
    run = lone_terminal.pytest(
        "--fm=demo:stain-invariant",
        "--fm-cohort=c",
        "--fm-engine=ray",
        "--fm-json=r.json",
        "-krobustness_index",
        subprocess=True,
    )
    results = lone_terminal.results("r.json")
    assert isinstance(results["checks"][0]["value"], float), run.output
    assert results["runs"][0]["fm"]["extraction"]["engine"] == "ray"
    assert "ray" not in run.output.replace("--fm-engine=ray", "").lower()  # Ray prints nothing
