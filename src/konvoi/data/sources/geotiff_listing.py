"""Which files of a folder belong to which patch: a file a patch, or a folder a patch with a file a band.

Only names are looked at here; what the files hold is the task of `geotiff_folder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from konvoi.data.patches import Problem
from konvoi.data.sources.tiff import TIFF_SUFFIXES
from konvoi.errors import DataError


@dataclass(frozen=True)
class Listing:
    """The patches of a folder.

    Attributes:
        files: by patch: one with all bands, or one a band in the order of `bands`. A patch is named after its file,
            below its sub-folder where there are any ("water/17"), or after its folder.
        bands: of files that hold one each, sorted; None where a file holds all.
        problems: files that are read for no patch.
        rejected: patches that are not read, for reasons that stand in `problems`.
    """

    files: dict[str, tuple[Path, ...]]
    bands: tuple[str, ...] | None
    problems: tuple[Problem, ...]
    rejected: frozenset[str] = frozenset()


def list_files(folder: Path, named: Iterable[str], bands: tuple[str, ...] | None) -> Listing:
    """List a folder.

    Args:
        folder: of the files, or of sub-folders with files.
        named: names of patches, where a table says some: sub-folders that are among them are patches.
        bands: that files of one band each are named after; None takes what stands after the last underscore.

    Raises:
        DataError: the folder cannot be listed, or the bands of a folder's one file are not known.
    """
    own, below = _contents(folder)
    nested = {name: _contents(folder / name) for name in below}
    problems = [
        Problem(str(folder / name / inner), "lies too deep: files lie in the folder or in its sub-folders")
        for name, (_, inner_folders) in nested.items()
        for inner in inner_folders
        if _contents(folder / name / inner)[0]
    ]
    if own:
        problems += [
            Problem(str(folder / name), f"is not read, because {folder} holds TIFF files itself")
            for name, (found, _) in nested.items()
            if found
        ]
        return _a_file_a_patch([(without_suffix(name), folder / name) for name in own], problems)
    tiffs = {name: found for name, (found, _) in nested.items() if found}
    known = {without_suffix(name) for name in named}
    if not known & set(tiffs):
        placed = [
            (f"{name}/{without_suffix(file)}", folder / name / file) for name, found in tiffs.items() for file in found
        ]
        return _a_file_a_patch(placed, problems)
    return _a_folder_a_patch(folder, tiffs, bands, problems)


def matched(names: Iterable[str], patches: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The patch that each name of a table or a list means; none where there is none, several where it is not clear.

    A name may have folders before it and a suffix after it. One without a folder means the patch of this name in
    whichever sub-folder it is.
    """
    patches = set(patches)
    by_file_name: dict[str, list[str]] = {}
    for patch in patches:
        by_file_name.setdefault(patch.rpartition("/")[2], []).append(patch)
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        parts = without_suffix(name.replace("\\", "/")).split("/")
        tails = ("/".join(parts[first:]) for first in range(len(parts)))
        exact = next((tail for tail in tails if tail in patches), None)
        if exact is not None:
            found[name] = (exact,)
        else:
            found[name] = tuple(sorted(by_file_name.get(parts[0], ()))) if len(parts) == 1 else ()
    return found


def without_suffix(name: str) -> str:
    """A file's name without .tif or .tiff."""
    return next((name[: -len(suffix)] for suffix in TIFF_SUFFIXES if name.lower().endswith(suffix)), name)


def _a_file_a_patch(placed: Sequence[tuple[str, Path]], problems: list[Problem]) -> Listing:
    files: dict[str, tuple[Path, ...]] = {}
    for patch, path in placed:
        if patch in files:
            problems.append(Problem(str(path), f"has the same name as {files[patch][0].name}, which is read"))
        else:
            files[patch] = (path,)
    return Listing(files, None, tuple(problems))


def _a_folder_a_patch(
    folder: Path, tiffs: Mapping[str, list[str]], bands: tuple[str, ...] | None, problems: list[Problem]
) -> Listing:
    single = next((name for name, found in tiffs.items() if len(found) == 1), None)
    if bands is None and single is not None and all(len(found) == 1 for found in tiffs.values()):
        raise DataError(f"{folder / single} holds one file. Name its bands with --bands.")
    # Bands of all patches, because the first may be the one that lacks some.
    suffixes = tuple(sorted(set(bands or (_after_underscore(file) for found in tiffs.values() for file in found))))
    files = {}
    for patch, found in tiffs.items():
        by_band: dict[str, Path] = {}
        twice = []
        for file in found:
            band = _band_of(file, suffixes)
            if band in by_band:
                twice.append(Problem(str(folder / patch / file), f"is a second file of band {band}"))
            elif band is not None:
                by_band[band] = folder / patch / file
        problems += twice
        if not twice:
            # A band that is missing here is missed when the patch is read, and named then.
            files[patch] = tuple(by_band.get(band, folder / patch / f"{patch}_{band}.tif") for band in suffixes)
    return Listing(files, suffixes, tuple(problems), frozenset(set(tiffs) - set(files)))


def _band_of(file: str, bands: Sequence[str]) -> str | None:
    """The band that a file is named after: of `nir` and `swir_nir` the longer, where both fit."""
    stem = without_suffix(file)
    return max((band for band in bands if stem == band or stem.endswith(f"_{band}")), key=len, default=None)


def _after_underscore(file: str) -> str:
    return without_suffix(file).rpartition("_")[2]


def _contents(folder: Path) -> tuple[list[str], list[str]]:
    """Names of TIFF files and of folders, sorted."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            files = sorted(entry.name for entry in shown if entry.name.lower().endswith(TIFF_SUFFIXES))
            return files, sorted(entry.name for entry in shown if entry.is_dir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}.") from error
