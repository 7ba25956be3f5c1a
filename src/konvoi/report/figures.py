"""The charts, from records to matplotlib figures: learning, errors, calibration, time. Pure functions, no files.

The confusion matrix has a file of its own, `confusion`; how a chart gets into the page is in `svg`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from konvoi.errors import RunError
from konvoi.evaluation.scores import Scores, wilson_interval
from konvoi.report.confusion import confusion_matrix
from konvoi.report.diagnosis import best_epoch, gap_between
from konvoi.report.palette import INK, LINE, QUIET, TEST, TRAIN, VALIDATION, call_leaking, house_style, new_figure
from konvoi.report.wording import fitting_digits, percent, points
from konvoi.training.history import EpochRecord

if TYPE_CHECKING:
    from konvoi.run import Run

ChartName = Literal["learning", "errors", "confusion", "calibration"]

TIME_COLOURS = {
    "data": (TRAIN, 0.45),
    "step": (TRAIN, 1.0),
    "communication": (TRAIN, 0.7),
    "validation": (VALIDATION, 1.0),
    "checkpoint": (QUIET, 0.6),
    "evaluation": (TEST, 1.0),
}
"""Colour and opacity of where the time goes, in the order of the bar: training blue, judging in its split's colour."""

_WIDTH = 410
_LOG_RATIO = 8
"""Curves that span more than this factor are drawn on a logarithmic axis, where late epochs can still be read."""


def plot(run: Run, chart: ChartName = "learning") -> Figure:
    """One chart of the report, for a notebook.

    Raises:
        RunError: the run is not far enough for this chart.
    """
    if chart not in get_args(ChartName):
        raise ValueError(f"there is no chart {chart!r}; there are {', '.join(get_args(ChartName))}")
    if chart == "learning":
        history = run.history
        if not history:
            raise RunError(f"{run.folder} has not finished an epoch yet; there is nothing to plot.")
        return call_leaking(learning_curves(history), run.facts.data.leaks)
    evaluation = run.evaluation
    if evaluation is None:
        raise RunError(f"{run.folder} is not evaluated. Run `konvoi evaluate {run.folder}` first.")
    train, validation, test = evaluation.train, evaluation.validation, evaluation.test
    if not (isinstance(train, Scores) and isinstance(validation, Scores) and isinstance(test, Scores | None)):
        raise RunError(f"{run.folder}: a sample may have several labels, and {chart} is a chart for one label each.")
    judged = test or validation
    match chart:
        case "errors":
            figure = error_intervals(train, validation, test)
        case "confusion":
            figure = confusion_matrix(judged)
        case "calibration":
            figure = reliability_curve(judged, test is not None)
    return call_leaking(figure, run.facts.data.leaks)


