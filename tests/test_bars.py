"""Long work shows how far it is: on a terminal, in a log, from workers, and for downloads."""

from __future__ import annotations

import os
import re
import time
from functools import partial
from types import SimpleNamespace

import pytest
from attack import Attack

from pathorob_checks import hub
from pathorob_checks.plugin import bars

# As long work looks: every step takes a while, and what takes a minute takes a blink.
SLOW = """
import time
from pathorob_checks.plugin import bars
bars.BAR_AFTER_S = {after}
bars.LINE_EVERY_S = {every}
shown_by = bars.Bars.progress
def slowly(self, items, total, text):
    for number, item in enumerate(shown_by(self, items, total, text)):
        if number < 6:
            time.sleep(0.12)
        yield item
bars.Bars.progress = slowly
"""
MODEL = """
import numpy
import torch
class Mean:
    dimension, batch_size = 3, 4
    model = torch.nn.Identity()
    def preprocess(self, image):
        pixels = torch.from_numpy(numpy.array(image, dtype=numpy.float32))
        return pixels.permute(2, 0, 1)
    def embed(self, batch):
        return batch.mean(dim=(2, 3))
def mean():
    return Mean()
"""
# It wants what takes a while, and fails.
FAILS = "def test_finite(fm_embeddings):\n    assert 0\n"
LINE = re.compile(
    r"^(\w+): mean on coh: embedding: \d+ of 56 \(\d+(?:\.\d)? %\) in \d seconds?, about \d+ seconds? left$",
    re.M,
)


@pytest.fixture
def slow_gate(small_gate: Attack) -> Attack:
    small_gate.write("slow.py", SLOW.format(after=0.2, every=0.2))
    small_gate.write("model.py", MODEL)
    return small_gate


def run(gate: Attack, *more: str, on_a_tty: bool = False, fm: str = "mean") -> str:
    """The output of a run whose every embedding takes a while."""
    command = gate.terminal.pytest_on_a_tty if on_a_tty else partial(gate.terminal.pytest, subprocess=True)
    path = os.pathsep.join([str(gate.folder), os.environ.get("PYTHONPATH", "")])
    given = ("-pslow", f"--fm=python:model:{fm}", "--fm-cohort=coh", "--fm-criteria=index.toml")
    return command(*given, "-kfinite", *more, PYTHONPATH=path).output


@pytest.mark.slow
def test_a_terminal_shows_a_bar_that_goes_away(slow_gate: Attack) -> None:
    shown = run(slow_gate, on_a_tty=True)
    bars = re.findall(r"\rmean on coh: embedding: +\d+%\|[^\r]*\| \d+/56 \[[^\r]*\]", shown)
    assert len(bars) > 1, shown
    after = shown[shown.rindex(bars[-1]) + len(bars[-1]) :]
    assert re.match(r"\r +\r(\x1b\[\d+m)*\.", after), after  # pytest goes on with the result of the test
    assert "suites/test_embedding_integrity.py \n" in shown  # its line was not overwritten
    assert not LINE.search(shown)


@pytest.mark.slow
def test_a_long_name_leaves_room_for_the_time_and_is_not_part_of_a_failure(slow_gate: Attack) -> None:
    slow_gate.write("test_mine.py", FAILS)
    slow_gate.write("model.py", MODEL.replace("def mean()", f"def {'m' * 70}()"))
    shown = run(slow_gate, "test_mine.py", on_a_tty=True, fm="m" * 70)
    assert "assert 0" in shown
    assert "Captured" not in shown, shown
    bars = re.findall(r"\r(mmm[^\r]*: +\d+%\|[^\r]*)", shown)
    assert len(bars) > 1, shown
    for bar in bars:
        assert len(bar.rstrip()) <= 80
        assert re.search(r"m\.\.\.\S* on coh: embedding: .*/56 \[\d\d:\d\d<(\d\d:\d\d|\?), .*\]", bar), bar


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-q", "-s", "-pno:terminal", "-pno:capture", "-n1", "--capture=sys"])
def test_a_log_has_a_line_now_and_then(option: str, slow_gate: Attack) -> None:
    shown = run(slow_gate, option)
    workers = LINE.findall(shown)
    assert 1 < len(workers) < 6, shown
    assert set(workers) == {"gw0" if option == "-n1" else "pytest"}
    assert "%|" not in shown


@pytest.mark.slow
def test_what_a_log_shows_is_not_part_of_a_failure(slow_gate: Attack) -> None:
    slow_gate.write("test_mine.py", FAILS)
    shown = run(slow_gate, "test_mine.py")
    assert 1 < len(LINE.findall(shown)) < 6, shown
    assert "assert 0" in shown
    assert "Captured" not in shown, shown


@pytest.mark.slow
@pytest.mark.parametrize("on_a_tty", [True, False])
def test_short_work_shows_nothing(on_a_tty: bool, slow_gate: Attack) -> None:
    slow_gate.write("slow.py", SLOW.format(after=60.0, every=60.0))
    assert "embedding:" not in run(slow_gate, on_a_tty=on_a_tty)


def test_downloads_have_lines_too(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "LINE_EVERY_S", 0.01)
    config = SimpleNamespace(pluginmanager=pytest.PytestPluginManager())
    monkeypatch.setattr(hub, "download_bar", None)
    bars.show_downloads(bars.Bars(config))  # type: ignore[arg-type]
    with hub.download_bar(  # as huggingface_hub makes it
        total=4_000_000, initial=1_000_000, desc="model\x1b[2J", unit="B", unit_scale=True, name="hub"
    ) as bar:
        time.sleep(0.02)
        bar.update(2_000_000)
    shown = "pytest: model\\x1b[2J: 3.0 MB of 4.0 MB (75 %) in 0 seconds, about 0 seconds left\n"
    assert capfd.readouterr().err == shown
