"""The three convolutions of cube-3dcnn, forward and backward, in several arithmetics and layouts of memory.

    python benchmarks/cube_layers.py [--bands 204] [--batch 16] [--rounds 3]

Processor time of one core, the least of the rounds, so that what else the machine does counts little. "Spectrum first"
is the order of PyTorch's documents (depth, height, width); "folded" is the 3-D convolution as a 2-D one over columns
and spectrum, with the window's rows folded into the channels, on input that is folded already.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv3d

LAYERS = ((1, 48, 9, 0), (48, 32, 7, 4), (32, 32, 5, 8))
"""Channels in and out, side of the window, and bands that are gone already."""


def least(compute: object, rounds: int) -> float:
    compute()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        compute()
        times.append(time.process_time() - started)
    return min(times)


def step(images: Tensor, weight: Tensor, first: bool, rounds: int) -> float:
    """Milliseconds a sample, forward and backward; nothing asks for the gradient of the first layer's input."""
    images.requires_grad_(not first)
    weight.requires_grad_()
    convolve = conv2d if images.dim() == 4 else conv3d
    wanted = [weight] if first else [weight, images]
    output = convolve(images, weight)
    direction = torch.randn_like(output)
    with torch.no_grad():
        forward = least(lambda: convolve(images, weight), rounds)
    backward = least(lambda: torch.autograd.grad(output, wanted, direction, retain_graph=True), rounds)
    return 1000 * (forward + backward)


def measure(name: str, bands: int, batch: int, rounds: int) -> list[float]:
    dtype = torch.bfloat16 if "bfloat16" in name else torch.float32
    found = []
    for number, (channels, maps, side, gone) in enumerate(LAYERS):
        spectrum = bands - gone
        if "folded" in name:
            # As many rows of output as the window has less two, each with its three rows of input as channels.
            images = torch.randn(batch * (side - 2), 3 * channels, side, spectrum, dtype=dtype)
            weight = torch.randn(maps, 3 * channels, 3, 5, dtype=dtype)
            layout = torch.channels_last
        elif "first" in name:
            images = torch.randn(batch, channels, spectrum, side, side, dtype=dtype)
            weight = torch.randn(maps, channels, 5, 3, 3, dtype=dtype)
            layout = torch.channels_last_3d
        else:
            images = torch.randn(batch, channels, side, side, spectrum, dtype=dtype)
            weight = torch.randn(maps, channels, 3, 3, 5, dtype=dtype)
            layout = torch.channels_last_3d
        if "channels last" in name:
            images, weight = images.to(memory_format=layout), weight.to(memory_format=layout)
        found.append(step(images, weight, number == 0, rounds) / batch)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bands", type=int, default=204)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    orders = ("spectrum first", "spectrum last")
    names = [f"float32, {order}, {layout}" for order in orders for layout in ("default layout", "channels last")]
    names += [name.replace("float32", "bfloat16") for name in names]
    names += ["float32, folded, channels last", "bfloat16, folded, channels last"]
    print("| ms a sample, forward and backward | conv1 | conv2 | conv3 | all | faster by |")
    print("|---|--:|--:|--:|--:|--:|")
    slowest = 0.0
    for name in names:
        found = measure(name, arguments.bands, arguments.batch, arguments.rounds)
        slowest = slowest or sum(found)
        cells = " | ".join(f"{value:.2f}" for value in (*found, sum(found)))
        print(f"| {name} | {cells} | {slowest / sum(found):.2f} |", flush=True)


if __name__ == "__main__":
    main()
