"""Markdown for pull requests and for the summary of a CI job, in GitHub's and GitLab's dialect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.report.forms import MARK
from pathorob_checks.report.markdown_text import code, code_block, html_code, prose, table
from pathorob_checks.report.order import failures_first
from pathorob_checks.report.reproduction import command_of
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.explanation import explain
from pathorob_checks.results.integrity_counts import integrity_counted
from pathorob_checks.results.listing import verdict_in_words
from pathorob_checks.results.method_changes import change_in_words, effect_sentences, method_changes
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.numbers import change_and_interval, check_interval
from pathorob_checks.results.outcome import lets_pass, value_and_bound
from pathorob_checks.results.remarks import remarks
from pathorob_checks.results.text import titled_sentences
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    from pathorob_checks.results.document import ResultsDocument

# A comment on GitHub holds 65,536 characters, and a step's summary 1 MiB; GitLab's limits are wider.
COMMENT_BYTES = 65_000
STEP_BYTES = 1_000_000
_SIGNS = {
    Verdict.PASS: "\N{WHITE HEAVY CHECK MARK}",
    Verdict.FAIL: "\N{CROSS MARK}",
    Verdict.ERROR: "\N{CROSS MARK}",
    Verdict.INCONCLUSIVE: "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}",
    Verdict.SKIPPED: "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}",
}
_OUTCOME_SIGNS = {
    Outcome.PASS: _SIGNS[Verdict.PASS],
    Outcome.FAIL: _SIGNS[Verdict.FAIL],
    Outcome.ERROR: _SIGNS[Verdict.ERROR],
}
_HEADERS = ["FM", "cohort", "metric", "value", "interval", "bound", "verdict"]
_CHANGE_HEADERS = ["FM", "cohort", "metric", "baseline", "change", "interval", "bound", "verdict"]
_NO_VALUE = "-"


def markdown_report(results: ResultsDocument, most_bytes: int = COMMENT_BYTES) -> str:
    """The results as Markdown: verdict, table, change against the baseline, explanations, how to reproduce.

    Parameters
    ----------
    results : of a run.
    most_bytes : size of the text in UTF-8; explanations that do not fit are left out whole, then rows of the
        tables, and it is said how many.

    Returns
    -------
    Text that holds `forms.MARK`. Nothing that comes from names or files in it is read as Markdown or HTML.
    """
    checks = failures_first(results.checks)
    first = [MARK, "### Robustness of foundation models", *_verdicts(results)]
    last = [*_about_the_run(results), *_reproduction(results)]
    room = most_bytes - _size([*first, *last]) - _size([_left_out(len(checks), "row", "rows")] * 3)
    tables = []
    for make in (_table, _changes, _by_method):
        text = make(results, checks, room)
        tables += text
        room -= _size(text)
    traced = _traced(checks, room)
    explanations = _those_that_fit(results, checks, room - _size(traced))
    return "\n\n".join([*first, *tables, *explanations, *traced, *last]) + "\n"


def _size(blocks: Iterable[str]) -> int:
    return sum(len(block.encode()) + 2 for block in blocks)


def _verdicts(results: ResultsDocument) -> Iterator[str]:
    """The outcome of the run, what went wrong with it, and the verdict on each FM."""
    word, _, rest = results.summary.partition(":")
    sign = _OUTCOME_SIGNS.get(results.outcome, _SIGNS[Verdict.INCONCLUSIVE])
    yield f"{sign} **{prose(word)}:** {prose(rest)}"
    short = short_names(results.checks)
    lines = [f"- {prose(problem)}" for problem in results.problems]
    lines += [f"- test failed: {code(test)}" for test in results.other_failures]
    lines += [
        f"- Release verdict on {code(fm_and_method(short.get(one.fm, one.fm), one.method))}: "
        f"{prose(one.sentence)}"
        for one in results.releases
    ]
    counts = results.environment.criteria.completeness
    if results.integrity or counts.integrity_planned:
        lines.append(f"- {prose(integrity_counted(results.integrity, counts))}")
    yield "\n".join(lines)


def _table(results: ResultsDocument, checks: Sequence[Check], room: int) -> list[str]:
    short = short_names(checks)
    allowed = lets_pass(results)
    rows = []
    for check in checks:
        if check.quantity != "difference":
            value, bound = value_and_bound(check)
            held = [prose(value), _interval(check), prose(f"{check.direction} {bound}")]
            rows.append([*_subject(check, short), *held, _verdict(check, allowed)])
    if not checks:
        return ["No criterion was checked."]
    return _cut_table(_HEADERS, rows, room) if rows else []


def _changes(results: ResultsDocument, checks: Sequence[Check], room: int) -> list[str]:
    """How each FM differs from the baseline."""
    short, allowed = short_names(checks), lets_pass(results)
    rows: list[list[str]] = []
    baselines: dict[tuple[str, str], None] = {}
    for check in checks:
        if check.quantity != "difference":
            continue
        value, bound = value_and_bound(check)
        before = _NO_VALUE
        if check.baseline is not None:
            baselines[check.baseline.fm, check.baseline.source] = None
            before = f"{check.baseline.value:.3f}"
        change = value if value.startswith("-") else f"+{value}"
        held = [before, prose(change), _interval(check), prose(f"{check.direction} {bound}")]
        rows.append([*_subject(check, short), *held, _verdict(check, allowed)])
    if not rows:
        return []
    named = ", ".join(f"{code(fm)} ({prose(source)})" for fm, source in baselines) or "the baseline"
    return [f"**Change against {named}**", *_cut_table(_CHANGE_HEADERS, rows, room)]


def _by_method(results: ResultsDocument, checks: Sequence[Check], room: int) -> list[str]:
    """What each method changes in each metric, paired on the same slides: a column for each method."""
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    short = short_names(checks)
    methods: dict[str, None] = {}
    for one in method_changes(results):
        if one.is_biology:
            continue  # those are criteria, in the table above
        change = " ".join(filter(None, change_and_interval(one.change, one.interval)))
        row = cells.setdefault((one.fm, one.cohort, one.label), {})
        row[one.method] = prose(f"{change} {change_in_words(one)}")
        methods[one.method] = None
    effects = "\n".join(f"- {prose(sentence)}" for sentence in effect_sentences(results))
    if not effects:
        return []
    rows = [
        [code(short[fm]), code(cohort), prose(label), *(row.get(method, _NO_VALUE) for method in methods)]
        for (fm, cohort, label), row in cells.items()
    ]
    headers = ["FM", "cohort", "metric", *map(code, methods)]
    title = "**What each method changes, on the same slides**"
    return [title, effects, *(_cut_table(headers, rows, room - _size([effects])) if rows else ())]


def _subject(check: Check, short: dict[str, str]) -> list[str]:
    return [code(fm_and_method(short[check.fm], check.method)), code(check.cohort), prose(check.label)]


def _interval(check: Check) -> str:
    return prose(check_interval(check)) or _NO_VALUE


def _verdict(check: Check, allowed: bool) -> str:
    return f"{_SIGNS[check.verdict]} {verdict_in_words(check.verdict, allowed=allowed)}"


def _cut_table(headers: list[str], rows: list[list[str]], room: int) -> list[str]:
    """The table, with the rows that fit."""
    lines = table(headers, rows)
    kept = len(lines)
    size = _size(["\n".join(lines)])
    while kept > 2 and size > room:
        kept -= 1
        size -= len(lines[kept].encode()) + 1
    text = ["\n".join(lines[:kept])]
    return [*text, _left_out(len(lines) - kept, "row", "rows")] if kept < len(lines) else text


def _those_that_fit(results: ResultsDocument, checks: Sequence[Check], room: int) -> list[str]:
    """A folded explanation of each check and integrity check that is not met, gravest first."""
    every = [
        *(_explanation(check) for check in checks if check.verdict is not Verdict.PASS),
        *(
            _folded(
                f"{_SIGNS[one.verdict]} {one.verdict.upper()}: "
                f"{html_code(f'{one.name} of {fm_and_method(one.fm, one.method)} on {one.cohort}')}",
                [prose(one.reason or "no reason was given")],
            )
            for one in results.integrity
            if one.verdict in (Verdict.FAIL, Verdict.ERROR)
        ),
    ]
    room -= _size([_left_out(len(every), "explanation", "explanations")])
    kept: list[str] = []
    for text in every:
        room -= _size([text])
        if room < 0:
            return [*kept, _left_out(len(every) - len(kept), "explanation", "explanations")]
        kept.append(text)
    return kept


def _traced(checks: Sequence[Check], room: int) -> list[str]:
    """Requirements and owner of each criterion, folded; nothing where no criterion has any."""
    held = {
        (one.criterion, one.requirements, one.owner or ""): None
        for one in checks
        if one.requirements or one.owner
    }
    rows = [
        [prose(criterion), prose(", ".join(requirements) or "-"), prose(owner or "-")]
        for criterion, requirements, owner in held
    ]
    if not rows:
        return []
    title = "Requirements and owners of the criteria"
    room -= _size([_folded(title, [])])
    text = _cut_table(["criterion", "requirements", "owner"], rows, room)
    block = _folded(title, text)
    return [block] if _size([block]) <= room else []


def _left_out(number: int, noun: str, plural: str) -> str:
    verb = "is" if number == 1 else "are"
    return f"*{counted(number, noun, plural)} {verb} left out for lack of room; the results file has all.*"


def _explanation(check: Check) -> str:
    explanation = explain(check)
    sentences = [f"- **{title}:** {prose(sentence)}" for title, sentence in titled_sentences(explanation)]
    title = f"{_SIGNS[check.verdict]} {check.verdict.upper()}: {html_code(explanation.subject.rstrip(','))}"
    return _folded(title, [prose(explanation.headline), "\n".join(sentences)])


def _folded(title: str, blocks: Iterable[str]) -> str:
    """GitLab reads Markdown between the tags where there are blank lines."""
    return "\n\n".join([f"<details>\n<summary>{title}</summary>", *blocks, "</details>"])


def _about_the_run(results: ResultsDocument) -> Iterator[str]:
    """What a reader has to know of the numbers: notes, what was left out, and drops that say nothing."""
    environment = results.environment
    notes = dict.fromkeys(
        f"{kind} {name}: {note}"
        for run in results.runs
        for kind, name, every in (
            ("FM", run.fm.name, run.fm.notes),
            ("cohort", run.cohort.name, run.cohort.notes),
        )
        for note in every
    )
    sentences = [*remarks(results.checks), *environment.left_out, *environment.settings, *notes]
    if sentences:
        yield "\n".join(["**Notes**", "", *(f"- {prose(sentence)}" for sentence in sentences)])


def _reproduction(results: ResultsDocument) -> Iterator[str]:
    """The command, and what decides the numbers beside it."""
    terms, environment = results.environment.criteria, results.environment
    packages = {name: environment.packages.get(name) for name in ("pathorob-checks", "torch")}
    versions = [f"{name} {code(version)}" for name, version in packages.items() if version]
    named = {"criteria": terms.name, "digest": terms.digest, "Python": environment.python}
    facts = [*(f"{name} {code(text)}" for name, text in named.items() if text), *versions]
    command = command_of(results)
    parts = ["**To reproduce**", code_block(command, "sh")] if command else ["**Made with**"]
    yield "\n\n".join([*parts, ", ".join(facts) + "."])
