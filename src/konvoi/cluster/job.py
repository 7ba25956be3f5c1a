"""What a script is to start: a recipe on so many ranks, checked before anybody waits in a queue for it.

The scripts themselves are in `cluster.slurm` and `cluster.openmpi`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from konvoi.errors import LaunchError, RecipeError
from konvoi.recipe import Recipe, load_recipe

_FEW_SAMPLES = 16
"""Of a rank, in one pass: fewer than this, and the statistics of local batch normalisation are noisy."""


@dataclass(frozen=True)
class Job:
    """A training on a cluster.

    Attributes:
        recipe: a shipped recipe's name or a YAML file, as `konvoi train` will be told.
        name: the recipe's own name.
        nodes: how many.
        ranks_per_node: one a GPU, where there are GPUs.
        gpus_per_node: 0 for a training on CPUs.
        cpus_per_rank: cores that each rank has for itself.
        batch: samples of one optimiser step over all ranks; the smallest where the recipe changes it.
        share: samples of one rank in one forward pass, rounded down.
        notes: what the user should know before submitting, in sentences.
        overrides: as `--set`.
        data_dir: where the source's files are; None: as the recipe says.
        run_dir: the run folder, the same one whenever the job is started again.
        modules: names for `module load`, in order.
        venv: folder of a virtual environment, or None.
    """

    recipe: str
    name: str
    nodes: int
    ranks_per_node: int
    gpus_per_node: int
    cpus_per_rank: int
    batch: int
    share: int
    notes: tuple[str, ...]
    overrides: tuple[str, ...]
    data_dir: Path | None
    run_dir: Path
    modules: tuple[str, ...]
    venv: Path | None

    @property
    def ranks(self) -> int:
        """Over all nodes."""
        return self.nodes * self.ranks_per_node


def plan_job(
    recipe: str,
    *,
    nodes: int = 1,
    gpus_per_node: int = 1,
    tasks_per_node: int | None = None,
    cpus_per_task: int = 8,
    overrides: Sequence[str] = (),
    data_dir: Path | None = None,
    run_dir: Path | None = None,
    modules: Sequence[str] = (),
    venv: Path | None = None,
) -> Job:
    """Check what a script is to start.

    Args:
        recipe: a shipped recipe's name, or a YAML file.
        nodes: how many.
        gpus_per_node: each gets a rank; 0 for a training on CPUs.
        tasks_per_node: ranks of a node, where there are no GPUs.
        cpus_per_task: cores of a rank.
        overrides: as `--set`.
        data_dir: where the source's files are.
        run_dir: default: `runs/<name of the recipe>`.
        modules: names for `module load`.
        venv: folder of a virtual environment; need not exist on this machine.

    Raises:
        RecipeError: the recipe is not valid, or its batch is too small for so many ranks.
        LaunchError: a count makes no sense.
    """
    loaded = load_recipe(recipe, overrides)
    ranks_per_node = _ranks_per_node(gpus_per_node, tasks_per_node)
    for option, count in (("--nodes", nodes), ("--cpus-per-task", cpus_per_task)):
        if count < 1:
            raise LaunchError(f"{option} is {count}; at least 1 was expected.")
    batch, share = _share(loaded, nodes, ranks_per_node)
    return Job(
        recipe=recipe,
        name=loaded.name,
        nodes=nodes,
        ranks_per_node=ranks_per_node,
        gpus_per_node=gpus_per_node,
        cpus_per_rank=cpus_per_task,
        batch=batch,
        share=share,
        notes=_notes(loaded, batch, share, nodes * ranks_per_node),
        overrides=(*overrides, *_device(loaded, gpus_per_node)),
        data_dir=None if data_dir is None else data_dir.expanduser(),
        run_dir=Path("runs") / loaded.name if run_dir is None else run_dir.expanduser(),
        modules=tuple(modules),
        venv=None if venv is None else venv.expanduser(),
    )


def _ranks_per_node(gpus: int, tasks: int | None) -> int:
    if gpus < 0:
        raise LaunchError(f"--gpus-per-node is {gpus}; 0 or more was expected.")
    if gpus > 0:
        if tasks not in {None, gpus}:
            raise LaunchError(
                f"--tasks-per-node is {tasks} and --gpus-per-node {gpus}, but every GPU gets one rank. Leave out "
                "--tasks-per-node."
            )
        return gpus
    if tasks is None or tasks < 1:
        raise LaunchError(
            "Without GPUs (--gpus-per-node 0) say how many ranks a node runs, for example --tasks-per-node 4: the "
            "cores of a node divided by --cpus-per-task."
        )
    return tasks


def _share(recipe: Recipe, nodes: int, ranks_per_node: int) -> tuple[int, int]:
    """The smallest batch of the recipe's budgets, and what one rank gets of it in one pass."""
    budgets = [("", recipe.budget)]
    if recipe.pretraining is not None and recipe.pretraining.budget is not None:
        budgets.append(("pretraining.", recipe.pretraining.budget))
    ranks = nodes * ranks_per_node
    smallest: list[tuple[int, int]] = []
    for prefix, budget in budgets:
        batch = min([budget.batch, *(change.batch for change in budget.batch_schedule)])
        needed = ranks * budget.accumulate
        if batch < needed:
            passes = f" in each of {budget.accumulate} micro-batches" if budget.accumulate > 1 else ""
            raise RecipeError(
                f"{prefix}budget.batch {batch} is the number of samples of a step over all ranks, and {nodes} × "
                f"{ranks_per_node} ranks with at least one sample each{passes} need {needed}. Use fewer ranks, or "
                f"--set {prefix}budget.batch={needed} or more, with optim.lr_reference_batch={budget.batch} so that "
                "the learning rate grows with it."
            )
        smallest.append((batch // needed, batch))
    share, batch = min(smallest)
    return batch, share


def _device(recipe: Recipe, gpus: int) -> tuple[str, ...]:
    """On a GPU node, a training without CUDA is to fail at once and not to crawl."""
    device = recipe.compute.device
    if gpus > 0 and device == "cpu":
        raise RecipeError("compute.device is cpu. For a training on CPUs use --gpus-per-node 0 and --tasks-per-node.")
    if gpus == 0 and device == "cuda":
        raise RecipeError("compute.device is cuda, and --gpus-per-node 0 asks for none. Ask for GPUs, or use auto.")
    return ("compute.device=cuda",) if gpus > 0 and device == "auto" else ()


def _notes(recipe: Recipe, batch: int, share: int, ranks: int) -> tuple[str, ...]:
    notes = [f"A step takes {batch} samples over all ranks (budget.batch), and a rank {share} of them at a time."]
    if share < _FEW_SAMPLES and ranks > 1 and recipe.parallel.batch_norm == "local":
        notes.append(
            f"Batch normalisation, where the network has it, sees only these {share}; with parallel.batch_norm: "
            "synchronised it sees those of all ranks."
        )
    return tuple(notes)
