"""A command that makes nothing leaves nothing of an earlier one that would be taken for what it made."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_checks import passing
from made_results import drawn, results_of

from pathorob_checks.cli import main
from pathorob_checks.history.store import History

# By command: what it reads, and the files that it writes.
COMMANDS = {
    "report": ("r.json", ("--html=o.html", "--markdown=o.md", "--json=o.json")),
    "badge": ("r.json", ("--out=o.svg",)),
    "compare": ("r.json", ("--html=o.html", "--markdown=o.md", "--csv=o.csv")),
    "model-card": ("r.json", ("--out=o.md",)),
    "model-card ": ("r.json", ("--eval-results=o.yaml", "--task=robustness_index=x", "--dataset=demo=a/b")),
    "history": ("--file=h.db", ("--csv=o.csv", "--figure=o.png")),
    "history ": ("--file=h.db", ("--csv=o.csv", "--figure=o.svg")),
    "history  ": ("--file=h.db", ("--csv=o.csv", "--figure=o.pdf")),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    results = results_of([drawn(0.6)])
    results.save("r.json")
    History(Path("h.db")).add(results)
    return tmp_path


def outputs() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().glob("o.*")}


def spoil(source: str) -> None:
    Path(source.removeprefix("--file=")).write_text("{}")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_it_wrote_before_is_gone_where_it_refuses(command: str, capsys) -> None:
    source, options = COMMANDS[command]
    arguments = [command.strip(), source, *options]
    assert main(arguments) == 0
    assert len(outputs()) == sum("=o." in option for option in options)
    spoil(source)
    capsys.readouterr()
    names = sorted(outputs())
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    named = sorted(line.split(" was removed")[0].rpartition(" ")[2] for line in lines if "removed" in line)
    assert named == names
    assert len(lines) == len(names) + 1
    assert outputs() == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_files_of_others_stay(command: str) -> None:
    source, options = COMMANDS[command]
    spoil(source)
    names = [option.partition("=")[2] for option in options if "=o." in option]
    for name in names:
        Path(name).write_text("---\nmodel-index: []\n---\n")
    before = outputs()
    assert main([command.strip(), source, *options]) == 1
    assert outputs() == before
    assert len(before) == len(names)


def test_an_earlier_merge_is_gone_and_no_input_is(capsys) -> None:
    results_of([passing()]).save("o.json")
    before = Path("r.json").read_bytes()
    assert main(["merge", "r.json", "none.json", "--out=o.json"]) == 1
    assert "the earlier o.json was removed, because nothing was made." in capsys.readouterr().err
    assert outputs() == {}
    assert main(["merge", "r.json", "none.json", "--out=r.json"]) == 1
    assert Path("r.json").read_bytes() == before


def test_a_report_on_itself_stays() -> None:
    assert main(["report", "r.json", "--html=o.html"]) == 0
    before = outputs()
    Path("link.html").symlink_to("o.html")
    for target in ("o.html", "link.html"):
        assert main(["report", "o.html", f"--html={target}"]) == 1
    assert outputs() == before


def test_a_link_stays_and_the_report_behind_it_goes() -> None:
    assert main(["report", "r.json", "--html=o.html"]) == 0
    Path("link.html").symlink_to("o.html")
    spoil("r.json")
    assert main(["report", "r.json", "--html=link.html"]) == 1
    assert outputs() == {}
    assert Path("link.html").is_symlink()


def test_what_was_written_before_the_error_stays() -> None:
    assert main(["report", "r.json", "--html=o.html"]) == 0
    old = outputs()
    results_of([passing()]).save("r.json")
    Path("folder").mkdir()
    assert main(["report", "r.json", "--html=o.html", "--markdown=folder"]) == 1
    assert outputs().keys() == old.keys()
    assert outputs() != old
