"""Cubes and classifications in ENVI's format: a text header and plain pixels, memory-mapped.

Reading the header's text is in `sources.envi_header`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.data.cube import AS_STORED, Cube, Transform, default_names, nanometres
from konvoi.data.sources.envi_header import EnviHeader, read_envi_header
from konvoi.data.stored_types import in_stored_type
from konvoi.data.synthetic.geotiff import MARK
from konvoi.errors import DataError

_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
"""ENVI's numbers of data types; 6 and 9 are complex."""


@dataclass(frozen=True)
class _Place:
    crs: str
    transform: Transform | None
    metres: float | None
    remark: str


def read_envi_cube(path: Path) -> Cube:
    """A cube with all its bands; those that the header's bad-band list (`bbl`) marks with 0 are `bad_bands`.

    Args:
        path: of the header or of the data.

    Returns:
        Values that stay on disk where their type is one that is kept as it is; see `data.stored_types`.

    Raises:
        DataError: a file is missing, the header incomplete or contradictory, or the data of another size than it says.
    """
    header, data = read_envi_header(path)
    values = in_stored_type(_pixels(header, data), str(data))
    count = len(values)
    remarks = []
    names = header.entries("band names")
    if names and (len(names) != count or len(set(names)) != count):
        remarks.append(f"{header.path.name}: band names are not one a band, each once; bands are named by number")
        names = ()
    wavelength = _one_a_band(header, "wavelength", count)
    if wavelength:
        wavelength, remark = nanometres(wavelength, header.fields.get("wavelength units", ""))
        remarks += [f"{header.path.name}: {remark}"] if remark else []
    good = _one_a_band(header, "bbl", count)
    place = _place(header)
    remarks += [f"{header.path.name}: {place.remark}"] if place.remark else []
    synthetic = MARK in header.fields.get("description", "")
    factor = header.number("reflectance scale factor")
    named = names or default_names(count)
    return Cube(
        values=values,
        bands=Bands(
            names=named,
            scale=(1 / factor if factor else 1.0,) * count,
            units=("reflectance" if factor else AS_STORED,) * count,
            wavelength=wavelength,
            ground_sampling_distance=() if place.metres is None else (place.metres,) * count,
            no_data=header.number("data ignore value"),
        ),
        origin=str(data),
        crs=place.crs,
        transform=place.transform,
        colour_bands=_default_bands(header, count),
        bad_bands=tuple(name for name, entry in zip(named, good, strict=False) if entry == 0),
        caution=f"{data.name} is synthetic: made by Konvoi, seen by no sensor." if synthetic else "",
        remarks=tuple(remarks),
    )


def read_envi_classes(path: Path) -> tuple[NDArray[np.generic], dict[int, str]]:
    """A classification, `(H, W)`, and the names of its values where the header has them.

    Raises:
        DataError: as for `read_envi_cube`; or there is more than one band.
    """
    header, data = read_envi_header(path)
    pixels = _pixels(header, data)
    if len(pixels) != 1:
        raise DataError(f"{data} has {len(pixels)} bands, and a ground truth has one.")
    return np.array(pixels[0]), dict(enumerate(header.entries("class names")))


def _pixels(header: EnviHeader, data: Path) -> NDArray[np.generic]:
    """The values `(bands, lines, samples)` as a view into a memory map that never changes the file."""
    samples, lines, bands = (header.whole_number(key, least=1) for key in ("samples", "lines", "bands"))
    kind = header.whole_number("data type", least=1)
    if kind not in _TYPES:
        raise DataError(
            f"{header.path}: data type {kind} is none of ENVI's numbers of real types, {', '.join(map(str, _TYPES))}."
        )
    if header.whole_number("file compression", default=0):
        raise DataError(f"{header.path}: the data are compressed. Save them without compression.")
    order = header.whole_number("byte order", default=0)
    if order > 1:
        raise DataError(f"{header.path}: byte order is {order}; 0 is little-endian, 1 big-endian.")
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if order else "<")
    interleave = header.fields.get("interleave", "bsq").lower()
    shapes = {"bsq": (bands, lines, samples), "bil": (lines, bands, samples), "bip": (lines, samples, bands)}
    if interleave not in shapes:
        raise DataError(f"{header.path}: interleave is {interleave!r}; expected is bsq, bil or bip.")
    offset = header.whole_number("header offset", default=0)
    expected, found = offset + samples * lines * bands * dtype.itemsize, data.stat().st_size
    if found < expected:
        raise DataError(
            f"{data} has {found:,} bytes, and its header {header.path.name} speaks of {expected:,}: {lines} lines × "
            f"{samples} samples × {bands} bands of {dtype.itemsize} bytes after {offset}. Copy it again, or correct "
            "the header."
        )
    # "c" is copy on write: an array that torch may share, over a file that stays as it is.
    mapped = np.memmap(data, dtype, mode="c", offset=offset, shape=shapes[interleave])
    return np.asarray(mapped).transpose({"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}[interleave])


def _one_a_band(header: EnviHeader, key: str, bands: int) -> tuple[float, ...]:
    numbers = header.numbers(key)
    if numbers and len(numbers) != bands:
        raise DataError(f"{header.path}: {key} has {len(numbers)} entries for {bands} bands. Correct the header.")
    return numbers


def _default_bands(header: EnviHeader, bands: int) -> tuple[int, int, int] | None:
    numbers = [int(number) for number in header.numbers("default bands")]
    if len(numbers) != 3 or not all(1 <= number <= bands for number in numbers):
        return None
    return numbers[0] - 1, numbers[1] - 1, numbers[2] - 1


def _place(header: EnviHeader) -> _Place:
    """What "map info" and "coordinate system string" say: name, tie point (pixel, from 1, and map), pixel size, …."""
    entries = header.entries("map info")
    if not entries:
        return _Place("", None, None, "")
    named = {
        key.strip().lower(): value.strip() for key, _, value in (entry.partition("=") for entry in entries) if value
    }
    plain = [entry for entry in entries if "=" not in entry]
    try:
        column, row, x, y, across, down = (float(entry) for entry in plain[1:7])
        rotation = float(named.get("rotation", "0"))
    except ValueError:
        return _Place("", None, None, "map info cannot be read; the scene is taken for one without a place")
    if rotation:
        return _Place(
            "", None, None, "map info is rotated, which is not read; the scene is taken for one without a place"
        )
    transform = (across, 0.0, x - (column - 1) * across, 0.0, -down, y + (row - 1) * down)
    crs = header.fields.get("coordinate system string", "") or _crs(plain)
    in_metres = named.get("units", "meters" if plain[0].upper() == "UTM" else "").lower().startswith("met")
    remark = "" if crs else f"map info names the projection {plain[0]}, whose reference system is not known here"
    return _Place(crs, transform, across if in_metres else None, remark)


def _crs(plain: list[str]) -> str:
    if not any(re.fullmatch(r"WGS[-_ ]?(19)?84", entry, re.IGNORECASE) for entry in plain[7:]):
        return ""
    if plain[0].lower() == "geographic lat/lon":
        return "EPSG:4326"
    if plain[0].upper() == "UTM" and len(plain) > 8 and plain[7].isdigit() and 1 <= int(plain[7]) <= 60:
        return f"EPSG:{327 if plain[8].lower().startswith('s') else 326}{int(plain[7]):02d}"
    return ""
