"""`pathorob-checks import`: patch features of other tools, as embeddings and a cohort for the gate."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.files import shown
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    from pathorob_checks.importing.importing import Imported

_DESCRIPTION = """\
Read patch features that another tool wrote, hold them against a manifest, and
write embeddings and a cohort without images, which pytest --fm takes.

The manifest is a CSV with the columns slide_id, medical_center and
biological_class, and optionally subset and case_id, a row per slide. With
patch_id, or with x and y, its rows are of patches."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "import",
        help="read patch features of TRIDENT, CLAM, LazySlide, slideflow, eva, or tables",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "source", metavar="FEATURES", help="the folder with the files of features, or one file"
    )
    parser.add_argument("--manifest", required=True, metavar="CSV", help="center and class of each slide")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the embeddings of this FM")
    parser.add_argument(
        "--cohort", default="cohort", metavar="NAME", help="its folder in DIR (default: cohort)"
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        help="hdf5 (TRIDENT, CLAM), anndata (LazySlide, SpatialData), bags (.pt of slideflow, CLAM), eva, or "
        "table (CSV, parquet); found out by default",
    )
    parser.add_argument(
        "--key",
        metavar="NAME",
        help="where a file holds several features: dataset of HDF5, table of SpatialData, entry of obsm, key "
        "of a .pt, or what names of columns begin with",
    )
    parser.add_argument(
        "--patches-per-slide", type=int, metavar="N", help="draw at most N patches of a slide (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (default: 0)")
    parser.add_argument(
        "--skip-unlisted", action="store_true", help="leave out slides that the manifest does not name"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pathorob_checks.evaluation.observer import Bars
    from pathorob_checks.importing.importing import import_features

    done = import_features(
        options.source,
        options.manifest,
        options.out,
        cohort=options.cohort,
        format=options.format,
        key=options.key,
        patches_per_slide=options.patches_per_slide,
        seed=options.seed,
        skip_unlisted=options.skip_unlisted,
        progress=Bars().progress,
    )
    say(_sentence(done))
    for note in done.notes:
        say(f"note: {note}")
    warnings, keyword = _ahead(done)
    for warning in warnings:
        say(f"warning: {warning}")
    fm, cohort = (shlex.quote(shown(path)) for path in (done.folder.parent, done.folder))
    part = f' -k "{keyword}"' if keyword else ""
    say(f"gate them: pytest --fm=embeddings:{fm} --fm-cohort={cohort}{part}")
    return 0


def _ahead(done: Imported) -> tuple[list[str], str | None]:
    """What doctor says about the cohort, and the `-k` of a run that does not stop because of it."""
    from pathorob_checks.commands import subjects_ahead
    from pathorob_checks.commands.findings import PASS
    from pathorob_checks.evaluation.needs import keyword_of_rest
    from pathorob_checks.evaluation.run import Evaluation
    from pathorob_checks.evaluation.settings import Settings

    fm, cohort = f"embeddings:{done.folder.parent}", str(done.folder)
    try:
        evaluation = Evaluation(Settings(fms=(fm,), cohorts=(cohort,)))
        cohorts = {name: evaluation.inputs.cohort(name) for name in evaluation.subjects.cohorts}
        present = [
            finding
            for name in cohorts
            for finding in subjects_ahead.metrics(name, cohorts, evaluation.terms)
            if finding.state != PASS
        ]
    except PathorobChecksError as error:
        return [str(error).removesuffix(".")], None
    return (
        [f"{finding.text}; {finding.remedy}" for finding in present],
        keyword_of_rest(evaluation.unmet_needs(), evaluation.terms.plan.ids),
    )


def _sentence(done: Imported) -> str:
    counts = [
        f"{counted(done.patches, 'embedding')} of {counted(done.dimension, 'number')}",
        counted(done.slides, "slide"),
        counted(done.centers, "medical center"),
        counted(done.classes, "biological class", "biological classes"),
    ]
    fm = f", extractor {done.extractor}" if done.extractor else ""
    return f"{shown(done.folder)}: {', '.join(counts)}; from the format {done.format}{fm}"
