"""The split of a scene: from maps of parts to positions in the data set, and back for the audit.

How pixels are divided is in `data.pixels`; which of the data set's samples they are, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.dataset import Dataset
from konvoi.data.pixels.division import DEFAULT, method_in_words, require_pixels, split_pixels
from konvoi.data.pixels.guard import guard_width
from konvoi.data.pixels.leakage import Leakage, audit_leakage
from konvoi.data.pixels.parts import GUARD, TEST, TRAIN, UNLABELLED, VALIDATION, PartsMap
from konvoi.data.sources.ground_truth import read_ground_truth
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError
from konvoi.recipe.pixel_split import PixelMap
from konvoi.recipe.split import SplitSection

Indices = NDArray[np.int64]


def divide_scene(dataset: Dataset, settings: SplitSection) -> tuple[Indices, Indices, Indices, dict[str, Indices]]:
    """Positions of train, validation and test, and of the samples that are left out, by reason.

    Raises:
        DataError: the data set has no scene; a class would have no training pixels, or a part no pixel at all; or a
            map of the user's is missing, or another scene's.
    """
    if dataset.scene is None or not isinstance(dataset.images, CubeWindows):
        raise DataError(
            f"split.pixels divides the pixels of a scene, and {dataset.name} is not one. Leave split.pixels out."
        )
    if settings.folds is not None:
        raise DataError(
            f"split.folds divides samples at random, and the windows of {dataset.name}'s pixels overlap. Leave folds "
            "out, and train with several values of split.seed."
        )
    pixels = settings.pixels or DEFAULT
    truth, window = dataset.scene.ground_truth, dataset.images.window
    given = _read_map(pixels) if isinstance(pixels, PixelMap) else None
    parts = split_pixels(truth, settings, window, cube=dataset.images.cube, given=given)
    require_pixels(parts, truth, dataset.class_names, settings, window)
    places = dataset.images.pixels
    of_sample = parts[places[:, 0], places[:, 1]]
    width = guard_width(pixels.guard, window)
    near = f"in the guard band, no farther than {width} pixel{'' if width == 1 else 's'} from a later part"
    without = f"in no part of {pixels.file}, or {near}" if isinstance(pixels, PixelMap) else near
    train, validation, test, guard = (
        np.flatnonzero(of_sample == part).astype(np.int64) for part in (TRAIN, VALIDATION, TEST, GUARD)
    )
    return train, validation, test, {without: guard}


def scene_leakage(dataset: Dataset, parts: Mapping[str, Indices]) -> Leakage | None:
    """The audit of a split of a scene, whichever way it was made; None where there is no scene.

    Args:
        dataset: whose windows are looked at.
        parts: positions of `train`, `validation` and `test`.
    """
    if dataset.scene is None or not isinstance(dataset.images, CubeWindows):
        return None
    return audit_leakage(
        parts_map(dataset, parts), dataset.scene.ground_truth, dataset.class_names, dataset.images.window
    )


def parts_map(dataset: Dataset, parts: Mapping[str, Indices]) -> PartsMap:
    """The part of each pixel of the data set's scene, `(H, W)`; labelled pixels in no part are in the guard."""
    assert dataset.scene is not None
    assert isinstance(dataset.images, CubeWindows)
    places = dataset.images.pixels
    found = np.full(dataset.scene.ground_truth.shape, UNLABELLED, dtype=np.uint8)
    found[places[:, 0], places[:, 1]] = GUARD
    for name, code in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        rows, columns = places[parts[name]].T
        found[rows, columns] = code
    return found


def split_in_words(dataset: Dataset, settings: SplitSection) -> str:
    """How the pixels were divided, for people."""
    assert isinstance(dataset.images, CubeWindows)
    return method_in_words(settings, dataset.images.window)


def _read_map(settings: PixelMap) -> NDArray[np.int64]:
    path = Path(settings.file).expanduser()
    if path.suffix.lower() != ".npy":
        return read_ground_truth(path, settings.variable).values
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"split.pixels.file: {path} cannot be read as a NumPy array: {error}.") from error
    if values.ndim != 2 or values.dtype.kind not in "iub":
        raise DataError(
            f"split.pixels.file: {path} holds {values.dtype} of shape {values.shape}; expected are whole numbers, rows "
            "× columns, one a pixel."
        )
    codes: NDArray[np.int64] = values.astype(np.int64)
    return codes
