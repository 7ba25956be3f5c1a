"""The windows of a scene through a network, block by block, into finished rows of cells.

While the network works on one block, the next is read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from konvoi.data.bands import Bands
from konvoi.errors import DataError
from konvoi.evaluation.inference import predict_logits, sigmoid, softmax
from konvoi.predict.blending import Blend
from konvoi.predict.georeferenced import Scene, read_block
from konvoi.predict.unfinished import UnfinishedMap
from konvoi.predict.windows import Axis

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Classifier:
    """A network and what it takes and gives.

    Attributes:
        network: from `(N, C, H, W)` float32, normalised, to logits `(N, K)`; on any device.
        bands: fitted on the training split.
        window: height and width that it was trained on.
        class_names: the K classes.
        thresholds: one a label, where an image may have several; empty where classes exclude each other.
        name: for the map's tags.
    """

    network: nn.Module
    bands: Bands
    window: tuple[int, int]
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    name: str = ""


class ScenePixels:
    """The pixels of an open scene, as a network takes them."""

    def __init__(self, dataset: Any, path: Path, scene: Scene, fill: Sequence[float]) -> None:
        self._dataset = dataset
        self._path = path
        self._scene = scene
        self._fill = fill

    def read(self, rows: slice, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stored values `(C, h, w)`, and which pixels are valid, `(h, w)`; see `read_block`."""
        return read_block(self._dataset, self._path, self._scene, self._fill, rows, columns)


def finish_rows(
    classifier: Classifier,
    pixels: ScenePixels,
    down: Axis,
    across: Axis,
    unfinished: UnfinishedMap,
    side: int,
    batch_size: int,
    progress: Progress | None,
) -> None:
    """Predict all windows that reach an unfinished row of cells, and finish the rows from the top.

    Args:
        classifier: the network.
        pixels: of the scene.
        down, across: its windows and cells.
        unfinished: where finished rows go.
        side: of a block, in pixels.
        batch_size: windows that the network sees at once.
        progress: called with finished rows and rows in all.

    Raises:
        DataError: the scene is damaged, or the disk is full.
    """
    strips = [strip for strip in down.blocks(side) if strip[1].stop > unfinished.rows_done * down.stride]
    groups = list(across.blocks(side))
    blend = Blend(down, across, len(classifier.class_names), unfinished.rows_done)
    if progress:
        progress(unfinished.rows_done, down.cells)
    places = [(rows, columns) for _, rows in strips for _, columns in groups]
    with closing(_read_ahead(pixels, places)) as blocks:
        for number, (tops, _) in enumerate(strips):
            for lefts, _ in groups:
                values, valid = next(blocks)
                probabilities, shares = _predict_block(classifier, values, valid, tops, lefts, batch_size)
                blend.add(tops, lefts, probabilities, shares, valid)
            last = number + 1 == len(strips)
            finished = down.cells if last else down.finished(int(strips[number + 1][0][0]))
            if finished > blend.first_row:
                _keep(unfinished, blend.take(finished - blend.first_row), down.cells)
                if progress:
                    progress(finished, down.cells)


def _keep(unfinished: UnfinishedMap, rows: NDArray[np.float32], rows_in_all: int) -> None:
    try:
        unfinished.append(rows)
    except OSError as error:
        raise DataError(
            f"The map's finished rows cannot be kept: {error.strerror or error}. {unfinished.rows_done} of "
            f"{rows_in_all} rows are safe; the same command goes on from there."
        ) from error


def _read_ahead(
    pixels: ScenePixels, places: Sequence[tuple[slice, slice]]
) -> Generator[tuple[NDArray[np.float32], NDArray[np.bool_]], None, None]:
    """The blocks in turn, the next one read while the last is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="konvoi-scene") as thread:
        ahead = thread.submit(pixels.read, *places[0]) if places else None
        for following in [*places[1:], None]:
            if ahead is None:
                return
            block = ahead.result()
            ahead = thread.submit(pixels.read, *following) if following is not None else None
            yield block


def _predict_block(
    classifier: Classifier,
    values: NDArray[Any],
    valid: NDArray[np.bool_],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    batch_size: int,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Probabilities of a block's windows `(n, m, K)`, and their shares of valid pixels `(n, m)`.

    Windows that reach past the scene's end are continued by reflection; windows without any valid pixel are skipped.
    """
    height, width = classifier.window
    lacking = (max(0, height - values.shape[1]), max(0, width - values.shape[2]))
    if any(lacking):
        values = np.pad(values, ((0, 0), (0, lacking[0]), (0, lacking[1])), mode="reflect")
    corners = [(int(top - tops[0]), int(left - lefts[0])) for top in tops for left in lefts]
    shares = np.array(
        [valid[top : top + height, left : left + width].sum() / (height * width) for top, left in corners]
    )
    seen = np.flatnonzero(shares)
    probabilities = np.zeros((len(corners), len(classifier.class_names)), dtype=np.float32)
    to_probabilities = sigmoid if classifier.thresholds else softmax
    for start in range(0, len(seen), batch_size):
        batch = seen[start : start + batch_size]
        windows = np.stack(
            [
                values[:, top : top + height, left : left + width]
                for top, left in (corners[position] for position in batch)
            ]
        )
        logits = predict_logits(classifier.network, windows, classifier.bands, batch_size=batch_size)
        probabilities[batch] = to_probabilities(logits)
    shape = (len(tops), len(lefts))
    return probabilities.reshape(*shape, -1), shares.reshape(shape)
