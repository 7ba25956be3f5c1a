"""How does it scale? The same training on more and more ranks, each a launch of its own: speed, and what it is worth.

Strong scaling keeps the batch of a step, so that every size makes the same training, sooner; weak scaling keeps the
batch of a rank, so that the step's batch grows, and with it, where the recipe says so, the learning rate. The smallest
size is the same training in both, made once. On a cluster every size is a job of its own, and `collect` compares their
runs.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from konvoi.errors import LaunchError, RankLost, RecipeError, RunError, TrainingInterrupted
from konvoi.files import write_text
from konvoi.recipe import Recipe, recipe_yaml
from konvoi.report.wording import counted
from konvoi.run import Run, load_run
from konvoi.studies.folder import claim, write_results
from konvoi.studies.scale_results import Mode, ScaleResult, result_of
from konvoi.studies.variants import to_its_last_epoch

Tell = Callable[[str], None]


def study_scaling(
    recipe: Recipe,
    folder: Path,
    sizes: Sequence[int],
    modes: Sequence[Mode],
    *,
    epochs: int | None = None,
    threads: int | None = None,
    data_dir: Path | None = None,
    tell: Tell = lambda line: None,
) -> list[ScaleResult]:
    """Launch a training for each size and mode, or what is left of them.

    Args:
        recipe: its batch is that of a step in strong scaling, and in weak scaling that of the fewest ranks.
        folder: study.json, results.json and a run for each training go there.
        sizes: numbers of ranks, all on this machine.
        modes: strong, weak or both.
        epochs: fewer than the recipe's.
        threads: of every rank, whatever their number; default: the cores divided by the largest size.
        data_dir: where the source's files are.
        tell: is given a line for each training.

    Raises:
        RecipeError: sizes make no sense, or a batch is too small for so many ranks.
        RunError: the folder holds another study.
        TrainingInterrupted: a signal came; the same call goes on.
    """
    sizes = sorted(sizes)
    from konvoi.experiment import require_fitting_ranks

    if not sizes or sizes[0] < 1 or len(set(sizes)) < len(sizes):
        raise RecipeError(f"--ranks: whole numbers from 1 on, each once, were expected; found {list(sizes)}.")
    threads = threads or _threads(sizes[-1])
    base = to_its_last_epoch(recipe, epochs)
    planned: dict[Path, tuple[Recipe, int, list[Mode]]] = {}
    for mode in modes:
        for ranks in sizes:
            own = base if mode == "strong" else with_batch_times(base, ranks, sizes[0])
            require_fitting_ranks(own, ranks)
            place = folder / "runs" / (str(ranks) if ranks == sizes[0] else f"{mode}-{ranks}")
            planned.setdefault(place, (own, ranks, []))[2].append(mode)
    claim(
        folder,
        {"question": "scaling", "recipe": base.model_dump(mode="json"), "smallest": sizes[0], "threads": threads},
    )
    results: list[ScaleResult] = []
    for place, (own, ranks, of_modes) in planned.items():
        _launch(own, place, ranks, threads, data_dir)
        what = f"{' and '.join(of_modes)}, {counted(ranks, 'rank')}, batch {own.budget.batch}"
        if not Run(place).history:
            tell(f"{what}: diverged in the first epoch, and is left out")
            continue
        results += [result_of(Run(place), mode) for mode in of_modes]
        write_results(folder, results)
        last = results[-1]
        said = "diverged" if last.score is None else f"validation {last.measure} {last.score:.4f}"
        tell(f"{what}: {last.samples_per_second:,.0f} samples/s, {said}")
    return results


def with_batch_times(recipe: Recipe, ranks: int, smallest: int) -> Recipe:
    """The recipe with the batch of the smallest size, for each of so many ranks."""

    def times(batch: int) -> int:
        grown, rest = divmod(batch * ranks, smallest)
        if rest:
            raise RecipeError(
                f"Weak scaling from {smallest} ranks to {ranks}: a batch of {batch} cannot be divided among {smallest} "
                "ranks. Choose a batch that can."
            )
        return grown

    budget = recipe.budget.model_copy(
        update={
            "batch": times(recipe.budget.batch),
            "batch_schedule": tuple(
                change.model_copy(update={"batch": times(change.batch)}) for change in recipe.budget.batch_schedule
            ),
        }
    )
    return recipe.model_copy(update={"budget": budget})


def collect(folders: Sequence[Path], modes: Sequence[Mode], folder: Path) -> list[ScaleResult]:
    """Compare runs that exist: those of the same batch (strong), and those of the same batch a rank (weak).

    Args:
        folders: of runs, each of its own number of ranks or batch.
        modes: those that are looked for.
        folder: study.json and results.json go there.

    Raises:
        RunError: a run is no run, has no scores, or is about something else than the others; or there is nothing to
            compare.
    """
    runs = [load_run(folder) for folder in folders]
    for run in runs[1:]:
        _require_same_but_for_the_batch(runs[0], run)
    results = []
    for mode in modes:
        groups = defaultdict(list)
        for run in runs:
            batch, ranks = run.recipe.budget.batch, run.facts.ranks
            groups[batch if mode == "strong" else batch / ranks].append(run)
        # Of several batches, the one that was trained on most sizes.
        group = max(groups.values(), key=lambda own: len({run.facts.ranks for run in own}))
        by_ranks: dict[int, Run] = {}
        for run in group:
            if run.facts.ranks in by_ranks:
                raise RunError(
                    f"{by_ranks[run.facts.ranks].folder} and {run.folder} are both of "
                    f"{counted(run.facts.ranks, 'rank')} and batch {run.recipe.budget.batch}. Name one of them."
                )
            by_ranks[run.facts.ranks] = run
        if len(by_ranks) > 1:
            results += [result_of(by_ranks[ranks], mode) for ranks in sorted(by_ranks)]
    if not results:
        found = ", ".join(f"{run.folder}: {run.facts.ranks} × {run.recipe.budget.batch}" for run in runs)
        raise RunError(
            f"Nothing to compare for {' and '.join(modes)} scaling (ranks × batch: {found}). Strong scaling needs runs "
            "of the same budget.batch on different numbers of ranks, weak scaling of the same batch a rank."
        )
    claim(folder, {"question": "scaling of runs", "recipe": _flat(runs[0].recipe)})
    write_results(folder, results)
    return results


def _require_same_but_for_the_batch(first: Run, other: Run) -> None:
    expected, found = _flat(first.recipe), _flat(other.recipe)
    differing = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    if other.facts.data.split_fingerprint != first.facts.data.split_fingerprint:
        differing.append("the data or their split")
    if differing:
        raise RunError(
            f"{other.folder} differs from {first.folder} in more than ranks and batch: {', '.join(differing)}. A "
            "scaling study compares runs of one recipe."
        )


def _flat(recipe: Recipe) -> dict[str, Any]:
    """All keys that must not differ, with their values."""

    def walk(content: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for key, value in content.items():
            if isinstance(value, dict):
                yield from walk(value, f"{path}{key}.")
            else:
                yield f"{path}{key}", value

    free = {"name", "about", "budget.batch", "budget.checkpoint_seconds"}
    content = dict(walk(recipe.model_dump(mode="json"), ""))
    return {key: value for key, value in content.items() if key not in free and not key.startswith("budget.batch_")}


def _launch(recipe: Recipe, place: Path, ranks: int, threads: int, data_dir: Path | None) -> None:
    """A training of its own processes, unless it has come to its end already."""
    from konvoi.experiment import read_ahead
    from konvoi.parallel.launch import launch

    if (place / "evaluation.json").exists() or _diverged(place):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    written = place.with_name(f"{place.name}.yaml")
    write_text(written, recipe_yaml(recipe))
    arguments = ["train", str(written), "--run-dir", str(place), "--seal-test", "--restartable", "--measure-exchange"]
    if data_dir is not None:
        arguments += ["--data-dir", str(data_dir)]
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        with _printing_to(place.with_name(f"{place.name}.txt")), read_ahead(recipe, data_dir):
            code = launch(arguments, ranks)
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    if code >= 128:
        raise TrainingInterrupted("The study was stopped; the same command goes on.", code - 128)
    if code and not _diverged(place):
        # A rank has said what is wrong.
        raise RankLost


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Let what this process and its ranks print go to the end of a file; what they have to complain of still shows."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _diverged(place: Path) -> bool:
    return (place / "run.json").exists() and Run(place).facts.state == "diverged"


def _threads(most_ranks: int) -> int:
    from konvoi.parallel.launch import cores

    if most_ranks > cores():
        raise LaunchError(
            f"{most_ranks} ranks on {cores()} cores would wait for each other and say nothing about scaling. Use at "
            f"most {cores()} ranks, or say with --threads that it is meant."
        )
    return max(1, cores() // most_ranks)
