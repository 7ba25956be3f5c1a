"""Images of which the network sees a part, at a size of its own: stored images, and the crops that are made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from konvoi.data.crops import Crops, centre_crops
from konvoi.data.patch_arrays import PatchArrays
from konvoi.data.resample import crop_bytes, crop_each
from konvoi.recipe.crop import CropSection


class CroppedImages:
    """N images `(C, H, W)` as validation sees them: the middle, at the size of the recipe's `input.crop`.

    Training asks for other crops; see `images.read_batches`.
    """

    def __init__(
        self, whole: NDArray[np.uint8] | PatchArrays, settings: CropSection, aspects: NDArray[np.float32] | None = None
    ) -> None:
        """Arrange the images.

        Args:
            whole: as stored.
            settings: the recipe's `input.crop`.
            aspects: `(N,)`, width / height of what a stored pixel shows; 1 by default.
        """
        self.whole = whole
        self.settings = settings
        self.aspects = np.ones(len(whole), dtype=np.float32) if aspects is None else aspects
        self.shape: tuple[int, int, int, int] = (len(whole), whole.shape[1], settings.size, settings.size)

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, positions: NDArray[np.int64] | int | slice) -> NDArray[np.generic]:
        """The middle of images: `(n, C, size, size)`, or `(C, size, size)` of a single position."""
        if isinstance(positions, int | np.integer):
            single: NDArray[np.generic] = self[np.array([positions])][0]
            return single
        if isinstance(positions, slice):
            positions = np.arange(len(self))[positions]
        crops = self.centres(positions)
        if self.holds_bytes:
            return self.gather_bytes(positions, crops).numpy()
        return crop_each(torch.from_numpy(self.whole[positions]), crops).numpy()

    @property
    def stored_size(self) -> tuple[int, int]:
        """Height and width of the stored images."""
        return self.whole.shape[2], self.whole.shape[3]

    def centres(self, positions: NDArray[np.int64]) -> Crops:
        """What validation sees of some images."""
        return centre_crops(self.settings, self.stored_size, self.aspects[positions])

    @property
    def holds_bytes(self) -> bool:
        """Whether images can be read one by one, as bytes, without a change."""
        return self.whole.holds_bytes if isinstance(self.whole, PatchArrays) else True

    def gather_bytes(self, positions: NDArray[np.int64], crops: Crops) -> Tensor:
        """Crops `(n, C, size, size)` uint8 of images that are bytes, made on the processor."""
        if isinstance(self.whole, PatchArrays):
            images = self.whole.views(positions)
        else:
            images = [self.whole[position] for position in positions.tolist()]
        return crop_bytes(images, crops, self.shape[1])

    def filled_with(self, fill: Sequence[float]) -> CroppedImages:
        """The same images, with other values where nothing was measured."""
        if not isinstance(self.whole, PatchArrays):
            return self
        return CroppedImages(self.whole.filled_with(fill), self.settings, self.aspects)
