"""Pillow, image by image: decode, random resized crop, flip, float, normalise, stack; as torchvision's transforms do.

    python benchmarks/peers/pillow_transforms.py FOLDER [--batch 250]

Prints one JSON line with images a second of processor time, one thread, after an unmeasured pass. The order of the work
and its kinds are those of torchvision's transforms on Pillow images (RandomResizedCrop of 224 pixels, bilinear;
RandomHorizontalFlip; ToTensor; Normalize) in a data loader without worker processes; the lines are our own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIZE = 224
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def random_box(width: int, height: int) -> tuple[int, int, int, int]:
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = random.randint(0, width - wide), random.randint(0, height - tall)
            return left, top, left + wide, top + tall
    wide, tall = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


def sample(path: Path) -> torch.Tensor:
    with path.open("rb") as file:
        picture = Image.open(file).convert("RGB")
    picture = picture.crop(random_box(*picture.size)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    return values.sub_(MEAN).div_(DEVIATION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, default=250)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    paths = sorted(arguments.folder.rglob("*.JPEG"))
    random.shuffle(paths)
    seconds = 0.0
    for _ in range(2):
        started = time.process_time()
        for start in range(0, len(paths), arguments.batch):
            torch.stack([sample(path) for path in paths[start : start + arguments.batch]])
        seconds = time.process_time() - started
    print(json.dumps({"rate": len(paths) / seconds}))


if __name__ == "__main__":
    main()
