"""Shuffled batches of patches a second: Konvoi's store, rasterio, LMDB with safetensors, Zarr, and a plain memory copy.

    python benchmarks/patch_reading.py --folder FOLDER [--patches 3000] [--batch 256]

All read the same patches in the same shuffled order, from the page cache, with two threads of arithmetic. Two kinds of
batches are asked for:

native: the bytes as stored, a batch a grid, as Konvoi sends them to the device, which then enlarges and normalises
them. The plain copy copies the same bytes between two arrays in memory, patch by patch in order. Bar: ≥ 0.4 of it.

on one grid: float32 `(n, 12, 120, 120)`, coarser bands enlarged bilinearly on the CPU, where that is the device.
rasterio opens each band and resamples while it reads, which is the usual dataset class. Bar of reading: ≥ 100 times it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from konvoi.memory import keep_freed_memory
from patch_archive import archive, store

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
Native = Callable[[np.ndarray], list[np.ndarray] | list[Tensor]]


def rasterio_reader(folder: Path, names: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    import rasterio
    from rasterio.enums import Resampling

    def read(rows: np.ndarray) -> np.ndarray:
        images = []
        for row in rows.tolist():
            bands = []
            for band in BANDS:
                with rasterio.open(folder / names[row] / f"{names[row]}_{band}.tif") as file:
                    bands.append(file.read(1, out_shape=(120, 120), resampling=Resampling.bilinear))
            images.append(np.stack(bands).astype(np.float32))
        return np.stack(images)

    return read


def lmdb_reader(folder: Path, shards: list[np.ndarray], groups: list[tuple[str, ...]]) -> Native:
    import lmdb
    from safetensors.numpy import load, save

    if not folder.exists():
        with lmdb.open(str(folder), map_size=1 << 34) as environment, environment.begin(write=True) as transaction:
            for row in range(len(shards[0])):
                tensors = {
                    band: np.ascontiguousarray(shard[row, position])
                    for shard, names in zip(shards, groups, strict=True)
                    for position, band in enumerate(names)
                }
                transaction.put(str(row).encode(), save(tensors))
    environment = lmdb.open(str(folder), readonly=True, lock=False)

    def read(rows: np.ndarray) -> list[np.ndarray]:
        batch = [np.empty((len(rows), *shard.shape[1:]), shard.dtype) for shard in shards]
        with environment.begin() as transaction:
            for number, row in enumerate(rows.tolist()):
                tensors = load(transaction.get(str(row).encode()))
                for target, names in zip(batch, groups, strict=True):
                    for position, band in enumerate(names):
                        target[number, position] = tensors[band]
        return batch

    return read


def zarr_reader(folder: Path, shards: list[np.ndarray], compressed: bool) -> Native:
    import zarr

    arrays = []
    for number, shard in enumerate(shards):
        place = folder / str(number)
        if not place.exists():
            options: dict[str, Any] = {} if compressed else {"compressors": None}
            made = zarr.create_array(
                store=str(place), shape=shard.shape, chunks=(1, *shard.shape[1:]), dtype=shard.dtype, **options
            )
            made[:] = np.asarray(shard)
        arrays.append(zarr.open_array(str(place), mode="r"))
    return lambda rows: [array.oindex[rows] for array in arrays]


def copier(shards: list[np.ndarray], batch: int) -> Native:
    """Copies as many bytes, in order, from one array in memory to another."""
    sources = [np.ascontiguousarray(shard[:batch]) for shard in shards]

    def read(rows: np.ndarray) -> list[np.ndarray]:
        return [source[: len(rows)].copy() for source in sources]

    return read


def rate(read: Callable[[np.ndarray], object], batches: list[np.ndarray]) -> float:
    started = time.perf_counter()
    for rows in batches:
        read(rows)
    return sum(map(len, batches)) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for archives and stores; about 3 GB")
    parser.add_argument("--patches", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder, patches = arguments.folder, arguments.patches
    packed = store(folder, patches)
    images = packed.arrays(BANDS, np.arange(patches))
    grids = packed.manifest.grids
    shards = [np.concatenate(packed.shards(grid.name)) for grid in grids]
    groups = [grid.bands for grid in grids]
    cpu = torch.device("cpu")
    keep_freed_memory()  # as every training does
    native: dict[str, Native] = {
        "plain memory copy": copier(shards, arguments.batch),
        "Konvoi's store": images.gather,
        "LMDB + safetensors": lmdb_reader(folder / f"lmdb-{patches}", shards, groups),
        "Zarr, a chunk a patch, not compressed": zarr_reader(folder / f"zarr-{patches}", shards, compressed=False),
        "Zarr, a chunk a patch, its compression": zarr_reader(folder / f"zarr-z-{patches}", shards, compressed=True),
    }
    on_one_grid: dict[str, Callable[[np.ndarray], object]] = {
        "rasterio, a file a band, bilinear": rasterio_reader(archive(folder, patches), packed.column("names").tolist()),
        "Konvoi's store": lambda rows: images.to_one_grid(images.gather(rows), cpu, "bilinear"),
    }
    check = np.random.default_rng(0).permutation(patches)[:32]
    for name, read in native.items():
        if name != "plain memory copy":
            for found, shard in zip(read(check), shards, strict=True):
                np.testing.assert_array_equal(np.asarray(found), shard[check])
    size = sum(shard[0].nbytes for shard in shards)
    slow = {"rasterio, a file a band, bilinear": 1, "Zarr, a chunk a patch, not compressed": 4}
    rates: dict[tuple[str, str], list[float]] = {}
    for number in range(arguments.rounds + 1):
        order = np.random.default_rng(number).permutation(patches)
        batches = [order[start : start + arguments.batch] for start in range(0, patches, arguments.batch)]
        for kind, readers in (("native", native), ("on one grid", on_one_grid)):
            for name, read in readers.items():
                measured = rate(read, batches[: slow.get(name, len(batches))])
                if number:
                    rates.setdefault((kind, name), []).append(measured)
    print(
        "| batches | reader | patches/s | GB/s of stored bytes | of a plain copy, each round | × rasterio, each round |"
    )
    print("|---|---|--:|--:|---|---|")
    copied, opened = rates["native", "plain memory copy"], rates["on one grid", "rasterio, a file a band, bilinear"]
    for (kind, name), values in rates.items():
        middle = statistics.median(values)
        of_copy = ", ".join(f"{own / other:.2f}" for own, other in zip(values, copied, strict=True))
        of_rasterio = ", ".join(f"{own / other:.0f}" for own, other in zip(values, opened, strict=True))
        shown = [
            of_copy if kind == "native" and values is not copied else "",
            of_rasterio if values is not opened else "",
        ]
        print(f"| {kind} | {name} | {middle:,.0f} | {middle * size / 1e9:.2f} | {shown[0]} | {shown[1]} |")
    print(json.dumps({"bytes a patch": size}))


if __name__ == "__main__":
    main()
