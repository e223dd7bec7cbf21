"""The examples are true: their READMEs' commands are run, end as they say, and print what they show.

A command that does not end with 0 says so: `# exit code 1`. The examples share a cache, so that an FM embeds
a cohort once.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages_with_output import after_lines, blocks_of, comparable
from terminal import Run, Terminal

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples"
EXAMPLES = sorted(path.parent for path in FOLDER.glob("*/README.md"))
OVERVIEW = (FOLDER / "README.md").read_text(encoding="utf-8")
COMMANDS = ("pytest ", "pathorob-checks ", "python ")
END = re.compile(r"\s+# exit code (?P<code>\d+)$")
COLUMNS = "110"
"""Of the terminal in which the shown output was printed."""
MADE = ("__pycache__", ".*_cache", "*.json", "scanners")
"""What commands leave behind in an example."""


def readme(example: Path) -> str:
    return (example / "README.md").read_text(encoding="utf-8")


def command_and_code(line: str) -> tuple[str, int]:
    """A line of a README: what is typed, and the exit code that it is said to end with."""
    end = END.search(line)
    return (line[: end.start()], int(end["code"])) if end else (line, 0)


def typed(terminal: Terminal, command: str) -> Run:
    """Run a command in the terminal's folder."""
    program, *words = shlex.split(command)
    if program == "pytest":
        return terminal.pytest(*words, COLUMNS=COLUMNS)
    if program == "pathorob-checks":
        return terminal.command(*words, COLUMNS=COLUMNS)
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *words], cwd=terminal.folder, capture_output=True, text=True, check=False
    )
    return Run(done.returncode, done.stdout + done.stderr)


def follow(terminal: Terminal, page: str) -> list[str]:
    """Do what a page says and look at what it shows; the commands that were run."""
    done, printed = [], ""
    for block in blocks_of(page, COMMANDS):
        if not block[0].startswith(COMMANDS):
            printed = after_lines(printed, block)
            continue
        printed = ""
        for line in block:
            command, code = command_and_code(line)
            run = typed(terminal, command)
            assert run.code == code, f"{command} ended with {run.code}:\n{run.output}"
            printed += f"{comparable(run.output)} "
            done.append(command)
    return done


def copied(example: Path, terminal: Terminal) -> None:
    shutil.copytree(example, terminal.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*MADE))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_commands_of_an_example_do_what_its_readme_shows(example: Path, terminal: Terminal) -> None:
    copied(example, terminal)
    done = follow(terminal, readme(example))
    [row] = [line for line in OVERVIEW.splitlines() if line.startswith(f"| [{example.name}](")]
    assert re.findall(r"`([^`]+)`", row)[0] in done


def test_the_workflow_of_the_release_gate_gives_inputs_that_the_action_has() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    [workflow] = (FOLDER / "release-gate" / ".github" / "workflows").glob("*.yml")
    [step] = [
        step
        for step in yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]
        if "pathorob-checks" in step["uses"]
    ]
    assert step["with"].keys() <= action["inputs"].keys()
    [command] = [line for line in readme(FOLDER / "release-gate").splitlines() if "--fm-baseline" in line]
    options = dict(word.split("=", 1) for word in shlex.split(command) if word.startswith("--fm"))
    assert options["--fm"] == step["with"]["fm"]
    assert options["--fm-baseline"] == step["with"]["baseline"]
    assert step["with"]["arguments"] in command.split()
    ini = (FOLDER / "release-gate" / "pytest.ini").read_text(encoding="utf-8")
    assert {f"fm_cohort = {step['with']['cohorts']}", f"fm_criteria = {step['with']['criteria']}"} <= {
        *ini.splitlines()
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_a_readme_of_an_example_is_short_and_shows_output(example: Path) -> None:
    blocks = blocks_of(readme(example), COMMANDS)
    assert any(block[0].startswith(COMMANDS) for block in blocks)
    assert any(not block[0].startswith(COMMANDS) for block in blocks)
    assert len(readme(example).split()) < 450


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("    python -c 'print(1)'\n\n    2\n", "not printed: 2"),
        ("    python -c 'raise SystemExit(3)'\n", "ended with 3"),
        ("    python -c 'print(1)'    # exit code 1\n", "ended with 0"),
    ],
)
def test_a_page_that_is_not_true_is_found(page: str, complaint: str, terminal: Terminal) -> None:
    with pytest.raises(AssertionError, match=complaint):
        follow(terminal, page)
