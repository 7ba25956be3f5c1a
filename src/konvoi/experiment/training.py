"""One experiment from recipe to report: what `konvoi train`, `--resume` and `konvoi evaluate` do.

The steps stand here in order; how each is done stands in the packages below.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from konvoi.data.audit import class_counts, duplicate_counts
from konvoi.data.bands import Bands
from konvoi.data.batches import Batches
from konvoi.data.dataset import Dataset
from konvoi.data.sources import read_source
from konvoi.data.split import Split, logged_openings, make_split
from konvoi.environment import describe_environment
from konvoi.errors import RunError, TrainingDiverged, TrainingInterrupted
from konvoi.evaluation.inference import predict_probabilities
from konvoi.evaluation.scores import Scores, score
from konvoi.files import remove_leftovers
from konvoi.models.build import build_network
from konvoi.randomness import seed_torch
from konvoi.recipe import Recipe, load_recipe
from konvoi.run import DataFacts, Evaluation, Examples, Predictions, Run, RunFacts, load_run
from konvoi.training.checkpoint import load_weights
from konvoi.training.display import ConsoleDisplay, Display
from konvoi.training.loop import Training, Validate
from konvoi.training.precision import choose_device, choose_precision

_MISTAKES_SHOWN = 32


@dataclass(frozen=True)
class Material:
    """What a training works on, made from the recipe alone; resuming makes the same again."""

    dataset: Dataset
    split: Split
    bands: Bands
    network: nn.Module


def train(
    recipe: Recipe | str | Path,
    *,
    data_dir: str | Path | None = None,
    run_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    evaluate_test: bool = True,
    display: Display | None = None,
) -> Run:
    """Train a recipe, evaluate it once on the test split, and write the report.

    Args:
        recipe: a recipe, a shipped recipe's name, or a YAML file.
        data_dir: where the source's files are.
        run_dir: the folder to write, which must not hold anything; default: `runs/<name>-<time>`.
        overrides: as `--set`, for example `["optim.lr=0.05"]`.
        evaluate_test: False leaves the test split sealed.
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
    material = prepare(recipe, data_path)
    device = choose_device(recipe.compute.device)
    precision = choose_precision(recipe.compute.precision, device)
    run = _new_run(recipe, None if run_dir is None else Path(run_dir), material.network)
    run.write_recipe(recipe)
    run.write_facts(
        RunFacts(
            konvoi_version=version("konvoi"),
            created=datetime.now(UTC),
            command=shlex.join(["konvoi", *sys.argv[1:]]) if Path(sys.argv[0]).stem in {"konvoi", "__main__"} else "",
            state="running",
            data=_data_facts(material, data_path),
            environment=describe_environment(device),
            precision=f"{precision.name}: {precision.why}",
            device=device.type,
            parameters=sum(parameter.numel() for parameter in material.network.parameters()),
            seal_test=not evaluate_test,
        )
    )
    training = _training(recipe, material, run, device, display or ConsoleDisplay())
    return _run_to_the_end(training, run, material)


def resume(
    folder: str | Path,
    *,
    data_dir: str | Path | None = None,
    display: Display | None = None,
) -> Run:
    """Continue a training that was stopped, at the step after its last checkpoint.

    A test split that the training was to leave sealed stays sealed.

    Raises:
        RunError: the folder is no run, its training has ended, or the data are no longer the same.
    """
    run = load_run(folder)
    material = _prepare_again(run, data_dir)
    device = choose_device(run.recipe.compute.device)
    training = _training(run.recipe, material, run, device, display or ConsoleDisplay())
    if run.last_checkpoint.exists():
        training.restore()
    if training.progress.finished and run.evaluation is not None:
        raise RunError(f"{run.folder} has finished; there is nothing to resume. See {run.report_path}.")
    remove_leftovers(run.folder)
    facts = run.facts
    now = f"{training.precision.name}: {training.precision.why}"
    if not facts.precision.endswith(now):
        facts = facts.model_copy(update={"precision": f"{facts.precision}; from step {training.step + 1} on {now}"})
    run.write_facts(facts.model_copy(update={"state": "running"}))
    return _run_to_the_end(training, run, material)


