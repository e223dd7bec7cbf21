"""The actions of `criteria`: show, check, diff, template."""

from __future__ import annotations

import argparse

from pathorob_checks.commands import criteria_template
from pathorob_checks.commands.parser import add_commands
from pathorob_checks.console import say


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its actions."""
    criteria = commands.add_parser(
        "criteria",
        help="show, check or compare profiles and criteria files, or write one to start from",
        description="Show what profiles and criteria files require, before a run does.",
    )
    actions = add_commands(criteria, "action")
    _add_show(actions)
    check = actions.add_parser(
        "check",
        help="list every mistake in files; exit code 1 if there is one",
        description="List every mistake in criteria files with its line, and what is valid but seldom meant.",
    )
    check.add_argument("criteria", nargs="+", metavar="PROFILE|FILE", help="several are merged, as in a run")
    check.add_argument(
        "--fm-cohort",
        action="append",
        metavar="NAME|PATH",
        help="a cohort of the run; then a criterion of another cohort is a mistake",
    )
    check.set_defaults(run=_check)

    diff = actions.add_parser(
        "diff", help="what was added, removed, tightened or loosened; exit code 1 if anything is less strict"
    )
    diff.add_argument("before", metavar="PROFILE|FILE")
    diff.add_argument("after", metavar="PROFILE|FILE")
    diff.set_defaults(run=_diff)
    criteria_template.add_parser(actions)


def _add_show(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from pathorob_checks.evaluation.settings import METHODS_OOD

    parser = actions.add_parser(
        "show",
        help="what is required of each cohort, and the digest of a run",
        description="Show what profiles and criteria files require of each cohort, and the digest that a run "
        "with these options will have.",
    )
    parser.add_argument(
        "criteria", nargs="+", metavar="PROFILE|FILE", help="as for --fm-criteria; several are merged"
    )
    parser.add_argument(
        "--fm-cohort",
        action="append",
        metavar="NAME|PATH",
        help="as for pytest; may repeat (default: the benchmark's three)",
    )
    parser.add_argument("--fm-baseline", metavar="RESULTS.json", help="as for pytest")
    parser.add_argument("--fm-baseline-fm", metavar="NAME", help="as for pytest")
    parser.add_argument("--fm-repetitions", type=int, metavar="N", help="as for pytest")
    parser.add_argument(
        "--fm-method", action="append", default=[], metavar="METHOD[+METHOD][,...]", help="as for pytest"
    )
    parser.add_argument("--fm-method-only", action="store_true", help="as for pytest")
    parser.add_argument("--fm-method-ood", choices=METHODS_OOD, default="unseen", help="as for pytest")
    parser.add_argument("--fm-method-target", metavar="IMAGE|DIR", help="as for pytest")
    parser.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> int:
    from pathorob_checks.cohorts.registry import BENCHMARK
    from pathorob_checks.commands.criteria_show import show
    from pathorob_checks.evaluation.settings import Settings

    settings = Settings(
        fms=(),
        cohorts=tuple(options.fm_cohort or BENCHMARK),
        baseline=options.fm_baseline,
        baseline_fm=options.fm_baseline_fm,
        repetitions=options.fm_repetitions,
        methods=tuple(options.fm_method),
        method_only=options.fm_method_only,
        method_ood=options.fm_method_ood,
        method_target=options.fm_method_target,
    )
    say(show(options.criteria, settings))
    return 0


def _check(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import criteria

    mistakes = criteria.mistakes(options.criteria, options.fm_cohort or ())
    remarks = [] if mistakes else [f"remark: {one}" for one in criteria.remarks(options.criteria)]
    say("\n".join([*mistakes, *remarks, *([] if mistakes else [criteria.conclusion(options.criteria)])]))
    return 1 if mistakes else 0


def _diff(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import criteria

    lines, weakened = criteria.diff(options.before, options.after)
    say("\n".join(lines) or "no difference")
    return 1 if weakened else 0
