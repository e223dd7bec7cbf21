"""Which slides a cohort has is shown before and after a run, so that swapped labels are seen."""

from __future__ import annotations

import shutil
from pathlib import Path

from cohort_folders import write_cohort
from own_forms import load
from terminal import Terminal

from pathorob_checks.evaluation.facts import cohort_facts, design_text
from pathorob_checks.results.cohort_design import design_lines
from pathorob_checks.results.subject_facts import CellFacts

LINES = [
    "cohort ours: 96 patches, 48 slides, 2 biological classes, 2 in-domain medical centers, 1 out-of-domain",
    "  class stroma: 11 slides from north, 11 from south; out-of-domain 2 slides from west",
    "  class tumor: 11 slides from north, 11 from south; out-of-domain 2 slides from west",
]


def test_every_class_has_a_line_with_its_slides_by_center(tmp_path: Path) -> None:
    cohort = load(write_cohort(tmp_path / "ours"))
    assert design_text("ours", cohort) == LINES


def test_many_classes_and_centers_are_counted(tmp_path: Path) -> None:
    facts = cohort_facts("ours", load(write_cohort(tmp_path / "ours")))
    names = [f"{number:02}" for number in range(10)]
    cells = [
        CellFacts(subset="ID", medical_center=center, biological_class=cls, patches=3, slides=1)
        for center in names
        for cls in names
    ]
    many = facts.model_copy(update={"cells": tuple(cells), "biological_classes": tuple(names)})
    _, *lines = design_lines(many)
    assert lines[0] == (
        "  class 00: 1 slide from 00, 1 from 01, 1 from 02, 1 from 03, 1 from 04, 1 from 05, 4 from 4 more "
        "medical centers"
    )
    assert len(lines) == 9
    assert lines[-1] == "  and 2 more classes"


def test_paired_subsets_have_lines_of_their_own_and_names_are_escaped(tmp_path: Path) -> None:
    facts = cohort_facts("ours", load(write_cohort(tmp_path / "ours")))
    cells = tuple(
        CellFacts(subset=subset, medical_center="A\x1b[2J", biological_class="t", patches=3, slides=n)
        for n, subset in enumerate(("breast", "colon"), 1)
    )
    assert design_lines(facts.model_copy(update={"cells": cells}))[1:] == [
        "  class t in the paired subset breast: 1 slide from A\\x1b[2J",
        "  class t in the paired subset colon: 2 slides from A\\x1b[2J",
    ]


def test_swapped_folders_are_seen_in_the_head_and_below_the_table(terminal: Terminal, slides: Path) -> None:
    swapped = terminal.folder / "swapped"
    swapped.mkdir()
    header, rest = (slides / "manifest.csv").read_text().split("\n", 1)
    names = ",".join(
        {"biological_class": "medical_center", "medical_center": "biological_class"}.get(name, name)
        for name in header.split(",")
    )
    rows = [row for row in rest.splitlines() if not row.endswith(",OOD")]
    (swapped / "manifest.csv").write_text("\n".join([names, *rows]) + "\n")
    shutil.copytree(slides / "images", swapped / "images")
    run = terminal.pytest(
        "--fm=demo:stain-invariant", f"--fm-cohort={swapped}", "-k", "robustness", "-v", COLUMNS="160"
    )
    line = "  class north: 11 slides from stroma, 11 from tumor"
    assert run.output.count(line) == 2, run.output
    head, foot = run.output.split("collected ")
    assert line in head
    assert line in foot
