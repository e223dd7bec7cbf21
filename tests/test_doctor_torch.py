"""`pathorob-checks doctor` on torch: each state of a machine has one sentence."""

from __future__ import annotations

import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision

from pathorob_checks.cli import main
from pathorob_checks.commands.findings import FAIL, PASS, WARN
from pathorob_checks.commands.torch_ahead import TorchBuild, findings, judged

OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update"


def build(**facts: Any) -> TorchBuild:
    return TorchBuild(
        **{"version": "2.9.0", "cuda": None, "rocm": None, "gpus": 0, "has_nvidia": False, **facts}
    )


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ({}, PASS, "is a CPU build"),
        ({"has_nvidia": True}, WARN, "is a CPU build, but this machine has an NVIDIA GPU"),
        ({"cuda": "12.8", "gpus": 2}, PASS, "is built for CUDA 12.8 and sees 2 GPUs"),
        ({"cuda": "12.8", "has_nvidia": True, "problem": OLD}, WARN, "the driver (11040) is too old"),
        ({"cuda": "12.8", "has_nvidia": True}, WARN, "does not see this machine's GPU"),
        ({"cuda": "12.8"}, PASS, "sees no GPU; a CPU build would be smaller"),
        ({"rocm": "6.4", "gpus": 1}, PASS, "is built for ROCm 6.4 and sees 1 GPU"),
    ],
)
def test_every_build_has_a_sentence(facts: dict[str, Any], state: str, words: str) -> None:
    finding = judged(build(**facts))
    assert finding.state == state
    assert words in finding.text
    assert bool(finding.remedy) == (state == WARN)


def test_a_cpu_build_beside_a_gpu_says_what_to_install() -> None:
    assert judged(build(has_nvidia=True)).remedy == (
        "install a CUDA build of torch, as its installation page says"
    )


def test_a_warning_while_torch_looks_for_gpus_is_part_of_the_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def is_available() -> bool:
        warnings.warn(OLD, stacklevel=1)
        return False

    fake = SimpleNamespace(
        __version__="2.9.0",
        version=SimpleNamespace(cuda="12.8"),
        cuda=SimpleNamespace(is_available=is_available),
    )
    first, _ = findings(lambda name: fake if name == "torch" else torchvision)  # type: ignore[arg-type, return-value]
    assert "the driver (11040) is too old" in first.text


@pytest.mark.parametrize(
    "error",
    [RuntimeError("operator torchvision::nms does not exist"), OSError("undefined symbol"), ImportError("x")],
)
def test_a_torchvision_of_another_torch_is_one_sentence(error: Exception) -> None:
    def load(name: str) -> ModuleType:
        if name == "torchvision":
            raise error
        return torch

    _, second = findings(load)
    assert (second.state, second.subject) == (FAIL, "torchvision")
    assert str(error) in second.text
    assert f"does not fit torch {torch.__version__}" in second.text
    assert "together, of one build" in second.remedy


def test_a_torch_that_cannot_be_imported_is_one_sentence() -> None:
    def load(name: str) -> ModuleType:
        raise OSError("libcudart.so.12: cannot open shared object file")

    [only] = findings(load)
    assert (only.state, "libcudart.so.12" in only.text) == (FAIL, True)


def test_doctor_without_an_fm_looks_at_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert [line.split(":")[0].split()[1] for line in said.splitlines() if line[:4] in (PASS, WARN)] == [
        "torch",
        "torchvision",
        "device",
        "cache",
    ]
    assert f"torch: {torch.__version__} is " in said
    assert (
        said.splitlines()[-1] == "nothing would stop a run here; name an FM with --fm=SPEC to look at its run"
    )
