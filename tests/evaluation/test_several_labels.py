"""Scores of several labels a sample: by hand, against scikit-learn, and against plain resampling."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    fbeta_score,
    log_loss,
    precision_score,
    recall_score,
)

from konvoi.errors import DataError
from konvoi.evaluation.co_occurrence import co_occurrence, conditional_shares
from konvoi.evaluation.several_labels import (
    SeveralLabelScores,
    average_precisions,
    binary_cross_entropies,
    macro_map_interval,
    score_several,
)
from konvoi.randomness import numpy_stream

HALF = np.array([0.5, 0.5])


def predictions(
    samples: int, labels: int, seed: int, levels: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities that know something of the labels; with `levels`, of few distinct values, so with many ties."""
    stream = np.random.default_rng(seed)
    truth = stream.random((samples, labels)) < np.geomspace(0.02, 0.6, labels)
    chance = 1 / (1 + np.exp(-(stream.normal(size=(samples, labels)) + 2 * truth - 1)))
    if levels:
        chance = np.round(chance * levels) / levels
    return chance.astype(np.float32), truth.astype(np.uint8)


def names(labels: int) -> list[str]:
    return [f"label {k}" for k in range(labels)]


def test_by_hand() -> None:
    probabilities = np.array([[0.9, 0.8], [0.8, 0.2], [0.7, 0.6], [0.1, 0.4]], np.float32)
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 1]], np.uint8)
    scores = score_several(probabilities, labels, ["forest", "sea"], np.array([0.75, 0.3]))
    forest, sea = scores.classes
    # Forest is ranked + − + −: precision 1 at the first hit, 2/3 at the second. Sea is ranked − − + −.
    assert forest.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert sea.average_precision == pytest.approx(1 / 3)
    assert scores.macro_map == pytest.approx((5 / 6 + 1 / 3) / 2)
    # All in one list: 0.9+ 0.8∓ (two tied, both −) 0.7+ 0.6− 0.4+ …: 1, 2/4, 3/6.
    assert scores.micro_map == pytest.approx((1 + 2 / 4 + 3 / 6) / 3)
    # Forest is given to samples 1 and 2, sea to 1, 3 and 4.
    assert (forest.samples, forest.predicted, forest.precision, forest.recall) == (2, 2, 0.5, 0.5)
    assert (sea.samples, sea.predicted, sea.precision, sea.recall) == (1, 3, pytest.approx(1 / 3), 1.0)
    assert (forest.f1, forest.f2) == (0.5, 0.5)
    assert (sea.f1, sea.f2) == (pytest.approx(2 / 4), pytest.approx(5 / (4 * 1 + 3)))
    assert (scores.micro_f1, scores.micro_f2) == (pytest.approx(4 / 8), pytest.approx(10 / (4 * 3 + 5)))
    assert scores.macro_f2 == pytest.approx((0.5 + 5 / 7) / 2)
    # By sample: {f} given {f, s}; {} given {f}; {f} given {s}; {s} given {s}.
    assert scores.sample_f1 == pytest.approx((2 / 3 + 0 + 0 + 1) / 4)
    assert (scores.label_accuracy, scores.subset_accuracy) == (4 / 8, 1 / 4)
    right = [0.9, 0.2, 0.7, 0.9, 0.2, 0.8, 0.4, 0.4]
    assert scores.cross_entropy == pytest.approx(-np.log(right).mean(), rel=1e-6)
    assert (scores.samples, scores.labels, scores.without_positives) == (4, 2, ())


