"""Square blocks of the scene: all labelled pixels of a block go to one part."""

from __future__ import annotations

import numpy as np

from konvoi.data.pixels.parts import IN_ORDER, UNLABELLED, GroundTruth, PartsMap, Shares
from konvoi.data.stratify import divide
from konvoi.randomness import numpy_stream


def block_parts(ground_truth: GroundTruth, shares: Shares, size: int, seed: int, draw: int) -> PartsMap:
    """Blocks of a grid, given to the parts so that each has its share of every class as far as whole blocks allow.

    Args:
        ground_truth: `(H, W)`.
        shares: of the parts.
        size: side of a block in pixels.
        seed: of the grid's place, of ties in the stratification (see `data.stratify.divide`).
        draw: which of several possible divisions.
    """
    height, width = ground_truth.shape
    down, across = numpy_stream(seed, "pixels", "blocks", draw).integers(0, size, size=2).tolist()
    rows = (np.arange(height) + down) // size
    columns = (np.arange(width) + across) // size
    labelled = ground_truth >= 0
    of_pixel = (rows[:, None] * (int(columns[-1]) + 1) + columns)[labelled]
    _, blocks = np.unique(of_pixel, return_inverse=True)
    counts = np.zeros((int(blocks.max()) + 1, int(ground_truth.max()) + 1), dtype=np.int64)
    np.add.at(counts, (blocks, ground_truth[labelled]), 1)
    chosen = divide(counts, counts.sum(axis=1), shares, seed, f"pixel blocks {draw}")
    parts = np.full(ground_truth.shape, UNLABELLED, dtype=np.uint8)
    parts[labelled] = np.array(IN_ORDER, dtype=np.uint8)[chosen[blocks]]
    return parts
