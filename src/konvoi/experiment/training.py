"""From recipe to report: what `konvoi train` and `--resume` do, step by step."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from konvoi.data.bands import Bands
from konvoi.environment import describe_environment
from konvoi.errors import RecipeError, RunError, TrainingDiverged, TrainingInterrupted
from konvoi.experiment.assessment import evaluate
from konvoi.experiment.material import (
    Material,
    data_facts,
    make_batches,
    make_labelled_images,
    make_loss,
    make_validation,
    places_of,
    prepare,
    prepare_again,
)
from konvoi.experiment.start import contract_of, pretraining_recipe, start_from_pretrained
from konvoi.files import remove_leftovers
from konvoi.imports import engine_imported_meanwhile
from konvoi.parallel.all_reduce import measure_exchange as measure_exchange_between
from konvoi.parallel.meeting import join
from konvoi.parallel.ranks import Ranks
from konvoi.recipe import Recipe, load_recipe, recipe_fingerprint
from konvoi.recipe.network import Pretrained
from konvoi.run import Run, RunFacts, load_run
from konvoi.training.display import ConsoleDisplay, Display, Silence
from konvoi.training.forward import FORWARD_PRECISION, ForwardFitting
from konvoi.training.loop import Training
from konvoi.training.precision import Precision, choose_device, choose_precision


def train(
    recipe: Recipe | str | Path,
    *,
    data_dir: str | Path | None = None,
    run_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    evaluate_test: bool = True,
    measure_exchange: bool = False,
    display: Display | None = None,
) -> Run:
    """Train a recipe, evaluate it once on the test split, and write the report.

    Where a launcher started several ranks, all of them come here, and train the one network together.

    Args:
        recipe: a recipe, a shipped recipe's name, or a YAML file.
        data_dir: where the source's files are.
        run_dir: the folder to write, which must not hold anything; default: `runs/<name>-<time>`.
        overrides: as `--set`, for example `["optim.lr=0.05"]`.
        evaluate_test: False leaves the test split sealed.
        measure_exchange: of several ranks, time an all-reduce between them first, for a scaling study.
        display: what shows the progress; default: a bar in the console or notebook.

    Returns:
        The run.

    Raises:
        KonvoiError: anything the user can mend, from the recipe's first key to a full disk.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise TypeError("overrides go with a recipe's name or file; a Recipe is already what it is to be")
    data_path = None if data_dir is None else Path(data_dir)
    ranks = join()
    display = _display(display, ranks)
    require_fitting_ranks(recipe, ranks.size)
    with _engine_for(recipe):
        material = prepare(recipe, data_path, _contract(recipe, data_path))
    device = choose_device(recipe.compute.device, ranks.local_rank)
    precision = _precision(recipe, device)
    # Before the run folder is made, because weights may not fit.
    start = start_from_pretrained(material.network, recipe.pretrained, material.bands) if recipe.pretrained else ""
    folder = None if run_dir is None else Path(run_dir)
    run = Run(Path(ranks.from_first(lambda: str(_new_run(recipe, folder, material.network).folder))))
    if ranks.is_first:
        run.write_recipe(recipe)
        run.write_facts(_facts(recipe, material, data_path, device, precision, ranks, start, not evaluate_test))
        places = places_of(material)
        if places is not None:
            run.write_places(places)
    ranks.wait_for_all()
    if recipe.pretraining is not None:
        _start_from_pretraining(recipe, run, material, display, ranks)
    training = _training(recipe, material, run, device, display, ranks)
    if measure_exchange:
        _measure_exchange(run, training, ranks)
    return _run_to_the_end(training, run, material, ranks)


def _facts(
    recipe: Recipe,
    material: Material,
    data_dir: Path | None,
    device: torch.device,
    precision: Precision,
    ranks: Ranks,
    start: str,
    seal_test: bool,
) -> RunFacts:
    return RunFacts(
        konvoi_version=version("konvoi"),
        created=datetime.now(UTC),
        command=shlex.join(["konvoi", *sys.argv[1:]]) if Path(sys.argv[0]).stem in {"konvoi", "__main__"} else "",
        state="running",
        data=data_facts(material, data_dir),
        environment=describe_environment(device) | {"ranks": ranks.words},
        precision=f"{precision.name}: {precision.why}",
        device=device.type,
        parameters=sum(parameter.numel() for parameter in material.network.parameters()),
        seal_test=seal_test,
        start=start,
        ranks=ranks.size,
    )


