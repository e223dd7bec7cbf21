"""The command `pathorob-checks`: everything around test runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pathorob_checks import console
from pathorob_checks.commands import (
    after_runs,
    ci,
    compare,
    criteria_actions,
    import_features,
    init,
    merge,
    plan,
    qualify,
    repair,
    report,
    reproduce,
    sensitivity,
    sign,
    verify,
)
from pathorob_checks.commands.completion import complete
from pathorob_checks.commands.parser import Parser, add_commands
from pathorob_checks.console import say
from pathorob_checks.errors import CohortError
from pathorob_checks.files import expanded
from pathorob_checks.width import width
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.evaluation.inputs import Inputs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""

    def command() -> int:
        parser = argument_parser()
        complete(parser)
        options = parser.parse_args(arguments)
        code: int = options.run(options)
        return code

    return console.run(command)


class _Version(argparse.Action):
    """Finds the version out only where it is asked for: a checkout asks git."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from pathorob_checks.version import version

        say(f"{console.NAME} {version()}")
        parser.exit()


def argument_parser() -> argparse.ArgumentParser:
    """All commands, with what each takes."""
    parser = Parser(
        prog=console.NAME,
        usage="%(prog)s [-h] [--version] command ...",
        description="Tools around the gate. The gate itself is pytest: pytest --fm=SPEC (see pytest --help).",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version of this code and exit")
    commands = add_commands(parser, "command")
    init.add_parser(commands)

    demo = commands.add_parser(
        "demo-cohort",
        help="write the demo cohort as a folder with manifest.csv, to copy from",
        description="Write the demo cohort as PNG files and manifest.csv: the form of --fm-cohort=FOLDER.",
    )
    demo.add_argument("folder", type=Path, help="a folder that does not exist yet or is empty")
    demo.set_defaults(run=_demo_cohort)

    doctor = commands.add_parser(
        "doctor",
        help="list in seconds what would stop a run: access, revision, disk, device, cache, time",
        description="Look at all that a run needs, without downloading weights or images: torch and the "
        "device, and with --fm the network, the FM, cohort, criteria, disk and time. Exit code 1 if anything "
        "would stop it.",
    )
    _add_subjects(doctor)
    doctor.add_argument("--fm-device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    doctor.add_argument(
        "--fm-criteria", action="append", metavar="PROFILE|FILE", help="as for pytest; may repeat"
    )
    doctor.add_argument("--fm-baseline", metavar="RESULTS.json|FM", help="as for pytest")
    doctor.add_argument("--fm-baseline-fm", metavar="NAME", help="as for pytest")
    doctor.set_defaults(run=_doctor)

    prefetch = commands.add_parser(
        "prefetch",
        help="download FMs, images and tables for a run without network",
        description="Download all that a run needs. The same run then works with HF_HUB_OFFLINE=1, on "
        "this machine or on one to which the folder of --to is copied.",
    )
    _add_subjects(prefetch)
    prefetch.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="download everything into this folder, to copy it to another machine",
    )
    prefetch.set_defaults(run=_prefetch, fm_device="cpu")

    recipes = commands.add_parser(
        "recipes",
        help="list the FMs that have a recipe, or show one in full",
        description="FMs by name: how each is loaded, preprocessed and pooled, and on what terms.",
    )
    recipes.add_argument("name", nargs="?", help="show this recipe in full")
    recipes.set_defaults(run=_recipes)

    criteria_actions.add_parser(commands)
    verdict = commands.add_parser(
        "verdict",
        help="say what a results file has come to; exit code 0 only if the run passed and had ended",
        description="Read a results file and end as its run did: 0 if it passed, was PARTIAL by your choice, "
        "or is INCONCLUSIVE by a profile that lets that pass. A file of a run that was killed, that did not "
        "finish or that contradicts itself ends with 1. For CI: a run's own exit code cannot tell of a "
        "process that was ended from within.",
    )
    verdict.add_argument("file", type=Path, help="what --fm-json wrote")
    verdict.add_argument(
        "--complete",
        action="store_true",
        help="end with 1 also where a required criterion or an integrity check was left out on purpose",
    )
    verdict.set_defaults(run=_verdict)
    ci.add_parser(commands)
    report.add_parser(commands)
    compare.add_parser(commands)
    merge.add_parser(commands)
    plan.add_parser(commands)
    sensitivity.add_parser(commands)
    repair.add_parser(commands)
    import_features.add_parser(commands)
    verify.add_parser(commands)
    sign.add_parser(commands)
    qualify.add_parser(commands)
    reproduce.add_parser(commands)
    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of the results file",
        description="The form of the file that --fm-json and Results.save write, as JSON Schema 2020-12.",
    )
    schema.set_defaults(run=_schema)

    cache = commands.add_parser(
        "cache",
        help="list, verify, prune or export the embeddings that are kept",
        description="Look after the folder of embeddings.",
    )
    _add_cache_commands(cache)
    after_runs.add_parsers(commands)
    return parser


