"""Reading TIFF files: the plain ones that patch archives consist of at once, all others through rasterio.

A patch archive is millions of small uncompressed files, and opening each with a general library takes many times longer
than reading it. Formats: TIFF 6.0 (Adobe, 1992); OGC GeoTIFF 1.1 (2019), keys 1025, 2048 and 3072.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
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

_DAMAGE = (struct.error, KeyError, IndexError, TypeError, ValueError, OverflowError)
"""What damaged bytes lead to, wherever they stand: offsets out of the file, lacking tags, tags of another type."""

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
    except _DAMAGE as error:
        raise PatchError(f"{path} is truncated or no TIFF file: it has {len(content):,} bytes.") from error
    if pixels is None:
        return _pixels_by_rasterio(path, shape, np.dtype(dtype))
    _require(path, pixels.shape, pixels.dtype, shape, np.dtype(dtype))
    return pixels


def read_place(path: Path) -> Place | None:
    """Where a file's pixels lie, or None where it does not say.

    Raises:
        PatchError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
        return _place(path, content)
    except FileNotFoundError:
        raise PatchError(f"{path} is missing.") from None
    except OSError as error:
        raise PatchError(f"{path} cannot be read: {error.strerror}.") from error
    except _DAMAGE as error:
        raise PatchError(f"{path} does not say where it lies: its tags are damaged ({error}).") from error


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
    except (rasterio.errors.RasterioError, ValueError) as error:
        raise PatchError(f"{path} cannot be read: {error}.") from error


def _place(path: Path, content: bytes) -> Place | None:
    directory = _directory(content)
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


def _plain_pixels(content: bytes) -> NDArray[np.generic] | None:
    """Pixels of an uncompressed little-endian file in strips; None where the file is of another kind."""
    directory = _directory(content)
    if directory is None or 322 in directory or _value(content, directory, 259, 1) != 1:
        return None
    width, height = _values(content, directory, 256)[0], _values(content, directory, 257)[0]
    bands = _value(content, directory, 277, 1)
    bits, sample_formats = set(_values(content, directory, 258)), {1}
    if 339 in directory:
        sample_formats = set(_values(content, directory, 339))
    kind = _KINDS.get((sample_formats.pop(), bits.pop()))
    if kind is None or bits or sample_formats or 279 not in directory:
        return None
    offsets, counts = _values(content, directory, 273), _values(content, directory, 279)
    size = height * width * bands * np.dtype(kind).itemsize
    # Strips that were never written, or are padded: a general library knows what they mean.
    if 0 in counts or sum(counts) > size:
        return None
    if sum(counts) < size:
        raise IndexError("strips hold less than the image")
    strips = list(zip(offsets, counts, strict=True))
    if max(offset + count for offset, count in strips) > len(content):
        raise IndexError("strips end after the file")
    if all(offset + count == following for (offset, count), (following, _) in pairwise(strips)):
        flat = np.frombuffer(content, kind, height * width * bands, offsets[0])
    else:
        flat = np.frombuffer(b"".join(content[offset : offset + count] for offset, count in strips), kind)
    if bands > 1 and _value(content, directory, 284, 1) == 1:
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


def _value(content: bytes, directory: _Directory, tag: int, default: int) -> int:
    """The first value of a tag that a file may leave out."""
    return int(_values(content, directory, tag)[0]) if tag in directory else default


def _pixels_by_rasterio(path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[np.generic]:
    rasterio = _rasterio(path)
    try:
        with rasterio.open(path) as file:
            # Before the pixels are read, because a damaged size may be one that no memory holds.
            _require(path, (file.count, file.height, file.width), np.dtype(file.dtypes[0]), shape, dtype)
            pixels: NDArray[np.generic] = file.read()
            return pixels
    except (rasterio.errors.RasterioError, ValueError) as error:
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
    except (rasterio.errors.RasterioError, ValueError) as error:
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


def _require(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], wanted_shape: tuple[int, ...], wanted: np.dtype[Any]
) -> None:
    if shape != wanted_shape or dtype != wanted:
        raise PatchError(
            f"{path} has {_by(shape)} values of {dtype}; expected are {_by(wanted_shape)} of {wanted} "
            "(bands × height × width)."
        )


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(str(side) for side in shape)
