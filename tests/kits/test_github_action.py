"""action.yml: its steps, run as GitHub runs them, with inputs that pass, fail and attack."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, Machine

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
COMMENT = yaml.safe_load((ROOT / "ci" / "comment" / "action.yml").read_text(encoding="utf-8"))
WORKFLOWS = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("ci/github/*.yml")]
EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|OWNER/pathorob-checks[\w/]*@v[\d.]+ # .+|\./.*")


@dataclass
class Job:
    """The steps of the action with scripts, one after the other.

    Attributes
    ----------
    codes : the exit code of each step that ran, by id or name.
    outputs : of each step, by its id.
    log : all that the steps printed.
    """

    machine: Machine
    inputs: dict[str, str]
    codes: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""

    @property
    def summary(self) -> str:
        """What the job's page shows."""
        path = self.machine.folder / "summary.md"
        return path.read_text() if path.exists() else ""

    @property
    def results(self) -> dict[str, str]:
        """The outputs of the action."""
        return {name: self._value(one["value"]) for name, one in ACTION["outputs"].items()}

    def run(self, *names: str) -> Job:
        """Run the steps of these ids or names."""
        for step in ACTION["runs"]["steps"]:
            name = step.get("id", step.get("name"))
            if name in names:
                self._run(name, step)
        return self

    def _run(self, name: str, step: Mapping[str, Any]) -> None:
        file = self.machine.folder / f"outputs of {name}"
        file.touch()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.machine.folder,
            env=self.machine.environment(
                **{key: self._value(str(value)) for key, value in step["env"].items()},
                GITHUB_ACTIONS="true",
                GITHUB_ACTION_PATH=str(ROOT),
                GITHUB_OUTPUT=str(file),
                GITHUB_STEP_SUMMARY=str(self.machine.folder / "summary.md"),
            ),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        self.codes[name] = done.returncode
        self.outputs[name] = dict(outputs_in(file.read_text()))
        self.log += done.stdout + done.stderr

    def _value(self, text: str) -> str:
        def of(match: re.Match[str]) -> str:
            context, first, *rest = match[1].split(".")
            if context == "inputs":
                return self.inputs[first]
            assert (context, rest[0]) == ("steps", "outputs")
            return self.outputs.get(first, {}).get(rest[1], "")

        return EXPRESSION.sub(of, text)


def outputs_in(text: str) -> Iterator[tuple[str, str]]:
    """As GitHub reads the file: `name=value`, or `name<<END`, lines and `END`; no name may come twice."""
    lines = iter(text.splitlines())
    seen = set()
    for line in lines:
        name, is_block, end = line.partition("<<")
        if is_block and "=" not in name:
            block = []
            while (one := next(lines)) != end:
                block.append(one)
            value = "\n".join(block)
        else:
            name, _, value = line.partition("=")
        assert name not in seen
        seen.add(name)
        yield name, value


def job(machine: Machine, **inputs: str) -> Job:
    defaults = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
    small = {"cohorts": "coh", "criteria": "index.toml"}
    return Job(machine, {**defaults, **small, **inputs})


def test_an_fm_that_passes(machine: Machine) -> None:
    done = job(machine, fm="embeddings:good", reports="deep/er").run("places", "key", "gate")
    assert done.codes == {"places": 0, "key": 0, "gate": 0}, done.log
    assert done.results["summary"].startswith("PASS: 1 of 1 criterion met (1 FM, 1 cohort)")
    assert done.results.items() >= {("verdict", "pass"), ("passed", "true"), ("exit-code", "0")}
    assert done.results["reports"] == "deep/er"
    assert done.results["results"] == "deep/er/results.json"
    assert re.fullmatch("[0-9a-f]{64}", done.outputs["key"]["cache-key"])
    assert "**PASS:**" in done.summary
    files = {path.name for path in (machine.folder / "deep" / "er").iterdir()}
    assert files == {"junit.xml", "report.html", "report.md", "results.json"}


