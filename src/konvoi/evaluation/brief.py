"""The few figures by which one classifier is put beside another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.evaluation.scores import cohen_kappa, confusion_matrix, wilson_interval
from konvoi.record import Record


class BriefScores(Record):
    """Scores of one split.

    Attributes:
        samples: how many were scored.
        accuracy: share classified correctly, the overall accuracy (OA).
        interval: Wilson's 95 % interval of it.
        average_accuracy: mean recall over the classes that have samples (AA).
        kappa: Cohen's; None where chance alone would agree always.
    """

    samples: int
    accuracy: float
    interval: tuple[float, float]
    average_accuracy: float
    kappa: float | None


def score_briefly(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> BriefScores:
    """Score predicted classes `(N,)` against labels `(N,)`, both 0 … K-1."""
    confusion = confusion_matrix(labels, predicted, classes)
    correct, per_class = int(np.trace(confusion)), confusion.sum(axis=1)
    present = per_class > 0
    return BriefScores(
        samples=len(labels),
        accuracy=correct / len(labels),
        interval=wilson_interval(correct, len(labels)),
        average_accuracy=float((confusion.diagonal()[present] / per_class[present]).mean()),
        kappa=cohen_kappa(confusion),
    )