def evaluate(
    run: Run,
    *,
    data_dir: str | Path | None = None,
    again: bool = False,
    material: Material | None = None,
    test: bool = True,
) -> Evaluation:
    """Score the kept weights on train, validation and test, and write the scores, predictions and examples.

    A test split that was read before is not read again; the stored evaluation is returned.

    Args:
        run: a run whose training came to its end.
        data_dir: where the source's files are, if they have moved.
        again: read the test split once more, which the log and the report will show.
        material: what the run was trained on, if it is at hand.
        test: False leaves the test split sealed.

    Raises:
        RunError: the training has not come to its end, or the data are no longer the same.
    """
    kept = run.kept_weights()
    stored = run.evaluation
    if stored is not None and stored.test is not None and not again:
        return stored
    material = material or _prepare_again(run, data_dir)
    network = material.network
    load_weights(network, kept.weights, run.checkpoints)
    started = time.perf_counter()
    dataset, split = material.dataset, material.split
    train_scores = _predict(network, material, split.train)[1]
    predictions, validation_scores = _predict(network, material, split.validation)
    parts = {"validation": predictions}
    test_scores = None
    if test:
        opened = _open_test(run, split)
        parts["test"], test_scores = _predict(network, material, opened)
    evaluation = Evaluation(
        epoch=kept.epoch,
        weights=_weights_in_words(run.recipe, kept.epoch),
        train=train_scores,
        validation=validation_scores,
        test=test_scores,
        test_reads=len(logged_openings(run.test_log)),
        evaluated=datetime.now(UTC),
        seconds=time.perf_counter() - started,
    )
    run.write_predictions(parts)
    run.write_examples(_examples(dataset, parts["test" if test else "validation"], parts["validation"]))
    run.write_evaluation(evaluation)
    run.write_state("evaluated" if test else "trained")
    return evaluation


def prepare(recipe: Recipe, data_dir: str | Path | None) -> Material:
    """Read the source, split it, fit the bands on the training split, and build the network."""
    dataset = read_source(recipe.source, None if data_dir is None else Path(data_dir))
    split = make_split(dataset, recipe.split)
    bands = dataset.bands.fitted(recipe.input.normalise, dataset.images[split.train])
    seed_torch(recipe.seed, "initialise")
    image_shape = (dataset.images.shape[1], *dataset.image_size)
    network = build_network(recipe, image_shape, len(dataset.class_names))
    return Material(dataset, split, bands, network)


def _prepare_again(run: Run, data_dir: str | Path | None) -> Material:
    """What a run was trained on, read again from where it was or from `data_dir`, and compared."""
    facts = run.facts
    material = prepare(run.recipe, data_dir if data_dir is not None else facts.data.data_dir)
    if material.split.fingerprint != facts.data.split_fingerprint:
        raise RunError(
            f"The data are not those that {run.folder} was trained on: fingerprint {material.split.fingerprint[:12]}, "
            f"expected {facts.data.split_fingerprint[:12]}. Give the same files with --data-dir, or train anew."
        )
    return material


def _open_test(run: Run, split: Split) -> NDArray[np.int64]:
    try:
        return split.test.open("evaluation", run.test_log)
    except OSError as error:
        raise RunError(
            f"{run.test_log} cannot be written: {error.strerror}. The test split stays sealed; mend this, then run "
            f"`konvoi evaluate {run.folder}`."
        ) from error


def make_batches(recipe: Recipe, material: Material, device: torch.device | None = None) -> Batches:
    """The batches of the training split as the recipe wants them."""
    return Batches(
        material.dataset,
        material.split.train,
        material.bands,
        recipe.budget.batch,
        recipe.seed,
        recipe.input.augment,
        device,
        recipe.compute.channels_last,
    )


