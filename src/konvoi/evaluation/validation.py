"""The few scores that a training needs after every epoch; the full ones are made once, at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from konvoi.evaluation.several_labels import average_precisions, binary_cross_entropies

_SMALLEST = 1e-38  # a normal float32; the logarithm of a smaller probability would not be finite


@dataclass(frozen=True)
class ValidationScores:
    """What a validation tells the training.

    Attributes:
        loss: the plain cross-entropy in nats, without label smoothing or label weights; where a sample has several
            labels, the mean over samples and labels of the binary cross-entropy.
        accuracy: share of samples classified correctly; where a sample has several labels, share of (sample, label)
            pairs decided correctly at probability 0.5.
        mean_average_precision: macro mAP, where a sample has several labels; it then decides which epoch is best.
    """

    loss: float
    accuracy: float
    mean_average_precision: float | None = None


def single_label_validation(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> ValidationScores:
    """Scores from probabilities `(N, K)` and labels `(N,)`."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    return ValidationScores(float(-np.log(np.clip(of_label, _SMALLEST, None)).mean()), correct / len(labels))


def several_label_validation(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> ValidationScores:
    """Scores from probabilities `(N, K)` and labels `(N, K)` of 0 and 1."""
    truth = labels > 0
    precisions = [value for value in average_precisions(probabilities, truth) if value is not None]
    return ValidationScores(
        loss=float(binary_cross_entropies(probabilities, truth).mean()),
        accuracy=float(((probabilities > 0.5) == truth).mean()),
        mean_average_precision=float(np.mean(precisions)) if precisions else 0.0,
    )