@house_style()
def learning_curves(history: Sequence[EpochRecord]) -> Figure:
    """Loss, error rate and learning rate over the epochs, with the best epoch marked.

    Where an image may have several labels, validation's macro mAP stands in place of the error rate, which says little
    about rare labels.
    """
    if not history:
        raise ValueError("learning curves need at least one epoch")
    figure = new_figure(_WIDTH, 430)
    loss, error, rate = figure.subplots(3, 1, sharex=True, height_ratios=[5, 5, 1.1])
    figure.subplots_adjust(left=0.115, right=0.975, top=0.925, bottom=0.09, hspace=0.36)
    epochs = [record.epoch for record in history]
    best = best_epoch(history)
    losses = [record.train_loss for record in history], [record.validation_loss for record in history]
    marker = "o" if len(history) <= 20 else None
    for axes in (loss, error):
        axes.axvline(best.epoch, color=QUIET, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    for losses_of, colour, label in zip(losses, (TRAIN, VALIDATION), ("train", "validation"), strict=True):
        loss.plot(epochs, losses_of, color=colour, marker=marker, markersize=3.5, label=label)
    loss.plot([best.epoch], [best.validation_loss], **_RING)
    if best.validation_map is None:
        _draw_errors(error, history, marker)
    else:
        _draw_precision(error, history, marker)
    logarithmic = _scale(loss, [*losses[0], *losses[1]])
    loss.set_title(f"Loss (nats{', logarithmic' if logarithmic else ''})")
    loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    loss.legend(
        loc="lower right", bbox_to_anchor=(1.015, 1.015), ncols=2, handlelength=1.4, columnspacing=1.4, borderpad=0
    )

    rates = [record.lr for record in history]
    rate.fill_between(epochs, rates, color=QUIET, alpha=0.25, linewidth=0)
    rate.plot(epochs, rates, color=QUIET, linewidth=1.2, marker="o" if len(history) == 1 else None, markersize=3.5)
    rate.set_ylim(0, (max(rates) or 1) * 1.15)
    rate.yaxis.set_major_locator(FixedLocator([0.0, max(rates)]))
    rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    rate.set_title("Learning rate")
    rate.set_xlabel("epoch", loc="right", labelpad=2)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    margin = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
    rate.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    crowded_right = best.epoch - epochs[0] > 0.6 * (epochs[-1] - epochs[0])
    loss.annotate(
        f"best epoch: {best.epoch:,}",
        (best.epoch, 1),
        xycoords=loss.get_xaxis_transform(),
        xytext=(-5 if crowded_right else 5, -2),
        textcoords="offset points",
        ha="right" if crowded_right else "left",
        va="top",
        color=QUIET,
        fontsize=9.5,
    )
    return figure


def _draw_errors(axes: Axes, history: Sequence[EpochRecord], marker: str | None) -> None:
    epochs, best = [record.epoch for record in history], best_epoch(history)
    errors = [1 - record.train_accuracy for record in history], [1 - record.validation_accuracy for record in history]
    for values, colour, label in zip(errors, (TRAIN, VALIDATION), ("train", "validation"), strict=True):
        axes.plot(epochs, values, color=colour, marker=marker, markersize=3.5, label=label)
    axes.plot([best.epoch], [1 - best.validation_accuracy], **_RING)
    logarithmic = _scale(axes, [*errors[0], *errors[1]])
    axes.set_title(f"Error rate{' (logarithmic)' if logarithmic else ''}")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _draw_precision(axes: Axes, history: Sequence[EpochRecord], marker: str | None) -> None:
    epochs, best = [record.epoch for record in history], best_epoch(history)
    precisions = [record.validation_map or 0.0 for record in history]
    axes.plot(epochs, precisions, color=VALIDATION, marker=marker, markersize=3.5, label="validation")
    axes.plot([best.epoch], [best.validation_map or 0.0], **_RING)
    axes.set_ylim(0, 1.02)
    axes.set_title("Macro mAP of validation")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


@house_style()
def error_intervals(train: Scores, validation: Scores, test: Scores | None) -> Figure:
    """The error rate of each split with its 95 % interval, and the gap between E_in and E_out."""
    rows = [("train", train, TRAIN), ("validation", validation, VALIDATION)]
    if test is not None:
        rows.append(("test", test, TEST))
    height = 62 + 34 * len(rows)
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.15, 40 / height, 0.7, 34 * len(rows) / height))
    gap = gap_between(train, test or validation)
    digits = fitting_digits((test or validation).interval)
    axes.axvspan(*sorted((gap.e_in, gap.e_out)), color=LINE, alpha=0.6, linewidth=0, zorder=0)
    for row, (_, scores, colour) in enumerate(rows):
        low, high = 1 - scores.interval[1], 1 - scores.interval[0]
        axes.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([1 - scores.accuracy], [row], color=colour, marker="o", markersize=7, clip_on=False)
        label = percent(1 - scores.accuracy, digits)
        axes.annotate(label, (high, row), xytext=(8, 0), textcoords="offset points", va="center", color=INK)
    widest = max(1 - scores.interval[0] for _, scores, _ in rows)
    axes.set_xlim(0, widest * 1.02)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], color=INK)
    axes.tick_params(axis="y", pad=9)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.set_xlabel("images classified wrongly, with 95 % interval", loc="left")
    far_right = min(gap.e_in, gap.e_out) > 0.6 * widest
    axes.annotate(
        f"gap {points(gap.difference, fitting_digits(gap.interval))} points",
        (max(gap.e_in, gap.e_out) if far_right else min(gap.e_in, gap.e_out), 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right" if far_right else "left",
        color=QUIET,
    )
    return figure


@house_style()
def reliability_curve(scores: Scores, is_test: bool = True) -> Figure:
    """Accuracy against confidence with 95 % intervals, and below how many images each point stands for."""
    filled = [entry for entry in scores.reliability if entry.samples]
    colour = TEST if is_test else VALIDATION
    figure = new_figure(330, 380)
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    figure.subplots_adjust(left=0.16, right=0.96, top=0.93, bottom=0.115, hspace=0.3)
    curve.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)))
    confidences = [entry.confidence or 0.0 for entry in filled]
    accuracies = [entry.accuracy or 0.0 for entry in filled]
    for entry, confidence in zip(filled, confidences, strict=True):
        interval = wilson_interval(round((entry.accuracy or 0.0) * entry.samples), entry.samples)
        curve.plot([confidence, confidence], interval, color=colour, linewidth=1.6, alpha=0.45, solid_capstyle="butt")
    curve.plot(confidences, accuracies, color=colour, marker="o", markersize=5, linewidth=1.2)
    curve.set_ylim(-0.02, 1.04)
    curve.set_title("Accuracy")
    counts.vlines(confidences, 0.7, [entry.samples for entry in filled], color=colour, linewidth=1.2, alpha=0.45)
    counts.plot(confidences, [entry.samples for entry in filled], color=colour, marker="o", markersize=4, linestyle="")
    counts.set_yscale("log")
    counts.set_ylim(0.7, max(entry.samples for entry in filled) * 2.5)
    counts.yaxis.set_major_locator(FixedLocator(_powers_of_ten(max(entry.samples for entry in filled))))
    counts.yaxis.set_minor_locator(FixedLocator([]))
    counts.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    counts.set_title("Images (logarithmic)")
    for axes in (curve, counts):
        axes.set_xlim(-0.02, 1.04)
    for axis in (curve.yaxis, counts.xaxis):
        axis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    counts.set_xlabel("confidence: the probability of the predicted class", loc="right")
    return figure


