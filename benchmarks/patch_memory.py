"""Peak memory of packing, training and mapping a scene, and of ten times as much of each.

    python benchmarks/patch_memory.py --folder FOLDER

Counted is memory that the process owns (anonymous pages, sampled every 5 ms); pages of files that it has mapped are the
system's to keep or drop. Bar: ten times the data cost the same memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from settings import run_json

RECIPE = """
name: memory
about: For a benchmark.
source: {kind: store}
split: {test: 0.1, validation: 0.1}
network: {kind: resnet, depth: 18}
loss: {kind: bce}
optim: {kind: sgd, lr: 0.01}
budget: {epochs: 1, batch: 64, keep: last}
"""
SMALL, LARGE = 400, 4000
SCENE_COLUMNS, SCENE_ROWS = 2400, {SMALL: 1800, LARGE: 18_000}


class Peak:
    """The largest anonymous memory of this process while it lives, in MiB."""

    def __init__(self) -> None:
        self.mebibytes = 0.0
        self._going = True
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while self._going:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    self.mebibytes = max(self.mebibytes, int(line.split()[1]) / 1024)
            time.sleep(0.005)

    def stop(self) -> float:
        self._going = False
        self._thread.join()
        return self.mebibytes


def packing(folder: Path, patches: int) -> None:
    from konvoi.data.pack import pack
    from konvoi.data.sources.patch_sources import PatchOptions, open_patches

    source = open_patches(folder / f"archive-{patches}", None, PatchOptions())
    with tempfile.TemporaryDirectory(dir=folder) as target:
        pack(source, Path(target) / "store")


def training(folder: Path, patches: int) -> None:
    import konvoi
    from konvoi.recipe import parse_recipe
    from konvoi.training.display import Silence

    with tempfile.TemporaryDirectory() as run_dir:
        konvoi.train(
            parse_recipe(RECIPE, "the benchmark"),
            data_dir=folder / f"store-{patches}",
            run_dir=Path(run_dir) / "run",
            display=Silence(),
        )


def mapping(folder: Path, patches: int) -> None:
    from konvoi.predict.scenes import predict_scene
    from konvoi.run import load_run

    with tempfile.TemporaryDirectory() as target:
        predict_scene(load_run(folder / "memory-run"), folder / f"scene-{patches}.tif", Path(target) / "map.tif")


def prepare(folder: Path) -> None:
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin

    import konvoi
    from konvoi.recipe import parse_recipe
    from konvoi.training.display import Silence
    from patch_archive import store

    for patches in (SMALL, LARGE):
        store(folder, patches)
    if not (folder / "memory-run").exists():
        konvoi.train(
            parse_recipe(RECIPE, "the benchmark"), data_dir=folder / f"store-{SMALL}", run_dir=folder / "memory-run",
            display=Silence(),
        )  # fmt: skip
    run = konvoi.load_run(folder / "memory-run")
    noise = np.random.default_rng(0)
    for patches, rows in SCENE_ROWS.items():
        path = folder / f"scene-{patches}.tif"
        if not path.exists():
            with rasterio.open(
                path, "w", driver="GTiff", count=12, height=rows, width=SCENE_COLUMNS, dtype="uint16", tiled=True,
                compress="deflate", crs="EPSG:32633", transform=from_origin(4e5, 5.4e6, 10, 10),
            ) as file:  # fmt: skip
                file.descriptions = run.bands.names
                for band in range(12):
                    # Repeated, so that writing is quick; what is in the pixels does not matter here.
                    block = noise.integers(200, 3000, (600, SCENE_COLUMNS), dtype=np.uint16)
                    file.write(np.tile(block, (rows // 600, 1)), band + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for archives, stores and scenes; about 4 GB")
    parser.add_argument("--task", choices=["packing", "training", "mapping"], help=argparse.SUPPRESS)
    parser.add_argument("--patches", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    tasks = {"packing": packing, "training": training, "mapping": mapping}
    if arguments.task:
        peak = Peak()
        tasks[arguments.task](arguments.folder, arguments.patches)
        print(json.dumps({"mebibytes": peak.stop()}))
        return
    prepare(arguments.folder)
    command = [sys.executable, __file__, "--folder", str(arguments.folder)]
    rows = f"{SCENE_ROWS[SMALL]:,} or {SCENE_ROWS[LARGE]:,}"
    what = {
        "packing": f"packing {SMALL:,} or {LARGE:,} patches",
        "training": f"training ResNet-18 on {SMALL:,} or {LARGE:,} patches, batch 64",
        "mapping": f"mapping a scene of {rows} × {SCENE_COLUMNS:,} pixels, 12 bands",
    }
    print("| | peak memory, MiB | ten times as much, MiB | ratio |")
    print("|---|--:|--:|--:|")
    for task, words in what.items():
        small, large = (
            run_json([*command, "--task", task, "--patches", str(patches)])["mebibytes"] for patches in (SMALL, LARGE)
        )
        print(f"| {words} | {small:,.0f} | {large:,.0f} | {large / small:.2f} |", flush=True)


if __name__ == "__main__":
    main()
