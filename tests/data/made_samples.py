"""Samples with several labels and places, and distances by a formula of its own."""

from __future__ import annotations

import numpy as np

from konvoi.data.bands import GREY
from konvoi.data.dataset import Dataset
from konvoi.data.split import Split


def several(samples: int, labels: int = 6, seed: int = 0, places: bool = True) -> Dataset:
    """Samples in a few clusters, with labels from frequent to rare that depend on the cluster."""
    stream = np.random.default_rng(seed)
    cluster = stream.integers(0, 5, samples)
    frequency = np.geomspace(0.6, 0.02, labels)
    truth = (stream.random((samples, labels)) < frequency * (0.5 + cluster[:, None] / 4)).astype(np.uint8)
    truth[np.arange(samples), stream.integers(0, labels, samples)] = 1
    centres = stream.uniform([-9, 37], [30, 66], (5, 2))
    where = centres[cluster] + stream.uniform(-0.3, 0.3, (samples, 2))
    return Dataset(
        "several", np.zeros((samples, 1, 1, 1), np.uint8), truth, tuple("abcdefghij"[:labels]), GREY, None, "a test",
        sample_names=[f"patch {number}" for number in range(samples)],
        longitude_latitude=where if places else None,
        tiles=[f"T{number}" for number in cluster],
    )  # fmt: skip


def parts_of(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test.indices_for_audit()]


def kilometres(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Great-circle distances by the haversine formula, each to each."""
    (east, north), (east2, north2) = np.radians(one).T[:, :, None], np.radians(other).T[:, None, :]
    a = np.sin((north - north2) / 2) ** 2 + np.cos(north) * np.cos(north2) * np.sin((east - east2) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(a))
