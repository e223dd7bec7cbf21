"""What was probably meant: a value of another option, a folder one level off, a path in place of a name."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_folders import write_cohort

from pathorob_checks import evaluate
from pathorob_checks.cohorts.registry import CohortSources, load_cohort
from pathorob_checks.embeddings import precomputed
from pathorob_checks.errors import CohortError, CriteriaError, EmbeddingError, ModelError, SettingsError
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import subjects_of
from pathorob_checks.models.loading import resolve
from pathorob_checks.models.spec import parse_spec
from pathorob_checks.nearby import folder_nearby, named_like

FM = "demo:stain-invariant"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "meant"),
    [
        ({"fms": ("floor",)}, "--fm-criteria=floor"),
        ({"fms": ("camelyon",)}, "--fm-cohort=camelyon"),
        ({"fms": ("combat",)}, "--fm-method=combat"),
        ({"fms": ("slides",)}, "--fm-cohort=slides"),
        ({"fms": ("ours.toml",)}, "--fm-criteria=ours.toml"),
        ({"fms": (FM,), "cohorts": ("virchow2",)}, "--fm=virchow2"),
        ({"fms": (FM,), "cohorts": ("release",)}, "--fm-criteria=release"),
        ({"fms": (FM,), "cohorts": ("ours.toml",)}, "--fm-criteria=ours.toml"),
        ({"fms": (FM,), "criteria": ("tcga",)}, "--fm-cohort=tcga"),
        ({"fms": (FM,), "criteria": ("slides",)}, "--fm-cohort=slides"),
        ({"fms": (FM,), "methods": ("floor",)}, "--fm-criteria=floor"),
    ],
    ids=str,
)
def test_a_value_of_another_option_names_that_option(
    folder: Path, settings: dict[str, tuple[str, ...]], meant: str
) -> None:
    write_cohort(folder / "slides", slides=1, patches=1)
    (folder / "ours.toml").write_text("")
    with pytest.raises(SettingsError, match="did you mean") as caught:
        subjects_of(Settings(**settings))
    assert str(caught.value).endswith(f"; did you mean {meant}?")


def test_evaluate_says_it_too() -> None:
    with pytest.raises(SettingsError, match="; did you mean --fm-cohort=camelyon"):
        evaluate("camelyon")


def test_a_name_that_an_option_takes_is_not_misplaced(folder: Path) -> None:
    """`floor` is a profile, but a cohort of the user's own may be called so."""
    write_cohort(folder / "floor", slides=1, patches=1)
    assert dict(subjects_of(Settings(fms=(FM,), cohorts=("floor",))).cohorts) == {"floor": "floor"}


def write_tree(folder: Path) -> Path:
    """Two classes, two centers, two slides in each; the images are never read."""
    for number, (label, center) in enumerate(product(("normal", "tumor"), ("Aachen", "Bonn"))):
        place = folder / label / center / f"slide-{number}"
        place.mkdir(parents=True)
        (place / "p.png").write_bytes(bytes([number]))
    return folder


@pytest.mark.parametrize("form", ["manifest", "tree"])
@pytest.mark.parametrize(("given", "meant"), [("data", "data/slides"), ("data/slides/INNER", "data/slides")])
def test_a_cohort_one_level_off(folder: Path, form: str, given: str, meant: str) -> None:
    inner = "images" if form == "manifest" else "tumor"
    if form == "manifest":
        write_cohort(folder / "data" / "slides", slides=1, patches=1)
    else:
        write_tree(folder / "data" / "slides")
    with pytest.raises(CohortError) as caught:
        load_cohort(given.replace("INNER", inner), CohortSources(None, folder / "cache"))
    assert str(caught.value).endswith(f" has no manifest.csv; did you mean --fm-cohort={meant}?")


def test_an_empty_folder_beside_a_cohort_is_not_taken_for_it(folder: Path) -> None:
    write_tree(folder / "slides")
    (folder / "slides" / "empty").mkdir()
    with pytest.raises(CohortError, match="has no patches; fill it with"):
        load_cohort("slides/empty", CohortSources(None, folder / "cache"))


@pytest.mark.parametrize(("given", "meant"), [("runs", "runs/ours"), ("runs/ours/demo", "runs/ours")])
def test_embeddings_one_level_off(folder: Path, given: str, meant: str) -> None:
    (folder / "runs" / "ours" / "demo").mkdir(parents=True)
    np.savez(folder / "runs" / "ours" / "demo" / "Aachen.npz", **{"s-p": np.zeros(3, np.float32)})
    patches = pd.DataFrame({"slide_id": ["s"], "patch_id": ["p"], "medical_center": ["Aachen"]})
    with pytest.raises(EmbeddingError) as caught:
        precomputed.read(folder / given, "demo", patches)
    assert str(caught.value).endswith(f"; did you mean --fm=embeddings:{meant}?")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("local-dir:runs", "local-dir:runs/step-9"),
        ("local-dir:runs/step-9/weights", "local-dir:runs/step-9"),
        ("local-dir:cached", "local-dir:cached/snapshots/abc"),
        ("local-dir:run", "local-dir:runs"),
        ("local-dir:virchow2", "virchow2"),
        ("embeddings:uni2h", "uni2-h"),
        ("local-dir:org/model", "hf-hub:org/model"),
    ],
)
def test_a_model_folder_one_level_off_or_a_name_in_its_place(folder: Path, text: str, meant: str) -> None:
    for place in ("runs/step-9", "cached/snapshots/abc"):
        (folder / place / "weights").mkdir(parents=True)
        (folder / place / "config.json").write_text(json.dumps({"architecture": "vit"}))
    with pytest.raises(ModelError) as caught:
        resolve(parse_spec(text), "fm")
    assert str(caught.value).endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("ours.tml", "ours.toml"), ("our.toml", "ours.toml"), ("floor.toml", "the profile floor")],
)
def test_criteria_files_beside_the_one_that_is_missing(folder: Path, name: str, meant: str) -> None:
    (folder / "ours.toml").write_text("")
    from pathorob_checks.criteria.document import read

    with pytest.raises(CriteriaError) as caught:
        read(name)
    assert str(caught.value).endswith(f"; did you mean {meant}?")


def test_only_one_folder_at_a_level_is_meant(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "x" / name).mkdir(parents=True)
        (folder / "x" / name / "here").touch()
    assert folder_nearby(folder / "x", lambda path: (path / "here").exists()) is None
    (folder / "x" / "b" / "here").unlink()
    assert folder_nearby(folder / "x", lambda path: (path / "here").exists()) == folder / "x" / "a"
    assert named_like(folder / "nowhere" / "x", lambda entry: True) is None