@house_style()
def time_bar(seconds: Mapping[str, float]) -> Figure:
    """One bar, divided by where the time went; names and figures stand in the table below it."""
    figure = new_figure(_WIDTH, 26)
    axes = figure.add_axes((0, 0, 1, 1))
    start = 0.0
    for part, spent in seconds.items():
        colour, opacity = TIME_COLOURS.get(part, (QUIET, 1.0))
        axes.barh(0, spent, left=start, height=1, color=colour, alpha=opacity, linewidth=0, label=part)
        start += spent
    axes.set_xlim(0, start or 1)
    axes.set_ylim(-0.5, 0.5)
    axes.set_axis_off()
    return figure


def seconds_spent(history: Sequence[EpochRecord], evaluation: float | None) -> dict[str, float]:
    """Where the time of a run went, summed over the epochs, in the order of `TIME_COLOURS`."""
    spent = dict.fromkeys(TIME_COLOURS, 0.0)
    for record in history:
        for part, seconds in record.seconds.items():
            spent[part] = spent.get(part, 0.0) + seconds
    if not any("communication" in record.seconds for record in history):
        del spent["communication"]
    if evaluation is None:
        del spent["evaluation"]
    else:
        spent["evaluation"] = evaluation
    return spent


_RING: dict[str, Any] = {
    "color": VALIDATION,
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgewidth": 1.6,
    "linestyle": "",
    "zorder": 4,
    "clip_on": False,
}


def _scale(axes: Axes, values: Sequence[float]) -> bool:
    """Choose the vertical axis of non-negative values; whether it became logarithmic."""
    positive = [value for value in values if value > 0]
    lowest, highest = min(positive, default=1.0), max(positive, default=1.0)
    if highest / lowest <= _LOG_RATIO:
        axes.set_ylim(0, highest * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return False
    has_zeros = len(positive) < len(values)
    if has_zeros:
        # Zero has no logarithm: below the smallest positive value the axis is linear, down to 0.
        axes.set_yscale("symlog", linthresh=lowest, linscale=0.4)
        axes.set_ylim(-0.12 * lowest, highest * 1.3)
    else:
        axes.set_yscale("log")
        axes.set_ylim(lowest / 1.25, highest * 1.3)
    axes.yaxis.set_major_locator(FixedLocator(([0.0] if has_zeros else []) + _round_values(lowest, highest)))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    return True


def _round_values(lowest: float, highest: float) -> list[float]:
    """1, 2 and 5 times powers of ten within a range; fewer where it is wide."""
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    span = math.log10(highest / lowest)
    steps = (1, 2, 5) if span < 1.8 else (1, 3) if span < 2.8 else (1,)
    values = [step * 10.0**decade for decade in decades for step in steps]
    return [value for value in values if lowest / 1.25 <= value <= highest * 1.3]


def _powers_of_ten(highest: int) -> list[float]:
    decades = math.floor(math.log10(highest))
    return [10.0**decade for decade in range(0, decades + 1, 1 if decades < 3 else 2)]
