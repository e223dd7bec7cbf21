"""What stands after `--fm-method`: methods joined by `+`, which are applied one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.image_method import ImageMethod
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.methods.registry import method
from pathorob_checks.methods.repair import Repair


@dataclass(frozen=True)
class Chain:
    """Methods in the order in which they are applied.

    Attributes
    ----------
    text : as in test ids: `reinhard+combat`; `none` without a method.
    image : what normalizes the images before the FM embeds them; None leaves them as they are.
    repairs : what repairs the embeddings then.
    """

    text: str
    image: type[ImageMethod] | None
    repairs: tuple[type[Repair], ...]

    @property
    def head(self) -> Chain | None:
        """The last method alone if it is part of a classifier."""
        of_classifier = self.repairs[-1:]
        if not of_classifier or of_classifier[0].repairs_embeddings:
            return None
        return Chain(of_classifier[0].name, None, of_classifier)

    @property
    def versions(self) -> dict[str, int]:
        """The version of each method by its name."""
        image = {self.image.name: self.image.version} if self.image else {}
        return image | {repair.name: repair.version for repair in self.repairs}

    @property
    def of_images(self) -> str:
        """The part of the text that decides what the FM embeds."""
        return self.image.name if self.image else NO_METHOD


@cache
def chain_of(text: str) -> Chain:
    """The methods that a text names.

    Raises
    ------
    MethodError : it names a method that does not exist, one twice, or methods in an order that has no sense.
    """
    if text == NO_METHOD:
        return Chain(NO_METHOD, None, ())
    names = [name.strip() for name in text.split("+")]
    known: list[type[ImageMethod] | type[Repair]] = [method(name) for name in names]
    if len(set(names)) < len(names):
        raise MethodError(f"the methods {text!r} name one method twice", remedy="name it once")
    images = [one for one in known if issubclass(one, ImageMethod)]
    repairs = [one for one in known if issubclass(one, Repair)]
    if len(images) > 1:
        raise MethodError(
            f"the methods {text!r} normalize images twice",
            remedy=f"choose {' or '.join(one.name for one in images)}",
        )
    ordered: list[type[ImageMethod] | type[Repair]] = [*images, *repairs]
    if known != ordered:
        raise MethodError(
            f"the methods {text!r} repair embeddings before the images are normalized",
            remedy=f"write {'+'.join(one.name for one in ordered)}",
        )
    last = [one for one in repairs if not one.repairs_embeddings]
    if last and repairs[-1] is not last[0]:
        raise MethodError(
            f"the methods {text!r} repair embeddings after {last[0].name}, which is part of a classifier",
            remedy=f"name {last[0].name} last",
        )
    return Chain("+".join(names), images[0] if images else None, tuple(repairs))


def chains_of(texts: Iterable[str]) -> tuple[Chain, ...]:
    """Every chain of comma-separated texts, each once; `none` is always the first.

    Raises
    ------
    MethodError : as `chain_of`.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    return tuple(dict.fromkeys(chain_of(name) for name in (NO_METHOD, *names)))
