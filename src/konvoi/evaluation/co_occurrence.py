"""Which labels occur together. Numbers only; the figure is drawn in `report`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 65_536  # bounds the memory; float32 counts them exactly (up to 2²⁴)


def co_occurrence(labels: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many samples have both labels, `(K, K)`, symmetric; the diagonal counts each label.

    Args:
        labels: `(N, K)` of 0 and 1.
    """
    counts = np.zeros((labels.shape[1], labels.shape[1]), dtype=np.int64)
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        present = (labels[start : start + _ROWS_AT_ONCE] > 0).astype(np.float32)
        counts += (present.T @ present).astype(np.int64)
    return counts


def conditional_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(column | row): of the samples with the row's label, the share that has the column's too.

    Args:
        counts: `(K, K)`, as `co_occurrence` gives them.

    Returns:
        `(K, K)` float64; a row of a label that no sample has is NaN.
    """
    of_row = np.diag(counts).astype(np.float64)[:, None]
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, of_row, out=shares, where=of_row > 0)
    return shares
