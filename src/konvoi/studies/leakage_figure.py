"""The answer of a leakage study in one figure: for each split where its pixels are, where it errs, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from konvoi.report.palette import ERROR, INK, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure
from konvoi.report.parts import UNLABELLED_COLOUR, legend_of_parts, parts_picture, show_map
from konvoi.studies.leakage import LeakageResult, Panel

_COLUMN = 184.0
_GAP = 16.0
_LEFT = 44.0
_HEAD = 42.0
_SCORES = 150.0

RIGHT = "#a9cfc2"
"""A test pixel that was classified rightly: the test's green, faint, so that errors stand out."""


@house_style()
def leakage_figure(panels: Sequence[Panel], results: Sequence[LeakageResult], title: str = "") -> Figure:
    """A column for each split: its map, its errors of the first seed, and the scores of all seeds."""
    rows, columns = panels[0].parts.shape
    height = min(1.8 * _COLUMN, _COLUMN * rows / columns)
    across = _LEFT + len(panels) * (_COLUMN + _GAP)
    down = _HEAD + 2 * (height + 26) + _SCORES + 62
    figure = new_figure(across, down)

    def place(left: float, top: float, width: float, tall: float) -> Axes:
        return figure.add_axes((left / across, 1 - (top + tall) / down, width / across, tall / down))

    figure.text(
        _LEFT / across, 1 - 4 / down, " · ".join(filter(None, (title, panels[0].data))),
        ha="left", va="top", fontsize=10.5, fontweight="bold", color=INK,
    )  # fmt: skip
    for number, panel in enumerate(panels):
        left = _LEFT + number * (_COLUMN + _GAP)
        show_map(place(left, _HEAD, _COLUMN, height), parts_picture(panel.parts))
        show_map(place(left, _HEAD + height + 26, _COLUMN, height), errors_picture(panel.wrong))
        figure.text(left / across, 1 - (_HEAD - 5) / down, panel.name, va="bottom", fontweight="bold", color=INK)
        if panel.leaks:
            figure.text(
                (left + _COLUMN) / across, 1 - (_HEAD - 5) / down, "leaking",
                ha="right", va="bottom", fontweight="bold", color=ERROR,
            )  # fmt: skip
        own = [result for result in results if result.split == panel.name]
        holding = float(np.mean([result.holding for result in own]))
        figure.text(
            left / across, 1 - (_HEAD + height + 5) / down, f"{holding:.0%} of test windows hold training pixels",
            va="top", fontsize=8.5, color=QUIET,
        )  # fmt: skip
        wrong = panel.wrong[panel.wrong >= 0]
        figure.text(
            left / across, 1 - (_HEAD + 2 * height + 31) / down, f"{wrong.sum():,} of {len(wrong):,} test pixels wrong",
            va="top", fontsize=8.5, color=QUIET,
        )  # fmt: skip
    top = _HEAD + 2 * (height + 26) + 26
    scores = place(_LEFT, top, across - _LEFT - _GAP, _SCORES)
    _draw_scores(scores, [panel.name for panel in panels], results)
    legend_of_parts(figure, 15 / down, x=_LEFT / across, others=((RIGHT, "tested, right"), (ERROR, "tested, wrong")))
    return figure


def errors_picture(wrong: NDArray[np.int8]) -> NDArray[np.float64]:
    """Test pixels that were classified rightly and wrongly, `(H, W, 3)`; others are pale."""
    table = np.array([to_rgb(colour) for colour in (UNLABELLED_COLOUR, RIGHT, ERROR)])
    return table[wrong.astype(np.int64) + 1]


def _draw_scores(axes: Axes, names: Sequence[str], results: Sequence[LeakageResult]) -> None:
    step = _COLUMN + _GAP
    kinds: tuple[tuple[str, str, Any, str], ...] = (
        ("OA", TEST, lambda result: result.overall_accuracy, "o"),
        ("AA", TRAIN, lambda result: result.average_accuracy, "s"),
        ("κ", VALIDATION, lambda result: result.kappa, "^"),
    )
    for column, name in enumerate(names):
        for offset, (kind, colour, score, marker) in enumerate(kinds):
            values = [score(result) for result in results if result.split == name and score(result) is not None]
            if not values:
                continue
            x = column * step + _COLUMN * (0.2 + 0.3 * offset)
            mean = float(np.mean(values))
            axes.plot([x - 13, x + 13], [mean, mean], color=colour, linewidth=2.2)
            axes.plot([x] * len(values), values, color=colour, marker=marker, markersize=4.5, linestyle="", alpha=0.55)
            axes.annotate(
                f"{kind} {mean:.4f}" if kind == "κ" else f"{kind} {mean:.2%}", (x, max(values)), xytext=(0, 6),
                textcoords="offset points", ha="center", fontsize=8.5, color=colour,
            )  # fmt: skip
    axes.set_xlim(0, len(names) * step - _GAP)
    low, high = axes.get_ylim()
    span = max(high - low, 0.01)
    axes.set_ylim(low - 0.05 * span, min(high, 1.0) + 0.17 * span)
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value <= 1 else ""))
    axes.set_title("Test scores: each seed, and the mean")
