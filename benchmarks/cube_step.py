"""Training throughput of cube-3dcnn: Konvoi's against the same network in eager float32 and PyTorch's default layout.

    python benchmarks/cube_step.py --data-dir FOLDER [--rounds 3] [--batches 15]

FOLDER holds SalinasA.mat and SalinasA_gt.mat. The eager sides are a bare loop on windows that lie in memory already,
with the spectrum first, as PyTorch's documents order the axes of a Conv3d (depth, height, width), or last. Konvoi's
sides are the second epoch of `konvoi train`, whose loop gathers, turns and normalises every batch and keeps its
records; they differ in arithmetic and in the layout of memory. What each layer takes is in cube_layers.py.
Bar: ≥ 2 times the eager side's samples/s where the CPU has bfloat16 units.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from settings import run_json

RECIPE = "cube-3dcnn"
SIDES = {
    "eager": "eager float32, default layout, spectrum first",
    "eager-last": "eager float32, default layout, spectrum last",
    "konvoi": "Konvoi, its own choice of arithmetic, channels last",
    "bfloat16-default": "Konvoi, bfloat16, default layout",
    "float32": "Konvoi, float32, channels last",
    "float32-default": "Konvoi, float32, default layout",
}
CHANGES = {
    "konvoi": ["compute.precision=auto"],
    "bfloat16-default": ["compute.precision=bfloat16", "compute.channels_last=false"],
    "float32": ["compute.precision=float32"],
    "float32-default": ["compute.precision=float32", "compute.channels_last=false"],
}


def eager(data_dir: Path, batches: int, spectrum_last: bool) -> None:
    import torch
    from torch import nn

    from konvoi.experiment.material import prepare
    from konvoi.recipe import load_recipe

    recipe = load_recipe(RECIPE)
    shape = prepare(recipe, data_dir).dataset.image_shape
    bands, height, width = shape
    layers: list[nn.Module] = []
    channels, rest = 1, (height, width, bands)
    for maps in recipe.network.filters:
        rows, columns, depth = recipe.network.kernel
        kernel = (rows, columns, depth) if spectrum_last else (depth, rows, columns)
        layers += [nn.Conv3d(channels, maps, kernel), nn.ReLU()]
        channels, rest = maps, (rest[0] - rows + 1, rest[1] - columns + 1, rest[2] - depth + 1)
    layers.append(nn.Flatten())
    inputs = channels * rest[0] * rest[1] * rest[2]
    for units in recipe.network.hidden:
        layers += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(recipe.network.dropout)]
        inputs = units
    network = nn.Sequential(*layers, nn.Linear(inputs, 6))
    batch = recipe.budget.batch
    windows = torch.randn(batch, 1, *((height, width, bands) if spectrum_last else (bands, height, width)))
    labels = torch.randint(6, (batch,))
    settings = recipe.optim
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=settings.weight_decay)
    loss_function = nn.CrossEntropyLoss(label_smoothing=recipe.loss.label_smoothing)
    seconds = []
    for _ in range(batches + 2):
        started = time.perf_counter()
        loss = loss_function(network(windows), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"rate": batch / statistics.median(seconds[2:]), "waiting": 0.0}))


def konvoi_loop(data_dir: Path, changes: list[str]) -> None:
    import konvoi
    from konvoi.training.display import Silence

    with tempfile.TemporaryDirectory() as folder:
        run = konvoi.train(
            RECIPE,
            data_dir=data_dir,
            run_dir=Path(folder) / "run",
            overrides=["budget.epochs=2", "split.test=0.6", *changes],
            evaluate_test=False,
            display=Silence(),
        )
        last = run.history[-1]
        waiting = last.seconds["data"] / (last.seconds["data"] + last.seconds["step"])
    print(json.dumps({"rate": last.samples_per_second, "waiting": waiting}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder of SalinasA")
    parser.add_argument("--batches", type=int, default=15, help="of the eager sides")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side in CHANGES:
        konvoi_loop(arguments.data_dir, CHANGES[arguments.side])
    elif arguments.side:
        eager(arguments.data_dir, arguments.batches, arguments.side == "eager-last")
    else:
        command = [sys.executable, __file__, "--data-dir", str(arguments.data_dir), "--batches", str(arguments.batches)]
        rounds = [{side: run_json([*command, "--side", side]) for side in SIDES} for _ in range(arguments.rounds)]
        print("| | samples/s | ratio, each round | median | bar | waiting for data |")
        print("|---|--:|---|--:|--:|--:|")
        for side, name in SIDES.items():
            rate = statistics.median(entry[side]["rate"] for entry in rounds)
            if side == "eager":
                print(f"| {name} | {rate:.1f} | | | | |")
                continue
            ratios = [entry[side]["rate"] / entry["eager"]["rate"] for entry in rounds]
            waiting = statistics.median(entry[side]["waiting"] for entry in rounds)
            print(
                f"| {name} | {rate:.1f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} | "
                f"{statistics.median(ratios):.2f} | {'≥ 2' if side == 'konvoi' else ''} | "
                f"{'' if side == 'eager-last' else f'{waiting:.1%}'} |"
            )


if __name__ == "__main__":
    main()