def _add_cache_commands(cache: argparse.ArgumentParser) -> None:
    commands = add_commands(cache, "action")
    for name, text in (
        ("ls", "list what is there, the embeddings used last first"),
        ("verify", "read all of it and compare every digest; exit code 1 if anything is damaged"),
        ("prune", "remove the embeddings used longest ago; never those in use"),
        ("export", "write embeddings in a form that --fm=embeddings:DIR reads"),
    ):
        action = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("--fm-cache", metavar="DIR", help="the folder (default: the user's cache folder)")
        action.set_defaults(run=_cache_command)
        if name == "prune":
            action.add_argument(
                "--keep",
                required=True,
                type=_size,
                metavar="SIZE",
                help="how much to keep, such as 50GB; 0 removes all that is not in use",
            )
        if name == "export":
            action.add_argument("key", help="the first digits of a key in 'cache ls'")
            action.add_argument("folder", type=Path, help="where to write")
            action.add_argument(
                "--fm-cohort",
                metavar="NAME|PATH",
                help="the cohort: writes PathoROB's layout, a file per center",
            )
            action.add_argument("--fm-metadata", metavar="DIR", help="folder with the benchmark's tables")


def _add_subjects(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fm", action="append", default=[], metavar="SPEC", help="as for pytest; may repeat")
    parser.add_argument(
        "--fm-cohort", action="append", default=[], metavar="NAME|PATH", help="as for pytest; may repeat"
    )
    parser.add_argument("--fm-metadata", metavar="DIR", help="folder with the benchmark's tables")
    parser.add_argument("--fm-cache", metavar="DIR", help="folder for embeddings and tables")
    parser.add_argument("--fm-trust-remote-code", action="store_true", help="as for pytest")


def _demo_cohort(options: argparse.Namespace) -> int:
    from pathorob_checks.cohorts import demo

    folder: Path = options.folder
    try:
        if folder.exists() and not folder.is_dir():
            raise CohortError(f"'{folder}' is a file, not a folder", remedy="name a new folder")
        if folder.exists() and any(folder.iterdir()):
            raise CohortError(f"{folder} is not empty", remedy="name a new folder")
        cohort = demo.load()
        demo.write_folder(folder, cohort)
    except OSError as error:
        raise CohortError(
            f"{folder} cannot be written ({error.strerror})", remedy="name another folder"
        ) from None
    command = f"pytest --fm=demo:stain-invariant --fm-cohort={folder}"
    say(printable(f"{len(cohort)} patches in {folder}; try: {command}"))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import doctor
    from pathorob_checks.results.text import wrapped

    failed = 0
    terms = {
        "criteria": tuple(options.fm_criteria or ("floor",)),
        "baseline": options.fm_baseline,
        "baseline_fm": options.fm_baseline_fm,
    }
    for finding in doctor.examine(_inputs(options, options.fm_cache, **terms)):
        failed += finding.state == doctor.FAIL
        text = finding.text + (f"; {finding.remedy}" if finding.remedy else "")
        lead = f"{finding.state}  {finding.subject}: "
        say(wrapped(lead + text, width=width(), indent="      "))
    problems = counted(failed, "problem") if failed else "nothing"
    if options.fm or options.fm_cohort:
        say(f"{problems} would stop the run")
    else:
        say(f"{problems} would stop a run here; name an FM with --fm=SPEC to look at its run")
    return 1 if failed else 0


def _prefetch(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import prefetch
    from pathorob_checks.errors import SpecError

    if not options.fm and not options.fm_cohort:
        raise SpecError("no FM and no cohort is named", remedy="give --fm=SPEC or --fm-cohort=NAME")
    carried: Path | None = expanded(options.to).absolute() if options.to else None
    cache: str | None = options.fm_cache
    if carried is not None:
        cache = str(prefetch.use_folder(carried))
    for line in prefetch.prefetch(_inputs(options, cache)):
        say(printable(line))
    say(prefetch.how_to_run(options.fm, options.fm_cohort, carried))
    return 0


def _verdict(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import verdict

    sentence, code = verdict.verdict(options.file, complete=options.complete)
    say(sentence)
    return code


def _schema(options: argparse.Namespace) -> int:  # noqa: ARG001
    import json

    from pathorob_checks.results.results import json_schema

    say(json.dumps(json_schema(), indent=2))
    return 0


def _recipes(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import recipes

    say(recipes.table(options.name))
    return 0


def _cache_command(options: argparse.Namespace) -> int:
    from pathorob_checks.commands import cache

    store = cache.store_at(options.fm_cache)
    if options.action == "verify":
        whole = True
        for line, good in cache.verify(store):
            whole &= good
            say(printable(line))
        return 0 if whole else 1
    lines = {
        "ls": lambda: cache.listing(store),
        "prune": lambda: cache.prune(store, options.keep),
        "export": lambda: cache.export(
            store, options.key, options.folder, options.fm_cohort, options.fm_metadata
        ),
    }[options.action]()
    for line in lines:
        say(printable(line))
    return 0


def _size(text: str) -> int:
    from pathorob_checks.sizes import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _inputs(options: argparse.Namespace, cache: str | None, **terms: Any) -> Inputs:
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.observer import Observer
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.evaluation.subjects import subjects_of

    settings = Settings(
        fms=tuple(options.fm),
        cohorts=tuple(options.fm_cohort),
        cache=cache,
        metadata=options.fm_metadata,
        device=options.fm_device,
        trust_remote_code=options.fm_trust_remote_code,
        **terms,
    )
    return Inputs(settings, subjects_of(settings), Observer())
