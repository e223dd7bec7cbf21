"""A qualification finds what is not as it should be, leaves evidence of it, and runs refer to it."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from attack import Attack
from made_checks import made
from made_results import results_of
from sealed_folders import write_key

import pathorob_checks
from pathorob_checks.cli import main
from pathorob_checks.criteria.verdict import RULES, Verdict
from pathorob_checks.errors import EvidenceError, ResultsError, SettingsError
from pathorob_checks.evidence import deviations, qualified, signing
from pathorob_checks.evidence.attestation import write_attestation
from pathorob_checks.evidence.environment import environment_document
from pathorob_checks.evidence.manifest import MANIFEST, manifest_of, seal
from pathorob_checks.evidence.provenance import code_facts
from pathorob_checks.evidence.qualification import (
    golden,
    installation,
    interruption,
    published,
    qualifying,
    verification,
    worked_examples,
)
from pathorob_checks.evidence.qualification.record import REQUIRED, Finding, outcome_of, recorded
from pathorob_checks.evidence.report_rows import seal_in_words
from pathorob_checks.evidence.validation import contents
from pathorob_checks.evidence.verification import verify
from pathorob_checks.metrics.published import published_scores

UPSTREAM = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "golden" / "upstream.json").read_text(encoding="utf-8")
)
CODE = golden.frozen()


def of_verdict(findings: list[Finding], verdict: Verdict) -> list[str]:
    return [one.id for one in findings if one.verdict is verdict]


# --- metrics on golden data -----------------------------------------------------------------------------


def test_the_frozen_values_of_the_reference_are_those_that_it_printed() -> None:
    compared = 0
    for case in CODE["cases"]:
        if not any(value["origin"].startswith("reference") for value in case["values"]):
            continue
        upstream = UPSTREAM[case["metric"]][case["cohort"]]
        summary = upstream["summary"]
        known = {
            "value": summary.get("robustness_index", summary.get("clustering_score_mean")),
            "balanced-accuracy": summary.get("balanced_accuracy"),
            "deviation": summary.get("clustering_score_mean_std"),
            "K": summary.get("Ks", {}).get("max"),
        }
        if case["metric"] == "performance_drop":
            known["first-id"] = golden.first_drop(upstream["ID_test_accuracies"])
            known["first-ood"] = golden.first_drop(upstream["OOD_test_accuracies"])
        for value in case["values"]:
            if value["origin"].startswith("reference"):
                assert value["value"] == pytest.approx(known[value["quantity"]], abs=1e-12), value
                compared += 1
    assert compared == 15


def only(monkeypatch: pytest.MonkeyPatch, **change: float) -> list[Finding]:
    """The smallest case, with some frozen values changed."""
    case = copy.deepcopy(CODE["cases"][1])
    for value in case["values"]:
        value["value"] += change.get(value["quantity"].replace("-", "_"), 0.0)
    monkeypatch.setattr(golden, "frozen", lambda: {"cases": [case]})
    return list(golden.golden())


def test_the_golden_values_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = only(monkeypatch)
    assert len(of_verdict(findings, Verdict.PASS)) == 5
    assert of_verdict(findings, Verdict.SKIPPED) == ["performance/time/robustness_index-tcga"]


def test_a_frozen_value_that_is_changed_fails_the_qualification(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = only(monkeypatch, value=2e-6)
    assert of_verdict(findings, Verdict.FAIL) == ["operation/golden/robustness_index-tcga/value"]
    assert outcome_of(recorded(findings)) == "fail"


def test_a_metric_that_raises_is_an_error_and_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(golden._METRICS, "robustness_index", lambda case: 1 / 0)  # type: ignore[arg-type]
    findings = only(monkeypatch)
    assert not of_verdict(findings, Verdict.PASS)
    assert len(of_verdict(findings, Verdict.ERROR)) == 5
    assert "ZeroDivisionError" in findings[0].note


def test_every_metric_of_this_package_has_a_golden_case() -> None:
    from pathorob_checks.metrics.registry import _own_metrics

    computations = {one.computation.name for one in _own_metrics().values()}
    assert computations == {case["metric"] for case in CODE["cases"]}


# --- rules ----------------------------------------------------------------------------------------------


def test_every_rule_and_verdict_has_a_worked_example_and_all_agree() -> None:
    examples = worked_examples.examples()
    assert {one["rule"] for one in examples["verdict"]} == set(RULES)
    assert {one["expected"] for one in examples["verdict"]} == {"pass", "fail", "inconclusive", "error"}
    assert {one["expected"] for one in examples["release"]} == {"pass", "fail", "inconclusive", "error"}
    findings = list(worked_examples.worked_examples())
    assert len({one.id for one in findings}) == len(findings) == 25
    assert {one.verdict for one in findings} == {Verdict.PASS}


def test_a_rule_that_judges_otherwise_fails_its_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "three-way", Verdict.PASS)  # type: ignore[index]
    failed = of_verdict(list(worked_examples.worked_examples()), Verdict.FAIL)
    assert len(failed) == 4
    assert all("three-way" in name or "drift" in name for name in failed)


# --- installation ---------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the package with metadata and RECORD, as an installer leaves it."""
    source = Path(pathorob_checks.__file__).parent
    target = tmp_path / "site"
    shutil.copytree(source, target / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    info = target / "pathorob_checks-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: pathorob-checks\nVersion: 0.1.0\nRequires-Dist: numpy>=2.0\n"
        "Requires-Dist: scipy>=999\n"
    )
    lines = []
    for path in sorted((target / source.name).rglob("*")):
        if path.is_file():
            digest = (
                base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
            )
            lines.append(f'"{path.relative_to(target).as_posix()}",sha256={digest},{path.stat().st_size}')
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]))
    return target


