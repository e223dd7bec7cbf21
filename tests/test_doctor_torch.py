"""`doctor` on the builds of torch and torchvision."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from pathorob_checks.commands import torch_ahead
from pathorob_checks.commands.findings import FAIL, PASS, WARN, Finding


def finding() -> Finding:
    (one,) = torch_ahead.builds()
    return one


@pytest.mark.parametrize(
    ("cuda", "hardware", "usable", "state", "text", "remedy"),
    [
        (None, False, 0, PASS, "CPU build, no GPU is visible", ""),
        (None, True, 0, WARN, "has an NVIDIA GPU, which it cannot use", "install a CUDA build"),
        ("12.8", True, 0, WARN, "CUDA 12.8 build, but it cannot use the NVIDIA GPU", "update the driver"),
        ("12.8", True, 2, PASS, "CUDA 12.8 build, 2 GPUs", ""),
        ("12.8", False, 0, PASS, "CUDA 12.8 build, no GPU is visible", ""),
    ],
)
def test_what_the_build_can_use(monkeypatch, cuda, hardware, usable, state, text, remedy) -> None:
    monkeypatch.setattr(torch, "version", SimpleNamespace(cuda=cuda, hip=None))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: usable)
    monkeypatch.setattr(torch_ahead, "_has_nvidia_gpu", lambda: hardware)
    one = finding()
    assert one.state == state
    assert text in one.text
    assert one.remedy.startswith(remedy)


def test_a_torchvision_that_does_not_fit(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    one = finding()
    assert one.state == FAIL
    assert "torchvision cannot be imported beside torch" in one.text
    assert "together" in one.remedy
