"""One training step of ResNet-50 on 12 × 120 × 120 patches: Konvoi's against eager float32 in default memory format.

    python benchmarks/resnet_step.py --folder FOLDER [--batch 64] [--steps 8]

Both train the same network, batch and optimiser on a CPU. The eager side has its batch in memory already; Konvoi's side
is `konvoi train` on a store, whose loop reads, enlarges, normalises and augments every batch, and keeps its records.
Bars: ≥ 2.5 times the eager side's patches/s where the CPU has bfloat16 matrix units; ≤ 2 % of the step waiting for
data.
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

RECIPE = """
name: step
about: For a benchmark.
source: {{kind: store}}
split: {{test: 0.1, validation: 0.02}}
input: {{augment: {{symmetries: true}}}}
network: {{kind: resnet, depth: 50}}
loss: {{kind: bce}}
optim: {{kind: sgd, lr: 0.01, momentum: 0.9, weight_decay: 0.0001}}
budget: {{epochs: 2, batch: {batch}, keep: last}}
compute: {{precision: {precision}}}
"""


def eager(folder: Path, patches: int, batch: int, steps: int) -> None:
    import torch
    from torch import nn

    from konvoi.models.resnet import ResNet

    torch.manual_seed(0)
    network = ResNet(50, 12, 43).train()
    images = torch.randn(batch, 12, 120, 120)
    labels = (torch.rand(batch, 43) < 0.07).float()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loss_function = nn.BCEWithLogitsLoss()
    seconds = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        loss = loss_function(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"rate": batch / statistics.median(seconds[2:]), "waiting": 0.0}))


def konvoi_loop(folder: Path, patches: int, batch: int, steps: int, precision: str = "auto") -> None:
    import konvoi
    from konvoi.recipe import parse_recipe
    from konvoi.training.display import Silence

    recipe = parse_recipe(RECIPE.format(batch=batch, precision=precision), "the benchmark")
    with tempfile.TemporaryDirectory() as run_dir:
        run = konvoi.train(
            recipe, data_dir=folder / f"store-{patches}", run_dir=Path(run_dir) / "run", display=Silence()
        )
        last = run.history[-1]
        waiting = last.seconds["data"] / (last.seconds["data"] + last.seconds["step"])
    print(json.dumps({"rate": last.samples_per_second, "waiting": waiting}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for archives and stores")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["eager", "konvoi", "float32"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # So many that 0.9 × 0.98 of them, in shares that are stratified, are about the steps asked for.
    patches = round(arguments.steps * arguments.batch / 0.882)
    settings = (arguments.folder, patches, arguments.batch, arguments.steps)
    if arguments.side == "eager":
        eager(*settings)
    elif arguments.side:
        konvoi_loop(*settings, precision="auto" if arguments.side == "konvoi" else "float32")
    else:
        from patch_archive import store

        store(arguments.folder, patches)
        command = [sys.executable, __file__, "--folder", str(arguments.folder), "--batch", str(arguments.batch)]
        sides = ("eager", "konvoi", "float32")
        rounds = [
            {side: run_json([*command, "--steps", str(arguments.steps), "--side", side]) for side in sides}
            for _ in range(arguments.rounds)
        ]
        names = {"konvoi": "Konvoi, its own choice of arithmetic", "float32": "Konvoi, float32"}
        bars = {"konvoi": "≥ 2.5", "float32": ""}
        print("| | patches/s | ratio, each round | median | bar | waiting for data |")
        print("|---|--:|---|--:|--:|--:|")
        rate = statistics.median(entry["eager"]["rate"] for entry in rounds)
        print(f"| eager float32, default memory format | {rate:.1f} | | | | |")
        for side, name in names.items():
            ratios = [entry[side]["rate"] / entry["eager"]["rate"] for entry in rounds]
            rate = statistics.median(entry[side]["rate"] for entry in rounds)
            waiting = statistics.median(entry[side]["waiting"] for entry in rounds)
            print(
                f"| {name} | {rate:.1f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} | "
                f"{statistics.median(ratios):.2f} | {bars[side]} | {waiting:.1%} |"
            )


if __name__ == "__main__":
    main()
