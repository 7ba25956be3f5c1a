"""Small cubes with fields in them, written as .mat files, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

BANDS = 6


def field_map(rows: int = 3, columns: int = 4, size: int = 12, gap: int = 2, classes: int = 3) -> NDArray[np.uint8]:
    """Square fields with unlabelled strips between them, the classes in turn; 0 has no label."""
    step = size + gap
    values = np.zeros((rows * step, columns * step), dtype=np.uint8)
    for row in range(rows):
        for column in range(columns):
            label = (row + column) % classes + 1
            values[row * step : row * step + size, column * step : column * step + size] = label
    return values


def write_cube(folder: Path, values: NDArray[np.uint8], seed: int = 0, noise: float = 0.3) -> None:
    """cube.mat and truth.mat: each class has a spectrum of its own, each field its own shade of it, and noise."""
    stream = np.random.default_rng(seed)
    spectra = stream.normal(size=(int(values.max()) + 1, BANDS))
    cube = 1000 + 100 * (spectra[values] + noise * stream.normal(size=(*values.shape, BANDS)))
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "cube.mat", {"cube": cube.astype(np.int16)})
    savemat(folder / "truth.mat", {"truth": values})


RECIPE = """
name: fields
source: {kind: cube, cube: cube.mat, ground_truth: truth.mat, window: 5}
split: {test: 0.4, validation: 0.25, pixels: {method: blocks, size: 10}}
network: {kind: cnn, blocks: [{maps: 8, kernel: 3, padding: valid, norm: batch}], global_pool: average}
optim: {kind: adamw, lr: 0.01}
budget: {epochs: 2, batch: 64}
compute: {precision: float32}
"""
