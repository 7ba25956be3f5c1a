"""Finished rows of probabilities as a cloud-optimised GeoTIFF: tiled, compressed, with overviews, in one step.

Probabilities are float32, because a map of rounded ones could not be compared with the network's scores; they are
compressed with the floating-point predictor. Classes are whole numbers with names and colours.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from konvoi.colours import class_colours
from konvoi.errors import DataError
from konvoi.files import write_aside
from konvoi.predict.georeferenced import CACHE_BYTES, Scene, require_rasterio
from konvoi.predict.unfinished import UnfinishedMap

Output = Literal["probabilities", "class"]

TILE = 256
_COMPRESSION = "DEFLATE"


@dataclass(frozen=True)
class MapFacts:
    """What a map shows.

    Attributes:
        rows, columns: of cells.
        cell: height and width of a cell in the scene's pixels.
        class_names: the K classes.
        thresholds: one a label, where a cell may have several; empty where the classes exclude each other.
        output: `probabilities` or `class`.
        tags: whatever else a reader should know; stands in the file.
    """

    rows: int
    columns: int
    cell: tuple[int, int]
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...]
    output: Output
    tags: Mapping[str, str]


def write_map(out: Path, unfinished: UnfinishedMap, facts: MapFacts, scene: Scene) -> None:
    """Write the GeoTIFF; `out` is as before, or complete.

    Raises:
        DataError: it cannot be written.
    """
    rasterio = require_rasterio()
    tiled = out.with_name(f".{out.name}.part.tif")
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            _write_tiled(tiled, unfinished, facts, scene)
            write_aside(out, lambda aside: _copy_cloud_optimised(tiled, aside, facts))
    except (OSError, rasterio.errors.RasterioError) as error:
        raise DataError(f"{out} cannot be written: {error}. The same command goes on from here.") from error
    finally:
        tiled.unlink(missing_ok=True)


def _write_tiled(path: Path, unfinished: UnfinishedMap, facts: MapFacts, scene: Scene) -> None:
    rasterio = require_rasterio()
    classes = len(facts.class_names)
    single_class = facts.output == "class" and not facts.thresholds
    dtype, no_data = stored_as(facts)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=facts.columns,
        height=facts.rows,
        count=1 if single_class else classes,
        dtype=dtype,
        nodata=no_data,
        crs=scene.crs,
        transform=_coarser(scene.transform, facts.cell),
        tiled=True,
        blockxsize=TILE,
        blockysize=TILE,
        compress=_COMPRESSION,
        interleave="pixel",
        BIGTIFF="IF_SAFER",
    ) as dataset:
        dataset.update_tags(KONVOI_CLASSES=json.dumps(facts.class_names, ensure_ascii=False), **facts.tags)
        if single_class:
            dataset.set_band_description(1, "most probable class")
            dataset.update_tags(1, **{f"CLASS_{number}": name for number, name in enumerate(facts.class_names)})
            if dtype == "uint8":
                colours = {number: (*colour, 255) for number, colour in enumerate(class_colours(classes))}
                dataset.write_colormap(1, {**colours, int(no_data): (0, 0, 0, 0)})
        else:
            for number, name in enumerate(facts.class_names, start=1):
                dataset.set_band_description(number, name)
                if facts.output == "class":
                    dataset.update_tags(number, THRESHOLD=f"{facts.thresholds[number - 1]:.6g}")
        for down, across, probabilities in unfinished.blocks(TILE):
            window = ((down.start, down.stop), (across.start, across.stop))
            dataset.write(decided(probabilities, facts).swapaxes(0, 1), window=window)


def _copy_cloud_optimised(tiled: Path, out: Path, facts: MapFacts) -> None:
    import rasterio.shutil

    floating = facts.output == "probabilities"
    rasterio.shutil.copy(
        str(tiled),
        str(out),
        driver="COG",
        BLOCKSIZE=TILE,
        COMPRESS=_COMPRESSION,
        PREDICTOR="FLOATING_POINT" if floating else "NO",
        OVERVIEW_RESAMPLING="AVERAGE" if floating else "MODE",
        BIGTIFF="IF_SAFER",
    )


def _coarser(transform: Any, cell: tuple[int, int]) -> Any:
    """The affine map of cells of so many pixels from the one of pixels; the first pixel's corner stays."""
    from rasterio import Affine

    down, across = cell
    return Affine(
        transform.a * across, transform.b * down, transform.c, transform.d * across, transform.e * down, transform.f
    )


def stored_as(facts: MapFacts) -> tuple[str, float]:
    """Type and no-data value of the map's bands."""
    if facts.output == "probabilities":
        return "float32", float("nan")
    if facts.thresholds or len(facts.class_names) < 256:
        return "uint8", 255
    return "uint16", 65_535


def decided(probabilities: NDArray[np.float32], facts: MapFacts) -> NDArray[Any]:
    """Probabilities of cells `(n, K, m)` as they stand in the map: `(n, bands, m)`."""
    if facts.output == "probabilities":
        return probabilities
    dtype, no_data = stored_as(facts)
    if facts.thresholds:
        chosen = labels_given(probabilities, facts.thresholds)
    else:
        chosen = np.nan_to_num(probabilities).argmax(axis=1)[:, None]
    return np.where(np.isnan(probabilities[:, :1]), no_data, chosen).astype(dtype)


def labels_given(probabilities: NDArray[np.float32], thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Which labels cells `(n, K, m)` get: those whose probability is above the threshold, as in the scores."""
    above: NDArray[np.bool_] = probabilities.astype(np.float64) > np.asarray(thresholds)[None, :, None]
    return above
