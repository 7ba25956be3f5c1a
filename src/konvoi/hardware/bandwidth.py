"""How fast memory is: a copy, a triad, and the way from the host to a GPU.

Bytes are counted as STREAM does: what a program asks for. A processor may move more, because it reads a line of
memory before it overwrites it.
"""

from __future__ import annotations

import torch

from konvoi.hardware.measurement import Measurement, measure

COPY = "copy"
TRIAD = "triad"
HOST_TO_DEVICE = "host to device"
HOST_TO_DEVICE_PINNED = "host to device, pinned"

_SCALE = 0.5


def measure_copy(device: torch.device, array_bytes: int, seconds: float, threads: int | None = None) -> Measurement:
    """b ← a: no operation, two arrays moved."""
    source = torch.ones(array_bytes // 4, device=device)
    target = torch.empty_like(source)
    return measure(
        lambda: target.copy_(source),
        device,
        seconds,
        operation=COPY,
        size=_mebibytes(source),
        precision="float32",
        cost=(0, 2 * source.nbytes),
        threads=threads,
    )


def measure_triad(device: torch.device, array_bytes: int, seconds: float, threads: int | None = None) -> Measurement:
    """a ← b + s·c: two operations an entry, three arrays moved."""
    b = torch.ones(array_bytes // 4, device=device)
    c = torch.ones_like(b)
    a = torch.empty_like(b)
    return measure(
        lambda: torch.add(b, c, alpha=_SCALE, out=a),
        device,
        seconds,
        operation=TRIAD,
        size=_mebibytes(a),
        precision="float32",
        cost=(2 * a.numel(), 3 * a.nbytes),
        threads=threads,
    )


def measure_host_to_device(device: torch.device, array_bytes: int, seconds: float, pinned: bool = False) -> Measurement:
    """From the host's memory to a GPU's: bytes that cross, counted once; `pinned` is memory that is never paged out."""
    host = torch.ones(array_bytes // 4, pin_memory=pinned)
    target = torch.empty(host.shape, device=device)
    return measure(
        lambda: target.copy_(host, non_blocking=pinned),
        device,
        seconds,
        operation=HOST_TO_DEVICE_PINNED if pinned else HOST_TO_DEVICE,
        size=_mebibytes(host),
        precision="float32",
        cost=(0, host.nbytes),
    )


def _mebibytes(array: torch.Tensor) -> str:
    return f"{array.nbytes / 2**20:.0f} MiB"
