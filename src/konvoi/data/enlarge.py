"""Bringing coarse bands to a finer grid, where pixels are areas whose values stand at their centres."""

from __future__ import annotations

import torch
from torch import Tensor


def enlarge_bilinearly(values: Tensor, target: Tensor) -> None:
    """Write `values` `(n, C, h, w)` into `target` `(n, C, f·h, g·w)`, f and g whole numbers, any strides.

    The same values as `torch.nn.functional.interpolate` (bilinear, align_corners=False) but for the last bit, and
    faster on a CPU: each of the f rows that a pixel becomes is one weighted mean of two neighbouring rows, and only the
    second axis touches as much memory as the result has.
    """
    padded = torch.nn.functional.pad(values, (1, 1, 1, 1), mode="replicate")
    across = target.shape[3] // values.shape[3]
    wide = torch.stack([_between(padded, 3, phase, across) for phase in range(across)], dim=-1).flatten(-2)
    down = target.shape[2] // values.shape[2]
    for phase in range(down):
        _between(wide, 2, phase, down, target[:, :, phase::down])


def _between(padded: Tensor, axis: int, phase: int, factor: int, out: Tensor | None = None) -> Tensor:
    """The values of one of `factor` equal parts of each pixel, along an axis that is padded by one on either side."""
    size = padded.shape[axis] - 2
    # The part's centre, in pixels from the pixel's own.
    offset = (phase + 0.5) / factor - 0.5
    own = padded.narrow(axis, 1, size)
    neighbour = padded.narrow(axis, 2 if offset > 0 else 0, size)
    return torch.lerp(own, neighbour, abs(offset), out=out)
