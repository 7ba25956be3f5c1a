"""A rectangle of each image of a batch, brought to one size: bilinearly, with antialiasing, by two ways of one filter.

The filter is a triangle over the output's pixels, at least as wide as two of the crop's; where the crop shrinks, it
widens with the step, so that every pixel counts. Nothing outside the crop has a part. It is what Pillow and torchvision
call bilinear with antialiasing.

On a processor, bytes go through PyTorch's kernel for them, an image at a time, and are rounded to bytes after each of
the two passes, as Pillow does. Elsewhere the filter is two matrices an image, and a batch is two products that a GPU is
made for. The two ways differ by a grey level at most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from konvoi.data.crops import Crops


def crop_bytes(images: Sequence[NDArray[np.uint8]], crops: Crops, channels: int) -> Tensor:
    """Crops of bytes on the processor.

    Args:
        images: n of `(C, H, W)`; of a memory map, no more than the crop is read.
        crops: of the n images.
        channels: C; there may be no image that says it.

    Returns:
        `(n, C, size, size)` uint8.
    """
    result = torch.empty((len(images), channels, crops.size, crops.size), dtype=torch.uint8)
    places = zip(images, crops.boxes.tolist(), crops.mirrored.tolist(), strict=True)
    for number, (image, (top, left, height, width), mirrored) in enumerate(places):
        part = image[:, top : top + height, left : left + width]
        # The filter is symmetric, so that an image may as well be mirrored before it.
        part = np.array(part[:, :, ::-1] if mirrored else part, order="C")
        if (height, width) == (crops.size, crops.size):
            result[number] = torch.from_numpy(part)
            continue
        result[number] = torch.nn.functional.interpolate(
            torch.from_numpy(part)[None], (crops.size, crops.size), mode="bilinear", antialias=True
        )[0]
    return result


def crop_each(images: Tensor, crops: Crops) -> Tensor:
    """Crops of images of any type, on their device.

    Args:
        images: `(n, C, H, W)`, floating point.
        crops: of n images.

    Returns:
        `(n, C, size, size)`, of the images' type.
    """
    height, width = images.shape[2:]
    boxes = torch.from_numpy(crops.boxes).to(images.device, images.dtype)
    rows = _filter(boxes[:, 0], boxes[:, 2], height, crops.size)
    columns = _filter(boxes[:, 1], boxes[:, 3], width, crops.size)
    mirrored = torch.from_numpy(crops.mirrored).to(images.device)
    columns = torch.where(mirrored.view(-1, 1, 1), columns.flip(1), columns)
    return torch.matmul(torch.matmul(rows[:, None], images), columns[:, None].transpose(2, 3))


def _filter(start: Tensor, length: Tensor, inputs: int, outputs: int) -> Tensor:
    """Weights `(n, outputs, inputs)` of `length` pixels from `start` on, for each output; rows sum to 1."""
    step = (length / outputs).view(-1, 1, 1)
    width = step.clamp(min=1)
    centres = (torch.arange(outputs, device=start.device, dtype=start.dtype).view(1, -1, 1) + 0.5) * step
    pixels = torch.arange(inputs, device=start.device, dtype=start.dtype).view(1, 1, -1) - start.view(-1, 1, 1)
    weights = (1 - ((pixels + 0.5 - centres) / width).abs()).clamp(min=0)
    weights = weights * ((pixels >= 0) & (pixels < length.view(-1, 1, 1)))
    return weights / weights.sum(dim=2, keepdim=True)