@pytest.mark.parametrize("levels", [None, 7])
def test_against_scikit_learn(levels: int | None) -> None:
    probabilities, labels = predictions(400, 6, seed=1, levels=levels)
    labels[:, 2] = 0
    thresholds = np.linspace(0.21, 0.81, 6)
    decided = probabilities > thresholds
    scores = score_several(probabilities, labels, names(6), thresholds)
    kept = [0, 1, 3, 4, 5]
    assert scores.without_positives == ("label 2",)
    absent = scores.classes[2]
    assert (absent.average_precision, absent.recall, absent.precision, absent.f1) == (None, None, 0.0, 0.0)

    precisions = average_precision_score(labels[:, kept], probabilities[:, kept], average=None)
    np.testing.assert_allclose([scores.classes[k].average_precision for k in kept], precisions, rtol=1e-12)
    assert scores.macro_map == pytest.approx(precisions.mean(), rel=1e-12)
    micro = average_precision_score(labels, probabilities, average="micro")
    assert scores.micro_map == pytest.approx(micro, rel=1e-12)
    for name, metric in (
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
        ("f2", lambda *arrays, **options: fbeta_score(*arrays, beta=2, **options)),
    ):
        expected = metric(labels[:, kept], decided[:, kept], average=None)
        np.testing.assert_allclose([getattr(scores.classes[k], name) for k in kept], expected, rtol=1e-12)
        if name.startswith("f"):
            assert getattr(scores, f"macro_{name}") == pytest.approx(expected.mean(), rel=1e-12)
            micro = metric(labels, decided, average="micro")
            assert getattr(scores, f"micro_{name}") == pytest.approx(micro, rel=1e-12)
    assert scores.sample_f1 == pytest.approx(f1_score(labels, decided, average="samples", zero_division=1), rel=1e-12)
    assert scores.subset_accuracy == accuracy_score(labels, decided)
    assert scores.label_accuracy == accuracy_score(labels.ravel(), decided.ravel())


def test_the_cross_entropy_is_scikit_learns_log_loss() -> None:
    probabilities, labels = predictions(200, 4, seed=2)
    expected = log_loss(labels.ravel(), probabilities.ravel().astype(np.float64))
    assert binary_cross_entropies(probabilities, labels).mean() == pytest.approx(expected, rel=1e-9)


def test_a_probability_that_was_rounded_costs_much_but_neither_infinity_nor_more_than_it_must() -> None:
    # A logit of 18: float32 rounds its probability to 1, and the loss of a negative was 18, not 87.
    rounded = np.array([[1 / (1 + np.exp(-18.0)), 0.0]]).astype(np.float32)
    assert rounded[0, 0] == 1
    (of_negative, of_positive), (none, nothing) = binary_cross_entropies(
        np.repeat(rounded, 2, axis=0), np.array([[0, 1], [1, 0]], np.uint8)
    )
    assert of_negative == pytest.approx(25 * math.log(2))
    assert 17 < of_negative < 18
    assert of_positive == pytest.approx(38 * math.log(10))
    assert (none, nothing) == (0, 0)


@settings(deadline=None, max_examples=100)
@given(
    ranks=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30),
    seed=st.integers(0, 10**6),
)
def test_average_precision_of_any_list_is_scikit_learns_whatever_the_order(
    ranks: list[tuple[int, bool]], seed: int
) -> None:
    probabilities = np.array([[rank / 5] for rank, _ in ranks], np.float32)
    truth = np.array([[has] for _, has in ranks])
    (found,) = average_precisions(probabilities, truth)
    if not truth.any():
        assert found is None
        return
    assert found == pytest.approx(average_precision_score(truth[:, 0], probabilities[:, 0]), rel=1e-12)
    shuffled = np.random.default_rng(seed).permutation(len(ranks))
    assert average_precisions(probabilities[shuffled], truth[shuffled]) == [pytest.approx(found, rel=1e-12)]


def test_the_interval_is_that_of_plain_resampling() -> None:
    probabilities, labels = predictions(150, 4, seed=3, levels=40)
    labels[:, 0] = 0
    labels[7, 0] = 1  # a label that about a third of the drawn splits lack
    stream = numpy_stream(0, "bootstrap", 150)
    means = []
    for _ in range(60):
        chosen = stream.integers(0, 150, 150)
        rows = [chosen if labels[chosen, k].any() else np.arange(150) for k in range(4)]
        precisions = [average_precision_score(labels[rows[k], k], probabilities[rows[k], k]) for k in range(4)]
        means.append(np.mean(precisions))
    centre = np.mean([average_precision_score(labels[:, k], probabilities[:, k]) for k in range(4)])
    expected = centre + np.array([-1.96, 1.96]) * np.std(means, ddof=1)
    assert macro_map_interval(probabilities, labels, 60) == pytest.approx(expected, rel=1e-12)


