"""Windows around the pixels of a cube: views by index, gathered in batches on the device.

No array of all windows is ever made. The cube lies on the device once, all bands of a pixel side by side, and a batch
copies the pixels of its windows from there. At the border of the scene a window is completed by reflection, as
`numpy.pad(mode="reflect")` does: the edge pixel is not repeated. This is done by index, so that there is no padded copy
either. Which pixels are samples is decided by the source; which of them train, by the split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from konvoi.data.cube import fill_gaps
from konvoi.data.statistics import Moments, patch_moments
from konvoi.data.symmetries import Symmetries, turn_each
from konvoi.errors import DataError

Stored = NDArray[np.generic]

_PIXELS_AT_ONCE = 8192


class CubeWindows:
    """Images `(N, C, w, w)`, each the window of w × w pixels around one pixel of a cube.

    A sequence of N images as far as the rest of Konvoi is concerned: it has a `shape`, and `windows[positions]` are
    stored values.

    Attributes:
        cube: `(C, H, W)`, as stored; may be a memory map.
        pixels: `(N, 2)` int64, row and column of each window's centre. Any pixels, in any order.
        window: w, odd.
        shape: `(N, C, w, w)`.
    """

    def __init__(self, cube: Stored, pixels: NDArray[np.int64], window: int, no_data: float | None = None) -> None:
        """Arrange the windows; nothing is copied.

        Args:
            cube: see the attribute; likewise the others.
            pixels: as said.
            window: as said.
            no_data: the stored value that means "not measured"; what is no finite number means it in any case.

        Raises:
            DataError: the scene is too small to complete windows of this size by reflection.
        """
        bands, height, width = cube.shape
        radius = window // 2
        if window % 2 == 0:
            raise ValueError(f"a window of {window} pixels has no centre")
        if radius >= min(height, width):
            raise DataError(
                f"A window of {window} pixels at the border of a scene of {height} × {width} reaches over its other "
                f"side. Set source.window to {2 * min(height, width) - 1} at most."
            )
        self.cube = cube
        self.pixels = pixels
        self.window = window
        self._no_data = no_data
        self.shape: tuple[int, int, int, int] = (len(pixels), bands, window, window)
        # Where row r of the reflected scene lies in the scene, for r from -radius; likewise columns.
        self._rows = np.pad(np.arange(height), radius, mode="reflect")
        self._columns = np.pad(np.arange(width), radius, mode="reflect")
        self._spectra: dict[torch.device, Tensor] = {}

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, positions: NDArray[np.int64] | int | slice) -> NDArray[np.float32]:
        """Stored values: `(n, C, w, w)`, or `(C, w, w)` of a single position."""
        if isinstance(positions, int | np.integer):
            single: NDArray[np.float32] = self[np.array([positions])][0]
            return single
        if isinstance(positions, slice):
            positions = np.arange(len(self))[positions]
        gathered: NDArray[np.float32] = self.gather(positions, torch.device("cpu")).numpy()
        return gathered

    def filled_with(self, fill: Sequence[float]) -> CubeWindows:
        """The same windows, with one stored value a band where nothing was measured; a copy where there are gaps."""
        filled = fill_gaps(self.cube, self._no_data, fill)
        return self if filled is self.cube else CubeWindows(filled, self.pixels, self.window)

    def gather(
        self, positions: NDArray[np.int64], device: torch.device, symmetries: Symmetries | None = None
    ) -> Tensor:
        """Stored values of some windows, on the device.

        Args:
            positions: `(n,)`, in any order.
            device: on which the cube is kept from now on.
            symmetries: `(n,)`, in which each window is wanted; as it is by default.

        Returns:
            `(n, C, w, w)` float32, all bands of a pixel side by side in memory (`channels_last`).
        """
        spectra = self.spectra(device)
        offsets = np.arange(self.window)
        rows = self._rows[self.pixels[positions, 0][:, None] + offsets]
        columns = self._columns[self.pixels[positions, 1][:, None] + offsets]
        places = torch.from_numpy(rows[:, None, :, None] * self.cube.shape[2] + columns[:, None, None, :])
        if symmetries is not None:
            # A window is turned by turning its table of places, which is a number a pixel and not one a band.
            places = turn_each(places, symmetries)
        chosen = spectra.index_select(0, places.view(-1).to(device))
        values = chosen.view(_torch_type(self.cube.dtype)).float()
        return values.view(len(positions), self.window, self.window, len(self.cube)).permute(0, 3, 1, 2)

    def spectra(self, device: torch.device) -> Tensor:
        """All pixels' spectra, `(H · W, C)` as stored, on the device; unsigned 16 bits show as signed ones.

        On a CPU the cube's own memory where all bands of a pixel lie side by side in it, else one copy.
        """
        if device not in self._spectra:
            by_pixel = np.moveaxis(self.cube, 0, -1).reshape(-1, self.cube.shape[0])
            if by_pixel.dtype == np.uint16:
                # Not every device has all of torch's operations for unsigned 16 bits; copying them needs none.
                by_pixel = by_pixel.view(np.int16)
            self._spectra[device] = torch.from_numpy(np.ascontiguousarray(by_pixel)).to(device)
        return self._spectra[device]

    def moments(self, positions: NDArray[np.int64]) -> Moments:
        """Count, sum and sum of squares of the centre pixels of some windows, `(n, C, 3)`, n a few groups of them."""
        groups = [
            positions[start : start + _PIXELS_AT_ONCE] for start in range(0, max(1, len(positions)), _PIXELS_AT_ONCE)
        ]
        return np.stack(
            [patch_moments(self.cube[:, self.pixels[some, 0], self.pixels[some, 1]], self._no_data) for some in groups]
        )


def _torch_type(dtype: np.dtype[np.generic]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype
