"""Recipes and networks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from konvoi.console.terminal import by, count_or_dash, plain_table, terminal
from konvoi.models.summary import NetworkSummary
from konvoi.models.weights import PUBLIC_WEIGHTS
from konvoi.recipe import Recipe


def print_recipes(recipes: Sequence[Recipe]) -> None:
    """Names and origins."""
    table = plain_table()
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is, and where it comes from")
    for recipe in recipes:
        table.add_row(recipe.name, recipe.about)
    terminal().print(table)


def print_summary(name: str, image_shape: tuple[int, int, int], summary: NetworkSummary) -> None:
    """One line a layer, the sums, and the first convolution beside a dense layer."""
    table = Table(title=f"{name}: input {by(image_shape)}", box=None, header_style="bold", title_justify="left")
    for column in ("layer", "kind"):
        table.add_column(column, no_wrap=True)
    for column in ("output", "weights", "biases", "parameters", "multiply-adds", "receptive field"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in summary.layers:
        table.add_row(
            layer.name,
            layer.kind,
            by(layer.output_shape),
            count_or_dash(layer.weights),
            count_or_dash(layer.biases),
            count_or_dash(layer.weights + layer.biases),
            count_or_dash(layer.multiply_adds),
            by(layer.receptive_field) if layer.receptive_field else "image",
        )
    table.add_section()
    table.add_row(
        "all",
        "",
        "",
        f"{summary.weights:,}",
        f"{summary.biases:,}",
        f"{summary.parameters:,}",
        f"{summary.multiply_adds:,}",
        "",
        style="bold",
    )
    console = terminal()
    console.print(table)
    if summary.dense_comparison:
        compared = summary.dense_comparison
        console.print(
            f"\nShared weights: {compared.layer} has {compared.layer_weights:,} weights + {compared.layer_biases:,} "
            f"biases = {compared.layer_weights + compared.layer_biases:,}. A dense layer from the {compared.inputs:,} "
            f"pixels to only {compared.units} units has {compared.dense_weights:,} weights + {compared.dense_biases} "
            f"biases = {compared.dense_weights + compared.dense_biases:,}."
        )


def print_weights() -> None:
    """The public sets of weights."""
    table = plain_table()
    table.add_column("weights", no_wrap=True)
    for column in ("network", "bands", "units", "what they are"):
        table.add_column(column)
    for name, weights in PUBLIC_WEIGHTS.items():
        contract = weights.contract
        table.add_row(name, f"ResNet-{weights.depth}", ", ".join(contract.bands), contract.units, weights.about)
    terminal().print(table)
