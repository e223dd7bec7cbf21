"""Measured values of a results file in a model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pathorob_checks.errors import ResultsError
from pathorob_checks.files import read_limited
from pathorob_checks.report.model_card import eval_entries, eval_results, fm_of, front_matter, updated_card
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.finished import left_out, why_unfinished
from pathorob_checks.results.results import Results
from pathorob_checks.results.saving import save_text
from pathorob_checks.wording import shortened

_LARGEST = 10_000_000  # bytes of a card
_HUB = "hf-hub:"


def sound_results(path: Path) -> Results:
    """Results that do not contradict themselves.

    Raises
    ------
    ResultsError : the file cannot be read, or contradicts itself.
    """
    results = Results.read(path)
    for contradiction in contradictions(results):
        raise ResultsError(
            f"the results file {path} contradicts itself: {contradiction}",
            remedy="do not use it; run the gate again",
        )
    return results


def refuse_partial(results: ResultsDocument) -> None:
    """Refuse results of a run that left something out.

    Raises
    ------
    ResultsError : a required criterion has no value, or an integrity check was left out.
    """
    partial = left_out(results)
    if partial and not why_unfinished(results):  # which is refused with a better reason
        raise ResultsError(
            f"the run is no ground for a card, because it {partial}",
            remedy="run the whole gate, or add --partial, and the card says that the run was not complete",
        )


def block(results: ResultsDocument, fm: str | None, model: str | None, source_url: str | None) -> str:
    """The metadata of a card, to be put at the top of a README.

    Raises
    ------
    ResultsError : the results have no such FM, or nothing to put in a card.
    """
    name = fm_of(results, fm)
    return front_matter(model or _model(results, name), eval_results(results, name, source_url))


def update(
    readme: Path, results: ResultsDocument, fm: str | None, model: str | None, source_url: str | None
) -> bool:
    """Put the values into an existing card; gives whether that changed it.

    Raises
    ------
    ResultsError : as for `block`; or the card cannot be read or written.
    """
    name = fm_of(results, fm)
    made = eval_results(results, name, source_url)
    try:
        before = read_limited(readme, _LARGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ResultsError(
            f"the card {readme} cannot be read ({reason})", remedy="name a README.md, or write one with --out"
        ) from None
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    after = mark + updated_card(before.removeprefix(mark), model or _model(results, name), made)
    if after != before:
        save_text(readme, after, "card")
    return after != before


def entries(
    results: ResultsDocument,
    fm: str | None,
    tasks: Sequence[str],
    datasets: Sequence[str],
    source_url: str | None,
) -> str:
    """The content of a file in `.eval_results`.

    Parameters
    ----------
    tasks, datasets : as they were typed: `METRIC=TASK` and `COHORT=ORG/NAME`.

    Raises
    ------
    ResultsError : as for `report.model_card.eval_entries`; or one of them has no `=`.
    """
    if not tasks:
        raise ResultsError(
            "the hub must be told which task of the benchmark each value belongs to",
            remedy="give --task METRIC=TASK, with TASK as in the eval.yaml of the benchmark's dataset",
        )
    return eval_entries(
        results,
        fm_of(results, fm),
        tasks=dict(_pair("--task", one) for one in tasks),
        datasets=dict(_pair("--dataset", one) for one in datasets),
        source_url=source_url,
    )


def _pair(option: str, text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key or not value:
        raise ResultsError(
            f"{option} {shortened(text)} is no NAME=VALUE", remedy="write both, with = between"
        )
    return key, value


def _model(results: ResultsDocument, fm: str) -> str:
    """The name of a model's repository on the hub; for others the FM's name."""
    spec = next((run.fm.spec for run in results.runs if run.fm.name == fm), "")
    name = spec.removeprefix(_HUB).partition("@")[0].rpartition("/")[2]
    return name if spec.startswith(_HUB) and name else fm
