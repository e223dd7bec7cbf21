"""A repair that is saved and loaded repairs to the bit as before; what is not one is refused."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from test_repairs import REPAIRS, each, fitted, patches, seeds

from pathorob_checks.errors import MethodError
from pathorob_checks.methods import registry, saving
from pathorob_checks.methods.centering import Center
from pathorob_checks.methods.combat import CombatClass
from pathorob_checks.methods.coral import Coral
from pathorob_checks.methods.fitted import FittedRepair

examples = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@each
@given(seed=seeds)
@examples
def test_a_loaded_repair_gives_equal_bytes(kind: type[FittedRepair], tmp_path: Path, seed: int) -> None:
    x, centers, classes = patches(seed)
    repair = fitted(kind, x, centers, classes)
    saving.save(repair, tmp_path / "new" / "folder")
    again = saving.load(tmp_path / "new" / "folder")
    assert type(again) is kind
    assert (again.centers, again.dimension) == (repair.centers, repair.dimension)
    assert again.settings == repair.settings
    some = [center if row % 3 else "elsewhere" for row, center in enumerate(centers)]
    assert again.transform(x, centers=some).tobytes() == repair.transform(x, centers=some).tobytes()
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "repair.json",
        "repair.safetensors",
    }


@each
def test_saving_again_gives_equal_files(kind: type[FittedRepair], tmp_path: Path) -> None:
    x, centers, classes = patches()
    saving.save(fitted(kind, x, centers, classes), tmp_path / "a")
    saving.save(saving.load(tmp_path / "a"), tmp_path / "b")
    for name in ("repair.json", "repair.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_settings_and_classes_are_kept(tmp_path: Path) -> None:
    x, centers, classes = patches()
    saving.save(Coral(shrinkage=0.25).fit(x, centers=centers), tmp_path)
    assert saving.load(tmp_path).settings == {"shrinkage": 0.25}
    repair = CombatClass().fit(x, centers=centers, classes=classes)
    saving.save(repair, tmp_path)
    again = saving.load(tmp_path)
    assert isinstance(again, CombatClass)
    assert again.classes == ("normal", "tumor")
    repaired = again.transform(x, centers=centers, classes=classes)
    assert repaired.tobytes() == repair.transform(x, centers=centers, classes=classes).tobytes()


def test_the_description(tmp_path: Path) -> None:
    x, centers, _ = patches()
    saving.save(Coral().fit(x, centers=centers), tmp_path)
    described = json.loads((tmp_path / "repair.json").read_text())
    assert len(described.pop("sha256")) == 64
    assert described == {
        "schema": "pathorob-checks/repair/1",
        "name": "coral",
        "version": 1,
        "settings": {"shrinkage": None},
        "centers": ["center 0", "center 1", "center 2"],
        "dimension": 6,
    }


def test_a_repair_before_its_fit_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="method 'center' is not fitted; call fit first"):
        saving.save(Center(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    x, centers, _ = patches()
    (tmp_path / "file").touch()
    with pytest.raises(MethodError, match=r"cannot be written to .*file \(File exists\); choose a folder"):
        saving.save(Center().fit(x, centers=centers), tmp_path / "file")


# --- what is refused ----------------------------------------------------------------------------------

Damage = Callable[[Path], None]


def described(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads((folder / "repair.json").read_text()) | changes
        (folder / "repair.json").write_text(json.dumps(content))

    return damage


def without(key: str) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads((folder / "repair.json").read_text())
        del content[key]
        (folder / "repair.json").write_text(json.dumps(content))

    return damage


def tensors(content: Callable[[dict[str, Any]], dict[str, Any] | bytes]) -> Damage:
    """Other arrays with the digest that belongs to them."""

    def damage(folder: Path) -> None:
        import hashlib

        made = content(safetensors.numpy.load_file(folder / "repair.safetensors"))
        data = made if isinstance(made, bytes) else safetensors.numpy.save(made)
        (folder / "repair.safetensors").write_bytes(data)
        described(sha256=hashlib.sha256(data).hexdigest())(folder)

    return damage


def text(content: str | bytes) -> Damage:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / "repair.json").write_bytes(data) and None


def removed(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def flipped(folder: Path) -> None:
    data = bytearray((folder / "repair.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "repair.safetensors").write_bytes(data)


def piped(folder: Path) -> None:
    (folder / "repair.safetensors").unlink()
    os.mkfifo(folder / "repair.safetensors")


def sparse(folder: Path) -> None:
    with (folder / "repair.json").open("r+b") as stream:
        stream.truncate(1 << 40)


DAMAGED: dict[str, tuple[Damage, str]] = {
    "no description": (removed("repair.json"), "repair.json cannot be read (No such file or directory);"),
    "no tensors": (removed("repair.safetensors"), "safetensors cannot be read (No such file or directory);"),
    "a pipe": (piped, "safetensors cannot be read (it is not a regular file);"),
    "huge": (sparse, "repair.json cannot be read (it is larger than 4,194,304 bytes);"),
    "no JSON": (text("{"), "does not describe a repair (it is no JSON);"),
    "no UTF-8": (text(b"\xff\xfe\xfd"), "does not describe a repair (it is no JSON);"),
    "deep": (text("[" * 100_000), "does not describe a repair (it is no JSON);"),
    "a list": (text("[]"), "does not describe a repair (its content:"),
    "digits": (text("9" * 5_000), "does not describe a repair (it is no JSON);"),
    "another schema": (described(schema="pathorob-checks/repair/2"), "does not describe a repair (schema:"),
    "a key more": (described(more=1), "does not describe a repair (more:"),
    "a key less": (without("centers"), "does not describe a repair (centers: Field required"),
    "name number": (described(name=1), "does not describe a repair (name:"),
    "version text": (described(version="1"), "does not describe a repair (version:"),
    "digest short": (described(sha256="ab"), "does not describe a repair (sha256:"),
    "unknown method": (described(name="combt"), "names the method 'combt', which is no repair"),
    "other version": (described(version=2), "is of version 2 of 'coral', here it is version 1;"),
    "unknown setting": (described(settings={"share": 1}), "has settings that 'coral' does not take ("),
    "wrong setting": (described(settings={"shrinkage": 7}), "method 'coral': the shrinkage 7 is no share;"),
    "another method": (described(name="center", settings={}), "method 'center': its arrays are matrices,"),
    "center more": (described(centers=["a", "b", "c", "d"]), "'means' has the shape (3, 6), which does not"),
    "center twice": (described(centers=["a", "a", "b"]), "two or more different names in order;"),
    "center order": (described(centers=["c", "a", "b"]), "two or more different names in order;"),
    "dimension": (described(dimension=7), "states the dimension 7, its arrays have 6;"),
    "flipped bit": (flipped, "is damaged or belongs to another repair: its SHA-256 is not the stated one;"),
    "a pickle": (tensors(lambda _: pickle.dumps({"mean": 1})), "repair.safetensors cannot be read ("),
    "empty": (tensors(lambda _: b""), "repair.safetensors cannot be read ("),
    "array less": (tensors(lambda all_: {"mean": all_["mean"]}), "its arrays are mean, not matrices, mean,"),
    "array type": (
        tensors(lambda all_: all_ | {"mean": all_["mean"].astype(np.float32)}),
        "its array 'mean' is float32 with 1 axes",
    ),
    "array shape": (
        tensors(lambda all_: all_ | {"mean": np.zeros(5)}),
        "its array 'mean' has the shape (5,), which does not fit the others;",
    ),
    "array nan": (
        tensors(lambda all_: all_ | {"mean": np.full(6, np.nan)}),
        "its array 'mean' has values that are not finite;",
    ),
}


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_or_foreign_folder_is_refused_in_one_sentence(damaged: str, tmp_path: Path) -> None:
    x, centers, _ = patches()
    saving.save(Coral().fit(x, centers=centers), tmp_path)
    saving.load(tmp_path)
    damage, sentence = DAMAGED[damaged]
    damage(tmp_path)
    with pytest.raises(MethodError) as caught:
        saving.load(tmp_path)
    assert sentence in str(caught.value)
    assert str(caught.value).count(";") == 1
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("names", [b"", b"{}", b"[1, 2]", b'["a"]', b'["b", "a"]', b'["a", "a"]', b"\xff"])
def test_class_names_that_do_not_fit_are_refused(names: bytes, tmp_path: Path) -> None:
    x, centers, classes = patches()
    saving.save(CombatClass().fit(x, centers=centers, classes=classes), tmp_path)
    tensors(lambda all_: all_ | {"classes": np.frombuffer(names, dtype=np.uint8)})(tmp_path)
    with pytest.raises(MethodError, match="its biological classes do not fit their effects;"):
        saving.load(tmp_path)


def test_a_method_of_images_is_no_repair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, centers, _ = patches()
    saving.save(Center().fit(x, centers=centers), tmp_path)
    monkeypatch.setattr(saving, "methods", lambda: {"center": str})
    with pytest.raises(MethodError, match="names the method 'center', which is no repair of embeddings"):
        saving.load(tmp_path)


def test_saving_over_another_repair_replaces_it_or_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, centers, _ = patches()
    saving.save(Coral().fit(x, centers=centers), tmp_path)
    write = saving.write_atomically

    def interrupted(path: Path, content: bytes) -> None:
        if path.name == "repair.json":
            raise KeyboardInterrupt
        write(path, content)

    center = Center().fit(x, centers=centers)
    monkeypatch.setattr(saving, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saving.save(center, tmp_path)
    with pytest.raises(MethodError, match="is damaged or belongs to another repair"):
        saving.load(tmp_path)
    monkeypatch.setattr(saving, "write_atomically", write)
    saving.save(center, tmp_path)
    assert isinstance(saving.load(tmp_path), Center)


def test_all_methods_that_are_fitted_are_saved_in_these_tests() -> None:
    assert {one.name for one in REPAIRS} <= set(registry.methods())
    assert len(REPAIRS) == 8
