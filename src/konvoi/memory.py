"""Keeping freed memory for the next step."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST = (1 << 31) - 1
_LARGEST_IN_OLD_GLIBC = 32 << 20


def keep_freed_memory() -> bool:
    """Ask glibc not to return large freed blocks to the system, and return whether it agreed.

    By default every array above some MiB is mapped anew when made, and each of its pages faults and is zeroed; a
    training step makes and frees the same arrays again and again. It gains most where activations are large, nothing
    where they are small. Elsewhere than on Linux with glibc it does nothing. `man 3 mallopt`.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    mapped = mallopt(_M_MMAP_THRESHOLD, 1 << 30) or mallopt(_M_MMAP_THRESHOLD, _LARGEST_IN_OLD_GLIBC)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, _LARGEST))
