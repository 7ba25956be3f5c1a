"""The roofline of a device as a figure, with a network's layers under it, and their shares of the time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from konvoi.hardware.bandwidth import TRIAD
from konvoi.hardware.bench import DeviceResult
from konvoi.hardware.convolution import CONVOLUTION
from konvoi.hardware.layers import LayerPoint
from konvoi.hardware.products import BY_COLUMNS, MATRIX_MATRIX, MATRIX_VECTOR
from konvoi.report.palette import ERROR, INK, LINE, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure

KIND_COLOURS = {
    "convolution": TRAIN,
    "dense": TEST,
    "normalisation": VALIDATION,
    "activation": ERROR,
    "pooling": QUIET,
}

_MARKS = {
    TRIAD: ("P", "triad"),
    BY_COLUMNS: ("v", "matrix–vector by columns"),
    MATRIX_VECTOR: ("^", "matrix–vector, library"),
    MATRIX_MATRIX: ("s", "matrix–matrix"),
    CONVOLUTION: ("D", "convolution 3×3"),
}
_SMALLEST, _LARGEST = 14.0, 170.0
_LEFT, _WIDTH = 0.115, 0.735


@house_style()
def roofline_figure(result: DeviceResult) -> Figure:
    """Speed over arithmetic intensity, both logarithmic; below it, predicted and measured shares of the forward pass.

    The network's precision has the dark roof, other precisions lighter ones. A layer's circle has the area of its share
    of the measured time.
    """
    figure = new_figure(560, 500)
    axes = figure.add_axes((_LEFT, 0.385, _WIDTH, 0.545))
    network, roof = result.network, result.roofline
    layers = list(network.layers)
    low = min([0.1, *(layer.intensity for layer in layers)]) / 1.6
    high = max([roof.ridge(name) for name in roof.compute] + [entry.intensity for entry in result.measurements]) * 1.8
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    speeds = [layer.flop / layer.seconds / 1e9 for layer in layers]
    bottom = min([roof.attainable(low, network.precision) / 1e9, *speeds]) / 1.6
    top = max([*roof.compute.values(), *(1e9 * speed for speed in speeds)]) / 1e9 * 2.6
    axes.set_ylim(bottom, top)
    _draw_roofs(axes, result, low, high)
    _draw_measurements(axes, result)
    longest = max(layer.seconds for layer in layers)
    for kind, colour in KIND_COLOURS.items():
        own = [layer for layer in layers if layer.kind == kind]
        axes.scatter(
            [layer.intensity for layer in own],
            [layer.flop / layer.seconds / 1e9 for layer in own],
            s=[_area(layer, longest) for layer in own],
            color=colour,
            alpha=0.55,
            linewidths=0,
            zorder=4,
        )
    axes.grid(visible=True, axis="both", which="major")
    axes.xaxis.set_major_locator(LogLocator(base=10))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_title(f"GFLOP/s · {_where(result)}")
    axes.set_xlabel("arithmetic intensity, FLOP/byte", loc="right", labelpad=2)
    _draw_shares(figure, result)
    return figure


def _where(result: DeviceResult) -> str:
    threads = result.threads
    return result.name + ("" if threads is None else f", {threads} thread{'' if threads == 1 else 's'}")


def _area(layer: LayerPoint, longest: float) -> float:
    return max(_SMALLEST, _LARGEST * layer.seconds / longest)


def _draw_roofs(axes: Axes, result: DeviceResult, low: float, high: float) -> None:
    roof, own = result.roofline, result.network.precision
    bottom, top = axes.get_ylim()
    # Where two roofs are nearly as high, their names stand below each other.
    gap = (top / bottom) ** 0.05
    height = top
    for precision, compute in sorted(roof.compute.items(), key=lambda entry: -entry[1]):
        colour, width = (INK, 1.8) if precision == own else (QUIET, 1.1)
        ridge = roof.ridge(precision)
        height = min(compute / 1e9, height / gap)
        axes.plot([ridge, high], [compute / 1e9] * 2, color=colour, linewidth=width, zorder=3)
        axes.annotate(
            f"{precision} {compute / 1e9:,.0f}",
            (high, height), xytext=(5, 0), textcoords="offset points", va="center", color=colour, fontsize=9.5,
            annotation_clip=False,
        )  # fmt: skip
    furthest = max(roof.ridge(precision) for precision in roof.compute)
    slope = [roof.bandwidth * intensity / 1e9 for intensity in (low, furthest)]
    axes.plot([low, furthest], slope, color=INK, linewidth=1.8, zorder=3)
    # Along the line: a factor of ten is a slope of 1 in logarithms, whose picture has the axes' proportions.
    box = axes.get_window_extent()
    up, right = box.height / math.log10(top / bottom), box.width / math.log10(high / low)
    middle = math.sqrt(low * furthest)
    axes.annotate(
        f"memory {roof.bandwidth / 1e9:,.0f} GB/s",
        (middle, roof.bandwidth * middle / 1e9),
        xytext=(-3, 5),
        textcoords="offset points",
        rotation=math.degrees(math.atan2(up, right)),
        rotation_mode="anchor",
        ha="center",
        va="bottom",
        color=INK,
        fontsize=9.5,
    )


def _draw_measurements(axes: Axes, result: DeviceResult) -> None:
    shown = [entry for entry in result.at(result.threads) if entry.operation in _MARKS]
    for entry in shown:
        marker, _ = _MARKS[entry.operation]
        axes.plot(
            [entry.intensity],
            [entry.gigaflops],
            marker=marker,
            markersize=4.6,
            color=INK if entry.precision == result.network.precision else QUIET,
            markerfacecolor="white",
            markeredgewidth=0.9,
            linestyle="none",
            zorder=5,
        )
    handles = [
        Line2D([], [], marker=marker, markersize=4.6, color=INK, markerfacecolor="white", markeredgewidth=0.9,
               linestyle="none", label=name)
        for operation, (marker, name) in _MARKS.items()
        if any(entry.operation == operation for entry in shown)
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower right", handletextpad=0.3, borderpad=0.2, labelspacing=0.35, fontsize=9.5)


def _draw_shares(figure: Figure, result: DeviceResult) -> None:
    shares = result.network.shares()
    axes = figure.add_axes((_LEFT, 0.125, _WIDTH, 0.115))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.55, 1.5)
    network = result.network
    axes.set_title(
        f"{network.network}, {network.batch} images, {network.precision}: share of the forward pass in layers",
        pad=6,
    )
    for row, (name, part) in enumerate((("measured", 1), ("predicted", 0))):
        start = 0.0
        for kind, pair in shares.items():
            axes.barh(
                row, pair[part], left=start, height=0.72, color=KIND_COLOURS[kind], alpha=0.8, edgecolor="white",
                linewidth=0.8,
            )  # fmt: skip
            if pair[part] >= 0.06:
                axes.text(
                    start + pair[part] / 2, row, f"{pair[part]:.0%}", ha="center", va="center", color="white",
                    fontsize=9.5,
                )  # fmt: skip
            start += pair[part]
        axes.annotate(
            name, (0, row), xytext=(-5, 0), textcoords="offset points", ha="right", va="center", color=QUIET,
            fontsize=9.5, annotation_clip=False,
        )  # fmt: skip
    _name_kinds(figure, list(shares))


def _name_kinds(figure: Figure, kinds: Sequence[str]) -> None:
    handles = [
        Line2D([], [], marker="o", markersize=6.5, color=KIND_COLOURS[kind], alpha=0.8, linestyle="none", label=kind)
        for kind in kinds
    ]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(_LEFT - 0.01, 0.03), ncols=len(kinds), handletextpad=0.2,
        columnspacing=1.4, borderpad=0,
    )  # fmt: skip
    figure.text(
        _LEFT + _WIDTH,
        0.018,
        "after Williams, Waterman and Patterson, CACM 52 (2009)",
        ha="right",
        color=QUIET,
        fontsize=8.0,
    )
    figure.add_artist(Line2D([_LEFT, _LEFT + _WIDTH], [0.305, 0.305], color=LINE, linewidth=0.8))
