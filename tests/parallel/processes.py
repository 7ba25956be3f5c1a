"""Real processes that are ranks: each runs a function of a module beside this file, and hands back what it returns."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

_SECONDS = 180.0


def run_ranks(ranks: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(ranks, *arguments)` returns in each of several new processes, in the order of ranks.

    Raises:
        AssertionError: one of them failed; with its traceback.
    """
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    port = free_port()
    processes = [
        context.Process(target=_rank, args=(rank, ranks, port, answers, work, arguments), daemon=True)
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    found: dict[int, Any] = {}
    try:
        while len(found) < ranks:
            rank, answer, failure = answers.get(timeout=_SECONDS)
            assert failure is None, f"rank {rank}: {failure}"
            found[rank] = answer
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    return [found[rank] for rank in range(ranks)]


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _rank(rank: int, ranks: int, port: int, answers: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    import torch

    from konvoi.parallel.meeting import join, part

    torch.set_num_threads(1)
    # Tensors travel back by value: by default they would be files that a process takes with it when it ends.
    torch.multiprocessing.set_sharing_strategy("file_system")
    try:
        answers.put((rank, work(join(), *arguments), None))
    except BaseException:
        answers.put((rank, None, traceback.format_exc()))
    finally:
        part()
