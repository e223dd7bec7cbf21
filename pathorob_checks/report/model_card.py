"""Measured values in the forms of model cards: the `model-index` of a README, and entries of `.eval_results`.

The forms are those of huggingface_hub; what they have no place for stands among a metric's arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import ResultsError
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.finished import left_out, why_unfinished
from pathorob_checks.results.subject_facts import CohortFacts
from pathorob_checks.wording import brief, counted, hint, percent, printable, quoted

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TOOL = "pathorob-checks"
KEY = "model-index"
_TASK, _TASK_NAME = "image-feature-extraction", "Robustness to medical centers"
_ON_THE_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_LINE = 1000  # characters; YAML may break a longer text
_MEASURED_BY = "measured_by"  # the argument of a metric that tells our entries from those of others


def fm_of(results: ResultsDocument, name: str | None) -> str:
    """The FM that a card is about.

    Raises
    ------
    ResultsError : the run did not finish, the results are of several FMs and none is named, or they have no
        such FM.
    """
    _refuse_unfinished(results)
    known = list(dict.fromkeys(check.fm for check in results.checks))
    if name is not None and name not in known:
        raise ResultsError(f"the results have no FM {name!r}", remedy=hint(name, known, "they have {known}"))
    if name is None and len(known) != 1:
        raise ResultsError(
            f"the results are of {counted(len(known), 'FM')}",
            remedy=f"name one with --fm: {brief(', '.join(known))}" if known else "run the gate again",
        )
    return name or known[0]


def measured_checks(results: ResultsDocument, fm: str) -> list[Check]:
    """The checks of an FM, without a method that repairs it, that have a value.

    Raises
    ------
    ResultsError : the run did not finish, the embeddings are not sound, or nothing was measured.
    """
    _refuse_unfinished(results)
    broken = [
        check.name
        for check in results.integrity
        if (check.fm, check.method) == (fm, NO_METHOD) and check.verdict in ("fail", "error")
    ]
    if broken:
        raise ResultsError(
            f"the embeddings of {fm} are not sound ({brief(', '.join(broken))})",
            remedy="correct what the integrity checks found and run the gate again",
        )
    checks = [
        check
        for check in results.checks
        if (check.fm, check.method) == (fm, NO_METHOD) and check.verdict.is_measured
    ]
    if not checks:
        raise ResultsError(
            f"the results have no measured value of {fm} without a method",
            remedy="run the gate again" + (" without --fm-method-only" if _has_methods_only(results) else ""),
        )
    return checks


def _has_methods_only(results: ResultsDocument) -> bool:
    methods = results.environment.criteria.protocol.get("methods")
    return isinstance(methods, dict) and methods.get("only") is True


def _refuse_unfinished(results: ResultsDocument) -> None:
    if reason := why_unfinished(results):
        raise ResultsError(f"the run is no ground for a card: {reason}", remedy="let a run finish")


def eval_results(results: ResultsDocument, fm: str, source_url: str | None = None) -> list[EvalResult]:
    """Each measured value of an FM in huggingface_hub's form, with its interval, bound and verdict.

    Parameters
    ----------
    source_url : where a reader finds more, such as the report; the form has a source only with an address.

    Raises
    ------
    ResultsError : as for `measured_checks`.
    """
    from huggingface_hub import EvalResult

    cohorts = {run.cohort.name: run.cohort for run in results.runs}
    made = []
    for check in measured_checks(results, fm):
        dataset, revision = _dataset(check, cohorts)
        made.append(
            EvalResult(
                task_type=_TASK,
                task_name=_TASK_NAME,
                dataset_type=dataset,
                dataset_name=printable(check.cohort),
                dataset_revision=revision,
                metric_type=printable(check.metric),
                metric_name=printable(check.label),
                metric_value=check.value,
                metric_args=_arguments(check, results),
                source_url=source_url,
                source_name=TOOL if source_url else None,
            )
        )
    return made


def front_matter(model: str, made: Sequence[EvalResult]) -> str:
    """A model card's metadata with nothing but these values: YAML between two lines of dashes."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(model_name=printable(model), eval_results=list(made))
    return f"---\n{data.to_yaml()}\n---\n"


