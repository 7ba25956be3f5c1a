"""Patches in memory-mapped arrays at native resolution: gathered in batches, and brought to one grid on the device.

How the arrays came to the disk is in `data.pack`; what else a store holds is in `data.store`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from konvoi.data.enlarge import enlarge_bilinearly
from konvoi.data.statistics import Moments
from konvoi.data.symmetries import Symmetries, turned

Stored = NDArray[np.generic]

_PATCHES_AT_ONCE = 16


@dataclass(frozen=True)
class GridArrays:
    """The bands of one grid in all shards.

    Attributes:
        shards: `(n, bands, h, w)` each, memory-mapped; only the bands that are read.
        channels: where each of the bands stands in the image.
    """

    shards: tuple[Stored, ...]
    channels: tuple[int, ...]


class PatchArrays:
    """Images `(N, C, H, W)` that lie in several grids and shards; H and W are those of the finest grid.

    A sequence of N images as far as the rest of Konvoi is concerned: it has a `shape`, and `patches[positions]` are
    stored values on one grid.
    """

    def __init__(
        self,
        grids: Sequence[GridArrays],
        rows: NDArray[np.int64],
        moments: Moments,
        fill: Sequence[float] | None = None,
        no_data: float | None = None,
    ) -> None:
        """Arrange the arrays.

        Args:
            grids: whose channels together are 0 … C-1.
            rows: `(N,)`, which row, counted through all shards, each image is.
            moments: `(N, C, 3)`, see `data.statistics`.
            fill: stored values, one a band, that take the place of pixels without data; 0 by default.
            no_data: the stored value of such pixels; what is no finite number is one in any case.
        """
        self._grids = tuple(grids)
        self._rows = rows
        self._moments = moments
        self._starts = np.cumsum([0, *(len(shard) for shard in self._grids[0].shards)])
        self._no_data = no_data
        self._fill = tuple(fill) if fill is not None else (0.0,) * moments.shape[1]
        height = max(grid.shards[0].shape[2] for grid in self._grids)
        width = max(grid.shards[0].shape[3] for grid in self._grids)
        self.shape: tuple[int, int, int, int] = (len(rows), moments.shape[1], height, width)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, positions: NDArray[np.int64] | int | slice) -> NDArray[np.float32]:
        """Stored values on the finest grid: `(n, C, H, W)`, or `(C, H, W)` of a single position."""
        if isinstance(positions, int | np.integer):
            single: NDArray[np.float32] = self[np.array([positions])][0]
            return single
        if isinstance(positions, slice):
            positions = np.arange(len(self))[positions]
        on_one_grid = self.to_one_grid(self.gather(positions), torch.device("cpu"), "bilinear")
        images: NDArray[np.float32] = on_one_grid.numpy()
        return images

    @property
    def holds_bytes(self) -> bool:
        """Whether every image lies in one array of bytes, just as it is given out."""
        grid = self._grids[0]
        in_order = len(self._grids) == 1 and grid.channels == tuple(range(self.shape[1]))
        return in_order and grid.shards[0].dtype == np.uint8 and self._no_data is None

    def views(self, positions: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Images that are bytes (`holds_bytes`), `(C, H, W)` each, where they lie in the memory map."""
        shards = self._grids[0].shards
        return [shards[shard][row] for shard, row in self._places(positions)]

    def filled_with(self, fill: Sequence[float]) -> PatchArrays:
        """The same patches, with other values where nothing was measured."""
        return PatchArrays(self._grids, self._rows, self._moments, fill, self._no_data)

    def moments(self, positions: NDArray[np.int64]) -> Moments:
        """Counts, sums and sums of squares of some patches, `(n, C, 3)`."""
        return self._moments[positions]

    def gather(
        self, positions: NDArray[np.int64], symmetries: Symmetries | None = None, pin: bool = False
    ) -> list[Tensor]:
        """Copy patches out of the memory maps: for each grid `(n, bands, h, w)`, in the stored type.

        Args:
            positions: `(n,)`, in any order.
            symmetries: `(n,)`, in which each patch is copied; as it is by default.
            pin: into page-locked memory, from which a GPU fetches on its own.
        """
        places = self._places(positions)
        batches = []
        for grid in self._grids:
            first = grid.shards[0]
            batch = torch.empty((len(places), *first.shape[1:]), dtype=_torch_type(first.dtype), pin_memory=pin)
            target = batch.numpy()
            if symmetries is None:
                for number, (shard, row) in enumerate(places):
                    target[number] = grid.shards[shard][row]
            else:
                for number, ((shard, row), symmetry) in enumerate(zip(places, symmetries.tolist(), strict=True)):
                    target[number] = turned(grid.shards[shard][row], symmetry)
            batches.append(batch)
        return batches

    def to_one_grid(self, gathered: Sequence[Tensor], device: torch.device, resample: str) -> Tensor:
        """Stored values `(n, C, H, W)`, float32, on the device: pixels without data filled, coarse bands enlarged.

        Args:
            gathered: what `gather` returned.
            device: where the work is done.
            resample: `bilinear` (pixels are areas, whose values stand at their centres) or `nearest`.
        """
        height, width = self.shape[2:]
        if len(self._grids) == 1 and self._grids[0].channels == tuple(range(self.shape[1])):
            return self._without_gaps(gathered[0].to(device, non_blocking=True), self._grids[0].channels)
        images = torch.empty((len(gathered[0]), self.shape[1], height, width), device=device)
        # On a CPU a few patches at a time, whose intermediate values then stay in its cache.
        step = _PATCHES_AT_ONCE if device.type == "cpu" else len(images)
        for start in range(0, len(images), step):
            for grid, batch in zip(self._grids, gathered, strict=True):
                stored = batch[start : start + step].to(device, non_blocking=True)
                values = self._without_gaps(stored, grid.channels)
                for first, last in runs(grid.channels):
                    target = images[start : start + step, grid.channels[first] : grid.channels[last] + 1]
                    _bring_to(values[:, first : last + 1], target, resample)
        return images

    def _places(self, positions: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The shard of each patch, and the row in it."""
        rows = self._rows[positions]
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        return list(zip(shards.tolist(), (rows - self._starts[shards]).tolist(), strict=True))

    def _without_gaps(self, stored: Tensor, channels: tuple[int, ...]) -> Tensor:
        values = stored.float()
        if self._no_data is None and not stored.is_floating_point():
            return values
        gaps = ~torch.isfinite(values)
        if self._no_data is not None:
            gaps |= values == self._no_data
        fill = torch.tensor([self._fill[channel] for channel in channels], device=values.device).view(1, -1, 1, 1)
        return torch.where(gaps, fill, values)


def runs(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last index of each run of neighbours: of (1, 2, 3, 7) that is (0, 2) and (3, 3)."""
    start = 0
    for end in range(len(positions)):
        if end + 1 == len(positions) or positions[end + 1] != positions[end] + 1:
            yield start, end
            start = end + 1


def _bring_to(values: Tensor, target: Tensor, resample: str) -> None:
    height, width = target.shape[2:]
    whole = height % values.shape[2] == 0 and width % values.shape[3] == 0
    if values.shape == target.shape:
        target.copy_(values)
    elif resample == "bilinear" and whole and values.device.type == "cpu":
        enlarge_bilinearly(values, target)
    else:
        corners = False if resample == "bilinear" else None
        target.copy_(torch.nn.functional.interpolate(values, (height, width), mode=resample, align_corners=corners))


def _torch_type(dtype: np.dtype[np.generic]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype
