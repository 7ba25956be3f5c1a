"""What a source of multi-band patches looks like: a list of names that costs little, and a way to read one patch.

The readers of formats are in `data.sources`; packing what they read is in `data.pack`. A source must be picklable,
because packing reads in several processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.errors import DataError

PARTS = ("train", "validation", "test")


class PatchError(DataError):
    """One patch cannot be read as it should: the message names the file, what was found and what was expected."""


@dataclass(frozen=True)
class Grid:
    """Bands that share a pixel grid, and lie together in one array.

    Attributes:
        name: for example "10m"; the name of the store's arrays.
        bands: the names, in the array's order.
        size: height and width in pixels.
        dtype: of the stored values, for example "uint16".
    """

    name: str
    bands: tuple[str, ...]
    size: tuple[int, int]
    dtype: str


@dataclass(frozen=True)
class Place:
    """Where a patch lies: the outer edges of its pixels, in the coordinates of its reference system.

    Attributes:
        crs: as an authority's code, "EPSG:32633", or as WKT.
        left, top, right, bottom: in the system's units, metres for UTM.
    """

    crs: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Patch:
    """One patch, read.

    Attributes:
        arrays: one `(bands, height, width)` for each grid of the source, by its name.
        labels: names of classes, one or several; none where the source has no labels for it.
        place: where it lies, or None.
        tile: the tile or scene it was cut from (an MGRS tile such as "T33UUP"), "" where not known.
        acquired: ISO time of the acquisition, "" where not known.
        aspect: width / height of what a pixel shows, where pictures were squeezed into one shape.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    labels: tuple[str, ...]
    place: Place | None = None
    tile: str = ""
    acquired: str = ""
    aspect: float = 1.0


@dataclass(frozen=True)
class Problem:
    """Something in the source that is not as it should be: where, and what. The patch it belongs to is not read."""

    where: str
    reason: str


class PatchSource(Protocol):
    """A folder of patches, listed; the pixels stay on disk until `read`.

    Attributes:
        kind: of the format, for example "bigearthnet-v1".
        name: what the data set is called in reports.
        origin: where it comes from, for people.
        bands: all bands, in the order of the grids' bands one after the other.
        grids: the arrays that every patch has.
        class_names: in label order.
        several_labels: whether a patch may have more than one label.
        names: of the patches, sorted, each once.
        parts: "train", "validation" or "test" by patch name, for those that the source's own lists name.
        flags: for example ("snow",) by patch name.
        problems: found while listing.
        caution: what a reader of results must know of these data, for example that they are synthetic; else "".
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def bands(self) -> Bands: ...  # noqa: D102
    @property
    def grids(self) -> tuple[Grid, ...]: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def several_labels(self) -> bool: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def parts(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def flags(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102
    @property
    def problems(self) -> Sequence[Problem]: ...  # noqa: D102
    @property
    def caution(self) -> str: ...  # noqa: D102

    def read(self, name: str) -> Patch:
        """All pixels and labels of one patch.

        Raises:
            PatchError: a file is missing, truncated, or of another shape or type; or a label is unknown.
        """
        ...
