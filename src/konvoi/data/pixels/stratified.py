"""Pixels drawn at random class by class. As with all random pixels, their windows leak without a guard."""

from __future__ import annotations

import numpy as np

from konvoi.data.pixels.parts import GroundTruth, PartsMap, Shares, give_away
from konvoi.randomness import numpy_stream


def stratified_parts(ground_truth: GroundTruth, shares: Shares, seed: int) -> PartsMap:
    """Labelled pixels at random, of each class its share."""
    parts = np.zeros(ground_truth.shape, dtype=np.uint8)
    for label in range(int(ground_truth.max()) + 1):
        pixels = np.flatnonzero(ground_truth == label)
        give_away(parts, numpy_stream(seed, "pixels", "stratified", label).permutation(pixels), shares)
    return parts
