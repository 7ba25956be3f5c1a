"""What the benchmarks on patches share: a generated archive, kept between runs, and its store."""

from __future__ import annotations

from pathlib import Path

from konvoi.data.pack import pack
from konvoi.data.sources.patch_sources import PatchOptions, open_patches
from konvoi.data.store import Store
from konvoi.data.synthetic import generate_bigearthnet


def archive(folder: Path, patches: int) -> Path:
    """A synthetic archive in version 1's layout."""
    place = folder / f"archive-{patches}"
    generate_bigearthnet(place, patches, seed=0, workers=2)
    return place / "BigEarthNet-v1.0"


def store(folder: Path, patches: int) -> Store:
    """The archive, packed."""
    source = open_patches(archive(folder, patches), None, PatchOptions())
    return pack(source, folder / f"store-{patches}", workers=2)
