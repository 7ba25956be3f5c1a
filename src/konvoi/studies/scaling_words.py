"""What a scaling study says in sentences: under which conditions, what the model says, and what others have found."""

from __future__ import annotations

from collections.abc import Sequence

from konvoi.parallel.exchange import Exchange
from konvoi.recipe import Recipe
from konvoi.report.wording import counted, percent
from konvoi.studies.extrapolation import LEAST_EFFICIENCY, Extrapolation
from konvoi.studies.scale_results import MODES, ScaleResult, compare

PUBLISHED = (
    "near-linear speed-up on up to 96–128 GPUs without loss of accuracy, ResNet-50 on BigEarthNet (R. Sedona et al., "
    "Remote Sensing 11, 2019, 3056)",
    "about 90 % efficiency on 256 GPUs against 8, ResNet-50 on ImageNet, the rate in proportion to the batch (P. Goyal "
    "et al., arXiv:1706.02677)",
)
"""Published experience to compare with."""


_LEAST = percent(LEAST_EFFICIENCY, 0)


def conditions(recipe: Recipe, results: Sequence[ScaleResult]) -> list[str]:
    """How the sizes were measured, and which rule the learning rate follows."""
    first = results[0]
    sentences = [
        f"each rank: {first.device}, {counted(first.threads, 'thread')}; "
        + ("one epoch each, its warming up included" if first.only_first else "median of the epochs but the first")
        + "; training alone, without validation; scores on validation, the test split stays sealed",
        "time of the first rank: computing; waiting for gradients that the backward pass does not cover; for data",
    ]
    reference, rate = recipe.optimiser.lr_reference_batch, recipe.optimiser.lr
    if reference is not None:
        sentences.append(f"learning rate: {rate:g} for {reference} samples a step, in proportion to the batch")
    elif any(result.mode == "weak" for result in results):
        sentences.append(
            f"learning rate: {rate:g} whatever the batch, for the recipe does not say for which batch it is meant; "
            f"--set optim.lr_reference_batch={recipe.budget.batch} lets it grow with the batch"
        )
    if recipe.budget.batch_schedule:
        sentences.append("the batch is that of the first epoch; the recipe changes it later")
    return sentences


def findings(
    results: Sequence[ScaleResult], exchanges: Sequence[Exchange], extrapolations: Sequence[Extrapolation]
) -> list[str]:
    """What was found, from what was measured to what the model says of more ranks."""
    sentences = []
    for mode in MODES:
        below = [
            entry for entry in compare(results) if entry.result.mode == mode and entry.efficiency < LEAST_EFFICIENCY
        ]
        if below:
            efficiency, ranks = percent(below[0].efficiency, 0), below[0].result.ranks
            sentences.append(f"{mode} scaling, measured: {efficiency} efficiency at {ranks} ranks")
    if not exchanges:
        sentences.append(
            "no model of more ranks: no run has an exchange.json, which `konvoi train --measure-exchange` writes on "
            "several ranks"
        )
        return sentences
    if not extrapolations:
        sentences.append("no model of more ranks: it needs two sizes, one of them of several ranks")
        return sentences
    sizes = ", ".join(str(count) for count in sorted({exchange.ranks for exchange in exchanges}))
    kind = exchanges[0].backend
    for extrapolation in {entry.network.algorithm: entry for entry in extrapolations}.values():
        sentences.append(f"all-reduce between {sizes} ranks ({kind}), as {_network(extrapolation)}")
    sentences += [_falls(extrapolation) for extrapolation in extrapolations]
    if all("one host" in result.ranks_in_words for result in results if result.ranks > 1):
        sentences.append(
            "all ranks were on one host: between hosts latency and bandwidth are others, so measure on two or more "
            "before you believe in more"
        )
    return sentences


def _network(extrapolation: Extrapolation) -> str:
    network = extrapolation.network
    low, high = extrapolation.latency_interval
    slow, fast = extrapolation.bandwidth_interval
    bandwidth = "bandwidth without bound"
    if network.seconds_a_byte:
        ends = f"{_gigabytes(slow)} – {_gigabytes(fast)}"
        bandwidth = f"bandwidth {_gigabytes(network.bandwidth)} GB/s (95 %: {ends})"
    return (
        f"{network.algorithm}: latency {_micro(network.latency)} µs (95 %: {_micro(low)} – {_micro(high)}), "
        f"{bandwidth}; off by {percent(network.error, 0)} on average"
    )


def _falls(extrapolation: Extrapolation) -> str:
    last = extrapolation.ranks[-1]
    earliest, latest = extrapolation.falls_at_interval
    where = f"{extrapolation.mode} scaling by the {extrapolation.network.algorithm}: "
    if extrapolation.falls_at is None:
        until = f"efficiency stays above {_LEAST} up to {last:,} ranks"
        spread = f" (95 %: falls below from {earliest:,.0f} ranks on at the earliest)" if earliest is not None else ""
    else:
        at = "already at" if extrapolation.falls_at == extrapolation.ranks[0] else "at about"
        until = f"efficiency falls under {_LEAST} {at} {extrapolation.falls_at:,} ranks"
        from_ = f"{earliest:,.0f}" if earliest is not None else f"more than {last:,}"
        to = f"{latest:,.0f}" if latest is not None else f"more than {last:,}"
        spread = f" (95 %: {from_} – {to})"
    return f"{where}{until}{spread}; the model misses the measured steps by {percent(extrapolation.error)}"


def _micro(seconds: float) -> str:
    return f"{1e6 * seconds:,.3g}" if seconds < 1e-3 else f"{1e6 * seconds:,.0f}"


def _gigabytes(bandwidth: float | None) -> str:
    return "no bound" if bandwidth is None else f"{bandwidth / 1e9:.3g}"