def updated_card(content: str, model: str, made: Sequence[EvalResult]) -> str:
    """A card with these values in place of those that this tool wrote before; all else stays as it is.

    Raises
    ------
    ResultsError : its metadata cannot be read.
    """
    import yaml
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    block_match = REGEX_YAML_BLOCK.search(content)
    if block_match is None:
        return front_matter(model, made) + content
    line_break = "\r\n" if "\r\n" in block_match.group() else "\n"
    text = block_match.group(2).replace("\r\n", "\n")
    try:
        metadata = yaml.safe_load(text) or {}
        if not isinstance(metadata, dict):
            raise ValueError("it is no mapping")
        start, end = _place(text)
        index = _merged(metadata.get(KEY), model, made)
        before = (
            text[:start] if not text[:start].strip() or text[:start].endswith("\n") else f"{text[:start]}\n"
        )
        block = f"{before}{_yaml({KEY: index})}{text[end:]}".removesuffix("\n").replace("\n", line_break)
        card = content[: block_match.start(2)] + block + content[block_match.end(2) :]
        read = yaml.safe_load(block)
        if set(read) != {*metadata, KEY} or read[KEY] != index:
            raise ValueError("it refers to parts of its own model-index")
        ModelCard(card)  # as the hub reads it
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or error
        raise ResultsError(
            f"the metadata of the card cannot be read ({brief(printable(str(problem)))})",
            remedy="correct it, or write the metadata to another file with --out",
        ) from None
    return card


def eval_entries(
    results: ResultsDocument,
    fm: str,
    tasks: Mapping[str, str],
    datasets: Mapping[str, str],
    source_url: str | None = None,
) -> str:
    """Values on benchmarks of the hub in the form of `.eval_results/*.yaml`.

    Parameters
    ----------
    tasks : id of the benchmark's task for each metric that is written, as its eval.yaml has it.
    datasets : the hub's dataset for cohorts whose results do not name it.

    Raises
    ------
    ResultsError : as for `measured_checks`; or a metric was not measured, a cohort's dataset is not known, or
        the installed huggingface_hub does not know the form.
    """
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError:
        raise ResultsError(
            "the installed huggingface-hub does not know .eval_results",
            remedy="update it with 'pip install -U huggingface-hub'",
        ) from None
    cohorts = {run.cohort.name: run.cohort for run in results.runs}
    checks = [check for check in measured_checks(results, fm) if check.quantity == "value"]
    if missing := sorted(set(tasks) - {check.metric for check in checks}):
        raise ResultsError(
            f"the results have no measured value of {quoted(missing)}", remedy="leave the --task out"
        )
    entries = []
    for check in checks:
        if check.metric not in tasks:
            continue
        dataset, revision = _dataset(check, cohorts)
        if check.cohort in datasets:
            dataset, revision = datasets[check.cohort], None
        if "/" not in dataset:
            raise ResultsError(
                f"the dataset of the cohort {check.cohort} on the hub is not known",
                remedy=f"give it with --dataset {check.cohort}=ORG/NAME",
            )
        entries.append(
            EvalResultEntry(
                dataset_id=dataset,
                dataset_revision=revision,
                task_id=tasks[check.metric],
                value=check.value,
                date=results.model_dump(mode="json", include={"created"})["created"],
                source_url=source_url,
                source_name=TOOL if source_url else None,
                notes=printable(_notes(check, results)),
            )
        )
    return _yaml(eval_result_entries_to_yaml(entries))


def is_block(content: bytes) -> bool:
    """Whether a file holds the metadata of `front_matter` and nothing else."""
    text = content.decode(errors="replace")
    alone = text.startswith("---\n") and text.endswith("\n---\n") and text.count("\n---\n") == 1
    return alone and f"{_MEASURED_BY}: {TOOL}" in text


