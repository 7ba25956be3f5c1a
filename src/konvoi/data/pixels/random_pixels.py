"""Pixels drawn at random. Kept for comparison: without a guard, windows of test pixels hold training pixels."""

from __future__ import annotations

import numpy as np

from konvoi.data.pixels.parts import GroundTruth, PartsMap, Shares, give_away
from konvoi.randomness import numpy_stream


def random_parts(ground_truth: GroundTruth, shares: Shares, seed: int) -> PartsMap:
    """Labelled pixels at random, whatever their class."""
    parts = np.zeros(ground_truth.shape, dtype=np.uint8)
    pixels = np.flatnonzero(ground_truth >= 0)
    give_away(parts, numpy_stream(seed, "pixels", "random").permutation(pixels), shares)
    return parts
