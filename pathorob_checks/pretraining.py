"""What an FM was pretrained on, and whether a cohort's patches come from there."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field


class PretrainingData(BaseModel):
    """One source of pretraining data.

    Attributes
    ----------
    name : such as `TCGA`.
    source : where that is stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    source: str = Field(min_length=1)


class Pretraining(BaseModel):
    """What is stated of an FM's pretraining data.

    Attributes
    ----------
    data : the sources that are stated.
    is_complete : whether there are no others: only then what is not among them was not seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: tuple[PretrainingData, ...] = ()
    is_complete: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sources."""
        return tuple(one.name for one in self.data)


UNSTATED = Pretraining()


def touched(pretrained_on: Iterable[str], sources: Iterable[str]) -> tuple[str, ...]:
    """The sources of a cohort that an FM was pretrained on.

    Names are compared by letters and digits, and one that begins with the other counts as the same: `TCGA`
    and `TCGA-LUAD` are not kept apart, because a part may be what was seen.

    >>> touched(["TCGA-UT", "GTEx"], ["TCGA", "CAMELYON16"]), touched(["Camelyon 16"], ["CAMELYON16"])
    (('TCGA',), ('CAMELYON16',))
    """
    seen = [_plain(name) for name in pretrained_on]
    return tuple(
        source
        for source in sources
        if any(one.startswith(_plain(source)) or _plain(source).startswith(one) for one in seen)
    )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
