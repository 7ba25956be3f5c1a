"""Fitting a convolutional SVM network: forward, layer by layer, with no gradient.

Each filter of a layer is the hyperplane of a linear support vector machine on patches of what the layers before make
of the training images (see `models.svmnet` for the source). Filters take the classes in turn, over the layers on: the
first tells class 0 from the rest, the second class 1, and after the last class comes the first again. A patch bears
the class of its image, which of a window of a cube is the class of its centre pixel. At the end, a linear machine
classifies what the last layer leaves. A checkpoint is written after every layer; every draw is a function of the
seed, the network, the layer and the filter, so what was killed goes on after its last finished layer, and ends the
same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from konvoi.data.bands import Bands
from konvoi.data.batches import Preparation
from konvoi.data.images import Images, read_batches, reader
from konvoi.data.stratify import nested_order
from konvoi.errors import DataError, TrainingInterrupted
from konvoi.files import remove_leftovers
from konvoi.models.svmnet import single_networks
from konvoi.randomness import numpy_stream
from konvoi.recipe import Recipe, recipe_fingerprint
from konvoi.recipe.convolutional_svm import LinearSvms
from konvoi.training.checkpoint import Progress, load_own_checkpoint, load_weights, save_checkpoint, with_prefix
from konvoi.training.display import Display
from konvoi.training.history import FilterRecord, LayerRecord
from konvoi.training.interruption import SignalWatch
from konvoi.training.linear_svm import Hyperplane, fit_classifier, fit_hyperplane
from konvoi.training.patches import Convolution, Draw, cut_patches, draw_patches, output_grid
from konvoi.training.precision import Precision
from konvoi.training.squared_hinge import one_thread_of_algebra

FORWARD_PRECISION = Precision("float32", "the layers before; each layer's machines are fitted in float64")

_BATCH = 250
_MOST_PATCH_BYTES = 256 << 20
"""Of the filters whose patches are held at the same time."""


@dataclass(frozen=True)
class LabelledImages:
    """The training split, from which maps are made where they are wanted and kept nowhere.

    Attributes:
        images: `(M, C, H, W)`, as stored.
        labels: `(n,)`, of the training images.
        positions: `(n,)`, where among the M they stand.
        bands: fitted on the training split.
        device: on which the layers before run.
        resample: how coarser bands are brought to the finest grid.
    """

    images: Images
    labels: NDArray[np.int64]
    positions: NDArray[np.int64]
    bands: Bands
    device: torch.device
    resample: str = "bilinear"

    @torch.no_grad()
    def maps(self, layers: nn.Module, chosen: NDArray[np.int64]) -> Iterator[tuple[slice, Tensor]]:
        """What layers make of training images, batch by batch: which of `chosen`, and maps `(b, …)` on the device.

        Always in float32: the machines see what the network will see when it is used.
        """
        preparation = Preparation(self.bands, self.device, channels_last=False)
        parts = [slice(start, min(start + _BATCH, len(chosen))) for start in range(0, len(chosen), _BATCH)]
        wanted = [self.positions[chosen[part]] for part in parts]
        read = read_batches(self.images, reader(self.images, self.device, self.resample), wanted)
        for part, values in zip(parts, read, strict=True):
            yield part, layers(preparation.normalise(values))


@dataclass(frozen=True)
class Stage:
    """One layer to fit.

    Attributes:
        network: which of the ensemble's, counted from 0.
        key: the layer's name in it.
        name: for people; with the network's where there are several.
        before: the layers before it.
        layer: a convolution, or the dense layer at the end.
        filters_before: of the same network, which say whose turn the first class is.
    """

    network: int
    key: str
    name: str
    before: nn.Module
    layer: nn.Module
    filters_before: int

    @property
    def size(self) -> int:
        """Machines to fit: one a filter; the classifier counts as one."""
        return len(self.layer.weight) if isinstance(self.layer, Convolution) else 1


def stages_of(network: nn.Module) -> list[Stage]:
    """The layers to fit, network by network, from the first to the last."""
    networks = single_networks(network)
    found = []
    for number, single in enumerate(networks):
        filters = 0
        for position, (name, layer) in enumerate(single.named_children()):
            if isinstance(layer, Convolution | nn.Linear):
                words = name if len(networks) == 1 else f"scale {number + 1}: {name}"
                found.append(Stage(number, name, words, single[:position], layer, filters))
                filters += found[-1].size
    return found


class ForwardFitting:
    """A fitting in progress: the network, and how many of its layers are done."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        training: LabelledImages,
        checkpoints: Path,
        display: Display,
        publish: Callable[[tuple[LayerRecord, ...]], None],
        contract: str = "",
    ) -> None:
        """Set up a fitting at its start.

        Args:
            recipe: whose `optim` is `linear-svms`; patches, C's and seed are taken from it.
            network: is fitted in place, on the images' device.
            training: the training split.
            checkpoints: an existing folder.
            display: is told of every filter and layer.
            publish: is given the finished layers whenever a checkpoint was written.
            contract: goes into every checkpoint, for whoever has the file and not the run.

        Raises:
            DataError: the training split has samples of one class alone.
        """
        assert isinstance(recipe.optim, LinearSvms)
        self.settings = recipe.optim
        self.precision = FORWARD_PRECISION
        self.network = network.to(training.device).eval()
        self.stages = stages_of(self.network)
        self.progress = Progress(recipe=recipe_fingerprint(recipe))
        self._seed = recipe.seed
        self._training = training
        self._classes = np.unique(training.labels)
        self._checkpoints = checkpoints
        self._display = display
        self._publish = publish
        self._contract = contract
        # Machines are fitted beside each other; what each of them computes does not depend on how many.
        self._threads = torch.get_num_threads()
        if len(self._classes) < 2:
            raise DataError(
                "All training samples are of one class, and a support vector machine tells two sides apart. Use more "
                "samples."
            )

    @property
    def step(self) -> int:
        """Finished layers."""
        return self.progress.epoch

    def run(self) -> Progress:
        """Fit from where the progress stands to the classifier at the end.

        Raises:
            TrainingInterrupted: SIGINT or SIGTERM came; all finished layers are saved.
            RunError: a checkpoint cannot be written.
        """
        self.save()
        done = self.progress.epoch
        filters = [stage.size for stage in self.stages]
        self._display.begin_layers(len(self.stages), done, sum(filters), sum(filters[:done]))
        try:
            with SignalWatch() as signals:
                for number in range(self.progress.epoch, len(self.stages)):
                    stage = self.stages[number]
                    fit = self._fit_filters if isinstance(stage.layer, Convolution) else self._fit_classifier
                    self._finish(fit(stage, partial(self._stop_where_wanted, signals, stage)))
        finally:
            self._display.end()
        return self.progress

    def save(self) -> None:
        """Write a checkpoint of the finished layers, and their records with it."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        save_checkpoint(self._checkpoints, tensors, self.progress, self._contract)
        self._publish(self.progress.layers)

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            RunError: there is none, it is damaged, or it belongs to another recipe.
        """
        tensors, progress = load_own_checkpoint(self._checkpoints, self.progress.recipe)
        load_weights(self.network, with_prefix(tensors, "network/"), self._checkpoints)
        self.progress = progress
        remove_leftovers(self._checkpoints)

    # ---- one layer ----

    def _fit_filters(self, stage: Stage, stop_where_wanted: Callable[[], None]) -> LayerRecord:
        layer = stage.layer
        assert isinstance(layer, Convolution)
        seconds = {"maps": 0.0, "svm": 0.0}
        places = self._places(stage)
        draws = [self._draw(stage, number, places) for number in range(stage.size)]
        held = max(1, _MOST_PATCH_BYTES // (4 * self.settings.patches * layer.weight[0].numel()))
        records: list[FilterRecord] = []
        for first in range(0, stage.size, held):
            own = range(first, min(first + held, stage.size))
            started = time.perf_counter()
            patches = self._cut(stage, [draws[number] for number in own], stop_where_wanted)
            seconds["maps"] += time.perf_counter() - started
            started = time.perf_counter()
            planes = self._hyperplanes(stage, patches, {number: draws[number] for number in own}, stop_where_wanted)
            seconds["svm"] += time.perf_counter() - started
            for number, plane in zip(own, planes, strict=True):
                _write(layer.weight[number], plane.weights)
                _write(_bias(layer)[number], np.array(plane.bias))
                label = self._label(stage, number)
                size = len(draws[number].samples)
                records.append(FilterRecord(label=label, patches=size, cost=plane.cost, accuracy=plane.accuracy))
        return LayerRecord(
            name=stage.name,
            patch=tuple(layer.weight.shape[1:]),
            filters=tuple(records),
            samples=len(np.unique(np.concatenate([draw.samples for draw in draws]))),
            seconds=seconds,
        )

    def _places(self, stage: Stage) -> int:
        """Patches that each image has for a layer."""
        assert isinstance(stage.layer, Convolution)
        _, maps = next(self._training.maps(stage.before, np.zeros(1, dtype=np.int64)))
        return int(np.prod(output_grid(stage.layer, tuple(maps.shape[2:]))))

    def _label(self, stage: Stage, number: int) -> int:
        return int(self._classes[(stage.filters_before + number) % len(self._classes)])

    def _stream(self, stage: Stage, *purpose: str | int) -> np.random.Generator:
        return numpy_stream(self._seed, "linear svms", stage.network, stage.key, *purpose)

    def _draw(self, stage: Stage, number: int, places: int) -> Draw:
        stream = self._stream(stage, "patches", number)
        return draw_patches(self._training.labels, self._label(stage, number), places, self.settings.patches, stream)

    def _cut(
        self, stage: Stage, draws: Sequence[Draw], stop_where_wanted: Callable[[], None]
    ) -> list[NDArray[np.float32]]:
        """The patches of some filters, `(n, d)` each, from one walk through the images that they lie in."""
        assert isinstance(stage.layer, Convolution)
        values = stage.layer.weight[0].numel()
        patches = [np.empty((len(draw.samples), values), dtype=np.float32) for draw in draws]
        chosen = np.unique(np.concatenate([draw.samples for draw in draws]))
        rows_of = [np.searchsorted(chosen, draw.samples) for draw in draws]
        for part, maps in self._training.maps(stage.before, chosen):
            for draw, rows, own in zip(draws, rows_of, patches, strict=True):
                here = np.flatnonzero((rows >= part.start) & (rows < part.stop))
                in_batch = torch.from_numpy(rows[here] - part.start).to(maps.device)
                own[here] = cut_patches(maps, stage.layer, in_batch, draw.places[here]).cpu().numpy()
            stop_where_wanted()
        return patches

    def _hyperplanes(
        self,
        stage: Stage,
        patches: Sequence[NDArray[np.float32]],
        draws: dict[int, Draw],
        stop_where_wanted: Callable[[], None],
    ) -> list[Hyperplane]:
        settings = self.settings
        with one_thread_of_algebra(), ThreadPoolExecutor(self._threads, thread_name_prefix="konvoi-svm") as pool:
            waiting: list[Future[Hyperplane]] = [
                pool.submit(
                    fit_hyperplane,
                    own,
                    draw.positive,
                    draw.samples,
                    settings.costs,
                    settings.folds,
                    self._stream(stage, "folds", number),
                )
                for own, (number, draw) in zip(patches, draws.items(), strict=True)
            ]
            try:
                for _ in as_completed(waiting):
                    self._display.advance(1)
                    stop_where_wanted()
            except TrainingInterrupted:
                pool.shutdown(cancel_futures=True)
                raise
            return [future.result() for future in waiting]

    def _fit_classifier(self, stage: Stage, stop_where_wanted: Callable[[], None]) -> LayerRecord:
        layer, settings, labels = stage.layer, self.settings, self._training.labels
        assert isinstance(layer, nn.Linear)
        # Every beginning of this order is stratified.
        order = nested_order(labels, self._seed)
        chosen = np.sort(order[: settings.samples])
        search = np.flatnonzero(np.isin(chosen, order[: settings.search_samples]))
        features = np.empty((len(chosen), layer.in_features), dtype=np.float32)
        started = time.perf_counter()
        for part, values in self._training.maps(stage.before, chosen):
            features[part] = values.cpu().numpy()
            stop_where_wanted()
        cut = time.perf_counter()
        found = fit_classifier(
            features,
            labels[chosen],
            layer.out_features,
            settings.classifier_costs,
            settings.folds,
            self._stream(stage, "folds"),
            search,
            self._threads,
        )
        _write(layer.weight, found.weights / found.temperature)
        _write(_bias(layer), found.biases / found.temperature)
        self._display.advance(1)
        return LayerRecord(
            name=stage.name,
            patch=(layer.in_features,),
            samples=len(chosen),
            cost=found.cost,
            accuracy=found.accuracy,
            temperature=found.temperature,
            seconds={"maps": cut - started, "svm": time.perf_counter() - cut},
        )

    def _finish(self, record: LayerRecord) -> None:
        layers = (*self.progress.layers, record)
        finished = len(layers) == len(self.stages)
        self.progress = self.progress.model_copy(update={"epoch": len(layers), "layers": layers, "finished": finished})
        self.save()
        self._display.layer_done(record)

    def _stop_where_wanted(self, signals: SignalWatch, stage: Stage) -> None:
        if signals.received is not None:
            raise TrainingInterrupted(
                f"Stopped in layer {self.progress.epoch + 1} of {len(self.stages)} ({stage.name}); the layers before "
                "it are saved.",
                signals.received,
            )


@torch.no_grad()
def _write(parameter: Tensor, values: NDArray[np.float64]) -> None:
    parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)).view(parameter.shape))


def _bias(layer: Convolution | nn.Linear) -> Tensor:
    assert layer.bias is not None
    return layer.bias
