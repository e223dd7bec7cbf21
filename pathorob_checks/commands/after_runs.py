"""The command line of what is done with the results of runs that have ended: history, model cards, badges."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.files import expanded
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.history.store import History

Commands = argparse._SubParsersAction  # `argparse` has no public name for it
_WIDTH = 80


def add_parsers(commands: Commands[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    _add_history(commands)


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
    actions = history.add_subparsers(metavar="ACTION")
    add = actions.add_parser(
        "add", help="add results files", description="Add results files; a file that is there already stays."
    )
    add.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="what --fm-json wrote")
    add.add_argument("--file", metavar="FILE", default=argparse.SUPPRESS, help="the history")
    add.set_defaults(run=_history_add)


def _history(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import history

    chosen = history.Chosen(
        fm=options.fm, metric=options.metric, cohort=options.cohort, family=options.family
    )
    found = history.trends(_history_at(options.file), chosen)
    say(history.render(found, shutil.get_terminal_size((_WIDTH, 0)).columns))
    for noun, path, save in (
        ("table", options.csv, history.save_csv),
        ("figure", options.figure, history.save_figure),
    ):
        if path is not None:
            save(found, expanded(path))
            say(printable(f"{noun}: {path}"))
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
