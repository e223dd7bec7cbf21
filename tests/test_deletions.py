"""A Newton step towards the fit without a slide, compared with exact solutions and with refits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from planted_drops import DropDesign
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from pathorob_checks.metrics.drop_effects import deletions
from pathorob_checks.metrics.inputs import labels
from pathorob_checks.numerics import deletions as deletions_kernel
from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics.deletions import predictions_without, scores_without
from pathorob_checks.numerics.logistic import Classifier

Float64 = npt.NDArray[np.float64]
DESIGNS = {2: DropDesign(dim=10, patches=8), 3: DropDesign(centers=3, classes=3, home=8, away=4, dim=10)}


class Fitted:
    """A fit on the first split's training rows of a planted cohort, and its slides left out."""

    def __init__(self, classes: int, c: float) -> None:
        design = DESIGNS[classes]
        draw = design.draws[0]
        cls, center, slides = (
            labels(design.table, column, "drop")
            for column in ("biological_class", "medical_center", "slide_id")
        )
        self.codes, self.rows, self.tested = cls.codes, draw.training[0], draw.ood_test
        self.x = design.embeddings(0)
        self.left_out = deletions(self.rows, slides.codes, center.codes * classes + cls.codes)
        model = LogisticRegression(C=c, max_iter=10_000, tol=1e-8)
        model.fit(self.x[self.rows].astype(np.float64), self.codes[self.rows])
        self.weights = np.column_stack([model.coef_, model.intercept_])
        self.classifier = Classifier(torch.from_numpy(self.weights).float(), np.arange(classes), c)

    def refit(self, group: int) -> LogisticRegression:
        counts = self.left_out.multiplicity[group]
        model = LogisticRegression(C=self.classifier.c, max_iter=10_000, tol=1e-8)
        return model.fit(self.x[self.rows], self.codes[self.rows], sample_weight=counts)


def newton_step(fitted: Fitted, group: int) -> Float64:
    """The step by the whole Hessian, point by point."""
    x = np.column_stack([fitted.x[fitted.rows].astype(np.float64), np.ones(len(fitted.rows))])
    counts = fitted.left_out.multiplicity[group].astype(np.float64)
    weights = fitted.weights if len(fitted.weights) > 1 else np.vstack([0 * fitted.weights, fitted.weights])
    p = softmax(x @ weights.T, axis=1)
    truth = np.eye(len(weights))[fitted.codes[fitted.rows]]
    free = slice(1, None) if len(fitted.weights) == 1 else slice(None)  # two classes have one column
    p, truth = p[:, free], truth[:, free]
    columns, dim = p.shape[1], x.shape[1]
    gradient = ((counts - 1)[:, None] * (p - truth)).T @ x
    hessian = np.zeros((columns, dim, columns, dim))
    for point, chance, count in zip(x, p, counts, strict=True):
        curve = np.diag(chance) - np.outer(chance, chance)
        hessian += count * np.einsum("ij,a,b->iajb", curve, point, point)
    matrix = hessian.reshape(columns * dim, -1)
    penalty = np.full(dim, 1 / fitted.classifier.c)
    penalty[-1] = 0
    matrix += np.diag(np.tile(penalty, columns))
    step = np.linalg.lstsq(matrix, gradient.ravel(), rcond=1e-10)[0]
    return fitted.weights - step.reshape(columns, dim)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("c", [1e-3, 0.1, 10.0])
def test_the_step_is_newtons(classes: int, c: float) -> None:
    fitted = Fitted(classes, c)
    x = torch.from_numpy(fitted.x)
    ones = torch.ones(len(x), 1)
    points = torch.cat([x, ones], dim=1)
    place = torch.from_numpy(fitted.codes[fitted.rows])
    targets = place[:, None] if classes == 2 else torch.nn.functional.one_hot(place, classes)
    scores = scores_without(
        points[fitted.rows],
        targets.float(),
        fitted.classifier.weights,
        c,
        torch.from_numpy(fitted.left_out.multiplicity),
        points[fitted.tested],
    ).numpy()
    test = points[fitted.tested].double().numpy()
    before = fitted.weights @ test.T
    for group in (0, 5, len(scores) - 1):
        expected = newton_step(fitted, group) @ test.T
        assert np.abs(expected - before).max() > 0
        centered = [those - those.mean(axis=0) * (classes > 2) for those in (scores[group], expected, before)]
        size = np.linalg.norm(centered[1] - centered[2])
        assert np.linalg.norm(centered[0] - centered[1]) < 0.05 * size


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("c", [1e-3, 0.1, 10.0])
def test_the_step_predicts_what_a_refit_predicts(classes: int, c: float) -> None:
    fitted = Fitted(classes, c)
    points = torch.from_numpy(fitted.x)
    stepped = predictions_without(
        points, fitted.codes, fitted.rows, fitted.classifier, fitted.left_out.multiplicity, fitted.tested
    )
    refitted = np.stack(
        [fitted.refit(group).predict(fitted.x[fitted.tested]) for group in range(len(stepped))]
    )
    before = fitted.classifier.predict(points[torch.from_numpy(fitted.tested)])
    changed = (refitted != before).sum()
    assert changed > 0
    assert (stepped != refitted).sum() < 0.4 * changed
    accuracy = [(those == fitted.codes[fitted.tested]).mean(axis=1) for those in (stepped, refitted)]
    assert np.std(accuracy[0]) == pytest.approx(np.std(accuracy[1]), rel=0.3)


@pytest.mark.parametrize("classes", [2, 3])
def test_steps_of_solved_systems_change_nothing(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU checks rarely whether all systems are solved: solutions are those of a check at every step."""
    fitted = Fitted(classes, c=0.1)
    arguments = (torch.from_numpy(fitted.x), fitted.codes, fitted.rows, fitted.classifier)
    more = (fitted.left_out.multiplicity, fitted.tested)
    solutions, checks = [], []
    solve, as_bool = deletions_kernel._conjugate_gradients, torch.Tensor.__bool__

    def solved(*system: Any) -> torch.Tensor:
        solutions.append(solve(*system))
        return solutions[-1]

    def checked(tensor: torch.Tensor) -> bool:
        checks[-1] += 1
        return bool(as_bool(tensor))

    monkeypatch.setattr(deletions_kernel, "_conjugate_gradients", solved)
    monkeypatch.setattr(torch.Tensor, "__bool__", checked)
    for gpu in (False, True):
        checks.append(0)
        monkeypatch.setattr(devices, "is_gpu", lambda device, gpu=gpu: gpu)
        predictions_without(*arguments, *more)
    assert torch.equal(*solutions)
    assert 0 < checks[1] <= -(-checks[0] // 4) + 1 < checks[0]


def test_the_others_of_a_cell_take_the_place_of_a_slide() -> None:
    rows = np.arange(10)
    slides = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    cells = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 0])  # slide 4 has a row in either cell
    left_out = deletions(rows, slides, cells)
    np.testing.assert_array_equal(left_out.units, [0, 1, 2, 3, 4])
    four, two = 4 / 3, 2.0  # cells of four and of two slides
    np.testing.assert_allclose(left_out.multiplicity[0], [0, 0, *(four,) * 4, 1, 1, 1, four])
    np.testing.assert_allclose(left_out.multiplicity[4], [*(four,) * 6, two, two, 0, 0])
    np.testing.assert_allclose(left_out.share, [0.75, 0.75, 0.75, 0.5, 0.5])
    alone = deletions(rows[:2], slides, cells)
    np.testing.assert_array_equal(alone.multiplicity, [[0, 0]])
    np.testing.assert_array_equal(alone.share, [1])
