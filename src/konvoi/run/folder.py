"""The run: the folder that a training writes, and the only place that knows its file names.

RUN/recipe.yaml          the whole recipe, defaults included
RUN/run.json             data, split, bands, environment, command, state (`RunFacts`)
RUN/history.json         one entry an epoch (`EpochRecord`)
RUN/checkpoints/         last.safetensors and the best epoch's (see `training.checkpoint`)
RUN/test_reads.jsonl     every opening of the sealed test split
RUN/evaluation.json      the scores (`Evaluation`)
RUN/baselines.json       of a cube, classifiers of single spectra to compare with (`Baseline`)
RUN/members.json         of an ensemble, the scores of each member and of their fusions (`MemberScores`)
RUN/predictions.npz      labels and probabilities of validation and test samples
RUN/examples.npz         the pictures that the report shows
RUN/pretraining/         the run that a recipe's `pretraining` section describes
RUN/layers.json          one entry a layer of a network that is fitted forward (`LayerRecord`)
RUN/exchange.json        how long an all-reduce took between its ranks, where that was measured (`Exchange`)
RUN/places.npz           where the samples of each part lie, where that is known (`Places`)
RUN/scene.npz            of a hyperspectral scene: split, spectra, and the map that the network makes (`SceneMap`)
RUN/report.html
"""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from konvoi.errors import RunError
from konvoi.evaluation.baselines import Baseline
from konvoi.files import write_aside, write_json, write_text
from konvoi.parallel.exchange import Exchange
from konvoi.recipe import Recipe, parse_recipe, recipe_yaml
from konvoi.record import Record
from konvoi.run.records import (
    Evaluation,
    Examples,
    MemberScores,
    Places,
    Predictions,
    RunFacts,
    RunState,
    SceneMap,
)
from konvoi.training.history import EpochRecord, LayerRecord

if TYPE_CHECKING:
    from torch import nn

    from konvoi.data.bands import Bands
    from konvoi.training.checkpoint import KeptWeights

R = TypeVar("R", bound=Record)


