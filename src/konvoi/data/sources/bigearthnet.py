"""BigEarthNet in both versions, as its archives lie on disk: a folder a patch, a GeoTIFF a band.

Version 1: G. Sumbul et al., "BigEarthNet", IGARSS 2019, with the radar patches of "BigEarthNet-MM", IEEE GRSM 9 (3),
2021. Version 2: K. N. Clasen et al., "reBEN: Refined BigEarthNet Dataset for Remote Sensing Image Analysis", 2024.
Lists and tables are found where the archives have them: in the folder of the patches, beside it, or in `splits`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from konvoi.data.bands import Bands
from konvoi.data.geography import utm_zone
from konvoi.data.nomenclature import LABELS_19, LABELS_43
from konvoi.data.patches import Grid, Patch, PatchError, Place, Problem
from konvoi.data.sensors import sentinel1, sentinel2
from konvoi.data.sources.bigearthnet_tables import TABLE, flags_and_parts, read_metadata
from konvoi.data.sources.tiff import read_pixels, read_place
from konvoi.data.synthetic import is_synthetic
from konvoi.errors import DataError

OPTICAL_GRIDS = (
    Grid("10m", ("B02", "B03", "B04", "B08"), (120, 120), "uint16"),
    Grid("20m", ("B05", "B06", "B07", "B8A", "B11", "B12"), (60, 60), "uint16"),
    Grid("60m", ("B01", "B09"), (20, 20), "uint16"),
)
RADAR_GRID = Grid("s1", ("VV", "VH"), (120, 120), "float32")

VERSION_2_NO_DATA = 0.0
"""As all files of version 2 say; those of version 1 say nothing."""

_OPTICAL_NAME = re.compile(r"^S2[A-D]_MSIL2A_")
_TILE = re.compile(r"_T(\d{2}[A-Z]{3})_")


@dataclass(frozen=True)
class BigEarthNet:
    """A `PatchSource`; see there for the attributes that all sources have.

    Attributes:
        folder: of the Sentinel-2 patches.
        version: 1 or 2.
        radar: folder of the Sentinel-1 patch by name of the Sentinel-2 patch; None leaves radar out.
        labels: by patch, for version 2, whose labels stand in a table.
    """

    kind: str
    name: str
    origin: str
    bands: Bands
    grids: tuple[Grid, ...]
    class_names: tuple[str, ...]
    names: Sequence[str] = field(repr=False)
    parts: Mapping[str, str] = field(repr=False)
    flags: Mapping[str, tuple[str, ...]] = field(repr=False)
    problems: Sequence[Problem]
    folder: Path
    version: int
    radar: Mapping[str, Path] | None = field(default=None, repr=False)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    several_labels: bool = True
    caution: str = ""

    def read(self, name: str) -> Patch:
        """All bands and labels of one patch; see `PatchSource.read`."""
        place = patch_folder(self.folder, name, self.version)
        arrays: dict[str, Any] = {}
        for grid in self.grids:
            folder = place
            if grid.name == RADAR_GRID.name:
                assert self.radar is not None
                if name not in self.radar:
                    raise PatchError(f"{place} has no Sentinel-1 patch. Pack without --sentinel1, or skip it.")
                folder = self.radar[name]
            shape = (1, *grid.size)
            bands = [read_pixels(folder / f"{folder.name}_{band}.tif", shape, grid.dtype)[0] for band in grid.bands]
            arrays[grid.name] = np.stack(bands)
        if self.version == 1:
            return _with_label_file(arrays, place / f"{name}_labels_metadata.json")
        tile = _TILE.search(name)
        return Patch(
            arrays,
            self.labels.get(name, ()),
            read_place(place / f"{name}_B02.tif"),
            f"T{tile[1]}" if tile else "",
            _iso(name.split("_")[2]),
        )


def open_bigearthnet(folder: Path, version: int, lists: Path | None, radar: Path | None) -> BigEarthNet:
    """List an archive.

    Args:
        folder: of the patches (version 1) or of the tiles' folders (version 2).
        version: 1 or 2.
        lists: folder of split lists, or of version 2's tables, where it is not near the patches.
        radar: folder of the Sentinel-1 patches, or None.

    Raises:
        DataError: nothing is there, or lists or tables are damaged.
    """
    names, problems = _list_optical(folder, version)
    if not names:
        raise DataError(f"{folder} holds no patch folder named like S2A_MSIL2A_…. Give the folder of the patches.")
    if version == 1 and _TILE.search(names[0]):
        raise DataError(
            f"{folder} holds patches of version 2, such as {names[0]}. Give the folder above, in which all tiles lie."
        )
    near = (lists,) if lists else (folder, folder.parent, folder.parent / "splits")
    labels: dict[str, tuple[str, ...]] = {}
    radar_names: dict[str, str] = {}
    if version == 1:
        parts, flags = flags_and_parts(near)
    else:
        labels, parts, flags, radar_names = read_metadata(near)
    if lists and not (parts or flags or labels):
        raise DataError(f"{lists} holds {'no lists of names' if version == 1 else 'no ' + TABLE}. Leave --lists out.")
    radar_folders: dict[str, Path] | None = None
    if radar is not None and version == 1:
        radar_folders, radar_problems = _radar_by_label_files(radar)
        problems += radar_problems
    elif radar is not None:
        radar_folders = _radar_by_table(radar, radar_names)
    own = set(names)
    here = {patch: part for patch, part in parts.items() if patch in own}
    listed = f"; its lists name {len(parts):,} patches, {len(here):,} of them here" if parts else "; no lists of splits"
    grids = OPTICAL_GRIDS if radar is None else (*OPTICAL_GRIDS, RADAR_GRID)
    name, caution = f"BigEarthNet v{version}", ""
    if is_synthetic(folder):
        name = f"synthetic {name}"
        caution = f"The patches of {name} are synthetic: made by Konvoi, seen by no satellite."
    order = tuple(band for grid in OPTICAL_GRIDS for band in grid.bands)
    optical = sentinel2(order, no_data=VERSION_2_NO_DATA if version == 2 else None)
    return BigEarthNet(
        kind=f"bigearthnet-v{version}",
        name=name,
        origin=f"{folder}{listed}",
        bands=optical if radar is None else with_radar(optical),
        grids=grids,
        class_names=LABELS_43 if version == 1 else LABELS_19,
        names=names,
        parts=here,
        flags={patch: found for patch, found in flags.items() if patch in own},
        problems=problems,
        folder=folder,
        version=version,
        radar=radar_folders,
        labels={patch: found for patch, found in labels.items() if patch in own},
        caution=caution,
    )


def patch_folder(folder: Path, name: str, version: int) -> Path:
    """Where a patch lies: in version 2 within its tile's folder."""
    return folder / name if version == 1 else folder / name.rsplit("_", 2)[0] / name


