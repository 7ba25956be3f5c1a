"""Scores of a classifier: accuracy with its interval, per-class figures, confusion, calibration.

Pure arithmetic on probabilities and labels, with no network and no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from konvoi.record import Record

TOP = 5
"""Of the five most probable classes, one may be right: ILSVRC's own measure."""

MOST_IN_A_MATRIX = 100
"""With more classes, confusions are counted one by one: most of a million cells would be empty."""

_LEAST_FOR_TOP = 20
_ROWS_AT_ONCE = 4096

Z_95 = 1.959963984540054  # the standard normal distribution's 97.5 % quantile


class ClassScores(Record):
    """One class against all others.

    A precision without predictions, or a recall without samples, is not a number and is None, not 0.
    """

    name: str
    samples: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


class ReliabilityBin(Record):
    """The samples whose highest probability lies in (low, high]."""

    low: float
    high: float
    samples: int
    confidence: float | None
    accuracy: float | None


class Scores(Record):
    """All scores of one split.

    Attributes:
        samples: how many were scored.
        correct: how many had their label as most probable class.
        accuracy: correct / samples.
        interval: Wilson's 95 % interval of the accuracy.
        cross_entropy: mean of -log p(label), in nats.
        macro_f1: mean F1 over the classes that have samples.
        classes: one entry a class, in label order.
        confusion: `[true][predicted]`, counts; empty with more than `MOST_IN_A_MATRIX` classes.
        confused: with so many, (true, predicted, count) for each pair of two classes that occurs; else empty.
        calibration_error: expected calibration error over `reliability`.
        reliability: equal-width bins of confidence.
        top5: share of the samples whose label is among the five most probable classes; None with 20 classes or fewer.
        top5_interval: Wilson's 95 % interval of it.
    """

    samples: int
    correct: int
    accuracy: float
    interval: tuple[float, float]
    cross_entropy: float
    macro_f1: float
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    confused: tuple[tuple[int, int, int], ...] = ()
    calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    top5: float | None = None
    top5_interval: tuple[float, float] | None = None

    def mistakes(self) -> Iterator[tuple[int, int, int]]:
        """(true, predicted, count) of every pair of two classes that were confused."""
        yield from self.confused
        for true, row in enumerate(self.confusion):
            for predicted, count in enumerate(row):
                if true != predicted and count:
                    yield true, predicted, count

    def matrix(self) -> NDArray[np.int64]:
        """Counts `[true, predicted]`, `(K, K)`, however they are kept."""
        if self.confusion:
            return np.array(self.confusion, dtype=np.int64)
        matrix = np.diag([entry.samples for entry in self.classes])
        for true, predicted, count in self.confused:
            matrix[true, predicted] += count
            matrix[true, true] -= count
        return matrix

    @property
    def average_accuracy(self) -> float:
        """AA, as remote sensing calls the mean recall over the classes that have samples; `accuracy` is its OA."""
        return float(np.mean([entry.recall for entry in self.classes if entry.recall is not None]))

    @property
    def kappa(self) -> float | None:
        """Cohen's κ of labels and predictions; None where both name one and the same class throughout."""
        return cohen_kappa(self.matrix())


