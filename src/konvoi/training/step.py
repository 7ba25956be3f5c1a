"""One training step, as one explains it on a board: forward, loss, backward, update. What calls it is in `loop`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from konvoi.data.batches import Batch
from konvoi.training.losses import Loss
from konvoi.training.precision import Precision


def train_step(
    network: Callable[[Tensor], Tensor],
    micro_batches: Sequence[Batch],
    loss_of: Loss,
    optimiser: torch.optim.Optimizer,
    precision: Precision,
    scaler: torch.amp.GradScaler,
    clip_norm: float | None = None,
    ranks: int = 1,
    exchange: Callable[[bool], AbstractContextManager[object]] = nullcontext,
) -> tuple[Tensor, Tensor]:
    """Forward, loss, backward for each micro-batch; then one step.

    Returns:
        This rank's part of the batch's mean loss, and its number of correct predictions, both on the device; where a
        sample has several labels, each right decision over one of K labels counts 1/K. Their sums over ranks are those
        of the whole batch.
    """
    optimiser.zero_grad()
    losses, correct = [], []
    for batch in micro_batches:
        # Gradients are added up, and travel between ranks with the last micro-batch alone.
        with exchange(batch is micro_batches[-1]):
            with precision.autocast(batch.images.device):
                logits = network(batch.images)
            # Every sample of the step weighs alike, however unevenly they lie on ranks and micro-batches.
            loss = loss_of(logits.float(), batch.labels) * batch.share
            # The exchange takes the mean over ranks; the step needs the sum of their parts.
            scaler.scale(loss * ranks).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        correct.append(count_correct(logits.detach(), batch.labels))
    if clip_norm is not None:
        scaler.unscale_(optimiser)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimiser)
    scaler.update()
    return torch.stack(losses).sum(), torch.stack(correct).sum()


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Correct predictions: the largest logit is the label's; or, of K labels, the sign says whether each is there."""
    if labels.dim() == 1:
        return (logits.argmax(dim=1) == labels).sum()
    return ((logits > 0) == (labels > 0)).float().mean(dim=1).sum()


def set_training_mode(network: nn.Module) -> None:
    """Training mode, but for layers whose parameters are all frozen: their normalisation keeps its statistics."""
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()
