"""What is read of a file within a limit, whatever its size is said to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pathorob_checks.files import read_limited


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_a_file_within_the_limit_is_read_whole(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"\r\n\x1a" * 4)
    os.truncate(tmp_path / "file", size)
    assert read_limited(tmp_path / "file", 10) == (b"\r\n\x1a" * 4)[:size]


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234567")
    with pytest.raises(OSError, match="it is larger than 6 bytes"):
        read_limited(tmp_path / "file", 6)


@pytest.mark.parametrize("said", [0, 3, 500])
def test_a_file_of_another_size_than_is_said_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    """It grows or shrinks meanwhile, or is one of those that the system makes when they are read."""
    (tmp_path / "file").write_bytes(b"1234567")
    status = list((tmp_path / "file").stat())
    status[6] = said
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result(status))
    assert read_limited(tmp_path / "file", 100) == b"1234567"
    with pytest.raises(OSError, match="it is larger than 6 bytes"):
        read_limited(tmp_path / "file", 6)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        read_limited(tmp_path, 100)
