"""A score for every pixel of a cube: the network once over the scene, tile by tile, and not window by window.

Each pixel gets the logits that the network gives to the window around it, with borders continued by reflection as in
training (`data.windows`). A network that can runs as a fully convolutional one (`models.fully_convolutional`), any
other one window by window. How large a tile may be follows from a memory budget, so memory does not grow with the
scene: only the logits themselves do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from konvoi.data.bands import Bands
from konvoi.data.batches import Preparation
from konvoi.memory import keep_freed_memory
from konvoi.models.fully_convolutional import NotFullyConvolutional, fully_convolutional

BUDGET_BYTES = 256 << 20
"""For the values between the layers of one tile; beside them stand the program, the cube and the map."""

_WINDOWS_AT_ONCE = 250
_LARGEST_TILE = 512

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DenseLogits:
    """Scores of all pixels.

    Attributes:
        logits: `(K, H, W)` float32.
        how: in words: in which form the network ran, and why.
    """

    logits: NDArray[np.float32]
    how: str


@torch.no_grad()
def dense_logits(
    network: nn.Module,
    cube: NDArray[Any],
    bands: Bands,
    window: int,
    *,
    budget_bytes: int = BUDGET_BYTES,
    by_windows: bool = False,
    progress: Progress | None = None,
) -> DenseLogits:
    """The logits of every pixel's window, in float32.

    Args:
        network: from windows `(N, C, w, w)`, normalised, to logits `(N, K)`; on any device, in any mode, which is
            restored.
        cube: `(C, H, W)`, as stored; a memory map is read tile by tile.
        bands: fitted on the training split.
        window: w, odd.
        budget_bytes: for one tile's values between two layers; a tile is one pixel at least.
        by_windows: run window by window although the network need not, for comparison.
        progress: called with finished pixels and pixels in all.
    """
    keep_freed_memory()
    was_training = [module.training for module in network.modules()]
    network.eval()
    device = next(network.parameters()).device
    if device.type == "cuda":
        # cuDNN rounds the factors of float32 convolutions to TF32's 10 bits unless told not to.
        torch.backends.cudnn.allow_tf32 = False
    try:
        over_tile, side, how = _form(network, window, len(bands), budget_bytes, by_windows)
        logits = _over_tiles(over_tile, cube, Preparation(bands, device), device, window, side, progress)
    finally:
        for module, training in zip(network.modules(), was_training, strict=True):
            module.training = training
    return DenseLogits(logits, how)


def _form(
    network: nn.Module, window: int, bands: int, budget_bytes: int, by_windows: bool
) -> tuple[Callable[[Tensor], Tensor], int, str]:
    """The network for tiles, the side of a tile, and how it runs in words."""
    reason = "as asked for"
    if not by_windows:
        try:
            whole = fully_convolutional(network, (window, window))
            return whole, tile_side(whole, window, bands, budget_bytes), "as a fully convolutional network"
        except NotFullyConvolutional as error:
            reason = str(error)
    # A tile's windows overlap in memory; only a batch of them is ever copied.
    side = int(np.clip((budget_bytes / (8 * bands)) ** 0.5 - window, 1, _LARGEST_TILE))
    return lambda tile: _window_by_window(network, tile, window), side, f"window by window: {reason}"


def runs_window_by_window(network: nn.Module, window: int) -> str | None:
    """Why a network cannot run over a scene as a whole; None where it can."""
    try:
        fully_convolutional(network, (window, window))
    except NotFullyConvolutional as error:
        return str(error)
    return None


def _over_tiles(
    over_tile: Callable[[Tensor], Tensor],
    cube: NDArray[Any],
    preparation: Preparation,
    device: torch.device,
    window: int,
    side: int,
    progress: Progress | None,
) -> NDArray[np.float32]:
    height, width = cube.shape[1:]
    logits: NDArray[np.float32] | None = None
    done = 0
    for rows, columns in tiles(height, width, side):
        stored = with_border(cube, rows, columns, window // 2)
        values = preparation.normalise(torch.from_numpy(stored).to(device)[None])
        found = over_tile(values)[0].cpu().numpy()
        if logits is None:
            logits = np.empty((len(found), height, width), dtype=np.float32)
        logits[:, rows, columns] = found
        done += found[0].size
        if progress:
            progress(done, height * width)
    assert logits is not None, "the cube has no pixels"
    return logits


def _window_by_window(network: nn.Module, tile: Tensor, window: int) -> Tensor:
    """`(1, C, H, W)` to logits `(1, K, H − w + 1, W − w + 1)`."""
    views = tile[0].unfold(1, window, 1).unfold(2, window, 1).permute(1, 2, 0, 3, 4)
    rows, columns = views.shape[:2]
    places = torch.split(torch.arange(rows * columns, device=tile.device), _WINDOWS_AT_ONCE)
    logits = [
        network(views[batch // columns, batch % columns].contiguous(memory_format=torch.channels_last))
        for batch in places
    ]
    return torch.cat(logits).T.reshape(1, -1, rows, columns)


def tile_side(network: nn.Module, window: int, bands: int, budget_bytes: int) -> int:
    """The side of the largest square tile whose values before and after any layer fit into the budget; at least 1.

    Args:
        network: fully convolutional, for `window`.
        window: side of a window.
        bands: of the cube.
        budget_bytes: what they may take, float32.
    """
    hollow = copy.deepcopy(network).to("meta")
    low, high = 1, _LARGEST_TILE
    while low < high:
        middle = (low + high + 1) // 2
        if _bytes_between_layers(hollow, bands, middle + window - 1) <= budget_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def _bytes_between_layers(hollow: nn.Module, bands: int, side: int) -> int:
    values = torch.empty((1, bands, side, side), device="meta")
    most = 0
    for layer in hollow.children():
        after = layer(values)
        in_place = isinstance(layer, nn.ReLU)
        most = max(most, 4 * (after.numel() + (0 if in_place else values.numel())))
        values = after
    return most


def tiles(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of tiles of about the same size, none longer than `side`, that together cover a scene."""
    for rows in _parts(height, side):
        for columns in _parts(width, side):
            yield rows, columns


def _parts(length: int, longest: int) -> list[slice]:
    parts = -(-length // longest)
    return [slice(part * length // parts, (part + 1) * length // parts) for part in range(parts)]


def with_border(cube: NDArray[Any], rows: slice, columns: slice, border: int) -> NDArray[np.float32]:
    """A tile with so many pixels more on each side, `(C, h, w)` float32, reflected where the scene ends.

    As NumPy's `reflect`: the pixels at the edge are not repeated, and a scene narrower than the border is reflected
    several times.
    """
    down = _reflected(rows.start - border, rows.stop + border, cube.shape[1])
    across = _reflected(columns.start - border, columns.stop + border, cube.shape[2])
    # First a block without copies of pixels, which of a memory map is all that is read.
    top, left = int(down.min()), int(across.min())
    block = np.asarray(cube[:, top : int(down.max()) + 1, left : int(across.max()) + 1], dtype=np.float32)
    return np.ascontiguousarray(block[:, (down - top)[:, None], (across - left)[None, :]])


def _reflected(start: int, stop: int, length: int) -> NDArray[np.int64]:
    if length == 1:
        return np.zeros(stop - start, dtype=np.int64)
    period = 2 * (length - 1)
    phase = np.arange(start, stop) % period
    return np.minimum(phase, period - phase)
