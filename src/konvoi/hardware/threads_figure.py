"""Throughput against the processor's threads: what memory limits soon stops growing, what arithmetic limits goes on."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from konvoi.hardware.bandwidth import COPY, TRIAD
from konvoi.hardware.bench import DeviceResult
from konvoi.hardware.convolution import CONVOLUTION
from konvoi.hardware.products import BY_COLUMNS, MATRIX_MATRIX, MATRIX_VECTOR
from konvoi.report.palette import ERROR, LINE, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure

_MEMORY = ((COPY, TRAIN), (TRIAD, TEST), (MATRIX_VECTOR, VALIDATION), (BY_COLUMNS, ERROR))
_ARITHMETIC = ((MATRIX_MATRIX, TRAIN), (CONVOLUTION, TEST))
_NAMES = {MATRIX_VECTOR: "matrix–vector", BY_COLUMNS: "the same by columns"}
_DASHES = {"float32": "-", "bfloat16": (0, (4, 1.6)), "float16": (0, (1, 1.4))}


def best_by_threads(result: DeviceResult, operation: str, precision: str) -> tuple[list[int], list[float]]:
    """Numbers of threads, and the best speed of all sizes at each: GFLOP/s, or GB/s of what does no arithmetic."""
    threads = sorted({entry.threads for entry in result.measurements if entry.threads is not None})
    speeds = []
    for count in threads:
        own = [entry for entry in result.at(count) if (entry.operation, entry.precision) == (operation, precision)]
        speeds.append(max(_speed(entry.operation, entry.gigabytes, entry.gigaflops) for entry in own))
    return threads, speeds


def _speed(operation: str, gigabytes: float, gigaflops: float) -> float:
    return gigaflops if operation in (MATRIX_MATRIX, CONVOLUTION) else gigabytes


@house_style()
def threads_figure(result: DeviceResult) -> Figure:
    """GB/s of work that memory limits, in float32, and GFLOP/s of products and convolutions in each precision.

    The thin grey line is what one thread's speed would become if every further thread added as much.
    """
    figure = new_figure(560, 300)
    memory, arithmetic = (figure.add_axes((left, 0.15, 0.24, 0.72)) for left in (0.055, 0.535))
    _draw(memory, result, [(_NAMES.get(name, name), name, "float32", colour) for name, colour in _MEMORY])
    _draw(
        arithmetic,
        result,
        [
            (f"{name}, {precision}", name, precision, colour)
            for name, colour in _ARITHMETIC
            for precision in result.precisions
        ],
    )
    memory.set_title("Memory, GB/s, float32")
    arithmetic.set_title("Arithmetic, GFLOP/s")
    for axes in (memory, arithmetic):
        axes.set_xlabel("threads", loc="right", labelpad=2)
    return figure


def _draw(axes: Axes, result: DeviceResult, lines: list[tuple[str, str, str, str]]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    ends = []
    for name, operation, precision, colour in lines:
        threads, speeds = best_by_threads(result, operation, precision)
        axes.plot(threads, [speeds[0] * count / threads[0] for count in threads], color=LINE, linewidth=0.9, zorder=1)
        axes.plot(threads, speeds, color=colour, linestyle=_DASHES.get(precision, "-"), marker="o", markersize=4)
        ends.append((speeds[-1], threads[-1], name, colour))
    axes.set_xticks(threads, [f"{count:,}" for count in threads])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    if len(threads) == 1:
        axes.set_xlim(threads[0] / 1.5, threads[0] * 1.5)
    low, high = axes.get_ylim()
    # Names beside their lines' ends, in the order of the ends and never closer than a line of text.
    gap = (high / low) ** 0.075
    height = high * gap
    for end, count, name, colour in sorted(ends, reverse=True):
        height = min(end, height / gap)
        axes.text(count, height, f"  {name}", va="center", color=colour, fontsize=9.0)
    axes.tick_params(labelcolor=QUIET)
