"""`konvoi study`: many runs with one question."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from konvoi.cli.options import DataDirOption, RecipeArgument, SetOption

study_app = typer.Typer(
    help="Many runs with one question, and one table and figure as the answer.", no_args_is_help=True
)


@study_app.command("labels")
def study_labels_command(
    recipe: RecipeArgument,
    folder: Annotated[Path, typer.Option("--out", "-o", help="The folder to write; a stopped study goes on there.")],
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Pretrained: a public set's name, a file, or a run; default: the recipe's."),
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="Some of scratch, finetune, linear, svm, knn.")
    ] = "scratch,finetune,linear,svm,knn",
    shares: Annotated[str, typer.Option("--shares", help="Of the training split's labels.")] = "0.01,0.1,1",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw the test score against the number of labels, for several ways to use them."""
    from konvoi.console.results import print_label_study
    from konvoi.errors import RecipeError
    from konvoi.files import write_aside
    from konvoi.recipe import load_recipe
    from konvoi.studies.label_efficiency import study_labels
    from konvoi.studies.label_figure import label_figure, points_of

    try:
        wanted = [float(share) for share in shares.split(",")]
    except ValueError:
        raise RecipeError(
            f"--shares {shares}: numbers with commas between them were expected, as 0.01,0.1,1."
        ) from None
    results = study_labels(
        load_recipe(recipe, overrides or ()),
        folder,
        data_dir=data_dir,
        weights=weights,
        methods=[method.strip() for method in methods.split(",")],
        shares=wanted,
        seeds=seeds,
        tell=lambda line: typer.echo(line, err=True),
    )
    figure = label_figure(results)
    for kind in ("png", "svg"):
        write_aside(folder / f"labels.{kind}", partial(figure.savefig, format=kind, dpi=160))
    print_label_study(points_of(results), results[0].measure)
    typer.echo(f"figure: {folder / 'labels.png'}")
