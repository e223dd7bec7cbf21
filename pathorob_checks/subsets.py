"""The values of the column `subset`: in-domain, out-of-domain, or paired subsets of the user's own names."""

from __future__ import annotations

from collections.abc import Iterable

IN_DOMAIN = "ID"
OUT_OF_DOMAIN = "OOD"

# Words for in-domain and out-of-domain, or for a split, without case and punctuation. None of them can be
# a paired subset: a user who writes 'train' does not mean one, and would get the paired design unnoticed.
_WORDS = {
    IN_DOMAIN: "id idd iid in indomain indistribution internal train training val valid validation dev",
    OUT_OF_DOMAIN: "ood odd o0d 00d od out outdomain outofdomain outdistribution outofdistribution external "
    "test testing holdout",
}
_MEANT = {word: subset for subset, words in _WORDS.items() for word in words.split()}


def probably_meant(name: str) -> str | None:
    """Which of 'ID' and 'OOD' another name is probably meant as; None for these two and for paired subsets.

    >>> [probably_meant(name) for name in ("out-of-domain", "Train", "OOD", "colon")]
    ['OOD', 'ID', None, None]
    """
    if name in (IN_DOMAIN, OUT_OF_DOMAIN):
        return None
    word = "".join(character for character in name.casefold() if character.isalnum())
    return OUT_OF_DOMAIN if word.startswith(("ood", "outof")) else _MEANT.get(word)


def are_paired(subsets: Iterable[str]) -> bool:
    """Whether in-domain patches are in paired subsets, inside each of which neighbors are sought.

    >>> are_paired(["breast", "colon", "OOD"]), are_paired(["ID", "OOD"])
    (True, False)
    """
    inside = set(subsets) - {OUT_OF_DOMAIN}
    return bool(inside) and IN_DOMAIN not in inside
