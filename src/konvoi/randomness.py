"""Random streams by name: every draw is a pure function of the seed and of what it is for.

No stream's state is ever saved. To continue in the middle of an epoch, a stream is made again from
(seed, purpose, epoch, …); that is why resuming is arithmetic.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed that depends on all of the arguments: the first bytes of their BLAKE2b hash."""
    digest = hashlib.blake2b(repr((seed, *purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *purpose)))


def seed_torch(seed: int, *purpose: str | int) -> None:
    """Set PyTorch's global generators (CPU and CUDA), which dropout and initialisation draw from."""
    import torch

    torch.manual_seed(stream_seed(seed, *purpose))


def torch_stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A PyTorch CPU generator for one purpose."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, *purpose))
