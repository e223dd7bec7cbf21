"""Real runs with `--fm-evidence`: what is in the folder, when it is finished, and when it never is."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import socket
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from attack import INDEX, Attack, Outcome

from pathorob_checks.canonical import digest_of
from pathorob_checks.evidence import record
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.layout import FILES
from pathorob_checks.evidence.manifest import INCOMPLETE, read_manifest
from pathorob_checks.version import version

GOOD = "embeddings:good"
EVIDENCE = "--fm-evidence=ev"


def run(gate: Attack, *more: str, fm: str = GOOD, **options: Any) -> Outcome:
    return gate.run(EVIDENCE, *more, fm=fm, **options)


def finished(gate: Attack, name: str = "ev") -> dict[str, str]:
    """The files of a finished folder, whose manifest is true."""
    folder = gate.folder / name
    manifest = read_manifest(folder)
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert content.keys() == FILES.keys()
    listed = {name: facts.sha256 for name, facts in manifest.files.items()}
    digests = {name: hashlib.sha256(text).hexdigest() for name, text in content.items()}
    assert listed == {name: digests[name] for name in list(FILES)[:-2]}
    return {name: text.decode() for name, text in content.items()}


def assert_incomplete(gate: Attack, reason: str, *, protocol: bool = True) -> None:
    folder = gate.folder / "ev"
    assert reason in (folder / INCOMPLETE).read_text()
    assert not (folder / "manifest.json").exists()
    assert not (folder / "attestation.intoto.jsonl").exists()
    assert (folder / "protocol.json").exists() == protocol


@pytest.mark.parametrize(
    ("fm", "more"),
    [
        ("good", ()),
        ("bad", ()),
        ("bad", ("-n1",)),  # an explanation too travels from a worker
        ("good", ("-q", "-ptests_without_colors")),
        ("bad", ("-q", "-ptests_without_colors")),
        ("good", ("--color=yes",)),
        ("bad", ("--color=yes",)),
    ],
)
def test_a_run_leaves_a_finished_folder_that_tells_one_story(
    fm: str, more: tuple[str, ...], small_gate: Attack
) -> None:
    small_gate.write("tests_without_colors.py", "")
    done = run(small_gate, *more, fm=f"embeddings:{fm}")
    assert (done.code, done.is_clean) == (int(fm == "bad"), True), done.output
    files = finished(small_gate)
    results = json.loads(files["results.json"])
    assert results == done.results
    protocol = json.loads(files["protocol.json"])
    assert digest_of(protocol["terms"]) == protocol["digest"] == results["environment"]["criteria"]["digest"]
    ids = [one["id"] for one in (*protocol["planned"], *protocol["planned_integrity"])]
    plan = digest_of({"terms": protocol["digest"], "checks": ids})
    assert plan == protocol["plan_digest"] == results["environment"]["criteria"]["plan_digest"]
    assert protocol["fixed"] <= results["created"] <= json.loads(files["manifest.json"])["created"]
    properties = {
        one.get("name"): one.get("value") for one in ET.fromstring(files["junit.xml"]).iter("property")
    }
    assert properties["pathorob_checks.summary"] == results["summary"]
    assert results["summary"].partition(":")[0] in files["log.txt"]
    assert "\x1b" not in files["log.txt"]
    assert ("[32m" in done.output or "[31m" in done.output) == (more == ("--color=yes",))
    assert "NOT SIGNED" in files["signature-page.html"]
    digest = hashlib.sha256(files["manifest.json"].encode()).hexdigest()
    assert f"evidence: ev, SHA-256 of its manifest.json: {digest}\nNOT SIGNED: " in done.output


def test_the_log_ends_as_the_terminal_does(small_gate: Attack) -> None:
    done = run(small_gate)
    log = finished(small_gate)["log.txt"]
    printed = done.output.partition("evidence: ev")[0].replace(str(small_gate.folder), "~")
    assert log.splitlines() == [line.rstrip() for line in printed.splitlines()]


@pytest.mark.slow
def test_without_pytests_reporter_the_log_has_the_results(small_gate: Attack) -> None:
    given = (f"--fm={GOOD}", "--fm-cohort=coh", "--fm-criteria=index.toml", EVIDENCE)
    done = small_gate.terminal.pytest("-pno:terminal", *given, subprocess=True)
    assert done.code == 0, done.output
    log = finished(small_gate)["log.txt"]
    assert log.startswith("The run had no terminal reporter of pytest")
    assert "PASS: 1 of 1 criterion met" in log


@pytest.mark.slow
def test_two_runs_on_the_same_inputs_leave_the_same_but_for_times(small_gate: Attack) -> None:
    run(small_gate, results="first.json")
    small_gate.run("--fm-evidence=again", fm=GOOD, results="first.json")
    first, second = finished(small_gate), finished(small_gate, "again")
    same = {name for name in FILES if first[name] == second[name]}
    assert same >= {
        "environment.json",
        "traceability.csv",
        "traceability.md",
        "limitations.md",
        "deviations.md",
    }
    one, two = (json.loads(files["protocol.json"]) for files in (first, second))
    assert {key for key in one if one[key] != two[key]} <= {"fixed", "command"}


def test_a_junit_file_of_the_user_is_theirs_and_the_folder_has_a_copy(small_gate: Attack) -> None:
    run(small_gate, "--junitxml=mine/junit.xml", "-ojunit_family=xunit1")
    assert "pathorob_checks.verdict" in finished(small_gate)["junit.xml"]
    assert (small_gate.folder / "mine" / "junit.xml").exists()


@pytest.mark.parametrize("how", ["ini", "environment"])
def test_the_folder_may_be_named_elsewhere_and_is_beside_the_configuration(
    how: str, small_gate: Attack
) -> None:
    environment = {"PATHOROB_CHECKS_EVIDENCE": "ev"} if how == "environment" else {}
    if how == "ini":
        small_gate.write("pytest.ini", "[pytest]\nfm_evidence = ev\n")
    small_gate.run(fm=GOOD, **environment)
    assert set(finished(small_gate)) >= {"protocol.json", "junit.xml"}


@pytest.mark.parametrize("how", ["ini", "environment"])
@pytest.mark.parametrize(
    "more", [(f"--fm-criteria-digest={'0' * 64}",), ("--fm-html=ev/r.html",), ("--junitxml=ev/j.xml",)]
)
def test_a_refused_run_leaves_no_folder_wherever_it_is_named(
    how: str, more: tuple[str, ...], small_gate: Attack
) -> None:
    environment = {"PATHOROB_CHECKS_EVIDENCE": "ev"} if how == "environment" else {}
    if how == "ini":
        small_gate.write("pytest.ini", "[pytest]\nfm_evidence = ev\n")
    assert small_gate.run(*more, fm=GOOD, results=None, **environment).code == 4
    assert not (small_gate.folder / "ev").exists()


def test_what_was_deselected_is_a_deviation(small_gate: Attack) -> None:
    done = run(small_gate, "-knot collapsed")
    assert done.headline.startswith("PARTIAL")
    page = finished(small_gate)["deviations.md"]
    assert "1 planned check has no record: 1 deselected by the command line" in page
    assert "test_not_collapsed\\[good-coh\\] has no record." in page


def test_requirements_and_owner_go_through_all_files(small_gate: Attack) -> None:
    small_gate.write("index.toml", INDEX + 'owner = "QA"\nrequirements = ["SRS-12"]\nsource = "SOP 7"\n')
    run(small_gate)
    files = finished(small_gate)
    pages = ("protocol.json", "protocol.md", "results.json", "traceability.csv")
    for name in (*pages, "junit.xml", "traceability.md"):
        assert "SRS-12" in files[name], name
    for name in pages:
        assert "QA" in files[name], name
    assert "source of the bound: SOP 7" in files["protocol.md"]


# -- refused before anything is measured --------------------------------------------------------------------


REFUSED = {
    "not empty": (["--fm-evidence=coh"], "the evidence folder coh is not empty ("),
    "a file": (["--fm-evidence=index.toml"], "the evidence folder index.toml is a file;"),
    "a report inside": (
        [EVIDENCE, "--fm-html=ev/r.html"], "the HTML report r.html would be written into the evidence folder"
    ),
    "junit inside": ([EVIDENCE, "--junitxml=ev/j.xml"], "the JUnit file j.xml would be written into the"),
    "no junit": ([EVIDENCE, "-pno:junitxml"], "--fm-evidence needs pytest's own JUnit file"),
    "no key": ([EVIDENCE, "--fm-sign=KEY.pem"], "KEY.pem cannot be read"),
    "nothing to sign": (["--fm-sign=KEY.pem"], "--fm-sign is given without --fm-evidence;"),
    "nothing to identify": (["--fm-evidence-identify"], "identify is given without --fm-evidence;"),
    "an unknown FM": ([EVIDENCE, "--fm=embeddings:missing"], "missing"),
    "another digest": ([EVIDENCE, "--fm-criteria-digest=" + "0" * 64], "--fm-criteria-digest requires"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_sentence_and_leaves_no_folder(
    case: str, small_gate: Attack
) -> None:
    more, sentence = REFUSED[case]
    done = small_gate.run(*more, fm=GOOD, results=None)
    assert done.code == 4, done.output
    [error] = done.run.errors
    assert sentence in error
    assert "robustness_index" not in done.output
    assert not (small_gate.folder / "ev").exists()


def test_a_second_run_never_writes_into_the_folder_of_the_first(small_gate: Attack) -> None:
    run(small_gate)
    before = finished(small_gate)
    done = run(small_gate, results="other.json")
    assert done.code == 4
    assert "is that of another run, and two runs are never mixed" in done.output
    assert finished(small_gate) == before


@pytest.mark.parametrize("option", ["--collect-only", "--fixtures", "--help"])
def test_what_runs_no_test_leaves_no_folder(option: str, small_gate: Attack) -> None:
    run(small_gate, option, results=None)
    assert not (small_gate.folder / "ev").exists()


# -- runs that do not come to their end ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise KeyboardInterrupt", "the run was interrupted"),
        ("import pytest; pytest.exit('enough')", "the run was interrupted (enough)"),
    ],
)
def test_an_interrupted_run_leaves_a_folder_that_says_so(code: str, reason: str, small_gate: Attack) -> None:
    small_gate.write("test_mine.py", f"def test_mine():\n    {code}\n")
    done = run(small_gate, "test_mine.py", subprocess=True)
    assert done.code != 0
    assert f"evidence: ev is INCOMPLETE: {reason}" in done.output
    assert_incomplete(small_gate, reason)


def test_a_killed_process_leaves_a_folder_that_says_so(small_gate: Attack) -> None:
    small_gate.write("test_mine.py", "import os\ndef test_mine():\n    os.kill(os.getpid(), 9)\n")
    done = run(small_gate, "test_mine.py", subprocess=True)
    assert done.code != 0
    assert_incomplete(small_gate, "or was interrupted or killed")


@pytest.mark.slow
def test_a_worker_that_crashes_is_a_deviation_of_a_failed_run(small_gate: Attack) -> None:
    small_gate.write("test_mine.py", "import os\ndef test_mine():\n    os._exit(3)\n")
    done = run(small_gate, "-n2", "test_mine.py")
    assert done.code != 0
    assert "A worker process was lost." in finished(small_gate)["deviations.md"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["results.json", "report.html", "signature-page.html"])
def test_a_disk_that_is_full_at_the_end_is_no_pass(
    name: str, small_gate: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = EvidenceFolder.write

    def write_but_one(self: EvidenceFolder, file: str, text: str) -> None:
        if file == name:
            raise self._unwritable(OSError(errno.ENOSPC, "No space left on device"), file)
        write(self, file, text)

    monkeypatch.setattr(EvidenceFolder, "write", write_but_one)
    done = run(small_gate)
    assert (done.code, done.is_clean) == (1, True)
    assert done.headline.startswith(f"ERROR: ev/{name} cannot be written (No space left on device)")
    assert done.results is not None
    assert done.results["outcome"] == "error"  # no file that can be written tells of a pass
    assert_incomplete(small_gate, f"ev/{name} cannot be written")


@pytest.mark.slow
@pytest.mark.parametrize("step", ["write_manifest", "attest", "cleaned_junit"])
def test_evidence_that_cannot_be_finished_is_no_pass(
    step: str, small_gate: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathorob_checks.errors import EvidenceError

    def fails(*_: object) -> None:
        raise EvidenceError("the disk is full", remedy="make room")

    monkeypatch.setattr(record, step, fails)
    done = run(small_gate)
    assert (done.code, done.is_clean) == (1, True)
    assert "ERROR: the disk is full; make room." in done.output
    assert "evidence: ev" not in done.output
    assert done.results is not None
    assert done.results["outcome"] == "error"
    assert_incomplete(small_gate, "the disk is full; make room.")


@pytest.mark.slow
def test_a_junit_file_that_pytest_cannot_write_is_no_pass_and_no_traceback(small_gate: Attack) -> None:
    small_gate.write(
        "conftest.py",
        "from _pytest.junitxml import LogXML\n"
        "def fails(self):\n    raise OSError(28, 'No space left on device')\n"
        "LogXML.pytest_sessionfinish = fails\n",
    )
    done = run(small_gate, subprocess=True)
    assert (done.code, done.is_clean) == (1, True), done.output
    assert "a file of the run cannot be written (No space left on device)" in done.output
    assert_incomplete(small_gate, "No space left on device")


# -- whom it names ------------------------------------------------------------------------------------------


PLANTED = {
    "HF_TOKEN": "hf_plantedtokenplanted",
    "HTTPS_PROXY": "http://proxyuser:plantedpassword@proxy.example:3128",
    "MY_SECRET_KEY": "plantedsecretkey",
    "USER": "plantedperson",
    "LOGNAME": "plantedperson",
}
HOST = "planted-host-7"
LEAK = """
import getpass, os, socket

