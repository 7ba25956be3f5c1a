"""The ground truth of a scene from a file: a value a pixel, and names where the file has them.

Which values are classes, and what they are called in the end, is decided in `data.sources.cube`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.cube import Cube
from konvoi.data.sources.envi import read_envi_classes
from konvoi.data.sources.envi_header import is_envi
from konvoi.data.sources.label_image import LABEL_IMAGE_SUFFIXES, read_label_image
from konvoi.data.sources.matlab import choose_array, read_array
from konvoi.data.sources.polygons import POLYGON_SUFFIXES, read_polygons
from konvoi.errors import DataError


@dataclass(frozen=True)
class GroundTruth:
    """Values as the file has them.

    Attributes:
        values: `(H, W)` int64.
        names: of values, where the file has them.
        origin: where it comes from, for people.
        remarks: what was noticed on reading; a sentence each.
    """

    values: NDArray[np.int64]
    origin: str
    names: Mapping[int, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.values.shape[0], self.values.shape[1]


def is_polygons(path: Path) -> bool:
    """Whether a file has polygons, which have no pixels before a cube gives them."""
    return path.suffix.lower() in POLYGON_SUFFIXES


def rasterised(path: Path, column: str | None, cube: Cube) -> GroundTruth:
    """The ground truth that polygons make on a cube's pixels; see `sources.polygons`.

    Raises:
        DataError: as for `read_polygons`.
    """
    found = read_polygons(path, column, cube)
    return GroundTruth(found.values, str(path), found.names, found.remarks)


def read_ground_truth(path: Path, variable: str | None = None) -> GroundTruth:
    """The ground truth in a file that has a value for each pixel.

    Args:
        path: of a .mat file, of a PNG or TIFF image, or of an ENVI classification.
        variable: of a .mat file, the array; by default the only one that has two axes.

    Raises:
        DataError: the file is missing, damaged, of another format, or has values that are no whole numbers.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Name the file as it is, or its folder with --data-dir.")
    if path.suffix.lower() == ".mat":
        name = choose_array(path, variable, _is_map, "a ground truth (two axes)", "source.ground_truth_variable")
        return GroundTruth(whole_numbers(read_array(path, name), f"{name} in {path}"), f"{name} in {path}")
    if path.suffix.lower() in LABEL_IMAGE_SUFFIXES:
        return GroundTruth(whole_numbers(read_label_image(path), str(path)), str(path))
    if is_envi(path):
        values, names = read_envi_classes(path)
        return GroundTruth(whole_numbers(values, str(path)), str(path), names)
    raise DataError(
        f"{path} is no ground truth that can be read. Ground truths are MATLAB files (.mat), images (.png, .tif), ENVI "
        "classifications (.hdr), or polygons (.geojson, .shp)."
    )


def whole_numbers(values: NDArray[np.generic], origin: str) -> NDArray[np.int64]:
    """Values as int64.

    Raises:
        DataError: some are no whole numbers, or there are not two axes.
    """
    if values.ndim != 2:
        raise DataError(f"{origin} has {values.ndim} axes, and a ground truth has two: rows and columns.")
    if values.dtype.kind == "f":
        odd = ~(np.isfinite(values) & (values == np.rint(np.nan_to_num(values))))
        if odd.any():
            row, column = np.argwhere(odd)[0].tolist()
            raise DataError(
                f"{origin} has {int(odd.sum())} values that are no whole numbers, the first in row {row}, column "
                f"{column}: {values[row, column]}. A ground truth has one whole number a class, and 0 where a pixel "
                "has no label."
            )
    elif values.dtype.kind not in "iub":
        raise DataError(f"{origin} has values of type {values.dtype}; expected are whole numbers.")
    return np.ascontiguousarray(values).astype(np.int64)


def _is_map(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and min(shape) > 1
