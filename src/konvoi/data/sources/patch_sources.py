"""From a folder to the source that reads it: recognised by its layout, or named by the user."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from konvoi.data.name_lists import read_parts
from konvoi.data.patches import PatchSource
from konvoi.data.sources.bigearthnet import is_optical_name, open_bigearthnet
from konvoi.data.sources.geotiff_folder import EUROSAT_BANDS, open_geotiff_folder
from konvoi.data.sources.imagenet import DEFAULT_SIZE, looks_like_imagenet, open_imagenet
from konvoi.errors import DataError

_LOOKED_AT = 64
_EUROSAT_CLASSES = {"AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture"}
_EUROSAT_CLASSES |= {"PermanentCrop", "Residential", "River", "SeaLake"}


@dataclass(frozen=True)
class PatchOptions:
    """What a user says of a source beyond its folder; None where the source knows best.

    Attributes:
        labels: a table of names and labels.
        lists: a folder of lists of names, or of tables.
        bands: names in the files' order.
        scale: stored value × scale = value in `units`.
        units: of the values.
        no_data: the stored value that means "not measured".
        sentinel1: the folder of BigEarthNet's Sentinel-1 patches.
        size: pixels a side to which pictures are resized.
    """

    labels: Path | None = None
    lists: Path | None = None
    bands: tuple[str, ...] | None = None
    scale: float | None = None
    units: str | None = None
    no_data: float | None = None
    sentinel1: Path | None = None
    size: int | None = None


def open_patches(folder: Path, kind: str | None, options: PatchOptions) -> PatchSource:
    """List a source.

    Args:
        folder: of the patches, or of the archive in which their folder lies; of ImageNet also a tar file.
        kind: one of `KINDS`; None recognises it.
        options: what the user says.

    Raises:
        DataError: the folder is missing, or holds nothing that is known; or an option does not go with the kind.
    """
    if not folder.exists():
        raise DataError(f"There is no folder {folder}.")
    if kind is not None and kind not in KINDS:
        raise DataError(f"--kind {kind} is not known. Known: {', '.join(KINDS)}.")
    kind = kind or _recognised(folder)
    if kind != "imagenet" and not folder.is_dir():
        raise DataError(f"{folder} is a file, and {kind} is read from a folder.")
    return KINDS[kind](folder, options)


def _bigearthnet_1(folder: Path, options: PatchOptions) -> PatchSource:
    return _bigearthnet(_patch_root(folder, 1), 1, options)


def _bigearthnet_2(folder: Path, options: PatchOptions) -> PatchSource:
    return _bigearthnet(_patch_root(folder, 2), 2, options)


def _bigearthnet(folder: Path, version: int, options: PatchOptions) -> PatchSource:
    _refuse(options, f"bigearthnet-v{version}", "labels", "bands", "scale", "units", "no_data", "size")
    return open_bigearthnet(folder, version, options.lists, options.sentinel1)


def _eurosat(folder: Path, options: PatchOptions) -> PatchSource:
    _refuse(options, "eurosat", "labels", "bands", "scale", "units", "sentinel1", "size")
    root = next((path for path in _here_and_below(folder) if _sub_folder_names(path) & _EUROSAT_CLASSES), folder)
    return open_geotiff_folder(
        root,
        kind="eurosat",
        name="EuroSAT",
        bands=EUROSAT_BANDS,
        no_data=options.no_data,
        parts=_listed_parts(options),
    )


def _geotiff_folder(folder: Path, options: PatchOptions) -> PatchSource:
    _refuse(options, "geotiff-folder", "sentinel1", "size")
    return open_geotiff_folder(
        folder,
        labels=options.labels,
        parts=_listed_parts(options),
        bands=options.bands,
        scale=options.scale,
        units=options.units,
        no_data=options.no_data,
    )


def _imagenet(folder: Path, options: PatchOptions) -> PatchSource:
    _refuse(options, "imagenet", "lists", "bands", "scale", "units", "no_data", "sentinel1")
    return open_imagenet(folder, options.size or DEFAULT_SIZE, options.labels)


def _listed_parts(options: PatchOptions) -> dict[str, str] | None:
    if options.lists is None:
        return None
    parts = read_parts([options.lists])
    if not parts:
        raise DataError(f"{options.lists} holds no lists of names: train.csv, val.csv and test.csv. Leave --lists out.")
    return parts


KINDS: dict[str, Callable[[Path, PatchOptions], PatchSource]] = {
    "bigearthnet-v1": _bigearthnet_1,
    "bigearthnet-v2": _bigearthnet_2,
    "eurosat": _eurosat,
    "geotiff-folder": _geotiff_folder,
    "imagenet": _imagenet,
}
"""What can be packed."""


def _recognised(folder: Path) -> str:
    if looks_like_imagenet(folder):
        return "imagenet"
    # The folder itself first: below one of version 2 lie tiles, and each looks like an archive of version 1.
    for path in _here_and_below(folder):
        for version in (1, 2):
            if _holds_patches(path, version):
                return f"bigearthnet-v{version}"
    if any(len(_sub_folder_names(path) & _EUROSAT_CLASSES) >= 2 for path in _here_and_below(folder)):
        return "eurosat"
    return "geotiff-folder"


def _patch_root(folder: Path, version: int) -> Path:
    return next((path for path in _here_and_below(folder) if _holds_patches(path, version)), folder)


def _holds_patches(folder: Path, version: int) -> bool:
    """Whether the first few sub-folders are patches, or tiles that hold patches."""
    with os.scandir(folder) as entries:
        first = [entry for entry in islice(entries, _LOOKED_AT) if entry.is_dir() and is_optical_name(entry.name)]
    if not first:
        return False
    with os.scandir(first[0].path) as entries:
        nested = any(entry.is_dir() for entry in islice(entries, _LOOKED_AT))
    return nested == (version == 2)


def _here_and_below(folder: Path) -> list[Path]:
    return [folder, *(folder / name for name in sorted(_sub_folder_names(folder)))]


def _sub_folder_names(folder: Path) -> set[str]:
    with os.scandir(folder) as entries:
        folders = [entry.name for entry in islice(entries, _LOOKED_AT) if entry.is_dir()]
    return {name for name in folders if not name.startswith(".")}


def _refuse(options: PatchOptions, kind: str, *names: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]
    if given:
        raise DataError(f"{', '.join(given)}: not for {kind}, whose files or conventions say this already.")
