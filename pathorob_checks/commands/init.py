"""Write files to start from: criteria, a cohort's manifest, and a job for CI."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pathorob_checks.console import say
from pathorob_checks.criteria.templates import template
from pathorob_checks.errors import CacheError
from pathorob_checks.files import expanded
from pathorob_checks.wording import printable

CRITERIA = "robustness.toml"
COHORT = "our_patches"
COLUMNS = ("image_path", "slide_id", "patch_id", "biological_class", "medical_center", "subset")
_DEMO = "demo:stain-invariant"
_JOBS: Mapping[str, str] = {
    "github": ".github/workflows/robustness.yml",
    "gitlab": "robustness.gitlab-ci.yml",
}
_DESCRIPTION = f"""\
Write files to start from into a folder, and print what to do next:

  {CRITERIA}            criteria, each with a reason, to change
  {COHORT}/manifest.csv  the table of a cohort: a row for each patch. A folder with images in
                             <class>/<center>/<slide>/ (--cohort) gets the rows of its images
  a job for CI               for GitHub or GitLab

No file that exists is changed."""
_EXAMPLES = """\
examples:
  pathorob-checks init
  pathorob-checks init gate --fm=virchow2 --cohort=patches --ci=gitlab
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "init",
        help="write criteria, a manifest and a CI job to start from",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="default: the current folder")
    parser.add_argument("--fm", default=_DEMO, metavar="SPEC", help=f"as for pytest (default: {_DEMO})")
    parser.add_argument(
        "--cohort",
        metavar="DIR",
        help=f"folder of the cohort, relative to the first one (default: {COHORT}, which is written)",
    )
    parser.add_argument(
        "--ci",
        choices=(*_JOBS, "none"),
        default="github",
        help="which CI server gets a job (default: github)",
    )
    parser.set_defaults(run=_run)


@dataclass(frozen=True)
class _Cohort:
    """The cohort that the files are about; `manifest` is what is to be written, None where it has a table."""

    name: str
    is_empty: bool
    manifest: str | None


def _run(options: argparse.Namespace) -> int:
    from pathorob_checks.models.spec import parse_spec

    parse_spec(options.fm)  # a misspelled one would otherwise be found by the first run
    folder = expanded(options.folder)
    cohort = _cohort(folder, options.cohort)
    # Without patches of one's own the job checks the demo cohort, so that it runs as it is.
    in_job = "demo" if cohort.is_empty else cohort.name
    wanted = {CRITERIA: template()}
    if cohort.manifest is not None:
        wanted[f"{cohort.name}/manifest.csv"] = cohort.manifest
    if options.ci != "none":
        job = _text(f"{options.ci}.yml")
        wanted[_JOBS[options.ci]] = job.replace('"{fm}"', json.dumps(options.fm)).replace(
            '"{cohort}"', json.dumps(in_job)
        )
    for name, text in wanted.items():
        written = _write(folder / name, text)
        say(printable(f"{'wrote' if written else 'kept, as it exists:'} {options.folder / name}"))
    say("\n".join(_next(options, cohort, in_job)))
    return 0


def _next(options: argparse.Namespace, cohort: _Cohort, in_job: str) -> list[str]:
    """What to do next."""
    steps = ["", "next:"]
    if options.folder != Path():
        steps.append(f"  cd {shlex.quote(printable(str(options.folder)))}")
    steps.append(f"  pathorob-checks criteria check {CRITERIA}")
    options_of_run = f"--fm={shlex.quote(printable(options.fm))} --fm-criteria={CRITERIA}"
    steps.append(f"  pytest {options_of_run} --fm-cohort={shlex.quote(printable(in_job))}")
    if cohort.is_empty:
        steps.append(
            f"then write a row for each patch into {printable(cohort.name)}/manifest.csv (subset: ID, or OOD "
            "for medical centers that only test), and run it with "
            f"--fm-cohort={shlex.quote(printable(cohort.name))}"
        )
    if options.ci == "gitlab":
        steps.append(f"and include {_JOBS['gitlab']} in .gitlab-ci.yml")
    return steps


def _cohort(folder: Path, name: str | None) -> _Cohort:
    """The named cohort, with a manifest of its images if it has none; or an empty manifest."""
    from pathorob_checks.cohorts.image_files import FileImages
    from pathorob_checks.cohorts.tree import load_tree

    place = folder / (name or COHORT)
    if name is None and not place.exists():
        return _Cohort(COHORT, True, _csv([]))
    table = place / "manifest.csv"
    if not place.is_dir() or table.exists():
        is_empty = table.is_file() and table.read_bytes().strip() == _csv([]).strip().encode()
        return _Cohort(name or COHORT, is_empty, None)
    cohort = load_tree(place)
    assert isinstance(cohort.read_image, FileImages)  # noqa: S101 (a tree has them)
    columns = [cohort.patches[column] for column in COLUMNS[1:]]
    return _Cohort(name or COHORT, False, _csv(zip(cohort.read_image.paths, *columns, strict=True)))


def _csv(rows: Iterable[Iterable[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return stream.getvalue()


def _text(name: str) -> str:
    return (files("pathorob_checks.commands") / "starting_files" / name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> bool:
    """Write a new file; False where there is one already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise CacheError(
            f"{printable(str(path))} cannot be written ({error.strerror})",
            remedy="name a folder that you may write to",
        ) from None
    return True
