"""From positions in a data set to a batch of stored values on the device, for all ways in which images are kept.

Small images of one size lie in one uint8 array, which moves to the device once. So does a cube, from which a batch of
windows is gathered there. Patches with many bands stay in the store's memory maps; a batch is gathered from there,
sent, and brought to one grid on the device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from konvoi.data.cropped import CroppedImages
from konvoi.data.crops import Crops
from konvoi.data.patch_arrays import PatchArrays
from konvoi.data.resample import crop_each
from konvoi.data.statistics import pixel_statistics, statistics_of
from konvoi.data.symmetries import Symmetries, turn_each
from konvoi.data.windows import CubeWindows

Images = NDArray[np.uint8] | PatchArrays | CubeWindows | CroppedImages
"""`(N, C, H, W)`: an array, patches in a store, windows of a cube, or crops of an array or of patches."""


class Reader(Protocol):
    """Reads batches for one device: `fetch` is the part that may run ahead in a thread of its own."""

    def fetch(self, positions: NDArray[np.int64], symmetries: Symmetries | None = None) -> Any:
        """What has to be read from memory or disk for these samples, `(n,)`, each in its symmetry."""
        ...

    def assemble(self, fetched: Any) -> Tensor:
        """Stored values `(n, C, H, W)`, float32, on the device."""
        ...


class _ArrayReader:
    def __init__(self, images: NDArray[np.uint8], device: torch.device) -> None:
        self._images = torch.from_numpy(images).to(device)

    def fetch(
        self, positions: NDArray[np.int64], symmetries: Symmetries | None = None
    ) -> tuple[Tensor, Symmetries | None]:
        return torch.from_numpy(positions), symmetries

    def assemble(self, fetched: tuple[Tensor, Symmetries | None]) -> Tensor:
        positions, symmetries = fetched
        images = self._images.index_select(0, positions.to(self._images.device)).float()
        return images if symmetries is None else turn_each(images, symmetries)


class _PatchReader:
    def __init__(self, patches: PatchArrays, device: torch.device, resample: str) -> None:
        self._patches = patches
        self._device = device
        self._resample = resample

    def fetch(self, positions: NDArray[np.int64], symmetries: Symmetries | None = None) -> list[Tensor]:
        return self._patches.gather(positions, symmetries, pin=self._device.type == "cuda")

    def assemble(self, fetched: list[Tensor]) -> Tensor:
        return self._patches.to_one_grid(fetched, self._device, self._resample)


class _WindowReader:
    def __init__(self, windows: CubeWindows, device: torch.device) -> None:
        self._windows = windows
        self._device = device

    def fetch(
        self, positions: NDArray[np.int64], symmetries: Symmetries | None = None
    ) -> tuple[NDArray[np.int64], Symmetries | None]:
        return positions, symmetries

    def assemble(self, fetched: tuple[NDArray[np.int64], Symmetries | None]) -> Tensor:
        positions, symmetries = fetched
        return self._windows.gather(positions, self._device, symmetries)


class _CropReader:
    """Bytes are cropped where they are read, on the processor; all else as a whole, on the device."""

    def __init__(self, images: CroppedImages, device: torch.device, resample: str) -> None:
        self._images = images
        self._device = device
        self._early = device.type == "cpu" and images.holds_bytes
        self._whole = reader(images.whole, device, resample)

    def fetch(
        self, positions: NDArray[np.int64], symmetries: Symmetries | None = None, crops: Crops | None = None
    ) -> tuple[Any, Crops, Symmetries | None]:
        crops = self._images.centres(positions) if crops is None else crops
        if self._early:
            return self._images.gather_bytes(positions, crops), crops, symmetries
        return self._whole.fetch(positions), crops, symmetries

    def assemble(self, fetched: tuple[Any, Crops, Symmetries | None]) -> Tensor:
        content, crops, symmetries = fetched
        images = content.float() if self._early else crop_each(self._whole.assemble(content), crops)
        return images if symmetries is None else turn_each(images, symmetries)


def reader(images: Images, device: torch.device, resample: str = "bilinear") -> Reader:
    """A reader of these images for a device.

    Args:
        images: an array, which moves to the device now; patches; or windows, whose cube moves there once.
        device: where batches are wanted.
        resample: `bilinear` or `nearest`, for bands that are coarser than the finest.
    """
    if isinstance(images, PatchArrays):
        return _PatchReader(images, device, resample)
    if isinstance(images, CubeWindows):
        return _WindowReader(images, device)
    if isinstance(images, CroppedImages):
        return _CropReader(images, device, resample)
    return _ArrayReader(images, device)


def read_batches(
    images: Images,
    source: Reader,
    batches: Sequence[NDArray[np.int64]],
    symmetries: Sequence[Symmetries] | None = None,
    crops: Sequence[Crops] | None = None,
) -> Iterator[Tensor]:
    """Stored values of each batch of positions, in turn; of patches the next batch is fetched in the background.

    Args:
        images: as `reader` takes them.
        source: their reader.
        batches: positions, `(n,)` each.
        symmetries: in which each image is wanted, `(n,)` for each batch; as it is by default.
        crops: which parts of cropped images, for each batch; the middle by default.
    """
    in_which: Sequence[Symmetries | None] = symmetries or [None] * len(batches)
    asked = zip(batches, in_which, strict=True) if crops is None else zip(batches, in_which, crops, strict=True)
    fetch: Callable[..., Any] = source.fetch
    wanted = [partial(fetch, *arguments) for arguments in asked]
    if not isinstance(images.whole if isinstance(images, CroppedImages) else images, PatchArrays):
        for one in wanted:
            yield source.assemble(one())
        return
    with ThreadPoolExecutor(1, thread_name_prefix="konvoi-fetch") as thread:
        # One batch is read while the one before it is worked on; where none is left, none is read.
        ahead = deque(thread.submit(one) for one in wanted[:1])
        for number in range(len(wanted)):
            fetched = ahead.popleft().result()
            ahead.extend(thread.submit(one) for one in wanted[number + 1 : number + 2])
            yield source.assemble(fetched)


def statistics(images: Images, indices: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of stored values per band, `(C,)` each, over these samples; of windows, their centres."""
    if isinstance(images, CroppedImages):
        return statistics(images.whole, indices)
    if isinstance(images, PatchArrays | CubeWindows):
        return statistics_of(images.moments(indices))
    return pixel_statistics(images, indices)
