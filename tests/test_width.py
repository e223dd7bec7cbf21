"""One rule says how wide the gate and the commands write."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import drawn, results_of

from pathorob_checks.cli import main
from pathorob_checks.history.store import History
from pathorob_checks.report.comparison import render_comparison
from pathorob_checks.results.comparing import compare


@pytest.mark.parametrize(("columns", "width"), [(None, 120), ("60", 60)])
def test_without_a_terminal_commands_are_as_wide_as_the_gate(
    columns: str | None, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.__stdout__", None)
    monkeypatch.setattr("sys.__stderr__", None)
    results = results_of([drawn(0.6), drawn(0.7, fm="an-fm-with-a-long-name")])
    results.save("r.json")
    assert main(["compare", "r.json"]) == 0
    assert capsys.readouterr().out == render_comparison(compare("r.json"), width) + "\n"
    History(Path("h.db")).add(results_of([drawn(0.6)]))
    History(Path("h.db")).add(results_of([drawn(0.7)], day=1))
    assert main(["history", "--file=h.db"]) == 0
    [remark] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("No significant")]
    assert (len(remark) > 80) == (width > 80)
