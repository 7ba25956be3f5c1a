"""A user's own map of parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.pixels.parts import GUARD, TEST, TRAIN, UNLABELLED, VALIDATION, GroundTruth, PartsMap
from konvoi.data.pixels.regions import ranked_regions, region_parts
from konvoi.errors import DataError
from konvoi.recipe.pixel_split import PixelMap


def given_parts(
    ground_truth: GroundTruth, codes: NDArray[Any], settings: PixelMap, validation: float, seed: int
) -> PartsMap:
    """The parts that a map names; labelled pixels to which it gives no part are in the guard.

    Where no pixel of the map validates, contiguous regions of the training pixels do, as `regions` would take them.

    Args:
        ground_truth: `(H, W)`.
        codes: the map, `(H, W)`.
        settings: which code means what.
        validation: share of the training pixels that validates, if the map names none.
        seed: as of `regions`.

    Raises:
        DataError: the map has another size, or no pixel with the code of training or of the test.
    """
    if codes.shape != ground_truth.shape:
        raise DataError(
            f"{settings.file} has {' × '.join(str(length) for length in codes.shape)} pixels, and the ground truth "
            f"{ground_truth.shape[0]} × {ground_truth.shape[1]} (rows × columns). A map of the same scene is needed."
        )
    labelled = ground_truth >= 0
    parts = np.full(ground_truth.shape, UNLABELLED, dtype=np.uint8)
    parts[labelled] = GUARD
    for code, part in ((settings.train, TRAIN), (settings.validation, VALIDATION), (settings.test, TEST)):
        parts[labelled & (codes == code)] = part
    for code, part, name in ((settings.train, TRAIN, "train"), (settings.test, TEST, "test")):
        if not (parts == part).any():
            found = np.unique(codes)
            raise DataError(
                f"{settings.file}: no labelled pixel has the value {code}, which split.pixels.{name} says is the "
                f"{name} part. Its values are {', '.join(f'{value:g}' for value in found[:10].tolist())}"
                f"{' …' if len(found) > 10 else ''}."
            )
    if not (parts == VALIDATION).any():
        trains = np.where(parts == TRAIN, ground_truth, -1)
        regions = ranked_regions(trains, "area", 1.5, 1)
        again = region_parts(trains, regions, (1 - validation, validation, 0.0), seed, 0)
        parts[again != UNLABELLED] = again[again != UNLABELLED]
    return parts
