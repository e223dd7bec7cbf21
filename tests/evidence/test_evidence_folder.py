"""When a folder is used, refused, left incomplete, and finished."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.layout import FILES
from pathorob_checks.evidence.manifest import ATTESTATION, INCOMPLETE, MANIFEST


def filled(path: Path) -> EvidenceFolder:
    folder = EvidenceFolder(path)
    folder.begin()
    for name in set(FILES) - {MANIFEST, ATTESTATION}:
        folder.write(name, name)
    return folder


@pytest.mark.parametrize("exists", [True, False])
def test_a_new_or_empty_folder_is_incomplete_from_the_start(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    if exists:
        path.mkdir(parents=True)
    EvidenceFolder(path).begin()
    assert [one.name for one in path.iterdir()] == [INCOMPLETE]
    assert "is no evidence" in (path / INCOMPLETE).read_text()


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([INCOMPLETE, "protocol.json"], "is that of a run that did not finish; name a new folder"),
        ([MANIFEST, "protocol.json"], "is that of another run, and two runs are never mixed; name a new"),
        (["thesis.docx"], "is not empty (1 entry ('thesis.docx')); name a new folder"),
    ],
)
def test_two_runs_are_never_mixed_and_nothing_of_others_is_touched(
    names: list[str], problem: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    for step in (EvidenceFolder(tmp_path).refuse_unusable, EvidenceFolder(tmp_path).begin):
        with pytest.raises(EvidenceError) as caught:
            step()
        assert problem in str(caught.value)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == dict.fromkeys(names, "x")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "ev").write_text("x")
    with pytest.raises(EvidenceError, match="ev is a file; name a new folder"):
        EvidenceFolder(tmp_path / "ev").refuse_unusable()
    with pytest.raises(EvidenceError, match="cannot be written"):
        EvidenceFolder(tmp_path / "ev" / "deeper").begin()


def test_of_two_runs_that_begin_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = EvidenceFolder(tmp_path / "ev"), EvidenceFolder(tmp_path / "ev")
    look = EvidenceFolder.refuse_unusable

    def look_before_the_other_begins(self: EvidenceFolder) -> None:
        monkeypatch.setattr(EvidenceFolder, "refuse_unusable", look)
        look(self)
        second.begin()

    monkeypatch.setattr(EvidenceFolder, "refuse_unusable", look_before_the_other_begins)
    with pytest.raises(EvidenceError, match="of a run that did not finish"):
        first.begin()


@pytest.mark.parametrize("exists", [True, False])
def test_a_run_that_does_not_start_leaves_nothing(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "ev"
    if exists:
        path.mkdir()
    folder = EvidenceFolder(path)
    folder.begin()
    folder.write("protocol.json", "{}")
    folder.withdraw()
    assert path.exists() == exists
    assert not exists or not list(path.iterdir())


@pytest.mark.parametrize(
    ("change", "problem"),
    [("lacks", "lacks 1 file ('report.html')"), ("has", "has what no run writes: 1 file ('more.txt')")],
)
def test_a_folder_with_other_files_than_a_run_writes_is_never_finished(
    change: str, problem: str, tmp_path: Path
) -> None:
    folder = filled(tmp_path / "ev")
    if change == "lacks":
        (folder.path / "report.html").unlink()
    else:
        (folder.path / "more.txt").touch()
    with pytest.raises(EvidenceError) as caught, folder.completing():
        raise AssertionError
    assert problem in str(caught.value)
    assert (folder.path / INCOMPLETE).exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_stops_the_manifest_leaves_the_folder_incomplete(error: BaseException, tmp_path: Path) -> None:
    folder = filled(tmp_path / "ev")

    def write_half() -> None:
        with folder.completing():
            (folder.path / INCOMPLETE).unlink()
            (folder.path / MANIFEST).write_text("{}")
            raise error

    with pytest.raises((EvidenceError, KeyboardInterrupt)):
        write_half()
    assert (folder.path / INCOMPLETE).exists()
    assert not (folder.path / MANIFEST).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EvidenceError, match="Permission denied"):
        EvidenceFolder(tmp_path / "ev").refuse_unusable()
    tmp_path.chmod(0o700)
