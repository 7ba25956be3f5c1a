"""One epoch of training samples, step by step, for one rank.

Every sample once an epoch (those with rare labels more often, where the recipe says so), in an order that is a pure
function of (seed, epoch); so an epoch can start at any step, and ranks divide it by arithmetic (`data.steps`). Random
changes belong to positions of the epoch and not to ranks, so a sample is changed alike whichever rank sees it, and no
two ranks draw the same numbers. A batch is gathered as stored, and converted, augmented
and normalised on the device, with no work for single samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from konvoi.data.augment import Augmentation
from konvoi.data.bands import Bands
from konvoi.data.cropped import CroppedImages
from konvoi.data.crops import Crops, RandomCrops
from konvoi.data.dataset import Dataset
from konvoi.data.images import read_batches, reader
from konvoi.data.repetition import Repetition
from konvoi.data.split import Indices
from konvoi.data.steps import Steps
from konvoi.randomness import numpy_stream
from konvoi.recipe.input import AugmentSection

_LARGE = 1 << 22
_PIECE = 1 << 19
"""Values of a batch that is too large for a processor's cache, and of a piece that is not."""


@dataclass(frozen=True)
class Batch:
    """A micro-batch of one rank: all of a step's samples where there is one rank and nothing is accumulated.

    Attributes:
        images: `(n, C, H, W)` float32, normalised, on the device.
        labels: `(n,)` int64 or `(n, K)` uint8, on the device.
        share: n / samples of the whole step, over all ranks and micro-batches.
    """

    images: Tensor
    labels: Tensor
    share: float = 1.0


class Batches:
    """The batches of one split, for training."""

    def __init__(
        self,
        dataset: Dataset,
        indices: Indices,
        bands: Bands,
        batch_size: int,
        seed: int,
        augment: AugmentSection | None = None,
        device: torch.device | None = None,
        channels_last: bool = True,
        resample: str = "bilinear",
        repeat_rare: float | None = None,
        changes: Sequence[tuple[int, int]] = (),
        accumulate: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Prepare the batches.

        Args:
            dataset: where the samples are.
            indices: which of them, for example `split.train`.
            bands: fitted on the training split; see `Bands.fitted`.
            batch_size: the largest batch of a step, over all ranks and micro-batches.
            seed: of order and augmentation.
            augment: the random changes, none by default.
            device: where the batches are made, the CPU by default.
            channels_last: memory format of the images.
            resample: how coarser bands are brought to the finest grid, `bilinear` or `nearest`.
            repeat_rare: samples with labels rarer than this share are repeated; see `data.repetition`.
            changes: epochs, counted from 0, from which on another batch size holds.
            accumulate: micro-batches of a step.
            rank: of this process.
            ranks: how many there are.

        Raises:
            RecipeError: a step has too few samples for so many ranks and micro-batches.
        """
        self.device = device or torch.device("cpu")
        self._repetition = None if repeat_rare is None else Repetition(dataset.labels[indices], repeat_rare)
        self.samples = len(indices) if self._repetition is None else self._repetition.samples_per_epoch
        self.steps = Steps(self.samples, batch_size, changes, accumulate, rank, ranks)
        self._seed = seed
        self._indices = np.ascontiguousarray(indices)
        self._images = dataset.images
        self._reader = reader(dataset.images, self.device, resample)
        self._labels = torch.from_numpy(dataset.labels).to(self.device)
        self._preparation = Preparation(bands, self.device, channels_last)
        augment = augment or AugmentSection()
        self._crops: RandomCrops | None = None
        if isinstance(dataset.images, CroppedImages):
            self._crops = RandomCrops(dataset.images.settings, augment.flip, seed)
            augment = augment.model_copy(update={"flip": False})
        self._augmentation = Augmentation(augment, seed)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Batch, ...]]:
        """This rank's micro-batches of each step of an epoch, from `first_step` on; both are counted from 0."""
        order = self.positions(epoch)
        draws = self._augmentation.draws(epoch, self.samples) if self._augmentation.warps else None
        symmetries = self._augmentation.symmetries(epoch, self.samples)
        numbers = range(first_step, self.steps.in_epoch(epoch))
        bounds = [own for number in numbers for own in self.steps.own(epoch, number)]
        chosen = [order[start:end] for start, end in bounds]
        turns = None if symmetries is None else [symmetries[start:end] for start, end in bounds]
        crops = self._crops_of(epoch, bounds, chosen)
        stored = zip(bounds, chosen, read_batches(self._images, self._reader, chosen, turns, crops), strict=True)
        for number in numbers:
            first, last = self.steps.bounds(epoch, number)
            micro_batches = []
            for (start, end), positions, images in itertools.islice(stored, self.steps.accumulate):
                if draws is not None:
                    images = self._augmentation.apply(images, draws[start:end].to(self.device))
                labels = self._labels.index_select(0, torch.from_numpy(positions).to(self.device))
                share = (end - start) / (last - first)
                micro_batches.append(Batch(self._preparation.normalise(images), labels, share))
            yield tuple(micro_batches)

    def _crops_of(self, epoch: int, bounds: Sequence[tuple[int, int]], chosen: Sequence[Indices]) -> list[Crops] | None:
        if self._crops is None:
            return None
        assert isinstance(self._images, CroppedImages)
        stored, aspects = self._images.stored_size, self._images.aspects
        return [
            self._crops.of(epoch, start, stored, aspects[positions])
            for (start, _), positions in zip(bounds, chosen, strict=True)
        ]

    def positions(self, epoch: int) -> Indices:
        """The samples of an epoch in their order, as positions in the data set."""
        if self._repetition is not None:
            return self._indices[self._repetition.order(self._seed, epoch)]
        return self._indices[numpy_stream(self._seed, "order", epoch).permutation(self.samples)]


class Preparation:
    """From stored values to the network's input: float32, normalised per channel, in the network's memory format."""

    def __init__(self, bands: Bands, device: torch.device, channels_last: bool = True) -> None:
        gain, offset = bands.gain_and_offset
        self._gain = torch.tensor(gain, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._offset = torch.tensor(offset, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def normalise(self, images: Tensor) -> Tensor:
        """Stored values as floats `(N, C, H, W)`, changed in place, to the network's input."""
        if images.device.type == "cpu" and images.numel() > _LARGE and self._memory_format is torch.channels_last:
            return self._by_pieces(images)
        return images.mul_(self._gain).add_(self._offset).contiguous(memory_format=self._memory_format)

    def _by_pieces(self, images: Tensor) -> Tensor:
        """The same, a few images at a time: they stay in the processor's cache from the first step to the last."""
        result = torch.empty_like(images, memory_format=self._memory_format)
        step = max(1, _PIECE // images[0].numel())
        for start in range(0, len(images), step):
            piece = images[start : start + step].mul_(self._gain).add_(self._offset)
            result[start : start + step].copy_(piece)
        return result
