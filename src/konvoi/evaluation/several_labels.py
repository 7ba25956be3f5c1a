"""Scores where a sample may have several labels: average precision, and decisions at a threshold for each label.

Pure arithmetic on probabilities and labels, with no network and no file. Thresholds are tuned in
`evaluation.thresholds`, co-occurrence is counted in `evaluation.co_occurrence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from konvoi.errors import DataError
from konvoi.evaluation.scores import ReliabilityBin, expected_calibration_error, reliability_bins
from konvoi.randomness import numpy_stream
from konvoi.record import Record

Truth = NDArray[np.bool_] | NDArray[np.uint8]
"""Labels `(N, K)` of 0 and 1."""

_RESAMPLES = 100
_RELIABILITY_BINS = 15
_LEAST_OF_POSITIVE = 1e-38  # a normal float32, as in `evaluation.scores`
_LEAST_OF_NEGATIVE = 2.0**-25  # the most that 1 − p can have been where float32 rounds p to 1


class LabelScores(Record):
    """One label against its absence.

    An average precision or a recall without positives, or a precision without predictions, is no number and is None,
    not 0.

    Attributes:
        samples: that have the label.
        predicted: that the network gives it, because its probability is above `threshold`.
        f2: counts recall twice as much as precision; F_β = (1 + β²) P R / (β² P + R).
    """

    name: str
    samples: int
    predicted: int
    average_precision: float | None
    threshold: float
    precision: float | None
    recall: float | None
    f1: float | None
    f2: float | None


class SeveralLabelScores(Record):
    """All scores of one split.

    Attributes:
        samples: how many were scored.
        labels: how many labels there are, those in `without_positives` included.
        macro_map: mean of the labels' average precision, over labels that have positives.
        macro_map_interval: 95 % interval of it; see `macro_map_interval`.
        micro_map: average precision of all (sample, label) pairs in one list.
        macro_f1, macro_f2: means over labels that have positives.
        micro_f1, micro_f2: from the counts of all labels together.
        sample_f1: mean over samples of the F1 of a sample's labels; 1 where it has none and is given none.
        label_accuracy: share of (sample, label) pairs decided correctly. High wherever labels are rare: for no label
            at all it is already the share of pairs that are negative.
        subset_accuracy: share of samples with every label decided correctly.
        cross_entropy: mean over samples and labels of the binary cross-entropy, in nats; see `binary_cross_entropies`.
        classes: one entry a label, in label order.
        without_positives: names of the labels that no sample has; no macro mean counts them.
        calibration_error: expected calibration error over `reliability`.
        reliability: all (sample, label) pairs in equal-width bins of the label's probability; `confidence` is the mean
            probability of a bin, `accuracy` the share of its pairs in which the sample has the label. Thresholds have
            no part in it.
    """

    samples: int
    labels: int
    macro_map: float
    macro_map_interval: tuple[float, float]
    micro_map: float
    macro_f1: float
    micro_f1: float
    macro_f2: float
    micro_f2: float
    sample_f1: float
    label_accuracy: float
    subset_accuracy: float
    cross_entropy: float
    classes: tuple[LabelScores, ...]
    without_positives: tuple[str, ...]
    calibration_error: float
    reliability: tuple[ReliabilityBin, ...]


def score_several(
    probabilities: NDArray[np.float32],
    labels: Truth,
    class_names: Sequence[str],
    thresholds: NDArray[np.float64],
    resamples: int = _RESAMPLES,
) -> SeveralLabelScores:
    """Score predictions.

    Args:
        probabilities: `(N, K)`, each its own; rows need not sum to one.
        labels: `(N, K)` of 0 and 1.
        class_names: the K names.
        thresholds: `(K,)`; a label is predicted where its probability is above.
        resamples: of the bootstrap.

    Raises:
        DataError: no sample has any label, so that there is nothing to find.
    """
    truth = labels > 0
    if not truth.any():
        raise DataError(
            f"None of the {len(truth)} samples to be scored has any of the {len(class_names)} labels, so there is no "
            "average precision and no recall. Check the label table, or the shares of the split."
        )
    # float64 against float64: a threshold lies between two float32 numbers, and is none.
    decided = probabilities > thresholds
    found = truth & decided
    hits, present, predicted = found.sum(axis=0), truth.sum(axis=0), decided.sum(axis=0)
    f1, f2 = _f_beta(hits, present, predicted, 1), _f_beta(hits, present, predicted, 2)
    precisions = average_precisions(probabilities, truth)
    classes = tuple(
        LabelScores(
            name=name,
            samples=int(present[k]),
            predicted=int(predicted[k]),
            average_precision=precisions[k],
            threshold=float(thresholds[k]),
            precision=float(hits[k] / predicted[k]) if predicted[k] else None,
            recall=float(hits[k] / present[k]) if present[k] else None,
            f1=float(f1[k]) if present[k] + predicted[k] else None,
            f2=float(f2[k]) if present[k] + predicted[k] else None,
        )
        for k, name in enumerate(class_names)
    )
    reliability = reliability_bins(probabilities.ravel(), truth.ravel(), _RELIABILITY_BINS)
    return SeveralLabelScores(
        samples=len(truth),
        labels=len(classes),
        macro_map=float(np.mean([value for value in precisions if value is not None])),
        macro_map_interval=macro_map_interval(probabilities, truth, resamples),
        micro_map=average_precisions(probabilities.reshape(-1, 1), truth.reshape(-1, 1))[0] or 0.0,
        macro_f1=float(f1[present > 0].mean()),
        micro_f1=float(_f_beta(hits.sum(), present.sum(), predicted.sum(), 1)),
        macro_f2=float(f2[present > 0].mean()),
        micro_f2=float(_f_beta(hits.sum(), present.sum(), predicted.sum(), 2)),
        sample_f1=float(np.nan_to_num(_f_beta(found.sum(1), truth.sum(1), decided.sum(1), 1), nan=1.0).mean()),
        label_accuracy=float((decided == truth).mean()),
        subset_accuracy=float((decided == truth).all(axis=1).mean()),
        cross_entropy=float(binary_cross_entropies(probabilities, truth).mean()),
        classes=classes,
        without_positives=tuple(entry.name for entry in classes if not entry.samples),
        calibration_error=expected_calibration_error(reliability),
        reliability=reliability,
    )


def binary_cross_entropies(probabilities: NDArray[np.float32], labels: Truth) -> NDArray[np.float64]:
    """−log p of each positive, −log(1 − p) of each negative, in nats; `(N, K)` float64.

    p is a float32, so what is lost is bounded from both sides: a positive costs 87.5 nats at most, since smaller
    probabilities are taken as 1e-38; a negative whose probability was rounded to 1 costs 17.3, the least it can have
    cost (1 − p = 2⁻²⁵).

    Args:
        probabilities: `(N, K)`.
        labels: `(N, K)` of 0 and 1.
    """
    chance = probabilities.astype(np.float64)
    of_truth = np.where(labels > 0, np.maximum(chance, _LEAST_OF_POSITIVE), np.maximum(1 - chance, _LEAST_OF_NEGATIVE))
    losses: NDArray[np.float64] = -np.log(of_truth)
    return losses


def average_precisions(probabilities: NDArray[np.float32], truth: Truth) -> list[float | None]:
    """Each label's average precision, None where no sample has it.

    Σ (R_n − R_{n−1}) P_n over the distinct probabilities from the highest down, without interpolation, as
    scikit-learn's `average_precision_score` defines it; samples of equal probability enter together.

    Args:
        probabilities: `(N, K)`.
        truth: `(N, K)` of 0 and 1.
    """
    once = np.ones(len(truth), dtype=np.int32)
    return [ranking.average_precision(once) for ranking in _rankings(probabilities, truth)]


def macro_map_interval(
    probabilities: NDArray[np.float32], truth: Truth, resamples: int = _RESAMPLES
) -> tuple[float, float]:
    """Macro mAP ± 1.96 standard errors, those of splits of equal size drawn from this one with replacement.

    The bootstrap's standard error: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7
    (1979). Not its percentiles: a rare positive that is drawn twice stands above its own copy, so that drawn splits
    score higher than the split that they are drawn from. Samples are drawn as wholes, so that labels that occur
    together stay together; a label of which a drawn split has no positives keeps its average precision there. The draws
    depend on nothing but N. Patches of one place are alike, so an interval for new places would be wider than this.

    Args:
        probabilities: `(N, K)`.
        truth: `(N, K)` of 0 and 1, with a positive at least.
        resamples: how many splits are drawn.
    """
    stream = numpy_stream(0, "bootstrap", len(truth))
    # How often each sample is drawn: a drawn split is this split with whole numbers as weights, sorted already.
    drawn = [
        np.bincount(stream.integers(0, len(truth), len(truth)), minlength=len(truth)).astype(np.int32)
        for _ in range(resamples)
    ]
    once = np.ones(len(truth), dtype=np.int32)
    own: list[float] = []
    sums = np.zeros(resamples)
    for ranking in _rankings(probabilities, truth):
        precision = ranking.average_precision(once)
        if precision is not None:
            own.append(precision)
            for number, weights in enumerate(drawn):
                value = ranking.average_precision(weights)
                sums[number] += precision if value is None else value
    centre = float(np.mean(own))
    margin = 1.96 * float(np.std(sums / len(own), ddof=1))
    return max(0.0, centre - margin), min(1.0, centre + margin)


class _Ranking:
    """One label's samples, sorted once from the highest probability down, to be counted with any weights."""

    def __init__(self, probabilities: NDArray[np.float32], truth: Truth) -> None:
        self._order = np.argsort(-probabilities, kind="stable")
        ranked = probabilities[self._order]
        last_of_ties = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        self._positives = np.flatnonzero(truth[self._order])
        # For each positive, the last sample and the last positive that share its probability.
        self._last_sample = last_of_ties[np.searchsorted(last_of_ties, self._positives)]
        self._last_positive = np.searchsorted(self._positives, self._last_sample, side="right") - 1

    def average_precision(self, weights: NDArray[np.int32]) -> float | None:
        """With each sample counted `weights` times, `(N,)`; None without positives."""
        counted = weights[self._order]
        of_positives = counted[self._positives]
        hits = np.cumsum(of_positives, dtype=np.int64)
        if len(hits) == 0 or hits[-1] == 0:
            return None
        seen = np.cumsum(counted, dtype=np.int64)[self._last_sample]
        # A positive drawn 0 times may come before any sample that was drawn; it adds 0.
        precision = hits[self._last_positive] / np.maximum(seen, 1)
        return float((of_positives * precision).sum() / hits[-1])


def _rankings(probabilities: NDArray[np.float32], truth: Truth) -> Iterator[_Ranking]:
    return (_Ranking(probabilities[:, k], truth[:, k]) for k in range(truth.shape[1]))


def _f_beta(
    hits: NDArray[np.int64], present: NDArray[np.int64], predicted: NDArray[np.int64], beta: int
) -> NDArray[np.float64]:
    # (1 + β²) P R / (β² P + R), written in counts; NaN where there is nothing to find and nothing found.
    both = np.asarray(beta * beta * present + predicted, dtype=np.float64)
    scores = np.full(both.shape, np.nan)
    np.divide((1 + beta * beta) * hits, both, out=scores, where=both > 0)
    return scores
