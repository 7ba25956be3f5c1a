"""The same small network on two Gloo ranks with Lightning, with Accelerate, with a bare DistributedDataParallel loop.

    python two_ranks.py lightning|accelerate|bare --data-dir MNIST [--bfloat16] [--first-step]

Data lie in memory, and batches are gathered as a whole: what is compared is the engine, not a loader that collates
sample by sample. Lightning starts its second rank itself; Accelerate and the bare loop are started by torchrun.
The first rank prints samples/s of the last epoch, or the moment of its first finished step and ends with that.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

EPOCHS, BATCH = 3, 128

FIRST_STEP_ONLY = "--first-step" in sys.argv


class InMemory(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """MNIST's training images as float32 tensors; a whole batch is gathered at once."""

    def __init__(self, folder: Path) -> None:
        images = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())
        self.images = torch.from_numpy(np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28).copy())
        self.labels = torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images[positions].float().div_(255), self.labels[positions]


def loader(folder: Path, sampler: DistributedSampler[Any] | None = None) -> DataLoader[Any]:
    return DataLoader(InMemory(folder), BATCH, shuffle=sampler is None, sampler=sampler, collate_fn=lambda batch: batch)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(1600, 10),
    )  # fmt: skip


def optimiser_of(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def with_lightning(folder: Path, bfloat16: bool) -> None:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimiser_of(self.parameters())

    class Clock(lightning.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            step_done()

        def on_train_epoch_start(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_train_epoch_end(self, *_: Any) -> None:
            self.seconds = time.perf_counter() - self.started

    clock = Clock()
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=EPOCHS, logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, callbacks=[clock],
        precision="bf16-mixed" if bfloat16 else "32-true",
    )  # fmt: skip
    data = loader(folder)
    trainer.fit(Module(), data)
    if trainer.global_rank == 0:
        report(len(data.dataset) / clock.seconds)


def with_accelerate(folder: Path, bfloat16: bool) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, mixed_precision="bf16" if bfloat16 else "no")
    model = network()
    model, optimiser, data = accelerator.prepare(model, optimiser_of(model.parameters()), loader(folder))
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for images, labels in data:
            with accelerator.autocast():
                loss = nn.functional.cross_entropy(model(images).float(), labels)
            optimiser.zero_grad()
            accelerator.backward(loss)
            optimiser.step()
            step_done()
        seconds = time.perf_counter() - started
    if accelerator.is_main_process:
        report(len(data.dataset) / seconds)


def bare(folder: Path, bfloat16: bool) -> None:
    torch.distributed.init_process_group("gloo")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = nn.parallel.DistributedDataParallel(network().to(memory_format=torch.channels_last))
    optimiser = optimiser_of(model.parameters())
    sampler = DistributedSampler(range(60_000))
    data = loader(folder, sampler)
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        started = time.perf_counter()
        for images, labels in data:
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = model(images.contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step_done()
        seconds = time.perf_counter() - started
    if torch.distributed.get_rank() == 0:
        report(60_000 / seconds)


def report(rate: float) -> None:
    print(json.dumps({"samples_per_second": rate}), flush=True)


def step_done() -> None:
    """Where only the first step counts, say when it was done, and end."""
    if FIRST_STEP_ONLY:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(json.dumps({"first_step": time.time()}), flush=True)
        os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=["lightning", "accelerate", "bare"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--first-step", action="store_true", help="end after it")
    arguments = parser.parse_args()
    engines = {"lightning": with_lightning, "accelerate": with_accelerate, "bare": bare}
    engines[arguments.engine](arguments.data_dir, arguments.bfloat16)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
        # Without the interpreter's own farewell, in which this loop aborts in one of three runs (torch 2.13, bfloat16).
        os._exit(0)
