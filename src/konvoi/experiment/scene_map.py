"""What a trained network makes of the scene that its samples are pixels of, for the report's map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.data.dataset import Dataset
from konvoi.data.pixels.parts import TEST, TRAIN, PartsMap
from konvoi.data.scene_split import parts_map
from konvoi.data.windows import CubeWindows
from konvoi.evaluation.inference import softmax
from konvoi.experiment.material import Material
from konvoi.predict.dense import dense_logits, runs_window_by_window
from konvoi.run import SceneMap

_MOST_BY_WINDOWS = 30_000
"""Pixels of a scene that a network which must go window by window is asked for without being told to."""


def scene_map(material: Material, test: bool) -> SceneMap | None:
    """The scene with its split, the class of every pixel, and the classes' spectra; None where there is no scene.

    Args:
        material: with the network as it was kept.
        test: whether the test split has been opened; if not, its labels stay out.
    """
    dataset, split, windows = material.dataset, material.split, material.dataset.images
    if dataset.scene is None or not isinstance(windows, CubeWindows):
        return None
    parts = parts_map(
        dataset, {"train": split.train, "validation": split.validation, "test": split.test.indices_for_audit()}
    )
    truth = dataset.scene.ground_truth.astype(np.int16)
    if not test:
        truth[parts == TEST] = -1
    predicted = np.full(truth.shape, -1, dtype=np.int16)
    probability = np.zeros(truth.shape, dtype=np.float32)
    reason = runs_window_by_window(material.network, windows.window)
    if reason is not None and truth.size > _MOST_BY_WINDOWS:
        how = f"not mapped yet, because {reason}; `konvoi predict` maps it window by window"
    else:
        found = dense_logits(material.network, windows.cube, material.bands, windows.window)
        how = found.how
        probabilities = softmax(found.logits.reshape(len(found.logits), -1).T)
        predicted = probabilities.argmax(axis=1).astype(np.int16).reshape(truth.shape)
        probability = probabilities.max(axis=1).reshape(truth.shape)
    spectra, deviations = _class_spectra(dataset, windows, parts)
    return SceneMap(
        colour=in_colour(windows.cube, dataset.scene.colour_bands),
        ground_truth=truth,
        parts=parts,
        predicted=predicted,
        probability=probability,
        how=how,
        spectra=spectra,
        deviations=deviations,
    )


def in_colour(cube: NDArray[np.generic], bands: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Three bands as red, green and blue, `(H, W, 3)`, each stretched between its own 2nd and 98th percentile."""
    chosen = np.asarray(cube[list(bands)], dtype=np.float32)
    low, high = np.nanpercentile(chosen, (2, 98), axis=(1, 2), keepdims=True)
    stretched = (chosen - low) / np.where(high > low, high - low, 1.0)
    shown: NDArray[np.uint8] = np.round(255 * np.clip(np.nan_to_num(stretched), 0, 1)).astype(np.uint8)
    return shown.transpose(1, 2, 0)


def _class_spectra(
    dataset: Dataset, windows: CubeWindows, parts: PartsMap
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    assert dataset.scene is not None
    scale = np.asarray(dataset.bands.scale)
    shape = (len(dataset.class_names), len(dataset.bands))
    spectra, deviations = np.full(shape, np.nan, dtype=np.float32), np.full(shape, np.nan, dtype=np.float32)
    for label in range(len(dataset.class_names)):
        rows, columns = np.nonzero((parts == TRAIN) & (dataset.scene.ground_truth == label))
        if len(rows):
            values = windows.cube[:, rows, columns].astype(np.float64) * scale[:, None]
            spectra[label], deviations[label] = values.mean(axis=1), values.std(axis=1)
    return spectra, deviations
