"""No rank goes on before the last one is forked."""

from __future__ import annotations

import os
import select
import time

import pytest

from konvoi.parallel.gate import Gate

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def fork_one(gate: Gate, passed: int) -> int:
    child = os.fork()
    if child == 0:
        gate.pass_through()
        os.write(passed, b"x")
        os._exit(0)
    return child


def has_passed(pipe: int, seconds: float) -> bool:
    return bool(select.select([pipe], [], [], seconds)[0])


def test_ranks_wait_for_the_last_one_and_again_after_a_restart() -> None:
    gate = Gate(3)
    passed, writing = os.pipe()
    try:
        for _ in range(2):
            children = [fork_one(gate, writing) for _ in range(2)]
            assert not has_passed(passed, 0.3)
            children.append(fork_one(gate, writing))
            for child in children:
                assert has_passed(passed, 10)
                assert os.read(passed, 1) == b"x"
                os.waitpid(child, 0)
    finally:
        gate.close()


def test_a_rank_goes_on_when_its_launcher_ends() -> None:
    passed, writing = os.pipe()
    launcher = os.fork()
    if launcher == 0:
        fork_one(Gate(2), writing)
        time.sleep(0.2)
        os._exit(0)
    os.waitpid(launcher, 0)
    assert has_passed(passed, 10)
