"""A cube from a file, whatever its format; `read_cube` is the only door. Labels are not its business."""

from __future__ import annotations

from pathlib import Path

from konvoi.data.band_lists import in_short
from konvoi.data.bands import Bands, require_same_bands
from konvoi.data.cube import Cube
from konvoi.data.sources.cube_geotiff import read_geotiff_cube
from konvoi.data.sources.cube_matlab import read_matlab_cube
from konvoi.data.sources.envi import read_envi_cube
from konvoi.data.sources.envi_header import is_envi
from konvoi.errors import DataError
from konvoi.recipe.source import CubeAxes

GEOTIFF_SUFFIXES = (".tif", ".tiff")

_TOLERATED_NANOMETRES = 5.0
"""Between the wavelengths of one band in two files: half of what hyperspectral sensors resolve."""


def is_cube(path: Path) -> bool:
    """Whether a file's name and neighbours say that it is a cube, and nothing else that Konvoi reads."""
    return path.is_file() and (path.suffix.lower() in (".mat", *GEOTIFF_SUFFIXES) or is_envi(path))


def read_cube(path: Path, variable: str | None = None, axes: CubeAxes | None = None) -> Cube:
    """A cube with all its bands.

    Args:
        path: of a .mat file, of an ENVI header or its data, or of a GeoTIFF.
        variable: of a .mat file, the array; by default the only one that has three axes.
        axes: of that array; by default rows, columns, bands. Other formats say it themselves.

    Raises:
        DataError: the file is missing, damaged, of another format, or its arrays are not what is expected.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Name the file as it is, or its folder with --data-dir.")
    if path.suffix.lower() == ".mat":
        return read_matlab_cube(path, variable, axes or "rows-columns-bands")
    if path.suffix.lower() in GEOTIFF_SUFFIXES:
        return read_geotiff_cube(path)
    if is_envi(path):
        return read_envi_cube(path)
    raise DataError(
        f"{path} is no cube that can be read. Cubes are MATLAB files (.mat), ENVI files (name the header .hdr, or the "
        "data with a header beside it) and GeoTIFFs (.tif)."
    )


def read_cube_for(bands: Bands, path: Path, variable: str | None = None, axes: CubeAxes | None = None) -> Cube:
    """A cube with the bands on which a network was trained, in their order; other bands of the file are left out.

    Compared are names, units, scale, ground sampling distance and wavelengths, each where both sides know it. Bands
    that have no names are known by their numbers.

    Args:
        bands: what the network was trained on.
        path: as for `read_cube`; likewise the others.
        variable: as said.
        axes: as said.

    Raises:
        DataError: as for `read_cube`; or the bands are not the same.
    """
    cube = read_cube(path, variable, axes)
    missing = [name for name in bands.names if name not in cube.bands.names]
    if missing:
        raise DataError(
            f"Bands differ: the network was trained on {in_short(bands.names)}; {cube.origin} has "
            f"{in_short(cube.bands.names)}, without {in_short(missing)}. Use a cube with the same bands, or retrain."
        )
    cube = cube.with_bands(bands.names)
    require_same_bands(bands, cube.bands, "the network", cube.origin)
    for name, wanted, found in zip(bands.names, bands.wavelength, cube.bands.wavelength, strict=False):
        if wanted is not None and found is not None and abs(wanted - found) > _TOLERATED_NANOMETRES:
            raise DataError(
                f"Wavelengths differ in band {name}: the network was trained on {wanted:g} nm; {cube.origin} has "
                f"{found:g} nm. Use a cube of the same sensor, or retrain."
            )
    return cube
