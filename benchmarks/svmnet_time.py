"""Seconds to fit a convolutional SVM network of 8, 16 and 24 filters on SalinasA, from a fresh process.

    python benchmarks/svmnet_time.py --data-dir FOLDER [--rounds 3]

FOLDER holds SalinasA.mat and SalinasA_gt.mat. Counted is the fitting of all layers and of the classifier, with their
checkpoints, and beside it the whole of `konvoi train`, which reads the data, scores, fits the baselines and writes the
report. The same machines are also timed with scikit-learn's LinearSVC in place of Konvoi's solver. Bar: ≤ 60 s.
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

RECIPE = "salinas-a-svmnet"


def konvoi(data_dir: Path) -> None:
    """One run; the seconds of its layers, and of all of it."""
    from konvoi.experiment import train
    from konvoi.training.display import Silence

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = train(RECIPE, data_dir=data_dir, run_dir=Path(folder) / "run", display=Silence())
        whole = time.perf_counter() - started
        layers = run.layers
    print(json.dumps({"layers": sum(sum(layer.seconds.values()) for layer in layers), "whole": whole}))


def scikit_learn(data_dir: Path) -> None:
    """The same folds, C's and patches, with LinearSVC as the machine."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    from konvoi.training import squared_hinge

    class Machines(squared_hinge.Machines):
        def fit(self, rows, positive, costs, start=None):  # type: ignore[no-untyped-def]
            machine = LinearSVC(C=1.0, dual=False)
            machine.fit(self._values[rows, :-1], positive, sample_weight=costs)
            return rows, machine

        def decide(self, solution, rows):  # type: ignore[no-untyped-def]
            return solution[1].decision_function(self._values[rows, :-1])

        def weights(self, solution):  # type: ignore[no-untyped-def]
            return np.asarray(solution[1].coef_[0]), float(solution[1].intercept_[0])

    import warnings

    from konvoi.training import linear_svm

    linear_svm.Machines = Machines  # type: ignore[misc]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        konvoi(data_dir)


def main() -> None:
    """Each side in turn, round by round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["konvoi", "scikit-learn"])
    arguments = parser.parse_args()
    if arguments.side:
        (konvoi if arguments.side == "konvoi" else scikit_learn)(arguments.data_dir)
        return
    seconds: dict[str, list[float]] = {"konvoi": [], "scikit-learn": []}
    for _ in range(arguments.rounds):
        for side, found in seconds.items():
            command = [sys.executable, __file__, "--data-dir", str(arguments.data_dir), "--side", side]
            result = run_json(command)
            found.append(result["layers"])
            print(f"{side}: layers {result['layers']:.1f} s, the whole training {result['whole']:.1f} s", flush=True)
    medians = {side: statistics.median(found) for side, found in seconds.items()}
    print(
        f"median of the layers: Konvoi's solver {medians['konvoi']:.1f} s, LinearSVC {medians['scikit-learn']:.1f} s; "
        f"{medians['scikit-learn'] / medians['konvoi']:.1f} times; bar 60 s"
    )


if __name__ == "__main__":
    main()
