"""The sentences depend on the numbers as a statistician would have them depend."""

import numpy as np
import pytest
from fake_runs import history_of

from konvoi.evaluation.scores import Scores, score
from konvoi.report.diagnosis import (
    best_epoch,
    calibration_in_words,
    curves_in_words,
    frequent_confusions,
    gap_between,
    gap_in_words,
    guessing_error,
)


def scores_with(errors: int, samples: int, classes: int = 10, confidence: float = 0.9) -> Scores:
    labels = np.arange(samples, dtype=np.int64) % classes
    predicted = labels.copy()
    predicted[:errors] = (labels[:errors] + 1) % classes
    probabilities = np.full((samples, classes), (1 - confidence) / (classes - 1), dtype=np.float32)
    probabilities[np.arange(samples), predicted] = confidence
    return score(probabilities, labels, [f"class {index}" for index in range(classes)])


def test_the_interval_of_the_gap_is_newcombes() -> None:
    # Newcombe (1998), table II, example (a): 56/70 against 48/80 has the interval 0.0524 to 0.3339.
    outside, inside = scores_with(56, 70), scores_with(48, 80)
    gap = gap_between(inside, outside)
    assert gap.difference == pytest.approx(0.2)
    assert gap.interval == pytest.approx((0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("inside", "outside", "says"),
    [
        ((10, 1000), (12, 1000), "no overfitting can be seen"),
        ((0, 10_000), (300, 1000), "The network overfits: the gap, +30.0 points"),
        ((2000, 10_000), (2600, 10_000), "most of the test error is already there"),
        ((500, 1000), (505, 1000), "It underfits: with an E_in of 50.0"),
        ((3000, 10_000), (4000, 10_000), "It also underfits"),
        ((300, 1000), (10, 1000), "lower than the training error by more than chance"),
        ((890, 1000), (895, 1000), "always answering with the most frequent class"),
    ],
)
def test_the_diagnosis_follows_the_numbers(inside: tuple[int, int], outside: tuple[int, int], says: str) -> None:
    assert says in gap_in_words(scores_with(*inside), scores_with(*outside), "test")


def test_the_same_gap_is_overfitting_only_with_enough_images() -> None:
    assert "no overfitting" in gap_in_words(scores_with(1, 100), scores_with(3, 100), "test")
    assert "The network overfits" in gap_in_words(scores_with(100, 10_000), scores_with(300, 10_000), "test")


def test_guessing_is_as_good_as_the_largest_class() -> None:
    labels = np.array([0, 0, 0, 1], dtype=np.int64)
    assert guessing_error(score(np.eye(2, dtype=np.float32)[labels], labels, ["a", "b"])) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("confidence", "says"), [(0.99, "over-confident"), (0.6, "under-confident"), (0.9, "within the uncertainty")]
)
def test_calibration(confidence: float, says: str) -> None:
    assert says in calibration_in_words(scores_with(100, 1000, confidence=confidence))


def test_the_largest_confusions_come_first_and_single_ones_are_left_out() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2] * 10, dtype=np.int64)
    predicted = labels.copy()
    predicted[:2] = 1
    predicted[10:15] = 2
    predicted[20] = 0
    found = frequent_confusions(score(np.eye(3, dtype=np.float32)[predicted], labels, ["a", "b", "c"]))
    assert [(entry.true, entry.predicted, entry.count, entry.of) for entry in found] == [
        ("b", "c", 5, 10),
        ("a", "b", 2, 10),
    ]


def test_curves_in_words() -> None:
    assert (
        best_epoch(history_of(12, best=8)).epoch
        == max(history_of(12, best=8), key=lambda record: record.validation_accuracy).epoch
    )
    assert "ran for 1 epoch;" in curves_in_words(history_of(1), 1)
    assert "ran for 3 of 10 epochs" in curves_in_words(history_of(3), 10)
    assert "a longer training might" in curves_in_words(history_of(5), 5)
    assert "a longer training might" not in curves_in_words(history_of(12, best=6), 12)
