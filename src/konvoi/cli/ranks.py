"""`--ranks N`: what the ranks of this machine are started with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from konvoi.errors import LaunchError, RecipeError, RunError

if TYPE_CHECKING:
    from konvoi.recipe import Recipe


def require_single() -> None:
    """Make sure that --ranks is not given to a rank that another launcher started.

    Raises:
        LaunchError: it is.
    """
    from konvoi.parallel.environment import read_environment

    environment = read_environment()
    if environment.size > 1:
        raise LaunchError(
            f"This is rank {environment.rank} of {environment.size}, started by {environment.launcher}; --ranks starts "
            "ranks itself. Use one of the two."
        )


def train_on_ranks(
    ranks: int,
    recipe: str | None,
    overrides: list[str],
    data_dir: Path | None,
    run_dir: Path | None,
    resume: Path | None,
    seal_test: bool,
    restartable: bool,
    restarts: int,
    measure_exchange: bool,
) -> int:
    """Start the ranks with arguments that a restart can repeat, and return their exit code.

    Raises:
        LaunchError: this is itself one of several ranks.
        KonvoiError: what one rank alone would refuse as well, before any is started.
    """
    from konvoi.experiment import new_run_folder, require_fitting_ranks
    from konvoi.parallel.launch import launch
    from konvoi.recipe import load_recipe
    from konvoi.run import load_run

    require_single()
    if resume is not None:
        if recipe is not None or overrides or run_dir is not None or seal_test:
            raise RecipeError("--resume continues a run as it is: give no recipe, --set, --run-dir or --seal-test.")
        run = load_run(resume)
        if run.evaluation is not None:
            raise RunError(f"{resume} has finished; there is nothing to resume.")
        loaded = run.recipe
        require_fitting_ranks(loaded, ranks)
        arguments = [str(resume / "recipe.yaml"), "--run-dir", str(resume)]
    elif recipe is None:
        raise RecipeError("Name a recipe, for example `konvoi train digits-cnn --ranks 2`.")
    else:
        loaded = load_recipe(recipe, overrides)
        require_fitting_ranks(loaded, ranks)
        folder = run_dir if restartable and run_dir is not None else new_run_folder(loaded, run_dir)
        arguments = [recipe, "--run-dir", str(folder)]
        arguments += [part for override in overrides for part in ("--set", override)]
        arguments += ["--seal-test"] * seal_test
    arguments += ["--measure-exchange"] * measure_exchange
    if data_dir is not None:
        arguments += ["--data-dir", str(data_dir)]
    with _read_ahead(loaded, data_dir, Path(arguments[2])):
        return launch(["train", *arguments, "--restartable"], ranks, restarts)


def _read_ahead(recipe: Recipe, data_dir: Path | None, run_dir: Path) -> AbstractContextManager[None]:
    """Read what the ranks will ask for: of a run that goes on, from where it read before; of a finished one, nothing.

    Raises:
        KonvoiError: the data cannot be read, or the run cannot.
    """
    from konvoi.experiment import read_ahead
    from konvoi.run import Run, load_run

    if not Run(run_dir).facts_path.exists():
        return read_ahead(recipe, data_dir)
    run = load_run(run_dir)
    if run.evaluation is not None:
        return nullcontext()
    recorded = run.facts.data.data_dir
    return read_ahead(recipe, Path(recorded) if data_dir is None and recorded is not None else data_dir)
