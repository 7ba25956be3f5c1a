"""Writing a band as BigEarthNet's files are: little-endian TIFF, uncompressed, strips of about 8 KB, UTM keys.

Written by hand (TIFF 6.0, Adobe 1992; OGC GeoTIFF 1.1), because one write of a ready byte string is many times faster
than a general library, and because tags and their order are to be those of the real files. Only the tag Software is
added, which says that the file is synthetic.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MARK = "synthetic, made by Konvoi"
"""What the tag Software says."""

_SHORT, _LONG, _DOUBLE, _ASCII = 3, 4, 12, 2
_STRIP_BYTES = 8192


def geotiff_bytes(
    pixels: NDArray[np.uint16] | NDArray[np.float32], left: float, top: float, metres: float, zone: int, version: int
) -> bytes:
    """The file of one band.

    Args:
        pixels: `(height, width)`, uint16 or float32.
        left, top: outer corner of the pixels in metres of the UTM zone (north).
        metres: the side of a pixel.
        zone: of UTM on WGS 84, northern half: EPSG 32600 + zone.
        version: of BigEarthNet. In version 2 the files name 0 as the value without data.
    """
    height, width = pixels.shape
    head, corner = _head(height, width, pixels.dtype.str, float(metres), zone, version)
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    return head[:corner] + struct.pack("<2d", left, top) + head[corner + 16 :] + little.tobytes()


@lru_cache(maxsize=256)
def _head(height: int, width: int, dtype: str, metres: float, zone: int, version: int) -> tuple[bytes, int]:
    """All bytes before the pixels, and where in them the corner's two coordinates stand."""
    item = np.dtype(dtype).itemsize
    rows = min(height, _STRIP_BYTES // (width * item))
    sizes = [min(rows, height - first) * width * item for first in range(0, height, rows)]
    citation = f"WGS 84 / UTM zone {zone}N|"
    names = f"{citation}WGS 84|\0"
    # Keys: model type, raster type, citation, geographic citation, angular units, projected system, linear units.
    keys = (
        1, 1, 0, 7, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, 34737, len(citation), 0, 2049, 34737, 7, len(citation),
        2054, 0, 1, 9102, 3072, 0, 1, 32600 + zone, 3076, 0, 1, 9001,
    )  # fmt: skip
    tags: list[tuple[int, int, tuple[float, ...] | str]] = [
        (256, _SHORT, (width,)),
        (257, _SHORT, (height,)),
        (258, _SHORT, (8 * item,)),
        (259, _SHORT, (1,)),
        (262, _SHORT, (1,)),
        (273, _LONG, (0,) * len(sizes)),
        (277, _SHORT, (1,)),
        (278, _SHORT, (rows,)),
        (279, _LONG if version == 1 or len(sizes) == 1 else _SHORT, tuple(sizes)),
        (284, _SHORT, (1,)),
        (305, _ASCII, MARK + "\0"),
        (339, _SHORT, (3 if np.dtype(dtype).kind == "f" else 1,)),
        (33550, _DOUBLE, (metres, metres, 0.0)),
        (33922, _DOUBLE, (0.0,) * 6),
        (34735, _SHORT, keys),
        (34737, _ASCII, names),
    ]
    if version == 2:
        tags.append((42113, _ASCII, "0\0"))
    end_of_directory = 8 + 2 + 12 * len(tags) + 4
    values: dict[int, bytes] = {code: _packed(kind, value) for code, kind, value in tags}
    offsets, position = {}, end_of_directory
    for code, packed in values.items():
        if len(packed) > 4:
            offsets[code] = position
            position += len(packed) + len(packed) % 2
    strip_starts = position + np.concatenate([[0], np.cumsum(sizes[:-1])])
    values[273] = _packed(_LONG, tuple(int(start) for start in strip_starts))
    directory, heap = struct.pack("<2sHIH", b"II", 42, 8, len(tags)), b""
    for code, kind, value in tags:
        packed = values[code]
        directory += struct.pack("<HHI", code, kind, len(value))
        directory += struct.pack("<I", offsets[code]) if code in offsets else packed.ljust(4, b"\0")
        if code in offsets:
            heap += packed + b"\0" * (len(packed) % 2)
    corner = offsets[33922] + 3 * 8
    return directory + struct.pack("<I", 0) + heap, corner


def _packed(kind: int, value: tuple[float, ...] | str) -> bytes:
    if isinstance(value, str):
        return value.encode("ascii")
    return struct.pack(f"<{len(value)}{ {_SHORT: 'H', _LONG: 'I', _DOUBLE: 'd'}[kind] }", *value)
