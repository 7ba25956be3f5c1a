"""`konvoi timeline`: where the time of a training step goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from konvoi.cli.options import DataDirOption, RecipeArgument, SetOption
from konvoi.cli.output import make_output_folder, save_figure


def timeline(
    recipe: RecipeArgument,
    folder: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    steps: Annotated[int, typer.Option("--steps", min=1, max=100, help="To record.")] = 5,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
    ranks: Annotated[
        int, typer.Option("--ranks", min=1, help="Processes of this machine; the first one's time is recorded.")
    ] = 1,
) -> None:
    """Record some training steps of a recipe: where their time goes, and what to change."""
    from konvoi.console.timeline import print_timeline
    from konvoi.files import write_json
    from konvoi.hardware.devices import available_cores
    from konvoi.recipe import load_recipe
    from konvoi.timeline.advice import Circumstances, advise
    from konvoi.timeline.figure import timeline_figure
    from konvoi.timeline.recording import record_steps
    from konvoi.timeline.slices import slices_of
    from konvoi.timeline.summary import summarise_slices

    loaded = load_recipe(recipe, overrides or ())
    make_output_folder(folder)
    if ranks > 1:
        from konvoi.cli.ranks import require_single
        from konvoi.experiment import read_ahead
        from konvoi.parallel.launch import launch

        require_single()
        arguments = ["timeline", recipe, "--out", str(folder), "--steps", str(steps)]
        arguments += [part for override in overrides or () for part in ("--set", override)]
        arguments += [] if data_dir is None else ["--data-dir", str(data_dir)]
        with read_ahead(loaded, data_dir):
            raise typer.Exit(launch(arguments, ranks, restarts=0))
    recording = record_steps(loaded, steps, data_dir)
    if recording is None:
        return
    slices = slices_of(recording.trace, recording.ranks > 1)
    summary = summarise_slices(loaded.name, recording, slices)
    advice = advise(summary, loaded, Circumstances(best_precision=recording.best_precision, cores=available_cores()))
    write_json(folder / "trace.json", recording.trace)
    write_json(
        folder / "summary.json",
        summary.model_dump(mode="json") | {"advice": [entry.model_dump(mode="json") for entry in advice]},
    )
    picture = save_figure(timeline_figure(summary, slices), folder, "timeline")
    print_timeline(summary, advice)
    typer.echo(f"\ntrace: {folder / 'trace.json'}, for https://ui.perfetto.dev or chrome://tracing\nfigure: {picture}")
