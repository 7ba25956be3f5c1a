"""The answer of a label-efficiency study: a table of means and spreads, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from konvoi.report.palette import ERROR, INK, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure
from konvoi.studies.label_efficiency import METHODS, LabelResult

_LOOKS = {
    "scratch": (INK, "o", "from random weights"),
    "finetune": (TRAIN, "s", "fine-tuned"),
    "linear": (TEST, "^", "linear probe"),
    "svm": (ERROR, "D", "SVM on features"),
    "knn": (VALIDATION, "v", "k-NN on features"),
    "svmnet": (ERROR, "P", "convolutional SVMs"),  # its relative above is dashed
    "rbf-svm": (QUIET, "X", "RBF SVM on pixels"),
}


@dataclass(frozen=True)
class Point:
    """Mean and range over the seeds.

    Attributes:
        deviation: the sample's standard deviation; None of a single seed.
        per_class: labels a class, where they were counted so.
    """

    method: str
    labelled: int
    seeds: int
    mean: float
    lowest: float
    highest: float
    deviation: float | None
    per_class: int | None = None


def points_of(results: Sequence[LabelResult]) -> list[Point]:
    """By method in the order of `METHODS`, then by number of labelled images."""
    points = []
    for method in METHODS:
        for labelled in sorted({result.labelled for result in results if result.method == method}):
            own = [result for result in results if (result.method, result.labelled) == (method, labelled)]
            scores = [result.score for result in own]
            points.append(
                Point(
                    method=method,
                    labelled=labelled,
                    seeds=len(scores),
                    mean=float(np.mean(scores)),
                    lowest=min(scores),
                    highest=max(scores),
                    deviation=float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
                    per_class=own[0].per_class,
                )
            )
    return points


@house_style()
def label_figure(results: Sequence[LabelResult], title: str = "") -> Figure:
    """Score over the number of labelled images, a line a method; the bands reach from the worst seed to the best."""
    figure = new_figure(520, 330)
    axes = figure.add_axes((0.095, 0.15, 0.62, 0.74))
    points = points_of(results)
    a_class = all(point.per_class is not None for point in points)

    def count_of(point: Point) -> int:
        return point.per_class or 0 if a_class else point.labelled

    ends = []
    for method, (colour, marker, name) in _LOOKS.items():
        own = [point for point in points if point.method == method]
        if not own:
            continue
        counts = [count_of(point) for point in own]
        axes.fill_between(
            counts,
            [point.lowest for point in own],
            [point.highest for point in own],
            color=colour,
            alpha=0.14,
            linewidth=0,
        )
        axes.plot(
            counts,
            [point.mean for point in own],
            color=colour,
            marker=marker,
            markersize=5,
            linestyle="--" if method == "svm" else "-",
        )
        ends.append((own[-1].mean, counts[-1], name, colour))
    axes.set_xscale("log")
    ticks = sorted({count_of(point) for point in points})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    measure = results[0].measure if results else "score"
    axes.set_title(f"Test {measure}{f', {title}' if title else ''}")
    of_each = " of each class" if a_class else ""
    axes.set_xlabel(f"labelled training images{of_each} (logarithmic)", loc="right")
    low, high = axes.get_ylim()
    height = low - high
    for end, count, name, colour in sorted(ends, reverse=True):
        # Names stand beside their lines' ends, pushed down where two would touch.
        height = min(end, height - 0.062 * (high - low)) if height > low else end
        axes.annotate(
            name, (count, height), xytext=(9, 0), textcoords="offset points", va="center", color=colour, fontsize=9.5,
            annotation_clip=False,
        )  # fmt: skip
    return figure
