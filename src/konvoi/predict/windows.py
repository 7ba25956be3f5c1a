"""Where windows and output cells lie along one axis of a scene, and how much each window weighs in each cell.

Both axes are alike and independent, so everything here is one-dimensional, in whole pixels. Pure arithmetic: no files,
no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """One axis of a scene.

    Windows start at every multiple of the stride, and a last one ends flush with the scene. Cells are `stride` pixels
    long from the scene's first pixel on; the last one may reach past the scene's end.

    Attributes:
        length: of the scene, in pixels.
        window: what the network sees, in pixels; it may be longer than the scene.
        stride: from one window to the next.
    """

    length: int
    window: int
    stride: int

    @property
    def starts(self) -> NDArray[np.int64]:
        """First pixel of every window, rising; `[0]` where the scene is not longer than a window."""
        last = max(0, self.length - self.window)
        regular = np.arange(0, last + 1, self.stride)
        return regular if regular[-1] == last else np.append(regular, last)

    @property
    def cells(self) -> int:
        """How many cells cover the scene."""
        return -(-self.length // self.stride)

    def finished(self, next_start: int) -> int:
        """How many cells no window that starts at `next_start` or later can reach."""
        return next_start // self.stride

    def weights(self, starts: NDArray[np.int64]) -> tuple[int, NDArray[np.float64]]:
        """What windows weigh in the cells that they reach.

        A pixel at position t of a window of n pixels has the weight sin²(π (t + ½) / n), the raised cosine, which
        falls towards the border and is nowhere zero. A window's weight in a cell is the sum over the pixels of the
        scene that lie in both.

        Args:
            starts: `(n,)`, rising.

        Returns:
            The first cell that any of the windows reaches, and `(n, m)`: the weights in it and the cells after it.
        """
        profile = np.sin(np.pi * (np.arange(self.window) + 0.5) / self.window) ** 2
        # Sums of the profile up to each position give every cell's part as a difference of two.
        sums = np.concatenate([[0.0], np.cumsum(profile)])
        first = int(starts[0]) // self.stride
        end = min(int(starts[-1]) + self.window, self.length)
        edges = np.arange(first, -(-end // self.stride) + 1) * self.stride
        within = np.clip(np.minimum(edges, self.length)[None, :] - starts[:, None], 0, self.window)
        return first, np.diff(sums[within], axis=1)

    def blocks(self, longest: int) -> Iterator[tuple[NDArray[np.int64], slice]]:
        """Windows in groups that are read together.

        Args:
            longest: pixels that a group spans at most, unless a single window is longer.

        Yields:
            Starts of a group's windows, and the pixels of the scene under them.
        """
        starts = self.starts
        position = 0
        while position < len(starts):
            reach = int(starts[position]) + max(longest, self.window) - self.window
            behind = int(np.searchsorted(starts, reach, side="right"))
            group = starts[position:behind]
            yield group, slice(int(group[0]), min(int(group[-1]) + self.window, self.length))
            position = behind


def stride_for(window: int, overlap: float) -> int:
    """Pixels from one window to the next, such that neighbours share the fraction `overlap`; at least 1."""
    return max(1, round(window * (1 - overlap)))
