"""Keys that sign evidence, keys that do not, and what outside tools get to see."""

from __future__ import annotations

import base64
import contextlib
import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from sealed_folders import Sealed, statement_in, write_key

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import keyless
from pathorob_checks.evidence.attestation import add_signature, statement_of
from pathorob_checks.evidence.envelope import enveloped
from pathorob_checks.evidence.manifest import MANIFEST, manifest_of
from pathorob_checks.evidence.signatures import Account, Trusted
from pathorob_checks.evidence.signing import PASSPHRASE, public_key_of, signer_of
from pathorob_checks.evidence.verification import verify
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.results import Results

KINDS = ("ed25519", "p256")


def verified_by_itself(envelope: dict[str, Any], public: Path) -> None:
    """Verify a signature without the library that made it, by the specification of DSSE alone."""
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    [signature] = envelope["signatures"]
    key = load_pem_public_key(public.read_bytes())
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(base64.b64decode(signature["sig"]), signed)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(base64.b64decode(signature["sig"]), signed, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_what_a_key_signed_others_can_verify(
    kind: str, passphrase: bytes | None, sealed: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = write_key(tmp_path / "key.pem", kind, passphrase)
    if passphrase is not None:
        monkeypatch.setenv(PASSPHRASE, passphrase.decode())
    signer = signer_of(str(tmp_path / "key.pem"), {PASSPHRASE: (passphrase or b"").decode()})
    line = signer.sign(enveloped(b'{"a":1}'))
    assert "\n" not in line
    envelope = json.loads(line)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    verified_by_itself(envelope, public)
    with pytest.raises(InvalidSignature):
        verified_by_itself({**envelope, "payload": base64.b64encode(b'{"a":2}').decode()}, public)
    assert envelope["signatures"][0]["keyid"] == public_key_of(public).keyid


def test_the_statement_says_what_the_run_came_to(sealed: Sealed, other: Sealed) -> None:
    for folder, result, verdict in ((sealed, "FAILED", "failedTests"), (other, "PASSED", "passedTests")):
        statement = statement_in(folder.attestation())
        manifest = json.loads((folder / MANIFEST).read_text())
        results = Results.read(folder / "results.json")
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
        predicate = statement["predicate"]
        assert predicate["result"] == result
        assert results.checks[0].id in predicate[verdict]
        assert predicate["configuration"] == [
            {"name": "protocol.json", "digest": {"sha256": manifest["files"]["protocol.json"]["sha256"]}}
        ]
        names = [subject["name"] for subject in statement["subject"]]
        assert names == [MANIFEST, f"identity of {results.runs[0].fm.name}"]
        assert folder.attestation()["signatures"] == []


OUTCOMES = {
    "pass": "PASSED",
    "partial": "WARNED",
    "inconclusive": "WARNED",
    "error": "FAILED",
    "fail": "FAILED",
}
LISTS = ("passedTests", "warnedTests", "failedTests")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_a_whole_pass_is_passed(outcome: str, sealed: Sealed) -> None:
    results = Results.read(sealed / "results.json").model_copy(update={"outcome": Outcome(outcome)})
    assert _statement(sealed, results)["predicate"]["result"] == OUTCOMES[outcome]


def test_what_was_skipped_is_in_no_list_and_what_was_not_measured_failed(sealed: Sealed) -> None:
    results = Results.read(sealed / "results.json")
    [check] = results.checks
    expected = {Verdict.SKIPPED: [], Verdict.ERROR: ["failedTests"], Verdict.INCONCLUSIVE: ["warnedTests"]}
    for verdict, names in expected.items():
        changed = results.model_copy(
            update={"checks": (check.model_copy(update={"verdict": verdict}),), "releases": ()}
        )
        predicate = _statement(sealed, changed)["predicate"]
        assert [name for name in LISTS if check.id in predicate.get(name, ())] == names


def test_weights_are_named_by_their_digest(sealed: Sealed) -> None:
    results = Results.read(sealed / "results.json")
    [run] = results.runs
    fm = run.fm.model_copy(update={"identity": {"weights_sha256": "1" * 64}})
    changed = results.model_copy(update={"runs": (run.model_copy(update={"fm": fm}),)})
    assert _statement(sealed, changed)["subject"][1] == {
        "name": "weights of bad",
        "digest": {"sha256": "1" * 64},
    }


def _statement(sealed: Sealed, results: Results) -> Any:
    content = (sealed / MANIFEST).read_bytes()
    return json.loads(statement_of(content, manifest_of(content, sealed.folder), results))


def test_two_people_sign_one_after_the_other(sealed: Sealed, tmp_path: Path, lone_terminal: Any) -> None:
    publics = [write_key(tmp_path / f"{kind}.pem", kind) for kind in KINDS]
    for public in publics:
        run = lone_terminal.command("sign", str(sealed.folder), f"--key={public.with_suffix('.pem')}")
        assert (run.code, "is signed by the key" in run.output) == (0, True), run.output
    verification = sealed.verify(*publics)
    assert verification.findings == verification.unverified == ()
    assert sum("the signature of the key" in clause for clause in verification.verified) == 2
    alone = sealed.verify(publics[1])
    assert alone.is_intact
    assert [clause for clause in alone.unverified if "its public key was not given" in clause]
    assert sealed.verify().signed == "SIGNATURE NOT VERIFIED"


def test_what_is_not_intact_is_not_signed(sealed: Sealed, tmp_path: Path, lone_terminal: Any) -> None:
    write_key(tmp_path / "key.pem")
    sealed.replace("log.txt", "e", "f")
    before = sealed.attestation()
    run = lone_terminal.command("sign", str(sealed.folder), f"--key={tmp_path / 'key.pem'}")
    assert run.code == 1
    assert "is not intact (log.txt was changed" in run.output
    assert sealed.attestation() == before


def _write(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def _pem(key: Any) -> bytes:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text


NO_KEYS: dict[str, tuple[bytes, str]] = {
    "RSA": (_pem(rsa.generate_private_key(65537, 2048)), "of the kind RSAPrivateKey"),
    "P-384": (_pem(ec.generate_private_key(ec.SECP384R1())), "an elliptic-curve key on secp384r1"),
    "nothing": (b"", "is not a private key in a PEM file"),
    "other bytes": (b"\xff\xfe\x00", "is not a private key in a PEM file"),
    "cut off": (_pem(ed25519.Ed25519PrivateKey.generate())[:-40], "is not a private key in a PEM file"),
    "of cosign": (
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nZQ==\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----",
        "is a key in cosign's own form",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_KEYS)
def test_what_is_no_key_for_evidence_is_said_in_a_sentence(kind: str, tmp_path: Path) -> None:
    content, message = NO_KEYS[kind]
    with pytest.raises(EvidenceError) as raised:
        signer_of(_write(tmp_path / "key.pem", content), {PASSPHRASE: "x"})
    assert message in str(raised.value)
    assert len(content) < 9 or content[40:60].decode(errors="replace") not in str(raised.value)


def test_keys_in_the_wrong_place_are_refused(tmp_path: Path) -> None:
    public = write_key(tmp_path / "key.pem")
    with pytest.raises(EvidenceError, match="is a public key, and signing needs the private one"):
        signer_of(str(public))
    with pytest.raises(EvidenceError, match="is a private key, which verifying does not need"):
        public_key_of(tmp_path / "key.pem")
    for content in (b"", b"x", b"-----BEGIN PUBLIC KEY-----\nZQ==\n-----END PUBLIC KEY-----\n"):
        public.write_bytes(content)
        with pytest.raises(EvidenceError, match="is not a public key in a PEM file"):
            public_key_of(public)
    for read in (public_key_of, lambda path: signer_of(str(path))):
        for path in (tmp_path / "nowhere.pem", tmp_path):
            with pytest.raises(EvidenceError, match="cannot be read"):
                read(path)


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    write_key(tmp_path / "key.pem", "ed25519", b"right")
    expected = (({}, "is encrypted, and there is no passphrase"), ({PASSPHRASE: "no"}, "does not open"))
    for given, message in expected:
        with pytest.raises(EvidenceError, match=message) as raised:
            signer_of(str(tmp_path / "key.pem"), given)
        assert PASSPHRASE in str(raised.value)


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    write_key(tmp_path / "key.pem")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signer_of(str(tmp_path / "key.pem"))
    (tmp_path / "key.pem").chmod(0o644)
    with pytest.warns(UserWarning, match="can be read by other users of this machine"):
        signer_of(str(tmp_path / "key.pem"))


def test_without_sigstore_the_library_is_named(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EvidenceError, match=r"pip install 'sigstore>=4\.0'"):
        signer_of("sigstore")
    with pytest.raises(EvidenceError, match="needs the library sigstore"):
        keyless.statement_in_bundle({}, "a", "b")


class OfflineSigning:
    """Signs as sigstore does, by its own code for envelopes; the certificate and the log are left out."""

    def sign_dsse(self, statement: Any) -> Any:
        from sigstore import dsse

        self.envelope = dsse._sign(ec.generate_private_key(ec.SECP256R1()), statement)
        return self

    def to_json(self) -> str:
        kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
        envelope = json.loads(self.envelope.to_json())
        return json.dumps({"mediaType": kind, "verificationMaterial": {}, "dsseEnvelope": envelope}, indent=1)


@pytest.fixture
def offline_sigstore(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the signing but what needs a network."""
    context = SimpleNamespace(signer=lambda _identity: contextlib.nullcontext(OfflineSigning()))
    monkeypatch.setattr("sigstore.models.ClientTrustConfig.production", lambda: None)
    monkeypatch.setattr("sigstore.sign.SigningContext.from_trust_config", lambda _trust: context)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: "a token")
    monkeypatch.setattr("sigstore.oidc.IdentityToken", lambda token: token)


@pytest.mark.usefixtures("offline_sigstore")
def test_sigstore_signs_the_same_statement(sealed: Sealed, tmp_path: Path) -> None:
    statement = statement_in(sealed.attestation())
    add_signature(sealed.folder, signer_of("sigstore"))
    bundle = sealed.attestation()
    assert statement_in(bundle["dsseEnvelope"]) == statement
    verification = sealed.verify()
    assert (verification.findings, verification.signed) == ((), "SIGNATURE NOT VERIFIED")
    assert "because no account was given" in verification.unverified[0]
    account = Account(identity="a@example.org", issuer="https://example.org")
    [refused] = verify(sealed.folder, Trusted(account=account)).findings
    assert refused.startswith("sigstore does not accept the signature")
    [no_key] = sealed.verify(write_key(tmp_path / "key.pem")).findings
    assert no_key == "attestation.intoto.jsonl is not signed by the key key.pub, but by sigstore"
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(b"{}").decode()
    sealed.write_attestation(bundle)
    assert "does not say what follows" in sealed.verify().findings[0]


@pytest.mark.usefixtures("offline_sigstore")
def test_a_key_and_sigstore_do_not_sign_together(sealed: Sealed, tmp_path: Path) -> None:
    write_key(tmp_path / "key.pem")
    sealed.reseal(tmp_path / "key.pem")
    with pytest.raises(EvidenceError, match="is signed by a key already"):
        add_signature(sealed.folder, signer_of("sigstore"))
    sealed.reseal()
    add_signature(sealed.folder, signer_of("sigstore"))
    with pytest.raises(EvidenceError, match="is signed by sigstore already"):
        add_signature(sealed.folder, signer_of(str(tmp_path / "key.pem")))


def test_sigstore_without_a_network_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from sigstore.errors import TUFError

    def unreachable() -> None:
        raise TUFError("Failed to refresh TUF metadata\nfor many reasons")

    monkeypatch.setattr("sigstore.models.ClientTrustConfig.production", unreachable)
    with pytest.raises(EvidenceError) as raised:
        signer_of("sigstore").sign(enveloped(b"{}"))
    assert str(raised.value) == (
        "sigstore did not sign (Failed to refresh TUF metadata); sign the folder later with "
        "'pathorob-checks sign', or use a key."
    )


def test_sigstore_needs_an_account_or_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigstore.models.ClientTrustConfig.production", lambda: None)
    monkeypatch.setattr(
        "sigstore.sign.SigningContext.from_trust_config", lambda _trust: SimpleNamespace(signer=None)
    )
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(EvidenceError, match="finds no account of a CI job, and there is no terminal"):
        signer_of("sigstore").sign(enveloped(b"{}"))


def test_an_account_needs_both_its_names(sealed: Sealed, lone_terminal: Any) -> None:
    run = lone_terminal.command("verify", str(sealed.folder), "--identity=a@example.org")
    assert run.code == 1
    assert "only one of --identity and --issuer was given" in run.output
    key_signed = lone_terminal.command(
        "verify", str(sealed.folder), "--identity=a@example.org", "--issuer=https://example.org"
    )
    assert "is not signed by sigstore" in key_signed.output
