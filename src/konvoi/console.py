"""What the commands print: tables and bars for a terminal. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from konvoi.data.dataset import Dataset
from konvoi.data.split import Split
from konvoi.models.summary import NetworkSummary
from konvoi.recipe import Recipe
from konvoi.run import Run


def print_recipes(recipes: Sequence[Recipe]) -> None:
    """Names and origins."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is, and where it comes from")
    for recipe in recipes:
        table.add_row(recipe.name, recipe.about)
    _console().print(table)


def print_summary(name: str, image_shape: tuple[int, int, int], summary: NetworkSummary) -> None:
    """One line a layer, the sums, and the first convolution beside a dense layer."""
    table = Table(title=f"{name}: input {_by(image_shape)}", box=None, header_style="bold", title_justify="left")
    for column in ("layer", "kind"):
        table.add_column(column, no_wrap=True)
    for column in ("output", "weights", "biases", "parameters", "multiply-adds", "receptive field"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in summary.layers:
        table.add_row(
            layer.name,
            layer.kind,
            _by(layer.output_shape),
            _count(layer.weights),
            _count(layer.biases),
            _count(layer.weights + layer.biases),
            _count(layer.multiply_adds),
            _by(layer.receptive_field) if layer.receptive_field else "image",
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
    console = _console()
    console.print(table)
    if summary.dense_comparison:
        compared = summary.dense_comparison
        console.print(
            f"\nShared weights: {compared.layer} has {compared.layer_weights:,} weights + {compared.layer_biases:,} "
            f"biases = {compared.layer_weights + compared.layer_biases:,}. A dense layer from the {compared.inputs:,} "
            f"pixels to only {compared.units} units has {compared.dense_weights:,} weights + {compared.dense_biases} "
            f"biases = {compared.dense_weights + compared.dense_biases:,}."
        )


def print_data(dataset: Dataset, split: Split, counts: dict[str, tuple[int, ...]], duplicates: dict[str, int]) -> None:
    """What a source holds, class by class and part by part."""
    console = _console()
    shape = (dataset.images.shape[1], *dataset.image_size)
    console.print(f"{dataset.name}: {len(dataset):,} images of {_by(shape)}, from {dataset.origin}")
    console.print(
        f"bands: {', '.join(dataset.bands.names)} ({', '.join(dict.fromkeys(dataset.bands.units))}; stored × "
        f"{', '.join(f'{scale:.6g}' for scale in dict.fromkeys(dataset.bands.scale))})"
    )
    console.print(f"split: {split.method}")
    console.print(f"fingerprints: data {dataset.fingerprint[:16]}, split {split.fingerprint[:16]}\n")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    table.add_column("class")
    for part in counts:
        table.add_column(part, justify="right")
    for index, class_name in enumerate(dataset.class_names):
        table.add_row(class_name, *(f"{part[index]:,}" for part in counts.values()))
    table.add_row("all", *(f"{sum(part):,}" for part in counts.values()), style="bold")
    console.print(table)
    for part, number in duplicates.items():
        console.print(f"\n{part} images that stand in train as well, pixel by pixel: {number:,}", end="")
    console.print()
    if dataset.skipped:
        console.print(f"\nskipped files: {len(dataset.skipped)}")
        for reason in dataset.skipped[:20]:
            console.print(f"  {reason}")


def print_result(run: Run, per_class: bool = False) -> None:
    """The scores of a run, and where its report is."""
    evaluation = run.evaluation
    assert evaluation is not None
    console = _console()
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    table.add_column("split")
    for column in ("samples", "accuracy", "95 % interval", "macro F1", "cross-entropy", "calibration error"):
        table.add_column(column, justify="right")
    parts = {"train": evaluation.train, "validation": evaluation.validation, "test": evaluation.test}
    for part, scores in parts.items():
        if scores is not None:
            table.add_row(
                part,
                f"{scores.samples:,}",
                f"{scores.accuracy:.2%}",
                f"{scores.interval[0]:.2%} – {scores.interval[1]:.2%}",
                f"{scores.macro_f1:.4f}",
                f"{scores.cross_entropy:.4f}",
                f"{scores.calibration_error:.4f}",
                style="bold" if part == "test" else "",
            )
    console.print()
    console.print(table)
    if per_class:
        _print_classes(run)
    facts = run.facts
    reads = evaluation.test_reads
    console.print(f"\nweights: {evaluation.weights}; {facts.parameters:,} parameters; {facts.precision}")
    if reads == 0:
        console.print("test split: sealed, never read")
    else:
        console.print(f"test split: read {'once' if reads == 1 else f'{reads} times'} (see {run.test_log})")
    for part, number in facts.data.duplicates.items():
        if number:
            console.print(f"caution: {number:,} {part} images stand in train as well, pixel by pixel")
    if facts.data.skipped:
        console.print(f"skipped files: {len(facts.data.skipped):,}, named in the report")
    console.print(f"report: {run.report_path}")


def download_with_progress(name: str, folder: Path | None) -> Path:
    """Download a known data set with a bar for each file."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from konvoi.data.download import download

    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()) as progress:
        tasks = {}

        def show(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
            progress.update(tasks[file], completed=done, total=total)

        return download(name, folder, show)


def _print_classes(run: Run) -> None:
    evaluation = run.evaluation
    assert evaluation is not None
    scores = evaluation.test or evaluation.validation
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    table.add_column("class")
    for column in ("samples", "precision", "recall", "F1"):
        table.add_column(column, justify="right")
    for entry in scores.classes:
        figures = (entry.precision, entry.recall, entry.f1)
        table.add_row(
            entry.name, f"{entry.samples:,}", *("–" if value is None else f"{value:.4f}" for value in figures)
        )
    console = _console()
    console.print()
    console.print(table)


def _console() -> Console:
    # A pipe or a file has no width; a table cut to 80 columns there would lose figures.
    # And what a user named "a[bold]" is text, not markup.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console.width = 160
    return console


def _by(shape: Sequence[int]) -> str:
    return "×".join(str(side) for side in shape)


def _count(number: int) -> str:
    return f"{number:,}" if number else "–"
