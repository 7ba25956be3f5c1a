"""Checkpoints: the whole state of a training in one safetensors file, written aside and renamed.

Tensors are named `network/…`, `average/…` and `optimiser/…`; everything else is JSON in the file's header, the contract
of the bands and the names of the classes among it. Nothing is pickled. The best epoch's weights lie in a file of their
own, which the last checkpoint names, so that the two always belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from konvoi.errors import RunError
from konvoi.files import write_aside
from konvoi.record import Record
from konvoi.training.history import EpochRecord, LayerRecord

LAST = "last.safetensors"


class Progress(Record):
    """Where a training stands; with the tensors, all that resuming needs.

    Attributes:
        epoch: finished epochs.
        step_in_epoch: finished steps of the epoch in progress.
        loss_sum: over the epoch in progress, each sample's loss; `correct` and `samples` likewise.
        seconds: of the epoch in progress, by activity.
        history: of the finished epochs.
        layers: of a network that is fitted forward, the finished layers, each of which counts as an epoch.
        best_epoch: the epoch, counted from 1, of the best validation accuracy, or None.
        best_file: the file of its weights.
        scaler: state of the float16 loss scaler.
        finished: whether the training came to its end.
        recipe: fingerprint of the recipe, without its `compute` section; steps mean something under this one only.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    correct: float = 0
    samples: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    history: tuple[EpochRecord, ...] = ()
    layers: tuple[LayerRecord, ...] = ()
    best_epoch: int | None = None
    best_file: str | None = None
    scaler: dict[str, int | float] = Field(default_factory=dict)
    finished: bool = False
    recipe: str = ""


@dataclass(frozen=True)
class KeptWeights:
    """The weights that a training ends with.

    Attributes:
        weights: a state dict of the network.
        epoch: at whose end they were taken, counted from 1.
        finished: whether the training came to its end; otherwise these are the weights of its last checkpoint.
    """

    weights: dict[str, Tensor]
    epoch: int
    finished: bool


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], progress: Progress, contract: str = "") -> None:
    """Replace `last.safetensors`, then remove weights files that it no longer names.

    Args:
        folder: of the checkpoints.
        tensors: network, average and optimiser.
        progress: where the training stands.
        contract: JSON of what the weights expect and answer; see `experiment.training`.

    Raises:
        RunError: the disk is full or the folder cannot be written; the checkpoint before is untouched.
    """
    _write(folder / LAST, tensors, {"progress": progress.model_dump_json(), "contract": contract})
    for file in folder.glob("best-*.safetensors"):
        if file.name != progress.best_file:
            file.unlink(missing_ok=True)


def save_best(folder: Path, weights: dict[str, Tensor], epoch: int, contract: str = "") -> str:
    """Write the weights of the best epoch and return the file's name; `save_checkpoint` makes them count."""
    name = f"best-{epoch:04d}.safetensors"
    tensors = {f"network/{key}": value for key, value in weights.items()}
    _write(folder / name, tensors, {"epoch": str(epoch), "contract": contract})
    return name


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], Progress]:
    """The tensors and the progress that `save_checkpoint` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    tensors, header = _read(folder / LAST)
    try:
        return tensors, Progress.model_validate_json(header["progress"])
    except (KeyError, ValidationError) as error:
        raise RunError(
            f"The checkpoint {folder / LAST} is damaged or of another version: {_first_line(error)}."
        ) from error


def load_own_checkpoint(folder: Path, recipe: str) -> tuple[dict[str, Tensor], Progress]:
    """As `load_checkpoint`, for a training that goes on.

    Args:
        folder: of the checkpoints.
        recipe: the fingerprint of the recipe that goes on.

    Raises:
        RunError: the file is missing or damaged, or belongs to another recipe.
    """
    tensors, progress = load_checkpoint(folder)
    if progress.recipe != recipe:
        raise RunError(
            f"The recipe was changed since {folder} was written, and its steps would mean something else. Undo the "
            "change, or train anew; only the compute section may differ."
        )
    return tensors, progress


def kept_weights(folder: Path) -> KeptWeights:
    """The weights to evaluate: those of the best epoch where the recipe keeps the best, else the last.

    Raises:
        RunError: there is no checkpoint yet, or it is damaged.
    """
    tensors, progress = load_checkpoint(folder)
    if progress.best_file is not None:
        tensors, _ = _read(folder / progress.best_file)
        return KeptWeights(with_prefix(tensors, "network/"), progress.best_epoch or progress.epoch, progress.finished)
    averaged = with_prefix(tensors, "average/")
    return KeptWeights(averaged or with_prefix(tensors, "network/"), progress.epoch, progress.finished)


def load_weights(network: nn.Module, weights: dict[str, Tensor], origin: Path) -> None:
    """Give a network its weights.

    Raises:
        RunError: names or shapes differ from the network's; the first difference is named.
    """
    own = network.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        found = tuple(weights[name].shape) if name in weights else "nothing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if found != expected:
            raise RunError(
                f"The weights in {origin} are not this network's: {name} is {found}, expected {expected}. Was the "
                "recipe in the run folder changed?"
            )
    network.load_state_dict(weights)


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors: `optimiser/<parameter>/<key>`."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"optimiser/{parameter}/{key}": value
        for parameter, entries in state.items()
        for key, value in entries.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give the same optimiser over the same parameters the state that `optimiser_tensors` named."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in with_prefix(tensors, "optimiser/").items():
        index, key = name.split("/")
        parameter = parameters[int(index)]
        # Buffers of a parameter's shape must lie in memory as it does, or every step pays for the difference.
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    # safetensors stores row-major memory; a channels-last tensor gets its format back from the network it goes to.
    rows = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        write_aside(path, lambda aside: save_file(rows, aside, metadata=header))
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"The checkpoint {path} cannot be written: {error}. The checkpoint before it is untouched; free space or "
            "mend the folder's rights, then resume."
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.exists():
        raise RunError(f"There is no checkpoint {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RunError(f"The checkpoint {path} is damaged: {error}.") from error
