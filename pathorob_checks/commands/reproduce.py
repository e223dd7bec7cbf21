"""Run the protocol of an evidence folder again, and say value by value whether it came out the same."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import EvidenceError, PathorobChecksError, SettingsError
from pathorob_checks.files import expanded
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.evidence.folder import EvidenceFolder
    from pathorob_checks.evidence.reproduction.comparison import Reproduction
    from pathorob_checks.evidence.reproduction.rerun import Archived
    from pathorob_checks.results.results import Results

_WIDTH = 80


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "reproduce",
        help="run the protocol of an evidence folder again and compare value by value",
        description="Run an evidence folder's protocol again: its criteria, pinned FMs, cohorts and options. "
        "Exit code 0 if every value is equal or within noise; 1 if one is different or was not run again, or "
        "if nothing could be run.",
    )
    parser.add_argument("folder", type=Path, help="an intact folder of --fm-evidence")
    parser.add_argument(
        "--out", metavar="DIR", help="write evidence of the reproduction into this new folder"
    )
    parser.add_argument(
        "--by", metavar="NAME", help="who is responsible for the reproduction, as you state it"
    )
    for flag, metavar, text in (
        ("--fm", "NAME=SPEC", "where an FM of the evidence is now; may repeat"),
        ("--cohort", "NAME=PATH", "where a cohort of the evidence is now; may repeat"),
    ):
        parser.add_argument(flag, action="append", default=[], type=_named_place, metavar=metavar, help=text)
    parser.add_argument("--baseline", metavar="FILE", help="where the baseline's results file is now")
    parser.add_argument("--fm-metadata", type=Path, metavar="DIR", help="folder with the benchmark's tables")
    parser.add_argument("--fm-accept-names", type=Path, metavar="FILE", help="as for pytest")
    parser.add_argument("--fm-method-target", type=Path, metavar="IMAGE|DIR", help="as for pytest")
    parser.add_argument("--fm-device", default="auto", metavar="DEVICE", help="as for pytest")
    parser.add_argument("--fm-trust-remote-code", action="store_true", help="as for pytest")
    parser.add_argument(
        "--fm-cache",
        type=Path,
        metavar="DIR",
        help="use embeddings that are kept here (default: every FM embeds again, as reproducing asks for)",
    )
    parser.set_defaults(run=_run)


def _named_place(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not (name and equals and place):
        raise argparse.ArgumentTypeError(f"{printable(text)} is not of the form NAME=PLACE")
    return name, place


def _run(options: argparse.Namespace) -> int:
    from pathorob_checks.evidence.reproduction.comparison import compared
    from pathorob_checks.evidence.reproduction.rerun import archived

    if options.by is not None and options.out is None:
        raise SettingsError("--by was given without --out", remedy="name a folder with --out=DIR")
    archive = archived(expanded(options.folder))
    folder = None if options.out is None else _begun(options.out, expanded(options.folder), archive)
    try:
        results = _run_again(archive, options)
        reproduction = compared(archive.results, results)
    except PathorobChecksError:
        if folder is not None:
            folder.withdraw()
        raise
    say("\n".join(_lines(reproduction)))
    if folder is not None:
        from pathorob_checks.evidence.inventory import sha256_of
        from pathorob_checks.evidence.reproduction.writing import write

        manifest = write(
            folder, archive, results, responsible=options.by, kept_embeddings=options.fm_cache is not None
        )
        say(printable(f"evidence: {folder}, SHA-256 of its {manifest.name}: {sha256_of(manifest)}"))
        say(printable(f"NOT SIGNED: sign it with: pathorob-checks sign {folder} --key=KEY.pem"))
    return 0 if reproduction.is_reproduced else 1


def _begun(path: str, evidence: Path, archive: Archived) -> EvidenceFolder:
    """A new folder that says that it is incomplete, outside of the evidence, which a new file would break."""
    from pathorob_checks.evidence.folder import EvidenceFolder
    from pathorob_checks.evidence.reproduction.writing import refuse_later_evidence

    refuse_later_evidence(archive)
    if expanded(path).resolve().is_relative_to(evidence.resolve()):
        raise EvidenceError(
            f"{path} is within the evidence, which may not be changed",
            remedy="name a folder elsewhere with --out",
        )
    folder = EvidenceFolder(expanded(path), "--out")
    folder.begin()
    return folder


def _run_again(archive: Archived, options: argparse.Namespace) -> Results:
    from pathorob_checks.evaluation.observer import Bars
    from pathorob_checks.evidence.reproduction.rerun import Places, run_again, settings_of

    with tempfile.TemporaryDirectory(prefix="pathorob-checks-") as fresh:
        places = Places(
            cache=expanded(options.fm_cache) if options.fm_cache else Path(fresh),
            fms=dict(options.fm),
            cohorts=dict(options.cohort),
            baseline=options.baseline,
            metadata=options.fm_metadata and expanded(options.fm_metadata),
            accepted_names=options.fm_accept_names and expanded(options.fm_accept_names),
            method_target=options.fm_method_target and expanded(options.fm_method_target),
            device=options.fm_device,
            trust_remote_code=options.fm_trust_remote_code,
        )
        return run_again(archive, settings_of(archive.protocol, places), Bars())


def _lines(reproduction: Reproduction) -> Iterator[str]:
    from tabulate import tabulate

    from pathorob_checks.evidence.reproduction.comparison import Sameness
    from pathorob_checks.results.text import wrapped

    width = max(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns)
    numbers = [
        one for one in reproduction.pairs if one.quantity != "verdict" or one.sameness is not Sameness.EQUAL
    ]
    rows = [
        (
            one.check.partition("::")[2] or one.check,
            one.quantity,
            _text(one.before),
            _text(one.now),
            one.sameness.value,
        )
        for one in numbers
    ]
    headers: Sequence[str] = ("check", "quantity", "evidence", "now", "")
    yield tabulate(rows, headers, tablefmt="simple", disable_numparse=True)
    rest = len(reproduction.pairs) - len(numbers)
    if rest:
        yield f"not shown: {counted(rest, 'verdict that is', 'verdicts that are')} equal"
    yield ""
    for sentence in reproduction.elsewhere:
        yield wrapped(f"not as it was: {sentence}", width=width, indent="  ")
    yield wrapped(reproduction.summary, width=width, indent="  ")


def _text(value: float | str | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.9g}"
