"""SIGKILL of a random rank at a random moment, ten times over: does the run come back, and end with the same weights?

    python benchmarks/faults.py [--kills 10] [--ranks 2] [--seed 0]

First a training is left alone. Then the same one is started again for each kill, and one of its ranks is killed at a
moment drawn from the whole of it: while it starts, in a step, while it validates or saves, while it is scored. Moments
are counted in epochs, so that they do not depend on how fast the machine is. Nobody restarts it but its own launcher.
Bar: every run ends by itself, with the weights and history of the undisturbed one, bit for bit. Linux: ranks are found
through /proc.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

RECIPE = """
name: faults
source: {kind: digits}
input: {normalise: unit, augment: {shift: 1}}
network: {kind: cnn, blocks: [{maps: 8, norm: batch, pool: max}, {maps: 16, dropout: 0.2}], dropout: 0.3}
optim: {kind: sgd, lr: 0.05, momentum: 0.9}
budget: {epochs: 25, batch: 32, keep: last, checkpoint_seconds: 0.2}
compute: {precision: float32, device: cpu}
"""
EPOCHS = 25


def start(folder: Path, ranks: int) -> subprocess.Popen[str]:
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "konvoi", "train", "recipe.yaml", "--ranks", str(ranks), "--run-dir", "run"]
    return subprocess.Popen(
        command, cwd=folder, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def ranks_of(launcher: int) -> list[int]:
    """Process numbers of the ranks, in the order in which they were started."""
    try:
        return [int(child) for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def progress(run: Path) -> int:
    """Epochs that are saved; −1 before the first step, one more than all when only scoring is left."""
    if not (run / "checkpoints" / "last.safetensors").exists():
        return -1
    if json.loads((run / "run.json").read_text())["state"] in {"trained", "evaluated"}:
        return EPOCHS + 1
    return len(json.loads((run / "history.json").read_text())) if (run / "history.json").exists() else 0


def in_words(epochs: int) -> str:
    if epochs < 0:
        return "before the first step"
    return "trained, being scored" if epochs > EPOCHS else f"{epochs} of {EPOCHS} epochs saved"


def outcome(run: Path) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The final weights, and the training loss of each epoch."""
    tensors = load_file(run / "checkpoints" / "last.safetensors")
    history = json.loads((run / "history.json").read_text())
    return {name: value for name, value in tensors.items() if name.startswith("network/")}, [
        entry["train_loss"] for entry in history
    ]


def same(first: Path, second: Path) -> bool:
    weights, losses = outcome(first)
    others, other_losses = outcome(second)
    return losses == other_losses and weights.keys() == others.keys() and all(
        torch.equal(value, others[name]) for name, value in weights.items()
    )  # fmt: skip


def disturbed(folder: Path, ranks: int, moment: float, victim: int) -> tuple[str, str, int]:
    """Kill a rank of a new run at a moment, in epochs: what happened, what it said, and its exit code."""
    process = start(folder, ranks)
    run, found = folder / "run", []
    while process.poll() is None and (len(found) < ranks or progress(run) < math.floor(moment)):
        time.sleep(0.01)
        found = ranks_of(process.pid)
    # The rest of it as seconds: an epoch lasts less, a start longer.
    time.sleep(moment % 1 * (0.3 if moment >= 0 else 3))
    where = in_words(progress(run))
    try:
        os.kill(found[victim], signal.SIGKILL)
    except (ProcessLookupError, IndexError):
        where = f"{where}; the rank had just ended"
    _, errors = process.communicate(timeout=600)
    return f"rank {victim}, {where}", errors, process.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    stream = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        process = start(Path(name) / "undisturbed", arguments.ranks)
        _, errors = process.communicate(timeout=600)
        if process.returncode != 0:
            sys.exit(errors)
        print("| killed | ended by itself after | same weights and history |")
        print("|---|--:|---|")
        good = 0
        for number in range(arguments.kills):
            folder = Path(name) / f"killed-{number}"
            moment, victim = stream.uniform(-2, EPOCHS + 2), stream.randrange(arguments.ranks)
            started = time.monotonic()
            words, errors, code = disturbed(folder, arguments.ranks, moment, victim)
            equal = code == 0 and same(Path(name) / "undisturbed" / "run", folder / "run")
            good += equal
            answer = "yes" if equal else f"NO (exit code {code}) {errors[-500:]}"
            print(f"| {words} | {time.monotonic() - started:.1f} s | {answer} |", flush=True)
    print(f"\n{good} of {arguments.kills} ended with the weights of the undisturbed run, bit for bit.")
    sys.exit(good != arguments.kills)


if __name__ == "__main__":
    main()
