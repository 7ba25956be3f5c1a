"""Logits and probabilities of a trained network for stored images.

Always in float32: in bfloat16 many logits round to ties, and the winner of a tie is no result.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from konvoi.data.bands import Bands
from konvoi.data.batches import Preparation
from konvoi.data.images import Images, read_batches, reader
from konvoi.data.windows import CubeWindows
from konvoi.parallel.ranks import ALONE, Ranks

_MOST_IMAGES = 250
_MOST_PIXELS = 1 << 20
"""In one batch: activations of a large image's first layers would else need more memory than training does."""

_MOST_VALUES_OF_WINDOWS = 1 << 20
"""In one batch of a cube's windows, all bands counted: networks along the spectrum keep many values for each."""


@torch.no_grad()
def predict_logits(
    network: nn.Module,
    images: Images,
    bands: Bands,
    indices: NDArray[np.int64] | None = None,
    resample: str = "bilinear",
    batch_size: int | None = None,
    ranks: Ranks = ALONE,
) -> NDArray[np.float32]:
    """A network's logits, or whatever else it returns a row of for each image.

    Args:
        network: in any mode, which is restored; on any device.
        images: `(M, C, H, W)`, as stored.
        bands: fitted on the training split.
        indices: `(N,)`, which of the images; all by default.
        resample: how coarser bands are brought to the finest grid.
        batch_size: images at once; the result does not depend on it. Default: 250, and less where images are large.
        ranks: divide the batches among them; each gets all rows, the same bits as one rank alone would compute.

    Returns:
        `(N, K)`, float32.
    """
    chosen = np.arange(len(images)) if indices is None else indices
    batch_size = batch_size or _images_at_once(images)
    device = next(network.parameters()).device
    preparation = Preparation(bands, device)
    was_training = [module.training for module in network.modules()]
    network.eval()
    if device.type == "cuda":
        # cuDNN rounds the factors of float32 convolutions to TF32's 10 bits unless told not to.
        torch.backends.cudnn.allow_tf32 = False
    # An array would move to the device as a whole; for a look at some of its images that is too much.
    stored = images[chosen] if isinstance(images, np.ndarray) and len(chosen) < len(images) else images
    positions = np.arange(len(chosen)) if stored is not images else chosen
    batches = [positions[start : start + batch_size] for start in range(0, len(positions), batch_size)]
    # Whole batches, and every rank at least one: how samples are put together changes the rounding.
    own = range(ranks.rank, len(batches), ranks.size) or range(len(batches) - 1, len(batches))
    result: NDArray[np.float32] | None = None
    read = read_batches(stored, reader(stored, device, resample), [batches[number] for number in own])
    for number, values in zip(own, read, strict=True):
        logits = network(preparation.normalise(values))
        # One array for all: small results kept between large temporary arrays would break the memory into pieces.
        if result is None:
            result = np.zeros((len(chosen), logits.shape[1]), dtype=np.float32)
        if number % ranks.size == ranks.rank:
            result[number * batch_size : number * batch_size + len(batches[number])] = logits.cpu().numpy()
    for module, training in zip(network.modules(), was_training, strict=True):
        module.training = training
    assert result is not None, "there are no images"
    ranks.merge_rows(result)
    return result


def _images_at_once(images: Images) -> int:
    bands, height, width = (int(length) for length in images.shape[1:])
    most = min(_MOST_IMAGES, _MOST_PIXELS // (height * width))
    if isinstance(images, CubeWindows):
        most = min(most, _MOST_VALUES_OF_WINDOWS // (bands * height * width))
    return max(1, most)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of classes that exclude each other, `(N, K)`."""
    return torch.from_numpy(logits).softmax(dim=1).numpy()


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of labels that do not exclude each other, `(N, K)`."""
    return torch.from_numpy(logits).sigmoid().numpy()
