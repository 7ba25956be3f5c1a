"""Repetition of rare labels: exact counts, the right average, and an order that is a pure function."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from konvoi.data.repetition import Repetition, repeat_factors
from konvoi.randomness import numpy_stream


def several_labels(samples: int, labels: int, seed: int) -> NDArray[np.uint8]:
    stream = np.random.default_rng(seed)
    return (stream.random((samples, labels)) < np.geomspace(0.01, 0.8, labels)).astype(np.uint8)


def test_factors_by_hand() -> None:
    # Frequencies 1/16, 1/4 and 1; threshold 1/4: √4 = 2, 1 and 1.
    labels = np.zeros((16, 3), np.uint8)
    labels[:, 2] = labels[:4, 1] = labels[3, 0] = 1
    assert repeat_factors(labels, 0.25).tolist() == [1, 1, 1, 2] + [1] * 12
    # The label of threshold 1 that half as many have: √2 for its samples, and 4 for the one with the rarest.
    assert repeat_factors(labels, 0.999999) == pytest.approx([2, 2, 2, 4] + [1] * 12, rel=1e-6)


def test_single_labels_are_as_one_of_several() -> None:
    labels = np.random.default_rng(0).choice(4, size=300, p=[0.02, 0.08, 0.3, 0.6])
    several = (labels[:, None] == np.arange(4)).astype(np.uint8)
    single, multiple = Repetition(labels, 0.25), Repetition(several, 0.25)
    assert np.array_equal(single.factors, multiple.factors)
    assert np.array_equal(single.order(1, 2), multiple.order(1, 2))


@settings(deadline=None, max_examples=100)
@given(
    samples=st.integers(1, 200),
    labels=st.integers(1, 6),
    threshold=st.floats(0.001, 0.999),
    seed=st.integers(0, 10**6),
    epoch=st.integers(0, 500),
)
def test_every_epoch_is_exact(samples: int, labels: int, threshold: float, seed: int, epoch: int) -> None:
    repetition = Repetition(several_labels(samples, labels, seed), threshold)
    total = math.fsum(repetition.factors) - samples
    assert repetition.samples_per_epoch in (samples + math.floor(total), samples + math.floor(total + 1e-6))
    order = repetition.order(seed, epoch)
    assert (order.dtype, len(order)) == (np.int64, repetition.samples_per_epoch)
    counts = np.bincount(order, minlength=samples)
    assert len(counts) == samples
    assert counts.min() >= 1
    # Never more than one off what is expected.
    assert (np.abs(counts - repetition.expected) < 1 + 1e-9).all()
    # Scaled down by less than one sample in all, and no sample scaled up.
    assert (repetition.expected <= repetition.factors + 1e-9).all()
    assert repetition.factors.sum() - repetition.expected.sum() < 1
    assert np.array_equal(order, repetition.order(seed, epoch))


@pytest.mark.parametrize(
    ("labels", "threshold"),
    [
        (several_labels(120, 5, seed=1), 0.4),
        # Few samples of unlike factors, of which a fixed start of the dealing would favour some.
        (np.repeat([0, 1, 2, 3], [1, 2, 3, 14]), 0.25),
    ],
    ids=["several", "single"],
)
def test_on_average_a_sample_stands_in_an_epoch_as_often_as_its_factor_says(
    labels: NDArray[np.uint8] | NDArray[np.int64], threshold: float
) -> None:
    repetition = Repetition(labels, threshold)
    epochs, samples = 4000, len(labels)
    counts = sum(np.bincount(repetition.order(0, epoch), minlength=samples) for epoch in range(epochs)) / epochs
    fraction = repetition.expected % 1
    deviation = np.sqrt(fraction * (1 - fraction) / epochs)
    # Five deviations are exceeded in one of 15,000 such runs, and this run is always the same.
    assert (np.abs(counts - repetition.expected) <= 5 * deviation + 1e-9).all()
    assert repetition.expected.max() > 2
    assert ((fraction > 0.1) & (fraction < 0.9)).any()


def test_any_two_samples_may_be_repeated_together() -> None:
    # Extras of one half each, dealt in the samples' own order, would never go to two neighbours.
    labels = np.repeat([0, 1], [4, 5])
    repetition = Repetition(labels, 0.999999)
    assert repetition.factors[:4] == pytest.approx([1.5] * 4)
    together = {tuple(np.flatnonzero(np.bincount(repetition.order(0, epoch))[:4] > 1)) for epoch in range(300)}
    assert {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)} <= together


def test_epochs_and_seeds_differ() -> None:
    repetition = Repetition(several_labels(100, 4, seed=2), 0.3)
    orders = [repetition.order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    for first in range(4):
        for second in range(first):
            assert not np.array_equal(orders[first], orders[second])
    # Not only the order: the extras go to other samples too.
    assert not np.array_equal(np.sort(orders[0]), np.sort(orders[1]))


def test_without_rare_labels_the_order_is_the_ordinary_one() -> None:
    labels = np.arange(60) % 3
    repetition = Repetition(labels, 0.3)
    assert repetition.samples_per_epoch == 60
    assert np.array_equal(repetition.order(7, 3), numpy_stream(7, "order", 3).permutation(60))


def test_samples_without_a_label_stand_once() -> None:
    labels = np.zeros((50, 2), np.uint8)
    labels[0, 0] = 1
    repetition = Repetition(labels, 0.5)
    assert repetition.factors.tolist() == pytest.approx([5.0] + [1.0] * 49)
    assert np.bincount(repetition.order(0, 0)).tolist() == [5] + [1] * 49
