"""How much of an FM's values is its pooling, its precision, its batch size and the number of neighbors."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import SpecError
from pathorob_checks.files import expanded
from pathorob_checks.width import width
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.evaluation.sensitivity import Choices
    from pathorob_checks.results.sensitivity import Change, Sensitivity, SensitivityDocument

_SETTINGS = ("pooling", "precision", "batch-size", "k")
_DESCRIPTION = """\
Measure the robustness index and the margins of an FM at its own settings, and
again with one setting changed at a time: pooling (cls, mean, clsmean),
precision (bf16, fp16), batch size and k. Each value has its difference from
the FM's own settings, with the paired interval of the same slides.

All poolings and all k come from one pass over the images; every other
precision and batch size takes a pass of its own. Embeddings are kept in the
cache for a second call. What the FM cannot do is left out and named."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "sensitivity",
        help="say how much an FM's values change with pooling, precision, batch size and k",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "--fm", action="append", required=True, metavar="SPEC", help="as for pytest; may repeat"
    )
    parser.add_argument(
        "--fm-cohort", action="append", default=[], metavar="NAME|PATH", help="as for pytest; may repeat"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=_SETTINGS,
        metavar="SETTING",
        help=f"change this setting only: {', '.join(_SETTINGS)}; may repeat (default: all)",
    )
    parser.add_argument(
        "--batch-size",
        action="append",
        type=_positive,
        metavar="N",
        help="patches per batch to compare with the FM's own; may repeat (default: 1)",
    )
    parser.add_argument(
        "--k",
        action="append",
        type=_positive,
        metavar="K",
        help="number of neighbors to compare with the cohort's; may repeat (default: 5, 11, 21, 46, 61)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write values and intervals here")
    parser.add_argument("--fm-device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--fm-metadata", metavar="DIR", help="folder with the benchmark's tables")
    parser.add_argument("--fm-cache", metavar="DIR", help="folder for embeddings and tables")
    parser.add_argument("--fm-trust-remote-code", action="store_true", help="as for pytest")
    parser.set_defaults(run=_run)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{printable(text)} is not a whole number of 1 or more")
    return number


def _run(options: argparse.Namespace) -> int:
    from pathorob_checks.commands.earlier_outputs import holds, removed_where_nothing_is_made
    from pathorob_checks.results.saving import save_text
    from pathorob_checks.results.sensitivity import SCHEMA

    outputs = {} if options.out is None else {options.out: holds(SCHEMA)}
    with removed_where_nothing_is_made(outputs):
        document = _measured(options)
        say(printable_document(document, width()))
        if options.out is not None:
            text = document.model_dump_json(indent=2, by_alias=True) + "\n"
            save_text(expanded(options.out), text, "table")
            say(printable(f"table: {options.out}"))
    return 0


def _measured(options: argparse.Namespace) -> SensitivityDocument:
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.observer import Bars
    from pathorob_checks.evaluation.sensitivity import sensitivity
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.evaluation.subjects import subjects_of
    from pathorob_checks.metrics.intervals import CONFIDENCE
    from pathorob_checks.results.sensitivity import SensitivityDocument
    from pathorob_checks.version import version

    choices = _choices(options)
    settings = Settings(
        fms=tuple(options.fm),
        cohorts=tuple(options.fm_cohort),
        device=options.fm_device,
        cache=options.fm_cache,
        metadata=options.fm_metadata,
        trust_remote_code=options.fm_trust_remote_code,
    )
    subjects = subjects_of(settings)
    inputs = Inputs(settings, subjects, Bars())
    inputs.preflight()
    return SensitivityDocument(
        version=version(),
        confidence=CONFIDENCE,
        subjects=tuple(sensitivity(inputs, subject, choices) for subject in subjects.subjects),
    )


