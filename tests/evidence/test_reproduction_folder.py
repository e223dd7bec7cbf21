"""The folder of a reproduction: it names what was reproduced and by whom, and can be signed and verified."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_checks import made
from made_results import results_of
from sealed_folders import write_key

from pathorob_checks.cli import main
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.manifest import MANIFEST, manifest_of, seal
from pathorob_checks.evidence.provenance import code_facts
from pathorob_checks.evidence.qualified import qualification_facts
from pathorob_checks.evidence.reproduction.rerun import Archived, archived
from pathorob_checks.evidence.reproduction.verification import FILES
from pathorob_checks.evidence.reproduction.writing import refuse_later_evidence, write
from pathorob_checks.evidence.verification import verify
from pathorob_checks.report.forms import FORMS
from pathorob_checks.results.results import Results
from pathorob_checks.version import version

JANE = "Jane Doe | validation engineer"


@pytest.fixture
def archive(tmp_path: Path) -> Archived:
    """Evidence with one check, as far as a reproduction keeps it."""
    results = Results.model_validate(results_of([made("robustness_index")]).model_dump(by_alias=True))
    folder = tmp_path / "evidence"
    folder.mkdir()
    results_file = FORMS["json"].render(results).encode()
    (folder / "results.json").write_bytes(results_file)
    terms = results.environment.criteria
    listing = seal(
        folder, "run", outcome=results.outcome, digest=terms.digest, plan_digest=terms.plan_digest,
        created=results.created,
    ).read_bytes()  # fmt: skip
    return Archived(protocol={}, results=results, manifest=listing, results_file=results_file)


def written(archive: Archived, path: Path, results: Results | None = None) -> Path:
    folder = EvidenceFolder(path, "--out")
    folder.begin()
    write(folder, archive, results or archive.results, responsible=JANE)
    return path


@pytest.fixture
def folder(archive: Archived, tmp_path: Path) -> Path:
    return written(archive, tmp_path / "again")


def test_it_names_the_evidence_the_person_the_code_the_machine_and_the_time(
    archive: Archived, folder: Path
) -> None:
    record = json.loads((folder / "reproduction.json").read_text())
    assert record["responsible"] == JANE
    assert (record["version"], record["code"]) == (version(), code_facts()["sha256"])
    assert record["evidence"]["manifest_sha256"] == hashlib.sha256(archive.manifest).hexdigest()
    assert record["evidence"]["digest"] == archive.results.environment.criteria.digest
    assert record["created"] > record["evidence"]["created"]
    assert "processor" in json.loads((folder / "environment.json").read_text())
    assert {path.name for path in folder.iterdir()} == {*FILES, MANIFEST, "attestation.intoto.jsonl"}


def test_it_verifies_and_says_what_it_is_about(archive: Archived, folder: Path) -> None:
    verification = verify(folder)
    assert (verification.findings, verification.signed) == ((), "NOT SIGNED")
    assert verification.summary == "REPRODUCED: 2 values: 2 equal"
    digest = hashlib.sha256(archive.manifest).hexdigest()
    assert verification.about[0] == f"the evidence with SHA-256 of its manifest.json {digest}"


def test_the_page_tells_the_same_and_no_name_becomes_markup(folder: Path) -> None:
    page = (folder / "reproduction.md").read_text()
    assert "REPRODUCED: 2 values: 2 equal\n" in page
    assert re.search(r"Responsible, as stated: Jane Doe .* validation engineer\n", page)
    assert "Doe | validation" not in page
    assert page.count("\n| equal | ") == 2


def test_it_can_be_signed_by_people(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = write_key(tmp_path / "jane.pem")
    who = ("--name=Jane Doe", "--role=validation engineer", "--meaning=authorship")
    assert main(["sign", str(folder), f"--key={tmp_path / 'jane.pem'}", *who]) == 0
    assert main(["verify", str(folder), f"--key={public}", "--require-signature"]) == 0
    assert "INTACT, SIGNED" in capsys.readouterr().out


def test_every_changed_byte_and_every_missing_file_is_noticed(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for place in range(0, len(content), max(1, len(content) // 10)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert not verify(folder).is_intact, (path.name, place)
        path.unlink()
        assert not verify(folder).is_intact, path.name
        path.write_bytes(content)
    assert verify(folder).is_intact


def other_value(document: Any) -> None:
    document["pairs"][1]["now"] = 0.123


FORGERIES: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "another value": ("reproduction.json", other_value, "tells another comparison than follows"),
    "another person": (
        "reproduction.json",
        lambda one: one.update(responsible="John Roe"),
        "reproduction.md tells another evidence, person or comparison",
    ),
    "another evidence": (
        "reproduction.json",
        lambda one: one["evidence"].update(manifest_sha256="0" * 64),
        "names another evidence than evidence-manifest.json",
    ),
    "other results of the evidence": (
        "evidence-results.json",
        lambda one: one["checks"][0].update(owner="x"),
        "is not the file that evidence-manifest.json lists",
    ),
    "no record": ("reproduction.json", lambda one: one.clear(), "reproduction.json is damaged"),
    "a time before the evidence": (
        "reproduction.json",
        lambda one: one.update(created="2001-01-01T00:00:00Z"),
        "have times in another order",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_record_that_is_made_up_is_noticed_although_the_manifest_fits(forgery: str, folder: Path) -> None:
    name, change, sentence = FORGERIES[forgery]
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_text(json.dumps(document, indent=2) + "\n")
    manifest = manifest_of((folder / MANIFEST).read_bytes(), folder)
    seal(
        folder, "reproduction", outcome=manifest.outcome, digest=manifest.digest,
        plan_digest=manifest.plan_digest, created=manifest.created,
    )  # fmt: skip
    findings = verify(folder).findings
    assert any(sentence in finding for finding in findings), findings


def test_values_that_differ_are_evidence_too(archive: Archived, tmp_path: Path) -> None:
    [check] = archive.results.checks
    other = check.model_copy(update={"value": (check.value or 0.0) + 0.01})
    results = archive.results.model_copy(update={"checks": (other,)})
    verification = verify(written(archive, tmp_path / "other", results))
    assert verification.summary.startswith("NOT REPRODUCED: 2 values: 1 equal, 1 different")


def test_evidence_from_the_future_is_refused_before_anything_runs(archive: Archived) -> None:
    refuse_later_evidence(archive)
    created = json.loads(archive.manifest)["created"]
    later = archive.manifest.replace(created.encode(), b"2999-01-01T00:00:00Z")
    with pytest.raises(EvidenceError, match="later than the clock of this machine; correct the clock"):
        refuse_later_evidence(dataclasses.replace(archive, manifest=later))


def test_it_is_neither_reproduced_nor_a_qualification(folder: Path) -> None:
    with pytest.raises(EvidenceError, match="is a reproduction and not a run"):
        archived(folder)
    with pytest.raises(EvidenceError, match="is the evidence of a reproduction and no qualification"):
        qualification_facts(folder)


def test_nothing_is_written_into_the_evidence(
    archive: Archived,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pathorob_checks.commands import reproduce

    evidence = Path(shutil.copytree(folder, folder.parent / "of-a-run"))
    monkeypatch.setattr("pathorob_checks.evidence.reproduction.rerun.archived", lambda _folder: archive)
    monkeypatch.setattr(reproduce, "_run_again", lambda *_: pytest.fail("it was run"))
    assert main(["reproduce", str(evidence), "--out", str(evidence / "again")]) == 1
    assert "is within the evidence, which may not be changed" in capsys.readouterr().err
    assert verify(evidence).is_intact
    assert main(["reproduce", str(evidence), "--by", "Jane"]) == 1
    assert "--by was given without --out; name a folder with --out=DIR." in capsys.readouterr().err
