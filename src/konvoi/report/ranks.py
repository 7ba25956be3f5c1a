"""How several ranks worked together: what they spent their time on, and how fast they were, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from konvoi.report.palette import QUIET, TRAIN, VALIDATION, house_style, new_figure
from konvoi.training.history import EpochRecord

PARTS = ("step", "communication", "data")


@dataclass(frozen=True)
class Teamwork:
    """Shares of the first rank's time in training, and the least and the most seconds of one rank, by part."""

    computing: float
    communicating: float
    waiting: float
    spread: dict[str, tuple[float, float]]


def teamwork(history: Sequence[EpochRecord]) -> Teamwork | None:
    """Over the epochs that several ranks trained; None where there are none."""
    records = [record for record in history if record.over_ranks]
    if not records:
        return None
    computing, communicating, waiting = (sum(record.seconds.get(part, 0.0) for record in records) for part in PARTS)
    total = max(computing + communicating + waiting, 1e-9)
    spread = {
        part: (
            sum(record.over_ranks[part][0] for record in records),
            sum(record.over_ranks[part][1] for record in records),
        )
        for part in PARTS
    }
    return Teamwork(computing / total, communicating / total, waiting / total, spread)


@house_style()
def teamwork_figure(history: Sequence[EpochRecord]) -> Figure:
    """Throughput, and the shares of communication and of waiting for data, over the epochs of several ranks."""
    records = [record for record in history if record.over_ranks]
    epochs = [record.epoch for record in records]
    figure = new_figure(640, 240)
    speed = figure.add_axes((0.075, 0.2, 0.4, 0.66))
    shares = figure.add_axes((0.575, 0.2, 0.4, 0.66))
    marker = "o" if len(records) < 3 else ""
    speed.plot(epochs, [record.samples_per_second for record in records], color=TRAIN, linewidth=2, marker=marker)
    speed.set_ylim(0, 1.1 * speed.get_ylim()[1])
    speed.set_title("Images a second")
    speed.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for part, colour, words in (("communication", VALIDATION, "gradients"), ("data", QUIET, "data")):
        values = [
            record.seconds.get(part, 0.0) / max(sum(record.seconds.get(name, 0.0) for name in PARTS), 1e-9)
            for record in records
        ]
        shares.plot(epochs, values, color=colour, linewidth=2, marker=marker, label=words)
    # Room above the curves for the legend.
    shares.set_ylim(0, 1.4 * max(0.05, shares.get_ylim()[1]))
    shares.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    shares.set_title("Time waiting for")
    shares.legend(loc="upper right", frameon=False)
    for axes in (speed, shares):
        axes.set_xlabel("epoch", loc="right")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure
