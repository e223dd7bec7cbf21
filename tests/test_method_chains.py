"""What stands after --fm-method, and what repairs may see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pathorob_checks.errors import MethodError
from pathorob_checks.evaluation.repairing import FOLDS, Repairing
from pathorob_checks.methods.chain import Chain, chain_of, chains_of
from pathorob_checks.methods.combat import METHODS
from pathorob_checks.methods.repair import Repair


def test_methods_are_listed_by_commas_and_options_and_none_is_always_the_first():
    chains = chains_of(["combat, reinhard+combat", "none", "combat"])
    assert [chain.text for chain in chains] == ["none", "combat", "reinhard+combat"]
    last = chains[-1]
    assert last.image is not None
    assert (last.image.name, last.of_images) == ("reinhard", "reinhard")
    assert [repair.name for repair in last.repairs] == ["combat"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("combta", "there is no method 'combta'; did you mean 'combat'"),
        ("combat+combat", "the methods 'combat+combat' name one method twice; name it once"),
        ("reinhard+macenko", "normalize images twice; choose reinhard or macenko"),
        ("combat+reinhard", "before the images are normalized; write reinhard+combat"),
        ("dann+combat", "repair embeddings after dann, which is part of a classifier; name dann last"),
        ("", "there is no method ''"),
    ],
)
def test_what_has_no_sense_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(MethodError, match=r"^[^\n]*$") as error:
        chain_of(text)
    assert sentence in str(error.value)


PATCHES = pd.DataFrame(
    [
        (f"s{center}{slide}", center, name, "OOD" if center == "C" else "ID")
        for center in "ABC"
        for slide in range(6)
        for name in ("normal", "tumor")
        for _ in range(2)
    ],
    columns=["slide_id", "medical_center", "biological_class", "subset"],
)
EMBEDDINGS = np.random.default_rng(5).normal(size=(len(PATCHES), 4)).astype(np.float32)
OUTSIDE = (PATCHES.subset == "OOD").to_numpy()


class Spy(Repair):
    """Keeps what it was fitted on, by the embeddings' first feature."""

    name = "spy"
    seen: list[tuple[set[float], object]] = []  # noqa: RUF012

    def fit(self, embeddings, *, centers, classes=None):
        self.seen.append((set(embeddings[:, 0].tolist()), classes))
        return self

    def transform(self, embeddings, *, centers):
        return embeddings + np.float32(1)

    def state(self):
        return {}

    def restore(self, state, centers):
        return self

    @property
    def centers(self):
        return ()


class SpyOfClasses(Spy):
    """As `Spy`, with classes."""

    uses_classes = True


class SpyOfAClassifier(Spy):
    """As `Spy`, for a classifier only."""

    repairs_embeddings = False


def repairing(kind: type[Repair], *, unlabeled: bool = False, patches: pd.DataFrame = PATCHES) -> Repairing:
    Spy.seen.clear()
    return Repairing(Chain(kind.name, None, (kind,)), patches, unlabeled=unlabeled)


def firsts(rows) -> set[float]:
    return set(EMBEDDINGS[rows, 0].tolist())


def test_metrics_without_a_classifier_fit_on_in_domain_patches_and_see_no_class():
    repaired = repairing(Spy).view(EMBEDDINGS)
    assert Spy.seen == [(firsts(~OUTSIDE), None)]
    np.testing.assert_array_equal(repaired, EMBEDDINGS + 1)


@pytest.mark.parametrize("unlabeled", [False, True])
def test_metrics_with_a_classifier_fit_on_training_patches_and_unlabeled_ones_if_allowed(unlabeled):
    training = np.flatnonzero(~OUTSIDE)[::3]
    repairing(SpyOfClasses, unlabeled=unlabeled)(EMBEDDINGS, training)
    ((seen, classes),) = Spy.seen
    allowed = np.union1d(training, np.flatnonzero(OUTSIDE)) if unlabeled else training
    assert seen == firsts(allowed)
    known = [None if OUTSIDE[row] else PATCHES.biological_class[row] for row in allowed]
    assert classes == known


def test_a_method_that_needs_classes_never_repairs_a_slide_by_its_own():
    order = []

    class Recorder(SpyOfClasses):
        def transform(self, embeddings, *, centers):
            order.append(set(embeddings[:, 0].tolist()))
            return embeddings

    repairing(Recorder).view(EMBEDDINGS)
    assert len(Spy.seen) == len(order) == FOLDS
    slides = dict(zip(EMBEDDINGS[:, 0].tolist(), PATCHES.slide_id, strict=True))
    for (seen, _), repaired in zip(Spy.seen, order, strict=True):
        assert not {slides[one] for one in seen} & {slides[one] for one in repaired}
    assert set.union(*order) == firsts(slice(None))


def test_the_classes_of_a_slide_change_nothing_of_its_embeddings():
    combat_class = next(kind for kind in METHODS if kind.uses_classes)
    before = repairing(combat_class).view(EMBEDDINGS)
    here = (PATCHES.slide_id == "sA0").to_numpy()
    changed = PATCHES.copy()
    changed.loc[here, "biological_class"] = changed.loc[here, "biological_class"].to_numpy()[::-1]
    after = repairing(combat_class, patches=changed).view(EMBEDDINGS)
    np.testing.assert_array_equal(after[here], before[here])
    assert not np.array_equal(after, before)  # other slides are repaired by this one


def test_part_of_a_classifier_changes_no_embeddings_of_other_metrics():
    np.testing.assert_array_equal(repairing(SpyOfAClassifier).view(EMBEDDINGS), EMBEDDINGS)
    assert Spy.seen == []


def test_one_slide_per_center_cannot_be_repaired_by_others():
    alone = PATCHES.assign(slide_id=PATCHES.medical_center)
    with pytest.raises(MethodError, match="no medical center has two slides; use a repair without classes"):
        repairing(SpyOfClasses, patches=alone).view(EMBEDDINGS)
