"""Peak memory of training on and mapping a scene of Pavia University's size, beside that of an array of all patches.

    python benchmarks/cube_memory.py --folder FOLDER

The scene is made up (610 × 340 pixels, 103 bands), with about as many labelled pixels as Pavia University's ground
truth has. Counted is the most memory that a process ever had (VmHWM: code, libraries and mapped files included). How
many steps are trained does not change it, so few are. Bar: training and mapping ≤ 2 GB each.

The practice of notebooks is an array of all labelled pixels' patches in float64. On a scene of 150 × 120 pixels it is
made and measured; of the large scene its size is computed: pixels × window² × bands × 8 bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from konvoi.recipe import Recipe, parse_recipe
from settings import run_json

RECIPE = """
name: memory
about: For a benchmark.
source: {{kind: cube, cube: scene.hdr, ground_truth: ground_truth.hdr, window: {window}}}
split: {{test: 0.97, validation: 0.1, pixels: {{method: stratified}}, allow_leakage: true}}
network: {{kind: cnn3d}}
optim: {{kind: sgd, lr: 0.001}}
budget: {{epochs: 1, batch: 50, accumulate: {micro_batches}, keep: last}}
"""
SCENES = {"large": (610, 340), "small": (150, 120)}
BANDS = 103
LABELLED = 42_776
"""Of Pavia University; of the small scene all labelled pixels are kept."""

WINDOWS = {9: 1, 21: 5}
"""And micro-batches of a step: of 50 large windows at once, a 3-D network would keep more than 2 GB of activations."""


def memory_recipe(window: int) -> Recipe:
    return parse_recipe(RECIPE.format(window=window, micro_batches=WINDOWS[window]), "the benchmark")


def training(folder: Path, window: int) -> None:
    import konvoi
    from konvoi.training.display import Silence

    with tempfile.TemporaryDirectory() as run_dir:
        recipe = memory_recipe(window)
        konvoi.train(recipe, data_dir=folder, run_dir=Path(run_dir) / "run", evaluate_test=False, display=Silence())


def mapping(folder: Path, window: int) -> None:
    """The scores of every pixel, by a network as it was initialised: what it has learned takes no memory."""
    from konvoi.experiment.material import prepare
    from konvoi.predict.dense import dense_logits

    material = prepare(memory_recipe(window), folder)
    found = dense_logits(material.network, material.dataset.images.cube, material.bands, window)
    assert found.logits.shape[1:] == material.dataset.scene.ground_truth.shape


def patches(folder: Path, window: int) -> None:
    """As notebooks do it: the cube as float64 with a border of zeros, and a loop that copies each patch."""
    import numpy as np

    from konvoi.data.sources.cube_file import read_cube
    from konvoi.data.sources.ground_truth import read_ground_truth

    cube = np.moveaxis(read_cube(folder / "scene.hdr").values, 0, -1).astype(np.float64)
    labels = read_ground_truth(folder / "ground_truth.hdr").values
    border = window // 2
    padded = np.zeros((cube.shape[0] + 2 * border, cube.shape[1] + 2 * border, cube.shape[2]))
    padded[border : border + cube.shape[0], border : border + cube.shape[1]] = cube
    pixels = np.argwhere(labels > 0)
    array = np.zeros((len(pixels), window, window, cube.shape[2]))
    for number, (row, column) in enumerate(pixels.tolist()):
        array[number] = padded[row : row + window, column : column + window]


TASKS = {"training": training, "mapping": mapping, "patches": patches}


def peak_megabytes() -> float:
    """The most memory that this process ever had, in MB (10⁶ bytes)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status has no VmHWM: this benchmark needs Linux")


def prepare_scene(folder: Path, size: tuple[int, int], most: int | None) -> int:
    """Make a scene up where it is missing, and return how many of its pixels are labelled."""
    import numpy as np
    from scipy.ndimage import label

    from konvoi.data.synthetic.cube import generate_cube

    if not (folder / "scene.hdr").exists():
        generate_cube(folder, *size, BANDS)
    path = folder / "ground_truth.img"
    truth = np.fromfile(path, dtype=np.uint8).reshape(size)
    if most is not None and np.count_nonzero(truth) > 1.2 * most:
        # Whole fields lose their labels, drawn at random, until as many pixels are left.
        fields, number = label(truth > 0)
        for field in np.random.default_rng(0).permutation(number) + 1:
            if np.count_nonzero(truth) <= most:
                break
            truth[fields == field] = 0
        truth.tofile(path)
    return int(np.count_nonzero(truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the scenes; about 50 MB")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--window", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        TASKS[arguments.task](arguments.folder, arguments.window)
        print(json.dumps({"megabytes": peak_megabytes()}))
        return
    print("| scene | window | labelled pixels | training, MB | mapping, MB | array of all patches, float64, MB |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, size in SCENES.items():
        folder = arguments.folder / name
        labelled = prepare_scene(folder, size, LABELLED if name == "large" else None)
        for window in WINDOWS:
            command = [sys.executable, __file__, "--folder", str(folder), "--window", str(window), "--task"]
            peaks = {task: run_json([*command, task])["megabytes"] for task in ("training", "mapping")}
            of_patches = f"{labelled * window**2 * BANDS * 8 / 1e6:,.0f} computed"
            if name == "small":
                of_patches += f", {run_json([*command, 'patches'])['megabytes']:,.0f} measured"
            print(
                f"| {size[0]} × {size[1]} × {BANDS} | {window} | {labelled:,} | {peaks['training']:,.0f} | "
                f"{peaks['mapping']:,.0f} | {of_patches} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
