"""The charts show the records, and leave matplotlib as they found it."""

import io
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import pytest
from fake_runs import FakeRun, history_of, predictions_of, scored
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from konvoi.errors import RunError
from konvoi.report import palette, plot
from konvoi.report.confusion import confusion_matrix, largest_error_share
from konvoi.report.figures import error_intervals, learning_curves, reliability_curve, seconds_spent, time_bar

NAMES = tuple("0123456789")


def line_of(axes: Axes, label: str) -> Line2D:
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return line


def marks(axes: Axes, marker: str = "o", size: float = 9) -> Sequence[Line2D]:
    return [line for line in axes.get_lines() if line.get_marker() == marker and line.get_markersize() == size]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


class TestLearningCurves:
    def test_the_curves_are_the_history(self) -> None:
        history = history_of(12, best=8)
        loss, error, rate = learning_curves(history).axes
        assert line_of(loss, "train").get_ydata() == pytest.approx([record.train_loss for record in history])
        assert line_of(loss, "validation").get_ydata() == pytest.approx([record.validation_loss for record in history])
        assert line_of(error, "train").get_ydata() == pytest.approx([1 - record.train_accuracy for record in history])
        assert rate.get_lines()[0].get_ydata() == pytest.approx([record.lr for record in history])
        assert line_of(error, "train").get_color() == palette.TRAIN
        assert line_of(error, "validation").get_color() == palette.VALIDATION

    def test_the_ring_stands_at_the_best_epoch(self) -> None:
        history = history_of(12, best=8)
        best = max(history, key=lambda record: record.validation_accuracy)
        assert best.epoch < 12
        loss, error, _ = learning_curves(history).axes
        assert marks(loss)[0].get_xydata() == pytest.approx(np.array([[best.epoch, best.validation_loss]]))
        assert marks(error)[0].get_xydata() == pytest.approx(np.array([[best.epoch, 1 - best.validation_accuracy]]))
        assert f"best epoch: {best.epoch}" in texts(loss.figure)

    def test_one_epoch_is_a_visible_point(self) -> None:
        figure = learning_curves(history_of(1))
        low, high = figure.axes[0].get_xlim()
        assert low < 1 < high
        assert line_of(figure.axes[0], "train").get_marker() == "o"
        ticks = figure.axes[2].get_xticks()
        assert [tick for tick in ticks if low <= tick <= high] == [1]

    def test_an_error_of_zero_is_drawn(self) -> None:
        *earlier, last = history_of(20)
        figure = learning_curves([*earlier, last.model_copy(update={"validation_accuracy": 1.0, "best": True})])
        error = figure.axes[1]
        low, _ = error.get_ylim()
        assert error.get_yscale() == "symlog"
        assert low < 0
        assert 0 in error.get_yticks()

    def test_no_epoch_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="at least one epoch"):
            learning_curves([])


def test_error_intervals_show_every_split_and_the_gap() -> None:
    train, validation, test = (scored(predictions_of(500, 10, errors, 0), NAMES) for errors in (5, 10, 40))
    (axes,) = error_intervals(train, validation, test).axes
    dots = marks(axes, size=7)
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx([0.01, 0.02, 0.08])
    assert [dot.get_color() for dot in dots] == [palette.TRAIN, palette.VALIDATION, palette.TEST]
    (gap,) = axes.patches
    assert (gap.get_x(), gap.get_x() + gap.get_width()) == pytest.approx((0.01, 0.08))
    assert "gap +7.0 points" in texts(axes.figure)
    (sealed,) = error_intervals(train, validation, None).axes
    assert len(marks(sealed, size=7)) == 2


def test_reliability_points_are_the_filled_bins() -> None:
    scores = scored(predictions_of(500, 10, 60, 0), NAMES)
    filled = [entry for entry in scores.reliability if entry.samples]
    curve, counts = reliability_curve(scores).axes
    (points,) = marks(curve, size=5)
    assert points.get_xdata() == pytest.approx([entry.confidence for entry in filled])
    assert points.get_ydata() == pytest.approx([entry.accuracy for entry in filled])
    (heights,) = marks(counts, size=4)
    assert list(heights.get_ydata()) == [entry.samples for entry in filled]


class TestConfusionMatrix:
    @pytest.mark.parametrize("classes", [2, 10, 25, 50])
    def test_every_error_has_its_number_and_colour(self, classes: int) -> None:
        scores = scored(predictions_of(40 * classes, classes, 3 * classes, 0), tuple(map(str, range(classes))))
        (axes,) = confusion_matrix(scores).axes
        errors = {
            (true, predicted): count
            for true, row in enumerate(scores.confusion)
            for predicted, count in enumerate(row)
            if count and true != predicted
        }
        coloured = [patch for patch in axes.patches if mpl.colors.to_hex(patch.get_facecolor()) == palette.ERROR]
        assert {(int(patch.get_y()), int(patch.get_x())) for patch in coloured} == set(errors)
        shown = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
        for cell, count in errors.items():
            assert shown[cell] == str(count)
        strongest = max(coloured, key=lambda patch: patch.get_alpha())
        row = scores.confusion[int(strongest.get_y())]
        assert row[int(strongest.get_x())] / sum(row) == pytest.approx(largest_error_share(scores))
        assert strongest.get_alpha() == pytest.approx(0.72)

    def test_names_are_text_and_are_shortened(self) -> None:
        names = ("$5 note", "a name that is much too long for the edge of any chart")
        figure = confusion_matrix(scored(predictions_of(40, 2, 3, 0), names))
        figure.savefig(io.BytesIO(), format="svg")
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels[0] == "$5 note"
        assert len(labels[1]) == 26

    def test_without_errors_nothing_is_coloured(self) -> None:
        scores = scored(predictions_of(40, 4, 0, 0), tuple("abcd"))
        assert largest_error_share(scores) == 0
        (axes,) = confusion_matrix(scores).axes
        assert {mpl.colors.to_hex(patch.get_facecolor()) for patch in axes.patches} == {palette.LINE}


def test_the_time_bar_is_as_long_as_its_parts() -> None:
    spent = seconds_spent(history_of(4), 2.0)
    assert spent == pytest.approx({"data": 1.0, "step": 10.0, "validation": 3.0, "checkpoint": 0.2, "evaluation": 2.0})
    (axes,) = time_bar(spent).axes
    assert [patch.get_width() for patch in axes.patches] == pytest.approx(list(spent.values()))
    assert axes.get_xlim()[1] == pytest.approx(16.2)
    assert "evaluation" not in seconds_spent(history_of(4), None)


def test_matplotlibs_settings_are_left_alone() -> None:
    with mpl.rc_context({"lines.linewidth": 7.0}):
        before = dict(mpl.rcParams)
        figure = learning_curves(history_of(3))
        figure._repr_png_()
        assert dict(mpl.rcParams) == before
        assert line_of(figure.axes[0], "train").get_linewidth() == 1.8


class TestPlot:
    def test_a_notebook_gets_a_picture(self, make_run: Callable[..., FakeRun]) -> None:
        run = make_run().run
        for chart in ("learning", "errors", "confusion", "calibration"):
            assert plot(run, chart)._repr_png_().startswith(b"\x89PNG")

    def test_what_is_not_there_yet_is_said(self, make_run: Callable[..., FakeRun]) -> None:
        with pytest.raises(RunError, match="not finished an epoch"):
            plot(make_run(evaluated=False, epochs=0).run)
        with pytest.raises(RunError, match="konvoi evaluate"):
            plot(make_run(evaluated=False).run, "confusion")
        with pytest.raises(ValueError, match="there are learning, errors"):
            plot(make_run().run, "curves")
