"""Contiguous regions of a class, found by DBSCAN, ranked, and given to training until its share is reached.

J. Lange, G. Cavallaro, M. Götz, E. Erlingsson, M. Riedel, "The influence of sampling methods on pixel-wise
hyperspectral image classification with 3D convolutional neural networks", IGARSS 2018. The regions of a class are
ranked by area or by the variance of their spectra, the largest first; pixels that DBSCAN calls noise come last. Beyond
the paper, the last regions validate, and where a region has to be cut, it is cut across its longest extent, so that all
pieces are compact.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from konvoi.data.pixels.parts import GroundTruth, PartsMap, Shares, give_away
from konvoi.randomness import numpy_stream

Rank = Literal["area", "variance"]


def ranked_regions(
    ground_truth: GroundTruth, rank: Rank, reach: float, neighbours: int, cube: NDArray[Any] | None = None
) -> list[list[NDArray[np.int64]]]:
    """For each class its regions, the first in rank first and noise last: rows and columns, `(n, 2)` each.

    Args:
        ground_truth: `(H, W)`.
        rank: `area`, or `variance` of the spectra within a region, averaged over bands.
        reach: DBSCAN's ε in pixels, Euclidean; 1.5 connects diagonals.
        neighbours: DBSCAN's density: so many pixels within reach, itself included, make a pixel part of a core.
        cube: `(C, H, W)`, as stored; needed for the rank by variance.
    """
    from sklearn.cluster import DBSCAN

    classes = []
    for label in range(int(ground_truth.max()) + 1):
        places = np.argwhere(ground_truth == label)
        if not len(places):
            continue
        found = DBSCAN(eps=reach, min_samples=neighbours, algorithm="kd_tree").fit(places).labels_
        regions = [places[found == region] for region in np.unique(found[found >= 0])]
        regions.sort(key=lambda region: _rank(region, rank, cube), reverse=True)
        noise = places[found < 0]
        classes.append([*regions, noise] if len(noise) else regions)
    return classes


def region_parts(
    ground_truth: GroundTruth, classes: list[list[NDArray[np.int64]]], shares: Shares, seed: int, draw: int
) -> PartsMap:
    """Regions of each class in their order: the first train, the last validate, those between are tested.

    Args:
        ground_truth: whose shape counts.
        classes: of `ranked_regions`.
        shares: of the parts, which each class has to the pixel; at most two regions of a class are cut.
        seed: of the end from which a region is cut.
        draw: which of several possible divisions.
    """
    parts = np.zeros(ground_truth.shape, dtype=np.uint8)
    for number, regions in enumerate(classes):
        stream = numpy_stream(seed, "pixels", "regions", number, draw)
        order = np.concatenate([_from_end_to_end(region, bool(stream.integers(2))) for region in regions])
        give_away(parts, np.ravel_multi_index((order[:, 0], order[:, 1]), ground_truth.shape), shares)
    return parts


def _rank(region: NDArray[np.int64], rank: Rank, cube: NDArray[Any] | None) -> float:
    if rank == "area":
        return float(len(region))
    assert cube is not None, "the rank by variance needs the cube"
    spectra = np.asarray(cube[:, region[:, 0], region[:, 1]], dtype=np.float64)
    return float(spectra.var(axis=1).mean())


def _from_end_to_end(region: NDArray[np.int64], backwards: bool) -> NDArray[np.int64]:
    """The pixels along the region's longest extent, which is its first principal axis."""
    centred = region - region.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    along = np.round(centred @ axes[:, -1], 6)
    # The sign of an eigenvector is nobody's choice; here, rows (or columns, of a horizontal region) grow.
    ahead = along if np.round(axes[np.argmax(np.abs(axes[:, -1])), -1], 6) > 0 else -along
    return region[np.argsort(-ahead if backwards else ahead, kind="stable")]