def test_the_interval_holds_the_score_and_narrows_with_more_samples() -> None:
    widths = []
    for samples in (200, 3200):
        scores = score_several(*predictions(samples, 5, seed=4), names(5), np.full(5, 0.5))
        low, high = scores.macro_map_interval
        assert low < scores.macro_map < high
        widths.append(high - low)
    # Sixteen times the samples: a quarter of the width, as far as 100 draws tell.
    assert 0.12 < widths[1] / widths[0] < 0.45


def test_reliability_tells_right_probabilities_from_overconfident_ones() -> None:
    stream = np.random.default_rng(5)
    chance = stream.random((4000, 5))
    labels = (stream.random((4000, 5)) < chance).astype(np.uint8)
    right = score_several(chance.astype(np.float32), labels, names(5), np.full(5, 0.5), resamples=2)
    assert right.calibration_error < 0.02
    assert sum(entry.samples for entry in right.reliability) == 20_000
    sure = np.where(chance > 0.5, 0.99, 0.01).astype(np.float32)
    # Right three times in four and sure of 0.99: off by about 0.24.
    overconfident = score_several(sure, labels, names(5), np.full(5, 0.5), resamples=2)
    assert overconfident.calibration_error == pytest.approx(0.24, abs=0.02)
    # Thresholds decide, and change no probability.
    strict = score_several(sure, labels, names(5), np.full(5, 0.995), resamples=2)
    assert strict.calibration_error == overconfident.calibration_error


def test_a_threshold_between_neighbouring_float32_numbers_divides_them() -> None:
    # Of two neighbouring pairs, the middle of one is rounded up to float32, that of the other down.
    values = [np.float32(0.7)]
    for _ in range(2):
        values.append(np.nextafter(values[-1], np.float32(0)))
    for high, low in pairwise(values):
        between = np.array([(float(high) + float(low)) / 2])
        scores = score_several(np.array([[high], [low]]), np.array([[1], [0]], np.uint8), ["a"], between)
        assert scores.subset_accuracy == 1.0


def test_nothing_to_find_is_said_and_not_scored_as_zero() -> None:
    with pytest.raises(DataError, match="None of the 3 samples to be scored has any of the 2 labels"):
        score_several(np.full((3, 2), 0.4, np.float32), np.zeros((3, 2), np.uint8), ["a", "b"], HALF)


def test_scores_survive_json() -> None:
    probabilities, labels = predictions(50, 3, seed=6)
    labels[:, 0] = 0
    scores = score_several(probabilities, labels, names(3), np.array([0.1 + 0.2, 1 / 3, 0.5]))
    assert SeveralLabelScores.model_validate_json(scores.model_dump_json()) == scores


def test_co_occurrence_by_hand() -> None:
    labels = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0]], np.uint8)
    counts = co_occurrence(labels)
    assert counts.tolist() == [[3, 2, 1, 0], [2, 2, 1, 0], [1, 1, 2, 0], [0, 0, 0, 0]]
    shares = conditional_shares(counts)
    np.testing.assert_allclose(shares[:3, :3], [[1, 2 / 3, 1 / 3], [1, 1, 1 / 2], [1 / 2, 1 / 2, 1]])
    assert (shares[:3, 3] == 0).all()
    assert np.isnan(shares[3]).all()


def test_co_occurrence_counts_across_the_pieces_it_reads() -> None:
    labels = np.zeros((70_000, 2), np.uint8)
    labels[:, 0] = 1
    labels[65_000:66_000, 1] = 1
    assert co_occurrence(labels).tolist() == [[70_000, 1000], [1000, 1000]]
