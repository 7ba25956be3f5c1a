"""What a split looks like from outside: samples a class, and images that stand in two parts.

The audit compares and counts; no network sees what it reads.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from konvoi.data.cropped import CroppedImages
from konvoi.data.dataset import Dataset
from konvoi.data.split import Indices, Split
from konvoi.data.windows import CubeWindows


def class_counts(dataset: Dataset, split: Split) -> dict[str, tuple[int, ...]]:
    """Samples of each class, or with each label, in train, validation and test."""
    counts = {}
    for part, indices in _parts(split).items():
        labels = dataset.labels[indices]
        if dataset.several_labels:
            found = labels.sum(axis=0, dtype=np.int64)
        else:
            found = np.bincount(labels, minlength=len(dataset.class_names))
        counts[part] = tuple(int(count) for count in found)
    return counts


def duplicate_counts(dataset: Dataset, split: Split) -> dict[str, int]:
    """How many images of validation and of test stand, pixel by pixel, in train as well.

    Copies across the split let a network score by memory; the report warns of them. A store has none: packing finds
    copies, and they are not read. Windows of one scene share pixels or do not, which is another question: it is not
    asked here, and no part has a count.
    """
    if isinstance(dataset.images, CubeWindows):
        return {}
    images = dataset.images.whole if isinstance(dataset.images, CroppedImages) else dataset.images
    if not isinstance(images, np.ndarray):
        return {"validation": 0, "test": 0}
    parts = _parts(split)
    # Most images share their hash with no other, and need no closer look.
    keys = np.fromiter((hash(image.tobytes()) for image in images), np.int64, len(images))
    others = np.concatenate([parts["validation"], parts["test"]])
    train = {_digest(images, position) for position in _those_in(parts["train"], others, keys)}
    return {
        part: sum(_digest(images, position) in train for position in _those_in(parts[part], parts["train"], keys))
        for part in ("validation", "test")
    }


def _parts(split: Split) -> dict[str, Indices]:
    return {"train": split.train, "validation": split.validation, "test": split.test.indices_for_audit()}


def _digest(images: NDArray[np.uint8], position: int) -> bytes:
    return blake2b(images[position].tobytes(), digest_size=16).digest()


def _those_in(indices: Indices, others: Indices, keys: NDArray[np.int64]) -> Indices:
    return indices[np.isin(keys[indices], keys[others])]
