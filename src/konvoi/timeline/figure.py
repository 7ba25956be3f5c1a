"""A step as a band over time: its parts above, the kinds of work below them, and the kinds added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from konvoi.report.palette import ERROR, INK, LINE, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure
from konvoi.timeline import operators
from konvoi.timeline.slices import BACKWARD, FORWARD, REST, Slice
from konvoi.timeline.summary import TimelineSummary, median_step

_COLUMNS = 700
"""Of the bands: what is shorter than one of them gives way to what it shares it with."""

PHASE_COLOURS = {
    operators.DATA: (QUIET, 0.55),
    FORWARD: (TRAIN, 0.55),
    operators.LOSS: (ERROR, 0.9),
    BACKWARD: (TRAIN, 0.95),
    operators.COMMUNICATION: (TEST, 0.55),
    operators.OPTIMISER: (TEST, 0.95),
    REST: (LINE, 1.0),
}
KIND_COLOURS = {
    operators.CONVOLUTION: (TRAIN, 0.95),
    operators.DENSE: (TRAIN, 0.55),
    operators.NORMALISATION: (VALIDATION, 0.95),
    operators.ACTIVATION: (ERROR, 0.95),
    operators.POOLING: (ERROR, 0.5),
    operators.ELEMENTS: (VALIDATION, 0.5),
    operators.DROPOUT: (ERROR, 0.25),
    operators.COMPILED: (TRAIN, 0.3),
    operators.FORMATS: (INK, 0.85),
    operators.CONVERSIONS: (INK, 0.5),
    operators.LOSS: (ERROR, 0.7),
    operators.OPTIMISER: (TEST, 0.95),
    operators.COMMUNICATION: (TEST, 0.55),
    operators.HOST_TO_DEVICE: (QUIET, 0.8),
    operators.DATA: (QUIET, 0.55),
    operators.BETWEEN: (LINE, 1.0),
}
_WIDTH, _ROW = 560, 20
_LEFT, _RIGHT = 0.085, 0.975
_SMALLEST_NAMED = 0.005


@house_style()
def timeline_figure(summary: TimelineSummary, slices: Sequence[Slice]) -> Figure:
    """The recorded step of median length, and the mean shares of all recorded steps."""
    kinds = sorted(
        (kind for kind in summary.kinds if summary.share_of(kind) >= _SMALLEST_NAMED),
        key=lambda kind: -summary.kinds[kind],
    )
    height = 210 + _ROW * len(kinds)
    figure = new_figure(_WIDTH, height)
    step = median_step(slices)
    bands = figure.add_axes((_LEFT, 1 - 130 / height, _RIGHT - _LEFT, 92 / height))
    _draw_bands(bands, step)
    bands.set_title(
        f"One step of {summary.recipe}, ms · {summary.batch} samples, {summary.precision}, {_where(summary)}"
    )
    bars = figure.add_axes((0.4, 22 / height, 0.5, _ROW * len(kinds) / height))
    _draw_shares(bars, summary, kinds)
    return figure


def _where(summary: TimelineSummary) -> str:
    threads = f"{summary.threads} thread{'' if summary.threads == 1 else 's'}"
    where = "GPU" if summary.device == "cuda" else threads
    return where if summary.ranks == 1 else f"rank 0 of {summary.ranks}, {where}"


def _draw_bands(axes: Axes, step: Sequence[Slice]) -> None:
    start, end = step[0].start, step[-1].end
    length = (end - start) / 1e3
    axes.set_xlim(0, length)
    axes.set_ylim(-0.5, 1.5)
    rows: tuple[tuple[int, Callable[[Slice], str], dict[str, tuple[str, float]]], ...] = (
        (1, lambda entry: entry.phase, PHASE_COLOURS),
        (0, lambda entry: entry.kind, KIND_COLOURS),
    )
    for row, label_of, colours in rows:
        for label, left, right in bands_of(step, label_of):
            colour, opacity = colours[label]
            width = (right - left) * length
            axes.barh(row, width, left=left * length, height=0.86, color=colour, alpha=opacity, linewidth=0)
            if row == 1 and right - left > 0.0145 * len(label):
                axes.text(
                    (left + right) / 2 * length, row, label, ha="center", va="center", fontsize=9.5,
                    color=INK if colour == LINE else "white",
                )  # fmt: skip
    axes.set_yticks([1, 0], ["part", "work"])
    axes.grid(visible=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def bands_of(step: Sequence[Slice], label_of: Callable[[Slice], str]) -> list[tuple[str, float, float]]:
    """Labels in time, from 0 to 1: each of many columns of equal width has the label that takes most of it."""
    start, end = step[0].start, step[-1].end
    edges = np.linspace(start, end, _COLUMNS + 1)
    amounts: list[dict[str, float]] = [{} for _ in range(_COLUMNS)]
    for entry in step:
        first = min(int(np.searchsorted(edges, entry.start, side="right")) - 1, _COLUMNS - 1)
        last = min(int(np.searchsorted(edges, entry.end, side="left")), _COLUMNS)
        for column in range(first, last):
            inside = min(entry.end, edges[column + 1]) - max(entry.start, edges[column])
            amounts[column][label_of(entry)] = amounts[column].get(label_of(entry), 0.0) + inside
    labels = [max(amount, key=lambda label, own=amount: own[label]) for amount in amounts]  # type: ignore[misc]
    bands, position = [], 0
    for label, group in groupby(labels):
        count = len(list(group))
        bands.append((label, position / _COLUMNS, (position + count) / _COLUMNS))
        position += count
    return bands


def _draw_shares(axes: Axes, summary: TimelineSummary, kinds: Sequence[str]) -> None:
    shares = [summary.share_of(kind) for kind in kinds]
    for row, (kind, share) in enumerate(zip(kinds, shares, strict=True)):
        colour, opacity = KIND_COLOURS[kind]
        axes.barh(row, share, height=0.7, color=colour, alpha=opacity, linewidth=0)
        axes.annotate(
            f"{share:.1%}", (share, row), xytext=(5, 0), textcoords="offset points", va="center", color=INK,
            fontsize=9.5,
        )  # fmt: skip
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set_xlim(0, max(shares))
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_title("Share of the time, by kind of work")
