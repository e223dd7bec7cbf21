"""Qualify this installation: whether it computes what it should, as evidence for the archive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import SettingsError
from pathorob_checks.files import expanded
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pathorob_checks.evidence.qualification.record import Qualification


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "qualify",
        help="examine this installation: digests, metrics on golden data, controls, rules, times",
        description="Examine installation, operation and performance on this machine, in a few minutes. Exit "
        "code 0 only if everything is as expected.",
    )
    parser.add_argument("--out", metavar="DIR", help="write evidence of it into this new folder")
    parser.add_argument(
        "--by", metavar="NAME", help="who is responsible for the qualification, as you state it"
    )
    parser.add_argument("--sign", metavar="KEY.pem|sigstore", help="sign the evidence, as by --fm-sign")
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="DIR",
        help="embeddings of a published FM, as for --fm=embeddings:DIR: its published scores are compared",
    )
    parser.add_argument("--fm-name", metavar="NAME", help="the FM's name in the published table")
    parser.add_argument(
        "--fm-cohort", action="append", default=[], metavar="NAME", help="of the benchmark (default: all)"
    )
    parser.add_argument("--fm-metadata", type=Path, metavar="DIR", help="folder with the benchmark's tables")
    parser.add_argument(
        "--templates",
        metavar="DIR",
        help="only write templates of a validation plan and a validation report into this folder",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.templates is not None:
        from pathorob_checks.evidence.validation import write_templates

        for path in write_templates(expanded(options.templates)):
            say(printable(f"{path} is written; fill in what is marked FILL IN"))
        return 0
    if (options.embeddings is None) != (options.fm_name is None):
        raise SettingsError("only one of --embeddings and --fm-name was given", remedy="give both")
    for flag, value in (("--sign", options.sign), ("--by", options.by)):
        if value is not None and options.out is None:
            raise SettingsError(f"{flag} was given without --out", remedy="name a folder with --out=DIR")
    from pathorob_checks.evidence.qualification import qualifying
    from pathorob_checks.evidence.qualification.published import refuse_unknown
    from pathorob_checks.evidence.signing import signer_of

    if options.fm_name is not None:
        refuse_unknown(options.fm_name)
    signer = None if options.sign is None else signer_of(options.sign)
    folder = None if options.out is None else qualifying.begun_folder(expanded(options.out))
    qualification = qualifying.qualify(
        options.embeddings and expanded(options.embeddings),
        options.fm_name,
        cohorts=options.fm_cohort,
        metadata=options.fm_metadata and expanded(options.fm_metadata),
        responsible=options.by,
        show=say,
    )
    for line in lines(qualification):
        say(line)
    if folder is not None:
        manifest = qualifying.write(folder, qualification, signer)
        say(printable(f"evidence: {folder}; verify it with: pathorob-checks verify {folder}"))
        say(f"SHA-256 of {manifest.name}: {_sha256(manifest)}")
        if signer is None:
            say("NOT SIGNED: sign it with: pathorob-checks sign, or --sign=KEY.pem")
    return 0 if qualification.outcome == "pass" else 1


def lines(qualification: Qualification) -> Iterator[str]:
    """What a terminal shows: a table of the sections, what is not as expected, and the outcome."""
    from tabulate import tabulate

    from pathorob_checks.criteria.verdict import Verdict
    from pathorob_checks.evidence.qualification.pages import amount, expected

    groups: dict[str, list[Verdict]] = {}
    for one in qualification.records:
        groups.setdefault("/".join(one.finding.id.split("/")[:2]), []).append(one.verdict)
    columns = (Verdict.PASS, Verdict.FAIL, Verdict.ERROR, Verdict.SKIPPED)
    rows = [(name, *(verdicts.count(one) or "" for one in columns)) for name, verdicts in groups.items()]
    yield tabulate(rows, ("examined", "pass", "fail", "error", "not judged"), tablefmt="simple")
    for one in qualification.records:
        finding = one.finding
        if one.verdict in (Verdict.FAIL, Verdict.ERROR):
            note = f" ({finding.note})" if finding.note else ""
            yield (
                f"{one.verdict.upper()} {finding.id}: {finding.what}: expected {expected(finding)}, "
                f"found {amount(finding.actual, finding.unit)}{note}"
            )
        elif finding.section == "performance":
            note = f": {finding.note}" if finding.note else f": {amount(finding.actual, finding.unit)}"
            yield f"{finding.what}{note}"
    yield f"{qualification.summary} ({qualification.seconds:.0f} s)"


def _sha256(path: Path) -> str:
    from pathorob_checks.evidence.inventory import sha256_of

    return sha256_of(path)
