"""Ranks that do not fit together say so, and do not wait without end."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from processes import free_port, run_ranks

from konvoi.errors import KonvoiError, RankLost
from konvoi.parallel.ranks import Ranks

MEET = """
import sys
from konvoi.errors import KonvoiError
from konvoi.parallel.environment import read_environment
from konvoi.parallel.meeting import meet, part
try:
    print(meet(read_environment(), start_seconds=8).words)
    part()
except KonvoiError as error:
    print(error)
    sys.exit(2)
"""


def start(rank: int, size: int, port: int, **variables: str) -> subprocess.Popen[str]:
    own = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-c", MEET], env={**os.environ, **own, **variables}, stdout=subprocess.PIPE, text=True
    )


def test_ranks_meet() -> None:
    port = free_port()
    ranks = [start(rank, 2, port) for rank in range(2)]
    assert [rank.communicate(timeout=60)[0] for rank in ranks] == ["2 ranks on one host, started by torchrun\n"] * 2


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
    rank = start(1, 2, port)
    said = rank.communicate(timeout=90)[0]
    assert f"did not reach rank 0 at 127.0.0.1:{port} within 8 s" in said
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
