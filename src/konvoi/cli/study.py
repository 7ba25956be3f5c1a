"""`konvoi study`: many runs with one question."""

from __future__ import annotations

from typing import Annotated

import typer

from konvoi.cli.options import (
    DataDirOption,
    EpochsOption,
    RecipeArgument,
    SetOption,
    StudyFolderOption,
    whole_numbers,
)

study_app = typer.Typer(
    help="Many runs with one question, and one table and figure as the answer.", no_args_is_help=True
)


@study_app.command("labels")
def study_labels_command(
    recipe: RecipeArgument,
    folder: StudyFolderOption,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Pretrained: a public set's name, a file, or a run; default: the recipe's."),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            help="Some of scratch, finetune, linear, svm, knn, svmnet, rbf-svm; default: all for which there are "
            "weights, and data that fit.",
        ),
    ] = None,
    shares: Annotated[
        str | None,
        typer.Option("--shares", help="Of the training split's labels; default 0.01,0.1,1 without --per-class."),
    ] = None,
    per_class: Annotated[
        str | None, typer.Option("--per-class", metavar="N,N,…", help="Labels a class, as 5,10,20,50,100.")
    ] = None,
    svmnet: Annotated[
        str | None, typer.Option("--svmnet", metavar="RECIPE", help="Whose network the method svmnet fits.")
    ] = None,
    least_steps: Annotated[
        int | None,
        typer.Option("--least-steps", min=1, help="Optimiser steps that every training gets, however few the labels."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw the test score against the number of labels, for several ways to use them."""
    from konvoi.console.studies import print_label_study, print_leaking
    from konvoi.errors import RecipeError
    from konvoi.recipe import load_recipe
    from konvoi.report.palette import call_leaking
    from konvoi.studies.folder import leaking_runs, write_figure
    from konvoi.studies.label_efficiency import study_labels
    from konvoi.studies.label_figure import label_figure, points_of

    if shares is None:
        shares = "" if per_class else "0.01,0.1,1"
    try:
        wanted = [float(share) for share in shares.split(",") if share]
    except ValueError:
        raise RecipeError(
            f"--shares {shares}: numbers with commas between them were expected, as 0.01,0.1,1."
        ) from None
    results = study_labels(
        load_recipe(recipe, overrides or ()),
        folder,
        data_dir=data_dir,
        weights=weights,
        methods=None if methods is None else [method.strip() for method in methods.split(",")],
        shares=wanted,
        per_class=whole_numbers("--per-class", per_class) if per_class else (),
        forward=None if svmnet is None else load_recipe(svmnet),
        least_steps=least_steps,
        seeds=seeds,
        tell=lambda line: typer.echo(line, err=True),
    )
    leaks = leaking_runs(folder)
    figure = write_figure(folder, "labels", call_leaking(label_figure(results), leaks))
    print_label_study(points_of(results), results[0].measure)
    print_leaking(leaks)
    typer.echo(f"figure: {figure}")


@study_app.command("batch")
def study_batch_command(
    recipe: RecipeArgument,
    folder: StudyFolderOption,
    batches: Annotated[
        str, typer.Option("--batches", metavar="N,N,…", help="Samples of a step.")
    ] = "16,32,64,128,256,512,1024",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    epochs: EpochsOption = None,
    keep_lr: Annotated[
        bool, typer.Option("--keep-lr", help="The same learning rate for all; default: in proportion to the batch.")
    ] = False,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw speed and validation error against the batch: too small is slow, too large may generalise worse."""
    from konvoi.console.studies import print_leaking, print_variants
    from konvoi.recipe import load_recipe
    from konvoi.report.palette import call_leaking
    from konvoi.studies.batch_size import study_batch_size
    from konvoi.studies.folder import leaking_runs, write_figure
    from konvoi.studies.variant_figure import batch_figure

    results = study_batch_size(
        load_recipe(recipe, overrides or ()),
        folder,
        whole_numbers("--batches", batches),
        seeds=seeds,
        epochs=epochs,
        keep_lr=keep_lr,
        data_dir=data_dir,
        tell=lambda line: typer.echo(line, err=True),
    )
    leaks = leaking_runs(folder)
    figure = write_figure(folder, "batch", call_leaking(batch_figure(results), leaks))
    print_variants(results, "batch", {})
    print_leaking(leaks)
    typer.echo(f"figure: {figure}")


@study_app.command("precision")
def study_precision_command(
    recipe: RecipeArgument,
    folder: StudyFolderOption,
    precisions: Annotated[
        str, typer.Option("--precisions", help="Those that the machine cannot do are left out, and named.")
    ] = "float32,tf32,bfloat16,float16",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    epochs: EpochsOption = None,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Train in every precision that the machine can do: speed and validation score side by side."""
    from konvoi.console.studies import print_leaking, print_variants
    from konvoi.recipe import load_recipe
    from konvoi.report.palette import call_leaking
    from konvoi.studies.folder import leaking_runs, write_figure
    from konvoi.studies.precisions import study_precisions
    from konvoi.studies.variant_figure import precision_figure

    results, impossible = study_precisions(
        load_recipe(recipe, overrides or ()),
        folder,
        [name.strip() for name in precisions.split(",")],
        seeds=seeds,
        epochs=epochs,
        data_dir=data_dir,
        tell=lambda line: typer.echo(line, err=True),
    )
    leaks = leaking_runs(folder)
    figure = write_figure(folder, "precision", call_leaking(precision_figure(results), leaks))
    print_variants(results, "precision", impossible)
    print_leaking(leaks)
    typer.echo(f"figure: {figure}")


@study_app.command("leakage")
def study_leakage_command(
    recipe: RecipeArgument,
    folder: StudyFolderOption,
    splits: Annotated[
        str,
        typer.Option("--splits", help="Some of random, stratified, blocks, guarded, regions, growing, fields, recipe."),
    ] = "random,blocks,guarded",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    epochs: EpochsOption = None,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Train one network under several splits of a scene: how much of its score is leakage, with maps."""
    from konvoi.console.studies import print_leakage_study
    from konvoi.recipe import load_recipe
    from konvoi.studies.folder import write_figure
    from konvoi.studies.leakage import panels, study_leakage
    from konvoi.studies.leakage_figure import leakage_figure

    loaded = load_recipe(recipe, overrides or ())
    names = list(dict.fromkeys(name.strip() for name in splits.split(",")))
    results = study_leakage(
        loaded,
        folder,
        splits=names,
        seeds=seeds,
        epochs=epochs,
        data_dir=data_dir,
        tell=lambda line: typer.echo(line, err=True),
    )
    maps = panels(loaded, folder, names, epochs=epochs, data_dir=data_dir)
    figure = write_figure(folder, "leakage", leakage_figure(maps, results, loaded.name))
    print_leakage_study(results)
    typer.echo(f"figure: {figure}")
