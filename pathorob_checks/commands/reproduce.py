"""Run the protocol of an evidence folder again, and say value by value whether it came out the same."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import EvidenceError
from pathorob_checks.files import expanded
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.evidence.reproduction import Reproduction

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
    parser.add_argument("--out", type=Path, metavar="DIR", help="write comparison and new results here")
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
    from pathorob_checks.evaluation.observer import Bars
    from pathorob_checks.evidence.reproduction import compared
    from pathorob_checks.evidence.rerun import Places, archived, run_again, settings_of
    from pathorob_checks.report.forms import FORMS

    out: Path | None = None if options.out is None else expanded(options.out)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EvidenceError(f"{options.out} is not an empty folder", remedy="name a new folder with --out")
    archive = archived(expanded(options.folder))
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
        results = run_again(archive, settings_of(archive.protocol, places), Bars())
    outcome_of_both = compared(archive.results, results)
    say("\n".join(_lines(outcome_of_both)))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        texts = {
            "reproduction.json": json.dumps(outcome_of_both.to_json(), indent=2) + "\n",
            "results.json": FORMS["json"].render(results),
        }
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8")
        say(printable(f"{', '.join(texts)} are in {options.out}"))
    return 0 if outcome_of_both.is_reproduced else 1


def _lines(outcome_of_both: Reproduction) -> Iterator[str]:
    from tabulate import tabulate

    from pathorob_checks.evidence.reproduction import Sameness
    from pathorob_checks.results.text import wrapped

    width = max(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns)
    numbers = [
        one
        for one in outcome_of_both.pairs
        if one.quantity != "verdict" or one.sameness is not Sameness.EQUAL
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
    rest = len(outcome_of_both.pairs) - len(numbers)
    if rest:
        yield f"not shown: {counted(rest, 'verdict that is', 'verdicts that are')} equal"
    yield ""
    for sentence in outcome_of_both.elsewhere:
        yield wrapped(f"not as it was: {sentence}", width=width, indent="  ")
    yield wrapped(outcome_of_both.summary, width=width, indent="  ")


def _text(value: float | str | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.9g}"
