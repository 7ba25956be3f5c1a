"""Maps of whole scenes: a raster of any size in, a georeferenced map of classes or probabilities out.

The network sees windows of the size it was trained on, half overlapping by default; a cell of the map is as long as
the way from one window to the next, and takes the weighted mean of all windows that reach it. Read are blocks of
windows, kept are the rows of cells not yet finished, so memory grows with neither the scene's height nor the pixels of
its width: only with the cells of a row. What has been computed survives a kill (`predict.unfinished`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from konvoi.errors import DataError
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.predict.georeferenced import fit_scene, open_raster
from konvoi.predict.maps import TILE, MapFacts, Output, labels_given, write_map
from konvoi.predict.quicklook import overview, write_quicklook
from konvoi.predict.streaming import Classifier, Progress, ScenePixels, finish_rows
from konvoi.predict.unfinished import UnfinishedMap, fingerprint
from konvoi.predict.windows import Axis, stride_for
from konvoi.run import Run
from konvoi.training.precision import choose_device

BLOCK_BYTES = 32 << 20
"""Pixels that are read at once, as float32; a second block is read while the network works on the first."""

_MOST_DECODINGS = 4


@dataclass(frozen=True)
class SceneResult:
    """A finished map.

    Attributes:
        map: the GeoTIFF.
        quicklook: the picture beside it.
        rows, columns: of the map, in cells.
        cell: height and width of a cell in the scene's pixels.
        resumed_rows: rows that an earlier, killed prediction had finished.
        shares: by class, of the cells with data: where it is the most probable, or where the label is given.
        cautions: what could not be checked, or looks odd, in words.
    """

    map: Path
    quicklook: Path
    rows: int
    columns: int
    cell: tuple[int, int]
    resumed_rows: int
    shares: dict[str, float]
    cautions: tuple[str, ...]


def predict_scene(
    run: Run,
    scene: Path,
    out: Path,
    *,
    bands: Sequence[str] | None = None,
    scale: float | None = None,
    overlap: float = 0.5,
    output: Output = "probabilities",
    batch_size: int = 64,
    progress: Progress | None = None,
) -> SceneResult:
    """Map a scene with a trained network, on the GPU where there is one.

    Args:
        run: a finished training.
        scene: any raster that GDAL opens, on one grid of the finest band's ground sampling distance.
        out: the GeoTIFF to write; the quick-look stands beside it as PNG.
        bands: names of the scene's bands in the order in which they lie in the file; by default its band descriptions.
            The network's are picked by name.
        scale: value in the file × scale = value in the units of training; by default what the file says, else the
            scale of the training data.
        overlap: the fraction of a window that it shares with the next, in both directions.
        output: `probabilities` (float32, a band a class) or `class` (the most probable one; where an image may have
            several labels, a band a label, 1 above the threshold that was tuned on validation).
        batch_size: windows that the network sees at once.
        progress: called with finished rows of cells and rows in all.

    Raises:
        DataError: the scene does not fit the network, cannot be read, or the map cannot be written.
        RunError: the training has not come to its end.
    """
    facts = run.facts.data
    if run.recipe.input.crop is not None:
        raise DataError(
            f"{run.folder} was trained on resized crops (input.crop), and the pixels of a scene have a size on the "
            "ground that must not change. Train without input.crop."
        )
    thresholds: tuple[float, ...] = ()
    cautions: tuple[str, ...] = ()
    if facts.several_labels:
        evaluation = run.evaluation
        if evaluation is not None and isinstance(evaluation.validation, SeveralLabelScores):
            thresholds = tuple(label.threshold for label in evaluation.validation.classes)
        else:
            thresholds = (0.5,) * len(facts.class_names)
            cautions = ("The run has not been evaluated, so no thresholds were tuned; 0.5 stands for each.",)
    classifier = Classifier(
        network=run.network().to(choose_device("auto")),
        bands=run.bands,
        window=(facts.image_shape[1], facts.image_shape[2]),
        class_names=facts.class_names,
        thresholds=thresholds,
        name=run.recipe.name,
    )
    result = map_scene(
        classifier,
        scene,
        out,
        bands=bands,
        scale=scale,
        overlap=overlap,
        output=output,
        batch_size=batch_size,
        progress=progress,
    )
    return SceneResult(**{**vars(result), "cautions": (*cautions, *result.cautions)})


def map_scene(
    classifier: Classifier,
    scene: Path,
    out: Path,
    *,
    bands: Sequence[str] | None = None,
    scale: float | None = None,
    overlap: float = 0.5,
    output: Output = "probabilities",
    batch_size: int = 64,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> SceneResult:
    """Map a scene with any network; the arguments are those of `predict_scene`.

    Args:
        block_bytes: how many pixels are read at once, as float32. Neither this nor `batch_size` changes the map
            beyond the rounding of float32.

    Raises:
        DataError: as `predict_scene`.
    """
    _require_writable(scene, out, overlap)
    with open_raster(scene) as dataset:
        fitted = fit_scene(dataset, scene, classifier.bands, bands, scale)
        down = Axis(fitted.height, classifier.window[0], stride_for(classifier.window[0], overlap))
        across = Axis(fitted.width, classifier.window[1], stride_for(classifier.window[1], overlap))
        settings = {
            "bands": classifier.bands.to_json(),
            "window": classifier.window,
            "overlap": overlap,
            "indexes": fitted.indexes,
            "gain": fitted.gain.tolist(),
            "offset": fitted.offset.tolist(),
        }
        unfinished = UnfinishedMap(
            out,
            (down.cells, len(classifier.class_names), across.cells),
            fingerprint(classifier.network, scene, settings),
        )
        resumed = unfinished.rows_done
        side = int((block_bytes / (4 * len(classifier.bands))) ** 0.5)
        in_strips = dataset.block_shapes[0][1] >= fitted.width > _MOST_DECODINGS * max(side, across.window)
        pixels = ScenePixels(dataset, scene, fitted, classifier.bands.fill)
        finish_rows(classifier, pixels, down, across, unfinished, side, batch_size, progress)
    facts = MapFacts(
        rows=down.cells,
        columns=across.cells,
        cell=(down.stride, across.stride),
        class_names=classifier.class_names,
        thresholds=classifier.thresholds,
        output=output,
        tags={
            "KONVOI_NETWORK": classifier.name,
            "KONVOI_BANDS": ",".join(classifier.bands.names),
            "KONVOI_WINDOW": f"{down.window} x {across.window} pixels, overlap {overlap:g}",
        },
    )
    write_map(out, unfinished, facts, fitted)
    quicklook, shares = _look(out, unfinished, facts, scene)
    unfinished.remove()
    return SceneResult(
        map=out,
        quicklook=quicklook,
        rows=down.cells,
        columns=across.cells,
        cell=facts.cell,
        resumed_rows=resumed,
        shares=shares,
        cautions=(*fitted.cautions, *_own_cautions(down, across, unfinished, in_strips)),
    )


def _look(out: Path, unfinished: UnfinishedMap, facts: MapFacts, scene: Path) -> tuple[Path, dict[str, float]]:
    """Write the quick-look, and count the classes' shares."""
    seen = overview(unfinished.blocks(TILE), facts.rows, facts.columns, len(facts.class_names))
    with_data = max(1, int(seen.counts.sum()))
    counts = seen.counts
    if facts.thresholds:
        counts = np.zeros_like(counts)
        for _, _, probabilities in unfinished.blocks(TILE):
            counts += labels_given(probabilities, facts.thresholds).sum(axis=(0, 2))
    quicklook = out.with_suffix(".png")
    down, across = facts.cell
    what = "Most probable label" if facts.thresholds else "Most probable class"
    about = f"{what} in cells of {across} × {down} pixels; shares are of the area with data"
    try:
        write_quicklook(quicklook, seen, facts.class_names, scene.name, about, down / across)
    except OSError as error:
        raise DataError(f"{quicklook} cannot be written: {error.strerror or error}. {out} is complete.") from error
    return quicklook, {
        name: float(count / with_data) for name, count in zip(facts.class_names, counts.tolist(), strict=True)
    }


