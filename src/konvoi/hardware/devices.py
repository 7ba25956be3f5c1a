"""The processor and the GPUs that are here: the precisions they compute in, their threads and their caches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from konvoi.errors import RecipeError
from konvoi.training.precision import bfloat16_unit

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions by name; tf32 is float32 in memory, and its factors are rounded to 10 bits on their way to a product."""

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_CACHE_WHERE_UNKNOWN = 32 << 20
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def present_devices() -> list[torch.device]:
    """The processor, then each GPU."""
    return [torch.device("cpu"), *(torch.device("cuda", number) for number in range(torch.cuda.device_count()))]


def precisions_of(device: torch.device) -> tuple[dict[str, str], dict[str, str]]:
    """The precisions that a device has units for, with the unit; and those it has not, with the reason."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        units = {"float32": "units for vectors"}
        missing = {"tf32": "of GPUs only"}
        bfloat16 = bfloat16_unit()
        half = next((name for key, name in _HALF_UNITS.items() if capabilities.get(key)), None)
        for precision, unit in (("bfloat16", bfloat16), ("float16", half)):
            if unit is None:
                missing[precision] = "no units for it; it would be emulated"
            else:
                units[precision] = unit
        return units, missing
    major, minor = torch.cuda.get_device_capability(device)
    of_which = f"GPU of compute capability {major}.{minor}"
    units = {"float32": of_which}
    missing = {}
    for precision, since in (("tf32", 8), ("bfloat16", 8), ("float16", 7)):
        if major >= since:
            units[precision] = f"{of_which}, matrix units"
        else:
            missing[precision] = f"{of_which}; units for it come with {since}.0"
    return units, missing


_HALF_UNITS = {"amx_fp16": "AMX float16 matrix units", "avx512_fp16": "AVX-512 float16 units"}


@contextmanager
def arithmetic(precision: str) -> Iterator[torch.dtype]:
    """The type of the operands; within the context, a GPU rounds float32 factors if and only if `tf32` is meant."""
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = precision == "tf32"
    try:
        yield DTYPES[precision]
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_counts(most: int) -> list[int]:
    """1, 2, 4, … and `most`."""
    counts = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    return [*counts, most]


def parse_thread_counts(text: str, cores: int) -> list[int]:
    """Numbers of threads from `1,2,4`.

    Raises:
        RecipeError: not whole numbers from 1 to the cores at hand.
    """
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 1 or counts[-1] > cores:
        raise RecipeError(
            f"--threads {text}: whole numbers from 1 to {cores}, the cores that this process may use, were expected, "
            "with commas between them, as 1,2,4."
        )
    return counts


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """As many threads of the processor, and afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def array_bytes(device: torch.device) -> int:
    """The size of an array that no cache holds: four times the last one's size, as STREAM asks, at least 64 MiB.

    J. D. McCalpin, "Memory bandwidth and machine balance in current high performance computers", IEEE TCCA
    Newsletter, December 1995; https://www.cs.virginia.edu/stream/ref.html. Never more than a sixteenth of the memory.
    """
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        cache, memory = properties.L2_cache_size, properties.total_memory
    else:
        cache = _largest_cache()
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(max(64 << 20, 4 * cache), memory // 16))


def _largest_cache() -> int:
    sizes = []
    for path in _CACHES.glob("index*/size"):
        text = path.read_text(encoding="ascii").strip()
        if text[:-1].isdigit() and text[-1] in _UNITS:
            sizes.append(int(text[:-1]) * _UNITS[text[-1]])
    return max(sizes, default=_CACHE_WHERE_UNKNOWN)
