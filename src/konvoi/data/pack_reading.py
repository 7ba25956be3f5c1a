"""The part of packing that runs in worker processes: from a patch's files to its place in a shard's arrays.

Imports no torch, so that a worker starts quickly.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.patches import Patch, PatchError, PatchSource, Problem
from konvoi.data.statistics import patch_moments

Task = tuple[list[str], int, dict[str, Path]]
"""Names of patches, the first one's row, and the arrays' files by grid."""


@dataclass(frozen=True)
class Row:
    """What the table of patches knows of one patch."""

    name: str
    labels: tuple[str, ...]
    crs: str
    place: tuple[float, float, float, float]
    tile: str
    acquired: str
    aspect: float
    digest: bytes
    moments: NDArray[np.float64]


ReadInto = Callable[[list[Task]], Iterator[list[Row | Problem]]]
"""Reads the patches of each task into the arrays, and returns a row or a problem for each."""


@contextmanager
def reading_pool(source: PatchSource, workers: int) -> Iterator[ReadInto]:
    """A function that reads lists of patches into arrays, in this process or in several."""
    if workers <= 1:
        yield lambda tasks: (read_patches(source, *task) for task in tasks)
        return
    # Not by fork, which copies the threads' locks in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _set_source, (source,)) as pool:
        yield lambda tasks: pool.map(_read_in_worker, tasks)


_worker_source: PatchSource | None = None


def _set_source(source: PatchSource) -> None:
    global _worker_source  # A worker process has one source, given to it once instead of with each task.
    _worker_source = source


def _read_in_worker(task: Task) -> list[Row | Problem]:
    assert _worker_source is not None
    return read_patches(_worker_source, *task)


def read_patches(source: PatchSource, names: list[str], first: int, paths: dict[str, Path]) -> list[Row | Problem]:
    """Read patches into the arrays from row `first` on; a row of the table for each, or what was wrong with it."""
    arrays = {name: np.load(path, mmap_mode="r+") for name, path in paths.items()}
    known = set(source.class_names)
    rows: list[Row | Problem] = []
    for position, name in enumerate(names, start=first):
        try:
            patch = source.read(name)
            unknown = [label for label in patch.labels if label not in known]
            if unknown:
                raise PatchError(f"{name}: the label {unknown[0]!r} is not among the {len(known)} known ones.")
        except PatchError as error:
            rows.append(Problem(name, str(error)))
            continue
        for grid in source.grids:
            arrays[grid.name][position] = patch.arrays[grid.name]
        rows.append(row_of(source, name, patch))
    for array in arrays.values():
        array.flush()
    return rows


def row_of(source: PatchSource, name: str, patch: Patch) -> Row:
    """What the table keeps of a patch."""
    digest = hashlib.blake2b(digest_size=16)
    moments = []
    for grid in source.grids:
        array = np.ascontiguousarray(patch.arrays[grid.name])
        digest.update(array.data)
        moments.append(patch_moments(array, source.bands.no_data))
    place = patch.place
    return Row(
        name=name,
        labels=patch.labels,
        crs=place.crs if place else "",
        place=(place.left, place.top, place.right, place.bottom) if place else (np.nan,) * 4,
        tile=patch.tile,
        acquired=patch.acquired,
        aspect=patch.aspect,
        digest=digest.digest(),
        moments=np.concatenate(moments),
    )
