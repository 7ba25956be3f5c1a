"""`konvoi bench`: what this machine can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from konvoi.cli.options import DataDirOption, SetOption
from konvoi.cli.output import make_output_folder, save_figure

bench_app = typer.Typer(help="What this machine can do, measured.", no_args_is_help=True)

_DEFAULT = "bigearthnet-resnet50"
_DEFAULT_SHAPE, _DEFAULT_CLASSES = (12, 120, 120), 43
"""Of BigEarthNet's patches with all bands, so that the default needs no data."""


@bench_app.callback()
def bench() -> None:
    """What this machine can do, measured."""


@bench_app.command("device")
def bench_device(
    folder: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="RECIPE", help="Whose network's layers are placed on the roofline.")
    ] = _DEFAULT,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
    image_shape: Annotated[
        str | None,
        typer.Option("--image-shape", metavar="CxHxW", help="With --classes, instead of the recipe's data."),
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", min=2)] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, help="Of the network; default: 32 on a processor, the recipe's on a GPU."),
    ] = None,
    threads: Annotated[
        str | None, typer.Option("--threads", metavar="1,2,…", help="Default: 1, 2, 4, … and all.")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.0, max=60.0, help="For each figure, about.")] = 0.5,
) -> None:
    """Measure memory, products and convolutions of the processor and each GPU, and draw the roofline."""
    from konvoi.console.hardware import print_hardware
    from konvoi.data.sources import image_shape_and_classes
    from konvoi.errors import RecipeError
    from konvoi.files import write_json
    from konvoi.hardware.bench import measure_machine
    from konvoi.hardware.devices import available_cores, parse_thread_counts, thread_counts
    from konvoi.hardware.roofline_figure import roofline_figure
    from konvoi.hardware.threads_figure import threads_figure
    from konvoi.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    cores = available_cores()
    counts = thread_counts(cores) if threads is None else parse_thread_counts(threads, cores)
    if image_shape is not None:
        if classes is None or data_dir is not None:
            raise RecipeError("--image-shape stands in for the data: give --classes with it, and no --data-dir.")
        shape = _parse_shape(image_shape)
    elif recipe == _DEFAULT and data_dir is None and not overrides:
        shape, classes = _DEFAULT_SHAPE, classes or _DEFAULT_CLASSES
    else:
        shape, classes = image_shape_and_classes(loaded.source, data_dir, classes, loaded.input.crop)
    make_output_folder(folder)
    result = measure_machine(
        loaded,
        shape,
        classes,
        threads=counts,
        batch=batch,
        seconds=seconds,
        tell=lambda line: typer.echo(line, err=True),
    )
    write_json(folder / "results.json", result.model_dump(mode="json"))
    figures = {f"roofline-{entry.device.replace(':', '-')}": roofline_figure(entry) for entry in result.devices}
    figures["threads"] = threads_figure(result.devices[0])
    pictures = [save_figure(figure, folder, name) for name, figure in figures.items()]
    print_hardware(result)
    typer.echo(f"\nfigures: {', '.join(map(str, pictures))}")


def _parse_shape(text: str) -> tuple[int, int, int]:
    from konvoi.errors import RecipeError

    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise RecipeError(f"--image-shape {text}: channels, height and width were expected, as 12x120x120.")
    channels, height, width = map(int, parts)
    return channels, height, width
