"""What a look at a cube's file finds before any recipe is written: bands, classes with their pixels, and problems."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from konvoi.data.cube import Cube, Examination, examine, require_size
from konvoi.data.known_scenes import KnownScene, scene_of_file
from konvoi.data.locations import find_in
from konvoi.data.sources.cube_file import read_cube
from konvoi.data.sources.cube_matlab import axes_by_size
from konvoi.data.sources.ground_truth import GroundTruth, is_polygons, rasterised, read_ground_truth


@dataclass(frozen=True)
class CubeFindings:
    """A cube, and what was found.

    Attributes:
        cube: with all bands.
        examination: of all its values.
        known: the well-known scene whose files these are by name and size, or None.
        truth: the ground truth, or None where none is named or lies beside the scene.
        classes: value, name and pixels of each value of the ground truth, 0 included.
    """

    cube: Cube
    examination: Examination
    known: KnownScene | None
    truth: GroundTruth | None
    classes: tuple[tuple[int, str, int], ...]


def look_at_cube(path: Path, ground_truth: Path | None = None) -> CubeFindings:
    """Read a cube and, where there is one, its ground truth.

    Args:
        path: of the cube.
        ground_truth: its file; by default the one beside a well-known scene.

    Raises:
        DataError: a file cannot be read, or the two are not of one scene.
    """
    known = scene_of_file(path)
    if ground_truth is None and known is not None:
        ground_truth = find_in(path.parent, [known.ground_truth_file])
    truth = None if ground_truth is None or is_polygons(ground_truth) else read_ground_truth(ground_truth)
    axes = None if truth is None or path.suffix.lower() != ".mat" else axes_by_size(path, None, truth.size)
    cube = read_cube(path, axes=axes)
    if axes not in (None, "rows-columns-bands"):
        cube = replace(cube, remarks=(*cube.remarks, f"the axes are in another order than usual: source.axes={axes}"))
    if ground_truth is not None and is_polygons(ground_truth):
        truth = rasterised(ground_truth, None, cube)
    if known is not None and (known.size != cube.size or known.band_numbers(len(cube.bands)) is None):
        known = None
    if truth is None:
        return CubeFindings(cube, examine(cube), known, None, ())
    require_size(cube, truth.size, truth.origin)
    values, counts = np.unique(truth.values, return_counts=True)
    names = {0: "without a label", **truth.names}
    if known is not None:
        names |= {value: name for value, (name, _) in known.classes.items()}
    classes = tuple(
        (value, names.get(value, f"class {value}"), count)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
    )
    return CubeFindings(cube, examine(cube), known, truth, classes)
