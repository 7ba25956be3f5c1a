"""The tables of studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from konvoi.console.terminal import plain_table, terminal

if TYPE_CHECKING:
    from konvoi.studies.label_figure import Point
    from konvoi.studies.leakage import LeakageResult
    from konvoi.studies.variants import VariantResult


def print_label_study(points: Sequence[Point], measure: str) -> None:
    """A row for each method and number of labelled images."""
    table = plain_table()
    table.add_column("method")
    for column in ("labelled images", "seeds", f"test {measure}, mean", "standard deviation", "lowest – highest"):
        table.add_column(column, justify="right")
    for point in points:
        spread = "–" if point.deviation is None else f"{point.deviation:.4f}"
        table.add_row(
            point.method,
            f"{point.labelled:,}",
            str(point.seeds),
            f"{point.mean:.4f}",
            spread,
            f"{point.lowest:.4f} – {point.highest:.4f}",
        )
    terminal().print(table)


def print_variants(results: Sequence[VariantResult], question: str, impossible: Mapping[str, str]) -> None:
    """A row for each batch size or precision, and why others are missing."""
    from konvoi.report.wording import counted
    from konvoi.studies.variants import summarise

    table = plain_table()
    table.add_column(question)
    measure = results[0].measure
    columns = ("learning rate", "samples/s", "seeds", f"validation {measure}, mean", "standard deviation")
    for column in (*columns, "lowest – highest"):
        table.add_column(column, justify="right")
    for variant in summarise(results):
        if variant.mean is None:
            spread = ("diverged", "–", "–")
        else:
            spread = (
                f"{variant.mean:.4f}" + (f" ({variant.diverged} diverged)" if variant.diverged else ""),
                "–" if variant.deviation is None else f"{variant.deviation:.4f}",
                f"{variant.lowest:.4f} – {variant.highest:.4f}",
            )
        speed = "–" if variant.speed is None else f"{variant.speed:,.0f}"
        table.add_row(variant.name, f"{variant.lr:g}", speed, str(variant.seeds), *spread)
    console = terminal()
    console.print(table)
    where = results[0].device if results[0].device != "cpu" else f"cpu, {counted(results[0].threads, 'thread')}"
    epochs = max(result.epochs for result in results)
    console.print(
        f"\non {where}; {counted(epochs, 'epoch')} each, scored by the last one's weights; samples/s of training "
        "alone; the test split stayed sealed"
    )
    for name, reason in impossible.items():
        console.print(f"left out: {name}. {reason}")


def print_leaking(leaks: bool) -> None:
    """Below a table: that its scores are those of a split that leaks, where it is so."""
    if leaks:
        terminal().print(
            "caution: leaking split; what its windows contain stands in the report of each run", style="bold"
        )


def print_leakage_study(results: Sequence[LeakageResult]) -> None:
    """A row for each split: its scores with their spread, and what the audit found."""
    from konvoi.data.pixels.leakage import percent
    from konvoi.report.wording import counted
    from konvoi.studies.leakage import summarise

    table = plain_table()
    table.add_column("split")
    columns = ("training pixels", "test pixels", "test windows with training pixels", "of their pixels")
    for column in (*columns, "OA", "AA", "κ"):
        table.add_column(column, justify="right")
    summaries = summarise(results)
    for summary in summaries:
        (oa, oa_spread), (aa, aa_spread), (kappa, kappa_spread) = summary.scores
        table.add_row(
            summary.name,
            f"{summary.train:,.0f}",
            f"{summary.test:,.0f}",
            percent(summary.holding),
            percent(summary.pixels),
            f"{100 * oa:.2f}" + ("" if oa_spread is None else f" ± {100 * oa_spread:.2f}"),
            f"{100 * aa:.2f}" + ("" if aa_spread is None else f" ± {100 * aa_spread:.2f}"),
            f"{kappa:.4f}" + ("" if kappa_spread is None else f" ± {kappa_spread:.4f}"),
        )
    console = terminal()
    console.print(table)
    seeds = max(summary.seeds for summary in summaries)
    spread = f" and standard deviations over {counted(seeds, 'seed')}" if seeds > 1 else " of one seed"
    console.print(
        f"\nOA: overall accuracy, %; AA: average accuracy, the mean over classes, %; κ: Cohen's kappa; means{spread}. "
        "Each split trains on equally many pixels, to its last epoch"
    )
    for summary in summaries:
        if summary.holding:
            console.print(
                f"{summary.name}: {percent(summary.holding)} of test windows contain training pixels; as many drawn at "
                f"random would be in {percent(summary.expected)}"
            )
