"""The arithmetic of steps, micro-batches and ranks: every position once, sizes alike, and counted right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from konvoi.data.steps import Steps
from konvoi.errors import RecipeError


@st.composite
def divisions(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]], int, int]:
    ranks, accumulate = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    smallest = 2 * ranks * accumulate
    epochs = sorted(draw(st.sets(st.integers(1, 8), max_size=3)))
    changes = [(epoch, draw(st.integers(smallest, 200))) for epoch in epochs]
    return draw(st.integers(smallest, 400)), draw(st.integers(smallest, 120)), changes, accumulate, ranks


@given(divisions(), st.integers(0, 9))
def test_ranks_and_micro_batches_divide_a_step(
    division: tuple[int, int, list[tuple[int, int]], int, int], epoch: int
) -> None:
    samples, batch, changes, accumulate, ranks = division
    of_rank = [Steps(samples, batch, changes, accumulate, rank, ranks) for rank in range(ranks)]
    whole = Steps(samples, batch, changes)
    seen = []
    for step in range(whole.in_epoch(epoch)):
        start, end = whole.bounds(epoch, step)
        assert 1 <= end - start <= whole.batch_in(epoch)
        own = [steps.own(epoch, step) for steps in of_rank]
        assert all(len(parts) == accumulate for parts in own)
        sizes = [last - first for parts in own for first, last in parts]
        assert min(sizes) >= 1
        # Of a micro-batch first and then of a rank: each division adds one sample of difference at most.
        assert max(sizes) - min(sizes) <= 2
        positions = sorted(position for parts in own for first, last in parts for position in range(first, last))
        assert positions == list(range(start, end))
        seen += positions
    assert seen == list(range(samples))


@given(divisions())
def test_steps_are_counted_over_epochs(division: tuple[int, int, list[tuple[int, int]], int, int]) -> None:
    samples, batch, changes, _, _ = division
    steps = Steps(samples, batch, changes)
    number = 0
    for epoch in range(11):
        assert steps.before(epoch) == number
        for within in range(steps.in_epoch(epoch)):
            assert steps.locate(number) == (epoch, within)
            number += 1


def test_a_batch_size_holds_from_its_epoch_on() -> None:
    steps = Steps(100, 10, [(2, 50), (5, 100)])
    assert [steps.batch_in(epoch) for epoch in range(7)] == [10, 10, 50, 50, 50, 100, 100]
    assert [steps.in_epoch(epoch) for epoch in range(7)] == [10, 10, 2, 2, 2, 1, 1]


@pytest.mark.parametrize(("batch", "accumulate", "ranks"), [(3, 1, 4), (8, 3, 3)])
def test_a_rank_without_a_sample_is_refused(batch: int, accumulate: int, ranks: int) -> None:
    with pytest.raises(RecipeError, match="Use fewer, or a larger batch"):
        Steps(80, batch, (), accumulate, 0, ranks)
