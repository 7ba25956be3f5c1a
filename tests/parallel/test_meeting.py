"""Ranks that do not fit together say so, and do not wait without end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from processes import free_port, run_ranks

from konvoi.errors import KonvoiError, RankLost
from konvoi.parallel.meeting import threads_of
from konvoi.parallel.ranks import Ranks

MEET = """
import sys
from konvoi.errors import KonvoiError
from konvoi.parallel.environment import read_environment
from konvoi.parallel.meeting import meet, part
try:
    print(meet(read_environment(), start_seconds=float(sys.argv[1])).words)
    part()
except KonvoiError as error:
    print(error)
    sys.exit(2)
"""


def start(rank: int, size: int, port: int, seconds: int = 8) -> subprocess.Popen[str]:
    own = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-c", MEET, str(seconds)], env={**os.environ, **own}, stdout=subprocess.PIPE, text=True
    )


def test_ranks_meet() -> None:
    port = free_port()
    ranks = [start(rank, 2, port) for rank in range(2)]
    assert [rank.communicate(timeout=60)[0] for rank in ranks] == ["2 ranks on one host, started by torchrun\n"] * 2


LAUNCHERS = {
    "Slurm's srun": {
        "SLURM_PROCID": "{rank}", "SLURM_LOCALID": "{rank}", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "0",
        "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": "7",
    },
    "LSF's jsrun": {
        "JSM_NAMESPACE_RANK": "{rank}", "JSM_NAMESPACE_SIZE": "2", "JSM_NAMESPACE_LOCAL_RANK": "{rank}",
        "JSM_NAMESPACE_LOCAL_SIZE": "2", "LSB_MCPU_HOSTS": "batch1 1 localhost 42",
    },
    "Open MPI's mpirun": {
        "OMPI_COMM_WORLD_RANK": "{rank}", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "{rank}",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    },
    "an MPI with PMI": {
        "PMI_RANK": "{rank}", "PMI_SIZE": "2", "MPI_LOCALRANKID": "{rank}", "MPI_LOCALNRANKS": "2",
    },
}  # fmt: skip


MEET_OFTEN = """
import json
import os
import sys
from konvoi.errors import KonvoiError
from konvoi.parallel.environment import read_environment
from konvoi.parallel.meeting import meet, part, speaks_first
for variables in json.loads(sys.argv[1]):
    os.environ.update(variables)
    try:
        print(meet(read_environment(), start_seconds=60).words)
    except KonvoiError as error:
        print(error if speaks_first() else "the other rank tells it")
    part()
    for name in variables:
        del os.environ[name]
"""


@pytest.fixture(scope="module")
def said_under_launchers() -> list[dict[str, str]]:
    """What two real processes say, one after the other under each launcher; at last with hosts that do not fit."""
    elsewhere = {"SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NODELIST": "localhost,other"}
    cases = {**LAUNCHERS, "elsewhere": LAUNCHERS["Slurm's srun"] | elsewhere}
    ports = [str(free_port()) for _ in cases]
    processes = []
    for rank in range(2):
        environments = [
            {name: value.format(rank=rank) for name, value in case.items()} | {"MASTER_PORT": port}
            for case, port in zip(cases.values(), ports, strict=True)
        ]
        command = [sys.executable, "-c", MEET_OFTEN, json.dumps(environments)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    return [dict(zip(cases, lines, strict=True)) for lines in said]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_ranks_of_every_launcher_meet(launcher: str, said_under_launchers: list[dict[str, str]]) -> None:
    for said in said_under_launchers:
        assert said[launcher] == f"2 ranks on one host, started by {launcher}"


def test_hosts_that_are_not_those_the_launcher_named_are_told_once(said_under_launchers: list[dict[str, str]]) -> None:
    told, silent = sorted((said["elsewhere"] for said in said_under_launchers), key=len, reverse=True)
    assert told.startswith("Slurm's srun says that 1 of 2 ranks are on the host of rank")
    assert "2 of them have its name" in told
    assert silent == "the other rank tells it"


@pytest.mark.parametrize(
    ("own", "all_on_host", "expected"),
    [
        (0b1111, [0b1111, 0b1111], 2),  # nobody has bound them: two ranks share four cores
        (0b0011, [0b0011, 0b1100], 2),  # each is bound to two of its own
        (0b1111, [0b1111] * 3, 1),
        (0b1111, [0b1111, 0b0001], 3),  # one core of four is shared: 3 and a half
        (0b1, [0b1] * 8, 1),
    ],
)
def test_ranks_of_a_host_share_its_cores(own: int, all_on_host: list[int], expected: int) -> None:
    assert threads_of(own, all_on_host) == expected


def test_a_missing_rank_is_named() -> None:
    port = free_port()
    ranks = [start(rank, 3, port) for rank in (0, 2)]
    started = time.monotonic()
    said = [rank.communicate(timeout=60)[0] for rank in ranks]
    assert time.monotonic() - started < 40
    assert "2 of 3 ranks came within 8 s; missing: 1." in said[0]
    assert [rank.returncode for rank in ranks] == [2, 2]


def test_ranks_that_disagree_on_their_number_are_told() -> None:
    port = free_port()
    ranks = [start(0, 2, port), start(1, 3, port)]
    said = "".join(rank.communicate(timeout=60)[0] for rank in ranks)
    assert "size" in said
    assert "Start all ranks with the same environment." in said


def test_a_rank_without_its_first_says_where_it_looked() -> None:
    port = free_port()
    rank = start(1, 2, port, seconds=2)
    said = rank.communicate(timeout=90)[0]
    assert f"did not reach rank 0 at 127.0.0.1:{port} within 2 s" in said
    assert rank.returncode == 2


def fails_on_first(ranks: Ranks) -> str:
    def make() -> None:
        raise KonvoiError("the folder is not empty")

    try:
        ranks.from_first(make)
    except RankLost:
        return "lost"
    except KonvoiError as error:
        return str(error)
    return "nothing"


def words(ranks: Ranks) -> tuple[list[str], object, list[float], list[float]]:
    answer = ranks.from_first(lambda: {"folder": "größer", "number": 3})
    sums = ranks.sums([0.1, float(ranks.rank)])
    return ranks.all_words(f"I am {ranks.rank}" * ranks.rank), answer, sums, ranks.largest([-float(ranks.rank)])


@pytest.mark.parametrize("size", [2, 3])
def test_what_ranks_say_to_each_other(size: int) -> None:
    for said, answer, sums, largest in run_ranks(size, words):
        assert said == [f"I am {rank}" * rank for rank in range(size)]
        assert answer == {"folder": "größer", "number": 3}
        assert sums == [sum([0.1] * size), sum(range(size))]
        assert largest == [0.0]


def test_an_error_of_the_first_rank_is_told_once() -> None:
    assert run_ranks(2, fails_on_first) == ["the folder is not empty", "lost"]
