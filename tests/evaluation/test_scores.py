"""Scores against values worked by hand and against independent implementations."""

import math
import warnings

import numpy as np
import pytest
import torch
import torchmetrics.classification as torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from konvoi.evaluation.scores import confusion_matrix, positions_of_labels, score, wilson_interval


def predictions(samples: int, classes: int, seed: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    logits = stream.normal(size=(samples, classes)) * sharpness
    labels = np.where(stream.random(samples) < 0.7, logits.argmax(1), stream.integers(0, classes, samples))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probabilities.astype(np.float32), labels.astype(np.int64)


def test_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.65, 0.35], [0.25, 0.75], [0.15, 0.85]], np.float32)
    scores = score(probabilities, np.array([0, 1, 1, 1]), ["cat", "dog"], bins=10)
    assert (scores.correct, scores.samples, scores.accuracy) == (3, 4, 0.75)
    assert scores.confusion == ((1, 0), (1, 2))
    cat, dog = scores.classes
    assert (cat.precision, cat.recall, cat.f1) == (1 / 2, 1.0, pytest.approx(2 / 3))
    assert (dog.precision, dog.recall, dog.f1) == (1.0, pytest.approx(2 / 3), pytest.approx(4 / 5))
    assert scores.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores.cross_entropy == pytest.approx(-np.log([0.95, 0.35, 0.75, 0.85]).mean(), rel=1e-6)
    # Each sample is alone in its bin of width 0.1; accuracy − confidence is 1−0.95, 0−0.65, 1−0.75, 1−0.85.
    assert scores.calibration_error == pytest.approx((0.05 + 0.65 + 0.25 + 0.15) / 4, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 10, 43])
def test_against_torchmetrics(classes: int) -> None:
    probabilities, labels = predictions(3000, classes, seed=classes)
    scores = score(probabilities, labels, [str(index) for index in range(classes)])
    inputs = torch.from_numpy(probabilities), torch.from_numpy(labels)

    def reference(metric: str, **options: object) -> torch.Tensor:
        return getattr(torchmetrics, f"Multiclass{metric}")(num_classes=classes, **options)(*inputs)

    assert scores.accuracy == pytest.approx(reference("Accuracy", average="micro").item(), abs=1e-6)
    assert scores.macro_f1 == pytest.approx(reference("F1Score", average="macro").item(), abs=1e-6)
    assert scores.calibration_error == pytest.approx(reference("CalibrationError", n_bins=15).item(), abs=1e-5)
    assert np.array_equal(scores.confusion, reference("ConfusionMatrix").numpy())
    for name, metric in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1Score")):
        found = [getattr(entry, name) for entry in scores.classes]
        np.testing.assert_allclose(found, reference(metric, average="none").numpy(), atol=1e-6)
    expected = torch.nn.functional.nll_loss(inputs[0].double().log(), inputs[1]).item()
    assert scores.cross_entropy == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("classes", [21, 300])
def test_the_five_most_probable_against_torchmetrics(classes: int) -> None:
    probabilities, labels = predictions(2000, classes, seed=classes, sharpness=1.0)
    scores = score(probabilities, labels, [str(index) for index in range(classes)])
    inputs = torch.from_numpy(probabilities), torch.from_numpy(labels)
    expected = torchmetrics.MulticlassAccuracy(classes, top_k=5, average="micro")(*inputs).item()
    assert scores.top5 == pytest.approx(expected, abs=1e-6)
    assert scores.accuracy < scores.top5 < 1
    assert scores.top5_interval == wilson_interval(round(scores.top5 * 2000), 2000)


def test_of_equal_probabilities_the_first_classes_come_first() -> None:
    uniform = np.full((30, 30), 1 / 30, np.float32)
    assert score(uniform, np.arange(30), [str(index) for index in range(30)]).top5 == 5 / 30
    np.testing.assert_array_equal(positions_of_labels(uniform, np.arange(30)), np.arange(30))
    few = score(uniform[:20, :20] * 1.5, np.arange(20), [str(index) for index in range(20)])
    assert few.top5 is None


def test_confusions_of_many_classes_are_counted_without_a_matrix() -> None:
    probabilities, labels = predictions(3000, 101, seed=1)
    names = [str(index) for index in range(101)]
    scores = score(probabilities, labels, names)
    assert scores.confusion == ()
    expected = confusion_matrix(labels, probabilities.argmax(axis=1), 101)
    np.testing.assert_array_equal(scores.matrix(), expected)
    np.fill_diagonal(expected, 0)
    found = np.zeros_like(expected)
    for true, predicted, count in scores.mistakes():
        found[true, predicted] = count
    np.testing.assert_array_equal(found, expected)
    few = score(probabilities[:, :9], labels % 9, names[:9])
    assert few.confused == ()
    assert sum(count for *_, count in few.mistakes()) == 3000 - few.correct


@settings(deadline=None, max_examples=80)
@given(samples=st.integers(1, 10**6), share=st.floats(0, 1))
def test_the_interval_is_scipys_wilson_interval(samples: int, share: float) -> None:
    correct = round(samples * share)
    low, high = wilson_interval(correct, samples)
    expected = binomtest(correct, samples).proportion_ci(0.95, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


def test_a_class_without_predictions_or_samples_has_no_score_instead_of_zero() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]], np.float32)
    _, never_predicted, absent = score(probabilities, np.array([0, 1]), ["a", "b", "c"]).classes
    assert (never_predicted.precision, never_predicted.recall, never_predicted.f1) == (None, 0.0, 0.0)
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)


def test_a_label_of_probability_zero_costs_much_but_not_infinity() -> None:
    scores = score(np.array([[1.0, 0.0]], np.float32), np.array([1]), ["a", "b"])
    assert math.isfinite(scores.cross_entropy)
    assert scores.cross_entropy > 80


class TestAverageAccuracyAndKappa:
    def test_by_hand(self) -> None:
        # Predicted 0, 0, 1, 1 for 0, 1, 1, 1: observed agreement 3/4, by chance (1·2 + 3·2) / 16 = 1/2.
        probabilities = np.array([[0.95, 0.05], [0.65, 0.35], [0.25, 0.75], [0.15, 0.85]], np.float32)
        scores = score(probabilities, np.array([0, 1, 1, 1]), ["cat", "dog"])
        assert scores.average_accuracy == pytest.approx((1 + 2 / 3) / 2)
        assert scores.kappa == pytest.approx((3 / 4 - 1 / 2) / (1 - 1 / 2))

    @settings(deadline=None, max_examples=60)
    @given(samples=st.integers(2, 300), classes=st.integers(2, 16), seed=st.integers(0, 10**6))
    def test_against_scikit_learn(self, samples: int, classes: int, seed: int) -> None:
        probabilities, labels = predictions(samples, classes, seed, sharpness=0.5)
        scores = score(probabilities, labels, [str(index) for index in range(classes)])
        predicted = probabilities.argmax(axis=1)
        if scores.kappa is None:
            assert len(set(labels) | set(predicted)) == 1
        else:
            assert scores.kappa == pytest.approx(cohen_kappa_score(labels, predicted), abs=1e-12)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes that are predicted and have no sample
            assert scores.average_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))

    def test_where_chance_always_agrees_there_is_no_kappa(self) -> None:
        assert score(np.array([[1.0, 0.0]], np.float32), np.array([0]), ["a", "b"]).kappa is None
