"""What `konvoi predict` does with a run that was trained on a hyperspectral scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konvoi.errors import DataError

if TYPE_CHECKING:
    from konvoi.predict.maps import Output
    from konvoi.run import Run

_SHARES_SHOWN = 20


def takes_cubes(run: Run) -> bool:
    """Whether a run's samples are the pixels of a scene."""
    return run.recipe.source.kind == "cube"


def map_one_cube(
    run: Run,
    inputs: Sequence[Path],
    out: Path | None,
    bands: str | None,
    ground_truth: Path | None,
    data_dir: Path | None,
    output: Output,
) -> None:
    """Map a cube, by default the run's own, and say what came out.

    Raises:
        DataError: there is more than one cube, or no place for the map; or as `map_own_cube` and `map_other_cube`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from konvoi.predict.cube_files import write_cube_map
    from konvoi.predict.cubes import map_other_cube, map_own_cube

    if len(inputs) > 1:
        raise DataError(f"{run.folder} maps one cube at a time, and {len(inputs)} inputs are given.")
    if out is None:
        raise DataError("A scene's map is a GeoTIFF: say where to write it, for example --out map.tif")
    if not inputs and (bands is not None or ground_truth is not None):
        raise DataError("--bands and --ground-truth go with a cube's file; the run's own scene has both.")
    console = Console(stderr=True)
    columns = (TextColumn("pixels of the map"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, pixels: int) -> None:
            bar.update(task, completed=done, total=pixels)

        if inputs:
            names = None if bands is None else tuple(name.strip() for name in bands.split(","))
            found = map_other_cube(run, inputs[0], ground_truth=ground_truth, bands=names, progress=progress)
        else:
            found = map_own_cube(run, data_dir, progress)
    written = write_cube_map(found, out, output)
    height, width = found.predicted.shape
    typer.echo(f"{found.title}: {height:,} × {width:,} pixels, the network run {found.how}")
    for path, what in written.files:
        typer.echo(f"  {path}: {what}")
    ranked = sorted(written.shares.items(), key=lambda entry: -entry[1])
    for name, share in ranked[:_SHARES_SHOWN]:
        typer.echo(f"  {share:>6.1%}  {name}")
    if written.accuracy is not None and found.trained is None:
        accuracy, pixels = written.accuracy
        typer.echo(f"right on {accuracy:.2%} of {pixels:,} labelled pixels")
    if found.caution:
        typer.echo(f"caution: {found.caution}", err=True)
