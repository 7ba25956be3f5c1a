"""Cubes in MATLAB files: which array, in which order of axes, and what is known of its bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from konvoi.data.bands import Bands
from konvoi.data.cube import AS_STORED, Cube, default_names, nanometres
from konvoi.data.known_scenes import scene_of_file
from konvoi.data.sources.matlab import array_shapes, choose_array, read_array
from konvoi.data.stored_types import in_stored_type
from konvoi.errors import DataError
from konvoi.recipe.source import CubeAxes

_ORDERS: dict[CubeAxes, tuple[int, int, int]] = {
    "rows-columns-bands": (0, 1, 2),
    "bands-rows-columns": (1, 2, 0),
    "rows-bands-columns": (0, 2, 1),
    "columns-rows-bands": (1, 0, 2),
    "bands-columns-rows": (2, 1, 0),
}
"""Where rows, columns and bands stand in an array; an order that comes earlier is the more usual one."""


def read_matlab_cube(path: Path, variable: str | None = None, axes: CubeAxes = "rows-columns-bands") -> Cube:
    """A cube with all its bands, those of a pixel side by side in memory.

    The bands of a file with a well-known scene's name have that scene's numbers, so that the "corrected" cube and the
    whole one agree on which band is which.

    Raises:
        DataError: as for `read_cube`.
    """
    name = _cube_array(path, variable)
    by_pixel = read_array(path, name).transpose(_ORDERS[axes])
    values = np.moveaxis(np.ascontiguousarray(in_stored_type(by_pixel, str(path))), -1, 0)
    scene = scene_of_file(path)
    numbers = None if scene is None else scene.band_numbers(len(values))
    wavelength, remark = _wavelengths(path, len(values))
    names, metres, colours = default_names(len(values)), None, None
    if scene is not None and numbers is not None:
        names = tuple(f"b{number}" for number in numbers)
        metres = scene.ground_sampling_distance
        red, green, blue = (numbers.index(number) for number in scene.colour_bands)
        colours = (red, green, blue)
    return Cube(
        values=values,
        bands=Bands(
            names=names,
            scale=(1.0,) * len(values),
            units=(AS_STORED,) * len(values),
            wavelength=wavelength,
            ground_sampling_distance=() if metres is None else (metres,) * len(values),
        ),
        origin=f"{name} in {path}",
        colour_bands=colours,
        remarks=(f"{path.name}: {remark}",) if remark else (),
    )


def axes_by_size(path: Path, variable: str | None, size: tuple[int, int]) -> CubeAxes | None:
    """The most usual order of axes in which a file's cube has a ground truth's height and width; None where none has.

    Raises:
        DataError: the file cannot be read, or does not have one cube.
    """
    shape = array_shapes(path)[_cube_array(path, variable)]
    fitting = (order for order, (rows, columns, _) in _ORDERS.items() if (shape[rows], shape[columns]) == size)
    return next(fitting, None)


def require_axes(path: Path, variable: str | None, axes: CubeAxes, size: tuple[int, int]) -> None:
    """Refuse a cube that has a ground truth's size in another order of axes than the one in which it is to be read.

    The order is not simply taken over: a recipe has to say it, because scenes without a ground truth are read by the
    same recipe later.

    Raises:
        DataError: the orders of axes, both sizes, and what to write into the recipe.
    """
    fitting = axes_by_size(path, variable, size)
    name = _cube_array(path, variable)
    shape = array_shapes(path)[name]
    rows, columns, _ = _ORDERS[axes]
    if (shape[rows], shape[columns]) == size:
        return
    found = f"{path}: {name} is {' × '.join(map(str, shape))}, and the ground truth has {size[0]} × {size[1]} pixels"
    if fitting is None:
        raise DataError(f"{found} (rows × columns): they are not of one scene. Name the two files of one scene.")
    if fitting in ("columns-rows-bands", "bands-columns-rows"):
        raise DataError(
            f"{found} (rows × columns): one of the two has rows and columns exchanged. If it is the cube, set "
            f"source.axes to {fitting}; if it is the ground truth, save it again the other way."
        )
    raise DataError(f"{found} (rows × columns): the cube's axes are in another order. Set source.axes to {fitting}.")


def _cube_array(path: Path, variable: str | None) -> str:
    name = choose_array(path, variable, lambda shape: len(shape) == 3, "a cube (three axes)", "source.cube_variable")
    axes = len(array_shapes(path)[name])
    if axes != 3:
        raise DataError(f"{path}: {name} has {axes} axes, and a cube has three: rows, columns and bands.")
    return name


def _wavelengths(path: Path, bands: int) -> tuple[tuple[float, ...], str]:
    """In nanometres, from an array called wavelengths with an entry a band; and a remark on their unit."""
    for name, shape in array_shapes(path).items():
        if name.lower().startswith(("wave", "lambda")) and max(shape, default=0) == np.prod(shape) == bands:
            return nanometres(tuple(float(wave) for wave in np.ravel(read_array(path, name))), "")
    return (), ""
