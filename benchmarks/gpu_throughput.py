"""ResNet-50 on one GPU: images/s of Konvoi's training against a bare, hand-tuned loop, the input pipeline included.

    python benchmarks/gpu_throughput.py [--folder FOLDER] [--batch 256] [--steps 40]

Two inputs: 12 × 120 × 120 patches with 43 labels, from a store of three native resolutions, and 3 × 224 × 224 pictures
of ten classes, from a store of 8-bit squares; both are generated. bfloat16 and channels-last throughout; eager,
compiled, and compiled with CUDA graphs. The bare loop has its one batch on the GPU already, in the network's own
format, a fused optimiser, and does nothing but steps. Konvoi's side is `konvoi train`: it reads, sends, enlarges,
normalises and turns every batch, counts what is correct, and keeps its records. Bar: Konvoi ≥ 0.9 of the bare loop,
both compiled. Without a GPU this says so, and ends well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from settings import run_json

RECIPE = """
name: throughput
about: For a benchmark.
source: {{kind: store}}
split: {{test: 0.1, validation: 0.02}}
input: {{augment: {augment}}}
network: {{kind: resnet, depth: 50}}
loss: {loss}
optim: {{kind: sgd, lr: 0.01, momentum: 0.9, weight_decay: 0.0001}}
budget: {{epochs: 3, batch: {batch}, keep: last, checkpoint_seconds: 100000}}
compute: {{device: cuda, precision: bfloat16, compile: {compile}, cuda_graphs: {graphs}}}
"""
SHAPES = {"patches": (12, 120, 120, 43), "pictures": (3, 224, 224, 10)}
"""Channels, height, width, labels."""

SETTINGS = {"eager": (False, False), "compiled": (True, False), "compiled, CUDA graphs": (True, True)}
WARM_UP = 10


def loss_function(inputs: str) -> nn.Module:
    return nn.BCEWithLogitsLoss() if inputs == "patches" else nn.CrossEntropyLoss()


def bare(inputs: str, setting: str, batch: int, steps: int, folder: Path) -> None:
    from konvoi.models.resnet import ResNet

    compiled, graphs = SETTINGS[setting]
    channels, height, width, labels = SHAPES[inputs]
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device("cuda")
    network = ResNet(50, channels, labels).train().to(device, memory_format=torch.channels_last)
    images = torch.randn((batch, channels, height, width), device=device).contiguous(memory_format=torch.channels_last)
    truth = torch.randint(labels, (batch,), device=device)
    if inputs == "patches":
        truth = (torch.rand((batch, labels), device=device) < 0.07).float()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)
    loss_of = loss_function(inputs)
    forward = torch.compile(network, mode="reduce-overhead" if graphs else None) if compiled else network
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            torch.cuda.synchronize()
            started = time.perf_counter()
        if graphs:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast("cuda", torch.bfloat16):
            loss = loss_of(forward(images), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.cuda.synchronize()
    print(json.dumps({"rate": steps * batch / (time.perf_counter() - started), "waiting": 0.0}))


def konvoi_loop(inputs: str, setting: str, batch: int, steps: int, folder: Path) -> None:
    import konvoi
    from konvoi.recipe import parse_recipe
    from konvoi.training.display import Silence

    compiled, graphs = SETTINGS[setting]
    text = RECIPE.format(
        augment="{symmetries: true}" if inputs == "patches" else "{flip: true}",
        loss="{kind: bce}" if inputs == "patches" else "{kind: cross-entropy}",
        batch=batch,
        compile=str(compiled).lower(),
        graphs=str(graphs).lower(),
    )
    with tempfile.TemporaryDirectory() as run_dir:
        run = konvoi.train(
            parse_recipe(text, "the benchmark"),
            data_dir=store_of(inputs, folder, batch, steps),
            run_dir=Path(run_dir) / "run",
            evaluate_test=False,
            display=Silence(),
        )
        last = run.history[-1]
    waiting = last.seconds["data"] / (last.seconds["data"] + last.seconds["step"])
    print(json.dumps({"rate": last.samples_per_second, "waiting": waiting}))


def store_of(inputs: str, folder: Path, batch: int, steps: int) -> Path:
    """A generated store with so many samples that an epoch has about so many steps; kept for the next time."""
    from konvoi.data.pack import pack
    from konvoi.data.sources.patch_sources import PatchOptions, open_patches

    samples = round(steps * batch / 0.882)
    place = folder / f"{inputs}-{samples}"
    if place.exists():
        return place
    if inputs == "patches":
        from patch_archive import archive

        pack(open_patches(archive(folder, samples), None, PatchOptions()), place, workers=8)
    else:
        pictures = folder / f"jpegs-{samples}"
        write_pictures(pictures, samples)
        pack(open_patches(pictures, "imagenet", PatchOptions(size=224)), place, workers=8)
    return place


def write_pictures(folder: Path, samples: int) -> None:
    """JPEGs of 224 × 224 in folders named as ImageNet's: smooth noise, each another."""
    from PIL import Image

    stream = np.random.default_rng(0)
    for number in range(samples):
        synset = folder / "train" / f"n{number % 10 + 1440764:08d}"
        synset.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(stream.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        coarse.resize((224, 224), Image.Resampling.BICUBIC).save(synset / f"{synset.name}_{number}.JPEG")


def copy_rate() -> str:
    """GB/s from page-locked and from ordinary memory to the GPU, 256 MiB at once."""
    words = []
    for pinned in (True, False):
        block = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=pinned)
        target = torch.empty_like(block, device="cuda")
        for copies in (2, 10):
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(copies):
                target.copy_(block, non_blocking=True)
            torch.cuda.synchronize()
            rate = copies * block.numel() / (time.perf_counter() - started) / 1e9
        words.append(f"{rate:.1f} GB/s from {'page-locked' if pinned else 'ordinary'} memory")
    return ", ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/gpu"), help="for generated stores")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--side", choices=["bare", "konvoi"], help=argparse.SUPPRESS)
    parser.add_argument("--inputs", choices=list(SHAPES), help=argparse.SUPPRESS)
    parser.add_argument("--setting", choices=list(SETTINGS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch finds no CUDA device here, so nothing was measured.")
        return
    settings = (arguments.batch, arguments.steps, arguments.folder)
    if arguments.side:
        {"bare": bare, "konvoi": konvoi_loop}[arguments.side](arguments.inputs, arguments.setting, *settings)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    today = datetime.now(UTC).date()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {today}, batch {arguments.batch}.")
    print(f"Copies to it: {copy_rate()}.\n")
    print("| input | | bare loop, images/s | Konvoi, images/s | ratio | waiting for data | bar |")
    print("|---|---|--:|--:|--:|--:|--:|")
    command = [sys.executable, __file__, "--folder", str(arguments.folder), "--batch", str(arguments.batch)]
    command += ["--steps", str(arguments.steps)]
    for inputs, (channels, height, width, _) in SHAPES.items():
        store_of(inputs, arguments.folder, arguments.batch, arguments.steps)
        for setting in SETTINGS:
            sides = {
                side: run_json([*command, "--inputs", inputs, "--setting", setting, "--side", side])
                for side in ("bare", "konvoi")
            }
            rate, ours = sides["bare"]["rate"], sides["konvoi"]["rate"]
            bar = "≥ 0.9" if setting == "compiled" else ""
            print(
                f"| {channels} × {height} × {width} | {setting} | {rate:,.0f} | {ours:,.0f} | {ours / rate:.2f} | "
                f"{sides['konvoi']['waiting']:.1%} | {bar} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
