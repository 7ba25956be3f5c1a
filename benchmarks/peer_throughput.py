"""Samples/s of one epoch of MNIST: Konvoi against Keras/TensorFlow and plain PyTorch, same network, same batch size.

    python benchmarks/peer_throughput.py --data-dir FOLDER --keras-python PYTHON

Every measurement is a process of its own, A B C A B C …; compared are the second epochs, with Adam on all sides.
Bars: ≥ 1.7 with the arithmetic Konvoi chooses on a processor with bfloat16 units, ≥ 1.0 held at float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from settings import peer_recipe, run_json, run_peer

BARS = {"auto": 1.7, "float32": 1.0}


def measure_konvoi(peer: str, precision: str, data_dir: Path) -> None:
    """Train in this process and print one JSON line."""
    import konvoi
    from konvoi.recipe import parse_recipe
    from konvoi.training.display import Silence

    recipe = parse_recipe(peer_recipe(peer, precision), "benchmark")
    with tempfile.TemporaryDirectory() as folder:
        run = konvoi.train(recipe, data_dir=data_dir, run_dir=Path(folder) / "run", display=Silence())
        print(json.dumps({"samples_per_second": run.history[-1].samples_per_second, "precision": run.facts.precision}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--keras-python", help="an interpreter with keras and tensorflow; without it Keras is left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--konvoi", nargs=2, metavar=("PEER", "PRECISION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.konvoi:
        measure_konvoi(*arguments.konvoi, arguments.data_dir)
        return
    pythons = {"pytorch": sys.executable} | ({"keras": arguments.keras_python} if arguments.keras_python else {})
    print("| peer | samples/s | Konvoi's arithmetic | Konvoi, samples/s | ratio, each round | median | bar |")
    print("|---|--:|---|--:|---|--:|--:|")
    for peer, python in pythons.items():
        rounds: dict[str, list[float]] = {precision: [] for precision in BARS}
        names = dict.fromkeys(BARS, "")
        peers = []
        for _ in range(arguments.rounds):
            found = run_peer(python, peer, "throughput", arguments.data_dir)
            peers.append(found["samples_per_second"])
            for precision in BARS:
                command = [sys.executable, __file__, "--data-dir", str(arguments.data_dir)]
                ours = run_json([*command, "--konvoi", peer, precision])
                rounds[precision].append(ours["samples_per_second"])
                names[precision] = ours["precision"].split(":")[0]
        for precision, rates in rounds.items():
            ratios = [ours / theirs for ours, theirs in zip(rates, peers, strict=True)]
            print(
                f"| {found['peer']} | {statistics.median(peers):,.0f} | {names[precision]} | "
                f"{statistics.median(rates):,.0f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} | "
                f"{statistics.median(ratios):.2f} | {BARS[precision]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
