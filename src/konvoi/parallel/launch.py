"""`konvoi train --ranks N`: the processes of one machine, started and watched by PyTorch's elastic agent.

When a rank dies, the agent stops the others and starts all anew, and they go on from the last checkpoint. An error that
the user has to mend would only happen again; so a rank that met one notes its exit code in a file and ends as if all
were well, and no restart follows.
"""

from __future__ import annotations

import gc
import logging
import os
import runpy
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from konvoi.errors import LaunchError
from konvoi.imports import import_engine
from konvoi.parallel.environment import OUTCOME
from konvoi.parallel.gate import Gate

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

_STOPPED = 128
"""From here on, an exit code means that a signal came."""

_POLL_SECONDS = 0.1

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def launch(arguments: Sequence[str], ranks: int, restarts: int = 3) -> int:
    """Run `konvoi` with these arguments as several ranks, until all have ended.

    Args:
        arguments: of the command line, without `konvoi`.
        ranks: processes on this machine.
        restarts: how often a rank may die before this gives up.

    Returns:
        The exit code: 0, that of an error that the user can mend, or 128 + the number of the signal that came.

    Raises:
        LaunchError: a rank died more often than `restarts`.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # The agent tells in many words what it does; what counts is said by the ranks, and at the end here.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="konvoi-") as folder, _as_it_was():
        outcome = Path(folder) / "exit-code"
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // ranks)))
        os.environ[OUTCOME] = str(outcome)
        store = _open_store()
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=ranks,
            run_id=uuid.uuid4().hex,
            # For agents on other hosts, of which there are none, c10d waits up to 0.3 s.
            rdzv_backend="static",
            rdzv_endpoint=f"127.0.0.1:{store.port}",
            rdzv_configs={"rank": 0},
            max_restarts=restarts,
            monitor_interval=_POLL_SECONDS,
            # A fork has torch already, which takes longer to read than all else until the first step; this process
            # itself has no threads of OpenMP and touches no GPU.
            start_method="fork",
        )
        forks = sys.platform == "linux"
        if forks:
            # Once here, and not in each rank. Frozen, what is imported stays in memory that they share.
            import_engine()
            gc.freeze()
        try:
            if forks:
                gate = Gate(ranks)
                try:
                    elastic_launch(config, _run_rank)(list(arguments), gate)
                finally:
                    gate.close()
            else:
                elastic_launch(config, sys.executable)("-m", "konvoi", *arguments)
        except SignalException as stopped:
            return _STOPPED + int(stopped.sigval)
        except ChildFailedError as failed:
            rank, failure = failed.get_first_failure()
            how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"exit code {failure.exitcode}"
            raise LaunchError(
                f"Rank {rank} ended with {how}, after {restarts} restarts. What it said stands above; signal 9 without "
                "a word is most often a lack of memory: fewer --ranks, or a smaller budget.batch. The run can be "
                "resumed."
            ) from None
        return int(outcome.read_text()) if outcome.exists() else 0


def _open_store() -> TCPStore:
    """The key-value store in which ranks meet, at a port that was free; the agent takes it for its own."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, multi_tenant=True)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Give this process its own environment and its handlers of signals back, so that it can launch others."""
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        gc.unfreeze()
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def _run_rank(arguments: list[str], gate: Gate) -> None:
    launcher = os.getppid()
    gate.pass_through()
    _limit_threads()
    for number in _SIGNALS:
        # Those inherited are the agent's.
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.argv = ["konvoi", *arguments]
    try:
        # As `python -m konvoi` does in a process that is no fork.
        runpy.run_module("konvoi", run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        # The agent waits for what a rank returns, unless that ends with an error.
        if ending.code:
            raise
    if os.getppid() != launcher:
        # Killed, it will never say that it has what this rank returns, and without an end to that wait the rank would
        # stay in memory for good.
        sys.exit(1)
    if _said_outcome() >= _STOPPED:
        # An agent that was stopped does not take what this rank returns, and would wait half a minute for its end. One
        # that was not has a second to take it.
        sys.stdout.flush()
        sys.stderr.flush()
        exit_anyway = Timer(1.0, os._exit, (0,))
        exit_anyway.daemon = True
        exit_anyway.start()


def _said_outcome() -> int:
    place = Path(os.environ[OUTCOME])
    return int(place.read_text()) if place.exists() else 0


def _limit_threads() -> None:
    # OpenMP has read its variable already when torch was loaded, before the fork.
    import torch

    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdecimal() and int(wanted) > 0:
        torch.set_num_threads(int(wanted))


def restarts_so_far() -> int:
    """How often the elastic agent has started this rank again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def starts_again() -> bool:
    """Whether an elastic agent will start this rank again if it ends with an error."""
    return restarts_so_far() < int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))


def watched_by_agent() -> bool:
    """Whether an elastic agent started this process; it passes on the signals that it gets itself."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def note_outcome(code: int) -> int:
    """Hand an exit code to `launch`, where that started this rank; the code with which to end, then 0."""
    place = os.environ.get(OUTCOME)
    if place is None:
        return code
    Path(place).write_text(str(code))
    return 0


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