def problems(site: Path) -> dict[str, str] | None:
    return installation.record_problems(metadata.Distribution.at(site / "pathorob_checks-0.1.0.dist-info"))


def test_a_file_that_was_tampered_with_or_is_missing_is_named(installed: Path) -> None:
    assert problems(installed) == {}
    with (installed / "pathorob_checks" / "criteria" / "verdict.py").open("a") as file:
        file.write("# a byte more\n")
    (installed / "pathorob_checks" / "wording.py").unlink()
    assert problems(installed) == {
        "pathorob_checks/criteria/verdict.py": "was changed",
        "pathorob_checks/wording.py": "is missing",
    }


def examined(site: Path) -> dict[str, list[str]]:
    """Verdict and actual value of each record, as the copy says of itself."""
    program = (
        "import json\n"
        "from pathorob_checks.evidence.qualification.installation import installation\n"
        "print(json.dumps({one.id: [one.verdict, one.actual, one.note] for one in installation()}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        cwd=site,
    )
    records: dict[str, list[str]] = json.loads(run.stdout)
    return records


def test_an_installed_package_says_what_is_wrong_with_itself(installed: Path) -> None:
    records = examined(installed)
    assert records["installation/package/code"][:2] == ["pass", "unchanged"]
    assert records["installation/files/pathorob-checks"][:2] == ["pass", 0.0]
    assert records["installation/requirements/numpy"][0] == "pass"
    assert records["installation/requirements/scipy"][0] == "fail"
    (installed / "pathorob_checks" / "added.py").write_text("")
    with (installed / "pathorob_checks" / "criteria" / "verdict.py").open("a") as file:
        file.write("# a byte more\n")
    records = examined(installed)
    assert records["installation/package/code"][:2] == [
        "fail",
        "changed: 'pathorob_checks/added.py' is not in RECORD",
    ]
    assert records["installation/files/pathorob-checks"][:2] == ["fail", 1.0]
    assert "verdict.py was changed" in records["installation/files/pathorob-checks"][2]


# --- kill and resume ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_extraction_that_is_killed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = list(interruption.interruption())
    assert [one.verdict for one in findings] == [Verdict.PASS] * 2, findings


