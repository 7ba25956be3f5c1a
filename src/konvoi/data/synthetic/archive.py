"""Writing a synthetic archive in BigEarthNet's layout: in several processes, and again after a kill.

A patch's folder is filled beside its place and then renamed, so that a folder under its own name is whole; a
generation that is started again keeps those. What is in the files is in `scene`, `radar` and `metadata`.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

from konvoi.data.synthetic.geotiff import geotiff_bytes
from konvoi.data.synthetic.metadata import (
    as_text,
    label_file,
    patch_name,
    radar_label_file,
    radar_patch_name,
    write_lists,
    write_tables,
)
from konvoi.data.synthetic.plan import PlannedPatch, plan_archive
from konvoi.data.synthetic.radar import render_radar
from konvoi.data.synthetic.scene import METRES, render
from konvoi.errors import DataError
from konvoi.files import write_text

MARKER = "SYNTHETIC.txt"
"""The file at the root of every synthetic archive."""

_TEXT = """These images are SYNTHETIC. They were made by Konvoi, a training program; no satellite has seen them.

They have the layout of BigEarthNet, so that programs that read it can be tried: folders, names, tags and label files.
Their pixels are mixed from approximate reflectances of land covers, their labels follow BigEarthNet's published
frequencies, and which labels occur together is modelled. Coordinates are of real tiles, what is shown there is not,
and the year 2099 is in every name. No result on these images says anything about the real archive.

"""

_PATCHES_A_TASK = 16

Progress = Callable[[int, int], None]
"""Is told how many patches are done, and how many there are."""


def generate_bigearthnet(
    folder: Path,
    patches: int,
    seed: int,
    version: Literal[1, 2] = 1,
    sentinel1: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write a synthetic archive, or complete one whose generation was stopped.

    Args:
        folder: is made. Version 1 is in `BigEarthNet-v1.0` and `BigEarthNet-S1-v1.0` below it, with the lists of
            splits, snow and cloud beside them; version 2 in `BigEarthNet-S2` and `BigEarthNet-S1`, with its tables.
        patches: how many places; each is one Sentinel-2 patch.
        seed: of everything random. The same seed and number of patches give the same bytes, whatever the workers.
        version: of BigEarthNet's layout.
        sentinel1: whether there is a Sentinel-1 patch for each place, too.
        workers: processes that write.
        progress: is told of every few patches.

    Raises:
        DataError: the folder holds something else, or an archive of other settings; or fewer than one patch is wanted.
        OSError: the disk is full or the folder cannot be written.
    """
    plan = plan_archive(seed, patches)
    _claim(folder, {"patches": patches, "seed": seed, "version": version, "sentinel1": sentinel1})
    work = partial(_write_patches, folder, seed, version, sentinel1)
    tasks = [plan[first : first + _PATCHES_A_TASK] for first in range(0, patches, _PATCHES_A_TASK)]
    done = 0
    for written in _worked(work, tasks, workers):
        done += written
        if progress is not None:
            progress(done, patches)
    if version == 1:
        write_lists(folder, plan)
    else:
        write_tables(folder, plan)


def is_synthetic(folder: Path) -> bool:
    """Whether a folder, or an archive that it is part of, says that it was made by `generate_bigearthnet`."""
    folder = folder.absolute()
    return any((place / MARKER).is_file() for place in (folder, *folder.parents[:2]))


def _claim(folder: Path, settings: dict[str, int | bool]) -> None:
    """Mark a new folder, or check that the archive in it is of the same settings, and clear what a kill left."""
    marker = folder / MARKER
    line = f"Settings: {json.dumps(settings)}\n"
    if marker.is_file():
        found = marker.read_text(encoding="utf-8")
        if not found.endswith(line):
            raise DataError(
                f"{folder} holds a synthetic archive of other settings: {found.splitlines()[-1]}. Asked for are "
                f"{line.strip()}. Give the same settings to complete it, or another folder."
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty, and holds no synthetic archive. Give an empty or a new folder.")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(marker, _TEXT + line)
    for leftover in [*folder.glob("*/.*.part"), *folder.glob("*/*/.*.part")]:
        shutil.rmtree(leftover)


def _worked(work: Callable[[list[PlannedPatch]], int], tasks: list[list[PlannedPatch]], workers: int) -> Iterator[int]:
    if workers <= 1:
        yield from map(work, tasks)
        return
    # Not by fork, which copies the threads' locks in whatever state they are.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, tasks)


def _write_patches(folder: Path, seed: int, version: int, sentinel1: bool, patches: list[PlannedPatch]) -> int:
    for patch in patches:
        place = _optical_folder(folder, patch, version)
        if not place.is_dir():
            _fill(place, _optical_files(seed, patch, version))
        if sentinel1:
            place = _radar_folder(folder, patch, version)
            if not place.is_dir():
                _fill(place, _radar_files(seed, patch, version))
    return len(patches)


def _optical_folder(folder: Path, patch: PlannedPatch, version: int) -> Path:
    name = patch_name(patch, version)
    if version == 1:
        return folder / "BigEarthNet-v1.0" / name
    return folder / "BigEarthNet-S2" / patch.acquisition.tile_name / name


def _radar_folder(folder: Path, patch: PlannedPatch, version: int) -> Path:
    name = radar_patch_name(patch, version)
    if version == 1:
        return folder / "BigEarthNet-S1-v1.0" / name
    return folder / "BigEarthNet-S1" / patch.acquisition.radar_name / name


def _optical_files(seed: int, patch: PlannedPatch, version: int) -> dict[str, bytes]:
    """What follows the patch's name in each file's name, and the file's bytes."""
    files = {}
    for band, pixels in render(seed, patch).items():
        zone = patch.acquisition.site.zone
        files[f"_{band}.tif"] = geotiff_bytes(pixels, patch.left, patch.top, METRES[band], zone, version)
    if version == 1:
        files["_labels_metadata.json"] = as_text(label_file(patch)).encode()
    return files


def _radar_files(seed: int, patch: PlannedPatch, version: int) -> dict[str, bytes]:
    files = {}
    for polarisation, pixels in render_radar(seed, patch).items():
        zone = patch.acquisition.site.zone
        # Sentinel-1's files name no value without data in either version.
        files[f"_{polarisation}.tif"] = geotiff_bytes(pixels, patch.left, patch.top, 10, zone, 1)
    if version == 1:
        files["_labels_metadata.json"] = as_text(radar_label_file(patch)).encode()
    return files


def _fill(place: Path, files: dict[str, bytes]) -> None:
    aside = place.with_name(f".{place.name}.part")
    aside.mkdir(parents=True, exist_ok=True)
    for end, content in files.items():
        (aside / f"{place.name}{end}").write_bytes(content)
    aside.rename(place)
