"""`doctor` on FMs and cohorts: what a run would refuse before it embeds, without downloading it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks import hub
from pathorob_checks.commands.findings import FAIL, PASS, WARN, Ahead, Finding
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.subjects import Subject
    from pathorob_checks.evaluation.terms import Terms
    from pathorob_checks.models.loading import ResolvedModel


def fm(inputs: Inputs, name: str, ahead: Ahead) -> Iterator[Finding]:
    """Its revision, its files and its terms; models that are Python code are built as a run builds them."""
    from pathorob_checks.models.loading import files_of, is_pinned, license_of, repository_of

    spec, subject = inputs.subjects.specs[name], f"FM {name}"
    resolved = inputs.resolved(name)
    files = files_of(resolved, inputs.settings.model_settings(inputs.settings.device))
    repository = repository_of(spec)
    if repository is not None:
        yield _on_hub(repository, resolved, files, ahead)
    elif files:
        folder = Path(resolved.spec.target)
        ahead.weights[name] = sum((folder / file).stat().st_size for file in files)
        size = f"{ahead.weights[name] / 1e9:.2f} GB"
        yield Finding(PASS, subject, f"{spec.text} has {counted(len(files), 'file')} to read ({size})")
    elif spec.kind == "embeddings":
        yield Finding(PASS, subject, f"{spec.text} is a folder")
    else:
        inputs.model(name)
        yield Finding(PASS, subject, f"{spec.text} can be built")
    if repository is not None and not is_pinned(spec):
        yield Finding(
            WARN,
            subject,
            "the revision is not pinned: it may change tomorrow",
            f"pin it: --fm={spec.text.partition('@')[0]}@{resolved.revision}",
        )
    terms, commercial = license_of(spec)
    if commercial is False:
        text = f"license {terms}: no commercial use"
        yield Finding(WARN, subject, text, "check that the license permits your use")


def _on_hub(repository: str, resolved: ResolvedModel, files: list[str], ahead: Ahead) -> Finding:
    """Ask for the head of every file: a repository whose description is public may refuse its files."""
    commit = str(resolved.revision)
    sizes = {file.name: file.size or 0 for file in hub.list_files(repository, commit)}
    needed = sum(hub.size_to_fetch(repository, commit, file) for file in files)
    ahead.download += needed
    ahead.weights[resolved.name] = sum(sizes.get(file, 0) for file in files)
    what = f"{needed / 1e9:.2f} GB to download" if needed else "in the cache"
    return Finding(PASS, f"FM {resolved.name}", f"{repository} at {commit[:12]} may be read; {what}")


def cohort(inputs: Inputs, name: str, ahead: Ahead) -> Iterator[Finding]:
    """Its tables, its images as far as they need no download, and its terms."""
    from pathorob_checks.cohorts import benchmark
    from pathorob_checks.evaluation.facts import design_text

    subject = f"cohort {name}"
    commit = inputs.commit(name)
    loaded = ahead.cohorts[name] = inputs.cohort(name)
    what = ""
    if commit is not None:
        repository = benchmark.facts().cohorts[name].repository
        files = benchmark.image_files(name, commit)
        needed = sum(hub.size_to_fetch(repository, commit, file.name, "dataset") for file in files)
        ahead.download += needed
        what = f" at {commit[:12]}; " + (f"{needed / 1e9:.2f} GB to download" if needed else "in the cache")
    whole, *classes = design_text(name, loaded)
    yield Finding(PASS, subject, whole.removeprefix(f"cohort {printable(name)}: ") + what)
    for line in classes:
        yield Finding(PASS, subject, line.strip())
    for note in loaded.notes:
        remedy = (
            "leave --fm-metadata out for published values" if loaded.own_tables else "see that this is meant"
        )
        yield Finding(WARN, subject, note.rstrip("."), remedy)
    if loaded.commercial is not True:
        terms = (
            "no commercial use" if loaded.commercial is False else "commercial use is not known to be allowed"
        )
        remedy = "check that the license permits your use"
        if commit is None and loaded.license == "unknown":
            remedy = "write license and commercial into its cohort.toml"
        yield Finding(WARN, subject, f"license {loaded.license}: {terms}", remedy)


def given(inputs: Inputs, subject: Subject) -> Iterator[Finding]:
    """Embeddings of the user's: read and compared with the cohort, as a run does before it measures."""
    values = inputs.embeddings(subject).values
    text = f"embeddings of {counted(len(values), 'patch', 'patches')} of {subject.cohort}"
    yield Finding(PASS, f"FM {subject.fm}", f"{text}, dimension {values.shape[1]:,}")


def metrics(name: str, cohorts: Mapping[str, Cohort], terms: Terms) -> Iterator[Finding]:
    """What of the criteria a cohort has too few slides for, and what reads only a sample of it.

    Parameters
    ----------
    cohorts : all of the run, so that the same `-k` does without whatever any of them lacks.
    """
    from pathorob_checks.evaluation.facts import cohort_facts
    from pathorob_checks.evaluation.needs import unmet_needs, without_unmet
    from pathorob_checks.evaluation.suspects import FEW_SLIDES
    from pathorob_checks.evaluation.work import work_ahead

    subject, loaded = f"cohort {name}", cohorts[name]
    unmet = unmet_needs(terms.checks.values(), cohorts)
    first = next((one for one in unmet if one.required), None)  # the same `-k` does without all: said once
    for one in unmet:
        if one.cohort == name and one.required:
            without = f"; or {without_unmet(unmet, terms.plan.ids)}" if one is first else ""
            yield Finding(FAIL, subject, one.problem, f"{one.remedy}{without}")
        elif one.cohort == name:
            yield Finding(WARN, subject, one.problem, one.remedy)
    cells = [cell for cell in cohort_facts(name, loaded).cells if cell.subset != "OOD"]
    few = [cell for cell in cells if cell.slides < FEW_SLIDES]
    if few:
        fewest = min(few, key=lambda cell: cell.slides)
        yield Finding(
            WARN,
            subject,
            f"{len(few)} of its {counted(len(cells), 'cell')} (in-domain medical center x class) "
            f"{'has' if len(few) == 1 else 'have'} fewer than {FEW_SLIDES} slides, the fewest "
            f"{fewest.biological_class} of {fewest.medical_center} with {fewest.slides}, so that intervals "
            "are uncertain",
            "add slides to these cells",
        )
    for label, work in work_ahead(loaded, terms.protocol["metrics"]).items():
        if work.is_sample:
            yield Finding(
                WARN,
                subject,
                f"the {label} reads a sample, {work.text}",
                "nothing to do: all of them would take hours or days",
            )