def are_entries(content: bytes) -> bool:
    """Whether a file holds entries of `eval_entries` and no others."""
    import yaml

    try:
        entries = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    is_list = isinstance(entries, list) and bool(entries)
    return is_list and all(isinstance(one, dict) and TOOL in str(one.get("notes")) for one in entries)


def _dataset(check: Check, cohorts: Mapping[str, CohortFacts]) -> tuple[str, str | None]:
    """The hub's id of a cohort's images and their commit; for others the cohort's name, never a path."""
    facts = cohorts.get(check.cohort)
    on_hub = _ON_THE_HUB.fullmatch(facts.source) if facts else None
    return (on_hub["id"], on_hub["revision"]) if on_hub else (printable(check.cohort), None)


def _arguments(check: Check, results: ResultsDocument) -> dict[str, Any]:
    """What the form has no field for."""
    terms = results.environment.criteria
    made: dict[str, Any] = {"k": check.neighbors} if check.neighbors is not None else {}
    if check.interval is not None:
        made |= {"interval": list(check.interval), "confidence": check.confidence}
    release = [
        str(one.verdict) for one in results.releases if (one.fm, one.method) == (check.fm, check.method)
    ]
    return {
        **made,
        "quantity": check.quantity,
        "criterion": printable(f"{check.criterion} {check.direction} {check.bound:g}"),
        "verdict": str(check.verdict),
        "complete": not left_out(results),
        **({"release_verdict": release[0]} if release else {}),
        "criteria": printable(terms.name),
        "criteria_digest": terms.digest,
        _MEASURED_BY: _tool(results),
    }


def _tool(results: ResultsDocument) -> str:
    version = results.environment.packages.get(TOOL)
    return printable(f"{TOOL} {version}" if version else TOOL)


def _notes(check: Check, results: ResultsDocument) -> str:
    terms = results.environment.criteria
    parts = [f"k = {check.neighbors}"] if check.neighbors is not None else []
    if check.interval is not None:
        low, high = check.interval
        parts.append(f"{percent(check.confidence or 0.95)} interval {low:.3f} to {high:.3f}")
    parts.append(f"{check.verdict} by {check.direction} {check.bound:g}")
    if partial := left_out(results):
        parts.append(f"of a partial run, which {partial}")
    return "; ".join([*parts, f"criteria {terms.name} ({terms.digest[:12]})", _tool(results)])


def _merged(index: object, model: str, made: Sequence[EvalResult]) -> list[Any]:
    """The entries of others, as they are, and these."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    [ours] = eval_results_to_model_index(printable(model), list(made))
    if index is None:
        return [ours]
    try:
        models = [{**one, "results": _of_others(one.get("results") or [])} for one in _list(index)]
        own = next((one for one in models if one.get("name") == model), models[0] if models else None)
        if own is None:
            return [ours]
        own["results"] += ours["results"]
    except (AttributeError, TypeError, KeyError):
        raise ValueError("its model-index has another form than the hub's") from None
    return models


def _of_others(entries: object) -> list[Any]:
    kept = []
    for entry in _list(entries):
        metrics = [one for one in _list(entry.get("metrics") or []) if not _is_ours(one)]
        if metrics or not entry.get("metrics"):
            kept.append({**entry, "metrics": metrics} if metrics else entry)
    return kept


def _is_ours(metric: Mapping[str, Any]) -> bool:
    arguments = metric.get("args")
    return isinstance(arguments, dict) and str(arguments.get(_MEASURED_BY, "")).split(" ")[0] == TOOL


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _place(text: str) -> tuple[int, int]:
    """Where the entries stand in the text of the metadata; its end, twice, where there are none."""
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return len(text), len(text)
    if node.flow_style:
        raise ValueError("it is written in braces")
    for key, value in node.value:
        if key.value == KEY:
            start, end = key.start_mark.index, value.end_mark.index
            lines = text[start:end].splitlines(keepends=True)
            while len(lines) > 1 and (not lines[-1].strip() or lines[-1].startswith("#")):
                lines.pop()  # what stands before the next key is no part of this one
            return start, start + len("".join(lines))
    return len(text), len(text)


def _yaml(value: object) -> str:
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=_LINE))
