"""Samples with rare labels more often, in an order that is still a pure function of (seed, epoch).

A. Gupta, P. Dollár and R. Girshick, "LVIS: a dataset for large vocabulary instance segmentation", CVPR 2019, repeat
factor sampling: a label that a share f of the samples has asks for max(1, √(threshold / f)) repetitions, and a sample
for the most that one of its labels asks. There, fractions are rounded at random sample by sample; here they are dealt
by systematic sampling, so that every epoch has the same length and no sample is more than one repetition off.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from konvoi.randomness import numpy_stream


class Repetition:
    """How often each training sample stands in an epoch: at least once, those with rare labels more often.

    Attributes:
        factors: how often each of the N samples should stand in an epoch, `(N,)` float64, 1 or more.
        samples_per_epoch: N + ⌊Σ (factor − 1)⌋, the same in every epoch.
        expected: how often each sample does stand in an epoch, on average over epochs, `(N,)` float64. What exceeds 1
            is scaled down from `factors`, so that its sum is a whole number: by less than one sample in all.
    """

    def __init__(self, labels: NDArray[np.int64] | NDArray[np.uint8], threshold: float) -> None:
        """Count the labels.

        Args:
            labels: of the training split, `(N,)` or `(N, K)` of 0 and 1.
            threshold: labels that a smaller share of the samples has are repeated.
        """
        self.factors = repeat_factors(labels, threshold)
        wanted = self.factors - 1
        total = math.fsum(wanted)
        # A sum that only rounding keeps below a whole number is that number.
        self._extras = math.floor(total + 1e-9)
        self.samples_per_epoch = len(labels) + self._extras
        self.expected = 1 + wanted * (self._extras / total if total else 0.0)

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The epoch's positions, `(samples_per_epoch,)` int64, each of 0 … N-1 at least once."""
        stream = numpy_stream(seed, "repetition", epoch)
        dealt = stream.permutation(len(self.expected))
        # Systematic sampling: the samples' extras are pieces of a line, one after the other in random order, and each
        # of the points one apart on it, from a random start, is one repetition of the sample whose piece it hits.
        ends = np.minimum(np.cumsum(self.expected[dealt] - 1), self._extras)
        ends[-1:] = self._extras
        hits = np.minimum(np.floor(ends + stream.random()), self._extras).astype(np.int64)
        repetitions = np.empty(len(dealt), dtype=np.int64)
        repetitions[dealt] = 1 + np.diff(hits, prepend=0)
        positions = np.repeat(np.arange(len(dealt)), repetitions)
        return positions[numpy_stream(seed, "order", epoch).permutation(len(positions))]


def repeat_factors(labels: NDArray[np.int64] | NDArray[np.uint8], threshold: float) -> NDArray[np.float64]:
    """How often each sample should stand in an epoch, `(N,)` float64, 1 or more; 1 for samples without a label.

    Args:
        labels: `(N,)` or `(N, K)` of 0 and 1.
        threshold: labels that a smaller share of the samples has are repeated.
    """
    counts = np.bincount(labels) if labels.ndim == 1 else labels.sum(axis=0)
    asked = np.maximum(1.0, np.sqrt(threshold * len(labels) / np.maximum(counts, 1)))
    if labels.ndim == 1:
        return asked[labels]
    factors = np.ones(len(labels))
    for k, of_label in enumerate(asked):
        np.maximum(factors, of_label, out=factors, where=labels[:, k] > 0)
    return factors
