"""The commands on recipes and runs. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from konvoi.cli.bench import bench_app
from konvoi.cli.cluster import slurm
from konvoi.cli.data import data_app
from konvoi.cli.options import DataDirOption, RunArgument, SetOption
from konvoi.cli.recipes import recipes_app
from konvoi.cli.scale import scale
from konvoi.cli.study import study_app
from konvoi.cli.timeline import timeline
from konvoi.imports import quick_imports

if TYPE_CHECKING:
    from konvoi.run import Run

app = typer.Typer(
    name="konvoi",
    help="Convolutional networks for scientific images, with honest numbers.",
    epilog="Every command takes --debug, which shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.add_typer(recipes_app, name="recipes")
app.add_typer(study_app, name="study")
app.add_typer(bench_app, name="bench")
app.command("slurm")(slurm)
app.command("timeline")(timeline)
app.command("scale")(scale)


class TableFormat(StrEnum):
    """How predictions are written."""

    CSV = "csv"
    JSON = "json"


class MapOutput(StrEnum):
    """What a scene's map shows."""

    PROBABILITIES = "probabilities"
    CLASS = "class"


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")
    ] = None,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="The folder to write; default runs/NAME-TIME.")
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="Continue a stopped run.")] = None,
    seal_test: Annotated[bool, typer.Option("--seal-test", help="Leave the test split unread.")] = False,
    ranks: Annotated[
        int, typer.Option("--ranks", min=1, help="Processes of this machine that train together; one a GPU is usual.")
    ] = 1,
    restarts: Annotated[
        int, typer.Option("--restarts", min=0, help="With --ranks: how often a rank may die before all is given up.")
    ] = 3,
    restartable: Annotated[
        bool, typer.Option("--restartable", help="Go on where --run-dir holds an unfinished run of this recipe.")
    ] = False,
    measure_exchange: Annotated[
        bool,
        typer.Option("--measure-exchange", help="Time an all-reduce between the ranks first, for `konvoi scale`."),
    ] = False,
) -> None:
    """Train a recipe, evaluate it once on the test split, write the report."""
    with quick_imports():
        from konvoi import experiment
        from konvoi.errors import RecipeError
        from konvoi.parallel.environment import read_environment
        from konvoi.parallel.meeting import join
        from konvoi.recipe import load_recipe

    if ranks > 1:
        from konvoi.cli.ranks import train_on_ranks

        raise typer.Exit(
            train_on_ranks(
                ranks,
                recipe,
                overrides or [],
                data_dir,
                run_dir,
                resume,
                seal_test,
                restartable,
                restarts,
                measure_exchange,
            )
        )
    if read_environment().size > 1:
        # Before anything can go wrong, so that one rank tells it and not all of them.
        join()

    if resume is not None:
        if recipe is not None or overrides or run_dir is not None or seal_test:
            raise RecipeError(
                "--resume continues a run with its own recipe and seal: give neither a recipe, --set, --run-dir nor "
                "--seal-test."
            )
        run = experiment.resume(resume, data_dir=data_dir, measure_exchange=measure_exchange)
    elif restartable and (recipe is None or run_dir is None):
        raise RecipeError("--restartable needs a recipe and a --run-dir, in which a restart finds the run.")
    elif recipe is None:
        raise RecipeError("Name a recipe, for example `konvoi train digits-cnn`; `konvoi recipes` lists them.")
    elif restartable and run_dir is not None:
        run = experiment.train_or_resume(
            load_recipe(recipe, overrides or ()),
            run_dir,
            data_dir=data_dir,
            evaluate_test=not seal_test,
            measure_exchange=measure_exchange,
        )
    else:
        run = experiment.train(
            recipe,
            data_dir=data_dir,
            run_dir=run_dir,
            overrides=overrides or (),
            evaluate_test=not seal_test,
            measure_exchange=measure_exchange,
        )
    if join().is_first:
        _print_result(run)


@app.command()
def evaluate(
    run_dir: RunArgument,
    data_dir: DataDirOption = None,
    again: Annotated[bool, typer.Option("--again", help="Read the test split once more; this is logged.")] = False,
) -> None:
    """Score a run on its splits. A test split that was read is not read again, unless --again says so."""
    from konvoi.experiment import evaluate as evaluate_run
    from konvoi.parallel.meeting import join
    from konvoi.report import write_report
    from konvoi.run import load_run

    run = load_run(run_dir)
    evaluate_run(run, data_dir=data_dir, again=again)
    if join().is_first:
        write_report(run)
        _print_result(run, per_class=True)


