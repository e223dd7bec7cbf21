"""A folder in a ZIP file: verified like the folder, and nothing else comes of a ZIP file."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sealed_folders import Sealed

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import inventory
from pathorob_checks.evidence.archive import unpacked
from pathorob_checks.evidence.manifest import MANIFEST
from pathorob_checks.evidence.verification import verify


def zipped(sealed: Sealed, below: str = "") -> Path:
    """The folder as a ZIP file beside it."""
    path = sealed.folder.parent / "evidence.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sealed.files():
            archive.write(sealed / name, below + name)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("below", ["", "evidence/"])
def test_a_zip_file_of_an_intact_folder_is_intact(below: str, sealed: Sealed) -> None:
    verification = verify(zipped(sealed, below))
    assert verification.findings == ()
    assert verification.summary.startswith("FAIL: ")


def test_a_zip_file_of_a_changed_folder_is_not(sealed: Sealed) -> None:
    sealed.replace("log.txt", "e", "f")
    [clause] = verify(zipped(sealed)).findings
    assert clause.startswith("log.txt was changed")


def test_nothing_is_left_of_a_zip_file(sealed: Sealed) -> None:
    path = zipped(sealed)
    with unpacked(path) as folder:
        assert (folder / MANIFEST).is_file()
    assert not folder.exists()


def entry(name: str, content: str = "x", kind: int = 0) -> Callable[[zipfile.ZipFile], None]:
    def write(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = kind << 16
        archive.writestr(info, content)

    return write


def twice(archive: zipfile.ZipFile) -> None:
    for name in ("manifest.json", "MANIFEST.json"):
        archive.writestr(name, "x")


WAYS: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "climbing": (entry("../planted"), "which no evidence folder has"),
    "climbing later": (entry("a/../../planted"), "which no evidence folder has"),
    "absolute": (entry("/tmp/planted"), "which no evidence folder has"),
    "of Windows": (entry("..\\planted"), "which no evidence folder has"),
    "of a drive": (entry("C:planted"), "which no evidence folder has"),
    "hidden": (entry(".planted"), "which no evidence folder has"),
    "a link": (entry("log.txt", "/etc/passwd", stat.S_IFLNK | 0o777), "is not a regular file"),
    "a device": (entry("log.txt", "", stat.S_IFCHR | 0o666), "is not a regular file"),
    "one name in two cases": (twice, "holds MANIFEST.json twice"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_odd_name_is_refused_before_anything_is_written_there(way: str, tmp_path: Path) -> None:
    write, expected = WAYS[way]
    inside = tmp_path / "in"
    inside.mkdir()
    path = inside / "evidence.zip"
    with zipfile.ZipFile(path, "w") as archive:
        write(archive)
    [clause] = verify(path).findings
    assert expected in clause
    assert [one.name for one in tmp_path.rglob("*planted*")] == []


def test_a_zip_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(3_000_000))
        archive.writestr("b.txt", bytes(3_000_000))
    assert path.stat().st_size < 20_000
    with unpacked(path, most=6_000_000) as folder:
        assert sum(file.stat().st_size for file in folder.iterdir()) == 6_000_000
    with pytest.raises(EvidenceError, match=r"unpacks to more than 5\.0 MB"), unpacked(path, most=5_000_000):
        pass


def test_a_zip_file_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathorob_checks.evidence.archive.MOST_FILES", 3)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", "")
    [clause] = verify(tmp_path / "many.zip").findings
    assert "holds more than 3 files" in clause


def test_what_is_no_zip_file_is_said_in_a_sentence(sealed: Sealed) -> None:
    whole = zipped(sealed).read_bytes()
    path = sealed.folder.parent / "other.zip"
    changed = bytearray(whole)
    changed[200] ^= 1  # within the first file
    for content in (b"", b"x" * 100, whole[:-30], whole[: len(whole) // 2], bytes(changed)):
        path.write_bytes(content)
        [clause] = verify(path).findings
        assert "other.zip" in clause
        assert "\n" not in clause


def test_a_folder_of_too_many_files_ends(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MOST_FILES", 20)
    for number in range(30):
        (sealed / f"more{number}").touch()
    findings = verify(sealed.folder).findings
    assert "the folder holds more than 20 files" in findings


def test_folders_in_folders_end(sealed: Sealed) -> None:
    deep = sealed.folder.joinpath(*["a"] * 30)
    deep.mkdir(parents=True)
    (deep / "x").touch()
    assert any("is not a regular file" in clause for clause in verify(sealed.folder).findings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_a_finding(sealed: Sealed) -> None:
    (sealed / "log.txt").chmod(0)
    assert verify(sealed.folder).findings


def test_a_file_beside_the_folder_is_named(sealed: Sealed) -> None:
    path = zipped(sealed, "evidence/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "x")
    [finding] = verify(path).findings
    assert finding.startswith(f"{path} holds README.txt beside the folder evidence; ")


def test_a_zip_file_without_a_manifest_says_so(tmp_path: Path) -> None:
    path = tmp_path / "none.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.txt", "x")
    [finding] = verify(path).findings
    assert finding.startswith(f"{path} holds no manifest.json; ")
