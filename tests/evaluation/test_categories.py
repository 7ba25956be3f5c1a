"""Scores by category, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from konvoi.evaluation.categories import category_scores
from konvoi.evaluation.scores import score, wilson_interval


def test_by_hand() -> None:
    # Classes 0 and 1 are birds, 1 and 2 swim, and no sample is of 3. Predicted: 0, 1, 0, 2, 1, 3.
    labels = np.array([0, 0, 1, 2, 2, 2])
    probabilities = np.eye(4, dtype=np.float32)[[0, 1, 0, 2, 1, 3]]
    birds, swimmers = category_scores(probabilities, labels, {"bird": (0, 1), "swimmer": (1, 2), "rock": (3,)})
    assert (birds.name, birds.classes, birds.samples) == ("bird", 2, 3)
    assert (birds.accuracy, birds.recall, birds.precision) == (1 / 3, 1.0, 3 / 4)
    assert birds.interval == wilson_interval(1, 3)
    assert birds.top5 is None
    assert (swimmers.samples, swimmers.accuracy) == (4, 1 / 4)
    assert (swimmers.recall, swimmers.precision) == (2 / 4, 2 / 3)


def test_a_category_of_all_classes_has_the_scores_of_all() -> None:
    stream = np.random.default_rng(0)
    probabilities = stream.dirichlet(np.full(30, 0.3), 500).astype(np.float32)
    labels = np.where(stream.random(500) < 0.5, probabilities.argmax(axis=1), stream.integers(0, 30, 500))
    (everything,) = category_scores(probabilities, labels, {"thing": range(30)})
    scores = score(probabilities, labels, [str(number) for number in range(30)])
    assert everything.accuracy == scores.accuracy
    assert everything.top5 == pytest.approx(scores.top5)
    assert (everything.recall, everything.precision) == (1.0, 1.0)


def test_a_category_that_nothing_was_taken_for_has_no_precision() -> None:
    (found,) = category_scores(np.eye(3, dtype=np.float32)[[2, 2]], np.array([0, 1]), {"bird": (0, 1)})
    assert (found.accuracy, found.recall, found.precision) == (0.0, 0.0, None)
