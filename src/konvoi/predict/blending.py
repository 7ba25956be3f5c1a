"""From the probabilities of overlapping windows to those of cells, keeping only the rows of cells not yet finished."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.predict.windows import Axis


class Blend:
    """Sums for the rows of cells that later windows may still reach.

    A cell's probability of a class is the weighted mean over all windows that reach it. A window's weight is the
    product of its weights along both axes (`Axis.weights`) and of its share of valid pixels: a window that is mostly
    filled says little. A cell of which no pixel is valid has no probability.
    """

    def __init__(self, down: Axis, across: Axis, classes: int, first_row: int = 0) -> None:
        """Start with the cells of `first_row`; what windows say about rows above it is ignored."""
        self._down = down
        self._across = across
        self._classes = classes
        self.first_row = first_row
        self._sums = np.zeros((0, classes, across.cells))
        self._weights = np.zeros((0, across.cells))
        self._valid = np.zeros((0, across.cells), dtype=np.bool_)

    def add(
        self,
        tops: NDArray[np.int64],
        lefts: NDArray[np.int64],
        probabilities: NDArray[np.float32],
        shares: NDArray[np.float64],
        valid: NDArray[np.bool_],
    ) -> None:
        """Count in the windows of a block.

        Args:
            tops: `(n,)`, first pixel rows of the windows, rising.
            lefts: `(m,)`, first pixel columns, likewise.
            probabilities: `(n, m, K)`.
            shares: `(n, m)`, of valid pixels; where it is 0, the probabilities are not looked at.
            valid: `(height, width)`, which pixels of the scene are, from the first top and left on.
        """
        top, row_weights = self._down.weights(tops)
        left, column_weights = self._across.weights(lefts)
        if top < self.first_row:
            row_weights = row_weights[:, self.first_row - top :]
        rows = row_weights.shape[1]
        row = max(top, self.first_row) - self.first_row
        columns = slice(left, left + column_weights.shape[1])
        self._reach(row + rows)
        weights = shares[:, :, None] * column_weights[None]
        told = np.where(shares[:, :, None] > 0, probabilities, 0).astype(np.float64)
        self._sums[row : row + rows, :, columns] += np.einsum(
            "nr,nmk,nmc->rkc", row_weights, told, weights, optimize=True
        )
        self._weights[row : row + rows, columns] += np.einsum("nr,nmc->rc", row_weights, weights)
        cells = _any_in_cells(valid, int(tops[0]), int(lefts[0]), self._down.stride, self._across.stride)
        self._valid[row : row + rows, columns] |= cells[max(0, self.first_row - top) :]

    def take(self, rows: int) -> NDArray[np.float32]:
        """Take out the first `rows` rows of cells, which no window will reach any more.

        Returns:
            `(rows, K, columns)`, NaN in cells without a valid pixel.
        """
        self._reach(rows)
        weights = self._weights[:rows, None]
        means = np.divide(self._sums[:rows], weights, out=np.full_like(self._sums[:rows], np.nan), where=weights > 0)
        means[~np.broadcast_to(self._valid[:rows, None], means.shape)] = np.nan
        self._sums = self._sums[rows:].copy()
        self._weights = self._weights[rows:].copy()
        self._valid = self._valid[rows:].copy()
        self.first_row += rows
        return means.astype(np.float32)

    def _reach(self, rows: int) -> None:
        missing = rows - len(self._weights)
        if missing > 0:
            columns = self._across.cells
            self._sums = np.concatenate([self._sums, np.zeros((missing, self._classes, columns))])
            self._weights = np.concatenate([self._weights, np.zeros((missing, columns))])
            self._valid = np.concatenate([self._valid, np.zeros((missing, columns), dtype=np.bool_)])


def _any_in_cells(valid: NDArray[np.bool_], top: int, left: int, height: int, width: int) -> NDArray[np.bool_]:
    """Which cells of `height` × `width` pixels hold a valid one, from the cell of pixel (top, left) on."""
    down = _cell_edges(top, valid.shape[0], height)
    across = _cell_edges(left, valid.shape[1], width)
    return np.logical_or.reduceat(np.logical_or.reduceat(valid, down, axis=0), across, axis=1)


def _cell_edges(start: int, length: int, size: int) -> NDArray[np.int64]:
    cells = np.arange(start // size, -(-(start + length) // size)) * size
    return np.maximum(cells - start, 0)
