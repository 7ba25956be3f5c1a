"""Thresholds against every threshold there is."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from konvoi.evaluation.thresholds import tune_thresholds


def test_by_hand() -> None:
    probabilities = np.array([[0.9, 0.9], [0.75, 0.8], [0.25, 0.7], [0.125, 0.1]], np.float32)
    labels = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], np.uint8)
    # First label: the two highest are positive; 0.5 is the middle of 0.75 and 0.25.
    # Second: predicting one gives F1 2/3, two 2/4, three 4/5; the middle of 0.7 and 0.1.
    assert tune_thresholds(probabilities, labels) == pytest.approx([0.5, 0.4])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=25).filter(
        lambda pairs: any(has for _, has in pairs)
    )
)
def test_against_trying_them_all(pairs: list[tuple[int, bool]]) -> None:
    probabilities = np.array([[value / 8] for value, _ in pairs], np.float32)
    labels = np.array([[has] for _, has in pairs], np.uint8)

    def f1(threshold: float) -> float:
        return float(f1_score(labels[:, 0], probabilities[:, 0] > threshold))

    values = sorted({value / 8 for value, _ in pairs})
    neighbours = list(pairwise(values if values[0] == 0 else [0.0, *values]))
    tried = [(round(f1((low + high) / 2), 12), high - low, (low + high) / 2) for low, high in neighbours]
    if values[0] == 0:
        tried.append((round(f1(-1e-9), 12), 0.0, -1e-9))  # everything, even what has probability 0
    assert tune_thresholds(probabilities, labels) == pytest.approx([max(tried)[2]], abs=1e-7)


def test_equally_good_thresholds() -> None:
    # + − − +: predicting one or all gives F1 2/3 both. The gap below 0.9 is 0.1 wide, that below 0.3 is 0.3.
    probabilities = np.array([[0.9], [0.8], [0.7], [0.3]], np.float32)
    labels = np.array([[1], [0], [0], [1]], np.uint8)
    assert tune_thresholds(probabilities, labels) == pytest.approx([0.15])
    # The same with a gap of 0.5 below the first.
    probabilities = np.array([[0.9], [0.4], [0.35], [0.3]], np.float32)
    assert tune_thresholds(probabilities, labels) == pytest.approx([0.65])


def test_a_label_without_positives_keeps_a_half() -> None:
    probabilities = np.array([[0.9, 0.2], [0.1, 0.6]], np.float32)
    assert tune_thresholds(probabilities, np.array([[0, 0], [0, 1]], np.uint8)) == pytest.approx([0.5, 0.4])


def test_probabilities_that_differ_in_the_last_digit_are_divided() -> None:
    high = np.float32(0.7)
    low = np.nextafter(high, np.float32(0))
    (threshold,) = tune_thresholds(np.array([[high], [low]]), np.array([[1], [0]], np.uint8))
    assert low < threshold < high


def test_a_label_that_is_there_even_at_probability_zero() -> None:
    (threshold,) = tune_thresholds(np.zeros((3, 1), np.float32), np.array([[1], [1], [0]], np.uint8))
    assert -1e-6 < threshold < 0


def test_the_order_of_samples_does_not_matter() -> None:
    stream = np.random.default_rng(0)
    probabilities = np.round(stream.random((300, 4)), 2).astype(np.float32)
    labels = (stream.random((300, 4)) < probabilities).astype(np.uint8)
    shuffled = stream.permutation(300)
    first, second = tune_thresholds(probabilities, labels), tune_thresholds(probabilities[shuffled], labels[shuffled])
    assert np.array_equal(first, second)
