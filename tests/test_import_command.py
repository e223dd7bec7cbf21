"""From features on disk to a verdict by two commands; what the import writes, and what it leaves alone."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shlex
from pathlib import Path

import feature_files
import numpy as np
import pandas as pd
import pytest
from feature_files import some_slides, write_manifest
from terminal import Terminal

from pathorob_checks import import_features
from pathorob_checks.embeddings.imported import sha256_of
from pathorob_checks.errors import CacheError, EmbeddingError

SLIDES = some_slides(slides=5, patches=4, dim=12, outside=2)
CRITERIA = """schema = "pathorob-checks/criteria/1"
name = "ours"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.6
rationale = "A test."
"""


@pytest.fixture
def folder(terminal: Terminal) -> Path:
    (terminal.folder / "features_uni").mkdir()
    feature_files.hdf5(terminal.folder / "features_uni", SLIDES)
    write_manifest(terminal.folder / "slides.csv", SLIDES)
    return terminal.folder


def importing(terminal: Terminal, *more: str) -> str:
    run = terminal.command("import", "features_uni", "--manifest", "slides.csv", "--out", "uni", *more)
    assert run.code == 0, run.output
    return run.output


def test_what_the_cohort_lacks_is_told_and_left_out_of_the_next_command(
    terminal: Terminal, folder: Path
) -> None:
    output = importing(terminal, "--cohort=lyon")
    [lack] = [line for line in output.splitlines() if line.startswith("warning: training schedule: ")]
    assert "normal in " in lack
    assert 'do without them by -k "not performance_drop" on the command line' in lack
    command = shlex.split(output.splitlines()[-1].removeprefix("gate them: pytest "))
    assert terminal.pytest(*command[:-2]).code == 4  # refused: the default criteria cannot be measured
    run = terminal.pytest(*command, "--fm-json=results.json")
    assert {check["metric"] for check in terminal.results()["checks"]} == {
        "robustness_index",
        "clustering_score",
    }, run.output


def test_a_cohort_that_lacks_nothing_has_no_warning_of_it(terminal: Terminal) -> None:
    (terminal.folder / "features_uni").mkdir()
    slides = some_slides(slides=10, patches=6, dim=12, outside=2)
    feature_files.hdf5(terminal.folder / "features_uni", slides)
    write_manifest(terminal.folder / "slides.csv", slides)
    output = importing(terminal, "--cohort=lyon")
    assert "cannot be measured" not in output
    assert "training schedule" not in output
    assert output.splitlines()[-1] == "gate them: pytest --fm=embeddings:uni --fm-cohort=uni/lyon"


def test_two_commands_lead_from_features_to_a_verdict(terminal: Terminal, folder: Path) -> None:
    output = importing(terminal, "--cohort=lyon", "--patches-per-slide=3")
    first, last = output.splitlines()[0], output.splitlines()[-1]
    assert first == (
        "uni/lyon: 72 embeddings of 12 numbers, 24 slides, 3 medical centers, 2 biological classes; from "
        "the "
        "format hdf5, extractor uni_v1"
    )
    assert last == 'gate them: pytest --fm=embeddings:uni --fm-cohort=uni/lyon -k "not performance_drop"'
    command = shlex.split(last.removeprefix("gate them: pytest "))
    (folder / "ours.toml").write_text(CRITERIA)
    run = terminal.pytest(*command, "--fm-criteria=ours.toml", "--fm-json=results.json")
    assert run.code == 0, run.output
    assert run.headline.startswith("PASS: ")
    flat = re.sub(r"\s+", " ", run.output)
    note = "The embeddings were imported from 24 files of TRIDENT or CLAM; they name the extractor uni_v1."
    assert note in flat
    [measured] = terminal.results()["runs"]
    assert note in measured["fm"]["notes"]
    origin = json.loads((folder / "uni/lyon/import.json").read_text())
    assert measured["fm"]["extraction"]["import"] == {
        "format": "hdf5",
        "tools": "TRIDENT or CLAM",
        "extractor": "uni_v1",
        "manifest": sha256_of(folder / "slides.csv"),
        "patches_per_slide": 3,
        "seed": 0,
        "version": origin["version"],
        "files": 24,
        "sources": hashlib.sha256(
            json.dumps(origin["sources"], sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest(),
    }
    assert origin["sources"] == {
        f"{slide.name}.h5": sha256_of(folder / "features_uni" / f"{slide.name}.h5") for slide in SLIDES
    }
    assert measured["cohort"]["patches"] == 72


def test_what_was_changed_after_the_import_has_no_origin(terminal: Terminal, folder: Path) -> None:
    importing(terminal)
    path = folder / "uni" / "cohort" / "embeddings.npy"
    np.save(path, np.load(path) + np.float32(0.5))
    run = terminal.pytest(
        "--fm=embeddings:uni", "--fm-cohort=uni/cohort", "-k", "robustness_index", "--fm-json=results.json"
    )
    [measured] = terminal.results()["runs"]
    assert "import" not in measured["fm"]["extraction"]
    flat = re.sub(r"\s+", " ", run.output)
    assert (
        "'embeddings.npy' was changed after the import that 'import.json' describes, which is ignored."
        in flat
    )
    (path.parent / "import.json").write_text("{}")
    run = terminal.pytest("--fm=embeddings:uni", "--fm-cohort=uni/cohort", "-k", "robustness_index")
    assert "'uni/cohort/import.json' is not what an import writes" in re.sub(r"\s+", " ", run.output)
    assert run.code != 0


def test_an_import_replaces_what_an_import_wrote_and_nothing_else(terminal: Terminal, folder: Path) -> None:
    importing(terminal)
    importing(terminal, "--patches-per-slide=2")
    target = folder / "uni" / "cohort"
    assert len(pd.read_csv(target / "manifest.csv")) == 48
    assert sorted(path.name for path in (folder / "uni").iterdir()) == ["cohort"]
    (target / "notes.txt").write_text("mine")
    before = sha256_of(target / "embeddings.npy")
    for name in ("notes.txt", "import.json"):
        if name == "import.json":
            (target / "notes.txt").unlink()
            (target / name).unlink()
        with pytest.raises(CacheError, match="holds what no import has written"):
            import_features(folder / "features_uni", folder / "slides.csv", folder / "uni")
        assert sha256_of(target / "embeddings.npy") == before
    (folder / "uni" / "link").symlink_to(target)
    (folder / "uni" / "file").write_text("mine")
    for name in ("link", "file"):
        with pytest.raises(CacheError, match="is not a folder"):
            import_features(folder / "features_uni", folder / "slides.csv", folder / "uni", cohort=name)


def test_a_new_import_keeps_the_settings_of_the_cohort(terminal: Terminal, folder: Path) -> None:
    importing(terminal)
    target = folder / "uni" / "cohort"
    (target / "cohort.toml").write_text("k = 5\n")
    importing(terminal, "--patches-per-slide=2")
    assert (target / "cohort.toml").read_text() == "k = 5\n"
    assert len(pd.read_csv(target / "manifest.csv")) == 48


def test_a_failed_import_leaves_the_earlier_one(terminal: Terminal, folder: Path) -> None:
    importing(terminal)
    target = folder / "uni" / "cohort"
    before = {path.name: sha256_of(path) for path in target.iterdir()}
    feature_files.hdf5(folder / "features_uni", [*SLIDES[:-1]])

    def stop(items: object, total: int, text: str, /) -> object:
        if text == "reading features":
            raise KeyboardInterrupt
        return items

    with pytest.raises(KeyboardInterrupt):
        import_features(folder / "features_uni", folder / "slides.csv", folder / "uni", progress=stop)  # type: ignore[arg-type]
    assert {path.name: sha256_of(path) for path in target.iterdir()} == before
    assert [path.name for path in (folder / "uni").iterdir()] == ["cohort"]


@pytest.mark.parametrize(
    ("patches", "dim", "reason"), [(4, 11, "has changed while it was read"), (3, 12, "cannot be read: ")]
)
def test_a_file_that_changes_meanwhile_is_noticed(folder: Path, patches: int, dim: int, reason: str) -> None:
    def change(items: object, total: int, text: str, /) -> object:
        if text == "reading features":
            feature_files.hdf5(
                folder / "features_uni", some_slides(slides=5, patches=patches, dim=dim, outside=2)
            )
        return items

    with pytest.raises(EmbeddingError, match=reason):
        import_features(folder / "features_uni", folder / "slides.csv", folder / "uni", progress=change)  # type: ignore[arg-type]
    assert not (folder / "uni").exists()


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_import(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing(terminal)
    before = {path.name: sha256_of(path) for path in (folder / "uni" / "cohort").iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    run = terminal.command("import", "features_uni", "--manifest", "slides.csv", "--out", "uni")
    assert run.code == 1
    assert "'uni/cohort' cannot be written: No space left on device; give a writable folder" in run.output
    assert {path.name: sha256_of(path) for path in (folder / "uni" / "cohort").iterdir()} == before
    assert [path.name for path in (folder / "uni").iterdir()] == ["cohort"]


def test_a_place_that_cannot_be_written_is_one_sentence(terminal: Terminal, folder: Path) -> None:
    (folder / "uni").write_text("a file")
    run = terminal.command("import", "features_uni", "--manifest=slides.csv", "--out=uni/more")
    assert run.code == 1
    assert run.output == "pathorob-checks: 'uni' is not a folder; name another one with --out.\n"


def test_the_help_names_every_format(terminal: Terminal) -> None:
    from pathorob_checks.importing.formats import FORMATS

    run = terminal.command("import", "--help")
    assert run.code == 0
    assert all(name in run.output for name in FORMATS)
