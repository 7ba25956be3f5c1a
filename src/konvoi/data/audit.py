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
from konvoi.randomness import numpy_stream

_IMAGES_AT_ONCE = 1024


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
    keys = _keys(images)
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


def _keys(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A number for each image, `(N,)`, which equal images share, and others only by chance.

    Σ aᵢ xᵢ mod 2⁶⁴ over an image's 64-bit words xᵢ with random odd aᵢ: multiplicative hashing.
    """
    rows = images.reshape(len(images), -1)
    words = -(-rows.shape[1] // 8)
    factors = numpy_stream(0, "duplicates").integers(0, 1 << 64, words, dtype=np.uint64) | np.uint64(1)
    keys = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), _IMAGES_AT_ONCE):
        block = rows[start : start + _IMAGES_AT_ONCE]
        padded = np.zeros((len(block), 8 * words), dtype=np.uint8)
        padded[:, : rows.shape[1]] = block
        keys[start : start + len(block)] = padded.view(np.uint64) @ factors
    return keys


def _those_in(indices: Indices, others: Indices, keys: NDArray[np.uint64]) -> Indices:
    return indices[np.isin(keys[indices], keys[others])]