def test_leak():
    print(dict(os.environ), os.path.expanduser("~/there"), getpass.getuser(), socket.gethostname())
    raise AssertionError(f"{os.environ['HF_TOKEN']} {os.path.expanduser('~')} {socket.gethostname()}")
"""


def leaky(gate: Attack, *more: str, **options: Any) -> dict[str, str]:
    """A run in a home folder with a planted name, whose tests print all that they know."""
    home = gate.folder / "plantedhome"
    home.mkdir()
    (gate.folder / "good").rename(home / "good")
    (gate.folder / "coh").rename(home / "coh")
    gate.write("test_leak.py", LEAK)
    gate.run(
        EVIDENCE, "test_leak.py", *more, fm=f"embeddings:{home}/good", cohort=f"{home}/coh",
        HOME=str(home), **{**PLANTED, **options},
    )  # fmt: skip
    return finished(gate)


@pytest.fixture
def named_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr("platform.node", lambda: HOST)


SECRETS = ("hf_plantedtoken", "plantedpassword", "plantedsecretkey")


@pytest.mark.usefixtures("named_host")
def test_no_file_names_a_secret_the_person_the_home_or_the_host(small_gate: Attack) -> None:
    files = leaky(small_gate)
    for planted in (*SECRETS, "plantedperson", HOST, "plantedhome"):
        assert [name for name, text in files.items() if planted in text] == []
    assert "~/there" in files["log.txt"]
    assert json.loads(files["protocol.json"])["fms"][0]["spec"] == "embeddings:~/good"
    assert "--fm=embeddings:~/good" in json.loads(files["provenance.json"])["command"]


@pytest.mark.usefixtures("named_host")
def test_who_wants_to_be_named_is_and_secrets_never_are(small_gate: Attack) -> None:
    files = leaky(small_gate, "--fm-evidence-identify")
    for planted in SECRETS:
        assert [name for name, text in files.items() if planted in text] == []
    identified = json.loads(files["environment.json"])["identified"]
    assert "plantedperson" in identified["person"]
    assert identified["machine"] == HOST
    assert f'hostname="{HOST}"' in files["junit.xml"]
    assert f"embeddings:{small_gate.folder}/plantedhome/good" in files["protocol.json"]


@pytest.mark.usefixtures("named_host")
def test_who_is_responsible_stands_as_stated_and_nobody_where_nobody_was(small_gate: Attack) -> None:
    run(small_gate, "--fm-evidence-by=Jane Doe <qa|ops>, validation engineer")
    files = finished(small_gate)
    assert json.loads(files["protocol.json"])["responsible"] == "Jane Doe <qa|ops>, validation engineer"
    assert "Jane Doe &lt;qa|ops&gt;, validation engineer" in files["signature-page.html"]
    assert (
        "| responsible for the run, as stated | Jane Doe \\<qa\\|ops\\>, validation" in files["protocol.md"]
    )
    assert HOST not in "".join(files.values())


def test_the_folder_pins_every_package_for_a_repetition(small_gate: Attack) -> None:
    run(small_gate)
    files = finished(small_gate)
    assert "nobody was named" in files["signature-page.html"]
    packages = {one["name"]: one["version"] for one in json.loads(files["environment.json"])["packages"]}
    packages["pathorob-checks"] = version()
    pinned = dict(re.findall(r"^(?:# )?([\w.-]+)==(\S+)", files["requirements.txt"], re.MULTILINE))
    assert pinned == packages


def test_a_secret_within_the_criteria_is_refused_before_anything_is_measured(small_gate: Attack) -> None:
    small_gate.write("index.toml", INDEX + 'owner = "plantedsecretkey"\n')
    done = run(small_gate, MY_SECRET_KEY="plantedsecretkey")
    assert done.code == 4
    assert "ev/protocol.json would hold the value of a variable that is named like a secret" in done.output
    assert not (small_gate.folder / "ev").exists()


# -- signed -------------------------------------------------------------------------------------------------


def test_a_signed_folder_says_so_everywhere(small_gate: Attack) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, *form)
    path = small_gate.write("KEY.pem", pem)
    path.chmod(0o600)
    done = run(small_gate, "--fm-sign=KEY.pem")
    files = finished(small_gate)
    assert json.loads(files["attestation.intoto.jsonl"])["signatures"]
    assert "NOT SIGNED" not in files["signature-page.html"] + done.output
    assert pem.decode().splitlines()[1] not in "".join(files.values())


def test_the_page_of_the_documentation_names_every_file() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row in FILES] == list(FILES)
