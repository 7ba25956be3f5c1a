"""Any folder of GeoTIFFs: one file a patch with all bands, or a folder a patch with a file a band.

Labels come from a table beside them (`label_table`), or are the names of the folders in which the files lie. EuroSAT is
such a folder, whose bands are known: P. Helber et al., "EuroSAT", IEEE JSTARS 12 (7), 2019.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from konvoi.data.bands import Bands
from konvoi.data.patches import Grid, Patch, Problem
from konvoi.data.sensors import ALL13, sentinel2
from konvoi.data.sources.label_table import LabelTable, read_label_table
from konvoi.data.sources.tiff import TIFF_SUFFIXES, read_header, read_pixels, read_place
from konvoi.errors import DataError

EUROSAT_BANDS = (*(band for band in ALL13 if band != "B8A"), "B8A")
"""Of the 13-band files, where B8A stands last."""


@dataclass(frozen=True)
class GeotiffFolder:
    """A `PatchSource`; see there for the attributes that all sources have.

    Attributes:
        files: of each patch: one with all bands, or one a band.
        labels: of each patch.
    """

    kind: str
    name: str
    origin: str
    bands: Bands
    grids: tuple[Grid, ...]
    class_names: tuple[str, ...]
    several_labels: bool
    names: Sequence[str] = field(repr=False)
    parts: Mapping[str, str] = field(repr=False)
    problems: Sequence[Problem]
    files: Mapping[str, tuple[Path, ...]] = field(repr=False)
    labels: Mapping[str, tuple[str, ...]] = field(repr=False)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    caution: str = ""

    def read(self, name: str) -> Patch:
        """All bands and labels of one patch; see `PatchSource.read`."""
        files = self.files[name]
        if len(files) == 1:
            (grid,) = self.grids
            arrays = {grid.name: read_pixels(files[0], (len(grid.bands), *grid.size), grid.dtype)}
        else:
            by_band = dict(zip(self._file_bands, files, strict=True))
            arrays = {
                grid.name: np.stack([read_pixels(by_band[band], (1, *grid.size), grid.dtype)[0] for band in grid.bands])
                for grid in self.grids
            }
        return Patch(arrays, self.labels[name], read_place(files[0]))

    @property
    def _file_bands(self) -> tuple[str, ...]:
        return tuple(sorted(self.bands.names))


def open_geotiff_folder(
    folder: Path,
    *,
    kind: str = "geotiff-folder",
    name: str | None = None,
    labels: Path | None = None,
    parts: Mapping[str, str] | None = None,
    bands: tuple[str, ...] | None = None,
    scale: float | None = None,
    units: str | None = None,
    no_data: float | None = None,
) -> GeotiffFolder:
    """List a folder.

    Args:
        folder: of the files, of sub-folders by class, or of sub-folders by patch.
        kind: of the source.
        name: what the data set is called; default: the folder's name.
        labels: a table of names and labels; None where the sub-folders are the classes.
        parts: "train", "validation" or "test" by name, where lists say so.
        bands: names in the files' order; default: the files' descriptions.
        scale: stored value × scale = value in `units`; default: 1, or that of Sentinel-2 where all bands are its.
        units: of the values.
        no_data: default: what the files say.

    Raises:
        DataError: there are no files, no labels, or the bands are not known.
    """
    by_name: dict[str, tuple[str, ...]]
    table = None if labels is None else read_label_table(labels)
    files, folder_labels, file_bands = _list_files(folder, table, bands)
    if not files:
        raise DataError(f"{folder} holds no TIFF files, neither in it nor in its sub-folders.")
    first = next(iter(files.values()))
    grids, band_names, found_no_data = _grids(first, file_bands, bands)
    problems: list[Problem] = []
    if table is None:
        by_name = {patch: (label,) for patch, label in folder_labels.items()}
        class_names, several = tuple(sorted(set(folder_labels.values()))), False
    else:
        by_name, problems = _from_table(files, table, labels)
        class_names, several = table.class_names, table.several_labels
    if len(class_names) < 2:
        raise DataError(
            f"{folder}: found {'the one class ' + class_names[0] if class_names else 'no classes'}. Give a table with "
            "--labels, or put the files into one sub-folder a class."
        )
    names = tuple(sorted(set(files) & set(by_name)))
    return GeotiffFolder(
        kind=kind,
        name=name or folder.resolve().name,
        origin=str(folder),
        bands=_contract(band_names, scale, units, found_no_data if no_data is None else no_data),
        grids=grids,
        class_names=class_names,
        several_labels=several,
        names=names,
        parts={patch: part for patch, part in (parts or {}).items() if patch in files},
        problems=problems,
        files={patch: files[patch] for patch in names},
        labels=by_name,
    )


def _list_files(
    folder: Path, table: LabelTable | None, bands: tuple[str, ...] | None
) -> tuple[dict[str, tuple[Path, ...]], dict[str, str], tuple[str, ...] | None]:
    """Files by patch, the sub-folder by patch, and the bands of files that hold one each (sorted), else None."""
    own = _tiffs(folder)
    if own:
        return {path.stem: (path,) for path in own}, {}, None
    nested = {path.name: found for path in _sub_folders(folder) if (found := _tiffs(path))}
    if table is None:
        files: dict[str, tuple[Path, ...]] = {
            f"{name}/{path.stem}": (path,) for name, found in nested.items() for path in found
        }
        return files, {patch: patch.partition("/")[0] for patch in files}, None
    # With a table, sub-folders are patches where the table names them; else they only hold files.
    known = {_without_suffix(name) for name in table.labels}
    if not known & set(nested):
        return {path.stem: (path,) for found in nested.values() for path in found}, {}, None
    suffixes = _band_of_files(next(found for name, found in nested.items() if name in known), bands)
    files = {}
    for name, found in nested.items():
        by_band = {band: path for path in found for band in suffixes if path.stem.endswith(f"_{band}")}
        # A band that is missing here is missed when the patch is read, and named then.
        files[name] = tuple(by_band.get(band, folder / name / f"{name}_{band}.tif") for band in sorted(suffixes))
    return files, {}, tuple(sorted(suffixes))


def _band_of_files(files: list[Path], bands: tuple[str, ...] | None) -> tuple[str, ...]:
    if bands is not None:
        return bands
    if len(files) == 1:
        raise DataError(f"{files[0].parent} holds one file. Name its bands with --bands.")
    return tuple(path.stem.rpartition("_")[2] for path in files)


def _grids(
    files: tuple[Path, ...], file_bands: tuple[str, ...] | None, bands: tuple[str, ...] | None
) -> tuple[tuple[Grid, ...], tuple[str, ...], float | None]:
    """Grids as the first patch has them, the bands in the grids' order, and its no-data value."""
    headers = [read_header(path) for path in files]
    if file_bands is None:
        (header,) = headers
        names = bands or header.descriptions
        if len(names) != header.shape[0] or not all(names) or len(set(names)) < len(names):
            raise DataError(
                f"{files[0]} has {header.shape[0]} bands, and "
                + (f"--bands names {len(names)}" if bands else "describes them not at all, or not all of them")
                + ". Name each with --bands, in the file's order, for example B02,B03,B04,B08."
            )
        grid = Grid("bands", tuple(names), header.shape[1:], header.dtype)
        return (grid,), grid.bands, header.no_data
    alike: dict[tuple[tuple[int, int], str], list[str]] = {}
    order = bands or file_bands
    for band in order:
        header = headers[file_bands.index(band)]
        alike.setdefault((header.shape[1:], header.dtype), []).append(band)
    grids = tuple(
        Grid(f"{size[0]}x{size[1]}-{dtype}", tuple(members), size, dtype) for (size, dtype), members in alike.items()
    )
    return grids, tuple(band for grid in grids for band in grid.bands), headers[0].no_data


