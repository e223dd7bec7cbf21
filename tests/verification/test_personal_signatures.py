"""People who sign evidence: name, role, meaning and time are covered by the signature and shown."""

from __future__ import annotations

import base64
import html
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sealed_folders import Sealed, statement_in, write_key

from pathorob_checks.cli import main
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import keyless
from pathorob_checks.evidence.manifest import MANIFEST, SIGNATURES, SIGNATURES_PAGE
from pathorob_checks.evidence.personal_signatures import add_personal_signature, signatory
from pathorob_checks.evidence.signatures import Account, Trusted
from pathorob_checks.evidence.signing import signer_of
from pathorob_checks.evidence.verification import verify

JANE = ("--name", "Jane <b>Doe</b>", "--role", "validation engineer", "--meaning", "authorship")
JOHN = ("--name", "John Roe", "--role", "head of quality", "--meaning", "approval")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """The public keys of two people."""
    return {name: write_key(tmp_path / f"{name}.pem") for name in ("jane", "john")}


def sign(sealed: Sealed, key: Path, *who: str) -> int:
    return main(["sign", str(sealed.folder), f"--key={key.with_suffix('.pem')}", *who])


@pytest.fixture
def signed(sealed: Sealed, keys: dict[str, Path]) -> Sealed:
    """A folder that its author and its approver have signed."""
    assert sign(sealed, keys["jane"], *JANE) == sign(sealed, keys["john"], *JOHN) == 0
    return sealed


