"""What data parallelism costs: two ranks on two cores against one on one, and Konvoi's loop against a bare one.

    python benchmarks/parallel_overhead.py [--rounds 40] [--batch 24] [--steps 1]

ResNet-50 on 12 × 120 × 120 patches with 43 labels, from a generated store, one thread a rank, so many patches a rank
and step. Two processes take turns, a step of each within seconds, because the cores of a shared machine lose up to
a third of their speed to their neighbours for a while, and then for all three alike:

(a) one rank alone, a bare loop of forward, loss, backward and update, while the other process waits;
(b) both, a bare loop with DistributedDataParallel;
(c) both, `konvoi.train`, from the store.

All three have the same network, precision, memory format, optimiser, buckets and threads. Weak-scaling efficiency is
patches/s of (c) over twice those of (a), which has no data to read; bar: ≥ 0.9. Overhead is the time of (c)
over that of (b), without what (c) waits for data, of which a bare loop has none; bar: ≤ 3 %. Linux, which can bind
processes to cores.

Not at 16 patches: with fewer than that on one thread, PyTorch (2.13) computes 1 × 1 convolutions by slower code, and
Konvoi's steps of about 16, which share out an epoch evenly, are of 15 now and then. The loop then seems 38 % slower.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RECIPE = """
name: overhead
about: For a benchmark.
source: {{kind: store}}
input: {{augment: {{symmetries: true}}}}
network: {{kind: resnet, depth: 50}}
loss: {{kind: bce}}
optim: {{kind: sgd, lr: 0.01, momentum: 0.9, weight_decay: 0.0001}}
budget: {{epochs: 1, batch: {batch}, keep: last, checkpoint_seconds: 100000}}
compute: {{device: cpu, precision: {precision}}}
"""
MARK = "measured: "


def bare_loop(batch: int, precision: str, several: bool) -> Callable[[], None]:
    """A function that takes one step of a loop without anything else."""
    import torch
    from torch import nn

    from konvoi.models.resnet import ResNet
    from konvoi.training.optimiser import parameter_groups

    network: nn.Module = ResNet(50, 12, 43).train()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True) if several else network
    images = torch.randn((batch, 12, 120, 120)).contiguous(memory_format=torch.channels_last)
    truth = (torch.rand((batch, 43)) < 0.07).float()
    optimiser = torch.optim.SGD(parameter_groups(network, 1e-4, False), lr=0.01, momentum=0.9, foreach=True)
    loss_of = nn.BCEWithLogitsLoss()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = module(images)
        loss = loss_of(logits.float(), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def seconds_together(work: Callable[[], Any]) -> float:
    """How long both ranks take for this, from a common start to the end of the later one."""
    import torch.distributed as dist

    dist.barrier()
    started = time.perf_counter()
    work()
    dist.barrier()
    return time.perf_counter() - started


def take_turns(recipe: Path, store: Path, run_dir: Path, batch: int, steps: int, precision: str) -> None:
    """One of two ranks: between steps of a real training, the same steps of the bare loops; prints seconds a patch."""
    import torch

    import konvoi
    from konvoi.data.batches import Batch, Batches
    from konvoi.parallel.meeting import join

    ranks = join()
    torch.set_num_threads(1)
    alone, both = bare_loop(batch, precision, several=False), bare_loop(batch, precision, several=True)

    def repeat(step: Callable[[], None]) -> None:
        for _ in range(steps):
            step()

    def bare_turns() -> tuple[float, float]:
        seconds = seconds_together(lambda: repeat(alone) if ranks.is_first else None)
        return seconds / (batch * steps), seconds_together(lambda: repeat(both)) / (batch * steps)

    reads = Batches.epoch

    def with_turns(batches: Batches, epoch: int, first_step: int = 0) -> Iterator[tuple[Batch, ...]]:
        inner = reads(batches, epoch, first_step)
        repeat(alone)
        repeat(both)
        while True:
            bare = bare_turns()
            torch.distributed.barrier()
            started, reading, patches = time.perf_counter(), 0.0, 0
            for _ in range(steps):
                asked = time.perf_counter()
                micro_batches = next(inner, None)
                reading += time.perf_counter() - asked
                if micro_batches is None:
                    return
                patches += sum(len(one.images) for one in micro_batches)
                # Konvoi's loop is at work until it asks for more.
                yield micro_batches
            torch.distributed.barrier()
            whole = time.perf_counter() - started
            # Both ranks wait for the one that read longer.
            (reading,) = ranks.largest([reading])
            if ranks.is_first:
                turn = {"alone": bare[0], "both": bare[1], "konvoi": whole / patches, "reading": reading / patches}
                print(MARK + json.dumps(turn), flush=True)

    Batches.epoch = with_turns  # type: ignore[method-assign, assignment]
    konvoi.train(recipe, data_dir=store, run_dir=run_dir, evaluate_test=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/overhead"), help="for generated stores")
    parser.add_argument("--batch", type=int, default=24, help="patches of a rank and step")
    parser.add_argument("--steps", type=int, default=1, help="of a turn")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each, after a first one that is not counted")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rank", nargs=3, type=Path, metavar=("RECIPE", "STORE", "RUN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    batch, steps, precision = arguments.batch, arguments.steps, arguments.precision
    if arguments.rank:
        recipe, packed, run_dir = arguments.rank
        take_turns(recipe, packed, run_dir, batch, steps, precision)
        # Without the interpreter's own farewell, in which such a loop aborts now and then (torch 2.13, bfloat16).
        os._exit(0)
    from patch_archive import store

    arguments.folder.mkdir(parents=True, exist_ok=True)
    # The archive's own lists give a little less than half of it to training.
    patches = round((arguments.rounds + 2) * steps * batch * 2 / 0.46)
    store(arguments.folder, patches)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(RECIPE.format(batch=2 * batch, precision=precision))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
        command += ["--batch", str(batch), "--steps", str(steps), "--precision", precision]
        command += ["--rank", str(recipe), str(arguments.folder / f"store-{patches}"), str(Path(folder) / "run")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        cores = sorted(os.sched_getaffinity(0))[:2]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
    # Behind whatever the training shows in the same line.
    turns = [json.loads(line.partition(MARK)[2]) for line in done.stdout.splitlines() if MARK in line][1:]
    if done.returncode != 0 or not turns:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    report(turns, batch, precision)


def report(turns: list[dict[str, float]], batch: int, precision: str) -> None:
    """Print the table of turns; each holds seconds a patch and rank, of (c) seconds a patch of one rank as well."""
    rate = {side: statistics.median(1 / turn[side] for turn in turns) for side in ("alone", "both", "konvoi")}
    efficiency = [turn["alone"] / turn["konvoi"] for turn in turns]
    overhead = [(turn["konvoi"] - turn["reading"]) / turn["both"] - 1 for turn in turns]
    reading = statistics.median(turn["reading"] / turn["konvoi"] for turn in turns)
    print(f"ResNet-50, 12 × 120 × 120, {precision}, {batch} patches a rank and step, {len(turns)} turns.\n")
    print("| | patches/s a rank | | a quarter of turns below | median | a quarter above | bar |")
    print("|---|--:|---|--:|--:|--:|--:|")
    print(f"| one rank on one core, a bare loop | {rate['alone']:.1f} | | | | | |")
    print(f"| two ranks on two cores, a bare loop | {rate['both']:.1f} | | | | | |")
    low, middle, high = statistics.quantiles(efficiency, n=4)
    print(
        f"| two ranks on two cores, Konvoi | {rate['konvoi']:.1f} | weak-scaling efficiency | {low:.2f} | "
        f"{middle:.2f} | {high:.2f} | ≥ 0.9 |"
    )
    low, middle, high = statistics.quantiles(overhead, n=4)
    print(
        f"| the same, without waiting for data | | overhead over the bare loop | {low:.1%} | {middle:.1%} | {high:.1%} "
        "| ≤ 3 % |"
    )
    print(f"\nOf Konvoi's time, {reading:.1%} was spent waiting for data.")


if __name__ == "__main__":
    main()
