"""Random streams by name: every draw is a pure function of the seed and of what it is for.

No stream's state is ever saved. To continue in the middle of an epoch, a stream is made again from
(seed, purpose, epoch, …); that is why resuming is arithmetic.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed that depends on all of the arguments: the first bytes of their BLAKE2b hash."""
    digest = hashlib.blake2b(repr((seed, *purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *purpose)))


def purpose_of_step(step: int, rank: int) -> tuple[str | int, ...]:
    """What the random numbers of a step are for: every rank has its own, and the first one those of a rank alone."""
    return ("step", step, rank) if rank else ("step", step)


def seed_torch(seed: int, *purpose: str | int) -> None:
    """Set PyTorch's global generators (CPU and CUDA), which dropout and initialisation draw from.

    Not by `torch.manual_seed`: for every kind of device that is not in use it keeps the seed and a formatted stack
    trace, which costs 0.1 ms and some memory at each step.
    """
    import torch

    number = stream_seed(seed, *purpose)
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
