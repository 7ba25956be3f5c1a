"""Fields: the connected pixels of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.data.pixels.parts import GroundTruth


def fields(ground_truth: GroundTruth) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The field of each pixel, neighbours in a row, a column or a diagonal being connected.

    Returns:
        `(H, W)` numbers from 0, -1 where a pixel has no label; and each field's class, `(fields,)`.
    """
    from scipy.ndimage import label

    numbers = np.full(ground_truth.shape, -1, dtype=np.int64)
    classes: list[int] = []
    for class_ in range(int(ground_truth.max()) + 1):
        own = ground_truth == class_
        found, count = label(own, structure=np.ones((3, 3)))
        numbers[own] = found[own] - 1 + len(classes)
        classes += [class_] * count
    return numbers, np.array(classes, dtype=np.int64)