def score(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], class_names: Sequence[str], bins: int = 15
) -> Scores:
    """Score predictions.

    Args:
        probabilities: `(N, K)`, rows that sum to one.
        labels: `(N,)`, 0 … K-1.
        class_names: the K names.
        bins: of the reliability curve.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, len(class_names))
    correct = int(np.trace(confusion))
    classes = tuple(_class_scores(confusion, index, name) for index, name in enumerate(class_names))
    f1_of_present = [entry.f1 or 0.0 for entry in classes if entry.samples > 0]
    label_probability = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    many = len(class_names) > MOST_IN_A_MATRIX
    top = None
    if len(class_names) > _LEAST_FOR_TOP:
        top = int((positions_of_labels(probabilities, labels) < TOP).sum())
    reliability = reliability_bins(probabilities.max(axis=1), predicted == labels, bins)
    return Scores(
        samples=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        interval=wilson_interval(correct, len(labels)),
        cross_entropy=float(-np.log(np.clip(label_probability, 1e-38, None)).mean()),
        macro_f1=float(np.mean(f1_of_present)),
        classes=classes,
        confusion=() if many else tuple(tuple(int(count) for count in row) for row in confusion),
        confused=_confused(confusion) if many else (),
        calibration_error=expected_calibration_error(reliability),
        reliability=reliability,
        top5=None if top is None else top / len(labels),
        top5_interval=None if top is None else wilson_interval(top, len(labels)),
    )


def positions_of_labels(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes come before the label when they are sorted by probability, `(N,)`; 0 for a correct prediction.

    Of classes with the same probability the one with the smaller number comes first, as `argmax` has it.
    """
    numbers = np.arange(probabilities.shape[1])
    found = np.empty(len(labels), dtype=np.int64)
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        rows, own = probabilities[start : start + _ROWS_AT_ONCE], labels[start : start + _ROWS_AT_ONCE, None]
        of_label = np.take_along_axis(rows, own, axis=1)
        before = (rows > of_label) | ((rows == of_label) & (numbers < own))
        found[start : start + _ROWS_AT_ONCE] = before.sum(axis=1)
    return found


def confusion_matrix(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts `[true, predicted]`, `(K, K)`."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def cohen_kappa(confusion: NDArray[np.int64]) -> float | None:
    """Agreement beyond chance, (p_o − p_e) / (1 − p_e); None where chance alone would agree always.

    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960).

    Args:
        confusion: counts `[true, predicted]`, `(K, K)`.
    """
    samples = int(confusion.sum())
    found = int(np.trace(confusion)) / samples
    by_chance = int((confusion.sum(axis=1) * confusion.sum(axis=0)).sum()) / samples**2
    return None if by_chance == 1 else (found - by_chance) / (1 - by_chance)


def wilson_interval(correct: int, samples: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a proportion; unlike ± z·σ it stays within 0 … 1 and holds near the ends.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    share = correct / samples
    # centre = (p + z²/2n) / (1 + z²/n);  half width = z·√(p(1-p)/n + z²/4n²) / (1 + z²/n)
    shrink = 1 + z * z / samples
    centre = (share + z * z / (2 * samples)) / shrink
    half = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples)) / shrink
    return max(0.0, centre - half), min(1.0, centre + half)


def reliability_bins(
    confidence: NDArray[np.float32], correct: NDArray[np.bool_], bins: int
) -> tuple[ReliabilityBin, ...]:
    """Sort samples by their confidence into equal-width bins (low, high]; the first also takes 0."""
    index = np.clip(np.ceil(confidence.astype(np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    confidence_sums = np.bincount(index, weights=confidence, minlength=bins)
    correct_sums = np.bincount(index, weights=correct, minlength=bins)
    return tuple(
        ReliabilityBin(
            low=position / bins,
            high=(position + 1) / bins,
            samples=int(counts[position]),
            confidence=float(confidence_sums[position] / counts[position]) if counts[position] else None,
            accuracy=float(correct_sums[position] / counts[position]) if counts[position] else None,
        )
        for position in range(bins)
    )


def expected_calibration_error(reliability: Sequence[ReliabilityBin]) -> float:
    """Mean over samples of |accuracy − confidence| of their bin.

    Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3.
    """
    samples = sum(entry.samples for entry in reliability)
    return math.fsum(
        entry.samples / samples * abs(entry.accuracy - entry.confidence)
        for entry in reliability
        if entry.accuracy is not None and entry.confidence is not None
    )


def _confused(confusion: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    true, predicted = np.nonzero(confusion)
    pairs = zip(true.tolist(), predicted.tolist(), confusion[true, predicted].tolist(), strict=True)
    return tuple(pair for pair in pairs if pair[0] != pair[1])


def _class_scores(confusion: NDArray[np.int64], index: int, name: str) -> ClassScores:
    hits = int(confusion[index, index])
    samples = int(confusion[index].sum())
    predicted = int(confusion[:, index].sum())
    return ClassScores(
        name=name,
        samples=samples,
        predicted=predicted,
        precision=hits / predicted if predicted else None,
        recall=hits / samples if samples else None,
        f1=2 * hits / (samples + predicted) if samples + predicted else None,
    )
