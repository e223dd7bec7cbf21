"""Folders that were changed and then given new digests by this package itself, as anybody can do."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sealed_folders import Sealed, statement_in, write_key

from pathorob_checks.canonical import digest_of
from pathorob_checks.evidence.manifest import ATTESTATION, MANIFEST
from pathorob_checks.results.results import Results

Change = Callable[[Sealed], object]


def in_check(**changes: Any) -> Change:
    return lambda sealed: sealed.edit("results.json", lambda content: content["checks"][0].update(changes))


def in_results(**changes: Any) -> Change:
    return lambda sealed: sealed.edit("results.json", lambda content: content.update(changes))


def in_text(name: str, old: str, new: str) -> Change:
    return lambda sealed: sealed.replace(name, old, new)


def verdict_turned(content: dict[str, Any]) -> None:
    """Verdict, release and outcome that agree with each other, against value and bound."""
    content["checks"][0]["verdict"] = "pass"
    content["releases"][0].update(
        verdict="pass", decisive=[], sentence="PASS for these medical centers: 1 of 1 criterion met"
    )
    content.update(outcome="pass", summary=content["summary"].replace("FAIL", "PASS"))


def bound_lowered(content: dict[str, Any]) -> None:
    check = content["checks"][0]
    check.update(bound=-0.5, verdict="pass", reason="0.000 meets >= -0.500")


def protocol_loosened(sealed: Sealed) -> None:
    """The bound lowered in the protocol too, with digests that fit."""

    def change(protocol: dict[str, Any]) -> None:
        protocol["terms"]["criteria"]["criteria"][0]["at_least"] = 0.1
        protocol["planned"][0]["bound"] = 0.1
        ids = [one["id"] for one in (*protocol["planned"], *protocol["planned_integrity"])]
        protocol["digest"] = digest_of(protocol["terms"])
        protocol["plan_digest"] = digest_of({"terms": protocol["digest"], "checks": ids})

    sealed.edit("protocol.json", change)


def plan_shortened(protocol: dict[str, Any]) -> None:
    protocol["planned_integrity"].pop()


def other_patches(content: dict[str, Any]) -> None:
    content["runs"][0]["cohort"]["digest"] = "0" * 64


def value_moved(content: dict[str, Any]) -> None:
    content["checks"][0]["value"] += 1e-6


def one_check_less(content: dict[str, Any]) -> None:
    content["integrity"].pop()


JUNIT, REPORT, PAGE, TABLE = "junit.xml", "report.html", "traceability.md", "traceability.csv"
BADGE = '<td><span class="badge fail"><span aria-hidden="true">✗</span> FAIL</span>'
FORGERIES: dict[str, tuple[Change, str]] = {
    "a verdict": (in_check(verdict="pass"), "the verdict is pass, but"),
    "a value": (lambda s: s.edit("results.json", value_moved), "results.json contradicts itself"),
    "an interval": (in_check(interval=[0.6, 0.7]), "results.json contradicts itself"),
    "all verdicts": (lambda s: s.edit("results.json", verdict_turned), "the verdict is pass, but"),
    "an outcome": (in_results(outcome="pass"), "its outcome is pass, and its records say fail"),
    "a bound": (lambda s: s.edit("results.json", bound_lowered), "other criteria than protocol.json"),
    "a rule": (in_check(rule="point"), "other criteria than protocol.json"),
    "a criterion that is not required": (in_check(required=False), "other criteria than protocol.json"),
    "no check": (in_results(checks=[]), "it counts 1 measured criteria and holds 0"),
    "an integrity check less": (lambda s: s.edit("results.json", one_check_less), "json contradicts itself"),
    "other patches": (lambda s: s.edit("results.json", other_patches), "about other patches than protocol"),
    "an earlier end": (in_results(created="2020-01-01T00:00:00Z"), "fixed after the run ended"),
    "a later end": (in_results(created="2199-01-01T00:00:00Z"), "was written before the run ended"),
    "terms": (in_text("protocol.json", '"at_least": 0.5', '"at_least": 0.1'), "is not that of its terms"),
    "terms with their digest": (protocol_loosened, "have different digests of terms or plan"),
    "a plan": (lambda s: s.edit("protocol.json", plan_shortened), "is not that of its plan"),
    "no protocol": (lambda s: (s / "protocol.json").write_text("[]"), "protocol.json is not a protocol"),
    "an empty protocol": (lambda s: (s / "protocol.json").write_text("{}"), "is not a protocol"),
    "a page of the protocol": (
        lambda s: (s / "protocol.md").write_text("# Protocol\n"), "protocol.md does not name the digests"
    ),
    "a verdict in JUnit": (
        in_text(JUNIT, 'verdict" value="fail"', 'verdict" value="pass"'), "junit.xml does not tell"
    ),
    "a bound in JUnit": (in_text(JUNIT, 'bound" value="0.5"', 'bound" value="0.1"'), "junit.xml does not"),
    "a failure taken from JUnit": (
        lambda s: (s.replace(JUNIT, "<failure", "<system-out"), s.replace(JUNIT, "</failure", "</system-out"),
                   s.replace(JUNIT, 'failures="1"', 'failures="0"')),
        "end well, against its own verdict",
    ),
    "a count in JUnit": (in_text(JUNIT, 'failures="1"', 'failures="0"'), "has 0 failures and holds 1"),
    "a summary in JUnit": (in_text(JUNIT, 'value="FAIL: ', 'value="PASS: '), "tells another outcome"),
    "an empty JUnit": (lambda s: (s / JUNIT).write_text("<testsuites/>"), "junit.xml does not tell"),
    "no JUnit": (lambda s: (s / JUNIT).write_text("{}"), "junit.xml is not a JUnit file"),
    "a verdict in the table": (in_text(TABLE, ",fail,", ",pass,"), "traceability.csv tells other"),
    "a row less in the table": (
        lambda s: (s / TABLE).write_text("".join((s / TABLE).read_text().splitlines(True)[:-1])),
        "traceability.csv tells other",
    ),
    "no table": (lambda s: (s / TABLE).write_text("x\n1\n"), "traceability.csv is not a table"),
    "a table in another code": (lambda s: (s / TABLE).write_bytes(b"\xff\xfe"), "csv is not a table"),
    "a verdict on the page": (in_text(PAGE, "| fail |", "| pass |"), "traceability.md tells other"),
    "no table on the page": (lambda s: (s / PAGE).write_text(""), "traceability.md tells other"),
    "the report's banner": (
        in_text(REPORT, '<p class="word"><span aria-hidden="true">✗</span> FAIL</p>',
                '<p class="word"><span aria-hidden="true">✓</span> PASS</p>'),
        "report.html shows another outcome",
    ),
    "the report's badge": (
        in_text(REPORT, BADGE, BADGE.replace("FAIL", "PASS").replace("✗", "✓")),
        "report.html shows other verdicts",
    ),
    "the report's results": (in_text(REPORT, '"outcome":"fail"', '"outcome":"pass"'), "holds other results"),
    "the report's person": (
        in_text(REPORT, "<dd>nobody was named</dd>", "<dd>J. Doe</dd>"),
        "report.html shows another protocol or qualification than protocol.json",
    ),
    "the report's qualification": (
        in_text(REPORT, "<dd>none was named</dd>", "<dd>PASS</dd>"),
        "report.html shows another protocol or qualification than protocol.json",
    ),
    "no report": (lambda s: (s / REPORT).write_text("<!doctype html>"), "does not hold the results"),
    "a signature page": (
        in_text("signature-page.html", "<strong>FAIL", "<strong>PASS"),
        "signature-page.html does not tell the outcome",
    ),
    "a digest to sign": (
        lambda s: s.replace("signature-page.html", '<code>' + _digest_of_results(s), '<code>' + "0" * 64),
        "signature-page.html has another digest of results.json",
    ),
    "the provenance of other weights": (
        lambda s: s.edit("provenance.json", lambda p: p["fms"][0].update(weights_sha256="0" * 64)),
        "provenance.json is about other FMs, revisions, weights or embeddings",
    ),
    "the provenance of another cohort": (
        lambda s: s.replace("requirements.txt", "numpy==", "numpy==0."),
        "requirements.txt has other packages or versions than environment.json",
    ),
    "cohorts of the provenance": (
        lambda s: s.edit("provenance.json", lambda p: p["cohorts"][0].update(digest="0" * 64)),
        "provenance.json is about other cohorts",
    ),
    "another command": (
        lambda s: s.edit("provenance.json", lambda p: p.update(command=["pytest"])), "has another command",
    ),
    "another qualification": (
        lambda s: s.edit("provenance.json", lambda p: p.update(qualification={"outcome": "pass"})),
        "has another qualification than protocol.json",
    ),
    "no provenance": (lambda s: (s / "provenance.json").write_text("[]"), "provenance.json is no provenance"),
    "results that are none": (lambda s: (s / "results.json").write_text("{}"), "is not a results file"),
}  # fmt: skip


def _digest_of_results(sealed: Sealed) -> str:
    digest: str = json.loads((sealed / MANIFEST).read_text())["files"]["results.json"]["sha256"]
    return digest


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_folder_that_was_forged_contradicts_itself(forgery: str, sealed: Sealed) -> None:
    change, expected = FORGERIES[forgery]
    before = Results.read(sealed / "results.json")
    change(sealed)
    sealed.reseal(otherwise=before)
    findings = sealed.verify().findings
    assert any(expected in clause for clause in findings), findings
    assert all("\n" not in clause for clause in findings)


def test_what_no_other_file_tells_can_be_forged_without_a_signature(sealed: Sealed, tmp_path: Path) -> None:
    """What an unsigned folder cannot show, and a signed one does."""
    public = write_key(tmp_path / "key.pem")
    sealed.edit("environment.json", lambda content: content.update(schema="of another machine"))
    sealed.reseal()
    assert sealed.verify().is_intact
    assert sealed.verify(public).findings == (
        f"{ATTESTATION} is not signed, and the key key.pub should have signed it",
    )


def test_a_whole_other_run_is_found_by_the_key_only(sealed: Sealed, other: Sealed, tmp_path: Path) -> None:
    public = write_key(tmp_path / "key.pem")
    sealed.reseal(tmp_path / "key.pem")
    shutil.rmtree(sealed.folder)
    other.folder.rename(sealed.folder)
    assert sealed.verify().is_intact
    assert not sealed.verify(public).is_intact


@pytest.fixture
def signed(sealed: Sealed, tmp_path: Path) -> tuple[Sealed, Path]:
    """A folder that was signed, and the public key."""
    public = write_key(tmp_path / "key.pem")
    sealed.reseal(tmp_path / "key.pem")
    return sealed, public


def another_key(sealed: Sealed) -> None:
    write_key(sealed.folder.parent / "thief.pem")
    sealed.reseal(sealed.folder.parent / "thief.pem")


def stripped(sealed: Sealed) -> None:
    sealed.write_attestation({**sealed.attestation(), "signatures": []})


def two_envelopes(sealed: Sealed) -> None:
    sealed.write_attestation(sealed.attestation(), sealed.attestation())


def payload_of_a_pass(sealed: Sealed) -> None:
    envelope = sealed.attestation()
    statement = statement_in(envelope)
    statement["predicate"]["result"] = "PASSED"
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"))
    sealed.write_attestation({**envelope, "payload": base64.b64encode(text.encode()).decode()})


def named_as_signed_by(sealed: Sealed) -> None:
    """The thief's signature under the id of the right key."""
    envelope = sealed.attestation()
    another_key(sealed)
    [forged] = sealed.attestation()["signatures"]
    forged["keyid"] = envelope["signatures"][0]["keyid"]
    sealed.write_attestation({**envelope, "signatures": [forged]})


