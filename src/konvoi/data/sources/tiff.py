"""Reading TIFF files: the plain ones that patch archives consist of at once, all others through rasterio.

A patch archive is millions of small uncompressed files, and opening each with a general library takes many times longer
than reading it. Formats: TIFF 6.0 (Adobe, 1992); OGC GeoTIFF 1.1 (2019), keys 1025, 2048 and 3072.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from konvoi.data.patches import PatchError, Place
from konvoi.errors import DataError

TIFF_SUFFIXES = (".tif", ".tiff")

_LITTLE_CLASSIC = b"II*\0"
_FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 12: "d"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 12: 8}
_KINDS = {(1, 8): "u1", (1, 16): "<u2", (1, 32): "<u4", (2, 16): "<i2", (2, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}

_Directory = dict[int, tuple[int, int, bytes]]
"""By tag: type, number of values, and the four bytes that are the value or say where it stands."""


@dataclass(frozen=True)
class TiffHeader:
    """What a file says before its pixels.

    Attributes:
        shape: `(bands, height, width)`.
        dtype: for example "uint16".
        descriptions: one a band, "" where the file has none.
        no_data: the value of pixels that were not measured, or None.
    """

    shape: tuple[int, int, int]
    dtype: str
    descriptions: tuple[str, ...]
    no_data: float | None


def read_pixels(path: Path, shape: tuple[int, int, int], dtype: DTypeLike) -> NDArray[np.generic]:
    """All pixels of a file, `(bands, height, width)`.

    Args:
        path: the file.
        shape: what is expected.
        dtype: what is expected.

    Raises:
        PatchError: the file is missing, truncated, no TIFF, or of another shape or type.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PatchError(f"{path} is missing.") from None
    except OSError as error:
        raise PatchError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        pixels = _plain_pixels(content)
    except (struct.error, KeyError, IndexError) as error:
        raise PatchError(f"{path} is truncated or no TIFF file: it has {len(content):,} bytes.") from error
    if pixels is None:
        pixels = _pixels_by_rasterio(path)
    if pixels.shape != shape or pixels.dtype != np.dtype(dtype):
        raise PatchError(
            f"{path} has {_by(pixels.shape)} values of {pixels.dtype}; expected are {_by(shape)} of {np.dtype(dtype)} "
            "(bands × height × width)."
        )
    return pixels


