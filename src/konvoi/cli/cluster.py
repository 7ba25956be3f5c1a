"""`konvoi slurm`: a script with which a cluster starts a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from konvoi.cli.options import DataDirOption, RecipeArgument, SetOption


def slurm(
    recipe: RecipeArgument,
    nodes: Annotated[int, typer.Option("--nodes", min=1)] = 1,
    gpus_per_node: Annotated[
        int, typer.Option("--gpus-per-node", min=0, help="One rank each; 0 for a training on CPUs.")
    ] = 1,
    tasks_per_node: Annotated[
        int | None, typer.Option("--tasks-per-node", min=1, help="Ranks of a node, where there are no GPUs.")
    ] = None,
    cpus_per_task: Annotated[int, typer.Option("--cpus-per-task", min=1, help="Cores of a rank.")] = 8,
    time: Annotated[str | None, typer.Option("--time", metavar="HH:MM:SS", help="Default 01:00:00.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="Default: the site's.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Or project, to which the time is charged.")] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--module", metavar="NAME", help="For `module load`; may be repeated.")
    ] = None,
    venv: Annotated[Path | None, typer.Option("--venv", help="The virtual environment's folder.")] = None,
    data_dir: DataDirOption = None,
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="The run folder; default runs/NAME.")] = None,
    overrides: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; default: print.")] = None,
    open_mpi: Annotated[
        bool, typer.Option("--open-mpi", help="A script that calls mpirun, for sites with Open MPI.")
    ] = False,
) -> None:
    """Write the script with which a cluster trains a recipe: sbatch for Slurm, or mpirun."""
    from konvoi.cluster.job import plan_job
    from konvoi.cluster.openmpi import mpirun_script
    from konvoi.cluster.slurm import sbatch_script
    from konvoi.errors import LaunchError

    job = plan_job(
        recipe,
        nodes=nodes,
        gpus_per_node=gpus_per_node,
        tasks_per_node=tasks_per_node,
        cpus_per_task=cpus_per_task,
        overrides=overrides or (),
        data_dir=data_dir,
        run_dir=run_dir,
        modules=modules or (),
        venv=venv,
    )
    if not open_mpi:
        script = sbatch_script(job, time=time or "01:00:00", partition=partition, account=account)
    elif time or partition or account:
        raise LaunchError("--open-mpi writes no scheduler's lines: leave out --time, --partition and --account.")
    else:
        script = mpirun_script(job)
    if out is None:
        typer.echo(script, nl=False)
        return
    _write_new(out, script)
    typer.echo(f"{out}: read it, then {'bash' if open_mpi else 'sbatch'} {out}", err=True)


def _write_new(path: Path, script: str) -> None:
    """A script is there to be changed by hand, so one that exists is kept."""
    from konvoi.errors import LaunchError
    from konvoi.files import write_text

    if path.exists():
        raise LaunchError(f"{path} exists, and may have been changed by hand. Remove it, or name another file.")
    try:
        write_text(path, script)
    except (OSError, ValueError) as error:
        raise LaunchError(f"{path} cannot be written: {error}.") from error
