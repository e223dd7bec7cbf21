"""Inputs that are not what they say: one center or class under two names, whose patches help each other."""

from __future__ import annotations

import shutil

import pytest
from attack import Attack, assert_not_passed, rows_of, write_rows

WAYS = {
    "a character that cannot be seen": ("north", "north\u200b"),
    "a letter of another script": ("north", "n\u043erth"),
    "a whole name in another script": ("coco", "\u0441\u043e\u0441\u043e"),
    "two spaces": ("U Hospital", "U  Hospital"),
    "another dash": ("A-1", "A\u20131"),
    "another encoding": ("K\u00f6ln", "Ko\u0308ln"),
    "full width": ("RUMC", "\uff32\uff35\uff2d\uff23"),
    "a final dot": ("Lyon", "Lyon."),
}


@pytest.mark.parametrize("spellings", WAYS.values(), ids=WAYS)
def test_a_center_that_is_split_by(attack: Attack, spellings: tuple[str, str]) -> None:
    rows = rows_of(attack.folder / "coh")
    for row in rows:
        if row["medical_center"] == "north":
            row["medical_center"] = spellings[int(row["slide_id"][-1]) % 2]
    write_rows(attack.folder / "coh", rows)
    outcome = attack.run(fm="embeddings:good")
    assert_not_passed(outcome)
    assert outcome.code == 4
    assert "medical_center" in outcome.output or "medical centers" in outcome.output


def test_a_class_that_is_split(attack: Attack) -> None:
    rows = rows_of(attack.folder / "coh")
    for row in rows[::2]:
        row["biological_class"] += "\u00a0."
    write_rows(attack.folder / "coh", rows)
    assert_not_passed(attack.run(fm="embeddings:good"))


def test_names_that_were_reviewed_are_accepted_and_the_report_says_so(attack: Attack) -> None:
    rows = rows_of(attack.folder / "coh")
    for row in rows:
        row["medical_center"] = {"north": "Lyon 1", "south": "Lyon l"}.get(row["medical_center"], "west")
    write_rows(attack.folder / "coh", rows)
    assert_not_passed(attack.run(fm="embeddings:good"))
    attack.write("reviewed.txt", "Lyon 1\nLyon l\n")
    outcome = attack.run("--fm-accept-names=reviewed.txt", fm="embeddings:good")
    assert outcome.code == 0, outcome.output
    assert outcome.results is not None
    assert "reviewed.txt" in outcome.results["runs"][0]["cohort"]["notes"][0]


def test_one_image_under_several_ids(attack: Attack) -> None:
    folder = attack.folder / "coh"
    paths = [row["image_path"] for row in rows_of(folder)]
    shutil.copy(folder / paths[0], folder / paths[9])
    outcome = attack.run(fm="embeddings:good")
    assert_not_passed(outcome)
    assert "identical" in outcome.output
