"""Inputs that are not what they say: other labels on the same images, under the digest of the true cohort."""

from __future__ import annotations

from typing import Any

from attack import Attack, assert_not_passed, rows_of, write_rows


def facts(attack: Attack) -> dict[str, Any]:
    outcome = attack.run(fm="embeddings:good")
    assert outcome.results is not None, outcome.output
    return dict(outcome.results["runs"][0]["cohort"])


def test_labels_of_patches_that_were_exchanged_show_in_the_results(attack: Attack) -> None:
    before = facts(attack)
    rows = rows_of(attack.folder / "coh")
    one, two = (next(row for row in rows if row["biological_class"] == name) for name in ("stroma", "tumor"))
    one["biological_class"], two["biological_class"] = two["biological_class"], one["biological_class"]
    write_rows(attack.folder / "coh", rows)
    after = facts(attack)
    assert after["digest"] != before["digest"]
    assert after["images"] == before["images"]


def test_the_results_count_every_class_and_center(attack: Attack) -> None:
    cells = facts(attack)["cells"]
    assert [list(cell.values()) for cell in cells] == [
        ["ID", "north", "stroma", 12, 6],
        ["ID", "north", "tumor", 12, 6],
        ["ID", "south", "stroma", 12, 6],
        ["ID", "south", "tumor", 12, 6],
        ["OOD", "west", "stroma", 4, 2],
        ["OOD", "west", "tumor", 4, 2],
    ]


def test_another_k_shows_in_the_results(attack: Attack) -> None:
    before = facts(attack)
    attack.write("coh/cohort.toml", "k = 7")
    assert facts(attack)["digest"] != before["digest"]


def test_embeddings_that_come_with_other_labels(attack: Attack) -> None:
    """The table beside the embeddings names the other class for every patch of one center."""
    rows = rows_of(attack.folder / "coh")
    other = {"stroma": "tumor", "tumor": "stroma"}
    table = [
        {
            **{key: row[key] for key in ("slide_id", "patch_id", "medical_center")},
            "biological_class": other[row["biological_class"]]
            if row["medical_center"] == "south"
            else row["biological_class"],
        }
        for row in rows
    ]
    write_rows(attack.folder / "good" / "coh", table)
    outcome = attack.run(fm="embeddings:good")
    assert_not_passed(outcome)
    assert "in the cohort; find out which label is right" in " ".join(outcome.output.split())
