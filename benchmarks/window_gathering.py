"""Milliseconds to gather a batch of windows from a cube, in the ways that NumPy and PyTorch offer.

    python benchmarks/window_gathering.py

64 windows of 9 × 9 pixels and 224 bands, int16, from made-up scenes of SalinasA's and of Pavia University's size, to
float32 on one core. All ways give the same values. The first is Konvoi's: pixels by index from the cube itself, all
bands of a pixel side by side, reflected at the border by index. The others need a copy of the cube with a border.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from konvoi.data.windows import CubeWindows

BATCH, WINDOW, BANDS = 64, 9, 224
SCENES = {"83 × 86": (83, 86), "610 × 340": (610, 340)}
ROUNDS, BATCHES = 5, 40

Gather = Callable[[NDArray[np.int64]], torch.Tensor]


def ways(cube: NDArray[np.int16]) -> dict[str, Gather]:
    """Functions of pixels `(n, 2)` that give windows `(n, bands, 9, 9)`; the cube is `(rows, columns, bands)`."""
    radius = WINDOW // 2
    height, width, bands = cube.shape
    everything = np.argwhere(np.ones((height, width), dtype=bool)).astype(np.int64)
    windows = CubeWindows(np.moveaxis(cube, -1, 0), everything, WINDOW)
    padded = np.pad(cube, ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    wide = padded.shape[1]
    bands_first = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)))
    unfolded = bands_first.unfold(1, WINDOW, 1).unfold(2, WINDOW, 1)
    flat = torch.from_numpy(padded)
    overlapping = flat.as_strided((height * wide - 2 * radius, WINDOW, WINDOW * bands), (bands, wide * bands, 1))
    views = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW, WINDOW), axis=(0, 1))
    target = torch.empty((BATCH * WINDOW * WINDOW, bands))
    offsets = torch.arange(WINDOW)

    def by_index(pixels: NDArray[np.int64]) -> torch.Tensor:
        return windows.gather(pixels[:, 0] * width + pixels[:, 1], torch.device("cpu"))

    def by_slices(pixels: NDArray[np.int64]) -> torch.Tensor:
        batch = np.empty((len(pixels), WINDOW, WINDOW, bands), dtype=np.float32)
        for number, (row, column) in enumerate(pixels.tolist()):
            batch[number] = padded[row : row + WINDOW, column : column + WINDOW]
        return torch.from_numpy(batch).permute(0, 3, 1, 2)

    def by_numpy_views(pixels: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(views[pixels[:, 0], pixels[:, 1]]).float()

    def by_unfold(pixels: NDArray[np.int64]) -> torch.Tensor:
        rows, columns = torch.from_numpy(pixels).unbind(1)
        return unfolded[:, rows, columns].transpose(0, 1).float().contiguous(memory_format=torch.channels_last)

    def by_overlapping_rows(pixels: NDArray[np.int64]) -> torch.Tensor:
        places = torch.from_numpy(pixels[:, 0] * wide + pixels[:, 1])
        return overlapping.index_select(0, places).float().view(-1, WINDOW, WINDOW, bands).permute(0, 3, 1, 2)

    def by_index_put(pixels: NDArray[np.int64]) -> torch.Tensor:
        rows, columns = (torch.from_numpy(pixels[:, axis])[:, None] + offsets for axis in (0, 1))
        places = (rows[:, :, None] * wide + columns[:, None, :]).flatten()
        target.index_put_((torch.arange(len(places)),), flat.view(-1, bands)[places].float())
        return target.view(-1, WINDOW, WINDOW, bands).permute(0, 3, 1, 2)

    return {
        "Konvoi: index_select of pixels, no copy with a border": by_index,
        "a loop of NumPy slices": by_slices,
        "NumPy's sliding_window_view (as_strided) and indexing": by_numpy_views,
        "torch unfold of bands first, and indexing": by_unfold,
        "torch as_strided, index_select of overlapping windows": by_overlapping_rows,
        "torch indexing and index_put into a kept batch": by_index_put,
    }


def milliseconds(gather: Gather, batches: list[NDArray[np.int64]]) -> float:
    started = time.perf_counter()
    for pixels in batches:
        gather(pixels)
    return (time.perf_counter() - started) / len(batches) * 1000


def main() -> None:
    torch.set_num_threads(1)
    noise = np.random.default_rng(0)
    times: dict[str, dict[str, float]] = {}
    for scene, (height, width) in SCENES.items():
        cube = noise.integers(0, 9000, (height, width, BANDS), dtype=np.int16)
        batches = [noise.integers(0, (height, width), (BATCH, 2)) for _ in range(BATCHES)]
        gathers = ways(cube)
        expected = gathers["a loop of NumPy slices"](batches[0])
        for name, gather in gathers.items():
            assert torch.equal(gather(batches[0]), expected), name
        # Round by round, so that a drift of the machine's speed meets all of them alike.
        rounds = [{name: milliseconds(gather, batches) for name, gather in gathers.items()} for _ in range(ROUNDS)]
        for name in gathers:
            times.setdefault(name, {})[scene] = statistics.median(found[name] for found in rounds)
    print(f"| way | {' | '.join(f'{scene}, ms' for scene in SCENES)} |\n|---|{'--:|' * len(SCENES)}")
    for name, found in times.items():
        print(f"| {name} | {' | '.join(f'{found[scene]:.2f}' for scene in SCENES)} |")


if __name__ == "__main__":
    main()
