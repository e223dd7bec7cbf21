"""The command `pathorob-checks`: what is not a test run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pathorob_checks.errors import CohortError, PathorobChecksError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="pathorob-checks",
        description="Tools around the gate. The gate itself is pytest: pytest --fm=SPEC (see pytest --help).",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo-cohort",
        help="write the demo cohort as a folder with manifest.csv, to copy from",
        description="Write the demo cohort as PNG files and manifest.csv: the form of --fm-cohort=FOLDER.",
    )
    demo.add_argument("folder", type=Path, help="a folder that does not exist yet or is empty")
    demo.set_defaults(run=lambda options: _demo_cohort(options.folder))
    options = parser.parse_args(arguments)
    try:
        said: str = options.run(options)
    except PathorobChecksError as error:
        sys.stderr.write(f"pathorob-checks: {error}\n")
        return 1
    sys.stdout.write(said + "\n")
    return 0


def _demo_cohort(folder: Path) -> str:
    from pathorob_checks.cohorts import demo

    try:
        if folder.exists() and any(folder.iterdir()):
            raise CohortError(f"{folder} is not empty", remedy="name a new folder")
        cohort = demo.load()
        demo.write_folder(folder, cohort)
    except OSError as error:
        raise CohortError(
            f"{folder} cannot be written ({error.strerror})", remedy="name another folder"
        ) from None
    return f"{len(cohort)} patches in {folder}; try: pytest --fm=demo:stain-invariant --fm-cohort={folder}"