def signed_twice(sealed: Sealed) -> None:
    envelope = sealed.attestation()
    sealed.write_attestation({**envelope, "signatures": envelope["signatures"] * 2})


def with_key(name: str, value: Any) -> Change:
    return lambda sealed: sealed.write_attestation({**sealed.attestation(), name: value})


ATTACKS: dict[str, tuple[Change, str]] = {
    "another key": (another_key, "is not signed by the key key.pub, but by the key"),
    "stripped": (stripped, "is not signed, and the key key.pub should have signed it"),
    "two envelopes": (two_envelopes, "it has 2 lines, and an attestation is one line"),
    "no envelope": (lambda s: s.write_attestation(), "it has 0 lines"),
    "a payload that passed": (payload_of_a_pass, "does not say what follows from manifest.json"),
    "another key under the name of the right one": (named_as_signed_by, "was not made by the key key.pub"),
    "a signature twice": (signed_twice, "is damaged"),
    "another kind of payload": (with_key("payloadType", "text/plain"), "does not say what follows"),
    "one more key": (with_key("note", "x"), "it is not a DSSE envelope"),
    "signatures of another type": (with_key("signatures", {"a": 1}), "is damaged"),
    "signatures that are none": (with_key("signatures", [1, None]), "is damaged"),
    "a payload of another type": (with_key("payload", 1), "is damaged"),
    "a payload that is no base64": (with_key("payload", "%%%"), "is damaged"),
    "a signature of odd letters": (with_key("signatures", [{"keyid": "a", "sig": "\u20ac"}]), "is damaged"),
    "an envelope in a list": (lambda s: s.write_attestation([s.attestation()]), "not a DSSE envelope"),
    "an empty bundle": (lambda s: s.write_attestation({"verificationMaterial": 1}), "is damaged"),
    "nested too deeply": (lambda s: (s / ATTESTATION).write_text("[" * 100_000 + "\n"), "is damaged"),
    "other bytes": (lambda s: (s / ATTESTATION).write_bytes(b"\xff\xfe\n"), "is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attestation_that_was_changed_is_found(attack: str, signed: tuple[Sealed, Path]) -> None:
    sealed, public = signed
    change, expected = ATTACKS[attack]
    change(sealed)
    findings = sealed.verify(public).findings
    assert any(expected in clause for clause in findings), findings


ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><testsuites>&c;</testsuites>'
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuites>&a;</testsuites>'
)


@pytest.mark.parametrize("text", [ENTITIES, OUTSIDE, "<a>" * 10_000], ids=["bomb", "file", "deep"])
def test_a_junit_file_never_expands_or_reads_anything(text: str, sealed: Sealed) -> None:
    (sealed / JUNIT).write_text(text)
    sealed.reseal()
    assert [clause for clause in sealed.verify().findings if "is not a JUnit file" in clause]


def test_a_seal_that_the_signature_page_speaks_of_cannot_be_taken_away(
    sealed: Sealed, tmp_path: Path
) -> None:
    public = write_key(tmp_path / "key.pem")
    page = (sealed / "signature-page.html").read_text()
    start, end = page.index('<p class="unsigned">'), page.index("<h2>Outcome</h2>")
    says = "The folder of this page has an electronic signature in <code>attestation.intoto.jsonl</code>."
    (sealed / "signature-page.html").write_text(f"{page[:start]}<p>{says}</p>\n{page[end:]}")
    sealed.reseal(tmp_path / "key.pem")
    assert sealed.verify(public).findings == ()
    sealed.write_attestation({**sealed.attestation(), "signatures": []})
    [finding] = sealed.verify().findings
    assert finding.startswith("signature-page.html says that attestation.intoto.jsonl has an electronic sign")
