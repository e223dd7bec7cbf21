"""The verdicts that the JUnit file of a run tells, compared with those of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.properties import PREFIX, Property, of_check, of_integrity, of_run
from pathorob_checks.wording import brief, named

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# What a record must say, and by what it is known among the others of the file.
_KEYS = ("test", "fm", "cohort", "criterion", "metric")
_RECORD_FIELDS = (*_KEYS, "verdict", "value", "interval", "bound", "direction")
_RUN_PROPERTIES = ("summary", "criteria", "digest")
_ENDS = (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
Record = tuple[tuple[str, str], ...]


def junit_disagreements(content: bytes, results: ResultsDocument) -> Iterator[str]:
    """A sentence for each thing that the file tells in another way than the results, or not at all."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        yield f"junit.xml is not a JUnit file that can be read ({brief(str(error))})"
        return
    suite_properties = {pair for suite in root.iter("testsuite") for pair in _properties(suite)}
    expected = {pair for pair in of_run(results) if pair[0].removeprefix(PREFIX) in _RUN_PROPERTIES}
    if {pair for pair in suite_properties if pair[0].removeprefix(PREFIX) in _RUN_PROPERTIES} != expected:
        yield "junit.xml tells another outcome, profile or digest than results.json"
    yield from _counts(root)
    yield from _records(root, results)


def _properties(element: Element) -> list[Property]:
    elements = element.findall("./properties/property")
    pairs = [(one.get("name", ""), one.get("value", "")) for one in elements]
    return [pair for pair in pairs if pair[0].startswith(PREFIX)]


def _counts(root: Element) -> Iterator[str]:
    """Whether the numbers in the head of each suite are those of its test cases."""
    for suite in root.iter("testsuite"):
        for attribute, tag in _ENDS:
            stated, present = suite.get(attribute, "none"), sum(1 for _ in suite.iter(tag))
            if stated != str(present):
                yield f"junit.xml says that it has {brief(stated)} {attribute} and holds {present}"


def _records(root: Element, results: ResultsDocument) -> Iterator[str]:
    allows = results.environment.criteria.profile.get("inconclusive", "fail") != "fail"
    expected = [_record(check.id, of_check(check, allows_inconclusive=allows)) for check in results.checks]
    expected += [_record(check.id, of_integrity(check)) for check in results.integrity]
    missing_records, keys, unknown = Counter(expected), set(map(_key, expected)), []
    bad = {Verdict.FAIL, Verdict.ERROR}
    if not allows:
        bad.add(Verdict.INCONCLUSIVE)
    for case in root.iter("testcase"):
        name = case.get("name", "")
        records = [_record(name, one) for one in _grouped(_properties(case))]
        missing_records.subtract(records)
        if any(_key(record) not in keys for record in records):
            unknown.append(brief(name))
        ended_well = case.find("failure") is None and case.find("error") is None
        if ended_well and any(dict(record).get("verdict") in bad for record in records):
            yield f"junit.xml lets the test {brief(name)} end well, against its own verdict"
    if unknown:
        yield f"junit.xml tells verdicts of {named(unknown, 'test', 'tests')} that results.json does not have"
    missing_tests = [dict(record)["test"] for record, count in missing_records.items() if count > 0]
    if missing_tests:
        yield f"junit.xml does not tell what results.json does of {named(missing_tests, 'check', 'checks')}"


def _record(test: str, properties: Iterable[Property]) -> Record:
    """What is compared of a record, in one order."""
    texts = {name.removeprefix(PREFIX): text for name, text in properties} | {"test": _name(test)}
    return tuple((name, texts[name]) for name in _RECORD_FIELDS if name in texts)


def _name(test: str) -> str:
    """The id of a test without its file and class, as JUnit files have it."""
    path, bracket, subject = test.partition("[")
    return path.rpartition("::")[2] + bracket + subject


def _key(record: Record) -> Record:
    """What both records of a test have in common that was run twice."""
    return tuple(pair for pair in record if pair[0] in _KEYS)


def _grouped(properties: Iterable[Property]) -> Iterator[list[Property]]:
    """The records of a test case; each begins with its verdict."""
    group: list[Property] = []
    for name, text in properties:
        if name == f"{PREFIX}verdict" and group:
            yield group
            group = []
        group.append((name, text))
    if group:
        yield group
