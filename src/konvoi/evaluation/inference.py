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
    batch_size: int = 500,
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
    probabilities = []
    for start in range(0, len(chosen), batch_size):
        stored = torch.from_numpy(images[chosen[start : start + batch_size]])
        logits = network(preparation.normalise(stored.to(device).float()))
        probabilities.append(logits.softmax(dim=1).cpu())
    network.train(was_training)
    return np.asarray(torch.cat(probabilities).numpy())
