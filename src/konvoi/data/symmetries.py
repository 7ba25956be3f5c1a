"""The eight symmetries of a square: quarter turns and mirrors, without interpolation.

A symmetry is a number: its last two bits are the quarter turns, counter-clockwise, and 4 more a mirror, left to right,
after them. Images that are not square keep their shape: they are turned by none or two quarters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SYMMETRIES = 8

Symmetries = NDArray[np.int8]
"""`(N,)`, a symmetry for each image."""


def turned(image: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """One image `(C, H, W)` in a symmetry, as a view: it costs nothing until it is copied."""
    view = np.rot90(image, _quarters(symmetry, image.shape[1] == image.shape[2]), axes=(1, 2))
    return view[:, :, ::-1] if symmetry >= 4 else view


def turn_each(images: Tensor, symmetries: Symmetries) -> Tensor:
    """Images `(N, C, H, W)`, each in its symmetry."""
    square = images.shape[2] == images.shape[3]
    result = torch.empty_like(images)
    for symmetry in np.unique(symmetries).tolist():
        members = torch.from_numpy(np.flatnonzero(symmetries == symmetry)).to(images.device)
        some = torch.rot90(images[members], _quarters(symmetry, square), dims=(2, 3))
        result[members] = some.flip(3) if symmetry >= 4 else some
    return result


def _quarters(symmetry: int, square: bool) -> int:
    quarters = symmetry % 4
    return quarters if square else 2 * (quarters % 2)
