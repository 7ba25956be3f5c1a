"""A cube from a file, whatever its format; `read_cube` is the only door. Labels are not its business."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from konvoi.data.bands import Bands
from konvoi.data.cube import AS_STORED, Cube, default_names, nanometres
from konvoi.data.known_scenes import KnownScene, scene_of_file
from konvoi.data.sources.cube_geotiff import read_geotiff_cube
from konvoi.data.sources.envi import read_envi_cube
from konvoi.data.sources.envi_header import is_envi
from konvoi.data.sources.matlab import array_shapes, choose_array, read_array
from konvoi.data.stored_types import in_stored_type
from konvoi.errors import DataError
from konvoi.recipe.schema import CubeAxes

GEOTIFF_SUFFIXES = (".tif", ".tiff")

_ORDERS: dict[CubeAxes, tuple[int, int, int]] = {
    "rows-columns-bands": (0, 1, 2),
    "bands-rows-columns": (1, 2, 0),
    "rows-bands-columns": (0, 2, 1),
    "columns-rows-bands": (1, 0, 2),
    "bands-columns-rows": (2, 1, 0),
}
"""Where rows, columns and bands stand in an array."""


def is_cube(path: Path) -> bool:
    """Whether a file's name and neighbours say that it is a cube, and nothing else that Konvoi reads."""
    return path.is_file() and (path.suffix.lower() in (".mat", *GEOTIFF_SUFFIXES) or is_envi(path))


def read_cube(
    path: Path, variable: str | None = None, axes: CubeAxes | None = None, size: tuple[int, int] | None = None
) -> Cube:
    """A cube with all its bands.

    Args:
        path: of a .mat file, of an ENVI header or its data, or of a GeoTIFF.
        variable: of a .mat file, the array; by default the only one that has three axes.
        axes: of that array; by default the order in which it has the size wanted, rows-columns-bands first.
        size: height and width of the ground truth, where it is known.

    Raises:
        DataError: the file is missing, damaged, of another format, or its arrays are not what is expected.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Name the file as it is, or its folder with --data-dir.")
    if path.suffix.lower() == ".mat":
        return _from_matlab(path, variable, axes, size)
    if path.suffix.lower() in GEOTIFF_SUFFIXES:
        return read_geotiff_cube(path)
    if is_envi(path):
        return read_envi_cube(path)
    raise DataError(
        f"{path} is no cube that can be read. Cubes are MATLAB files (.mat), ENVI files (name the header .hdr, or the "
        "data with a header beside it) and GeoTIFFs (.tif)."
    )


def _from_matlab(path: Path, variable: str | None, axes: CubeAxes | None, size: tuple[int, int] | None) -> Cube:
    name = choose_array(path, variable, lambda shape: len(shape) == 3, "a cube (three axes)", "source.cube_variable")
    shape = array_shapes(path)[name]
    if len(shape) != 3:
        raise DataError(f"{path}: {name} has {len(shape)} axes, and a cube has three: rows, columns and bands.")
    order = axes or _order(path, name, (shape[0], shape[1], shape[2]), size)
    by_pixel = read_array(path, name).transpose(_ORDERS[order])
    values = np.moveaxis(np.ascontiguousarray(in_stored_type(by_pixel, str(path))), -1, 0)
    remarks = []
    if order != "rows-columns-bands" and axes is None:
        remarks.append(f"{path.name}: the axes of {name} are {order.replace('-', ', ')}, by the ground truth's size")
    scene = scene_of_file(path)
    numbers = scene.band_numbers(len(values)) if scene is not None and scene.size == values.shape[1:] else None
    wavelength = _wavelengths(path, len(values))
    if wavelength:
        wavelength, remark = nanometres(wavelength, "")
        remarks.append(f"{path.name}: {remark}")
    bands = Bands(
        names=default_names(len(values)) if numbers is None else tuple(f"b{number}" for number in numbers),
        scale=(1.0,) * len(values),
        units=(AS_STORED,) * len(values),
        wavelength=wavelength,
        ground_sampling_distance=() if numbers is None else (_distance(scene),) * len(values),
    )
    colours = None if scene is None or numbers is None else tuple(numbers.index(band) for band in scene.colour_bands)
    return Cube(
        values=values,
        bands=bands,
        origin=f"{name} in {path}",
        colour_bands=None if colours is None else (colours[0], colours[1], colours[2]),
        remarks=tuple(remarks),
    )


def _distance(scene: KnownScene | None) -> float:
    assert scene is not None
    return scene.ground_sampling_distance


def _order(path: Path, name: str, shape: tuple[int, int, int], size: tuple[int, int] | None) -> CubeAxes:
    """The order of an array's axes in which it has the ground truth's size."""
    if size is None:
        return "rows-columns-bands"
    fitting = [order for order, (rows, columns, _) in _ORDERS.items() if (shape[rows], shape[columns]) == size]
    straight = [
        order for order in fitting if order in ("rows-columns-bands", "bands-rows-columns", "rows-bands-columns")
    ]
    if straight:
        return straight[0]
    shown = " × ".join(map(str, shape))
    wanted = f"the ground truth has {size[0]} × {size[1]} pixels (rows × columns)"
    if fitting:
        raise DataError(
            f"{path}: {name} is {shown}, and {wanted}: one of the two has rows and columns exchanged. If it is the "
            f"cube, set source.axes to {fitting[0]}; if it is the ground truth, save it again the other way."
        )
    raise DataError(f"{path}: {name} is {shown}, and {wanted}. They are not of one scene.")


def _wavelengths(path: Path, bands: int) -> tuple[float, ...]:
    """What an array beside the cube says that is called wavelengths and has an entry a band; () where none does."""
    for name, shape in array_shapes(path).items():
        if name.lower().startswith(("wave", "lambda")) and max(shape, default=0) == np.prod(shape) == bands:
            return tuple(float(wave) for wave in np.ravel(read_array(path, name)))
    return ()
