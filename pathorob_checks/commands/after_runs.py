"""The command line of what is done with the results of runs that have ended: history, model cards, badges."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.files import expanded
from pathorob_checks.width import width
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.history.store import History

Commands = argparse._SubParsersAction  # `argparse` has no public name for it


def add_parsers(commands: Commands[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    _add_history(commands)
    _add_model_card(commands)
    _add_badge(commands)


def _add_history(commands: Commands[argparse.ArgumentParser]) -> None:
    history = commands.add_parser(
        "history",
        help="show the trend of each FM family over kept runs, or add results files to them",
        description="Show the values of each FM family over the runs that --fm-history kept, and which of "
        "them fell by more than chance explains.",
    )
    history.add_argument("--file", metavar="FILE", help="the history (default: as for --fm-history)")
    history.add_argument("--fm", metavar="PATTERN", help="name of an FM or of a family, such as 'our-fm*'")
    history.add_argument("--metric", metavar="NAME", help="show one metric, such as robustness_index")
    history.add_argument("--cohort", metavar="NAME", help="show one cohort")
    history.add_argument(
        "--family",
        metavar="REGEX",
        help="what the family's name is in an FM's: the first group, or all that matches (default: the name "
        "without its revision, version, date or step of training)",
    )
    history.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the trends; the name ends with .png, .svg or .pdf"
    )
    history.add_argument("--csv", type=Path, metavar="FILE", help="write the trends as a table")
    history.set_defaults(run=_history)
    actions = history.add_subparsers(metavar="[ACTION]")
    add = actions.add_parser(
        "add", help="add results files", description="Add results files; a file that is there already stays."
    )
    add.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="what --fm-json wrote")
    add.add_argument("--file", metavar="FILE", default=argparse.SUPPRESS, help="the history")
    add.set_defaults(run=_history_add)


def _history(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import history
    from pathorob_checks.commands.earlier_outputs import removed_where_nothing_is_made

    chosen = history.Chosen(
        fm=options.fm, metric=options.metric, cohort=options.cohort, family=options.family
    )
    outputs = {
        path: form
        for path, form in ((options.csv, history.TABLE), (options.figure, history.FIGURE))
        if path is not None
    }
    with removed_where_nothing_is_made({path: form.is_one for path, form in outputs.items()}):
        kept = _history_at(options.file)
        kept_trends = history.trends(kept, chosen)
        say(history.render(kept_trends, width()))
        say(printable(f"history: {kept.path} ({counted(len(kept.runs()), 'run')})"))
        for path, form in outputs.items():
            form.save(kept_trends, expanded(path))
            say(printable(f"{form.noun}: {path}"))
    return 0


def _history_add(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import history

    whole = True
    kept = _history_at(options.file)
    for line, good in history.add(kept, [expanded(file) for file in options.results]):
        whole &= good
        say(printable(line))
    say(printable(f"history: {kept.path}"))
    return 0 if whole else 1


def _history_at(file: str | None) -> History:
    from pathorob_checks.history.place import default_file
    from pathorob_checks.history.store import History

    return History(expanded(file) if file else default_file())


def _add_model_card(commands: Commands[argparse.ArgumentParser]) -> None:
    card = commands.add_parser(
        "model-card",
        usage="%(prog)s [options] RESULTS.json",
        help="put the measured values into a model card: model-index, or .eval_results of the hub",
        description="Write the measured values of a results file in the forms of the hub's model cards, each "
        "with its interval, bound and verdict. Without an option, the metadata is printed.",
    )
    card.add_argument("results", type=Path, metavar="RESULTS.json", help="what --fm-json wrote")
    card.add_argument("--fm", metavar="NAME", help="which FM, where the results are of several")
    card.add_argument(
        "--name", metavar="MODEL", help="the model's name in the card (default: its repository)"
    )
    card.add_argument("--source-url", metavar="URL", help="where a reader finds more, such as the report")
    card.add_argument(
        "--partial",
        action="store_true",
        help="also of a run that left out required criteria or integrity checks; each value says so",
    )
    target = card.add_mutually_exclusive_group()
    target.add_argument("--out", type=Path, metavar="FILE", help="write the metadata to this file")
    target.add_argument(
        "--readme", type=Path, metavar="README.md", help="update this card; what others wrote in it stays"
    )
    target.add_argument(
        "--eval-results",
        type=Path,
        metavar="FILE",
        help="write values on a benchmark of the hub, such as to .eval_results/pathorob.yaml; needs --task",
    )
    card.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="METRIC=TASK",
        help="with --eval-results: the task's id in the eval.yaml of the benchmark's dataset; may repeat",
    )
    card.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="COHORT=ORG/NAME",
        help="with --eval-results: the hub's dataset, for a cohort whose results do not name it; may repeat",
    )
    card.set_defaults(run=_model_card)


def _model_card(options: argparse.Namespace) -> int:
    from pathorob_checks.commands.earlier_outputs import removed_where_nothing_is_made
    from pathorob_checks.report.model_card import are_entries, is_block

    earlier = {options.out: is_block, options.eval_results: are_entries}
    earlier = {path: recognizes for path, recognizes in earlier.items() if path is not None}
    with removed_where_nothing_is_made(earlier, [options.results]):
        _write_card(options)
    return 0


def _write_card(options: argparse.Namespace) -> None:
    from pathorob_checks.commands import model_card
    from pathorob_checks.results.saving import save_text

    results = model_card.sound_results(expanded(options.results))
    if not options.partial:
        model_card.refuse_partial(results)
    chosen = (results, options.fm, options.name, options.source_url)
    if options.readme is not None:
        changed = model_card.update(expanded(options.readme), *chosen)
        say(printable(f"card: {options.readme}{'' if changed else ' (had these values)'}"))
    elif options.eval_results is not None:
        text = model_card.entries(results, options.fm, options.task, options.dataset, options.source_url)
        save_text(expanded(options.eval_results), text, "file")
        say(printable(f"eval results: {options.eval_results}"))
    elif options.out is not None:
        save_text(expanded(options.out), model_card.block(*chosen), "card")
        say(printable(f"card: {options.out}"))
    else:
        say(model_card.block(*chosen).rstrip("\n"))


def _add_badge(commands: Commands[argparse.ArgumentParser]) -> None:
    badge = commands.add_parser(
        "badge",
        help="draw what a results file has come to as a badge for a README",
        description="Write an SVG badge: the outcome of a run and its number of criteria.",
    )
    badge.add_argument("results", type=Path, metavar="RESULTS.json", help="what --fm-json wrote")
    badge.add_argument("--out", type=Path, required=True, metavar="FILE.svg", help="the badge")
    badge.add_argument("--label", metavar="TEXT", help="what stands at its left (default: robustness)")
    badge.set_defaults(run=_badge)


def _badge(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import model_card
    from pathorob_checks.commands.earlier_outputs import holds, removed_where_nothing_is_made
    from pathorob_checks.report.badge import LABEL, MARK, badge, message
    from pathorob_checks.results.saving import save_text

    with removed_where_nothing_is_made({options.out: holds(MARK)}, [options.results]):
        results = model_card.sound_results(expanded(options.results))
        save_text(expanded(options.out), badge(results, options.label or LABEL), "badge")
    say(printable(f"badge: {options.out} ({message(results)})"))
    return 0
