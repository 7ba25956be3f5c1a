"""Dividing in space: whole tiles of the ground go to one part, and a strip between the parts is left out.

Neighbouring patches look alike; where one trains and the other tests, a network scores by having seen the place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.data.dataset import Dataset
from konvoi.data.geography import EARTH_RADIUS, chord_of_arc, on_the_sphere
from konvoi.data.stratify import divide
from konvoi.errors import DataError
from konvoi.recipe.split import Blocks


def ground_tiles(longitude_latitude: NDArray[np.float64], size: float) -> NDArray[np.int64]:
    """The tile in which each point lies, as numbers from 0.

    Tiles are `size` kilometres high and, at the middle of each row, as wide: rows of constant latitude, each divided
    from Greenwich on (the grid of the sinusoidal projection).

    Args:
        longitude_latitude: `(N, 2)` in degrees.
        size: in kilometres.
    """
    longitude, latitude = np.radians(longitude_latitude[:, 0]), np.radians(longitude_latitude[:, 1])
    row = np.floor(EARTH_RADIUS * latitude / size)
    middle = (row + 0.5) * size / EARTH_RADIUS
    column = np.floor(EARTH_RADIUS * np.cos(middle) * longitude / size)
    _, numbers = np.unique(np.stack([row, column], axis=1), axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64)


def divide_in_blocks(
    dataset: Dataset, settings: Blocks, shares: tuple[float, ...], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The part of each sample, stratified over labels as far as whole tiles allow; and which samples are left out.

    Args:
        dataset: with coordinates.
        settings: size of the tiles and width of the buffer.
        shares: of the parts, first to last.
        seed: of the ties.

    Returns:
        `(N,)` numbers of parts; `(N,)` True for samples that are left out, see `too_near`.

    Raises:
        DataError: samples have no coordinates, or there are fewer tiles than parts.
    """
    places = dataset.longitude_latitude
    if places is None or not np.isfinite(places).all():
        found = 0 if places is None else int(np.isfinite(places).all(axis=1).sum())
        raise DataError(
            f"split.blocks needs to know where each sample lies; {found:,} of the {len(dataset):,} of {dataset.name} "
            "have coordinates. Leave split.blocks out, or pack a source whose files have them."
        )
    tiles = ground_tiles(places, settings.size)
    count = int(tiles.max()) + 1
    if count < len(shares):
        raise DataError(
            f"split.blocks.size is {settings.size:g} km, which puts all samples of {dataset.name} into "
            f"{count} tile{'' if count == 1 else 's'}; {len(shares)} parts need at least as many. Use smaller tiles."
        )
    indicators = dataset.labels if dataset.several_labels else np.eye(len(dataset.class_names))[dataset.labels]
    label_counts = np.zeros((count, len(dataset.class_names)), dtype=np.int64)
    np.add.at(label_counts, tiles, indicators.astype(np.int64))
    part_of = divide(label_counts, np.bincount(tiles, minlength=count), shares, seed, "blocks")[tiles]
    return part_of, too_near(places, part_of, settings.buffer)


def too_near(places: NDArray[np.float64], part_of: NDArray[np.int64], buffer: float) -> NDArray[np.bool_]:
    """Which samples to leave out, so that none of those kept is nearer than `buffer` to one of a later part.

    Distances are along the ground from centre to centre, whatever the size of the patches: square patches with sides of
    1.2 km (BigEarthNet's) cannot overlap from 1.7 km on, which is their diagonal. A sample that is left out itself
    costs the earlier parts nothing.

    Args:
        places: `(N, 2)` in degrees.
        part_of: `(N,)` numbers of parts; the last one loses no sample.
        buffer: in kilometres.
    """
    from scipy.spatial import cKDTree

    near = np.zeros(len(places), dtype=bool)
    if buffer == 0:
        return near
    points = on_the_sphere(places)
    for part in reversed(range(int(part_of.max()))):
        own = np.flatnonzero(part_of == part)
        later = np.flatnonzero((part_of > part) & ~near)
        distances, _ = cKDTree(points[later]).query(points[own], distance_upper_bound=chord_of_arc(buffer))
        near[own] = np.isfinite(distances)
    return near