def resume(
    folder: str | Path,
    *,
    data_dir: str | Path | None = None,
    measure_exchange: bool = False,
    display: Display | None = None,
) -> Run:
    """Continue a training that was stopped, at the step after its last checkpoint.

    A test split that the training was to leave sealed stays sealed.

    Raises:
        RunError: the folder is no run, its training has ended, or the data are no longer the same.
    """
    run = load_run(folder)
    ranks = join()
    display = _display(display, ranks)
    require_fitting_ranks(run.recipe, ranks.size)
    with _engine_for(run.recipe):
        material = prepare_again(run, data_dir)
    device = choose_device(run.recipe.compute.device, ranks.local_rank)
    if run.recipe.pretrained is not None:
        start_from_pretrained(material.network, run.recipe.pretrained, material.bands)
    elif run.recipe.pretraining is not None:
        _start_from_pretraining(run.recipe, run, material, display, ranks, data_dir)
    training = _training(run.recipe, material, run, device, display, ranks)
    if run.last_checkpoint.exists():
        training.restore()
    if training.progress.finished and run.evaluation is not None:
        raise RunError(f"{run.folder} has finished; there is nothing to resume. See {run.report_path}.")
    if ranks.is_first:
        remove_leftovers(run.folder)
        facts = run.facts
        now = f"{training.precision.name}: {training.precision.why}"
        if not facts.precision.endswith(now):
            facts = facts.model_copy(update={"precision": f"{facts.precision}; from step {training.step + 1} on {now}"})
        if facts.ranks != ranks.size:
            words = f"{facts.environment.get('ranks', '')}; from step {training.step + 1} on {ranks.words}"
            facts = facts.model_copy(update={"ranks": ranks.size, "environment": {**facts.environment, "ranks": words}})
        run.write_facts(facts.model_copy(update={"state": "running"}))
    if measure_exchange:
        _measure_exchange(run, training, ranks)
    return _run_to_the_end(training, run, material, ranks)


def train_or_resume(recipe: Recipe, folder: Path, **arguments: Any) -> Run:
    """Train, or go on where the run folder holds a run of the same recipe that did not come to its end.

    Args:
        recipe: the experiment.
        folder: the run folder.
        arguments: as of `train`.

    Returns:
        The run; one that has come to its end already is left as it is.

    Raises:
        RunError: the folder holds a run of another recipe.
    """
    run = Run(folder)
    if not run.facts_path.exists():
        # Killed before its first step, a run has left a recipe and an empty folder at most.
        if join().is_first and run.recipe_path.exists():
            run.recipe_path.unlink()
        if join().is_first and run.checkpoints.is_dir() and not any(run.checkpoints.iterdir()):
            run.checkpoints.rmdir()
        join().wait_for_all()
        return train(recipe, run_dir=folder, **arguments)
    run = load_run(folder)
    if recipe_fingerprint(run.recipe) != recipe_fingerprint(recipe):
        raise RunError(
            f"{folder} holds a run of another recipe, {run.recipe.name}. Choose another folder with --run-dir."
        )
    if run.evaluation is not None:
        return run
    known = {name: arguments[name] for name in ("data_dir", "measure_exchange", "display") if name in arguments}
    return resume(folder, **known)


def _engine_for(recipe: Recipe) -> AbstractContextManager[None]:
    # Support vector machines need no optimiser.
    return nullcontext() if recipe.network.kind == "svmnet" else engine_imported_meanwhile()


def _display(display: Display | None, ranks: Ranks) -> Display:
    return (display or ConsoleDisplay()) if ranks.is_first else Silence()


def _contract(recipe: Recipe, data_dir: Path | None) -> Bands | None:
    """What the weights that the network starts from expect of their bands, where the recipe asks for that."""
    if recipe.input.normalise != "weights":
        return None
    if recipe.pretraining is not None:
        first = pretraining_recipe(recipe)
        return prepare(first, data_dir, _contract(first, data_dir)).bands
    return contract_of(recipe.pretrained) if recipe.pretrained else None


def _start_from_pretraining(
    recipe: Recipe, run: Run, material: Material, display: Display, ranks: Ranks, data_dir: str | Path | None = None
) -> None:
    """Run the recipe's own pretraining, or the rest of it, and give the network what it learned."""
    _pretrain(recipe, run, display, data_dir)
    words = start_from_pretrained(material.network, Pretrained(weights=str(run.pretraining)), material.bands)
    if ranks.is_first:
        run.write_facts(run.facts.model_copy(update={"start": words}))


def _pretrain(recipe: Recipe, run: Run, display: Display, data_dir: str | Path | None) -> None:
    first = run.pretraining
    try:
        if not (first / "recipe.yaml").exists():
            train(
                pretraining_recipe(recipe),
                data_dir=data_dir or run.facts.data.data_dir,
                run_dir=first,
                evaluate_test=False,
                display=display,
            )
        elif load_run(first).evaluation is None:
            resume(first, data_dir=data_dir, display=display)
    except TrainingInterrupted as interruption:
        if join().is_first:
            run.write_state("interrupted")
        raise TrainingInterrupted(
            f"{str(interruption).partition(' Resume with:')[0]} Resume with: konvoi train --resume "
            f"{shlex.quote(str(run.folder))}",
            interruption.signal_number,
        ) from None


