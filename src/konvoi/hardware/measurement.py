"""One measured piece of work: what it computes, what it moves, and how long it takes, by the median of repeats."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from konvoi.record import Record

_SHORTEST_SAMPLE = 0.002
"""Seconds; a sample is as many calls as last so long, so that reading the clock and waiting for a GPU do not count."""

_FEWEST_SAMPLES, _MOST_SAMPLES = 5, 50


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median, the fastest and the slowest of several samples."""

    median: float
    fastest: float
    slowest: float
    samples: int


class Measurement(Record):
    """One piece of work on one device.

    Attributes:
        operation: what was done; one of the names in `bandwidth`, `products` and `convolution`.
        size: of its operands, in words.
        device: `cpu` or `cuda:N`.
        threads: of the processor; None on a GPU.
        precision: `float32`, `tf32`, `bfloat16` or `float16`.
        flop: floating-point operations of one call; a multiply-add counts as two.
        bytes: that one call must move at least, every operand read or written once.
        seconds: of one call, the median of the samples.
        fastest: of the samples, in seconds.
        slowest: of the samples, in seconds.
        samples: how many there were, after two calls that do not count.
    """

    operation: str
    size: str
    device: str
    threads: int | None
    precision: str
    flop: int
    bytes: int
    seconds: float
    fastest: float
    slowest: float
    samples: int

    @property
    def gigaflops(self) -> float:
        """1e9 floating-point operations a second."""
        return self.flop / self.seconds / 1e9

    @property
    def gigabytes(self) -> float:
        """1e9 bytes a second."""
        return self.bytes / self.seconds / 1e9

    @property
    def intensity(self) -> float:
        """Floating-point operations a byte."""
        return self.flop / self.bytes

    @property
    def spread(self) -> float:
        """From the fastest to the slowest sample, as a share of the median."""
        return (self.slowest - self.fastest) / self.seconds


def time_repeatedly(work: Callable[[], object], device: torch.device, seconds: float) -> Timing:
    """Time a piece of work after two calls that warm up caches, clocks and libraries.

    Args:
        work: is called with no arguments; on a GPU it may return before the GPU is done.
        device: is waited for before a clock is read.
        seconds: to spend, about; at least five samples are taken, however long they last.
    """
    for _ in range(2):
        work()
    once = _sample(work, device, 1)
    calls = max(1, math.ceil(_SHORTEST_SAMPLE / max(once, 1e-9)))
    wanted = int(seconds / (max(once, 1e-9) * calls))
    count = min(_MOST_SAMPLES, max(_FEWEST_SAMPLES, wanted))
    samples = [_sample(work, device, calls) for _ in range(count)]
    return Timing(statistics.median(samples), min(samples), max(samples), count)


def measure(
    work: Callable[[], object],
    device: torch.device,
    seconds: float,
    *,
    operation: str,
    size: str,
    precision: str,
    cost: tuple[int, int],
    threads: int | None = None,
) -> Measurement:
    """Time a piece of work whose operations and bytes, `cost`, are known."""
    timing = time_repeatedly(work, device, seconds)
    return Measurement(
        operation=operation,
        size=size,
        device=str(device),
        threads=threads,
        precision=precision,
        flop=cost[0],
        bytes=cost[1],
        seconds=timing.median,
        fastest=timing.fastest,
        slowest=timing.slowest,
        samples=timing.samples,
    )


def _sample(work: Callable[[], object], device: torch.device, calls: int) -> float:
    synchronise(device)
    started = time.perf_counter()
    for _ in range(calls):
        work()
    synchronise(device)
    return (time.perf_counter() - started) / calls


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done all that it was told; a processor has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
