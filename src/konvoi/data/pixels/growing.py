"""Regions grown from a seed in each field: controlled random sampling.

J. Liang, J. Zhou, Y. Qian, L. Wen, X. Bai, Y. Gao, "On the sampling strategy for evaluation of spectral-spatial methods
in hyperspectral image classification", IEEE Transactions on Geoscience and Remote Sensing 55 (2017): in each connected
component of a class, a seed is drawn, and the training region grows around it until it has its share of the component.
Beyond the paper, a second region grows from another seed for validation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.pixels.components import fields
from konvoi.data.pixels.parts import TEST, TRAIN, UNLABELLED, VALIDATION, GroundTruth, PartsMap, Shares, share_counts
from konvoi.randomness import numpy_stream


def grown_parts(ground_truth: GroundTruth, shares: Shares, seed: int, draw: int) -> PartsMap:
    """In each field, a training region and a validation region, each from one seed; the rest is tested.

    Args:
        ground_truth: `(H, W)`.
        shares: of the parts, which each field has, rounded; fields of one pixel train, unless they do not want to.
        seed: of the seeds' places.
        draw: which of several possible divisions.
    """
    numbers, classes = fields(ground_truth)
    parts = np.full(ground_truth.shape, UNLABELLED, dtype=np.uint8)
    parts[numbers >= 0] = TEST
    # One pass over the scene gives the pixels of all fields: sorted by field, each field is a run.
    flat = np.flatnonzero(numbers >= 0)
    flat = flat[np.argsort(numbers.reshape(-1)[flat], kind="stable")]
    ends = np.cumsum(np.bincount(numbers.reshape(-1)[flat], minlength=len(classes)))
    for field, pixels in enumerate(np.split(flat, ends[:-1])):
        stream = numpy_stream(seed, "pixels", "growing", field, draw)
        train, validation = share_counts(len(pixels), shares)
        places = np.stack(np.unravel_index(pixels, ground_truth.shape), axis=1)
        chosen = _grow(places, train, stream)
        parts.reshape(-1)[pixels[chosen]] = TRAIN
        left = np.setdiff1d(np.arange(len(pixels)), chosen)
        parts.reshape(-1)[pixels[left[_grow(places[left], validation, stream)]]] = VALIDATION
    return parts


def _grow(places: NDArray[np.int64], count: int, stream: np.random.Generator) -> NDArray[np.int64]:
    """Positions of so many connected pixels around a random one; where a piece is too small, of the next piece too."""
    from scipy.sparse.csgraph import breadth_first_order

    chosen: list[NDArray[np.int64]] = []
    open_ = np.ones(len(places), dtype=bool)
    graph = _neighbours(places) if count else None
    while count > 0:
        start = int(stream.choice(np.flatnonzero(open_)))
        reached = breadth_first_order(graph, start, directed=False, return_predecessors=False).astype(np.int64)
        taken = reached[:count]
        open_[reached] = False
        chosen.append(taken)
        count -= len(taken)
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def _neighbours(places: NDArray[np.int64]) -> Any:
    """The graph of pixels that touch, diagonals included: a sparse matrix `(n, n)`."""
    from scipy.sparse import coo_array

    corner = places.min(axis=0) - 1
    height, width = places.max(axis=0) - corner + 2
    grid = np.full((height, width), -1, dtype=np.int64)
    rows, columns = (places - corner).T
    grid[rows, columns] = np.arange(len(places))
    pairs = []
    for down, across in ((0, 1), (1, -1), (1, 0), (1, 1)):
        there = grid[rows + down, columns + across]
        pairs.append(np.stack([np.flatnonzero(there >= 0), there[there >= 0]]))
    first, second = np.concatenate(pairs, axis=1)
    return coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(len(places), len(places))).tocsr()
