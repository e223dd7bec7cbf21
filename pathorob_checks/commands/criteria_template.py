"""Write a commented criteria file to start from."""

from __future__ import annotations

import argparse
from pathlib import Path

from pathorob_checks.console import say
from pathorob_checks.criteria.templates import (
    STANDARDS,
    TO_FILL_IN,
    places_in,
    started_from,
    template,
)
from pathorob_checks.errors import CriteriaError
from pathorob_checks.files import expanded
from pathorob_checks.wording import counted, printable

_PROFILE = "floor"  # that a plain file starts from


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to those of `criteria`."""
    parser = actions.add_parser(
        "template",
        help="write a commented criteria file to start from, plain or with a standard or regulation in mind",
        description="Write a criteria file to start from, valid at once; its bounds are starting values. "
        "With --standard it says what each clause asks for, which metric speaks to it, and what is not "
        f"covered, claims no compliance, and '{TO_FILL_IN}' stands where you decide.",
    )
    parser.add_argument(
        "--standard",
        choices=STANDARDS,
        metavar="NAME",
        help=f"one of {', '.join(STANDARDS)} (default: none)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="a new file (default: standard output)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    name = "criteria.toml" if options.out is None else options.out.name
    text = started_from(_PROFILE, name) if options.standard is None else template(options.standard)
    if options.out is None:
        say(text.rstrip("\n"))
        return 0
    path = expanded(options.out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise CriteriaError(
            f"the criteria file {options.out} exists already", remedy="name a new file with --out"
        ) from None
    except (OSError, ValueError) as error:
        raise CriteriaError(
            f"{options.out} cannot be written ({getattr(error, 'strerror', None) or error})",
            remedy="name a new file in a folder that you may write to",
        ) from None
    places = places_in(text)
    to_fill_in = f", with {counted(places, 'place')} to fill in" if places else ""
    say(
        printable(f"{options.out} is written{to_fill_in}; then run: ")
        + printable(f"pathorob-checks criteria check {options.out}")
    )
    return 0
