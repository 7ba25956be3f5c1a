"""A hyperspectral scene as a data set: its labelled pixels are the samples, each with the window around it.

Every labelled pixel is a sample, those at the border included. Cubes are read in `sources.cube_file`, ground truths in
`sources.ground_truth`; what is known of well-known scenes is in `data.known_scenes`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.band_lists import as_ranges, in_short, positions_to_drop
from konvoi.data.cube import Cube, examine, require_size
from konvoi.data.dataset import Dataset
from konvoi.data.known_scenes import KNOWN_SCENES, SCENES_PAGE, KnownScene
from konvoi.data.locations import find_files
from konvoi.data.scene import Scene, colour_bands
from konvoi.data.sources.cube_file import read_cube
from konvoi.data.sources.cube_matlab import require_axes
from konvoi.data.sources.ground_truth import GroundTruth, is_polygons, rasterised, read_ground_truth
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError
from konvoi.recipe.source import CubeSource

_SHOWN = 20


def read_cube_source(source: CubeSource, data_dir: Path | None = None) -> Dataset:
    """The labelled pixels of a scene, in row-major order.

    Returns:
        Images `(N, C, w, w)`, views into the cube, N labelled pixels; with a `scene`.

    Raises:
        DataError: files are missing, damaged, do not fit each other, or are not the scene the recipe names.
    """
    known = KNOWN_SCENES[source.scene] if source.scene is not None else None
    cube_path, truth_path = _paths(source, known, data_dir)
    if is_polygons(truth_path):
        cube = read_cube(cube_path, source.cube_variable, source.axes)
        truth = rasterised(truth_path, source.ground_truth_variable, cube)
    else:
        truth = read_ground_truth(truth_path, source.ground_truth_variable)
        if known is not None:
            _require_scene_size(known, truth)
        if cube_path.suffix.lower() == ".mat":
            require_axes(cube_path, source.cube_variable, source.axes or "rows-columns-bands", truth.size)
        cube = read_cube(cube_path, source.cube_variable, source.axes)
    require_size(cube, truth.size, truth.origin)
    if known is not None:
        _require_scene_bands(known, cube)
    labels, class_names = _labels(source, known, truth)
    bad = cube.bad_bands
    cube = _without_dropped_bands(source, known, cube)
    found = examine(cube)
    remarks = [*cube.remarks, *truth.remarks]
    if absent := [
        name for value, name in truth.names.items() if value not in source.unlabelled and value not in truth.values
    ]:
        remarks.append(f"{len(absent)} classes that {truth_path.name} names without a pixel: {', '.join(absent)}")
    if bad:
        remarks.append(f"{len(bad)} bands that {cube_path.name} marks as bad are left out: {in_short(bad)}")
    if found.constant:
        if source.constant_bands == "refuse":
            raise DataError(
                f"{cube.origin}: {len(found.constant)} of {len(cube.bands)} bands have one value everywhere, or none: "
                f"{in_short(found.constant)}. Add them to source.drop_bands, or set source.constant_bands to drop or "
                "keep."
            )
        if source.constant_bands == "drop":
            cube = cube.with_bands([name for name in cube.bands.names if name not in found.constant])
        done = "are left out" if source.constant_bands == "drop" else "are kept"
        remarks.append(
            f"{len(found.constant)} bands with one value everywhere, or none, {done}: {in_short(found.constant)}"
        )
    if found.gaps is not None:
        missing = found.gaps & (labels >= 0)
        labels = np.where(found.gaps, -1, labels)
        remarks.append(
            f"{int(missing.sum()):,} labelled pixels: without a value in some band; around others, the training mean "
            "stands for missing values"
        )
        _require_every_class(labels, class_names, f"{cube.origin}, without pixels that lack values")
    name = known.title if known is not None else f"{cube_path.stem}{' (synthetic)' if cube.caution else ''}"
    pixels = np.argwhere(labels >= 0).astype(np.int64)
    return Dataset(
        name=name,
        images=CubeWindows(cube.values, pixels, source.window, cube.bands.no_data),
        labels=labels[pixels[:, 0], pixels[:, 1]],
        class_names=class_names,
        bands=cube.bands,
        given_test=None,
        origin=f"{cube.origin}, {truth.origin}",
        excluded=tuple(remarks),
        caution=cube.caution,
        sample_names=tuple(f"row {row}, column {column}" for row, column in pixels.tolist()),
        known_fingerprint=hashlib.sha256(
            f"{found.fingerprint} {cube.bands.names}".encode() + pixels.tobytes()
        ).hexdigest(),
        scene=Scene(
            name=name,
            ground_truth=labels,
            class_names=class_names,
            colour_bands=cube.colour_bands or colour_bands(cube.bands),
            crs=cube.crs,
            transform=cube.transform,
        ),
    )


# ---- files ---------------------------------------------------------------------------------------------------


def _paths(source: CubeSource, known: KnownScene | None, data_dir: Path | None) -> tuple[Path, Path]:
    cube = None if source.cube is None else _named(source.cube, "source.cube", data_dir)
    truth = None if source.ground_truth is None else _named(source.ground_truth, "source.ground_truth", data_dir)
    if known is not None and cube is None and truth is None:
        cube, truth = _found(known, [known.cube_files, (known.ground_truth_file,)], data_dir)
    elif known is not None:
        (cube,) = _found(known, [known.cube_files], data_dir) if cube is None else (cube,)
        (truth,) = _found(known, [(known.ground_truth_file,)], data_dir) if truth is None else (truth,)
    assert cube is not None
    assert truth is not None
    return cube, truth


def _found(known: KnownScene, files: list[tuple[str, ...]], data_dir: Path | None) -> tuple[Path, ...]:
    try:
        return find_files(known.name, files, data_dir)
    except DataError as error:
        raise DataError(f"{error}\n{known.title} is published at {SCENES_PAGE}.") from None


def _named(name: str, key: str, data_dir: Path | None) -> Path:
    path = Path(name).expanduser()
    if data_dir is None:
        return path
    if path.is_absolute():
        raise DataError(f"{key} is {path} and the command line has --data-dir {data_dir}. Leave one of the two out.")
    return data_dir.expanduser() / path


# ---- labels --------------------------------------------------------------------------------------------------


def _labels(
    source: CubeSource, known: KnownScene | None, truth: GroundTruth
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The map with 0 … K-1 and -1, and the names of the K classes; their order is that of the file's values."""
    values, counts = np.unique(truth.values[~np.isin(truth.values, source.unlabelled)], return_counts=True)
    without = ", ".join(map(str, source.unlabelled)) or "none"
    found = ", ".join(f"{value} ({count:,})" for value, count in zip(values[:_SHOWN], counts, strict=False))
    if not len(values):
        raise DataError(f"{truth.origin} labels no pixel: all values are among those without a label ({without}).")
    if values[0] < 0:
        raise DataError(
            f"{truth.origin} has negative values: {found}. If they mark pixels without a label, name them in "
            "source.unlabelled."
        )
    if len(values) > 1000:
        raise DataError(f"{truth.origin} has {len(values):,} different values: it is a picture, and no map of classes.")
    if known is not None:
        _require_scene_classes(known, truth, dict(zip(values.tolist(), counts.tolist(), strict=True)))
        names = tuple(name for name, _ in known.classes.values())
    elif truth.names:
        names = tuple(truth.names.get(value, f"class {value}") for value in values.tolist())
    else:
        names = tuple(f"class {value}" for value in values.tolist())
    if source.classes is not None:
        if len(source.classes) != len(values):
            raise DataError(
                f"source.classes has {len(source.classes)} names, and {truth.origin} {len(values)} values (pixels): "
                f"{found}; without a label: {without}. Name each of them, in this order."
            )
        names = source.classes
    labels = np.full(truth.size, -1, dtype=np.int64)
    labelled = np.isin(truth.values, values)
    labels[labelled] = np.searchsorted(values, truth.values[labelled])
    return labels, names


