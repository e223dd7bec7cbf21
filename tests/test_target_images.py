"""The target of a stain normalization, given as an image or a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pathorob_checks.cohorts import demo
from pathorob_checks.embeddings.target_images import target_digest, target_images
from pathorob_checks.errors import CohortError, MethodError
from pathorob_checks.evaluation.inputs import Inputs
from pathorob_checks.evaluation.observer import Observer
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import Subject, subjects_of
from pathorob_checks.methods.reinhard import Reinhard

FM = "demo:color-sensitive"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patches of the demo cohort as PNG, and a file that is no image."""
    cohort = demo.load()
    target = tmp_path / "target"
    target.mkdir()
    for row in (0, 7):
        cohort.read_image(row).save(target / f"{row}.png")
    (target / "notes.txt").write_text("of the reference laboratory")
    return target


def inputs(target: Path | None, method: str = "reinhard") -> Inputs:
    settings = Settings(fms=(FM,), cohorts=("demo",), methods=(method,), method_target=target, device="cpu")
    return Inputs(settings, subjects_of(settings), Observer())


@pytest.mark.slow
def test_an_image_and_a_folder_are_targets(folder: Path) -> None:
    read = [np.asarray(Image.open(folder / name).convert("RGB")) for name in ("0.png", "7.png")]
    for image, expected in zip(target_images(folder), read, strict=True):
        np.testing.assert_array_equal(image, expected)
    (one,) = target_images(folder / "7.png")
    np.testing.assert_array_equal(one, read[1])
    subject = Subject("color-sensitive", "reinhard", "demo")
    given, by_rule = (inputs(path).prepared(subject).identity["image_method"] for path in (folder, None))
    assert given == {"name": "reinhard", "version": 1, "target": Reinhard().fit(read).target}
    assert by_rule != given


def test_the_digest_of_a_run_covers_the_target(folder: Path) -> None:
    def digest(target: Path | None) -> str:
        return inputs(target).subjects.method_target or ""

    assert digest(folder) == target_digest(folder)
    assert len({digest(folder), digest(folder / "0.png"), digest(None)}) == 3
    before = digest(folder)
    Image.new("RGB", (8, 8), (150, 60, 120)).save(folder / "9.png")
    assert digest(folder) != before


def test_what_is_no_target_is_refused_before_anything_is_measured(tmp_path: Path, folder: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(MethodError, match="is no image and no folder with images; give --fm-"):
            inputs(path)
    with pytest.raises(MethodError, match="no method normalizes images"):
        inputs(folder, "combat")
    with pytest.raises(CohortError, match=r"notes\.txt"):
        list(target_images(folder / "notes.txt"))
