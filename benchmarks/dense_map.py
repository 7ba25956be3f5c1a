"""A map of a whole scene: the network once over it, against window by window, in one process.

    python benchmarks/dense_map.py [--bands 200] [--side 145] [--windows 1000] [--rounds 3]

The network is that of cube-3dcnn, untrained, on a made cube; what the weights are changes no time. Window by window is
what evaluation does (batches of 250 windows gathered from the cube). Both are float32, and the scores are compared.
Bar: ≥ 12 times as fast a pixel; the arithmetic falls 14.9-fold at 200 bands.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from konvoi.data.bands import Bands
from konvoi.data.windows import CubeWindows
from konvoi.evaluation.inference import predict_logits
from konvoi.models.build import build_network
from konvoi.predict.dense import dense_logits
from konvoi.recipe import load_recipe

WINDOW = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bands", type=int, default=200)
    parser.add_argument("--side", type=int, default=145, help="of the scene in pixels")
    parser.add_argument("--windows", type=int, default=1000, help="pixels that are classified window by window")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    bands, side = arguments.bands, arguments.side
    torch.manual_seed(0)
    network = build_network(load_recipe("cube-3dcnn"), (bands, WINDOW, WINDOW), 16)
    stream = np.random.default_rng(0)
    cube = np.moveaxis(stream.integers(0, 4000, (side, side, bands)).astype(np.int16), -1, 0)
    contract = Bands(
        names=tuple(f"b{number}" for number in range(1, bands + 1)),
        scale=(1.0,) * bands,
        units=("as stored",) * bands,
        normalise="standard",
        mean=(2000.0,) * bands,
        deviation=(1155.0,) * bands,
    )
    pixels = stream.integers(0, side, (arguments.windows, 2))
    windows = CubeWindows(cube, pixels, WINDOW)
    dense_logits(network, cube[:, :40, :40], contract, WINDOW)
    predict_logits(network, windows, contract, np.arange(64))
    times: dict[str, list[float]] = {"dense": [], "windows": []}
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        dense = dense_logits(network, cube, contract, WINDOW)
        times["dense"].append((time.perf_counter() - started) / side**2)
        started = time.perf_counter()
        single = predict_logits(network, windows, contract)
        times["windows"].append((time.perf_counter() - started) / len(pixels))
    difference = np.abs(dense.logits[:, pixels[:, 0], pixels[:, 1]].T - single).max()
    ratios = [window / whole for whole, window in zip(times["dense"], times["windows"], strict=True)]
    print(f"{side} × {side} pixels, {bands} bands, window {WINDOW} × {WINDOW}; {dense.how}\n")
    print("| | µs a pixel | ratio, each round | median | bar |")
    print("|---|--:|---|--:|--:|")
    print(f"| window by window | {1e6 * statistics.median(times['windows']):,.0f} | | | |")
    print(
        f"| the network once over the scene | {1e6 * statistics.median(times['dense']):,.0f} | "
        f"{', '.join(f'{ratio:.1f}' for ratio in ratios)} | {statistics.median(ratios):.1f} | ≥ 12 |"
    )
    print(f"\nlargest difference between the scores: {difference:.1e}")


if __name__ == "__main__":
    main()
