"""What every source returns: all samples of a data set, with labels, names, places and provenance.

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
from konvoi.data.cropped import CroppedImages
from konvoi.data.images import Images
from konvoi.data.scene import Scene
from konvoi.errors import DataError

Labels = NDArray[np.int64] | NDArray[np.uint8]
"""`(N,)` int64, one label a sample; or `(N, K)` uint8 of 0 and 1, several."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images of one size.

    Attributes:
        name: what the data set is called in reports.
        images: `(N, C, H, W)`, as stored: a uint8 array, patches in a store, or windows of a cube.
        labels: `(N,)` int64, each in 0 … K-1; or, where a sample may have several, `(N, K)` uint8 of 0 and 1.
        class_names: the K names in label order.
        bands: what the C channels mean.
        given_test: positions of the samples that the files themselves set aside for testing, or None.
        given_validation: positions that the files set aside for validation, or None.
        given_left_out: positions that the files put in no part although they have parts, or None.
        origin: where the samples come from, for people (folders, files).
        skipped: files that could not be read, each with its reason; they are not among the N samples.
        excluded: samples that the recipe leaves out or that have no label, counted, a sentence a reason; they are not
            among the N samples either.
        sample_names: a name for each sample (a file name), or None where the files have none.
        longitude_latitude: `(N, 2)` float64 in degrees (WGS84) of the samples' centres, NaN where not known; or None.
        tiles: the tile or scene that each sample was cut from, or None.
        aspects: `(N,)` float32, width / height of what a pixel shows, where pictures were squeezed into one shape; or
            None.
        known_fingerprint: where reading all pixels again would take too long, what stands for them; of cropped images,
            the fingerprint of the whole ones; else "".
        caution: what a reader of results must know of these data, for example that they are synthetic; else "".
        scene: of samples that are pixels of one scene, its ground truth and place; else None.
    """

    name: str
    images: Images
    labels: Labels
    class_names: tuple[str, ...]
    bands: Bands
    given_test: NDArray[np.int64] | None
    origin: str
    given_validation: NDArray[np.int64] | None = None
    given_left_out: NDArray[np.int64] | None = None
    skipped: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    sample_names: Sequence[str] | None = field(default=None, repr=False)
    longitude_latitude: NDArray[np.float64] | None = field(default=None, repr=False)
    tiles: Sequence[str] | None = field(default=None, repr=False)
    aspects: NDArray[np.float32] | None = field(default=None, repr=False)
    known_fingerprint: str = ""
    caution: str = ""
    scene: Scene | None = field(default=None, repr=False)

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
        if self.several_labels:
            if self.labels.shape[1] != len(self.class_names) or self.labels.max() > 1:
                raise DataError(
                    f"{self.origin}: labels of shape {self.labels.shape} with values up to {self.labels.max()}; "
                    f"expected 0 or 1 for each of the {len(self.class_names)} labels."
                )
            return
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
    def several_labels(self) -> bool:
        """Whether a sample may have several labels, or none."""
        return self.labels.ndim == 2

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width, as the network sees them."""
        return self.images.shape[1], self.images.shape[2], self.images.shape[3]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[2], self.images.shape[3]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels, labels and class names: equal if and only if the data are."""
        if isinstance(self.images, CroppedImages):
            return self.known_fingerprint
        digest = hashlib.sha256()
        digest.update(repr((self.images.shape, self.class_names, self.bands.names)).encode())
        if isinstance(self.images, np.ndarray):
            digest.update(np.ascontiguousarray(self.images).data)
        else:
            digest.update(self.known_fingerprint.encode())
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()
