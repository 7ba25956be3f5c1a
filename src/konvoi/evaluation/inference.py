"""Probabilities of a trained network for stored images.

Always in float32: in bfloat16 many logits round to ties, and the winner of a tie is no result.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from konvoi.data.bands import Bands
from konvoi.data.batches import Preparation


@torch.no_grad()
def predict_probabilities(
    network: nn.Module,
    images: NDArray[np.uint8],
    bands: Bands,
    indices: NDArray[np.int64] | None = None,
    batch_size: int = 250,
) -> NDArray[np.float32]:
    """The softmax of a network's logits.

    Args:
        network: in any mode, which is restored; on any device.
        images: `(M, C, H, W)`, as stored.
        bands: fitted on the training split.
        indices: `(N,)`, which of the images; all by default.
        batch_size: images at once; the result does not depend on it.

    Returns:
        `(N, K)`, float32.
    """
    chosen = np.arange(len(images)) if indices is None else indices
    device = next(network.parameters()).device
    preparation = Preparation(bands, device)
    was_training = network.training
    network.eval()
    if device.type == "cuda":
        # cuDNN rounds the factors of float32 convolutions to TF32's 10 bits unless told not to.
        torch.backends.cudnn.allow_tf32 = False
    probabilities: NDArray[np.float32] | None = None
    for start in range(0, len(chosen), batch_size):
        stored = torch.from_numpy(images[chosen[start : start + batch_size]])
        logits = network(preparation.normalise(stored.to(device).float()))
        # One array for all: small results kept between large temporary arrays would break the memory into pieces.
        if probabilities is None:
            probabilities = np.empty((len(chosen), logits.shape[1]), dtype=np.float32)
        probabilities[start : start + len(stored)] = logits.softmax(dim=1).cpu().numpy()
    network.train(was_training)
    assert probabilities is not None, "there are no images"
    return probabilities
