"""All measurements of this machine: each device, each number of threads, each precision, and a network's layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from konvoi.environment import describe_environment
from konvoi.hardware.bandwidth import measure_copy, measure_host_to_device, measure_triad
from konvoi.hardware.convolution import STAGES, measure_convolution
from konvoi.hardware.devices import array_bytes, precisions_of, present_devices, with_threads
from konvoi.hardware.layers import NetworkPoints, place_layers
from konvoi.hardware.measurement import Measurement
from konvoi.hardware.products import measure_matrix_matrix, measure_matrix_vector
from konvoi.hardware.roofline import Roofline, roofline_of
from konvoi.memory import keep_freed_memory
from konvoi.models.build import build_network
from konvoi.models.summary import summarise
from konvoi.randomness import seed_torch
from konvoi.recipe import Recipe
from konvoi.record import Record
from konvoi.training.precision import choose_precision

Tell = Callable[[str], None]


class DeviceResult(Record):
    """One device.

    Attributes:
        device: `cpu` or `cuda:N`.
        name: of the processor or GPU.
        precisions: those that it has units for, with the unit.
        left_out: those that it has not, with the reason.
        measurements: of all numbers of threads.
        roofline: of as many threads as were tried at most.
        network: its layers; with as many threads.
    """

    device: str
    name: str
    precisions: dict[str, str]
    left_out: dict[str, str]
    measurements: tuple[Measurement, ...]
    roofline: Roofline
    network: NetworkPoints

    @property
    def threads(self) -> int | None:
        """The largest number that was tried; None of a GPU."""
        return max((entry.threads for entry in self.measurements if entry.threads is not None), default=None)

    def at(self, threads: int | None) -> list[Measurement]:
        """The measurements with so many threads."""
        return [entry for entry in self.measurements if entry.threads == threads]


class HardwareResult(Record):
    """What `konvoi bench device` found.

    Attributes:
        created: when.
        environment: versions and processor.
        load: processes that wanted to run when it began, over the minute before; others disturb what is measured.
        devices: the processor, then each GPU.
    """

    created: datetime
    environment: dict[str, str]
    load: float
    devices: tuple[DeviceResult, ...]


@dataclass(frozen=True)
class Sizes:
    """How large the pieces of work are.

    Attributes:
        array: bytes of each array of a copy or triad.
        vector_side: of the matrix that a vector is multiplied with.
        sides: of the matrices that are multiplied with each other.
        images: of a convolution.
        stages: channels and side of a convolution's maps.
    """

    array: int
    vector_side: int
    sides: tuple[int, ...]
    images: int
    stages: tuple[tuple[int, int], ...] = STAGES


def sizes_for(device: torch.device) -> Sizes:
    """Arrays that no cache holds, and products large enough for the device."""
    array = array_bytes(device)
    # A square float32 matrix of about this many bytes; the sides of tiles divide it.
    side = int((array / 4) ** 0.5) // 64 * 64
    if device.type == "cuda":
        return Sizes(array, side, (1024, 4096, 8192), 256)
    return Sizes(array, side, (512, 1024, 2048), 16)


def measure_machine(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    threads: Sequence[int],
    batch: int | None = None,
    seconds: float = 0.5,
    sizes: Callable[[torch.device], Sizes] = sizes_for,
    tell: Tell = lambda line: None,
) -> HardwareResult:
    """Measure every device that is here.

    Args:
        recipe: whose network's layers are placed on the rooflines.
        image_shape: `(C, H, W)`.
        classes: number of logits.
        threads: numbers of threads of the processor to try, ascending.
        batch: images in the network's forward pass; default: 32 on a processor, the recipe's batch on a GPU.
        seconds: for each figure, about.
        sizes: of the pieces of work, by device.
        tell: is given a line for every device and number of threads that is begun.
    """
    load = os.getloadavg()[0]
    keep_freed_memory()
    results = []
    for device in present_devices():
        # Streams and events belong to the GPU that is current.
        with torch.cuda.device(device) if device.type == "cuda" else with_threads(threads[-1]):
            results.append(_measure_device(device, recipe, image_shape, classes, threads, batch, seconds, sizes, tell))
    environment = describe_environment(torch.device("cpu")) | {"threads": ", ".join(map(str, threads))}
    return HardwareResult(created=datetime.now(UTC), environment=environment, load=load, devices=tuple(results))


def _measure_device(
    device: torch.device,
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    classes: int,
    threads: Sequence[int],
    batch: int | None,
    seconds: float,
    sizes: Callable[[torch.device], Sizes],
    tell: Tell,
) -> DeviceResult:
    units, missing = precisions_of(device)
    own = sizes(device)
    measured: list[Measurement] = []
    most: int | None = None
    if device.type == "cpu":
        most = threads[-1]
        for count in threads:
            tell(f"processor, {count} thread{'s' if count > 1 else ''}")
            with with_threads(count):
                measured += measure_work(device, list(units), own, seconds, count)
    else:
        tell(f"GPU {device.index}: {torch.cuda.get_device_name(device)}")
        measured += [measure_host_to_device(device, own.array, seconds, pinned) for pinned in (False, True)]
        measured += measure_work(device, list(units), own, seconds)
    roofline = roofline_of([entry for entry in measured if entry.threads == most])
    tell(f"layers of {recipe.name}")
    points = _place(recipe, image_shape, classes, device, roofline, batch)
    environment = describe_environment(device)
    return DeviceResult(
        device=str(device),
        name=environment.get("gpu", environment["processor"]),
        precisions=units,
        left_out=missing,
        measurements=tuple(measured),
        roofline=roofline,
        network=points,
    )


def measure_work(
    device: torch.device, precisions: Sequence[str], sizes: Sizes, seconds: float, threads: int | None = None
) -> list[Measurement]:
    """Memory, products and convolutions on one device, in each precision."""
    measured = [
        measure_copy(device, sizes.array, seconds, threads),
        measure_triad(device, sizes.array, seconds, threads),
    ]
    for precision in precisions:
        # A vector's product waits for memory, and tf32 is float32 in memory.
        if precision != "tf32":
            measured += measure_matrix_vector(device, sizes.vector_side, precision, seconds, threads)
        measured += [measure_matrix_matrix(device, side, precision, seconds, threads) for side in sizes.sides]
        measured += [
            measure_convolution(device, sizes.images, channels, side, precision, seconds, threads)
            for channels, side in sizes.stages
        ]
    return measured


def _place(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    classes: int,
    device: torch.device,
    roofline: Roofline,
    batch: int | None,
) -> NetworkPoints:
    seed_torch(recipe.seed, "initialise")
    network = build_network(recipe, image_shape, classes)
    summary = summarise(network, image_shape)
    layout = torch.channels_last if recipe.compute.channels_last else torch.contiguous_format
    network = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    count = batch or (_BATCH_OF_PROCESSOR if device.type == "cpu" else recipe.budget.batch)
    images = torch.randn((count, *image_shape), device=device).contiguous(memory_format=layout)
    precision = choose_precision("auto", device)
    return place_layers(network, summary, images, precision, roofline, name=recipe.name)


_BATCH_OF_PROCESSOR = 32