def _require_every_class(labels: NDArray[np.int64], class_names: tuple[str, ...], where: str) -> None:
    counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if empty:
        raise DataError(f"{where}: no pixel is left of {', '.join(empty)}. Drop the bands that lack values.")


# ---- bands ---------------------------------------------------------------------------------------------------


def _without_dropped_bands(source: CubeSource, known: KnownScene | None, cube: Cube) -> Cube:
    water = None if known is None else [f"b{number}" for number in known.water_absorption]
    dropped = positions_to_drop(source.drop_bands, cube.bands.names, water)
    kept = [
        name for position, name in enumerate(cube.bands.names) if position not in dropped and name not in cube.bad_bands
    ]
    if not kept:
        raise DataError(f"{cube.origin}: all bands are dropped by source.drop_bands or marked as bad in the header.")
    return cube.with_bands(kept)


# ---- well-known scenes ---------------------------------------------------------------------------------------


def _require_scene_size(known: KnownScene, truth: GroundTruth) -> None:
    if truth.size != known.size:
        raise DataError(
            f"{truth.origin} has {truth.size[0]} × {truth.size[1]} pixels, and {known.title} {known.size[0]} × "
            f"{known.size[1]} (rows × columns). Name the file of this scene, or leave source.scene out."
        )


def _require_scene_bands(known: KnownScene, cube: Cube) -> None:
    bands = cube.values.shape[0]
    if known.band_numbers(bands) is None:
        corrected = known.bands - len(known.water_absorption)
        expected = (
            str(known.bands) if corrected == known.bands else f"{known.bands}, or {corrected} without water vapour's"
        )
        raise DataError(
            f"{cube.origin} has {bands} bands, and {known.title} {expected}. Name the file of this "
            "scene, or leave source.scene out."
        )


def _require_scene_classes(known: KnownScene, truth: GroundTruth, counts: dict[int, int]) -> None:
    if set(counts) != set(known.classes):
        raise DataError(
            f"{truth.origin} has the classes {as_ranges(list(counts))}, and {known.title} "
            f"{as_ranges(list(known.classes))}. Name the file of this scene, or leave source.scene out."
        )
    for value, (name, expected) in known.classes.items():
        if expected is not None and counts[value] != expected:
            raise DataError(
                f"{truth.origin} has {counts[value]:,} pixels of class {value} ({name}), and {known.title} as "
                f"published {expected:,}. Name the published file, or leave source.scene out."
            )
