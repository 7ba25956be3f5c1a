"""Two Gloo ranks on two cores: Konvoi against Lightning, Accelerate and a bare DistributedDataParallel loop.

    python benchmarks/two_ranks.py --data-dir MNIST --python PYTHON [--rounds 3] [--starts 9]

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
from collections.abc import Callable
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


def rate_of_konvoi(python: str, data_dir: Path, precision: str) -> float:
    """Samples/s of the last epoch."""
    with tempfile.TemporaryDirectory() as folder:
        command = konvoi_command(python, data_dir, Path(folder), precision)
        if subprocess.run(command, stdout=subprocess.DEVNULL, env=ONE_THREAD, check=False).returncode != 0:
            sys.exit(f"{' '.join(command)} failed")
        rate: float = json.loads((Path(folder) / "run" / "history.json").read_text())[-1]["samples_per_second"]
    return rate


def start_of_konvoi(python: str, data_dir: Path, rate: float) -> float:
    """Seconds from the command to the end of the first step, which takes what a step takes at this rate.

    A training writes its first checkpoint directly before its first step.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = konvoi_command(python, data_dir, Path(folder), "float32")
        started = time.time()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ONE_THREAD, start_new_session=True
        )
        while not (Path(folder) / "run" / "checkpoints" / "last.safetensors").exists():
            if process.poll() is not None:
                sys.exit(f"{' '.join(command)} failed")
            time.sleep(0.002)
        begun = time.time() - started
        process.terminate()
        process.wait()
    return begun + 256 / rate


def konvoi_command(python: str, data_dir: Path, folder: Path, precision: str) -> list[str]:
    (folder / "recipe.yaml").write_text(RECIPE)
    command = [python, "-m", "konvoi", "train", str(folder / "recipe.yaml"), "--ranks", "2", "--seal-test"]
    command += ["--run-dir", str(folder / "run"), "--data-dir", str(data_dir)]
    return [*command, "--set", f"compute.precision={precision}"]


def answer_of(command: list[str], key: str) -> float:
    """What a peer says of itself under this key."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ONE_THREAD)
    lines = [line for line in done.stdout.splitlines() if line.startswith(f'{{"{key}"')]
    # What counts was said before the process ended, and an abort at the very end (torch 2.13) does not change it.
    if not lines:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    value: float = json.loads(lines[-1])[key]
    return value


def start_of(command: list[str]) -> float:
    """Seconds from a peer's command to the end of its first step."""
    started = time.time()
    return answer_of([*command, "--first-step"], "first_step") - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="MNIST's four IDX files, as published")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3, help="of whole trainings")
    parser.add_argument("--starts", type=int, default=9, help="rounds of starts, which are short and scatter more")
    arguments = parser.parse_args()
    python, data_dir = arguments.python, arguments.data_dir

    def peers(*options: str) -> dict[str, list[str]]:
        own = ["--data-dir", str(data_dir), *options]
        return {
            "bare": [python, *TORCHRUN, str(PEER), "bare", *own],
            "lightning": [python, str(PEER), "lightning", *own],
            "accelerate": [python, *TORCHRUN, str(PEER), "accelerate", *own],
        }

    engines = "Konvoi | bare loop | Lightning | Accelerate"
    print(f"| | arithmetic | {engines} | against the better library | against the bare loop |")
    print("|---|---|--:|--:|--:|--:|---|---|")
    rate = 1.0
    for precision, options in (("float32", ()), ("bfloat16", ("--bfloat16",))):
        rounds = [
            {
                "konvoi": rate_of_konvoi(python, data_dir, precision),
                **{name: answer_of(command, "samples_per_second") for name, command in peers(*options).items()},
            }
            for _ in range(arguments.rounds)
        ]
        print_row("samples/s", precision, rounds, max, ",.0f")
        if precision == "float32":
            rate = statistics.median(entry["konvoi"] for entry in rounds)
    starts = [
        {
            "konvoi": start_of_konvoi(python, data_dir, rate),
            **{name: start_of(command) for name, command in peers().items()},
        }
        for _ in range(arguments.starts)
    ]
    print_row("seconds to the first step", "float32", starts, min, ".2f")


def print_row(
    words: str, precision: str, rounds: list[dict[str, float]], better: Callable[[float, float], float], digits: str
) -> None:
    """Medians of all engines, and Konvoi's ratio to the others in each round."""
    medians = [statistics.median(entry[engine] for entry in rounds) for engine in rounds[0]]
    library = [entry["konvoi"] / better(entry["lightning"], entry["accelerate"]) for entry in rounds]
    loop = [entry["konvoi"] / entry["bare"] for entry in rounds]
    shown = " | ".join(format(value, digits) for value in medians)
    print(f"| {words} | {precision} | {shown} | {listed(library)} | {listed(loop)} |", flush=True)


def listed(ratios: list[float]) -> str:
    return f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.2f}"


if __name__ == "__main__":
    main()
