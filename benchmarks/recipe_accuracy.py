"""Test accuracy of the shipped recipes over several seeds: the table of recipes in the README.

    python benchmarks/recipe_accuracy.py mnist-cnn mnist-best --data-dir mnist=FOLDER --seeds 3

Each seed changes initialisation, order, augmentation and the split. Results are kept in
benchmarks/results/recipe_accuracy.json, where a later call for the same recipe replaces them, and
printed as the README's table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import konvoi
from konvoi.files import write_json
from konvoi.recipe import load_recipe, shipped_recipes
from konvoi.recipe.source import IdxSource
from konvoi.training.display import Silence

RESULTS = Path(__file__).parent / "results" / "recipe_accuracy.json"


def measure(name: str, seeds: int, data_dirs: dict[str, str]) -> list[dict[str, float | int | str]]:
    """Train a recipe once a seed, in folders that are thrown away."""
    source = load_recipe(name).source
    data_dir = data_dirs.get(source.dataset) if isinstance(source, IdxSource) else None
    results = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = konvoi.train(
                name,
                data_dir=data_dir,
                run_dir=Path(folder) / "run",
                overrides=[f"seed={seed}", f"split.seed={seed}"],
                display=Silence(),
            )
            evaluation = run.evaluation
            seconds = sum(sum(record.seconds.values()) for record in run.history)
            results.append(
                {
                    "seed": seed,
                    "test": evaluation.test.accuracy,
                    "validation": evaluation.validation.accuracy,
                    "train": evaluation.train.accuracy,
                    "parameters": run.facts.parameters,
                    "seconds": round(seconds, 1),
                    "precision": run.facts.precision,
                    "torch": run.facts.environment["torch"],
                    "processor": f"{run.facts.environment['cores']} cores, {run.facts.environment['processor']}",
                }
            )
        print(f"{name} seed {seed}: test {evaluation.test.accuracy:.4f}, {seconds:.1f} s", flush=True)
    return results


def table(measured: dict[str, list[dict[str, float | int | str]]]) -> str:
    """The README's table, in Markdown."""
    lines = [
        "| recipe | parameters | test accuracy, mean | lowest – highest seed | seeds | training time |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in sorted(measured):
        runs = measured[name]
        accuracies = [float(run["test"]) for run in runs]
        lines.append(
            f"| `{name}` | {runs[0]['parameters']:,} | {statistics.mean(accuracies):.2%} | "
            f"{min(accuracies):.2%} – {max(accuracies):.2%} | {len(runs)} | "
            f"{statistics.median(float(run['seconds']) for run in runs):,.1f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="default: only print the table of what was measured")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data-dir", action="append", default=[], metavar="DATASET=FOLDER")
    arguments = parser.parse_args()
    unknown = set(arguments.recipes) - set(shipped_recipes())
    if unknown:
        parser.error(f"no such recipe: {', '.join(sorted(unknown))}")
    measured = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.recipes:
        measured[name] = measure(name, arguments.seeds, dict(pair.split("=", 1) for pair in arguments.data_dir))
        RESULTS.parent.mkdir(exist_ok=True)
        write_json(RESULTS, measured)
    print(table(measured))


if __name__ == "__main__":
    main()
