"""How ranks find each other, and how they part: the process group, checked before anything else is done with it.

Silent mismatches and waiting without end are what goes wrong most often with several processes. So before the group is
opened, every rank says in a key-value store who it is, and the first one looks whether all came and whether what they
say fits together.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from konvoi.errors import LaunchError
from konvoi.parallel.environment import RankEnvironment, read_environment
from konvoi.parallel.launch import restarts_so_far
from konvoi.parallel.ranks import ALONE, Ranks

START_SECONDS = 300.0
"""How long ranks wait for each other at the start: on many nodes, Python itself takes a while to be read."""

_SILENCE = timedelta(minutes=30)
"""How long a rank waits for another within the training: validation on rank 0 alone, say, or a slow disk."""

_FAREWELL_SECONDS = 2.0

_store: Store | None = None
_joined: Ranks | None = None


def join() -> Ranks:
    """The ranks of the training that this process belongs to; they meet when it is first asked for.

    Raises:
        LaunchError: as `meet`.
    """
    global _joined
    if _joined is None:
        _joined = meet(read_environment())
    return _joined


def meet(environment: RankEnvironment, start_seconds: float = START_SECONDS) -> Ranks:
    """Open the process group of a training's ranks.

    Args:
        environment: who this process is.
        start_seconds: how long to wait for the others.

    Raises:
        LaunchError: ranks are missing or doubled, do not agree on how many they are, or run different versions.
    """
    global _store
    if environment.size == 1:
        return ALONE
    _limit_threads()
    timeout = timedelta(seconds=start_seconds)
    try:
        store = _open_store(environment, timeout)
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise LaunchError(
            f"Rank {environment.rank} of {environment.size} on {socket.gethostname()} did not reach rank 0 at "
            f"{environment.address}:{environment.port} within {start_seconds:g} s ({_first_line(error)}). Is rank 0 "
            "running there, and is the port open between the hosts? Other addresses: MASTER_ADDR and MASTER_PORT."
        ) from error
    hosts = _introduce(store, environment, timeout)
    if torch.cuda.is_available():
        torch.cuda.set_device(environment.local_rank % torch.cuda.device_count())
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=PrefixStore("group", store),
        rank=environment.rank,
        world_size=environment.size,
        timeout=_SILENCE,
    )
    _store = store
    count = len(set(hosts))
    where = "one host" if count == 1 else f"{count} hosts"
    words = f"{environment.size} ranks on {where}, started by {environment.launcher}"
    return Ranks(environment.rank, environment.size, environment.local_rank, words)


def part() -> None:
    """Close the process group, if there is one."""
    global _store, _joined
    if dist.is_initialized():
        dist.destroy_process_group()
    _store = _joined = None


def speaks_first() -> bool:
    """Whether this rank is the first to report an error; the others then keep silent. True for a single process."""
    if _store is None:
        return True
    try:
        return bool(_store.add("errors", 1) == 1)
    except (dist.DistError, RuntimeError):
        # The store ended with rank 0, without a word: then this is news.
        return True


def _open_store(environment: RankEnvironment, timeout: timedelta) -> Store:
    """The key-value store in which ranks introduce themselves: the elastic agent keeps one, else the first rank."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        kept = next(rendezvous("env://", environment.rank, environment.size, timeout=timeout))[0]
        # It outlives the ranks, and those of before have left their marks in it.
        return PrefixStore(f"start/{restarts_so_far()}", kept)
    # Without waiting for the others: who is missing is for us to say.
    store = TCPStore(
        environment.address or "127.0.0.1",
        environment.port or 0,
        environment.size,
        environment.rank == 0,
        timeout,
        wait_for_workers=False,
    )
    return cast("Store", store)


def lost_another(error: BaseException) -> bool:
    """Whether an exception means that the connection to another rank broke."""
    words = str(error)
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(part in words for part in ("gloo", "NCCL", "Connection", "Socket"))
    )


def _introduce(store: Store, environment: RankEnvironment, timeout: timedelta) -> list[str]:
    """Tell the others who this is, wait for all of them, and return the hosts in the order of ranks."""
    own = {"host": socket.gethostname(), "size": environment.size, "local": environment.local_rank, **_versions()}
    if store.add(f"arrivals/{environment.rank}", 1) > 1:
        raise LaunchError(
            f"Two processes say that they are rank {environment.rank}, one of them on {own['host']}. Were two jobs "
            "started with the same address and port? Set another MASTER_PORT for one of them."
        )
    store.set(f"rank/{environment.rank}", json.dumps(own))
    keys = [f"rank/{rank}" for rank in range(environment.size)]
    try:
        store.wait(keys, timeout)
    except (dist.DistError, RuntimeError) as error:
        missing = _missing(store, keys)
        if environment.rank == 0:
            # The store ends with this process; the others are to hear who is missing as well.
            time.sleep(_FAREWELL_SECONDS)
        if not missing:
            raise LaunchError(
                f"Rank 0 ended while rank {environment.rank} waited for it; its own message says why."
            ) from error
        raise LaunchError(
            f"{environment.size - len(missing)} of {environment.size} ranks came within {timeout.total_seconds():g} s; "
            f"missing: {_listed(missing)}. Look at the output of these ranks; a rank that was told another number of "
            "ranks, or another address, waits elsewhere."
        ) from error
    others = [json.loads(store.get(key)) for key in keys]
    for rank, other in enumerate(others):
        for name, expected in own.items():
            if name not in {"host", "local"} and other[name] != expected:
                raise LaunchError(
                    f"Rank {rank} on {other['host']} has {name} {other[name]}, and rank {environment.rank} on "
                    f"{own['host']} has {expected}. Start all ranks with the same environment."
                )
    seats = Counter((other["host"], other["local"]) for other in others)
    (host, local), count = seats.most_common(1)[0]
    if count > 1 and torch.cuda.is_available():
        raise LaunchError(
            f"{count} ranks on {host} all have local rank {local}, so they would share one GPU. Start them with a "
            "launcher that numbers the ranks of a host, such as torchrun or srun."
        )
    return [other["host"] for other in others]


def _missing(store: Store, keys: list[str]) -> list[int]:
    try:
        return [rank for rank, key in enumerate(keys) if not store.check([key])]
    except (dist.DistError, RuntimeError):
        return []


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"Konvoi": version("konvoi"), "torch": torch.__version__}


def _limit_threads() -> None:
    """Where nobody said how many threads, the ranks of a host share the cores that they may use."""
    if "OMP_NUM_THREADS" in os.environ:
        return
    # Slurm gives each rank cores of its own, so there the ranks have nothing to share.
    local_size = int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // local_size))


def _listed(ranks: list[int]) -> str:
    shown = ", ".join(str(rank) for rank in ranks[:8])
    return shown if len(ranks) <= 8 else f"{shown} and {len(ranks) - 8} more"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
