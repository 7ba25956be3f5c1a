"""What Konvoi's loop costs: samples/s and peak memory against a bare hand-written loop with the same settings.

    python benchmarks/loop_overhead.py --data-dir FOLDER [--recipe mnist-cnn]

The bare loop has the same network object, batches gathered from the same uint8 array, precision, optimiser, learning
rate and memory settings, and nothing else: no progress, checks, checkpoints, signals, averages or training accuracy.
Bars: ≥ 0.95 of its samples/s, ≤ 1.5 times its peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from settings import run_json

EPOCHS = 3


def bare(recipe_name: str, data_dir: Path) -> None:
    import torch
    from torch import nn

    from konvoi.experiment import prepare
    from konvoi.memory import keep_freed_memory
    from konvoi.recipe import load_recipe
    from konvoi.training.optimiser import parameter_groups
    from konvoi.training.precision import choose_precision

    recipe = load_recipe(recipe_name)
    device = torch.device("cpu")
    keep_freed_memory()
    material = prepare(recipe, data_dir)
    network = material.network.to(memory_format=torch.channels_last).train()
    images = torch.from_numpy(material.dataset.images)
    labels = torch.from_numpy(material.dataset.labels)
    train = torch.from_numpy(material.split.train)
    gain, offset = (float(values[0]) for values in material.bands.gain_and_offset)
    optim = recipe.optim
    optimiser = torch.optim.SGD(
        parameter_groups(network, optim.weight_decay, optim.decay_norms_and_biases),
        lr=optim.lr,
        momentum=optim.momentum,
        nesterov=optim.nesterov,
        foreach=True,
    )
    loss_function = nn.CrossEntropyLoss()
    precision = choose_precision(recipe.compute.precision, device)
    batch = recipe.budget.batch
    steps = -(-len(train) // batch)
    for _ in range(EPOCHS):
        started = time.perf_counter()
        order = train[torch.randperm(len(train))]
        for step in range(steps):
            chosen = order[step * len(train) // steps : (step + 1) * len(train) // steps]
            inputs = images[chosen].float().mul_(gain).add_(offset).contiguous(memory_format=torch.channels_last)
            with precision.autocast(device):
                loss = loss_function(network(inputs), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        seconds = time.perf_counter() - started
    report(len(train) / seconds)


def konvoi_loop(recipe_name: str, data_dir: Path) -> None:
    import konvoi
    from konvoi.training.display import Silence

    with tempfile.TemporaryDirectory() as folder:
        run = konvoi.train(
            recipe_name,
            data_dir=data_dir,
            run_dir=Path(folder) / "run",
            overrides=[f"budget.epochs={EPOCHS}"],
            display=Silence(),
        )
        report(run.history[-1].samples_per_second)


def report(rate: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"samples_per_second": rate, "peak_mib": peak / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--recipe", default="mnist-cnn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=["bare", "konvoi"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sides = {"bare": bare, "konvoi": konvoi_loop}
    if arguments.side:
        sides[arguments.side](arguments.recipe, arguments.data_dir)
        return
    command = [sys.executable, __file__, "--data-dir", str(arguments.data_dir), "--recipe", arguments.recipe, "--side"]
    rounds = [{side: run_json([*command, side]) for side in sides} for _ in range(arguments.rounds)]
    print("| | bare loop | Konvoi | ratio, each round | median | bar |")
    print("|---|--:|--:|---|--:|--:|")
    for key, name, bar in (
        ("samples_per_second", "samples/s", "≥ 0.95"),
        ("peak_mib", "peak memory of the whole process, MiB", "≤ 1.5"),
    ):
        values = {side: [entry[side][key] for entry in rounds] for side in sides}
        ratios = [ours / theirs for ours, theirs in zip(values["konvoi"], values["bare"], strict=True)]
        print(
            f"| `{arguments.recipe}`, {name} | {statistics.median(values['bare']):,.0f} | "
            f"{statistics.median(values['konvoi']):,.0f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} | "
            f"{statistics.median(ratios):.2f} | {bar} |"
        )


if __name__ == "__main__":
    main()
