"""The figures of the batch and the precision study: speed beside what is learned, each from the seeds' results."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from konvoi.report.palette import LINE, QUIET, TRAIN, VALIDATION, house_style, new_figure
from konvoi.studies.variants import Variant, VariantResult, summarise


@house_style()
def batch_figure(results: Sequence[VariantResult]) -> Figure:
    """Samples a second, and the error on validation, over the batch; the mean, every seed, and the range over seeds."""
    variants = summarise(results)
    batches = [int(variant.name) for variant in variants]
    measure = results[0].measure
    figure = new_figure(680, 290)
    speed = figure.add_axes((0.08, 0.17, 0.385, 0.68))
    error = figure.add_axes((0.585, 0.17, 0.385, 0.68))
    speeds = [variant.speed or 0.0 for variant in variants]
    speed.plot(batches, speeds, color=TRAIN, marker="o", markersize=5)
    speed.set_ylim(0, 1.12 * speed.get_ylim()[1])
    speed.set_title("Samples a second")
    speed.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    kept = [
        (batch, 1 - variant.mean, 1 - variant.highest, 1 - variant.lowest)
        for batch, variant in zip(batches, variants, strict=True)
        if variant.mean is not None and variant.lowest is not None and variant.highest is not None
    ]
    if kept:
        own, means, lowest, highest = zip(*kept, strict=True)
        error.fill_between(own, lowest, highest, color=VALIDATION, alpha=0.14, linewidth=0)
        error.plot(own, means, color=VALIDATION, marker="o", markersize=5)
    scored = [(int(result.variant), 1 - result.score) for result in results if result.score is not None]
    of_batches, errors = [batch for batch, _ in scored], [value for _, value in scored]
    error.scatter(of_batches, errors, s=9, color=VALIDATION, alpha=0.55, zorder=3)
    lost = [batch for batch, variant in zip(batches, variants, strict=True) if variant.diverged]
    for batch in lost:
        error.annotate(
            "diverged", (batch, 1), xycoords=("data", "axes fraction"), xytext=(0, -4), textcoords="offset points",
            ha="center", va="top", color=QUIET, fontsize=9,
        )  # fmt: skip
    error.set_ylim(0, 1.15 * max(error.get_ylim()[1], 0.001))
    error.set_title(f"Validation error, 1 − {measure}")
    if measure == "accuracy":
        error.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    for axes in (speed, error):
        axes.set_xscale("log", base=2)
        axes.set_xticks(batches, [f"{batch:,}" for batch in batches])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("samples of a step (logarithmic)", loc="right")
    return figure


@house_style()
def precision_figure(results: Sequence[VariantResult]) -> Figure:
    """A row a precision: samples a second as a bar, and the score of every seed with the mean."""
    variants = summarise(results)
    height = 95 + 34 * len(variants)
    figure = new_figure(680, height)
    bottom, top = 46 / height, 1 - 34 / height
    speed = figure.add_axes((0.115, bottom, 0.375, top - bottom))
    score = figure.add_axes((0.575, bottom, 0.395, top - bottom))
    rows = range(len(variants))
    speed.barh(rows, [variant.speed or 0.0 for variant in variants], height=0.5, color=TRAIN)
    longest = max([variant.speed or 0.0 for variant in variants], default=1.0)
    for row, variant in zip(rows, variants, strict=True):
        speed.annotate(
            f"{variant.speed or 0:,.0f}", (variant.speed or 0.0, row), xytext=(5, 0), textcoords="offset points",
            va="center", color=QUIET, fontsize=9.5,
        )  # fmt: skip
        _scores_of_row(score, row, variant, results)
    speed.set_xlim(0, 1.22 * longest)
    speed.set_title("Samples a second")
    speed.set_yticks(rows, [variant.name for variant in variants])
    speed.xaxis.set_major_locator(MaxNLocator(4))
    speed.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    score.set_title(f"Validation {results[0].measure}, seed by seed")
    score.set_yticks(rows, [])
    score.xaxis.set_major_locator(MaxNLocator(4))
    digits = "{:.4g}" if results[0].measure != "accuracy" else "{:.4g} %"
    scale = 1 if results[0].measure != "accuracy" else 100
    score.xaxis.set_major_formatter(FuncFormatter(lambda value, _: digits.format(scale * value)))
    for axes in (speed, score):
        axes.set_ylim(len(variants) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
    return figure


def _scores_of_row(axes: Axes, row: int, variant: Variant, results: Sequence[VariantResult]) -> None:
    if variant.mean is None:
        axes.annotate("diverged", (0.5, row), xycoords=("axes fraction", "data"), ha="center", va="center", color=QUIET)
        return
    own = [result.score for result in results if result.variant == variant.name and result.score is not None]
    axes.plot([min(own), max(own)], [row, row], color=LINE, linewidth=5, zorder=1)
    axes.scatter(own, [row] * len(own), s=14, color=VALIDATION, alpha=0.6, zorder=3)
    axes.plot([variant.mean, variant.mean], [row - 0.24, row + 0.24], color=VALIDATION, linewidth=2.2, zorder=4)
