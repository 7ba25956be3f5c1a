"""One file a format; `read_source` is the only door. Every reader returns a `Dataset` and trains nothing.

Formats of patches with many bands are packed into a store first: `patch_sources` is their door.
"""

from __future__ import annotations

from pathlib import Path

from konvoi.data.dataset import Dataset
from konvoi.data.known import KNOWN
from konvoi.data.sources.cube import read_cube_source
from konvoi.data.sources.digits import read_digits
from konvoi.data.sources.idx import read_idx_source
from konvoi.data.sources.image_folder import read_image_folder
from konvoi.data.sources.rico_hdl import read_lmdb
from konvoi.data.store import read_store
from konvoi.recipe.crop import CropSection
from konvoi.recipe.source import (
    CubeSource,
    DigitsSource,
    IdxSource,
    ImageFolderSource,
    LmdbSource,
    SourceSection,
    StoreSource,
)


def read_source(source: SourceSection, data_dir: Path | None = None) -> Dataset:
    """Read all samples that a recipe's `source` section names.

    Args:
        source: the section.
        data_dir: where the user says the files lie; see `data.locations` for the places tried without it.

    Raises:
        DataError: files are missing, damaged or inconsistent.
    """
    match source:
        case DigitsSource():
            return read_digits()
        case IdxSource():
            return read_idx_source(source, data_dir)
        case ImageFolderSource():
            return read_image_folder(source, data_dir)
        case StoreSource():
            return read_store(source, data_dir)
        case LmdbSource():
            return read_lmdb(source, data_dir)
        case CubeSource():
            return read_cube_source(source, data_dir)


def image_shape_and_classes(
    source: SourceSection,
    data_dir: Path | None = None,
    classes: int | None = None,
    crop: CropSection | None = None,
) -> tuple[tuple[int, int, int], int]:
    """The shape `(C, H, W)` of what a network sees, and its number of classes, without reading files where possible.

    Args:
        source: the section.
        data_dir: as for `read_source`.
        classes: the number of classes, for an image folder or a store that is not at hand.
        crop: the recipe's `input.crop`.
    """
    if crop is not None and isinstance(source, StoreSource) and isinstance(source.bands, tuple) and classes is not None:
        return (len(source.bands), crop.size, crop.size), classes
    shape, found = _stored_shape_and_classes(source, data_dir, classes)
    return shape if crop is None else (shape[0], crop.size, crop.size), found


def _stored_shape_and_classes(
    source: SourceSection, data_dir: Path | None, classes: int | None
) -> tuple[tuple[int, int, int], int]:
    match source:
        case IdxSource(dataset=name) if name in KNOWN and data_dir is None:
            return KNOWN[name].image_shape, len(KNOWN[name].class_names)
        case ImageFolderSource(channels=channels, size=size) if classes is not None:
            return (1 if channels == "grey" else 3, *size), classes
    dataset = read_source(source, data_dir)
    return dataset.image_shape, len(dataset.class_names)
