"""What data parallelism costs: two ranks on two cores against one on one, and Konvoi's loop against a bare one.

    python benchmarks/parallel_overhead.py [--rounds 5] [--batch 24] [--steps 8]

ResNet-50 on 12 × 120 × 120 patches with 43 labels, from a generated store, one thread a rank, so many patches a rank
and step. (a) Weak scaling: one rank bound to one core, then two ranks on two cores with twice the patches a step; the
efficiency is patches/s of two over twice those of one. Bar: ≥ 0.9. (b) Overhead: Konvoi's training on two ranks against
a bare DistributedDataParallel loop on two ranks with the same network, precision, memory format, optimiser, buckets and
threads; its batch lies in memory, and nothing but steps is done. Reading, enlarging and normalising is left out of
Konvoi's rate, because the bare loop does none of it; its share is printed beside. Bar: ≤ 3 %. Linux, which can bind
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
from collections.abc import Iterable
from pathlib import Path

RECIPE = """
name: overhead
about: For a benchmark.
source: {{kind: store}}
split: {{test: 0.05, validation: 0.05}}
input: {{augment: {{symmetries: true}}}}
network: {{kind: resnet, depth: 50}}
loss: {{kind: bce}}
optim: {{kind: sgd, lr: 0.01, momentum: 0.9, weight_decay: 0.0001}}
budget: {{epochs: 2, batch: {batch}, keep: last, checkpoint_seconds: 100000}}
compute: {{device: cpu, precision: {precision}}}
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def bare(batch: int, steps: int, precision: str) -> None:
    """Two of these, started by torchrun; the first one prints patches/s over both."""
    import torch
    from torch import nn

    from konvoi.memory import keep_freed_memory
    from konvoi.models.resnet import ResNet
    from konvoi.training.optimiser import parameter_groups

    torch.distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    keep_freed_memory()
    network = ResNet(50, 12, 43).train().to(memory_format=torch.channels_last)
    module = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)
    images = torch.randn((batch, 12, 120, 120)).contiguous(memory_format=torch.channels_last)
    truth = (torch.rand((batch, 43)) < 0.07).float()
    groups = parameter_groups(network, 1e-4, False)
    optimiser = torch.optim.SGD(groups, lr=0.01, momentum=0.9, foreach=True)
    loss_of = nn.BCEWithLogitsLoss()
    warm_up = 2
    for step in range(warm_up + steps):
        if step == warm_up:
            started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = module(images)
        loss = loss_of(logits.float(), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.distributed.barrier()
    seconds = time.perf_counter() - started
    if torch.distributed.get_rank() == 0:
        print(json.dumps({"rate": 2 * batch * steps / seconds}), flush=True)


def konvoi(ranks: int, store: Path, batch: int, precision: str) -> dict[str, float]:
    """Patches/s of the second epoch, with and without what was waited for data, and the share of communication."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(RECIPE.format(batch=batch * ranks, precision=precision))
        command = [sys.executable, "-m", "konvoi", "train", str(recipe), "--data-dir", str(store), "--seal-test"]
        command += ["--run-dir", str(Path(folder) / "run"), "--ranks", str(ranks)]
        finish(command, cores=ranks)
        last = json.loads((Path(folder) / "run" / "history.json").read_text())[-1]
    seconds = last["seconds"]
    working = seconds["step"] + seconds.get("communication", 0.0)
    whole = working + seconds["data"]
    return {
        "rate": last["samples_per_second"],
        "without data": last["samples_per_second"] * whole / working,
        "waiting": seconds["data"] / whole,
        "communication": seconds.get("communication", 0.0) / whole,
    }


def finish(command: list[str], cores: int) -> str:
    """What a command prints; it may use so many cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=ENVIRONMENT,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def bare_rate(batch: int, steps: int, precision: str) -> float:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    own = [__file__, "--side", "bare", "--batch", str(batch), "--steps", str(steps), "--precision", precision]
    lines = finish([*torchrun, *own], cores=2).splitlines()
    (answer,) = [line for line in lines if line.startswith('{"rate"')]
    rate: float = json.loads(answer)["rate"]
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/overhead"), help="for generated stores")
    parser.add_argument("--batch", type=int, default=24, help="patches of a rank and step")
    parser.add_argument("--steps", type=int, default=8, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--side", choices=["bare"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    batch, steps, precision = arguments.batch, arguments.steps, arguments.precision
    if arguments.side:
        import torch

        bare(batch, steps, precision)
        torch.distributed.destroy_process_group()
        # Without the interpreter's own farewell, in which such a loop aborts now and then (torch 2.13, bfloat16).
        os._exit(0)
    from patch_archive import store

    arguments.folder.mkdir(parents=True, exist_ok=True)
    folders = {}
    for ranks in (1, 2):
        # So many that 0.95 × 0.95 of them are about the steps asked for.
        patches = round(steps * batch * ranks / 0.9025)
        store(arguments.folder, patches)
        folders[ranks] = arguments.folder / f"store-{patches}"
    rounds = []
    for _ in range(arguments.rounds):
        one, two = (konvoi(ranks, folders[ranks], batch, precision) for ranks in (1, 2))
        rounds.append((one, two, bare_rate(batch, steps, precision)))
    efficiency = [two["rate"] / (2 * one["rate"]) for one, two, _ in rounds]
    overhead = [rate / two["without data"] - 1 for _, two, rate in rounds]
    print(f"ResNet-50, 12 × 120 × 120, {precision}, {batch} patches a rank and step, one thread a rank.\n")
    print("| | patches/s | each round | median | bar |")
    print("|---|--:|---|--:|--:|")
    print(f"| one rank on one core | {median(one['rate'] for one, _, _ in rounds):.1f} | | | |")
    print(
        f"| two ranks on two cores: weak-scaling efficiency | {median(two['rate'] for _, two, _ in rounds):.1f} | "
        f"{', '.join(f'{value:.2f}' for value in efficiency)} | {median(efficiency):.2f} | ≥ 0.9 |"
    )
    print(f"| a bare loop on two ranks | {median(rate for _, _, rate in rounds):.1f} | | | |")
    print(
        f"| Konvoi's loop on two ranks, without data: overhead | "
        f"{median(two['without data'] for _, two, _ in rounds):.1f} | "
        f"{', '.join(f'{value:.1%}' for value in overhead)} | {median(overhead):.1%} | ≤ 3 % |"
    )
    waiting = median(two["waiting"] for _, two, _ in rounds)
    communication = median(two["communication"] for _, two, _ in rounds)
    print(f"\nOf two ranks' time, {waiting:.1%} was spent waiting for data and {communication:.1%} for gradients.")


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
