"""What was done to an evidence folder after its run is found, and said in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sealed_folders import Sealed, write_key

from pathorob_checks.evidence.environment import requirements_text
from pathorob_checks.evidence.layout import FILES
from pathorob_checks.evidence.manifest import ATTESTATION, INCOMPLETE, MANIFEST

ELSEWHERE = 1 << 40
MOST_FLIPS = 8_000  # of one file


def findings(sealed: Sealed, *keys: Path) -> tuple[str, ...]:
    """What is wrong; each is a clause on one line."""
    clauses = sealed.verify(*keys).findings
    assert all(clause and "\n" not in clause and not clause.endswith(".") for clause in clauses)
    return clauses


@pytest.mark.parametrize("name", ["good", "bad"])
def test_a_folder_that_a_run_left_is_intact(name: str, sealed: Sealed, other: Sealed) -> None:
    verification = {"good": other, "bad": sealed}[name].verify()
    assert verification.findings == ()
    assert verification.summary.startswith({"good": "PASS: ", "bad": "FAIL: "}[name])
    assert verification.verified[0] == "15 files by SHA-256, and none was added"
    assert "NOT SIGNED" in verification.unverified[0]


def link_out(sealed: Sealed) -> None:
    moved = shutil.move(sealed / "log.txt", sealed.folder.parent / "log.txt")
    (sealed / "log.txt").symlink_to(moved)


def grow(sealed: Sealed) -> None:
    os.truncate(sealed / "report.html", ELSEWHERE)


def unlist(sealed: Sealed) -> None:
    (sealed / "deviations.md").unlink()
    sealed.edit_manifest(lambda manifest: manifest["files"].pop("deviations.md"))


def list_as(name: str) -> Callable[[Sealed], object]:
    def change(sealed: Sealed) -> None:
        facts = {"sha256": "0" * 64, "bytes": 1}
        sealed.edit_manifest(lambda manifest: manifest["files"].update({name: facts}))

    return change


def say(**changes: object) -> Callable[[Sealed], object]:
    return lambda sealed: sealed.edit_manifest(lambda manifest: manifest.update(changes))


DAMAGED = "manifest.json is damaged"
WAYS: dict[str, tuple[Callable[[Sealed], object], str]] = {
    "a byte": (lambda s: s.replace("deviations.md", "e", "f"), "deviations.md was changed: its SHA-256"),
    "emptied": (lambda s: (s / "log.txt").write_bytes(b""), "log.txt was changed: it has 0 bytes"),
    "added": (lambda s: (s / "note.txt").touch(), "note.txt was added"),
    "a hidden file added": (lambda s: (s / ".note").touch(), ".note has a name that no file"),
    "a name with a line break": (lambda s: (s / "a\nb").touch(), "a\nb has a name that no file"),
    "a folder added": (lambda s: (s / "more").mkdir(), "more/ is an empty folder"),
    "a file in a folder added": (
        lambda s: ((s / "more").mkdir(), (s / "more" / "x").touch()), "more/x was added"
    ),
    "removed": (lambda s: (s / "junit.xml").unlink(), "junit.xml is missing"),
    "renamed": (lambda s: (s / "log.txt").rename(s / "log2.txt"), "log.txt is missing"),
    "removed from the manifest too": (unlist, "manifest.json does not list deviations.md"),
    "a link out": (link_out, "log.txt is a symbolic link"),
    "a link to nothing": (lambda s: (s / "x").symlink_to("nowhere"), "x is a symbolic link"),
    "a pipe": (lambda s: os.mkfifo(s / "x"), "x is not a regular file"),
    "grown to a terabyte": (grow, "report.html was changed: it has 1,099,511,627,776 bytes"),
    "incomplete": (lambda s: (s / INCOMPLETE).touch(), "is incomplete: its run did not end"),
    "no manifest": (lambda s: (s / MANIFEST).unlink(), "has no manifest.json"),
    "a manifest that is a link": (
        lambda s: ((s / MANIFEST).rename(s / "m"), (s / MANIFEST).symlink_to("m")),
        "manifest.json cannot be read",
    ),
    "no attestation": (lambda s: (s / ATTESTATION).unlink(), f"{ATTESTATION} is missing"),
    "a manifest that lists itself": (list_as(MANIFEST), DAMAGED),
    "a manifest that lists the attestation": (list_as(ATTESTATION), DAMAGED),
    "a name that climbs": (list_as("../log.txt"), DAMAGED),
    "an absolute name": (list_as("/etc/passwd"), DAMAGED),
    "a name of Windows": (list_as("C:\\log.txt"), DAMAGED),
    "a look-alike": (list_as("l\u043eg.txt"), DAMAGED),
    "a future form": (say(schema="pathorob-checks/evidence/2"), "has the form pathorob-checks/evidence/2"),
    "another form": (say(schema="pathorob-checks/results/2"), DAMAGED),
    "another key": (say(note="x"), DAMAGED),
    "another outcome": (say(outcome="pass"), ATTESTATION),
    "another time": (say(created="2020-01-01T00:00:00Z"), ATTESTATION),
    "another version": (say(tool={"name": "pathorob-checks", "version": "9"}), ATTESTATION),
    "spaces in the manifest": (lambda s: s.replace(MANIFEST, "{\n", "{\n "), DAMAGED),
    "a key twice": (lambda s: s.replace(MANIFEST, '  "digest"', '  "digest": "",\n  "digest"'), DAMAGED),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_was_changed_is_not_intact(way: str, sealed: Sealed) -> None:
    change, expected = WAYS[way]
    change(sealed)
    verification = sealed.verify()
    assert any(expected in clause for clause in verification.findings), verification.findings
    assert not verification.is_intact
    assert verification.summary == ""


def test_a_name_that_is_not_utf_8_is_found(sealed: Sealed) -> None:
    (Path(os.fsdecode(os.fsencode(sealed.folder) + b"/\xff\xfe"))).touch()
    [clause] = sealed.verify().findings
    assert "has a name that no file" in clause


def test_a_hard_link_is_what_its_bytes_are(sealed: Sealed) -> None:
    os.link(sealed / "log.txt", sealed.folder.parent / "elsewhere.txt")
    assert sealed.verify().is_intact
    with (sealed.folder.parent / "elsewhere.txt").open("ab") as file:
        file.write(b" ")
    assert "log.txt was changed" in findings(sealed)[0]


def test_a_file_of_another_run_is_found(sealed: Sealed, other: Sealed) -> None:
    differing = [name for name in FILES if (sealed / name).read_bytes() != (other / name).read_bytes()]
    of_one_machine = {"environment.json", "requirements.txt"}  # with the same packages
    assert set(FILES) - of_one_machine <= set(differing)
    for name in differing:
        own = (sealed / name).read_bytes()
        shutil.copy(other / name, sealed / name)
        assert findings(sealed), name
        (sealed / name).write_bytes(own)
    assert sealed.verify().is_intact


def test_manifest_and_attestation_of_another_run_are_found(sealed: Sealed, other: Sealed) -> None:
    for name in (MANIFEST, ATTESTATION):
        shutil.copy(other / name, sealed / name)
    assert len(findings(sealed)) > 5


def flipped(sealed: Sealed, name: str, places: range, *keys: Path) -> list[int]:
    """The places in which a changed byte was not found."""
    content = (sealed / name).read_bytes()
    unseen = []
    for place in places:
        other = bytes([content[place] ^ (1 << place % 8)])
        (sealed / name).write_bytes(content[:place] + other + content[place + 1 :])
        if sealed.verify(*keys).is_intact:
            unseen.append(place)
    (sealed / name).write_bytes(content)
    return unseen


@pytest.fixture
def signed(sealed: Sealed, tmp_path: Path) -> tuple[Sealed, Path]:
    """A folder that was signed, and the public key."""
    public = write_key(tmp_path / "key.pem")
    sealed.reseal(tmp_path / "key.pem")
    assert sealed.verify(public).is_intact
    return sealed, public


@pytest.mark.parametrize("name", list(FILES))
def test_changed_bytes_are_found(name: str, signed: tuple[Sealed, Path]) -> None:
    sealed, public = signed
    size = (sealed / name).stat().st_size
    step = max(1, size // 60)
    assert flipped(sealed, name, range(0, size, step), public) == []
    assert sealed.verify(public).is_intact


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".json", ".jsonl"))])
def test_every_single_byte_that_is_changed_is_found(name: str, sealed: Sealed, tmp_path: Path) -> None:
    os.truncate(sealed / "bom.cdx.json", 2000)  # only its digest counts, so that less of it is enough
    sealed.edit("environment.json", lambda content: content.update(packages=content["packages"][:5]))
    environment = json.loads((sealed / "environment.json").read_text())
    (sealed / "requirements.txt").write_text(requirements_text(environment))
    public = write_key(tmp_path / "key.pem")
    sealed.reseal(tmp_path / "key.pem")
    assert sealed.verify(public).is_intact
    size = (sealed / name).stat().st_size
    step = size // MOST_FLIPS + 1  # 1 for all but the largest, of which every third or so is enough here
    assert flipped(sealed, name, range(0, size, step), public) == []


@pytest.mark.slow
def test_bytes_of_an_attestation_without_signature_are_found_too(sealed: Sealed) -> None:
    size = (sealed / ATTESTATION).stat().st_size
    assert flipped(sealed, ATTESTATION, range(0, size, 11)) == []


def test_the_command_says_all_that_is_wrong_and_ends_with_1(sealed: Sealed, lone_terminal: object) -> None:
    (sealed / "log.txt").unlink()
    sealed.replace("deviations.md", "e", "f")
    run = lone_terminal.command("verify", str(sealed.folder))  # type: ignore[attr-defined]
    assert run.code == 1
    assert run.output.splitlines() == [
        "wrong: deviations.md was changed: its SHA-256 is not that of manifest.json",
        "wrong: log.txt is missing",
        "NOT INTACT: 2 findings; do not rely on this folder",
    ]


def test_a_ci_can_ask_for_a_signature(signed: tuple[Sealed, Path], lone_terminal: object) -> None:
    sealed, public = signed
    command = ("verify", str(sealed.folder), "--require-signature")
    run = lone_terminal.command(*command)  # type: ignore[attr-defined]
    assert (run.code, run.output.splitlines()[-1]) == (
        1,
        "NOT ACCEPTED: no signature was verified, and --require-signature asks for one",
    )
    assert lone_terminal.command(*command, f"--key={public}").code == 0  # type: ignore[attr-defined]


def test_a_mistyped_folder_is_not_called_forged(lone_terminal: object) -> None:
    run = lone_terminal.command("verify", "nothing")  # type: ignore[attr-defined]
    assert run.code == 1
    assert "there is no nothing; give an evidence folder" in run.output
    assert "NOT INTACT" not in run.output


@pytest.mark.slow
def test_the_command_tells_what_was_verified_and_what_not(sealed: Sealed, lone_terminal: object) -> None:
    run = lone_terminal.command("verify", str(sealed.folder))  # type: ignore[attr-defined]
    assert run.code == 0
    lines = run.output.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "the run", *["about"] * 5, "verified", "verified", "not verified", "INTACT, NOT SIGNED",
    ]  # fmt: skip
    assert lines[1].startswith("about: FM bad (embeddings:")
    assert lines[2].startswith("about: cohort coh, digest ")
    manifest = (sealed / MANIFEST).read_bytes()
    assert lines[5] == f"about: SHA-256 of manifest.json {hashlib.sha256(manifest).hexdigest()}"
    assert json.loads((sealed / "results.json").read_text())["summary"] in lines[0]