def _precision(recipe: Recipe, device: torch.device) -> Precision:
    return FORWARD_PRECISION if recipe.network.kind == "svmnet" else choose_precision(recipe.compute.precision, device)


def _training(
    recipe: Recipe, material: Material, run: Run, device: torch.device, display: Display, ranks: Ranks
) -> Training | ForwardFitting:
    """What makes the network's weights: gradient steps in a loop, or linear support vector machines layer by layer."""
    contract = json.dumps({"bands": material.bands.to_json(), "class_names": material.dataset.class_names})
    if recipe.network.kind == "svmnet":
        images = make_labelled_images(recipe, material, device)
        return ForwardFitting(recipe, material.network, images, run.checkpoints, display, run.write_layers, contract)
    training = Training(
        recipe,
        material.network,
        make_batches(recipe, material, device, ranks),
        make_loss(recipe, material, device),
        make_validation(recipe, material, ranks),
        choose_precision(recipe.compute.precision, device),
        run.checkpoints,
        display,
        run.write_history,
        contract,
        ranks,
    )
    training.parallel.require_same("recipe", recipe_fingerprint(recipe))
    training.parallel.require_same("split of the data", material.split.fingerprint)
    training.parallel.require_one_start(recipe.seed)
    return training


def require_fitting_ranks(recipe: Recipe, ranks: int) -> None:
    """Refuse several ranks for a network that is fitted forward, and more ranks than a step has samples for.

    Raises:
        RecipeError: one of both.
    """
    if recipe.network.kind == "svmnet" and ranks > 1:
        raise RecipeError(
            f"{recipe.name} is fitted forward by linear support vector machines, which one process does on all of its "
            f"cores, and there are {ranks} ranks. Start it without --ranks or a launcher."
        )
    budget = recipe.budget
    smallest = min([budget.batch, *(change.batch for change in budget.batch_schedule)])
    if ranks > 1 and smallest < ranks * budget.accumulate:
        raise RecipeError(
            f"budget.batch {smallest} is too small for {ranks} ranks of {budget.accumulate} micro-batch"
            f"{'' if budget.accumulate == 1 else 'es'} each. Use fewer ranks, or a larger batch "
            "(--set budget.batch=…)."
        )


def _measure_exchange(run: Run, training: Training | ForwardFitting, ranks: Ranks) -> None:
    if not ranks.several or isinstance(training, ForwardFitting):
        return
    settings = run.recipe.parallel
    exchange = measure_exchange_between(
        ranks, training.network, training.batches.device, settings.gradients, settings.bucket
    )
    if ranks.is_first:
        run.write_exchange(exchange)


def _run_to_the_end(training: Training | ForwardFitting, run: Run, material: Material, ranks: Ranks) -> Run:
    try:
        training.run()
    except TrainingDiverged:
        if ranks.is_first:
            run.write_state("diverged")
        raise
    except TrainingInterrupted as interruption:
        if ranks.is_first:
            run.write_state("interrupted")
        # Launchers end all ranks when one ends with an error, and the first one must have written everything by then.
        ranks.wait_for_all()
        raise TrainingInterrupted(
            f"{interruption} Resume with: konvoi train --resume {shlex.quote(str(run.folder))}",
            interruption.signal_number,
        ) from None
    # The others read what the first one has written, the last checkpoint above all.
    ranks.wait_for_all()
    if ranks.is_first:
        run.write_state("trained")
    evaluate(run, material=material, test=not run.facts.seal_test)
    if ranks.is_first:
        from konvoi.report import write_report

        write_report(run)
    return run


def new_run_folder(recipe: Recipe, folder: Path | None) -> Path:
    """The folder of a new run, by default `runs/<name>-<time>`.

    Raises:
        RunError: it holds something.
    """
    if folder is None:
        folder = _unused(Path("runs") / f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(
            f"The run folder {folder} is not empty. Choose another with --run-dir, or continue it with "
            f"--resume {folder}."
        )
    return folder


def _new_run(recipe: Recipe, folder: Path | None, network: nn.Module) -> Run:
    folder = new_run_folder(recipe, folder)
    run = Run(folder)
    try:
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").write_bytes(b"")
        (folder / ".writable").unlink()
    except OSError as error:
        raise RunError(
            f"The run folder {folder} cannot be written: {error.strerror}. Choose another with --run-dir."
        ) from error
    # Weights, best weights, average, two optimiser states, and the file being written aside.
    needed = 6 * sum(value.nbytes for value in network.state_dict().values()) + (32 << 20)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"The disk of {folder} has {free / 2**20:,.0f} MiB free, and this run needs about "
            f"{needed / 2**20:,.0f} MiB. Free space, or choose another disk with --run-dir."
        )
    return run


def _unused(folder: Path) -> Path:
    candidate, number = folder, 2
    while candidate.exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate
