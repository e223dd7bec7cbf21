"""ci/gitlab.yml: a template whose inputs stay texts, and whose job runs the gate and keeps its reports."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from conftest import ROOT, Machine
from pathorob_checks.commands.ci import DEFAULT_REPORTS, PREFIX, REPORTS, VARIABLES

TEXT = (ROOT / "ci" / "gitlab.yml").read_text(encoding="utf-8")
SPEC, TEMPLATE = yaml.safe_load_all(TEXT)
INPUTS = SPEC["spec"]["inputs"]
[JOB] = TEMPLATE.values()
INPUT = re.compile(r"\$\[\[ inputs\.(\w+) \]\]")


def test_every_input_is_used_and_only_the_fm_and_the_package_are_needed() -> None:
    assert set(INPUT.findall(TEXT)) == set(INPUTS)
    assert {name for name, one in INPUTS.items() if "default" not in one} == {"fm", "package"}


def test_what_is_given_is_in_variables_that_nothing_expands() -> None:
    assert {name for name in JOB["variables"] if name.startswith(PREFIX)} <= set(VARIABLES)
    for name, value in JOB["variables"].items():
        if INPUT.search(str(value)) and name != f"{PREFIX}COMPLETE":  # which takes two words only
            assert value["expand"] is False, name
    assert INPUTS["complete"]["options"] == ["true", "false"]
    assert not INPUT.search(str(JOB["script"]))


def test_the_reports_are_kept_whatever_the_verdict() -> None:
    kept = JOB["artifacts"]
    assert kept["when"] == "always"
    assert {*kept["paths"], kept["reports"]["junit"]} == {
        f"{DEFAULT_REPORTS}/{name}" for name in REPORTS.values()
    }
    assert JOB["variables"]["PATHOROB_CHECKS_CACHE"] == f"$CI_PROJECT_DIR/{JOB['cache']['paths'][0]}"


@pytest.mark.parametrize("hostile", ["", "'; touch pwned; $(touch pwned)"])
@pytest.mark.parametrize("torch", ["", "cpu"])
def test_the_script_installs_and_runs(hostile: str, torch: str, machine: Machine) -> None:
    for name in ("pip", "uv", "pathorob-checks"):
        machine.program(name, f'printf "%s|" {name} "$@" >> "{machine.folder}/asked"')
    package = f"./pathorob-checks{hostile}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(JOB["script"])],
        cwd=machine.folder,
        env=machine.environment(PACKAGE=package, TORCH=torch),
        check=False,
    )
    assert done.returncode == 0
    backend = f"--torch-backend={torch}|" if torch else ""
    python = machine.commands / "python"
    assert (machine.folder / "asked").read_text() == (
        f"pip|install|--quiet|uv>=0.8,<1|uv|pip|install|--python|{python}|{backend}{package}|pathorob-checks|ci|"
    )
    assert not (machine.folder / "pwned").exists()