def _from_table(
    files: Mapping[str, tuple[Path, ...]], table: LabelTable, path: Path | None
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    by_name = {}
    problems = []
    for name, labels in table.labels.items():
        patch = _without_suffix(name)
        if patch in files:
            by_name[patch] = labels
        else:
            problems.append(Problem(f"{path}: {name}", "no file of this name"))
        if not labels:
            problems.append(Problem(f"{path}: {name}", "no label"))
            by_name.pop(patch, None)
    problems += [
        Problem(str(files[patch][0]), f"no row in {path}")
        for patch in sorted(set(files) - {_without_suffix(name) for name in table.labels})
    ]
    return by_name, problems


def _contract(names: tuple[str, ...], scale: float | None, units: str | None, no_data: float | None) -> Bands:
    if set(names) <= set(ALL13):
        bands = sentinel2(names, no_data)
    else:
        bands = Bands(names, (1.0,) * len(names), ("stored values",) * len(names), no_data=no_data)
    if scale is not None:
        bands = replace(bands, scale=(scale,) * len(names))
    return bands if units is None else replace(bands, units=(units,) * len(names))


def _without_suffix(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    for suffix in TIFF_SUFFIXES:
        if base.lower().endswith(suffix):
            return base[: -len(suffix)]
    return base


def _tiffs(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(TIFF_SUFFIXES)]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}.") from error
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