def _require_writable(scene: Path, out: Path, overlap: float) -> None:
    if not 0 <= overlap < 1:
        raise DataError(f"The overlap is a fraction of a window, from 0 to less than 1, and not {overlap:g}.")
    if out.suffix.lower() not in {".tif", ".tiff"}:
        raise DataError(f"A scene's map is a GeoTIFF: --out must end with .tif, and not {out.name}.")
    if not out.parent.is_dir():
        raise DataError(f"There is no folder {out.parent} to write the map into.")
    if out.exists() and scene.exists() and out.samefile(scene):
        raise DataError(f"--out is the scene itself, {scene}. Name another file.")


def _own_cautions(down: Axis, across: Axis, unfinished: UnfinishedMap, in_strips: bool) -> list[str]:
    cautions = []
    if down.length < down.window or across.length < across.window:
        cautions.append(
            f"The scene of {down.length} × {across.length} pixels is smaller than the {down.window} × {across.window} "
            "that the network was trained on; it was continued by reflection."
        )
    if unfinished.replaced_another:
        cautions.append(
            "Beside the map lay an unfinished one of other weights, another scene or other settings; it was begun anew."
        )
    if in_strips:
        cautions.append(
            f"The scene is stored in strips of all its {across.length} columns, each of which was decoded many times. "
            "A tiled copy is read faster: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE SCENE COPY"
        )
    return cautions
