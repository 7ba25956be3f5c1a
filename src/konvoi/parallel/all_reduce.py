"""How long an all-reduce takes between the ranks of a training, by size of message: measured in a few seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn

from konvoi.parallel.exchange import Exchange, Timing
from konvoi.parallel.ranks import Ranks

SIZES = tuple(1024 * 4**power for power in range(9))
"""Bytes, from 1 KiB, which is all latency, to 64 MiB, which is all bandwidth."""

_REPEATS = 12
_LEAST_REPEATS = 3
_SECONDS_A_SIZE = 0.6
_SECONDS_A_REPEAT = 0.003
_MOST_IN_A_ROW = 50


def measure_exchange(
    ranks: Ranks,
    network: nn.Module,
    device: torch.device,
    gradients: str = "float32",
    bucket: float = 25.0,
    sizes: Sequence[int] = SIZES,
) -> Exchange:
    """Measure between ranks that all come here; there must be several.

    Args:
        ranks: those that work together.
        network: whose gradients are to travel.
        device: of this rank's tensors.
        gradients: in which they travel, as the recipe's `parallel.gradients`.
        bucket: MiB of gradients that travel together.
        sizes: of the messages, in bytes.
    """
    width = 4 if gradients == "float32" else 2
    values = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return Exchange(
        ranks=ranks.size,
        backend="nccl" if device.type == "cuda" else "gloo",
        gradient_bytes=width * values,
        # The engine fills its buckets before it makes values shorter.
        buckets=max(1, math.ceil(4 * values / (bucket * 2**20))),
        buffer_bytes=sum(buffer.nbytes for buffer in network.buffers() if buffer.is_floating_point()),
        timings=tuple(_time_size(ranks, device, size) for size in sizes),
    )


def _time_size(ranks: Ranks, device: torch.device, size: int) -> Timing:
    message = torch.zeros(max(1, size // 4), device=device)
    for _ in range(2):
        once = _time(ranks, message, 1)
    # One after the other without a pause, so that what the clock and the start cost does not count for small ones.
    in_a_row = min(_MOST_IN_A_ROW, max(1, round(_SECONDS_A_REPEAT / once)))
    repeats = min(_REPEATS, max(_LEAST_REPEATS, round(_SECONDS_A_SIZE / (once * in_a_row))))
    return Timing(
        size=4 * message.numel(), seconds=tuple(_time(ranks, message, in_a_row) / in_a_row for _ in range(repeats))
    )


def _time(ranks: Ranks, message: torch.Tensor, in_a_row: int) -> float:
    """Seconds of so many all-reduces, of the slowest rank; the same figure on every rank."""
    ranks.wait_for_all()
    _finish(message)
    started = time.perf_counter()
    for _ in range(in_a_row):
        dist.all_reduce(message)
    _finish(message)
    return max(ranks.largest([time.perf_counter() - started])[0], 1e-9)


def _finish(message: torch.Tensor) -> None:
    if message.is_cuda:
        torch.cuda.synchronize(message.device)
