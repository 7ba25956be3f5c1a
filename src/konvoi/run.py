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
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from konvoi.data.pixels.leakage import Leakage
from konvoi.errors import RunError
from konvoi.evaluation.baselines import Baseline
from konvoi.evaluation.brief import BriefScores
from konvoi.evaluation.categories import CategoryScores
from konvoi.evaluation.scores import Scores
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.files import write_aside, write_json, write_text
from konvoi.parallel.exchange import Exchange
from konvoi.recipe import Recipe, parse_recipe, recipe_yaml
from konvoi.record import Record
from konvoi.training.history import EpochRecord, LayerRecord

if TYPE_CHECKING:
    from torch import nn

    from konvoi.data.bands import Bands
    from konvoi.training.checkpoint import KeptWeights

R = TypeVar("R", bound=Record)
RunState = Literal["running", "interrupted", "diverged", "trained", "evaluated"]


class DataFacts(Record):
    """What was trained on.

    Attributes:
        origin: folders or files it was read from.
        data_dir: the folder given by the user, which resuming reads again.
        fingerprint: SHA-256 of pixels, labels and class names.
        several_labels: whether a sample may have several labels.
        caution: what a reader of results must know of the data; else "".
        left_out: samples that the recipe excludes or the split uses in no part, by reason, in words.
        audit: what the spatial audit found, a sentence a finding.
        class_counts: samples of each class in train, validation and test.
        leakage: of the pixels of a scene, what windows of one part hold of another; else None.
        duplicates: images of train that stand again, pixel by pixel, in validation and in test.
    """

    name: str
    origin: str
    data_dir: str | None
    fingerprint: str
    samples: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    several_labels: bool = False
    caution: str = ""
    skipped: tuple[str, ...]
    split_method: str
    split_fingerprint: str
    split_sizes: dict[str, int]
    left_out: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()
    leakage: Leakage | None = None
    class_counts: dict[str, tuple[int, ...]]
    duplicates: dict[str, int]
    bands: dict[str, Any]

    @property
    def leaks(self) -> bool:
        """Whether windows of validation or test hold pixels that the network learned from, or was chosen by."""
        return self.leakage is not None and self.leakage.leaks


class RunFacts(Record):
    """`run.json`.

    Attributes:
        command: as it was typed; empty where Python was the caller.
        precision: the arithmetic of training, with its reason; after a resumption in another, both.
        seal_test: whether the training leaves the test split unread, also when it is resumed.
        ranks: processes that trained it together, at last.
        start: what the network's first weights are, in words, where they are not random.
    """

    konvoi_version: str
    created: datetime
    command: str
    state: RunState
    data: DataFacts
    environment: dict[str, str]
    precision: str
    device: str
    parameters: int
    seal_test: bool = False
    ranks: int = 1
    start: str = ""


class Evaluation(Record):
    """`evaluation.json`: the scores of the kept weights on each split, all in evaluation mode.

    Attributes:
        epoch: whose weights were scored.
        weights: in words, for example "epoch 7 of 10, highest validation accuracy, averaged weights".
        train: of which 1 − accuracy is E_in.
        test: of which 1 − accuracy is E_out; None as long as the test split is sealed. Where a sample has several
            labels, all three are decided with thresholds that were tuned on validation.
        categories: scores of the test split (of validation, as long as the test is sealed) by category, where a tree
            of the classes was at hand.
        hierarchy: where that tree comes from, or why there is none; "" where the classes are none of a tree.
        test_reads: how often the test split has been read, this evaluation included.
        seconds: what the evaluation took.
    """

    epoch: int
    weights: str
    train: Scores | SeveralLabelScores
    validation: Scores | SeveralLabelScores
    test: Scores | SeveralLabelScores | None
    categories: tuple[CategoryScores, ...] = ()
    hierarchy: str = ""
    test_reads: int
    evaluated: datetime
    seconds: float


class MemberScores(Record):
    """One entry of `members.json`: a member of an ensemble, or a fusion of all.

    Attributes:
        name: for people.
        own: whether this is what the network answers.
        test: None as long as the test split is sealed.
    """

    name: str
    own: bool
    validation: BriefScores
    test: BriefScores | None


class Predictions(Record):
    """Labels `(N,)` int64 or `(N, K)` uint8, probabilities `(N, K)` float32, positions `(N,)` int64 in the data set."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    positions: NDArray[np.int64]
    labels: NDArray[Any]
    probabilities: NDArray[np.float32]


class Examples(Record):
    """Pictures for the report, as stored: `(n, C, H, W)` uint8, or float32 for patches of a store.

    Attributes:
        mistakes: the most confident mistakes of the test split (of validation, as long as the test is sealed),
            most confident first; where a sample has several labels, the samples of highest loss, highest first.
        mistake_labels: their true classes, `(n,)` int64 or `(n, K)` uint8.
        mistake_probabilities: `(n, K)`.
        mistake_names: file names or sample numbers.
        drawn: patches of the same split that were drawn at random; none where the data are not patches.
        drawn_labels, drawn_probabilities, drawn_names: likewise.
        specimen: `(1, C, H, W)`, one validation image on which the network does well, for the feature maps.
        specimen_labels: `(1,)` or `(1, K)`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    mistakes: NDArray[Any]
    mistake_labels: NDArray[Any]
    mistake_probabilities: NDArray[np.float32]
    mistake_names: tuple[str, ...]
    drawn: NDArray[Any]
    drawn_labels: NDArray[Any]
    drawn_probabilities: NDArray[np.float32]
    drawn_names: tuple[str, ...]
    specimen: NDArray[Any]
    specimen_labels: NDArray[Any]


class Places(Record):
    """Where samples lie, for the report's map: no more than a map can show, drawn at random.

    Attributes:
        longitude_latitude: `(n, 2)` float64 in degrees (WGS84).
        part: `(n,)` of "train", "validation", "test" and "left out".
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    longitude_latitude: NDArray[np.float64]
    part: NDArray[np.str_]


class SceneMap(Record):
    """A hyperspectral scene as the network sees it, pixel by pixel.

    Attributes:
        colour: `(H, W, 3)` uint8, three bands as red, green and blue.
        ground_truth: `(H, W)` int16: 0 … K-1, and -1 where a pixel has no label or the test split, sealed, has it.
        parts: `(H, W)` uint8, codes of `data.pixels.parts`.
        predicted: `(H, W)` int16, the most probable class; -1 everywhere where the scene was not mapped.
        probability: `(H, W)` float32, of that class.
        how: in words: how the network ran over the scene, or why it was not mapped.
        spectra, deviations: `(K, C)` float32, mean and standard deviation of the training pixels of each class, in the
            bands' units; NaN of classes without any.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    colour: NDArray[np.uint8]
    ground_truth: NDArray[np.int16]
    parts: NDArray[np.uint8]
    predicted: NDArray[np.int16]
    probability: NDArray[np.float32]
    how: str
    spectra: NDArray[np.float32]
    deviations: NDArray[np.float32]

    @property
    def mapped(self) -> bool:
        """Whether there is a class for every pixel."""
        return bool((self.predicted >= 0).any())


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