def read_place(path: Path) -> Place | None:
    """Where a file's pixels lie, or None where it does not say.

    Raises:
        PatchError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
        directory = _directory(content)
    except (OSError, struct.error) as error:
        raise PatchError(f"{path} cannot be read: {error}.") from error
    if directory is None or 34264 in directory:
        return _place_by_rasterio(path)
    if 33550 not in directory or 33922 not in directory or 34735 not in directory:
        return None
    across, down = _values(content, directory, 33550)[:2]
    column, row, _, x, y = _values(content, directory, 33922)[:5]
    keys = _values(content, directory, 34735)
    entries = {keys[first]: keys[first : first + 4] for first in range(4, len(keys), 4)}
    code = entries.get(3072) or entries.get(2048)
    if code is None or code[1] != 0 or code[3] == 32767:
        return _place_by_rasterio(path)
    # Where key 1025 is 2, the tie point is a pixel's centre and not its corner.
    half = 0.5 if entries.get(1025, (0, 0, 0, 1))[3] == 2 else 0.0
    height, width = _values(content, directory, 257)[0], _values(content, directory, 256)[0]
    left, top = x - (column + half) * across, y + (row + half) * down
    return Place(f"EPSG:{code[3]}", left, top, left + width * across, top - height * down)


def read_header(path: Path) -> TiffHeader:
    """Shape, type, descriptions and no-data value of any raster file.

    Raises:
        DataError: rasterio is not installed.
        PatchError: the file cannot be read.
    """
    rasterio = _rasterio(path)
    try:
        with rasterio.open(path) as file:
            return TiffHeader(
                shape=(file.count, file.height, file.width),
                dtype=file.dtypes[0],
                descriptions=tuple(description or "" for description in file.descriptions),
                no_data=file.nodata,
            )
    except rasterio.errors.RasterioError as error:
        raise PatchError(f"{path} cannot be read: {error}.") from error


def _plain_pixels(content: bytes) -> NDArray[np.generic] | None:
    """Pixels of an uncompressed little-endian file in strips; None where the file is of another kind."""
    directory = _directory(content)
    if directory is None or 322 in directory or _values(content, directory, 259)[0] != 1:
        return None
    width, height = _values(content, directory, 256)[0], _values(content, directory, 257)[0]
    bands = _values(content, directory, 277)[0] if 277 in directory else 1
    bits = _values(content, directory, 258)[0]
    sample_format = _values(content, directory, 339)[0] if 339 in directory else 1
    kind = _KINDS.get((sample_format, bits))
    if kind is None:
        return None
    offsets, counts = _values(content, directory, 273), _values(content, directory, 279)
    if offsets[-1] + counts[-1] > len(content):
        raise IndexError("strips end after the file")
    start, values = offsets[0], height * width * bands
    if all(offset + count == following for offset, count, following in zip(offsets, counts, offsets[1:], strict=False)):
        flat = np.frombuffer(content, kind, values, start)
    else:
        strips = b"".join(content[offset : offset + count] for offset, count in zip(offsets, counts, strict=True))
        if len(strips) < values * np.dtype(kind).itemsize:
            raise IndexError("strips hold less than the image")
        flat = np.frombuffer(strips, kind, values)
    if bands > 1 and _values(content, directory, 284)[0] == 1:
        return flat.reshape(height, width, bands).transpose(2, 0, 1)
    return flat.reshape(bands, height, width)


def _directory(content: bytes) -> _Directory | None:
    if content[:4] != _LITTLE_CLASSIC:
        if content[:4] in (b"MM\0*", b"II+\0", b"MM\0+"):
            return None
        raise struct.error("no TIFF file")
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    table = content[start + 2 : start + 2 + 12 * entries]
    if len(table) < 12 * entries:
        raise struct.error("directory is cut off")
    return {tag: (kind, count, value) for tag, kind, count, value in struct.iter_unpack("<HHI4s", table)}


def _values(content: bytes, directory: _Directory, tag: int) -> tuple[Any, ...]:
    kind, count, value = directory[tag]
    size = count * _SIZES[kind]
    if size <= 4:
        return struct.unpack_from(f"<{count}{_FORMATS[kind]}", value)
    return struct.unpack_from(f"<{count}{_FORMATS[kind]}", content, int.from_bytes(value, "little"))


def _pixels_by_rasterio(path: Path) -> NDArray[np.generic]:
    rasterio = _rasterio(path)
    try:
        with rasterio.open(path) as file:
            pixels: NDArray[np.generic] = file.read()
            return pixels
    except rasterio.errors.RasterioError as error:
        raise PatchError(f"{path} cannot be read: {error}.") from error


def _place_by_rasterio(path: Path) -> Place | None:
    rasterio = _rasterio(path)
    try:
        with rasterio.open(path) as file:
            if file.crs is None:
                return None
            code = file.crs.to_epsg()
            system = f"EPSG:{code}" if code else file.crs.to_wkt()
            return Place(system, file.bounds.left, file.bounds.top, file.bounds.right, file.bounds.bottom)
    except rasterio.errors.RasterioError as error:
        raise PatchError(f"{path} cannot be read: {error}.") from error


def _rasterio(path: Path) -> Any:
    try:
        import rasterio
        import rasterio.errors
    except ImportError:
        raise DataError(
            f"{path} is compressed, tiled, or otherwise no plain TIFF file, which needs rasterio. Install it: pip "
            "install 'konvoi[scenes]'."
        ) from None
    return rasterio


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(str(side) for side in shape)
