"""What `konvoi predict` does with a scene: a bar while it is mapped, and where the map lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konvoi.errors import DataError

if TYPE_CHECKING:
    from konvoi.predict.maps import Output
    from konvoi.run import Run

_SHARES_SHOWN = 10


def takes_scenes(run: Run) -> bool:
    """Whether a run's network wants the bands of a scene, and not the grey or colours of image files."""
    from konvoi.data.bands import GREY, RGB

    return run.bands.names not in (GREY.names, RGB.names)


def map_one_scene(
    run: Run,
    inputs: Sequence[Path],
    out: Path | None,
    bands: str | None,
    scale: float | None,
    overlap: float,
    output: Output,
) -> None:
    """Map a scene and say what came out.

    Raises:
        DataError: there is not exactly one scene, or no place for the map; or as `predict_scene`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from konvoi.predict.scenes import predict_scene

    expected = ", ".join(run.bands.names)
    if len(inputs) != 1 or inputs[0].is_dir():
        raise DataError(
            f"{run.folder} was trained on bands {expected}: it maps one scene at a time, a raster file such as a "
            f"GeoTIFF, and not {'a folder' if len(inputs) == 1 else f'{len(inputs)} inputs'}."
        )
    if out is None:
        raise DataError("A scene's map is a GeoTIFF: say where to write it, for example --out map.tif")
    names = None if bands is None else tuple(name.strip() for name in bands.split(","))
    console = Console(stderr=True)
    columns = (
        TextColumn("rows of the map"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        result = predict_scene(
            run,
            inputs[0],
            out,
            bands=names,
            scale=scale,
            overlap=overlap,
            output=output,
            progress=lambda done, rows: bar.update(task, completed=done, total=rows),
        )
    if result.resumed_rows:
        typer.echo(f"went on after {result.resumed_rows:,} of {result.rows:,} rows")
    down, across = result.cell
    typer.echo(f"map: {result.map}: {result.rows:,} × {result.columns:,} cells of {down} × {across} pixels")
    typer.echo(f"quick-look: {result.quicklook}")
    ranked = sorted(result.shares.items(), key=lambda entry: -entry[1])
    for name, share in ranked[:_SHARES_SHOWN]:
        typer.echo(f"  {share:>6.1%}  {name}")
    if len(ranked) > _SHARES_SHOWN:
        typer.echo(f"  and {len(ranked) - _SHARES_SHOWN} more classes")
    for caution in result.cautions:
        typer.echo(f"caution: {caution}", err=True)
