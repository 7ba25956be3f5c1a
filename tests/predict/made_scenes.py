"""Scenes and networks with known answers, and the map computed pixel by pixel with nothing but NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from konvoi.data.bands import Bands
from konvoi.data.sensors import sentinel2
from konvoi.predict.streaming import Classifier

RGB10 = ("B02", "B03", "B04")
LEFT, TOP = 399_960.0, 5_600_040.0


class LinearNetwork(nn.Module):
    """Logits are weighted sums of all values of a window, so each pixel's place matters."""

    def __init__(self, channels: int, height: int, width: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weights = (
            torch.randn(classes, channels, height, width, generator=generator) / (channels * height * width) ** 0.5
        )
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training, "a network that predicts must be in evaluation mode"
        return torch.einsum("kchw,nchw->nk", self.weights, images)


def fitted_bands(names: tuple[str, ...] = RGB10, mean: float = 0.1, deviation: float = 0.05, **changes: Any) -> Bands:
    bands = sentinel2(names, **changes)
    stored = np.full(len(names), 1e4)
    return bands.fitted("standard", mean * stored, deviation * stored)


def linear_classifier(window: tuple[int, int] = (8, 6), several: bool = False, **changes: Any) -> Classifier:
    classes = ("water", "forest", "town")
    facts: dict[str, Any] = {
        "network": LinearNetwork(3, *window, len(classes)).train(),
        "bands": fitted_bands(),
        "window": window,
        "class_names": classes,
        "thresholds": (0.3, 0.5, 0.7) if several else (),
        "name": "tests",
    }
    return Classifier(**(facts | changes))


def reflectances(height: int, width: int, bands: int = 3, seed: int = 0) -> NDArray[np.uint16]:
    """Stored values around a reflectance of 0.1, never 0."""
    return np.random.default_rng(seed).integers(1, 2000, (bands, height, width)).astype(np.uint16)


def write_scene(path: Path, values: NDArray[Any], names: tuple[str, ...] | None = RGB10, **options: Any) -> Path:
    """A GeoTIFF in UTM zone 33 with pixels of 10 m."""
    scales, offsets = options.pop("scales", None), options.pop("offsets", None)
    settings = {
        "driver": "GTiff",
        "count": values.shape[0],
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype,
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(10, 0, LEFT, 0, -10, TOP),
    }
    with rasterio.open(path, "w", **(settings | options)) as dataset:
        dataset.write(values)
        if names is not None:
            dataset.descriptions = names
        if scales is not None:
            dataset.scales, dataset.offsets = scales, offsets or (0.0,) * values.shape[0]
    return path


def brute_force_map(
    classifier: Classifier,
    stored: NDArray[Any],
    stride: tuple[int, int],
    missing: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """`(K, rows, columns)`: pixel by pixel, window by window, in float64 and without Konvoi's code."""
    height, width = stored.shape[1:]
    window = classifier.window
    weights = classifier.network.weights.detach().double().numpy()
    bands = classifier.bands
    missing = np.zeros(stored.shape, dtype=bool) if missing is None else missing
    units = np.where(missing, np.array(bands.mean)[:, None, None], stored * np.array(bands.scale)[:, None, None])
    images = (units - np.array(bands.mean)[:, None, None]) / np.array(bands.deviation)[:, None, None]
    valid = ~missing.all(axis=0)

    def starts(length: int, size: int, step: int) -> list[int]:
        last = max(0, length - size)
        return sorted({*range(0, last + 1, step), last})

    tops, lefts = starts(height, window[0], stride[0]), starts(width, window[1], stride[1])
    rows, columns = -(-height // stride[0]), -(-width // stride[1])
    sums, total = np.zeros((len(weights), rows, columns)), np.zeros((rows, columns))
    seen = np.zeros((rows, columns), dtype=bool)
    images = np.pad(images, ((0, 0), (0, max(0, window[0] - height)), (0, max(0, window[1] - width))), mode="reflect")
    for top in tops:
        for left in lefts:
            logits = (weights * images[None, :, top : top + window[0], left : left + window[1]]).sum(axis=(1, 2, 3))
            if classifier.thresholds:
                probabilities = 1 / (1 + np.exp(-logits))
            else:
                probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            share = valid[top : top + window[0], left : left + window[1]].sum() / (window[0] * window[1])
            for y in range(top, min(top + window[0], height)):
                for x in range(left, min(left + window[1], width)):
                    down = (1 - np.cos(2 * np.pi * (y - top + 0.5) / window[0])) / 2
                    across = (1 - np.cos(2 * np.pi * (x - left + 0.5) / window[1])) / 2
                    weight = down * across * share
                    sums[:, y // stride[0], x // stride[1]] += weight * probabilities
                    total[y // stride[0], x // stride[1]] += weight
                    seen[y // stride[0], x // stride[1]] |= bool(valid[y, x])
    return np.where(seen, sums / np.where(total > 0, total, 1), np.nan)