def is_optical_name(name: str) -> bool:
    """Whether a folder is named as those of Sentinel-2 patches are."""
    return _OPTICAL_NAME.match(name) is not None


def _list_optical(folder: Path, version: int) -> tuple[list[str], list[Problem]]:
    names, problems = [], []
    for parent in [folder] if version == 1 else [folder / name for name in _folders(folder)]:
        for name in _folders(parent):
            if is_optical_name(name):
                names.append(name)
            else:
                problems.append(Problem(str(parent / name), "a folder that is not named like a patch"))
    return sorted(names), problems


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}.") from error


def _radar_by_label_files(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Version 1: Sentinel-1 patch by Sentinel-2 patch, which its label file names."""
    found: dict[str, Path] = {}
    problems = []
    for name in _folders(folder):
        path = folder / name / f"{name}_labels_metadata.json"
        try:
            optical = _label_file(path).get("corresponding_s2_patch")
        except PatchError as error:
            problems.append(Problem(str(folder / name), str(error)))
            continue
        if not isinstance(optical, str):
            problems.append(Problem(str(path), "names no corresponding_s2_patch"))
        elif optical in found:
            problems.append(Problem(str(path), f"names {optical}, as {found[optical].name} does"))
        else:
            found[optical] = folder / name
    return found, problems


def _radar_by_table(folder: Path, radar_names: Mapping[str, str]) -> dict[str, Path]:
    """Version 2: Sentinel-1 patch by Sentinel-2 patch, from the tables."""
    if not radar_names:
        raise DataError(
            f"Which patch of {folder} belongs to which of Sentinel-2 stands in {TABLE}, which is not beside the "
            "patches. Name its folder with --lists."
        )
    return {name: folder / radar.rsplit("_", 3)[0] / radar for name, radar in radar_names.items()}


def with_radar(optical: Bands) -> Bands:
    """The bands of Sentinel-2, and after them those of Sentinel-1."""
    radar = sentinel1()
    return Bands(
        names=optical.names + radar.names,
        scale=optical.scale + radar.scale,
        units=optical.units + radar.units,
        wavelength=optical.wavelength + radar.wavelength,
        ground_sampling_distance=optical.ground_sampling_distance + radar.ground_sampling_distance,
        no_data=optical.no_data,
    )


def _with_label_file(arrays: dict[str, Any], path: Path) -> Patch:
    content = _label_file(path)
    try:
        labels = content["labels"]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise PatchError(f"{path} holds no list of labels: {labels!r}.")
        corners = content["coordinates"]
        lower = corners["lry"] if "lry" in corners else corners["lly"]
        zone = utm_zone(content["projection"])
        system = content["projection"] if zone is None else f"EPSG:32{6 if zone[1] else 7}{zone[0]:02d}"
        tile = _TILE.search(content["tile_source"])
        return Patch(
            arrays,
            tuple(labels),
            Place(system, float(corners["ulx"]), float(corners["uly"]), float(corners["lrx"]), float(lower)),
            f"T{tile[1]}" if tile else "",
            str(content["acquisition_date"]).replace(" ", "T"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PatchError(
            f"{path} lacks {error}; expected are labels, coordinates, projection, tile_source and acquisition_date."
        ) from error


def _label_file(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise PatchError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise PatchError(f"{path} is no JSON file: {error}.") from error
    if not isinstance(content, dict):
        raise PatchError(f"{path} holds no JSON object.")
    return content


def _iso(compact: str) -> str:
    """20170613T101031 as 2017-06-13T10:10:31."""
    date, _, time = compact.partition("T")
    return f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}"
