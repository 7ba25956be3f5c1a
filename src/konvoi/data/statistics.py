"""Mean and deviation of stored values, exact, from counts or from sums that can be added in any order."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

_IMAGES_AT_ONCE = 1024

Moments = NDArray[np.float64]
"""`(N, C, 3)` float64: for each sample and band the valid pixels' count, sum, and sum of squares."""


def pixel_statistics(
    images: NDArray[np.uint8], indices: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per channel of `(N, C, H, W)` uint8, from the counts of the 256 possible values.

    Args:
        images: all of them.
        indices: which ones count; all by default.
    """
    values = np.arange(256, dtype=np.float64)
    mean = np.empty(images.shape[1])
    deviation = np.empty(images.shape[1])
    chosen = torch.arange(len(images)) if indices is None else torch.from_numpy(indices)
    # By PyTorch, which counts without Python's lock, so that a thread can import meanwhile; in parts, to copy little.
    stored = torch.from_numpy(images)
    counted = torch.zeros((images.shape[1], 256), dtype=torch.int64)
    for part in torch.split(chosen, _IMAGES_AT_ONCE):
        for channel, pixels in enumerate(stored.index_select(0, part).unbind(1)):
            counted[channel] += torch.bincount(pixels.flatten(), minlength=256)
    for channel, counts in enumerate(counted.numpy()):
        share = counts / counts.sum()
        mean[channel] = (share * values).sum()
        deviation[channel] = np.sqrt((share * (values - mean[channel]) ** 2).sum())
    return mean, deviation


def patch_moments(array: NDArray[np.generic], no_data: float | None) -> Moments:
    """Count, sum and sum of squares of the valid pixels of one patch.

    Args:
        array: `(C, H, W)`, as stored.
        no_data: pixels with this value, and pixels that are no finite numbers, are not counted.

    Returns:
        `(C, 3)`. Exact for 8- and 16-bit integers: 2³² squares of them still fit the 53 bits of a float64.
    """
    if array.dtype == np.uint8 and no_data is None:
        return _moments_of_bytes(array.reshape(len(array), -1))
    values = array.reshape(len(array), -1).astype(np.float64)
    valid = np.isfinite(values)
    if no_data is not None:
        valid &= values != no_data
    if not valid.all():
        values = np.where(valid, values, 0.0)
    return np.stack([valid.sum(axis=1), values.sum(axis=1), np.einsum("cp,cp->c", values, values)], axis=1)


def _moments_of_bytes(values: NDArray[np.generic]) -> Moments:
    counts = np.stack([np.bincount(band, minlength=256) for band in values]).astype(np.float64)
    steps = np.arange(256.0)
    return np.stack([counts.sum(axis=1), counts @ steps, counts @ steps**2], axis=1)


def statistics_of(moments: Moments) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per band, `(C,)` each, of any set of patches.

    The sums are correctly rounded (`math.fsum`), and so do not depend on the order of the patches. A band without
    a valid pixel has mean 0 and deviation 0.
    """
    bands = moments.shape[1]
    mean = np.zeros(bands)
    deviation = np.zeros(bands)
    for band in range(bands):
        count, total, squares = (Fraction(math.fsum(moments[:, band, power])) for power in range(3))
        if count:
            centre = total / count
            mean[band] = float(centre)
            # In fractions, because E[x²] − E[x]² loses all its digits where the mean is large beside the deviation.
            deviation[band] = math.sqrt(max(0.0, float(squares / count - centre * centre)))
    return mean, deviation
