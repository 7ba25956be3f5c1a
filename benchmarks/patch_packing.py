"""Patches packed a second on one core, against a loop that opens each band with rasterio and default settings.

    python benchmarks/patch_packing.py --folder FOLDER [--patches 2000]

Both sides read the same files, which the first, unmeasured round leaves in the page cache. The loop does what is
usually done: open, read, append to an array a band group; its result is written with numpy.save. Konvoi also checks,
hashes and sums up every patch, reads its labels and places, and writes checksums. Bar: ≥ 4 times the loop.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from pathlib import Path

from settings import run_json

GROUPS = {
    "10m": ("B02", "B03", "B04", "B08"),
    "20m": ("B05", "B06", "B07", "B8A", "B11", "B12"),
    "60m": ("B01", "B09"),
}


def rasterio_loop(source: Path, target: Path) -> float:
    import numpy as np
    import rasterio

    names = sorted(path.name for path in source.iterdir())
    started = time.perf_counter()
    arrays: dict[str, list[object]] = {group: [] for group in GROUPS}
    labels = []
    for name in names:
        for group, bands in GROUPS.items():
            values = []
            for band in bands:
                with rasterio.open(source / name / f"{name}_{band}.tif") as file:
                    values.append(file.read(1))
            arrays[group].append(np.stack(values))
        labels.append(json.loads((source / name / f"{name}_labels_metadata.json").read_text())["labels"])
    target.mkdir(parents=True)
    for group, stacked in arrays.items():
        np.save(target / f"{group}.npy", np.stack(stacked))
    (target / "labels.json").write_text(json.dumps(labels))
    return len(names) / (time.perf_counter() - started)


def konvoi_pack(source: Path, target: Path) -> float:
    from konvoi.data.pack import pack
    from konvoi.data.sources.patch_sources import PatchOptions, open_patches

    started = time.perf_counter()
    patches = open_patches(source, None, PatchOptions())
    pack(patches, target, workers=1)
    return len(patches.names) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for archives and stores; several hundred MB")
    parser.add_argument("--patches", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=["rasterio", "konvoi"], help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sides = {"rasterio": rasterio_loop, "konvoi": konvoi_pack}
    target = arguments.folder / "packed"
    if arguments.side:
        print(json.dumps({"rate": sides[arguments.side](arguments.source, target)}))
        return
    from patch_archive import archive

    source = archive(arguments.folder, arguments.patches)
    command = ["taskset", "-c", "0", sys.executable, __file__, "--folder", str(arguments.folder)]
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(arguments.rounds + 1):
        for side in sides:
            shutil.rmtree(target, ignore_errors=True)
            rate = run_json([*command, "--source", str(source), "--side", side])["rate"]
            if number:
                rates[side].append(rate)
    shutil.rmtree(target, ignore_errors=True)
    ratios = [ours / theirs for ours, theirs in zip(rates["konvoi"], rates["rasterio"], strict=True)]
    print("| | patches/s, one core | ratio, each round | median | bar |")
    print("|---|--:|---|--:|--:|")
    print(f"| rasterio, a file a band | {statistics.median(rates['rasterio']):,.0f} | | | |")
    print(
        f"| `konvoi data pack` | {statistics.median(rates['konvoi']):,.0f} | "
        f"{', '.join(f'{ratio:.1f}' for ratio in ratios)} | {statistics.median(ratios):.1f} | ≥ 4 |"
    )


if __name__ == "__main__":
    main()
