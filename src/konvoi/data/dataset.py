"""What every source returns: all samples of a data set in one array, with labels, names and provenance.

Which sample is for training and which for testing is not decided here but in `data.split`; a source only
passes on what its files say (`given_test`, `given_validation`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """Labelled images of one size.

    Attributes:
        name: what the data set is called in reports.
        images: `(N, C, H, W)`, uint8, as stored in the files.
        labels: `(N,)`, int64, each in 0 … K-1.
        class_names: the K names in label order.
        bands: what the C channels mean.
        given_test: positions of the samples that the files themselves set aside for testing, or None.
        given_validation: positions that the files set aside for validation, or None.
        origin: where the samples come from, for people (folders, files).
        skipped: files that could not be read, each with its reason; they are not among the N samples.
        sample_names: a name for each sample (a file name), or None where the files have none.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    bands: Bands
    given_test: NDArray[np.int64] | None
    origin: str
    given_validation: NDArray[np.int64] | None = None
    skipped: tuple[str, ...] = ()
    sample_names: Sequence[str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise DataError(f"{self.origin}: {len(self.images)} images but {len(self.labels)} labels.")
        if len(self.labels) == 0:
            raise DataError(f"{self.origin}: no samples were found.")
        if len(set(self.class_names)) < max(2, len(self.class_names)):
            raise DataError(
                f"{self.origin}: the classes are {', '.join(self.class_names)}. A classifier needs at least two, each "
                "with a name of its own."
            )
        outside = (self.labels < 0) | (self.labels >= len(self.class_names))
        if outside.any():
            first = int(np.flatnonzero(outside)[0])
            raise DataError(
                f"{self.origin}: sample {first} has label {int(self.labels[first])}, outside the "
                f"{len(self.class_names)} classes (0 to {len(self.class_names) - 1}); {int(outside.sum())} labels are. "
                "Correct the labels, or name all classes in source.classes."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[2], self.images.shape[3]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels, labels and class names: equal if and only if the data are."""
        digest = hashlib.sha256()
        digest.update(repr((self.images.shape, self.class_names, self.bands.names)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()