@pytest.mark.slow
def test_an_fm_that_fails(machine: Machine) -> None:
    done = job(machine, fm="embeddings:bad").run("gate")
    assert done.codes == {"gate": 1}, done.log
    expected = {"verdict": "fail", "passed": "false", "exit-code": "1"}
    assert done.results.items() >= expected.items()
    assert done.outputs["gate"]["finished"] == "true"
    assert done.results["summary"].startswith("FAIL: 1 of 1 criterion not met: robustness index ")
    assert "**FAIL:**" in done.summary
    assert (machine.folder / "pathorob-checks-report" / "report.html").exists()


@pytest.mark.parametrize(
    "inputs",
    [
        {"fm": '"; touch pwned; "$(touch pwned)`touch pwned`'},
        {"fm": "embeddings:good\nverdict=pass\npassed=true"},
        {"fm": "embeddings:good", "arguments": "-v; touch pwned"},
        {"fm": "embeddings:good", "reports": "x\nverdict=pass"},
    ],
    ids=lambda inputs: " ".join(inputs).replace("\n", " "),
)
def test_a_hostile_input_is_a_value_that_cannot_be_used(inputs: dict[str, str], machine: Machine) -> None:
    done = job(machine, **inputs).run("gate")
    assert done.codes["gate"] != 0
    assert done.results["verdict"] in ("", "error")
    assert done.results["passed"] in ("", "false")
    assert not (machine.folder / "pwned").exists()
    assert "Traceback" not in done.log


@pytest.mark.parametrize(("cache", "count"), [("embeddings", 1), ("all", 2)])
def test_the_places_of_the_caches(cache: str, count: int, machine: Machine) -> None:
    done = job(machine, fm="x", cache=cache).run("places")
    places = done.outputs["places"]
    assert places["embeddings"] == str(machine.folder / "cache")
    home = machine.folder / "home"
    assert places["paths"].split("\n") == [places["embeddings"], f"{home}/.cache/huggingface/hub"][:count]


def test_another_word_for_the_cache_is_refused(machine: Machine) -> None:
    done = job(machine, fm="x", cache="al; touch pwned").run("places")
    assert done.codes == {"places": 2}
    assert done.log == "the input cache is none of embeddings, all and none; choose one of them\n"


def test_what_is_installed_follows_the_inputs(machine: Machine) -> None:
    machine.program(
        "python", f'printf "%s\\n" "$@" >> "{machine.folder}/asked"; echo --- >> "{machine.folder}/asked"'
    )
    done = job(machine, fm="x", torch="cpu", extras="transformers,ray").run("Install")
    assert done.codes == {"Install": 0}, done.log
    _, install, _ = (machine.folder / "asked").read_text().split("---\n")
    python = f"--python\n{machine.commands}/python"
    assert install == f"-m\nuv\npip\ninstall\n{python}\n--torch-backend=cpu\n{ROOT}[transformers,ray]\n"
    for hostile in ({"torch": "cpu; touch pwned"}, {"extras": "] @ x"}):
        assert job(machine, fm="x", **hostile).run("Install").codes == {"Install": 2}


def steps_of(path: Path) -> Iterator[Mapping[str, Any]]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
    for one in jobs:
        yield from one.get("steps", [])  # a job may be another workflow


@pytest.mark.parametrize(
    "path",
    [ROOT / "action.yml", ROOT / "ci/comment/action.yml", *WORKFLOWS],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_text_of_others_is_part_of_a_script_and_all_that_is_used_is_pinned(path: Path) -> None:
    for step in steps_of(path):
        assert "${{" not in step.get("run", ""), step
    for used in re.findall(r"uses: (.+)", path.read_text(encoding="utf-8")):
        assert PINNED.fullmatch(used), used


def test_the_action_uses_what_its_inputs_and_steps_are_called() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    ids = {step["id"] for step in ACTION["runs"]["steps"] if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", text)) == ids
    assert set(re.findall(r"inputs\.([\w-]+)", str(COMMENT["runs"]))) == set(COMMENT["inputs"])


def test_the_examples_give_inputs_that_exist() -> None:
    [gate] = [step for step in steps_of(ROOT / "ci/github/gate.yml") if "OWNER" in step["uses"]]
    assert set(gate["with"]) <= set(ACTION["inputs"])