@app.command()
def predict(
    run_dir: RunArgument,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT…",
            help="Image files, or folders of them; or one scene (GeoTIFF); or one cube, by default the run's own.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; default: print. A scene's map: a .tif.")
    ] = None,
    table_format: Annotated[
        TableFormat | None, typer.Option("--format", help="Default: by the name of --out, else csv.")
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="Swap dark and light first.")] = False,
    bands: Annotated[
        str | None,
        typer.Option(
            "--bands",
            metavar="NAME,NAME,…",
            help="Scene: its bands in the order in which they lie in the file; default: what the file says.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", help="Scene: value in the file × this = value in the units of training."),
    ] = None,
    overlap: Annotated[
        float, typer.Option("--overlap", help="Scene: the fraction of a window that it shares with the next.")
    ] = 0.5,
    output: Annotated[
        MapOutput | None,
        typer.Option(
            "--output",
            help="Probabilities, a band a class, as by default of a scene; or the class alone, as of a cube.",
        ),
    ] = None,
    ground_truth: Annotated[
        Path | None, typer.Option("--ground-truth", help="Cube: its ground truth, for a map of the errors.")
    ] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Classify image files, a line each; or map a scene or a cube: a GeoTIFF with probabilities or classes."""
    from konvoi.cli.cube import map_one_cube, takes_cubes
    from konvoi.cli.scene import map_one_scene, takes_scenes
    from konvoi.errors import DataError
    from konvoi.predict.images import as_csv, as_json, predict_images
    from konvoi.run import load_run

    run = load_run(run_dir)
    if takes_cubes(run):
        if table_format is not None or invert or scale is not None:
            raise DataError(f"{run_dir} maps cubes: --format and --invert are for image files, --scale for scenes.")
        map_one_cube(run, inputs or (), out, bands, ground_truth, data_dir, (output or MapOutput.CLASS).value)
        return
    if not inputs:
        raise DataError(f"{run_dir} was trained on images: name the files or folders that it is to classify.")
    if ground_truth is not None or data_dir is not None:
        raise DataError(f"{run_dir} was not trained on a cube: --ground-truth and --data-dir are for cubes.")
    if takes_scenes(run):
        if table_format is not None or invert:
            raise DataError(f"{run_dir} maps scenes: --format and --invert are for image files.")
        map_one_scene(run, inputs, out, bands, scale, overlap, (output or MapOutput.PROBABILITIES).value)
        return
    if bands is not None or scale is not None:
        raise DataError(f"{run_dir} classifies image files: --bands and --scale are for scenes.")
    predictions = predict_images(run, inputs, invert)
    chosen = table_format or (TableFormat.JSON if out is not None and out.suffix == ".json" else TableFormat.CSV)
    text = as_json(predictions) if chosen is TableFormat.JSON else as_csv(predictions)
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write_output(out, text)
    for reason in predictions.skipped:
        typer.echo(f"skipped: {reason}", err=True)
    if predictions.skipped:
        typer.echo(f"{len(predictions.files)} files classified, {len(predictions.skipped)} skipped.", err=True)
    if predictions.caution:
        typer.echo(f"caution: {predictions.caution}", err=True)


@app.command()
def summary(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE|RUN", help="A recipe, or a run folder.")],
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, help="Number of classes, where the data are not at hand.")
    ] = None,
    dense_units: Annotated[
        int,
        typer.Option("--dense-units", min=1, help="Width of the dense layer to compare the convolution with."),
    ] = 15,
) -> None:
    """Show a network layer by layer: shapes, weights, biases, multiply-adds, receptive fields."""
    from konvoi.console.networks import print_summary
    from konvoi.data.sources import image_shape_and_classes
    from konvoi.errors import RecipeError
    from konvoi.models.build import build_network
    from konvoi.models.summary import summarise
    from konvoi.recipe import load_recipe
    from konvoi.run import load_run

    if (Path(recipe) / "recipe.yaml").exists():
        if overrides or data_dir is not None or classes is not None:
            raise RecipeError("A run's network is what it is: --set, --data-dir and --classes go with a recipe alone.")
        run = load_run(recipe)
        shape, class_count = run.facts.data.image_shape, len(run.facts.data.class_names)
        loaded = run.recipe
    else:
        loaded = load_recipe(recipe, overrides or ())
        shape, class_count = image_shape_and_classes(loaded.source, data_dir, classes, loaded.input.crop)
    print_summary(loaded.name, shape, summarise(build_network(loaded, shape, class_count), shape, dense_units))


@app.command()
def weights() -> None:
    """List the public sets of pretrained weights that `pretrained.weights` can name."""
    from konvoi.console.networks import print_weights

    print_weights()


@app.command()
def report(run_dir: RunArgument) -> None:
    """Write a run's HTML report again."""
    from konvoi.report import write_report
    from konvoi.run import load_run

    typer.echo(str(write_report(load_run(run_dir))))


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Convolutional networks for scientific images, with honest numbers."""
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"konvoi {installed_version('konvoi')}")
        raise typer.Exit


def _print_result(run: Run, per_class: bool = False) -> None:
    from konvoi.console.results import print_result

    print_result(run, per_class)


def _write_output(path: Path, text: str) -> None:
    from konvoi.errors import DataError
    from konvoi.files import write_text

    try:
        write_text(path, text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be written: {error}.") from error
