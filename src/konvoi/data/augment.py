"""Random changes of training images, in batches on the device.

The random numbers are drawn for a whole epoch at once, one row for each position in it. So what happens to a
sample is a pure function of (seed, epoch, position), whatever the batch size, the rank, or where training resumed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from konvoi.data.symmetries import SYMMETRIES, Symmetries
from konvoi.randomness import numpy_stream
from konvoi.recipe.input import AugmentSection

_ELASTIC_KNOTS = 4
"""Knots a side of the grid whose random displacements a smooth warp interpolates."""

_AFFINE_DRAWS = 6
"""Shift down, shift right, rotation, scale, shear, flip."""


class Augmentation:
    """A recipe's `input.augment` section, ready to apply."""

    def __init__(self, settings: AugmentSection, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self._warps = settings.model_copy(update={"symmetries": False}) != AugmentSection()
        self._draws = _AFFINE_DRAWS + (2 * _ELASTIC_KNOTS**2 if settings.elastic > 0 else 0)

    @property
    def warps(self) -> bool:
        """Whether anything but a symmetry of the square is asked for."""
        return self._warps

    def symmetries(self, epoch: int, samples: int) -> Symmetries | None:
        """A symmetry for each position of an epoch, `(samples,)`; None where the recipe has none."""
        if not self.settings.symmetries:
            return None
        # A stream of its own, so that recipes without symmetries keep the numbers they always had.
        stream = numpy_stream(self._seed, "symmetry", epoch)
        return stream.integers(0, SYMMETRIES, samples, dtype=np.int8)

    def draws(self, epoch: int, samples: int) -> Tensor:
        """Uniform numbers in [-1, 1), `(samples, draws)` float32, row p for position p of this epoch."""
        stream = numpy_stream(self._seed, "augment", epoch)
        return torch.from_numpy(stream.random((samples, self._draws), dtype=np.float32)).mul_(2).sub_(1)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Warp images, each by its row of draws; what a warp brings in from outside is 0.

        Args:
            images: `(N, C, H, W)` float, before normalisation, so that 0 is black.
            draws: `(N, draws)`, uniform in [-1, 1).

        Returns:
            `(N, C, H, W)`, interpolated bilinearly.
        """
        height, width = images.shape[2:]
        field = torch.nn.functional.affine_grid(
            self._affine(draws, height, width), list(images.shape), align_corners=False
        )
        if self.settings.elastic > 0:
            field = field + self._elastic(draws[:, _AFFINE_DRAWS:], height, width)
        return torch.nn.functional.grid_sample(images, field, align_corners=False)

    def _affine(self, draws: Tensor, height: int, width: int) -> Tensor:
        """Matrices `(N, 2, 3)` from output to input coordinates, both in -1 … 1 across the image."""
        limits = self.settings
        down, right, turn, size, slant, mirror = draws[:, :_AFFINE_DRAWS].unbind(1)
        angle = turn * math.radians(limits.rotate)
        zoom = 1 / (1 + size * limits.scale)
        shear = torch.tan(slant * math.radians(limits.shear))
        flip = torch.where(mirror < 0, -1.0, 1.0) if limits.flip else torch.ones_like(mirror)
        aspect = height / width
        cosine, sine = zoom * torch.cos(angle), zoom * torch.sin(angle)
        # Rotation in pixels, so that it stays one in images that are not square; then the shear x ← x + s·y.
        x_row = torch.stack(
            [flip * cosine, flip * aspect * (shear * cosine - sine), right * 2 * limits.shift / width], 1
        )
        y_row = torch.stack([sine / aspect, shear * sine + cosine, down * 2 * limits.shift / height], 1)
        return torch.stack([x_row, y_row], dim=1)

    def _elastic(self, draws: Tensor, height: int, width: int) -> Tensor:
        """Displacements `(N, H, W, 2)`, smooth, at most `elastic` pixels along each axis.

        After P. Simard et al., "Best practices for convolutional neural networks applied to visual document
        analysis", ICDAR 2003; a coarse grid interpolated bicubically takes the place of their Gaussian filter.
        """
        knots = draws.view(-1, 2, _ELASTIC_KNOTS, _ELASTIC_KNOTS)
        smooth = torch.nn.functional.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True)
        smooth = smooth.clamp(-1, 1) * self.settings.elastic
        return torch.stack([smooth[:, 0] * 2 / width, smooth[:, 1] * 2 / height], dim=-1)
