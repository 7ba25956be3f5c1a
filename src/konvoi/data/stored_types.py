"""The types in which a cube's values are kept: uint8, int16, uint16 and float32, whichever holds them as they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from konvoi.errors import DataError

_KEPT = (np.uint8, np.int16, np.uint16, np.float32)
_VALUES_AT_ONCE = 1 << 22


def in_stored_type(values: NDArray[np.generic], origin: str) -> NDArray[np.generic]:
    """The values in one of the kept types; the same array where it has one.

    Whole numbers become the first of int16 and uint16 that holds them all, others float32, which keeps 24 bits: about
    seven decimal digits.

    Args:
        values: numbers of any type and byte order, in any shape.
        origin: where they come from, for the message.

    Raises:
        DataError: they are no real numbers.
    """
    native = values.dtype.newbyteorder("=")
    if native in _KEPT:
        return values if values.dtype == native and values.dtype.isnative else values.astype(native)
    if native.kind not in "iufb":
        raise DataError(f"{origin} has values of type {values.dtype}; expected are real numbers.")
    return values.astype(_smallest(values), order="K")


def _smallest(values: NDArray[np.generic]) -> type[np.generic]:
    if values.dtype.kind == "b":
        return np.uint8
    lowest, highest = 0.0, 0.0
    for piece in _pieces(values):
        if piece.dtype.kind == "f" and not (np.isfinite(piece).all() and (piece == np.rint(piece)).all()):
            return np.float32
        lowest, highest = min(lowest, float(piece.min())), max(highest, float(piece.max()))
    for kind in (np.int16, np.uint16):
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
            return kind
    return np.float32


def _pieces(values: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """The array along its first axis, a bounded number of values at a time."""
    step = max(1, _VALUES_AT_ONCE * len(values) // max(1, values.size))
    for start in range(0, len(values), step):
        yield values[start : start + step]
