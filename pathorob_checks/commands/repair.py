"""Write an FM's embeddings as a method repairs them, and the fitted repairs, for use elsewhere."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import CacheError, MethodError
from pathorob_checks.files import expanded, shown, write_atomically
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.subjects import Subject

_DESCRIPTION = """\
Embed a cohort with an FM, repair the embeddings, and write them for
--fm=embeddings:DIR: a file for each medical center, and how they were made.
Each repair is written too, for use with the FM elsewhere:
pathorob_checks.methods.saving.load(FOLDER).transform(embeddings, centers=...).
Repairs are fitted on the in-domain patches of the cohort. So a run on the
written embeddings has no value of metrics that train a classifier: gate the
FM with --fm-method instead."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    from pathorob_checks.evaluation.settings import METHODS_OOD

    parser = commands.add_parser(
        "repair",
        help="write an FM's embeddings of a cohort as a method repairs them",
        description=_DESCRIPTION,
    )
    parser.add_argument("--fm", required=True, metavar="SPEC", help="as for pytest")
    parser.add_argument(
        "--fm-cohort", action="append", default=[], metavar="NAME|PATH", help="as for pytest; may repeat"
    )
    parser.add_argument(
        "--method", required=True, metavar="METHOD[+METHOD]", help="as --fm-method of pytest, one of them"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--method-ood", default="unseen", choices=METHODS_OOD, help="as --fm-method-ood of pytest"
    )
    parser.add_argument("--method-target", metavar="IMAGE|DIR", help="as --fm-method-target of pytest")
    parser.add_argument("--fm-device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--fm-cache", metavar="DIR", help="as for pytest")
    parser.add_argument("--fm-metadata", metavar="DIR", help="as for pytest")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.observer import Bars
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.evaluation.subjects import subjects_of
    from pathorob_checks.methods.chain import chain_of
    from pathorob_checks.methods.names import NO_METHOD

    chain = None if "," in options.method else chain_of(options.method)
    if chain is None or chain.text == NO_METHOD:
        raise MethodError(
            f"{options.method!r} names no single method", remedy="name one, or join several by '+'"
        )
    classifiers = [kind.name for kind in chain.repairs if not kind.repairs_embeddings]
    if classifiers:
        raise MethodError(
            f"{classifiers[0]} is part of a classifier and repairs no embeddings", remedy="leave it out"
        )
    out = expanded(options.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CacheError(f"{shown(out)} is not an empty folder", remedy="name a new one with --out")
    settings = Settings(
        fms=(options.fm,),
        cohorts=tuple(options.fm_cohort),
        methods=(chain.text,),
        method_ood=options.method_ood,
        method_target=options.method_target,
        device=options.fm_device,
        cache=options.fm_cache,
        metadata=options.fm_metadata,
    )
    inputs = Inputs(settings, subjects_of(settings), Bars())
    inputs.preflight()
    for subject in inputs.subjects.subjects:
        if subject.method == chain.text:
            say(_write(inputs, subject, out))
    say(f"measure them with classifiers: {_measuring_command(inputs, chain.text)}")
    return 0


def _measuring_command(inputs: Inputs, method: str) -> str:
    """The command whose repairs see no test patches; what was written has seen all in-domain slides."""
    options = [f"--fm={spec.text}" for spec in inputs.subjects.specs.values()]
    options += [f"--fm-cohort={text}" for text in inputs.subjects.cohorts.values()]
    options.append(f"--fm-method={method}")
    if inputs.settings.method_ood != "unseen":
        options.append(f"--fm-method-ood={inputs.settings.method_ood}")
    if inputs.settings.method_target is not None:
        options.append(f"--fm-method-target={inputs.settings.method_target}")
    if inputs.settings.metadata is not None:
        options.append(f"--fm-metadata={inputs.settings.metadata}")
    return " ".join(["pytest", *map(shlex.quote, map(printable, options))])


def _write(inputs: Inputs, subject: Subject, out: Path) -> str:
    """Write all of one cohort; returns what was written as a sentence."""
    from pathorob_checks.embeddings.pathorob_layout import write_pathorob_layout
    from pathorob_checks.embeddings.repaired import FOLDER, Provenance, RepairedCohort
    from pathorob_checks.evaluation.facts import machine_facts
    from pathorob_checks.methods.chain import chain_of
    from pathorob_checks.methods.saving import save
    from pathorob_checks.results.part import builtin

    cohort, embeddings = inputs.cohort(subject.cohort), inputs.embeddings(subject)
    values = inputs.repaired(subject)
    write_pathorob_layout(out, subject.cohort, cohort.patches, values)
    repairing = inputs.repairing(subject)
    fitted = repairing.on_all(embeddings.values)
    names = []
    for place, repair in enumerate(fitted, 1):
        names.append(f"repairs/{subject.cohort}/{place}-{repair.name}")
        save(repair, out / names[-1])
    provenance = Provenance(
        fm=inputs.resolved(subject.fm).name,
        revision=inputs.resolved(subject.fm).revision,
        identity=builtin(embeddings.identity),
        embeddings=embeddings.key,
        cohort=RepairedCohort(name=subject.cohort, digest=cohort.digest),
        method=subject.method,
        versions=chain_of(subject.method).versions,
        method_ood=inputs.settings.method_ood,
        method_target=inputs.subjects.method_target,
        repairs=names,
        fitted_slides=repairing.fitted_slides if fitted else [],
        machine=machine_facts(),
    )
    place_of_file = out / FOLDER / f"{subject.cohort}.json"
    place_of_file.parent.mkdir(exist_ok=True)
    content = provenance.model_dump_json(by_alias=True, indent=1) + "\n"
    write_atomically(place_of_file, content.encode())
    return f"{shown(out)}: {counted(len(values), 'embedding')} of {subject.cohort}, {subject.method}"
