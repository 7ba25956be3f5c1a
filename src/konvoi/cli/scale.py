"""`konvoi scale`: the same training on more and more ranks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from konvoi.cli.options import DataDirOption, EpochsOption, SetOption, StudyFolderOption, whole_numbers


class ScaleMode(StrEnum):
    """What stays the same from size to size."""

    STRONG = "strong"
    WEAK = "weak"
    BOTH = "both"


def scale(
    recipe_or_runs: Annotated[
        list[str], typer.Argument(metavar="RECIPE", help="A recipe; with --collect, the runs to compare.")
    ],
    folder: StudyFolderOption,
    ranks: Annotated[
        str | None, typer.Option("--ranks", metavar="N,N,…", help="Processes of this machine; default: 1, 2, 4, … .")
    ] = None,
    mode: Annotated[
        ScaleMode, typer.Option("--mode", help="The same batch of a step (strong), or the same batch a rank (weak).")
    ] = ScaleMode.BOTH,
    epochs: EpochsOption = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of every rank; default: cores / the largest size.")
    ] = None,
    up_to: Annotated[int, typer.Option("--up-to", min=2, help="Ranks to which the model goes.")] = 4096,
    collect: Annotated[
        bool, typer.Option("--collect", help="Train nothing: compare runs that exist, each a job of its own.")
    ] = False,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Measure how a training scales, what its scores are at each size, and model more ranks than there are."""
    from konvoi.console.scaling import print_scaling
    from konvoi.errors import RecipeError
    from konvoi.files import write_json
    from konvoi.parallel.launch import cores
    from konvoi.recipe import load_recipe
    from konvoi.run import load_run
    from konvoi.studies import scaling, scaling_words
    from konvoi.studies.extrapolation import extrapolate
    from konvoi.studies.folder import write_figure
    from konvoi.studies.scale_results import MODES
    from konvoi.studies.scaling_figure import scaling_figure

    modes = [name for name in MODES if mode in {name, ScaleMode.BOTH}]
    if collect:
        if ranks or overrides or data_dir or epochs or threads:
            raise RecipeError(
                "--collect compares runs as they are: give no --ranks, --epochs, --threads, --set or --data-dir."
            )
        results = scaling.collect([Path(run) for run in recipe_or_runs], modes, folder)
    elif len(recipe_or_runs) > 1:
        raise RecipeError(f"One recipe was expected, found {len(recipe_or_runs)}. To compare runs, add --collect.")
    else:
        results = scaling.study_scaling(
            load_recipe(recipe_or_runs[0], overrides or ()),
            folder,
            whole_numbers("--ranks", ranks) if ranks else [2**power for power in range(cores().bit_length())],
            modes,
            epochs=epochs,
            threads=threads,
            data_dir=data_dir,
            tell=lambda line: typer.echo(line, err=True),
        )
    runs = [load_run(run) for run in dict.fromkeys(result.run for result in results)]
    exchanges = [run.exchange for run in runs if run.exchange is not None]
    extrapolations = extrapolate(results, exchanges, up_to)
    write_json(folder / "model.json", [entry.model_dump(mode="json") for entry in extrapolations])
    figure = write_figure(folder, "scaling", scaling_figure(results, extrapolations))
    sentences = {
        "measured": scaling_words.conditions(runs[0].recipe, results),
        "found": scaling_words.findings(results, exchanges, extrapolations),
        "published": scaling_words.PUBLISHED,
    }
    print_scaling(results, sentences)
    typer.echo(f"\nfigure: {figure}")