def make_validation(material: Material) -> Validate:
    """A function that scores a network on the validation split."""

    def validate(network: nn.Module) -> tuple[float, float]:
        scores = _predict(network, material, material.split.validation)[1]
        return scores.cross_entropy, scores.accuracy

    return validate


def _training(recipe: Recipe, material: Material, run: Run, device: torch.device, display: Display) -> Training:
    return Training(
        recipe,
        material.network,
        make_batches(recipe, material, device),
        make_validation(material),
        choose_precision(recipe.compute.precision, device),
        run.checkpoints,
        display,
        run.write_history,
    )


def _run_to_the_end(training: Training, run: Run, material: Material) -> Run:
    try:
        training.run()
    except TrainingDiverged:
        run.write_state("diverged")
        raise
    except TrainingInterrupted as interruption:
        run.write_state("interrupted")
        raise TrainingInterrupted(
            f"{interruption} Resume with: konvoi train --resume {shlex.quote(str(run.folder))}",
            interruption.signal_number,
        ) from None
    run.write_state("trained")
    evaluate(run, material=material, test=not run.facts.seal_test)
    from konvoi.report import write_report

    write_report(run)
    return run


def _new_run(recipe: Recipe, folder: Path | None, network: nn.Module) -> Run:
    if folder is None:
        folder = _unused(Path("runs") / f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(
            f"The run folder {folder} is not empty. Choose another with --run-dir, or continue it with "
            f"--resume {folder}."
        )
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


def _data_facts(material: Material, data_dir: Path | None) -> DataFacts:
    dataset, split = material.dataset, material.split
    return DataFacts(
        name=dataset.name,
        origin=dataset.origin,
        data_dir=None if data_dir is None else str(data_dir.resolve()),
        fingerprint=dataset.fingerprint,
        samples=len(dataset),
        image_shape=(dataset.images.shape[1], *dataset.image_size),
        class_names=dataset.class_names,
        skipped=dataset.skipped,
        split_method=split.method,
        split_fingerprint=split.fingerprint,
        split_sizes={"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        class_counts=class_counts(dataset, split),
        duplicates=duplicate_counts(dataset, split),
        bands=material.bands.to_json(),
    )


def _predict(network: nn.Module, material: Material, indices: NDArray[np.int64]) -> tuple[Predictions, Scores]:
    dataset = material.dataset
    probabilities = predict_probabilities(network, dataset.images, material.bands, indices)
    labels = dataset.labels[indices]
    predictions = Predictions(positions=indices, labels=labels, probabilities=probabilities)
    return predictions, score(probabilities, labels, dataset.class_names)


def _weights_in_words(recipe: Recipe, epoch: int) -> str:
    average = ", averaged weights" if recipe.budget.ema else ""
    chosen = "highest validation accuracy" if recipe.budget.keep == "best" else "the last"
    return f"epoch {epoch} of {recipe.budget.epochs}, {chosen}{average}"


def _examples(dataset: Dataset, judged: Predictions, validation: Predictions) -> Examples:
    """The most confident mistakes among `judged`, and one typical validation image that was classified correctly."""
    predicted = judged.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != judged.labels)
    wrong = wrong[np.argsort(-judged.probabilities[wrong].max(axis=1), kind="stable")][:_MISTAKES_SHOWN]
    positions = judged.positions[wrong]
    right = np.flatnonzero(validation.probabilities.argmax(axis=1) == validation.labels)
    specimen = validation.positions[right[0] if len(right) else 0]
    names = dataset.sample_names
    return Examples(
        mistakes=dataset.images[positions],
        mistake_labels=judged.labels[wrong],
        mistake_probabilities=judged.probabilities[wrong],
        mistake_names=tuple(names[position] if names else f"sample {position}" for position in positions),
        specimen=dataset.images[specimen : specimen + 1],
        specimen_label=int(dataset.labels[specimen]),
    )
