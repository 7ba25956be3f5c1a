"""A cube as it was read: values, bands, and where the scene lies.

Reading files is in `data.sources.cube_file`; the windows around its pixels are in `data.windows`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.errors import DataError

AS_STORED = "as stored"
"""The units of values of which a file does not say what they are."""

Transform = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f of x = a · column + b · row + c and y = d · column + e · row + f, from the outer corner of the upper
left pixel."""


@dataclass(frozen=True)
class Cube:
    """An image with many bands, and no labels.

    Attributes:
        values: `(C, H, W)`: uint8, int16, uint16 or float32, as stored; may be a memory map.
        bands: the contract of the C bands, not yet fitted.
        origin: where it comes from, for people.
        crs: coordinate reference system as an authority's code, "EPSG:32633", or as WKT; "" where not known.
        transform: in the system's units; None where not known.
        colour_bands: positions of the bands that stand for red, green and blue where the file or the scene says so.
        bad_bands: names of the bands that the file itself marks as bad.
        caution: what a reader of results must know, for example that the scene is synthetic; else "".
        remarks: what was noticed on reading, and done about it; a sentence each.
    """

    values: NDArray[np.generic]
    bands: Bands
    origin: str
    crs: str = ""
    transform: Transform | None = None
    colour_bands: tuple[int, int, int] | None = None
    bad_bands: tuple[str, ...] = ()
    caution: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.values.shape[1], self.values.shape[2]

    def with_bands(self, names: Sequence[str]) -> Cube:
        """The cube of these bands alone, in this order; a copy, unless they are all of them as they are.

        Raises:
            DataError: a name is not among the bands.
        """
        if tuple(names) == self.bands.names:
            return self
        bands = self.bands.chosen(names)
        positions = [self.bands.names.index(name) for name in names]
        colours = self.colour_bands
        if colours is not None:
            kept = [positions.index(position) for position in colours if position in positions]
            colours = (kept[0], kept[1], kept[2]) if len(kept) == len(colours) else None
        # All bands of a pixel side by side, from which windows are gathered without another copy.
        by_pixel = np.moveaxis(self.values, 0, -1)[..., positions]
        return replace(
            self,
            values=np.moveaxis(np.ascontiguousarray(by_pixel), -1, 0),
            bands=bands,
            colour_bands=colours,
            bad_bands=tuple(name for name in self.bad_bands if name in names),
        )


@dataclass(frozen=True)
class Examination:
    """What one look at all values of a cube found.

    Attributes:
        constant: names of bands that have one value everywhere, or none.
        gaps: `(H, W)`, True where a band that is not constant has no value; None where there are none.
        fingerprint: SHA-256 over type, shape and values in the order band, row, column.
    """

    constant: tuple[str, ...]
    gaps: NDArray[np.bool_] | None
    fingerprint: str


def examine(cube: Cube) -> Examination:
    """Look at all values once, band by band: constant bands, pixels without values, and the fingerprint."""
    values, no_data = cube.values, cube.bands.no_data
    digest = hashlib.sha256(f"{values.dtype.name} {values.shape}".encode())
    gaps = np.zeros(cube.size, dtype=bool)
    constant = []
    may_have_gaps = no_data is not None or values.dtype.kind == "f"
    for name, band in zip(cube.bands.names, values, strict=True):
        band = np.ascontiguousarray(band)
        digest.update(band.data)
        missing = _missing(band, no_data) if may_have_gaps else None
        measured = band if missing is None or not missing.any() else band[~missing]
        if not measured.size or measured.min() == measured.max():
            constant.append(name)
        elif missing is not None:
            gaps |= missing
    return Examination(tuple(constant), gaps if gaps.any() else None, digest.hexdigest())


def fill_gaps(values: NDArray[np.generic], no_data: float | None, fill: Sequence[float]) -> NDArray[np.generic]:
    """Values `(C, H, W)` with one stored value a band where nothing was measured; as float32 where there are gaps."""
    if no_data is None and values.dtype.kind != "f":
        return values
    filled: NDArray[np.float32] | None = None
    for position, band in enumerate(values):
        missing = _missing(band, no_data)
        if missing.any():
            if filled is None:
                by_pixel = np.ascontiguousarray(np.moveaxis(values, 0, -1), dtype=np.float32)
                filled = np.moveaxis(by_pixel.copy() if np.shares_memory(by_pixel, values) else by_pixel, -1, 0)
            filled[position][missing] = fill[position]
    return values if filled is None else filled


def _missing(band: NDArray[np.generic], no_data: float | None) -> NDArray[np.bool_]:
    missing = ~np.isfinite(band) if band.dtype.kind == "f" else np.zeros(band.shape, dtype=bool)
    if no_data is not None:
        missing |= band == band.dtype.type(no_data) if band.dtype.kind == "f" else band == no_data
    return missing


def default_names(bands: int) -> tuple[str, ...]:
    """Names of bands that have none in the file: "b1", "b2", …, counted from 1 as recipes count them."""
    return tuple(f"b{number}" for number in range(1, bands + 1))


def nanometres(wavelength: Sequence[float], units: str) -> tuple[tuple[float, ...], str]:
    """Wavelengths in nanometres, and a remark where their unit had to be guessed.

    Args:
        wavelength: as a file has them.
        units: the file's name of their unit, in any of its spellings; "" where it has none.
    """
    name = units.strip().lower()
    if name.startswith(("um", "µm", "μm", "micro")):
        return tuple(1000 * wave for wave in wavelength), ""
    if name.startswith("nano") or name == "nm":
        return tuple(wavelength), ""
    # Optical sensors see from 200 nm to 20 µm: below 100, a number of nanometres would be X-rays.
    if max(wavelength) < 100:
        return tuple(1000 * wave for wave in wavelength), "wavelengths without a unit are taken for micrometres"
    return tuple(wavelength), "wavelengths without a unit are taken for nanometres"


def require_size(cube: Cube, size: tuple[int, int], other: str) -> None:
    """Refuse a ground truth whose size is not the cube's.

    Args:
        cube: the cube.
        size: height and width of the ground truth.
        other: what it is called, for the message.

    Raises:
        DataError: both sizes, and what may be the matter.
    """
    if cube.size == size:
        return
    height, width = cube.size
    way = "Name the ground truth of this scene."
    if size == (width, height):
        way = "One of the two has its rows and columns exchanged; save it again the other way."
    elif len(cube.bands) in size:
        way = f"One side of it is the cube's number of bands, {len(cube.bands)}: the cube's axes are in another order."
    raise DataError(
        f"{other} has {size[0]} × {size[1]} pixels, and {cube.origin} {height} × {width} (rows × columns). {way}"
    )