def test_an_extraction_that_loses_its_shards_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "_killed_and_resumed", lambda: (0, False))
    assert [one.verdict for one in interruption.interruption()] == [Verdict.FAIL] * 2


# --- published scores -----------------------------------------------------------------------------------


def test_published_scores_are_compared_only_with_embeddings() -> None:
    [finding] = published.published(None, None)
    assert finding.verdict is Verdict.SKIPPED
    assert "--embeddings=DIR" in finding.note


def test_an_fm_that_is_not_published_is_refused_with_the_nearest_name() -> None:
    published.refuse_unknown("Virchow2")
    with pytest.raises(SettingsError, match="did you mean 'Virchow2'"):
        published.refuse_unknown("virchow-2")


class _Results:
    def __init__(self, checks: list[Any]) -> None:
        self.checks = checks


def test_values_are_held_against_the_published_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    score = next(one for one in published_scores("robustness_index") if one.fm == "Virchow2")
    for shift, verdict in ((0.004, Verdict.PASS), (0.006, Verdict.FAIL)):
        check = made("robustness_index").model_copy(
            update={"cohort": score.cohort, "value": score.value + shift}
        )
        monkeypatch.setattr(published, "evaluate", lambda *_, c=check, **__: _Results([c]))
        records = {one.id: one for one in published.published(tmp_path, "Virchow2", (score.cohort,))}
        assert records[f"performance/published/robustness_index-{score.cohort}"].verdict is verdict
        assert records[f"performance/published/clustering_score-{score.cohort}"].verdict is Verdict.ERROR


# --- the folder -----------------------------------------------------------------------------------------


def made_qualification(
    monkeypatch: pytest.MonkeyPatch, actual: float = 1.0, responsible: str | None = None
) -> Any:
    """With a record of every kind, one of them as given."""
    findings = [Finding(id=f"{start}/one", what="one", expected=1.0, actual=1.0) for start in REQUIRED]
    findings[4] = findings[4].model_copy(update={"actual": actual, "note": "a | b"})
    monkeypatch.setattr(qualifying, "STEPS", {"made": lambda: iter(findings[:-1])})
    monkeypatch.setattr(qualifying, "published", lambda *_: iter(findings[-1:]))
    return qualifying.qualify(responsible=responsible)


def written(
    monkeypatch: pytest.MonkeyPatch, folder: Path, actual: float = 1.0, responsible: str | None = None
) -> Path:
    qualification = made_qualification(monkeypatch, actual, responsible)
    qualifying.write(qualifying.begun_folder(folder), qualification)
    return folder


def change_records(folder: Path, change: Callable[[Any], object]) -> None:
    """What a forger does: other records, and a manifest that fits them."""
    document = json.loads((folder / "qualification.json").read_text())
    change(document)
    content = json.dumps(document).encode()
    (folder / "qualification.json").write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["qualification.json"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=2) + "\n")


