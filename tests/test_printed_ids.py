"""The id of every planned check is one that pytest runs when it is given back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal import Terminal

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.metrics.registry import metric, metrics
from pathorob_checks.plugin.selection import suites

FMS = ("demo:color-sensitive", "demo:stain-invariant")


def ids_listed(terminal: Terminal, settings: Settings, *ids: str) -> list[str]:
    options = {
        "--fm": settings.fms,
        "--fm-cohort": settings.cohorts,
        "--fm-criteria": settings.criteria,
        "--fm-method": settings.methods,
        "--fm-baseline": (settings.baseline,) if settings.baseline else (),
    }
    given = [f"{flag}={value}" for flag, values in options.items() for value in values]  # type: ignore[union-attr]
    run = terminal.pytest(*given, "--collect-only", "-q", *ids)
    assert run.code == 0, run.output
    return [line for line in run.output.splitlines() if line.startswith("suites/test_")]


def every_metric(folder: Path) -> str:
    """A criteria file about every metric, of which one has two criteria."""
    parts = ['schema = "pathorob-checks/criteria/1"', 'name = "every"']
    for one in metrics().values():
        bound = "at_least" if one.higher_is_better else "at_most"
        parts.append(
            f'[[criteria]]\nid = "{one.name.replace("_", "-")}"\nmetric = "{one.name}"\n'
            f'{bound} = {json.dumps(one.neutral)}\nrationale = "A test."'
        )
    worst = 'metric = "robustness_index"\ngroup = "worst-center"\nat_least = 0.1\nrationale = "A test."'
    mean = worst.replace('group = "worst-center"', 'aggregate = "mean"\ncohorts = ["demo", "tcga"]')
    parts += [f'[[criteria]]\nid = "worst"\n{worst}', f'[[criteria]]\nid = "mean"\n{mean}']
    (folder / "every.toml").write_text("\n".join(parts))
    return str(folder / "every.toml")


PROFILES = {
    **{name: Settings(fms=FMS, cohorts=("tcga",), criteria=(name,)) for name in BUILT_IN},
    "methods": Settings(fms=FMS, cohorts=("demo", "tcga"), criteria=("full",), methods=("combat",)),
    "baseline": Settings(fms=FMS, cohorts=("demo",), criteria=("full",), baseline="stain-invariant"),
}


@pytest.mark.parametrize("name", PROFILES)
def test_every_planned_id_of_a_profile_can_be_given_back(terminal: Terminal, name: str) -> None:
    can_be_given_back(terminal, PROFILES[name])


def test_the_planned_id_of_every_metric_can_be_given_back(terminal: Terminal) -> None:
    criteria = (every_metric(terminal.folder),)
    can_be_given_back(terminal, Settings(fms=FMS, cohorts=("demo", "tcga"), criteria=criteria))


def can_be_given_back(terminal: Terminal, settings: Settings) -> None:
    planned = Evaluation(settings).terms.plan.ids
    assert sorted(ids_listed(terminal, settings)) == sorted(planned)
    assert sorted(ids_listed(terminal, settings, *planned)) == sorted(planned)


def test_each_metric_is_tested_in_the_suite_of_its_computation() -> None:
    files = {path.stem for path in suites()}
    assert {f"test_{metric(name).computation.name}" for name in metrics()} <= files
