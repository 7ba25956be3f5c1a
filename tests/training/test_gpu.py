"""On a GPU a training computes what it computes on a processor; skipped, with a reason, where there is none."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from konvoi.data.batches import Batch
from konvoi.data.pack import pack
from konvoi.data.sources.patch_sources import PatchOptions, open_patches
from konvoi.data.synthetic import generate_bigearthnet
from konvoi.errors import TrainingInterrupted
from konvoi.experiment import make_batches, make_loss, make_validation, prepare
from konvoi.models.build import build_network
from konvoi.recipe import Recipe, parse_recipe
from konvoi.training.display import Silence
from konvoi.training.history import EpochRecord
from konvoi.training.loop import Training
from konvoi.training.optimiser import build_optimiser
from konvoi.training.precision import Precision
from konvoi.training.step import train_step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; PyTorch finds none here"),
]

GPU = torch.device("cuda")
CPU = torch.device("cpu")
NETWORKS = {
    "cnn": "{kind: cnn, blocks: [{maps: 8, norm: batch, pool: max}, {maps: 16, norm: batch, pool: average}]}",
    "resnet": "{kind: resnet, depth: 50}",
}


def made(network: str, device: torch.device) -> tuple[nn.Module, Tensor, Tensor]:
    """A network and a batch of 8 × 12 × 64 × 64 with 5 classes: the same numbers on every device."""
    torch.manual_seed(0)
    module = build_network(recipe_with(network), (12, 64, 64), 5)
    stream = torch.Generator().manual_seed(1)
    images = torch.randn((8, 12, 64, 64), generator=stream)
    labels = torch.randint(5, (8,), generator=stream)
    in_memory_format = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return in_memory_format, images.to(device, memory_format=torch.channels_last), labels.to(device)


def recipe_with(network: str) -> Recipe:
    text = f"{{name: x, source: {{kind: digits}}, network: {NETWORKS[network]}, optim: {{kind: sgd, lr: 0.001}}}}"
    return parse_recipe(text, "x")


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    """Apart by no more than this share of the largest value."""
    assert float((found.cpu() - expected).abs().max()) <= share * float(expected.abs().max())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
def test_forward_and_backward_give_the_same_in_float32(network: str, training: bool) -> None:
    Precision("float32", "").make_exact()
    results = []
    for device in (CPU, GPU):
        module, images, labels = made(network, device)
        module.train(training)
        logits = module(images)
        nn.functional.cross_entropy(logits, labels).backward()
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        results.append((logits.detach(), gradients))
    (expected, gradients), (found, on_gpu) = results
    assert_near(found, expected, 1e-3)
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        assert float((on_gpu[name].cpu() - gradient).abs().max()) <= 1e-3 * largest, name


@pytest.mark.parametrize(("network", "steps", "apart"), [("cnn", 3, 0.03), ("resnet", 1, 0.15)])
def test_losses_in_bfloat16_are_near_those_in_float32_on_a_processor(network: str, steps: int, apart: float) -> None:
    losses = {}
    for name, device in (("float32", CPU), ("bfloat16", GPU)):
        module, images, labels = made(network, device)
        optimiser = build_optimiser(recipe_with(network).optimiser, module.train())
        scaler, precision = torch.amp.GradScaler(device.type, enabled=False), Precision(name, "")
        step = (module, (Batch(images, labels),), nn.CrossEntropyLoss(), optimiser, precision, scaler)
        losses[name] = [float(train_step(*step)[0]) for _ in range(steps)]
        assert all(value.dtype == torch.float32 for value in module.parameters())
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=apart)


RESUMED = """
name: resumed
source: {kind: digits}
input: {normalise: unit, augment: {shift: 1}}
network: {kind: cnn, blocks: [{maps: 8, norm: batch, pool: max}, {maps: 16, dropout: 0.2}], dropout: 0.3}
optim: {kind: sgd, lr: 0.1, momentum: 0.9}
budget: {epochs: 3, batch: 100, checkpoint_seconds: 1000000}
compute: {precision: float32}
"""


class StopAfter:
    """A display that asks its own process to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        pass

    def advance(self, samples: int) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    def epoch_done(self, record: EpochRecord) -> None:
        pass

    def end(self) -> None:
        pass


