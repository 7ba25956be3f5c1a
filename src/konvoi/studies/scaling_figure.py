"""The figure of a scaling study: a row a mode, with efficiency beyond what was measured, shares of time, and scores."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from konvoi.report.palette import INK, LINE, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure
from konvoi.studies.extrapolation import LEAST_EFFICIENCY, Extrapolation
from konvoi.studies.scale_results import MODES, Compared, Mode, ScaleResult, compare

_PUBLISHED = ((256, 0.9, "Goyal et al. 2017"),)
"""Ranks and efficiency of others, where one figure says it; see `studies.scaling_words`."""

_ROW = 285
_LEGEND = 18
"""Heights of a row and of a line of legend, in points."""


@house_style()
def scaling_figure(results: Sequence[ScaleResult], extrapolations: Sequence[Extrapolation] = ()) -> Figure:
    """Efficiency (points: measured; bands: the model's 95 %), shares of the time, and validation scores."""
    modes = [mode for mode in MODES if any(result.mode == mode for result in results)]
    figure = new_figure(900, _ROW * len(modes))
    for row, mode in enumerate(modes):
        own = [entry for entry in compare(results) if entry.result.mode == mode]

        def place(left: float, width: float, height: float = 0.65, row: int = row) -> Axes:
            bottom = 1 - (row + 1) / len(modes) + 0.175 / len(modes)
            return figure.add_axes((left, bottom, width, height / len(modes)))

        _draw_efficiency(place(0.06, 0.42), mode, own, [entry for entry in extrapolations if entry.mode == mode])
        _draw_shares(place(0.545, 0.185, 0.65 - _LEGEND / _ROW), own)
        _draw_scores(place(0.805, 0.175), own)
    return figure


def _draw_efficiency(axes: Axes, mode: Mode, own: Sequence[Compared], models: Sequence[Extrapolation]) -> None:
    ends = []
    for model in models:
        colour = TRAIN if model.network.algorithm == "ring" else TEST
        axes.fill_between(model.ranks, model.low, model.high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(model.ranks, model.efficiency, color=colour, linewidth=1.6)
        ends.append((model.efficiency[-1], model.ranks[-1], model.network.algorithm, colour))
    axes.axhline(LEAST_EFFICIENCY, color=QUIET, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    ranks = [entry.result.ranks for entry in own]
    axes.plot(ranks, [entry.efficiency for entry in own], color=INK, marker="o", markersize=5, linestyle="", zorder=4)
    last = max([model.ranks[-1] for model in models], default=ranks[-1])
    for count, efficiency, name in _PUBLISHED:
        if mode == "weak" and models and count <= last:
            axes.plot([count], [efficiency], marker="D", markersize=5, color="none", markeredgecolor=QUIET, zorder=3)
            axes.annotate(
                name, (count, efficiency), xytext=(6, 5), textcoords="offset points", color=QUIET, fontsize=8.5
            )
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, max(1.12, 1.08 * max(entry.efficiency for entry in own)))
    if models:
        axes.xaxis.set_major_locator(LogLocator(base=2 if last <= 32 else 4))
        axes.set_xlim(ranks[0] / 1.15, last * 1.05)
    else:
        axes.set_xticks(ranks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.set_title(f"{mode.capitalize()} scaling: efficiency, measured{' and modelled' if models else ''}")
    axes.set_xlabel("ranks (logarithmic)", loc="right")
    height = -1.0
    for end, count, name, colour in sorted(ends):
        # Names stand beside their lines' ends, pushed up where two would touch.
        height = max(end, height + 0.075, 0.02)
        axes.annotate(
            name, (count, height), xytext=(6, 0), textcoords="offset points", va="center", color=colour,
            fontsize=9.5, annotation_clip=False,
        )  # fmt: skip


def _draw_shares(axes: Axes, own: Sequence[Compared]) -> None:
    places = range(len(own))
    below = [0.0] * len(own)
    parts = (("computing", TRAIN, 1.0), ("gradients", VALIDATION, 1.0), ("data", QUIET, 0.55))
    for number, (name, colour, opacity) in enumerate(parts):
        shares = [entry.result.shares[number] for entry in own]
        axes.bar(places, shares, 0.62, bottom=below, color=colour, alpha=opacity, linewidth=0, label=name)
        below = [before + share for before, share in zip(below, shares, strict=True)]
    axes.set_ylim(0, 1.0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    _name_sizes(axes, own)
    axes.set_title("Where the time goes", pad=9.0 + _LEGEND)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.03, 0.98), ncols=3, fontsize=8.5, handlelength=0.8, handletextpad=0.4,
        columnspacing=0.9, borderpad=0.2,
    )  # fmt: skip


def _draw_scores(axes: Axes, own: Sequence[Compared]) -> None:
    for at, entry in enumerate(own):
        score, interval = entry.result.score, entry.result.interval
        if score is None or interval is None:
            axes.annotate(
                "diverged", (at, 0.5), xycoords=("data", "axes fraction"), ha="center", color=QUIET, fontsize=9
            )
            continue
        axes.plot([at, at], interval, color=LINE, linewidth=4, zorder=2)
        axes.plot([at], [score], color=VALIDATION, marker="o", markersize=5, zorder=3)
    measure = own[0].result.measure
    axes.yaxis.set_major_locator(MaxNLocator(5))
    scale, unit = (100, " %") if measure == "accuracy" else (1, "")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{scale * value:.4g}{unit}"))
    _name_sizes(axes, own)
    axes.set_title(f"Validation {measure}")


def _name_sizes(axes: Axes, own: Sequence[Compared]) -> None:
    axes.set_xticks(range(len(own)), [f"{entry.result.ranks:,}" for entry in own])
    axes.set_xlim(-0.6, len(own) - 0.4)
    axes.set_xlabel("ranks", loc="right")
