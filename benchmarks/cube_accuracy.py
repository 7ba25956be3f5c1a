"""Accuracy of the networks for cubes on SalinasA: guarded blocks, and random pixels, which leak, beside them.

    python benchmarks/cube_accuracy.py --data-dir FOLDER [--seeds 5] [cube-3dcnn …]

FOLDER holds SalinasA.mat and SalinasA_gt.mat. Each seed changes initialisation, order, augmentation and the split. The
random split has the same shares; it leaves nothing out, so more pixels train. Bar: cube-3dcnn trains on guarded blocks
in ≤ 3 minutes on two cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import konvoi
from konvoi.training.display import Silence

RECIPES = ("cube-3dcnn", "salinas-a-hybrid", "salinas-a-pca-cnn", "salinas-a-spectral-cnn")
RANDOM = ["split.pixels={method: random}", "split.allow_leakage=true"]


def measure(recipe: str, data_dir: Path, seed: int, leaking: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = konvoi.train(
            recipe,
            data_dir=data_dir,
            run_dir=Path(folder) / "run",
            overrides=[f"seed={seed}", f"split.seed={seed}", *(RANDOM if leaking else [])],
            display=Silence(),
        )
        test = run.evaluation.test
        return {
            "OA": test.accuracy,
            "AA": test.average_accuracy,
            "kappa": test.kappa,
            "pixels": run.facts.data.split_sizes["train"],
            "seconds": sum(sum(record.seconds.values()) for record in run.history),
        }


def spread(values: list[float], percent: bool) -> str:
    mean = statistics.mean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{mean:.2%} ± {100 * deviation:.2f}" if percent else f"{mean:.4f} ± {deviation:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder of SalinasA")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print("| recipe | split | training pixels | OA | lowest – highest OA | AA | κ | training time |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for recipe in arguments.recipes:
        for leaking in (False, True):
            runs = [measure(recipe, arguments.data_dir, seed, leaking) for seed in range(arguments.seeds)]
            of = {name: [run[name] for run in runs] for name in runs[0]}
            kappa = spread(of["kappa"], False)
            print(
                f"| `{recipe}` | {'random pixels, **leaking**' if leaking else 'guarded blocks'} | "
                f"{min(of['pixels']):,.0f} – {max(of['pixels']):,.0f} | {spread(of['OA'], True)} | "
                f"{min(of['OA']):.2%} – {max(of['OA']):.2%} | {spread(of['AA'], True)} | {kappa} | "
                f"{statistics.median(of['seconds']):,.0f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
