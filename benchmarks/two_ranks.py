"""Two Gloo ranks on two cores: Konvoi against Lightning, Accelerate and a bare DistributedDataParallel loop.

    python benchmarks/two_ranks.py --data-dir MNIST --python PYTHON [--rounds 5]

All train the same small network on MNIST in memory, 128 images a rank and step, one thread a rank. `PYTHON` is an
interpreter that has Lightning, Accelerate and Konvoi. Bars: samples/s ≥ 1.0 × the better of the two libraries and
≥ 0.97 of the bare loop; from the command to the end of the first step ≤ 0.7 × the quicker library.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """
name: two-ranks
source: {kind: idx, dataset: mnist}
split: {validation: 0.01}
input: {normalise: unit}
network: {kind: cnn, blocks: [{maps: 32, padding: valid, pool: max}, {maps: 64, padding: valid, pool: max}]}
optim: {kind: sgd, lr: 0.05, momentum: 0.9}
budget: {epochs: 3, batch: 256, keep: last}
"""
PEER = Path(__file__).parent / "peers" / "two_ranks.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def measure_konvoi(python: str, data_dir: Path, precision: str) -> dict[str, float]:
    """Samples/s of the last epoch, and seconds from the command to the end of the first step.

    A training writes its first checkpoint directly before its first step.
    """
    with tempfile.TemporaryDirectory() as folder:
        recipe, run = Path(folder) / "recipe.yaml", Path(folder) / "run"
        recipe.write_text(RECIPE)
        command = [python, "-m", "konvoi", "train", str(recipe), "--ranks", "2", "--seal-test", "--run-dir", str(run)]
        command += ["--data-dir", str(data_dir), "--set", f"compute.precision={precision}"]
        started = time.time()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ONE_THREAD)
        while not (run / "checkpoints" / "last.safetensors").exists() and process.poll() is None:
            time.sleep(0.005)
        begun = time.time() - started
        if process.wait() != 0:
            sys.exit(f"{' '.join(command)} failed")
        rate = json.loads((run / "history.json").read_text())[-1]["samples_per_second"]
    return {"rate": rate, "start": begun + 256 / rate}


def measure(command: list[str]) -> dict[str, float]:
    """The same of a peer, which says itself when its first step ended."""
    started = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ONE_THREAD)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"samples_per_second"')]
    # What counts was said before the process ended, and an abort at the very end (torch 2.13) does not change it.
    if not lines:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    answer = json.loads(lines[-1])
    return {"rate": answer["samples_per_second"], "start": answer["first_step"] - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="MNIST's four IDX files, as published")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    engines = "Konvoi | bare loop | Lightning | Accelerate"
    print(f"| arithmetic | | {engines} | against the better library | against the bare loop |")
    print("|---|---|--:|--:|--:|--:|---|---|")
    for precision in ("float32", "bfloat16"):
        peer = ["--data-dir", str(arguments.data_dir), *(["--bfloat16"] if precision == "bfloat16" else [])]
        commands = {
            "bare": [*TORCHRUN, str(PEER), "bare", *peer],
            "lightning": [str(PEER), "lightning", *peer],
            "accelerate": [*TORCHRUN, str(PEER), "accelerate", *peer],
        }
        rounds = [
            {
                "konvoi": measure_konvoi(arguments.python, arguments.data_dir, precision),
                **{engine: measure([arguments.python, *command]) for engine, command in commands.items()},
            }
            for _ in range(arguments.rounds)
        ]
        for key, words, better in (("rate", "samples/s", max), ("start", "seconds to the first step", min)):
            medians = [statistics.median(entry[engine][key] for entry in rounds) for engine in rounds[0]]
            library = [
                entry["konvoi"][key] / better(entry["lightning"][key], entry["accelerate"][key]) for entry in rounds
            ]
            loop = [entry["konvoi"][key] / entry["bare"][key] for entry in rounds]
            shown = " | ".join(f"{value:,.0f}" if key == "rate" else f"{value:.1f}" for value in medians)
            print(f"| {precision} | {words} | {shown} | {listed(library)} | {listed(loop)} |", flush=True)


def listed(ratios: list[float]) -> str:
    return f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.2f}"


if __name__ == "__main__":
    main()
