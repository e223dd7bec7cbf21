"""What a check's outcome means, in words: the message of a failing test.

All wording about the metrics is in one table, so that terminal, test message and page say the same.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pathorob_checks.criteria.bounds import METRIC_RANGES
from pathorob_checks.criteria.verdict import Verdict, meets, percent, written
from pathorob_checks.report.record import CheckRecord

WIDTH = 80
_WEAKEST_SHOWN = 2
_SLIDES_SHOWN = 3
_UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


@dataclass(frozen=True, kw_only=True)
class MetricText:
    """How a metric is spoken of.

    Attributes
    ----------
    label : short name for tables.
    lowest, highest : the ends of the scale; of a drop, which has no upper end, the largest sensible bound.
    meaning : value -> what this number says, in a sentence without its period.
    advice : what to do about a value on the wrong side of the bound, in sentences.
    """

    label: str
    lowest: float
    highest: float
    meaning: Callable[[float], str]
    advice: str


def _percent(share: float) -> str:
    """Per cent with as few decimals as leave 0, 50 and 100 to the values that are exactly that."""
    percent = 100 * share
    fewest = 0 if abs(percent) >= 10 or percent == round(percent) else 1
    for digits in range(fewest, 4):
        text = f"{percent:.{digits}f}"
        if float(text) not in (0, 50, 100) or float(text) == percent:
            return f"{text} %"
    return f"{percent:.4g} %"


def _robustness(value: float) -> str:
    # Only the informative neighbors count: SO (same class, other center) and OS (the reverse).
    if value < 0.5:
        balance = "the medical center outweighs the biology"
    elif value > 0.5:
        balance = "the biology outweighs the medical center"
    else:
        balance = "biology and medical center weigh the same"
    return (
        "of the nearest neighbors that share exactly one of class and center with the patch, "
        f"{_percent(value)} share the class: {balance}"
    )


def _drop(where: str) -> Callable[[float], str]:
    def meaning(value: float) -> str:
        training = "when class and center go together in the training data, a classifier on these embeddings"
        if value < 0:
            change = f"loses {_percent(-value)} of the accuracy that balanced training gives"
        elif value > 0:
            change = f"gains {_percent(value)} over the accuracy that balanced training gives"
        else:
            change = "keeps the accuracy that balanced training gives"
        return f"{training} {change}, on average over the training splits, {where}"

    return meaning


def _clustering(value: float) -> str:
    if value < 0:
        follows = "the medical centers more than the biological classes"
    elif value > 0:
        follows = "the biological classes more than the medical centers"
    else:
        follows = "the biological classes and the medical centers alike"
    return (
        f"the clusters of the embeddings follow {follows} "
        f"(agreement with the classes less agreement with the centers: {value:+.2f})"
    )


_DROP_ADVICE = (
    "Do not train on data in which class and center go together: balance the centers within each class. "
    "Stain normalization of the images (Reinhard) or a domain-adversarial head recovers part of the loss; "
    "otherwise use another FM."
)


def _text(metric: str, label: str, meaning: Callable[[float], str], advice: str) -> MetricText:
    lowest, highest = METRIC_RANGES[metric]
    return MetricText(label=label, lowest=lowest, highest=highest, meaning=meaning, advice=advice)


METRIC_TEXTS: Mapping[str, MetricText] = {
    "robustness_index": _text(
        "robustness_index",
        "robustness index",
        _robustness,
        "Look at the images of that medical center beside another's (stain, scanner, sharpness). Stain "
        "normalization (Reinhard) before embedding usually raises the index; check that the classes stay "
        "separable. Otherwise retrain with data of more centers or use another FM.",
    ),
    "performance_drop_id": _text(
        "performance_drop_id",
        "drop in-domain",
        _drop("tested at the medical centers of the training data"),
        _DROP_ADVICE,
    ),
    "performance_drop_ood": _text(
        "performance_drop_ood",
        "drop out-of-domain",
        _drop("tested at medical centers that gave no training data"),
        _DROP_ADVICE,
    ),
    "clustering_score": _text(
        "clustering_score",
        "clustering score",
        _clustering,
        "Do not sort or search slides by clusters of these embeddings. Stain normalization of the images can "
        "help, and so can a correction of the embeddings per center where every center has every class; "
        "otherwise use another FM.",
    ),
}


def label(metric: str) -> str:
    """The short name of a metric; an unknown one is shown as it is."""
    text = METRIC_TEXTS.get(metric)
    return text.label if text else printable(metric)


# How a table names what is asked of a metric, and how a sentence does.
QUANTITY_LABELS: Mapping[str, str] = {
    "value": "",
    "worst-center": ", worst center",
    "worst-class": ", worst class",
    "mean": ", mean",
    "difference": ", change",
}
_SUBJECTS: Mapping[str, str] = {
    "value": "{metric} of {fm} on {cohort}",
    "worst-center": "{metric} of {fm} on {cohort}, worst medical center ({group}),",
    "worst-class": "{metric} of {fm} on {cohort}, worst biological class ({group}),",
    "mean": "{metric} of {fm}, mean over {cohort},",
    "difference": "{metric} of {fm} less that of {baseline} on {cohort}",
}


def label_of(record: CheckRecord) -> str:
    """The short name of what is asked: `robustness index, worst center`."""
    return label(record.metric) + QUANTITY_LABELS[record.quantity]


def subject(record: CheckRecord) -> str:
    """What was measured, on what: the subject of a sentence."""
    return _SUBJECTS[record.quantity].format(
        metric=label(record.metric),
        fm=record.fm,
        cohort=", ".join(record.cohort.split("+")) if record.quantity == "mean" else record.cohort,
        group=record.group or "unknown",
        baseline=(record.baseline or {}).get("fm", "the baseline"),
    )


def printable(text: str) -> str:
    """`text` on one line and without anything that steers a terminal.

    Names come from files and model repositories: an escape sequence in one must not repaint the table and
    a direction mark must not reverse it. Line breaks become blanks, the rest of Unicode's control, format,
    surrogate and private characters a backslash escape.
    """
    return "".join(map(_printable, text))


def _printable(char: str) -> str:
    if char in "\t\n\r":
        return " "
    return _escaped(char) if unicodedata.category(char) in _UNPRINTABLE else char


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def wrapped(text: str, *, width: int = WIDTH, lead: str = "", indent: str = "") -> str:
    """`text`, made printable, in lines of at most `width`; `lead` opens the first, `indent` the others."""
    lines = textwrap.wrap(
        " ".join(printable(text).split()),
        width=max(width, 20),
        initial_indent=lead,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def interval_text(interval: tuple[float, float]) -> str:
    """`[0.301, 0.322]`."""
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def in_one_sentence(record: CheckRecord) -> str:
    """What was measured and how it was judged, on one line."""
    return printable(f"{subject(record)} is {record.verdict}: {record.reason}.")


def explain(record: CheckRecord) -> str:
    """What happened, what it means, where it is worst and what to do: lines of at most 80 columns.

    It tells every verdict, not only failures; a record without a value says why there is none.
    """
    name = subject(record)
    if record.value is None:
        kind = "skipped" if record.verdict is Verdict.SKIPPED else "not measured"
        parts = [
            wrapped(f"{name}: {kind}: {record.reason}"),
            _line("Asked for", f"{record.direction} {record.bound:.3f}. {record.rationale}"),
        ]
        return "\n".join(parts)
    value, bound = written(record.value, record.bound, record.direction)
    wrong_side = "below" if record.direction == ">=" else "above"
    sides = {Verdict.FAIL: wrong_side, Verdict.PASS: f"not {wrong_side}"}
    side = sides.get(record.verdict, "with no verdict against")
    if meets(record.value, record.direction, record.bound) and record.verdict is Verdict.FAIL:
        side = "not surely on the good side of"
    head = f"{name} is {value}, {side} the bound {bound}"
    if record.interval is not None:
        head += f" ({percent(record.confidence or 0.95)} interval {interval_text(record.interval)})"
    parts = [wrapped(head + ".")]
    if record.reason and (record.verdict not in (Verdict.PASS, Verdict.FAIL) or record.drift):
        parts.append(_line("Reason", record.reason))
    text = METRIC_TEXTS.get(record.metric)
    if text is not None:
        parts.append(_line("Meaning", _meaning(record, text)))
    parts += _weakest_lines(record)
    parts += [
        _line("Suspect" if not number else "or", said) for number, said in enumerate(record.suspects[:2])
    ]
    # The advice is about too little robustness; who sets an upper limit has a question of their own.
    if text is not None and record.verdict is not Verdict.PASS and record.direction == ">=":
        parts.append(_line("What to do", _where_to_look(record) + text.advice))
    parts.append(_line("Bound", record.rationale))
    return "\n".join(parts)


def _meaning(record: CheckRecord, text: MetricText) -> str:
    assert record.value is not None  # noqa: S101 (told before)
    if record.quantity == "difference":
        before = (record.baseline or {}).get("value")
        was = f", which has {before:.3f}" if isinstance(before, float) else ""
        side = "less" if record.value < 0 else "more"
        return f"{abs(record.value):.3f} {side} robust than the baseline{was}."
    support = (
        ""
        if record.support is None
        else f" {_percent(record.support)} of the patches say something about it."
    )
    return f"{text.meaning(record.value)}.{support}"


def _line(title: str, sentence: str) -> str:
    return wrapped(sentence, lead=f"{title + ':':<12}", indent=" " * 12)


def _place(weakness: Mapping[str, object]) -> str:
    return f"{weakness.get('biological_class', '?')} of {weakness.get('medical_center', '?')}"


def _weakest_lines(record: CheckRecord) -> list[str]:
    lines = []
    for number, weakness in enumerate(record.weakest[:_WEAKEST_SHOWN]):
        value = weakness.get("value")
        said = f"{value:.3f}" if isinstance(value, (int, float)) else "no value"
        share = weakness.get("same_center")
        meaning = str(weakness.get("meaning") or "").strip() if number == 0 else ""
        if isinstance(share, float):
            own = f"{_percent(share)} of its neighbors are from its own center"
            meaning = f"{meaning}; {own}" if meaning else own
        sentence = f"{_place(weakness)}: {said}" + (f" ({meaning})" if meaning else "")
        lines.append(_line("Weakest" if number == 0 else "then", sentence))
    if record.slides:
        named = ", ".join(str(slide.get("slide_id")) for slide in record.slides[:_SLIDES_SHOWN])
        lines.append(_line("Slides", f"most responsible: {named}."))
    return lines


def _where_to_look(record: CheckRecord) -> str:
    """The first step of the advice names the place, if one is known."""
    if not record.weakest:
        return ""
    center = record.weakest[0].get("medical_center")
    return f"Start with the slides of {center}. " if center else ""
