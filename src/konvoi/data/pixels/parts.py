"""The parts map: for each pixel of a scene, which part of the split it belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PartsMap = NDArray[np.uint8]
"""`(H, W)` uint8 of the codes below."""

GroundTruth = NDArray[np.int64]
"""`(H, W)` int64: -1 where a pixel has no label, 0 … K-1 elsewhere."""

Shares = tuple[float, float, float]
"""Of train, validation and test; their sum is 1."""

UNLABELLED = 0
TRAIN = 1
VALIDATION = 2
TEST = 3
GUARD = 4

IN_ORDER = (TRAIN, VALIDATION, TEST)
"""A later part is judged with what was learned or chosen on an earlier one."""

PART_NAMES = {UNLABELLED: "unlabelled", TRAIN: "train", VALIDATION: "validation", TEST: "test", GUARD: "guard"}


def class_counts(parts: PartsMap, ground_truth: GroundTruth, classes: int) -> NDArray[np.int64]:
    """Labelled pixels of each class with each code, `(classes, 5)`."""
    labelled = ground_truth >= 0
    pairs = ground_truth[labelled] * len(PART_NAMES) + parts[labelled]
    return np.bincount(pairs, minlength=classes * len(PART_NAMES)).reshape(classes, len(PART_NAMES))


def give_away(parts: PartsMap, pixels: NDArray[np.int64], shares: Shares) -> None:
    """Give the first pixels of an order to training, the last to validation, and those between to the test, in place.

    Where the order is a way through the scene, training and validation so have one border with the test each, and none
    with one another.

    Args:
        parts: changed.
        pixels: flat positions, `(n,)`, in the order in which they are given away.
        shares: of the three parts.
    """
    flat = parts.reshape(-1)
    train, validation = share_counts(len(pixels), shares)
    flat[pixels[:train]] = TRAIN
    flat[pixels[train : len(pixels) - validation]] = TEST
    flat[pixels[len(pixels) - validation :]] = VALIDATION


def share_counts(pixels: int, shares: Shares) -> tuple[int, int]:
    """How many of so many pixels train and validate; the others are tested.

    Rounded shares, but one pixel at least for each part that wants any; where pixels are too few, validation goes
    without, and then the test.
    """
    train, validation_end = round(shares[0] * pixels), round((shares[0] + shares[1]) * pixels)
    least = [int(share > 0) for share in shares]
    if pixels < sum(least):
        train = min(max(train, least[0]), max(pixels - least[2], least[0]), pixels)
        return train, 0 if least[2] else pixels - train
    train = min(max(train, least[0]), pixels - least[1] - least[2])
    validation_end = min(max(validation_end, train + least[1]), pixels - least[2])
    return train, validation_end - train
