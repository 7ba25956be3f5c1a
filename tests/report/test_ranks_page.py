"""The page's section on ranks: whose time went where, worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fake_runs import FakeRun, history_of
from page import Page

from konvoi.report import render
from konvoi.report.ranks import teamwork, teamwork_figure
from konvoi.training.history import EpochRecord


def together(epochs: int) -> list[EpochRecord]:
    changes = {
        "seconds": {"data": 1.0, "step": 6.0, "communication": 3.0, "validation": 2.0, "checkpoint": 0.0},
        "over_ranks": {"data": (0.5, 1.5), "step": (5.0, 6.5), "communication": (2.0, 3.0)},
    }
    return [record.model_copy(update=changes) for record in history_of(epochs)]


def test_shares_are_of_the_time_in_training() -> None:
    found = teamwork(together(4))
    assert found is not None
    assert (found.computing, found.communicating, found.waiting) == pytest.approx((0.6, 0.3, 0.1))
    assert found.spread == {"step": (20.0, 26.0), "communication": (8.0, 12.0), "data": (2.0, 6.0)}


def test_one_rank_has_no_team() -> None:
    assert teamwork(history_of(3)) is None


def test_epochs_of_one_rank_are_left_out() -> None:
    found = teamwork([*history_of(3), *together(2)])
    assert found is not None
    assert found.spread["step"] == (10.0, 13.0)


def test_the_figure_shows_speed_and_shares() -> None:
    history = together(5)
    speed, shares = teamwork_figure(history).axes
    assert speed.get_lines()[0].get_ydata().tolist() == [record.samples_per_second for record in history]
    assert [line.get_ydata()[0] for line in shares.get_lines()] == pytest.approx([0.3, 0.1])
    assert [text.get_text() for text in shares.get_legend().get_texts()] == ["gradients", "data"]


def test_the_page_has_the_section(make_run: Callable[..., FakeRun]) -> None:
    made = make_run()
    assert "Ranks" not in Page(render(made.run, made.network)).text
    made.run.write_history(together(6))
    page = Page(render(made.run, made.network))
    assert "60.0 % went into computing" in page.text.replace("\u202f", " ").replace("\xa0", " ")
    assert page.row("communication")[0] == "communication"