def on_device(folder: Path, device: torch.device, stop_after: int = 0, *overrides: str) -> Training:
    folder.mkdir(exist_ok=True)
    recipe = parse_recipe(RESUMED, "resumed", overrides)
    material = prepare(recipe, None)
    return Training(
        recipe, material.network, make_batches(recipe, material, device), make_loss(recipe, material, device),
        make_validation(recipe, material), Precision("float32", ""), folder,
        StopAfter(stop_after) if stop_after else Silence(), lambda history: None,
    )  # fmt: skip


@pytest.mark.parametrize("after", [GPU, CPU], ids=str)
def test_a_training_that_was_stopped_on_a_gpu_goes_on(after: torch.device, tmp_path: Path) -> None:
    whole = on_device(tmp_path / "whole", GPU)
    whole.run()
    stopped = on_device(tmp_path / "stopped", GPU, stop_after=17)
    with pytest.raises(TrainingInterrupted):
        stopped.run()
    resumed = on_device(tmp_path / "stopped", after)
    resumed.restore()
    assert resumed.step == stopped.step
    momentum = next(iter(resumed.optimiser.state.values()))["momentum_buffer"]
    assert momentum.device.type == after.type
    resumed.run()
    assert resumed.progress.history[-1].validation_accuracy > 0.9
    if after.type == "cuda":
        # On a processor dropout draws other numbers; on the GPU the same come again.
        for name, value in whole.network.state_dict().items():
            torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("setting", ["compute.cuda_graphs=false", "compute.cuda_graphs=true"])
def test_a_compiled_network_trains_to_the_same_scores(setting: str, tmp_path: Path) -> None:
    eager = on_device(tmp_path / "eager", GPU, 0, "network.dropout=0")
    compiled = on_device(tmp_path / "compiled", GPU, 0, "network.dropout=0", "compute.compile=true", setting)
    for training in (eager, compiled):
        training.run()
    pairs = zip(eager.progress.history, compiled.progress.history, strict=True)
    assert all(found.train_loss == pytest.approx(expected.train_loss, rel=0.1) for expected, found in pairs)


def test_batches_from_a_store_are_gathered_pinned_and_are_those_of_a_processor(tmp_path: Path) -> None:
    generate_bigearthnet(tmp_path / "archive", 40, seed=3)
    pack(open_patches(tmp_path / "archive", None, PatchOptions()), tmp_path / "store")
    text = (
        "{name: s, source: {kind: store}, split: {test: 0.2, validation: 0.2}, input: {augment: {symmetries: true}}, "
        "network: {kind: resnet, depth: 18}, loss: {kind: bce}, optim: {kind: sgd, lr: 0.1}, budget: {batch: 8}}"
    )
    recipe = parse_recipe(text, "s")
    material = prepare(recipe, tmp_path / "store")
    positions = np.array([5, 0, 17])
    pinned = material.dataset.images.gather(positions, pin=True)
    for grid, plain in zip(pinned, material.dataset.images.gather(positions), strict=True):
        assert grid.is_pinned()
        assert torch.equal(grid, plain)
    pairs = zip(make_batches(recipe, material, GPU).epoch(0), make_batches(recipe, material, CPU).epoch(0), strict=True)
    for (on_gpu,), (on_cpu,) in pairs:
        assert on_gpu.images.device.type == "cuda"
        assert on_gpu.images.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(on_gpu.images.cpu(), on_cpu.images, rtol=1e-4, atol=1e-4)
        assert torch.equal(on_gpu.labels.cpu(), on_cpu.labels)
