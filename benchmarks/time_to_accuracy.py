"""Seconds of training to 99.0 % test accuracy on MNIST: `mnist-fast` against the peers' examples.

    python benchmarks/time_to_accuracy.py --data-dir FOLDER --keras-python PYTHON

Training starts cold, with the data loaded. A peer's example may stop at the first epoch whose test accuracy is 99.0 %,
and its evaluations are not counted; that is more than a user could know. Konvoi's recipe is fixed beforehand, runs to
its end, its own validation and checkpoints included, and its test set is read once. Bar: 20 times faster than either.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from settings import run_json, run_peer

BAR = 20.0


def measure_konvoi(data_dir: Path, seed: int) -> None:
    """Train `mnist-fast` in this process and print one JSON line."""
    import konvoi

    with tempfile.TemporaryDirectory() as folder:
        display = Stopwatch()
        run = konvoi.train(
            "mnist-fast", data_dir=data_dir, run_dir=Path(folder) / "run", overrides=[f"seed={seed}"], display=display
        )
        print(json.dumps({"seconds": display.seconds, "accuracy": run.evaluation.test.accuracy}))


class Stopwatch:
    """A display that measures from before the first step to the end of the training."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        self._started = time.perf_counter()

    def advance(self, samples: int) -> None:
        pass

    def epoch_done(self, record: object) -> None:
        pass

    def end(self) -> None:
        self.seconds = time.perf_counter() - self._started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--keras-python", help="an interpreter with keras and tensorflow; without it Keras is left out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--konvoi", type=int, metavar="SEED", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.konvoi is not None:
        measure_konvoi(arguments.data_dir, arguments.konvoi)
        return
    pythons = {"pytorch": sys.executable} | ({"keras": arguments.keras_python} if arguments.keras_python else {})
    peers: dict[str, list[dict]] = {peer: [] for peer in pythons}
    ours = []
    for seed in range(arguments.seeds):
        for peer, python in pythons.items():
            peers[peer].append(run_peer(python, peer, "accuracy", arguments.data_dir, seed))
        command = [sys.executable, __file__, "--data-dir", str(arguments.data_dir), "--konvoi", str(seed)]
        ours.append(run_json(command))
    print("| | seconds to 99.0 %, each seed | test accuracy, each seed | epochs | Konvoi is faster by | bar |")
    print("|---|---|---|---|--:|--:|")
    print(f"| Konvoi `mnist-fast` | {seconds(ours)} | {accuracies(ours)} | 2, 2, 2 | | |")
    for found in peers.values():
        ratios = [theirs["seconds"] / konvoi["seconds"] for theirs, konvoi in zip(found, ours, strict=True)]
        print(
            f"| {found[0]['peer']} | {seconds(found)} | {accuracies(found)} | "
            f"{', '.join(str(entry['epochs']) for entry in found)} | {statistics.median(ratios):.1f} | {BAR:.0f} |"
        )


def seconds(entries: list[dict]) -> str:
    return ", ".join(f"{entry['seconds']:.1f}" for entry in entries)


def accuracies(entries: list[dict]) -> str:
    return ", ".join(f"{entry['accuracy']:.2%}{'' if entry['accuracy'] >= 0.99 else ' (missed)'}" for entry in entries)


if __name__ == "__main__":
    main()
