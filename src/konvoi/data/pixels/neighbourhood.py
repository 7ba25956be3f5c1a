"""Squares of pixels around pixels: what a window holds, and how far pixels lie apart.

The distance is Chebyshev's, max(|Δrow|, |Δcolumn|), because windows are squares: a window of w × w pixels holds exactly
the pixels of the scene that are no farther than (w − 1) / 2 from its centre. Reflection at the scene's border adds
copies of such pixels and no others: it puts row −k's place with row k, and k ≤ (w − 1) / 2 − centre row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def window_counts(chosen: NDArray[np.bool_], window: int) -> NDArray[np.int64]:
    """How many chosen pixels lie in the window around each pixel, `(H, W)`; copies by reflection are not counted.

    Args:
        chosen: `(H, W)`.
        window: its side in pixels, odd.
    """
    height, width = chosen.shape
    radius = window // 2
    sums = np.zeros((height + 1, width + 1), dtype=np.int64)
    sums[1:, 1:] = chosen.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    top, bottom = _bounds(height, radius)
    left, right = _bounds(width, radius)
    counts: NDArray[np.int64] = (
        sums[bottom[:, None], right]
        - sums[top[:, None], right]
        - sums[bottom[:, None], left]
        + sums[top[:, None], left]
    )
    return counts


def near(chosen: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Which pixels are no farther than so many pixels from a chosen one, `(H, W)`."""
    return window_counts(chosen, 2 * distance + 1) > 0


def distances_to(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From each pixel to the nearest chosen one, `(H, W)`, in pixels; -1 everywhere where none is chosen."""
    from scipy.ndimage import distance_transform_cdt

    distances: NDArray[np.int64] = distance_transform_cdt(~chosen, metric="chessboard").astype(np.int64)
    return distances


def _bounds(length: int, radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places = np.arange(length)
    return np.maximum(places - radius, 0), np.minimum(places + radius + 1, length)
