"""Arrays in MATLAB's .mat files: version 5 (and 4) through scipy, version 7.3, which is HDF5, through h5py."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from konvoi.errors import DataError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512
"""Bytes of text that MATLAB puts before the HDF5 of a file of version 7.3."""

Shapes = dict[str, tuple[int, ...]]
_Result = TypeVar("_Result")


def array_shapes(path: Path) -> Shapes:
    """The shapes of a file's numeric arrays, as MATLAB shows them, by name.

    Raises:
        DataError: the file is missing, damaged, or of version 7.3 where h5py is not installed.
    """
    if _is_hdf5(path):
        with _open_hdf5(path) as file:
            return {
                str(name): tuple(reversed(entry.shape))
                for name, entry in file.items()
                if hasattr(entry, "shape") and entry.dtype.kind in "iufb" and not name.startswith("#")
            }
    from scipy.io import whosmat

    kinds = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
    shapes: list[tuple[str, tuple[int, ...], str]] = _reading(path, lambda: whosmat(str(path)))
    return {name: tuple(shape) for name, shape, kind in shapes if kind in kinds}


def read_array(path: Path, name: str) -> NDArray[np.generic]:
    """One array of a file, with its axes as MATLAB shows them.

    Raises:
        DataError: as for `array_shapes`.
    """
    if _is_hdf5(path):
        with _open_hdf5(path) as file:
            # MATLAB counts the first axis fastest, HDF5 the last.
            stored: NDArray[np.generic] = _reading(path, lambda: file[name][()])
            return stored.T
    from scipy.io import loadmat

    array: NDArray[np.generic] = _reading(path, lambda: loadmat(str(path), variable_names=[name])[name])
    return array


def choose_array(path: Path, named: str | None, can_be: Callable[[tuple[int, ...]], bool], what: str, key: str) -> str:
    """The name of the one array that can be what is looked for.

    Args:
        path: the file.
        named: the array that the recipe names, or None.
        can_be: whether an array of this shape can be it.
        what: for messages, for example "a cube: three axes".
        key: where the recipe names the array.

    Raises:
        DataError: there is no such array, or several and none is named.
    """
    shapes = array_shapes(path)
    listing = ", ".join(f"{name} ({' × '.join(map(str, shape))})" for name, shape in shapes.items()) or "no arrays"
    if named is not None:
        if named not in shapes:
            raise DataError(f"{path} has no array {named!r}: it has {listing}. Correct {key}.")
        return named
    candidates = [name for name, shape in shapes.items() if can_be(shape)]
    if not candidates:
        raise DataError(f"{path} has {listing}; none of them can be {what}. Name another file.")
    if len(candidates) > 1:
        raise DataError(
            f"{path} has {len(candidates)} arrays that can be {what}: {', '.join(candidates)} (of {listing}). Name one "
            f"with {key}."
        )
    return candidates[0]


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(_USER_BLOCK + len(_HDF5))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Name the file as it is, or its folder with --data-dir.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return start.startswith(_HDF5) or start[_USER_BLOCK:] == _HDF5


def _open_hdf5(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise DataError(
            f"{path} is of MATLAB's version 7.3, which needs h5py. Install it: pip install 'konvoi[cubes]'; or save "
            "the file again in MATLAB with -v7."
        ) from None
    return _reading(path, lambda: h5py.File(path, "r"))


def _reading(path: Path, read: Callable[[], _Result]) -> _Result:
    from scipy.io.matlab import MatReadError

    try:
        return read()
    except (
        MatReadError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        EOFError,
        zlib.error,
        MemoryError,
    ) as error:
        raise DataError(
            f"{path} is damaged or no .mat file ({error or type(error).__name__}). Copy it again."
        ) from error
