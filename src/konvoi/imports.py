"""Importing PyTorch quickly: before a training's first step there is little else to wait for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

_COMPILER = "torch._dynamo"

_SWITCH_SECONDS = 1e-5


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for garbage in between.

    What is imported are hundreds of thousands of objects that stay; going through them again and again takes a tenth
    of the time and more.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def engine_imported_meanwhile() -> Iterator[None]:
    """`import_engine` in a thread, beside reading and counting data, for which NumPy does not need Python's lock."""
    if _COMPILER in sys.modules:
        yield
        return
    waiting = sys.getswitchinterval()
    # Importing seldom gives the lock away by itself, and each of many short reads would wait 5 ms to have it back.
    sys.setswitchinterval(_SWITCH_SECONDS)
    thread = Thread(target=import_engine, name="konvoi-imports", daemon=True)
    thread.start()
    try:
        try:
            yield
        finally:
            thread.join()
    finally:
        sys.setswitchinterval(waiting)


def import_engine() -> None:
    """Import what optimisers and DistributedDataParallel import when they are first made, quickly.

    That is PyTorch's compiler, used or not, with SymPy and FSDP (2.13).
    """
    with quick_imports():
        import torch._dynamo  # noqa: F401
