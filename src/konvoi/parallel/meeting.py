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
from fractions import Fraction
from typing import Any, cast

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
        LaunchError: ranks are missing or doubled, do not agree on how many they are, are not on the hosts that their
            launcher says, or run different versions.
    """
    global _store
    if environment.size == 1:
        return ALONE
    timeout = timedelta(seconds=start_seconds)
    try:
        store = _open_store(environment, timeout)
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise LaunchError(
            f"Rank {environment.rank} of {environment.size} on {socket.gethostname()} did not reach rank 0 at "
            f"{environment.address}:{environment.port} within {start_seconds:g} s ({_first_line(error)}). Is rank 0 "
            "running there, and is the port open between the hosts? Other addresses: MASTER_ADDR and MASTER_PORT."
        ) from error
    # From here on, ranks that fail find out who of them tells it.
    _store = store
    try:
        everyone = _introduce(store, environment, timeout)
    except LaunchError:
        if environment.rank == 0:
            # The store ends with this process; the others are to hear what is wrong as well.
            time.sleep(_FAREWELL_SECONDS)
        raise
    if "OMP_NUM_THREADS" not in os.environ:
        own = everyone[environment.rank]
        torch.set_num_threads(
            threads_of(int(own["cores"]), [int(other["cores"]) for other in everyone if other["host"] == own["host"]])
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(environment.local_rank % torch.cuda.device_count())
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=PrefixStore("group", store),
        rank=environment.rank,
        world_size=environment.size,
        timeout=_SILENCE,
    )
    count = len({rank["host"] for rank in everyone})
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
        return bool(_store.add("told", 1) == 1)
    except (dist.DistError, RuntimeError):
        # The store ended with rank 0, without a word: then this is news.
        return True


def leave_last() -> None:
    """At an error that others may meet as well, rank 0 gives them time to: the store in which they see that it has been
    told ends with rank 0. An agent's store does not.
    """
    if _store is None or not dist.is_initialized() or _agent_keeps_store():
        return
    deadline = time.monotonic() + _FAREWELL_SECONDS
    try:
        leaving = _store.add("leaving", 1)
        while dist.get_rank() == 0 and leaving < dist.get_world_size() and time.monotonic() < deadline:
            time.sleep(0.02)
            leaving = _store.add("leaving", 0)
    except (dist.DistError, RuntimeError):
        return


def _agent_keeps_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _open_store(environment: RankEnvironment, timeout: timedelta) -> Store:
    """The key-value store in which ranks introduce themselves: the elastic agent keeps one, else the first rank."""
    if _agent_keeps_store():
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


def _introduce(store: Store, environment: RankEnvironment, timeout: timedelta) -> list[dict[str, Any]]:
    """Tell the others who this is, wait for all of them, and return what they said, in the order of ranks."""
    own = {"size": environment.size, **_versions()}
    seat = {"host": socket.gethostname(), "local": environment.local_rank, "cores": str(_own_cores())}
    if store.add(f"arrivals/{environment.rank}", 1) > 1:
        raise LaunchError(
            f"Two processes say that they are rank {environment.rank}, one of them on {seat['host']}. Were two jobs "
            "started with the same address and port? Set another MASTER_PORT for one of them."
        )
    store.set(f"rank/{environment.rank}", json.dumps(own | seat))
    keys = [f"rank/{rank}" for rank in range(environment.size)]
    try:
        store.wait(keys, timeout)
    except (dist.DistError, RuntimeError) as error:
        missing = _missing(store, keys)
        if not missing:
            raise LaunchError(
                f"Rank 0 ended while rank {environment.rank} waited for it; its own message says why."
            ) from error
        raise LaunchError(
            f"{environment.size - len(missing)} of {environment.size} ranks came within {timeout.total_seconds():g} s; "
            f"missing: {_listed(missing)}. Look at the output of these ranks; a rank that was told another number of "
            "ranks, or another address, waits elsewhere."
        ) from error
    # In one request: on a thousand ranks, a thousand from each would keep the first one busy for a while.
    everyone = [json.loads(said) for said in store.multi_get(keys)]
    for rank, other in enumerate(everyone):
        for name, expected in own.items():
            if other[name] != expected:
                raise LaunchError(
                    f"Rank {rank} on {other['host']} has {name} {other[name]}, and rank {environment.rank} on "
                    f"{seat['host']} has {expected}. Start all ranks with the same environment."
                )
    seats = Counter((other["host"], other["local"]) for other in everyone)
    (host, local), count = seats.most_common(1)[0]
    if count > 1 and torch.cuda.is_available():
        raise LaunchError(
            f"{count} ranks on {host} all have local rank {local}, so they would share one GPU. Start them with a "
            "launcher that numbers the ranks of a host, such as torchrun or srun."
        )
    here = sum(other["host"] == seat["host"] for other in everyone)
    if environment.local_size is not None and here != environment.local_size:
        raise LaunchError(
            f"{environment.launcher} says that {environment.local_size} of {environment.size} ranks are on the host of "
            f"rank {environment.rank}, and {here} of them have its name, {seat['host']}. Do hosts share a name, or are "
            "there variables of another job in the environment? Where host names mean nothing, set RANK, WORLD_SIZE, "
            "LOCAL_RANK, MASTER_ADDR and MASTER_PORT of each rank yourself."
        )
    return everyone


def _missing(store: Store, keys: list[str]) -> list[int]:
    try:
        return [rank for rank, key in enumerate(keys) if not store.check([key])]
    except (dist.DistError, RuntimeError):
        return []


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"Konvoi": version("konvoi"), "torch": torch.__version__}


def _own_cores() -> int:
    """The cores that this process may use, core n as bit n."""
    if hasattr(os, "sched_getaffinity"):
        return sum(1 << core for core in os.sched_getaffinity(0))
    return (1 << (os.cpu_count() or 1)) - 1


def threads_of(own: int, all_on_host: list[int]) -> int:
    """How many threads a rank may run, so that the ranks of a host share its cores.

    Args:
        own: the cores that it may use, core n as bit n.
        all_on_host: those of every rank on its host, its own among them. Where a launcher has bound each rank to some
            of the cores, there is nothing left to share.
    """
    cores = [core for core in range(own.bit_length()) if own >> core & 1]
    share = sum(Fraction(1, sum(other >> core & 1 for other in all_on_host)) for core in cores)
    return max(1, int(share))


def _listed(ranks: list[int]) -> str:
    shown = ", ".join(str(rank) for rank in ranks[:8])
    return shown if len(ranks) <= 8 else f"{shown} and {len(ranks) - 8} more"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