def _choices(options: argparse.Namespace) -> Choices:
    """What each setting is changed to; of settings that --only leaves out, nothing."""
    from pathorob_checks.evaluation.sensitivity import Choices

    only = options.only or _SETTINGS
    for setting, given in (("batch-size", options.batch_size), ("k", options.k)):
        if given and setting not in only:
            raise SpecError(
                f"--{setting}={given[0]} is given, but --only={only[0]} leaves {setting} as it is",
                remedy=f"add --only={setting}, or leave --{setting} out",
            )
    usual = Choices()
    return Choices(
        poolings=usual.poolings if "pooling" in only else (),
        precisions=usual.precisions if "precision" in only else (),
        batch_sizes=_each_once(options.batch_size or usual.batch_sizes) if "batch-size" in only else (),
        ks=_each_once(options.k or usual.ks) if "k" in only else (),
    )


def _each_once(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers)))


def printable_document(document: SensitivityDocument, columns: int) -> str:
    """A table for each FM and cohort, what was left out, and the largest change in one sentence."""
    from pathorob_checks.results.text import wrapped

    parts = []
    for subject in document.subjects:
        parts.append(wrapped(_heading(subject), width=columns, indent="  "))
        parts.append(_table(subject, document.confidence))
        left = [wrapped(f"left out: {line}", width=columns, indent="  ") for line in _left_out(subject)]
        parts += ["\n".join(left)] if left else []
    parts.append(wrapped(largest_change(document), width=columns, indent="  "))
    return "\n\n".join(parts)


def _heading(subject: Sensitivity) -> str:
    settings = ", ".join(f"{setting} {choice}" for setting, choice in subject.settings.items())
    return f"{subject.fm} on {subject.cohort}; its own settings: {settings}"


def _table(subject: Sensitivity, confidence: float) -> str:
    from tabulate import tabulate

    from pathorob_checks.metrics.registry import metric
    from pathorob_checks.wording import percent

    rows = []
    for own in subject.own:
        rows.append([metric(own.metric).label, "own settings", f"{own.value:z.3f}", "", ""])
        rows += [
            [
                "",
                f"{one.setting} {one.choice}",
                f"{one.value:z.3f}",
                _signed(one.difference),
                _interval_of(one),
            ]
            for one in subject.changes
            if one.metric == own.metric
        ]
    headers = ["metric", "setting", "value", "difference", f"{percent(confidence)} interval"]
    return str(
        tabulate(rows, headers, disable_numparse=True, colalign=("left", "left", "right", "right", "left"))
    )


def _interval_of(change: Change) -> str:
    from pathorob_checks.results.numbers import interval_text

    if change.same_embeddings:
        return "equal embeddings"
    return interval_text(change.interval) if change.interval else "-"


def _signed(difference: float) -> str:
    """With its sign; what rounds to zero has none."""
    rounded = round(difference, 3)
    return f"{rounded:+.3f}" if rounded else "0.000"


def _left_out(subject: Sensitivity) -> Iterator[str]:
    """A clause for each reason, with all that it is a reason for."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in subject.left_out:
        by_reason.setdefault((one.setting, one.reason), []).append(one.choice)
    for (setting, reason), choices in by_reason.items():
        yield f"{setting} {', '.join(choices)}, because {reason}"


def largest_change(document: SensitivityDocument) -> str:
    """One sentence that names it."""
    from pathorob_checks.metrics.registry import metric
    from pathorob_checks.results.numbers import interval_text
    from pathorob_checks.wording import percent

    greatest = document.largest()
    if greatest is None:
        return "Nothing could be changed, so nothing is known of the sensitivity."
    subject, change = greatest
    if not change.difference:
        return "No setting that was changed changes a value."
    interval = ""
    if change.interval:
        interval = f", {percent(document.confidence)} interval {interval_text(change.interval)}"
    return (
        f"The largest change: {change.setting} {change.choice} takes the {metric(change.metric).label} of "
        f"{subject.fm} on {subject.cohort} from {subject.own_value(change.metric):z.3f} to "
        f"{change.value:z.3f} ({_signed(change.difference)}{interval})."
    )