def test_two_people_sign_and_verify_tells_name_role_meaning_and_time(
    signed: Sealed, keys: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--key={key}" for key in keys.values()]
    capsys.readouterr()
    assert main(["verify", str(signed.folder), *arguments, "--require-signature"]) == 0
    out = capsys.readouterr().out
    lines = [json.loads(line) for line in (signed / SIGNATURES).read_text().splitlines()]
    for line, who in zip(lines, (JANE, JOHN), strict=True):
        statement = statement_in(line)
        predicate = statement["predicate"]
        when = predicate["signed"].replace("T", " ").removesuffix("Z")
        clause = f"{who[1]} ({who[3]}), signed on {when} UTC, meaning: {who[5]}, with the key "
        assert f"verified: the signature of {clause}{line['signatures'][0]['keyid'][:16]}" in out
        assert (datetime.now(UTC) - datetime.fromisoformat(predicate["signed"])).total_seconds() < 600
        [subject] = statement["subject"]
        assert subject["name"] == MANIFEST
    assert out.endswith("INTACT, SIGNED\n")
    assert signed.attestation()["signatures"] == []


def test_the_page_shows_them_and_nothing_in_it_is_markup(signed: Sealed) -> None:
    page = (signed / SIGNATURES_PAGE).read_text()
    assert "<td>Jane &lt;b&gt;Doe&lt;/b&gt;</td><td>validation engineer</td><td>authorship</td>" in page
    assert "<td>John Roe</td><td>head of quality</td><td>approval</td>" in page
    assert signed.verify().summary in html.unescape(page)


def test_without_the_public_key_nobody_is_believed(signed: Sealed, keys: dict[str, Path]) -> None:
    verification = signed.verify(keys["john"])
    assert (verification.findings, verification.signed) == ((), "SIGNED")
    assert verification.signed_in_words == "SIGNED BY 1 OF 2: 1 NOT VERIFIED"
    [clause] = verification.unverified
    assert clause.startswith("the signature of Jane <b>Doe</b> (validation engineer), signed on ")
    assert clause.endswith("because its public key was not given; give it with --key=PUB.pem")
    assert signed.verify().signed == "SIGNATURE NOT VERIFIED"


def test_a_key_that_signed_nothing_is_missing(sealed: Sealed, keys: dict[str, Path]) -> None:
    assert sign(sealed, keys["jane"], *JANE) == 0
    [finding] = sealed.verify(keys["john"]).findings
    assert finding.startswith("the folder is not signed by the key john.pub, but by the key ")


def test_a_seal_and_signatures_of_people_stand_side_by_side(signed: Sealed, keys: dict[str, Path]) -> None:
    assert sign(signed, keys["jane"]) == 0
    verification = signed.verify(*keys.values())
    assert verification.findings == verification.unverified == ()
    assert len([clause for clause in verification.verified if "the signature of" in clause]) == 3


CHANGES: dict[str, tuple[str, Any]] = {
    "name": ("Jane Roe", "was not made by the key jane.pub"),
    "role": ("head of quality", "was not made by the key jane.pub"),
    "meaning": ("approval", "was not made by the key jane.pub"),
    "signed": ("2099-01-01T00:00:00Z", "was not made by the key jane.pub"),
    "previous": ("0" * 64, "before line 1 stands another line"),
}


@pytest.mark.parametrize("part", CHANGES)
def test_no_part_of_a_signature_can_be_changed(part: str, sealed: Sealed, keys: dict[str, Path]) -> None:
    assert sign(sealed, keys["jane"], *JANE) == 0
    (sealed / SIGNATURES_PAGE).unlink()
    value, sentence = CHANGES[part]
    change_line(sealed, 0, lambda statement: statement["predicate"].update({part: value}))
    findings = sealed.verify(keys["jane"]).findings
    assert any(sentence in finding for finding in findings), findings


def change_line(sealed: Sealed, number: int, change: Any) -> None:
    """Change the statement of a signature; the signature stays."""
    lines = (sealed / SIGNATURES).read_text().splitlines()
    envelope = json.loads(lines[number])
    statement = statement_in(envelope)
    change(statement)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    envelope["payload"] = base64.b64encode(payload).decode()
    lines[number] = json.dumps(envelope, sort_keys=True, separators=(",", ":"))
    (sealed / SIGNATURES).write_text("\n".join(lines) + "\n")


def test_a_signature_of_another_folder_is_none(signed: Sealed, other: Sealed) -> None:
    for name in (SIGNATURES, SIGNATURES_PAGE):
        (other / name).write_bytes((signed / name).read_bytes())
    [finding] = other.verify().findings
    assert "line 1 is about another folder, or was changed" in finding


def test_no_line_can_be_taken_out_before_another(signed: Sealed) -> None:
    first, second = (signed / SIGNATURES).read_bytes().splitlines(keepends=True)
    for content in (second, second + first, first + first, first + second[:-1], first + b"\n" + second):
        (signed / SIGNATURES).write_bytes(content)
        [finding] = signed.verify().findings
        assert finding.startswith(f"{SIGNATURES} "), content


def test_a_page_that_shows_another_meaning_is_wrong(signed: Sealed) -> None:
    signed.replace(SIGNATURES_PAGE, "<td>authorship</td>", "<td>approval</td>")
    assert signed.verify().findings == (f"{SIGNATURES_PAGE} shows other signatures than {SIGNATURES}",)


def test_a_page_without_signatures_is_wrong(signed: Sealed) -> None:
    (signed / SIGNATURES).unlink()
    assert signed.verify().findings == (f"{SIGNATURES_PAGE} shows other signatures than {SIGNATURES}",)


def test_one_key_signs_for_one_person(
    sealed: Sealed, keys: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sign(sealed, keys["jane"], *JANE) == 0
    before = (sealed / SIGNATURES).read_bytes()
    capsys.readouterr()
    assert sign(sealed, keys["jane"], *JOHN) == 1
    assert (
        "signed for Jane <b>Doe</b> and for John Roe; sign with a key of your own" in capsys.readouterr().err
    )
    assert (sealed / SIGNATURES).read_bytes() == before
    assert (sealed / SIGNATURES_PAGE).exists()


@pytest.mark.parametrize("name", ["John Roe", "J\u043ehn Roe", "john  roe"])
def test_one_name_with_two_keys_is_remarked_and_the_unverified_key_is_not_accepted(
    name: str, signed: Sealed, keys: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    third = write_key(tmp_path / "third.pem")
    assert sign(signed, third, "--name", name, *JOHN[2:]) == 0
    assert "remark: " in capsys.readouterr().out
    command = ["verify", str(signed.folder), *(f"--key={key}" for key in keys.values())]
    assert main(command) == 0
    *_, remark, last = capsys.readouterr().out.splitlines()
    assert remark.startswith("remark: John Roe")
    assert remark.endswith(": make sure that all are that person's")
    assert last == "INTACT, SIGNED BY 2 OF 3: 1 NOT VERIFIED"
    assert main([*command, "--require-signature"]) == 1
    assert "NOT ACCEPTED: 1 signature was not verified" in capsys.readouterr().out
    assert main([*command, f"--key={third}", "--require-signature"]) == 0
    assert capsys.readouterr().out.endswith("INTACT, SIGNED\n")


def test_author_and_approver_in_one_hand_are_remarked(sealed: Sealed, keys: dict[str, Path]) -> None:
    assert sign(sealed, keys["jane"], *JANE) == 0
    assert sealed.verify().remarks == ()
    assert sign(sealed, keys["jane"], *JANE[:-1], "approval") == 0
    clause = "Jane <b>Doe</b> signed for authorship and for approval: no second person stands behind it"
    assert sealed.verify().remarks == (clause,)
    assert f"<li>{html.escape(clause)}</li>" in (sealed / SIGNATURES_PAGE).read_text()


def test_a_key_that_sealed_the_folder_and_signs_as_a_person_is_remarked(
    sealed: Sealed, keys: dict[str, Path]
) -> None:
    assert sign(sealed, keys["jane"]) == 0
    assert sign(sealed, keys["john"], *JOHN) == 0
    assert sealed.verify().remarks == ()
    assert sign(sealed, keys["jane"], *JANE) == 0
    [remark] = sealed.verify().remarks
    assert " sealed the folder and signed for Jane <b>Doe</b>: whoever can use the key of the seal" in remark


def test_a_signature_from_before_the_manifest_is_refused(sealed: Sealed, keys: dict[str, Path]) -> None:
    who = signatory("Jane Doe", "engineer", "review")
    assert who is not None
    signer = signer_of(str(keys["jane"].with_suffix(".pem")))
    with pytest.raises(EvidenceError, match=r"Jane Doe signed before manifest\.json was written"):
        add_personal_signature(sealed.folder, who, signer, now=datetime(2001, 1, 1, tzinfo=UTC))
    assert not (sealed / SIGNATURES).exists()


@pytest.mark.parametrize(
    ("who", "message"),
    [
        (("Jane", None, "review"), "needs name, role and meaning, and lacks --role;"),
        ((None, None, "review"), "and lacks --name and --role;"),
        (("Jane\x1b[31m", "x", "review"), "--name cannot be printed on a signature"),
        (("Jane", " ", "review"), "--role cannot be printed on a signature"),
        (("J" * 201, "x", "review"), "--name cannot be printed on a signature"),
        (("Jane", "x", "liking"), "--meaning cannot be printed on a signature"),
    ],
)
def test_who_signs_is_named_in_full_and_in_print(who: Any, message: str) -> None:
    with pytest.raises(EvidenceError, match=message):
        signatory(*who)


def test_sigstore_vouches_for_an_account_and_the_person_is_shown(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Sigstore:
        name = "sigstore"

        def sign(self, envelope: Any) -> str:
            document = {"verificationMaterial": {}, "dsseEnvelope": envelope.to_dict()}
            return keyless.one_line(json.dumps(document))

    monkeypatch.setattr("pathorob_checks.evidence.signing.signer_of", lambda _text: Sigstore())
    assert main(["sign", str(sealed.folder), "--key=sigstore", *JOHN]) == 0
    assert "with sigstore" in capsys.readouterr().out
    assert sealed.verify().signed == "SIGNATURE NOT VERIFIED"
    account = Trusted(account=Account(identity="j@example.org", issuer="https://example.org"))

    def refuse(*_: Any) -> bytes:
        raise EvidenceError("sigstore does not accept the signature (no)", remedy="ask")

    monkeypatch.setattr(keyless, "statement_in_bundle", refuse)
    assert verify(sealed.folder, account).findings == ("sigstore does not accept the signature (no); ask",)
    monkeypatch.setattr(
        keyless, "statement_in_bundle", lambda document, *_: keyless.payload_in_bundle(document)
    )
    verification = verify(sealed.folder, account)
    assert (verification.findings, verification.signed) == ((), "SIGNED")
    assert verification.verified[-1].endswith("with the account j@example.org (https://example.org)")
