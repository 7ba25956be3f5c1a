"""Stopped with some ranks, resumed with others, in the middle of an epoch: exactly the samples that were left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import run_ranks
from trainings import Job, Outcome, run_job

from konvoi.parallel.ranks import Ranks

SHORT = ("budget.batch=30",)
"""39 steps an epoch."""


def run_all(ranks: Ranks, jobs: list[Job]) -> list[Outcome]:
    return [run_job(job, ranks) for job in jobs]


def steps_of(outcomes: list[Outcome]) -> list[list[int]]:
    parts = zip(*(outcome.seen for outcome in outcomes), strict=True)
    return [sorted(sample for part in step for sample in part) for step in parts]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (2, 3), (1, 2)])
def test_the_samples_that_were_left(before: int, after: int, tmp_path: Path) -> None:
    whole = run_job(Job(SHORT, tmp_path / "whole"))
    stopped = Job(SHORT, tmp_path / "stopped", stop_after=5)
    resumed = Job(SHORT, tmp_path / "stopped", resume=True)
    first = [run_job(stopped)] if before == 1 else [found for (found,) in run_ranks(before, run_all, [stopped])]
    taken = len(first[0].seen)
    assert 5 <= taken < 39
    second = [run_job(resumed)] if after == 1 else [found for (found,) in run_ranks(after, run_all, [resumed])]
    expected = [sorted(step) for step in whole.seen]
    assert steps_of(first) == expected[:taken]
    assert steps_of(second) == expected[taken:]
    for name, value in whole.weights.items():
        torch.testing.assert_close(second[0].weights[name], value, rtol=1e-4, atol=2e-5)
