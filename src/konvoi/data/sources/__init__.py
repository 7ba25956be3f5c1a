"""One file a format; `read_source` is the only door. Every reader returns a `Dataset` and trains nothing."""

from __future__ import annotations

from pathlib import Path

from konvoi.data.dataset import Dataset
from konvoi.data.sources.digits import read_digits
from konvoi.data.sources.idx import read_idx_source
from konvoi.data.sources.image_folder import read_image_folder
from konvoi.recipe.schema import DigitsSource, IdxSource, ImageFolderSource


def read_source(source: DigitsSource | IdxSource | ImageFolderSource, data_dir: Path | None = None) -> Dataset:
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