def test_the_folder_verifies_and_tells_its_outcome(monkeypatch, tmp_path, capsys) -> None:
    folder = written(monkeypatch, tmp_path / "q")
    assert main(["verify", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "PASS: 10 records as expected" in out
    assert "INTACT, NOT SIGNED" in out
    failed = verify(written(monkeypatch, tmp_path / "failed", actual=2.0))
    assert failed.is_intact
    assert failed.summary.startswith("FAIL: 1 record ('operation/demo/one') of 10")


def test_every_changed_byte_is_found(monkeypatch, tmp_path) -> None:
    folder = written(monkeypatch, tmp_path / "q")
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for place in range(0, len(content), max(1, len(content) // 40)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert not verify(folder).is_intact, (path.name, place)
        path.write_bytes(content)
    assert verify(folder).is_intact


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda one: one["records"][4].update(verdict="pass"), "does not follow from its record"),
        (lambda one: one.update(outcome="pass"), "the outcome pass does not follow"),
        (lambda one: one["records"].pop(0), "it has no record of installation/package"),
        (lambda one: one.update(responsible="Somebody else"), "names another person than qualification.json"),
        (lambda one: one.update(responsible=None), "names another person than qualification.json"),
    ],
)
def test_records_that_are_made_up_are_found_although_the_manifest_fits(
    change, sentence, monkeypatch, tmp_path
) -> None:
    folder = written(monkeypatch, tmp_path / "q", actual=2.0, responsible="Jane Doe")
    change_records(folder, change)
    assert any(sentence in finding for finding in verify(folder).findings)


def test_who_answers_for_a_qualification_stands_in_records_page_and_the_run_that_refers_to_it(
    monkeypatch, tmp_path, capsys
) -> None:
    made_qualification(monkeypatch)
    folder = tmp_path / "q"
    name = "Jane | Doe, validation engineer at root"
    assert main(["qualify", "--out", str(folder), "--by", name]) == 0
    assert json.loads((folder / "qualification.json").read_text())["responsible"] == name
    page = (folder / "qualification.md").read_text()
    assert "Responsible, as stated: Jane \\| Doe, validation engineer at root\n" in page
    assert qualified.qualification_facts(folder)["responsible"] == name
    nobody = written(monkeypatch, tmp_path / "nobody")
    assert "nobody was named" in (nobody / "qualification.md").read_text()
    assert qualified.qualification_facts(nobody)["responsible"] is None
    capsys.readouterr()
    assert main(["qualify", "--by", name]) == 1
    assert "--by was given without --out; name a folder with --out=DIR." in capsys.readouterr().err


def test_a_qualification_of_schema_1_can_still_be_verified_and_referred_to(monkeypatch, tmp_path) -> None:
    folder = written(monkeypatch, tmp_path / "q")

    def older(document: Any) -> None:
        document["schema"] = "pathorob-checks/qualification/1"
        del document["responsible"]
        for one in document["records"]:
            one["finding"]["found"] = one["finding"].pop("actual")

    change_records(folder, older)
    page = (folder / "qualification.md").read_text()
    qualification = verification.qualification_of((folder / "qualification.json").read_bytes())
    assert qualification.records[0].finding.actual == 1.0
    page = page.replace("Responsible, as stated: nobody was named\n", "").replace("| actual |", "| found |")
    (folder / "qualification.md").write_text(page)
    listing = seal(
        folder, "qualification", outcome=qualification.outcome, digest=qualification.code,
        plan_digest=qualification.plan_digest,
    ).read_bytes()  # fmt: skip
    statement = verification.statement_about(listing, manifest_of(listing, folder), qualification)
    write_attestation(folder, statement, None)
    assert verify(folder).findings == ()
    assert qualified.qualification_facts(folder)["outcome"] == "pass"


@pytest.mark.parametrize(
    "content", [b"[]", b'{"schema": "pathorob-checks/qualification/1"}', b'{"schema": 1}']
)
def test_what_is_no_document_of_a_qualification_is_refused(content: bytes) -> None:
    with pytest.raises(ResultsError, match=r"qualification\.json is damaged"):
        verification.qualification_of(content)


def test_a_qualification_that_was_interrupted_never_verifies(tmp_path) -> None:
    qualifying.begun_folder(tmp_path / "q")
    assert "incomplete" in verify(tmp_path / "q").findings[0]
    with pytest.raises(EvidenceError, match="did not finish"):
        qualifying.begun_folder(tmp_path / "q")


def test_the_command_ends_with_one_where_something_is_not_as_expected(monkeypatch, tmp_path, capsys) -> None:
    made_qualification(monkeypatch, actual=2.0)
    assert main(["qualify", "--out", str(tmp_path / "q")]) == 1
    out = capsys.readouterr().out
    assert "FAIL operation/demo/one: one: expected 1, found 2 (a | b)" in out
    assert verify(tmp_path / "q").is_intact
    made_qualification(monkeypatch)
    assert main(["qualify"]) == 0


# --- runs that refer to it ------------------------------------------------------------------------------


def test_a_run_refers_to_a_qualification_by_its_digest(monkeypatch, tmp_path) -> None:
    folder = written(monkeypatch, tmp_path / "q")
    facts = qualified.qualification_facts(folder)
    assert facts["manifest_sha256"] == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert (facts["outcome"], facts["is_of_this_code"]) == ("pass", True)
    assert facts["code"] == code_facts()["sha256"]
    assert _deviations(facts) == ()
    (folder / "qualification.md").write_text("changed")
    with pytest.raises(EvidenceError, match=r"is not intact .*qualification.md was changed"):
        qualified.qualification_facts(folder)


def test_the_key_that_signed_a_qualification_is_named(monkeypatch, tmp_path) -> None:
    key = tmp_path / "key.pem"
    public = signing.public_key_of(write_key(key))
    folder = qualifying.begun_folder(tmp_path / "q")
    qualifying.write(folder, made_qualification(monkeypatch), signing.signer_of(str(key)))
    facts = qualified.qualification_facts(tmp_path / "q")
    assert seal_in_words(facts) == f"SIGNED by {public.keyid} (not verified by the run)"
    unsigned = qualified.qualification_facts(written(monkeypatch, tmp_path / "unsigned"))
    assert seal_in_words(unsigned) == "NOT SIGNED"
    del facts["sealed_by"]
    assert seal_in_words(facts) == "not recorded"


def test_one_that_failed_or_is_of_other_code_is_a_deviation(monkeypatch, tmp_path) -> None:
    facts = qualified.qualification_facts(written(monkeypatch, tmp_path / "q", actual=2.0))
    assert _deviations(facts) == ("The qualification that the run refers to did not pass (fail).",)
    [other] = _deviations(facts | {"outcome": "pass", "is_of_this_code": False})
    assert "is of other code" in other


def test_another_machine_or_package_than_the_qualified_one_is_a_deviation(monkeypatch, tmp_path) -> None:
    folder = written(monkeypatch, tmp_path / "q")
    assert qualified.qualification_facts(folder)["differences"] == []
    now = environment_document()
    gpu = {"devices": [{"name": "a GPU"}], "driver": "1", "cuda": "12"}
    other = {
        **now,
        "processor": {**now["processor"], "model": "another processor"},
        "gpu": gpu,
        "packages": [{**one, "version": "0"} if one["name"] == "numpy" else one for one in now["packages"]],
    }
    monkeypatch.setattr(qualified, "environment_document", lambda: other)
    facts = qualified.qualification_facts(folder)
    sentences = _deviations(facts)
    assert [sentence.split(": ")[1] for sentence in sentences] == [
        "processor", "GPUs", "GPU driver", "CUDA", "numpy",
    ]  # fmt: skip
    assert "numpy: " + metadata.version("numpy") + ", now 0" in sentences[-1]
    assert all(sentence.startswith("Not as when the installation was qualified: ") for sentence in sentences)


def _deviations(facts: dict[str, Any]) -> tuple[str, ...]:
    return tuple(deviations._qualification(results_of([made("robustness_index")]), {"qualification": facts}))


def test_a_real_run_names_the_qualification_and_refuses_one_that_is_not_intact(
    monkeypatch, small_gate: Attack
) -> None:
    folder = written(monkeypatch, small_gate.folder / "q", actual=2.0, responsible="Jane <b>Doe</b>")
    options = ("--fm-evidence=ev", "--fm-qualification=q")
    done = small_gate.run(*options, fm="embeddings:good")
    assert done.code == 0, done.output
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    for name in ("protocol.json", "provenance.json"):
        facts = json.loads((small_gate.folder / "ev" / name).read_text())["qualification"]
        assert (facts["manifest_sha256"], facts["outcome"]) == (digest, "fail")
    assert "did not pass (fail)" in (small_gate.folder / "ev" / "deviations.md").read_text()
    assert verify(small_gate.folder / "ev").is_intact
    (folder / "environment.json").write_text("{}")
    facts = json.loads((small_gate.folder / "ev" / "protocol.json").read_text())["qualification"]
    report = (small_gate.folder / "ev" / "report.html").read_text()
    section = report.partition('<section aria-labelledby="evidence">')[2].partition("</section>")[0]
    assert "<dt>qualification</dt><dd>FAIL of pathorob-checks " in section
    assert f"<dt>qualified on</dt><dd>{facts['created']}</dd>" in section
    name = "Jane &lt;b&gt;Doe&lt;/b&gt;"
    assert f"<dt>responsible for the qualification, as stated</dt><dd>{name}</dd>" in section
    assert f"<dd>{facts['code']} (the code of this run)</dd>" in section
    assert f"manifest.json</dt><dd>{facts['manifest_sha256']}</dd>" in section
    page = (small_gate.folder / "ev" / "signature-page.html").read_text()
    assert f"FAIL, made on {facts['created']} by {name}, signature: NOT SIGNED, " in page
    assert "<dt>signature of the qualification</dt><dd>NOT SIGNED</dd>" in section
    refused = small_gate.run("--fm-evidence=ev2", "--fm-qualification=q", fm="embeddings:good")
    assert refused.code != 0
    assert "the qualification" in refused.output
    assert "is not intact (environment.json was changed" in " ".join(refused.output.split())
    assert not (small_gate.folder / "ev2").exists()


def test_a_project_may_name_its_qualification_once_and_for_all(monkeypatch, small_gate: Attack) -> None:
    written(monkeypatch, small_gate.folder / "q")
    small_gate.write("pytest.ini", "[pytest]\nfm_qualification = q\n")
    done = small_gate.run(fm="embeddings:good")
    assert done.code == 0, done.output
    typed = small_gate.run("--fm-qualification=q", fm="embeddings:good")
    assert "--fm-qualification is given without --fm-evidence" in typed.output


# --- templates of plan and report -----------------------------------------------------------------------


def test_the_templates_name_every_clause_and_mark_every_open_place(tmp_path, capsys) -> None:
    assert main(["qualify", "--templates", str(tmp_path / "t")]) == 0
    content = contents()
    for document in ("plan", "report"):
        fields = sum(len(one.get("fields", ())) for one in content[document]["sections"])
        for form in ("md", "html"):
            text = (tmp_path / "t" / f"validation-{document}.{form}").read_text()
            assert text.count("FILL IN") == fields + len(content["clauses"])
            assert "claims no compliance" in text
            assert (form == "html") is ("<code>pathorob-checks " in text)
    assert main(["qualify", "--templates", str(tmp_path / "t")]) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_clauses_name_files_that_the_folders_have() -> None:
    from pathorob_checks.evidence.layout import FILES
    from pathorob_checks.evidence.manifest import SIGNATURES, SIGNATURES_PAGE
    from pathorob_checks.evidence.qualification.verification import FILES as QUALIFICATION_FILES

    for clause in contents()["clauses"]:
        for name in clause["files"]:
            own = QUALIFICATION_FILES if name.endswith("(of the qualification)") else FILES
            assert name.removesuffix(" (of the qualification)") in {*own, SIGNATURES, SIGNATURES_PAGE}, name


@pytest.mark.slow
def test_the_whole_qualification_of_this_machine(tmp_path) -> None:
    qualification = qualifying.qualify()
    not_met = {
        one.finding.id for one in qualification.records if one.verdict in (Verdict.FAIL, Verdict.ERROR)
    }
    assert not_met <= {"installation/package/code"}  # a checkout may have changes


@pytest.mark.parametrize("form", ["md", "html"])
def test_the_templates_know_signatures_of_people_and_21_cfr_part_11(form: str) -> None:
    from pathorob_checks.evidence.validation import template

    plan = template("plan", form)
    for text in ("21 CFR Part 11", "signatures.intoto.jsonl", "--role=ROLE", "Known anomalies", "misuse"):
        assert text in plan
