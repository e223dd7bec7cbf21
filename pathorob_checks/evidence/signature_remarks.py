"""What deserves a second look about who signed: one name with several keys, and duties in one hand.

None of it is wrong by itself: a person may have a new key, and a small team one engineer. So these are
remarks and no findings; whoever relies on the folder decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from pathorob_checks.cohorts.lookalikes import readings
from pathorob_checks.evidence.personal_signatures import PersonalSignature
from pathorob_checks.wording import brief

_AUTHOR = "authorship"
_SECOND_PERSON = ("review", "approval")


def remarks(people: Sequence[PersonalSignature], sealed_by: Collection[str]) -> tuple[str, ...]:
    """A clause for each thing that deserves a second look.

    Parameters
    ----------
    people : who signed.
    sealed_by : ids of the keys that sealed the folder.
    """
    clauses = (*_several_keys(people), *_one_hand(people), *_sealing_keys(people, sealed_by))
    return tuple(dict.fromkeys(clauses))


def _several_keys(people: Sequence[PersonalSignature]) -> Iterator[str]:
    for one, other in combinations(people, 2):
        if set(one.keys) == set(other.keys) or not _is_one_name(one, other):
            continue
        first, second = one.predicate.name, other.predicate.name
        who = first if first == second else f"{first}, which looks like the name {second},"
        keys = f"{one.signed_with} and {other.signed_with}"
        yield f"{who} signed with several keys ({keys}): make sure that all are that person's"


def _one_hand(people: Sequence[PersonalSignature]) -> Iterator[str]:
    for author in people:
        for second in people:
            meaning = second.predicate.meaning
            if author.predicate.meaning != _AUTHOR or meaning not in _SECOND_PERSON:
                continue
            if _is_one_name(author, second) or set(author.keys) & set(second.keys):
                yield (
                    f"{second.predicate.name} signed for {_AUTHOR} and for {meaning}: "
                    "no second person stands behind it"
                )


def _sealing_keys(people: Sequence[PersonalSignature], sealed_by: Collection[str]) -> Iterator[str]:
    for one in people:
        for key in one.keys:
            if key in sealed_by:
                yield (
                    f"the key {brief(key, 16)} sealed the folder and signed for {one.predicate.name}: "
                    "whoever can use the key of the seal, as a CI job can, can sign as that person"
                )


def _is_one_name(one: PersonalSignature, other: PersonalSignature) -> bool:
    return not readings(one.predicate.name).isdisjoint(readings(other.predicate.name))