class Run:
    """A run folder, read lazily; `load_run` is the usual way to one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    # ---- places ----

    @property
    def recipe_path(self) -> Path:
        """The whole recipe, defaults included."""
        return self.folder / "recipe.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The state to resume from."""
        return self.checkpoints / "last.safetensors"

    @property
    def test_log(self) -> Path:
        """The log of every opening of the test split."""
        return self.folder / "test_reads.jsonl"

    @property
    def pretraining(self) -> Path:
        """The run of the recipe's `pretraining` section."""
        return self.folder / "pretraining"

    @property
    def facts_path(self) -> Path:
        """Data, split, environment, state."""
        return self.folder / "run.json"

    @property
    def report_path(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    # ---- contents ----

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe this run was made with."""
        return parse_recipe(self._text("recipe.yaml"), str(self.recipe_path))

    @property
    def facts(self) -> RunFacts:
        """Data, split, environment and state."""
        return self._record("run.json", RunFacts)

    @property
    def history(self) -> list[EpochRecord]:
        """One entry for every finished epoch."""
        return self._list("history.json", EpochRecord)

    @property
    def layers(self) -> list[LayerRecord]:
        """One entry for every finished layer of a network that is fitted forward; else empty."""
        return self._list("layers.json", LayerRecord)

    @property
    def evaluation(self) -> Evaluation | None:
        """The scores, or None as long as nothing was evaluated."""
        if not (self.folder / "evaluation.json").exists():
            return None
        return self._record("evaluation.json", Evaluation)

    @property
    def baselines(self) -> list[Baseline]:
        """Classifiers of single spectra that a result on a cube is shown against; else empty."""
        return self._list("baselines.json", Baseline)

    @property
    def members(self) -> list[MemberScores]:
        """The members of an ensemble and their fusions; else empty."""
        return self._list("members.json", MemberScores)

    @property
    def exchange(self) -> Exchange | None:
        """How long an all-reduce took between its ranks, or None where that was not measured."""
        if not (self.folder / "exchange.json").exists():
            return None
        return self._record("exchange.json", Exchange)

    @property
    def bands(self) -> Bands:
        """The channels this network was trained on, with their normalisation."""
        from konvoi.data.bands import Bands

        return Bands.from_json(self.facts.data.bands)

    def predictions(self, part: Literal["validation", "test"]) -> Predictions:
        """Labels and probabilities of one split, as evaluated."""
        with self._arrays("predictions.npz") as arrays:
            if f"{part}_labels" not in arrays:
                raise RunError(f"{self.folder} holds no {part} predictions. Run `konvoi evaluate {self.folder}` first.")
            return Predictions(
                positions=arrays[f"{part}_positions"],
                labels=arrays[f"{part}_labels"],
                probabilities=arrays[f"{part}_probabilities"],
            )

    def examples(self) -> Examples:
        """The pictures that the report shows."""
        with self._arrays("examples.npz") as arrays:
            content: dict[str, Any] = {
                name: tuple(str(entry) for entry in arrays[name]) if name.endswith("_names") else arrays[name]
                for name in Examples.model_fields
            }
            return Examples(**content)

    @property
    def places(self) -> Places | None:
        """Where the samples lie, or None where that is not known."""
        if not (self.folder / "places.npz").exists():
            return None
        with self._arrays("places.npz") as arrays:
            return Places(longitude_latitude=arrays["longitude_latitude"], part=arrays["part"])

    @property
    def scene_map(self) -> SceneMap | None:
        """The scene and its map, or None where the samples are no pixels of one, or nothing was evaluated yet."""
        if not (self.folder / "scene.npz").exists():
            return None
        with self._arrays("scene.npz") as arrays:
            content: dict[str, Any] = {name: arrays[name] for name in SceneMap.model_fields}
            return SceneMap(**{**content, "how": str(content["how"])})

    def network(self) -> nn.Module:
        """The trained network with the kept weights, on the CPU, in evaluation mode."""
        from konvoi.models.build import build_network
        from konvoi.training.checkpoint import load_weights

        facts = self.facts
        network = build_network(self.recipe, facts.data.image_shape, len(facts.data.class_names))
        load_weights(network, self.kept_weights().weights, self.checkpoints)
        return network.eval()

    def kept_weights(self) -> KeptWeights:
        """The weights that the training ended with.

        Raises:
            RunError: the training did not come to its end; unfinished weights are no result.
        """
        from konvoi.training.checkpoint import kept_weights

        kept = kept_weights(self.checkpoints)
        if not kept.finished:
            raise RunError(
                f"The training of {self.folder} has not come to its end ({self.facts.state}), so it has no result yet. "
                + (
                    "It diverged; train anew."
                    if self.facts.state == "diverged"
                    else f"Continue it with: konvoi train --resume {shlex.quote(str(self.folder))}"
                )
            )
        return kept

    # ---- writing ----

    def write_recipe(self, recipe: Recipe) -> None:
        """Write `recipe.yaml`."""
        self._write("recipe.yaml", lambda path: write_text(path, recipe_yaml(recipe)))

    def write_facts(self, facts: RunFacts) -> None:
        """Write `run.json`."""
        self._write("run.json", lambda path: write_json(path, facts.model_dump(mode="json")))

    def write_state(self, state: RunState) -> None:
        """Change the state in `run.json`."""
        self.write_facts(self.facts.model_copy(update={"state": state}))

    def write_history(self, history: Sequence[EpochRecord]) -> None:
        """Write `history.json`."""
        self._write_list("history.json", history)

    def write_layers(self, layers: Sequence[LayerRecord]) -> None:
        """Write `layers.json`."""
        self._write_list("layers.json", layers)

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """Write `evaluation.json`."""
        self._write("evaluation.json", lambda path: write_json(path, evaluation.model_dump(mode="json")))

    def write_baselines(self, baselines: Sequence[Baseline]) -> None:
        """Write `baselines.json`."""
        self._write_list("baselines.json", baselines)

    def write_members(self, members: Sequence[MemberScores]) -> None:
        """Write `members.json`."""
        self._write_list("members.json", members)

    def write_exchange(self, exchange: Exchange) -> None:
        """Write `exchange.json`."""
        self._write("exchange.json", lambda path: write_json(path, exchange.model_dump(mode="json")))

    def write_predictions(self, parts: dict[str, Predictions]) -> None:
        """Write `predictions.npz`."""
        arrays = {
            f"{part}_{name}": getattr(predictions, name)
            for part, predictions in parts.items()
            for name in ("positions", "labels", "probabilities")
        }
        self._write_arrays("predictions.npz", arrays)

    def write_examples(self, examples: Examples) -> None:
        """Write `examples.npz`."""
        arrays = {name: np.asarray(getattr(examples, name)) for name in Examples.model_fields}
        for name in ("mistake_names", "drawn_names"):
            arrays[name] = np.asarray(getattr(examples, name), dtype=np.str_)
        self._write_arrays("examples.npz", arrays)

    def write_places(self, places: Places) -> None:
        """Write `places.npz`."""
        self._write_arrays("places.npz", {"longitude_latitude": places.longitude_latitude, "part": places.part})

    def _write_list(self, name: str, records: Sequence[Record]) -> None:
        entries = [entry.model_dump(mode="json") for entry in records]
        self._write(name, lambda path: write_json(path, entries))

    def write_scene_map(self, scene: SceneMap) -> None:
        """Write `scene.npz`."""
        self._write_arrays("scene.npz", {name: np.asarray(getattr(scene, name)) for name in SceneMap.model_fields})

    def _write_arrays(self, name: str, arrays: dict[str, NDArray[Any]]) -> None:
        def write(aside: Path) -> None:
            with aside.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)

        self._write(name, lambda path: write_aside(path, write))

    def _write(self, name: str, write: Callable[[Path], None]) -> None:
        try:
            write(self.folder / name)
        except OSError as error:
            raise RunError(
                f"{self.folder / name} cannot be written: {error.strerror}. What was there is untouched."
            ) from error

    # ---- reading files ----

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.folder / name} cannot be read: {error}.") from error

    def _record(self, name: str, kind: type[R]) -> R:
        try:
            return kind.model_validate_json(self._text(name))
        except ValidationError as error:
            raise self._damaged(name, error) from error

    def _list(self, name: str, kind: type[R]) -> list[R]:
        if not (self.folder / name).exists():
            return []
        try:
            # The kind is not known to the type checker, as it is to pydantic.
            return TypeAdapter(list[kind]).validate_json(self._text(name))  # type: ignore[valid-type]
        except ValidationError as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: ValidationError) -> RunError:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "content"
        return RunError(f"{self.folder / name} is damaged or of another version: {place}: {first['msg']}.")

    @contextmanager
    def _arrays(self, name: str) -> Iterator[np.lib.npyio.NpzFile[Any]]:
        try:
            with np.load(self.folder / name, allow_pickle=False) as arrays:
                yield arrays
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{self.folder / name} cannot be read: {error}. `konvoi evaluate {self.folder} --again` writes it."
            ) from error


def load_run(folder: str | Path) -> Run:
    """Open a run folder.

    Raises:
        RunError: this is no run folder.
    """
    run = Run(Path(folder))
    if not run.folder.is_dir():
        raise RunError(f"There is no run folder {run.folder}.")
    if not run.recipe_path.exists():
        raise RunError(f"{run.folder} is not a run folder: it holds no recipe.yaml.")
    return run
