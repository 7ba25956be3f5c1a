"""Any folder of GeoTIFFs: one file a patch with all bands, or a folder a patch with a file a band.

Labels come from a table beside them (`label_table`), or are the names of the folders in which the files lie. Which
files there are, and for which patch, is found out by `geotiff_listing`. EuroSAT is such a folder, whose bands are
known: P. Helber et al., "EuroSAT", IEEE JSTARS 12 (7), 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from konvoi.data.bands import Bands
from konvoi.data.patches import Grid, Patch, Problem
from konvoi.data.sensors import ALL13, sentinel2
from konvoi.data.sources.geotiff_listing import list_files, matched
from konvoi.data.sources.label_table import LabelTable, read_label_table
from konvoi.data.sources.tiff import read_header, read_pixels, read_place
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
        parts: "train", "validation" or "test" by name, where lists say so; names are those of patches or of files.
        bands: names in the files' order; default: the files' descriptions.
        scale: stored value × scale = value in `units`; default: 1, or that of Sentinel-2 where all bands are its.
        units: of the values.
        no_data: default: what the files say.

    Raises:
        DataError: there are no files, no labels, or the bands are not known; or the lists name no patch.
    """
    table = None if labels is None else read_label_table(labels)
    listing = list_files(folder, () if table is None else table.labels, bands)
    files, problems = listing.files, list(listing.problems)
    if not files:
        raise DataError(f"{folder} holds no TIFF files, neither in it nor in its sub-folders.")
    by_name: dict[str, tuple[str, ...]]
    if table is None or labels is None:
        by_name = {patch: (patch.partition("/")[0],) for patch in files if "/" in patch}
        class_names, several = tuple(sorted({label for found in by_name.values() for label in found})), False
    else:
        by_name, table_problems = _from_table(files, listing.rejected, table, labels)
        problems += table_problems
        class_names, several = table.class_names, table.several_labels
    if len(class_names) < 2:
        raise DataError(
            f"{folder}: found {'the one class ' + class_names[0] if class_names else 'no classes'}. Give a table with "
            "--labels, or put the files into one sub-folder a class."
        )
    names = tuple(sorted(set(files) & set(by_name)))
    whole = _whole(files, names or tuple(files))
    grids, band_names, no_data = _grids(whole, listing.bands, bands, no_data)
    return GeotiffFolder(
        kind=kind,
        name=name or folder.resolve().name,
        origin=str(folder),
        bands=_contract(band_names, scale, units, no_data),
        grids=grids,
        class_names=class_names,
        several_labels=several,
        names=names,
        parts=_parts(parts or {}, files, folder),
        problems=problems,
        files={patch: files[patch] for patch in names},
        labels=by_name,
    )


def _whole(files: Mapping[str, tuple[Path, ...]], names: Sequence[str]) -> tuple[Path, ...]:
    """Files of the first patch that lacks none; of the first where all do, which is named when it is opened."""
    return next((files[name] for name in names if all(path.is_file() for path in files[name])), files[names[0]])


def _grids(
    files: tuple[Path, ...], file_bands: tuple[str, ...] | None, bands: tuple[str, ...] | None, no_data: float | None
) -> tuple[tuple[Grid, ...], tuple[str, ...], float | None]:
    """Grids as one patch has them, the bands in the grids' order, and the given no-data value, else the files'."""
    headers = [read_header(path) for path in files]
    if no_data is None and len({str(header.no_data) for header in headers}) > 1:
        found = ", ".join(f"{path.name} {header.no_data}" for path, header in zip(files, headers, strict=True))
        raise DataError(f"{files[0].parent}: values without data differ ({found}). Give one for all with --no-data.")
    no_data = headers[0].no_data if no_data is None else no_data
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
        return (grid,), grid.bands, no_data
    alike: dict[tuple[tuple[int, int], str], list[str]] = {}
    order = bands or file_bands
    for band in order:
        header = headers[file_bands.index(band)]
        alike.setdefault((header.shape[1:], header.dtype), []).append(band)
    grids = tuple(
        Grid(f"{size[0]}x{size[1]}-{dtype}", tuple(members), size, dtype) for (size, dtype), members in alike.items()
    )
    return grids, tuple(band for grid in grids for band in grid.bands), no_data


def _from_table(
    files: Mapping[str, tuple[Path, ...]], rejected: frozenset[str], table: LabelTable, path: Path
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """Labels by patch, and what does not fit: rows without a file or a label, files without a row."""
    by_name: dict[str, tuple[str, ...]] = {}
    problems = []
    rows: dict[str, str] = {}
    for name, found in matched(table.labels, {*files, *rejected}).items():
        if len(found) != 1:
            reason = f"means any of {', '.join(found[:3])}" if found else "no file of this name"
            problems.append(Problem(f"{path}: {name}", reason))
            continue
        (patch,) = found
        if patch in rejected:
            continue  # Its problem is named already.
        if patch in rows:
            raise DataError(f"{path}: the rows {rows[patch]} and {name} mean the same file, {files[patch][0]}.")
        rows[patch] = name
        by_name[patch] = table.labels[name]
    problems += [Problem(f"{path}: {name}", "no label") for patch, name in rows.items() if not by_name[patch]]
    problems += [Problem(str(files[patch][0]), f"no row in {path}") for patch in sorted(set(files) - set(rows))]
    return {patch: labels for patch, labels in by_name.items() if labels}, problems


def _parts(named: Mapping[str, str], files: Mapping[str, tuple[Path, ...]], folder: Path) -> dict[str, str]:
    parts: dict[str, str] = {}
    for name, found in matched(named, files).items():
        if len(found) > 1:
            raise DataError(f"The lists name {name}, which may be any of {', '.join(found[:3])}. Name its folder, too.")
        for patch in found:
            if parts.setdefault(patch, named[name]) != named[name]:
                raise DataError(f"The lists put {patch} into two parts, {parts[patch]} and {named[name]}.")
    if named and not parts:
        raise DataError(
            f"None of the {len(named):,} names in the lists, such as {next(iter(named))}, is a patch of {folder}, such "
            f"as {next(iter(files))}."
        )
    return parts


def _contract(names: tuple[str, ...], scale: float | None, units: str | None, no_data: float | None) -> Bands:
    if set(names) <= set(ALL13):
        bands = sentinel2(names, no_data)
    else:
        bands = Bands(names, (1.0,) * len(names), ("stored values",) * len(names), no_data=no_data)
    if scale is not None:
        bands = replace(bands, scale=(scale,) * len(names))
    return bands if units is None else replace(bands, units=(units,) * len(names))
