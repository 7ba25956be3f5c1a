"""Mean and deviation of stored values, exact, from counts or from sums that can be added in any order."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.float64]
"""`(N, C, 3)` float64: for each sample and band the valid pixels' count, sum, and sum of squares."""


def pixel_statistics(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per channel of `(N, C, H, W)` uint8, from the counts of the 256 possible values."""
    values = np.arange(256, dtype=np.float64)
    mean = np.empty(images.shape[1])
    deviation = np.empty(images.shape[1])
    for channel in range(images.shape[1]):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 4096):
            counts += _counts_of_bytes(images[start : start + 4096, channel].ravel())
        share = counts / counts.sum()
        mean[channel] = (share * values).sum()
        deviation[channel] = np.sqrt((share * (values - mean[channel]) ** 2).sum())
    return mean, deviation


def _counts_of_bytes(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of the 256 values occurs, `(256,)`, from the 65,536 pairs: half as many to look at."""
    pairs = np.bincount(values[: len(values) // 2 * 2].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    counts: NDArray[np.int64] = pairs.sum(axis=0) + pairs.sum(axis=1)
    counts[values[len(values) // 2 * 2 :]] += 1
    return counts


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
