"""A machine of a CI server: a folder with the inputs of a small gate, and the commands of this checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from attack import Attack

from pathorob_checks.commands.ci import PREFIX

ROOT = Path(__file__).parents[2]


class Machine:
    """A folder in which jobs run, with an environment in which little is set.

    Attributes
    ----------
    folder : where jobs start; it holds `coh`, `good`, `bad` and `index.toml` of `attack.write_inputs`.
    commands : the folder of programs that jobs find first.
    """

    def __init__(self, attack: Attack) -> None:
        self.folder = attack.folder
        self.commands = attack.folder / "commands"
        self.commands.mkdir()
        self.program("pathorob-checks", f'exec "{sys.executable}" -m pathorob_checks "$@"')
        self.program("python", f'exec "{sys.executable}" "$@"')
        self._one_thread = attack.terminal.process_environment({}).get("OMP_NUM_THREADS")

    def program(self, name: str, script: str) -> None:
        """Add a program to the path of the machine."""
        path = self.commands / name
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        """All variables of a job."""
        threads = {"OMP_NUM_THREADS": self._one_thread} if self._one_thread else {}
        return {
            "PATH": f"{self.commands}:/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "PYTHONPATH": f"{ROOT}:{':'.join(path for path in sys.path if 'site-packages' in path)}",
            "PATHOROB_CHECKS_CACHE": str(self.folder / "cache"),
            "COLUMNS": "80",
            **threads,
            **variables,
        }


@pytest.fixture
def machine(small_gate: Attack) -> Machine:
    """A machine with nothing of an earlier job."""
    return Machine(small_gate)


@pytest.fixture
def inputs_of_good() -> dict[str, str]:
    """The variables of a job whose FM passes."""
    return {
        f"{PREFIX}FM": "embeddings:good",
        f"{PREFIX}COHORTS": "coh",
        f"{PREFIX}CRITERIA": "index.toml",
    }
