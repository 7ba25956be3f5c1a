"""ImageNet's pictures, decoded and augmented, a second of one core: from the store, against Pillow image by image.

    python benchmarks/imagenet_decoding.py --pictures imagenet_samples.tar --folder FOLDER

`--pictures` is a folder or a tar file of real JPEGs named by synset. They are measured as they are, and enlarged to
500 × 375 pixels, which is what most pictures of ILSVRC2012 have. The peer (`peers/pillow_transforms.py`) decodes every
picture in every epoch. Konvoi decodes once, when it packs, and crops from the store in every epoch; so what a picture
costs in a training of E epochs is its packing / E + its crop. Both end with the same: random resized crops of 224
pixels, flipped at random, normalised, float32, in batches of 250. Every figure is images a second of processor time of
one thread (`time.process_time`), files in the page cache. Bar: ≥ 1.5 in a training of 16 epochs.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from settings import PEERS, run_json

BATCH = 250
EPOCHS = (1, 16, 90)


def contents(pictures: Path) -> Iterator[tuple[str, bytes]]:
    if pictures.is_dir():
        for path in sorted(pictures.rglob("*.JPEG")):
            yield path.name, path.read_bytes()
        return
    with tarfile.open(pictures) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield Path(member.name).name, file.read()


def write_pictures(pictures: Path, folder: Path) -> dict[str, Path]:
    """The pictures as files, as they are and enlarged."""
    from PIL import Image

    sets = {"as they are": folder / "small", "500 × 375": folder / "usual"}
    if all(path.is_dir() for path in sets.values()):
        return sets
    for path in sets.values():
        path.mkdir(parents=True)
    for name, content in contents(pictures):
        (sets["as they are"] / name).write_bytes(content)
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        size = (500, 375) if picture.width >= picture.height else (375, 500)
        # Enlarged pictures have little fine detail: at this quality a file comes near ILSVRC's 110 kB.
        picture.resize(size, Image.Resampling.BICUBIC).save(sets["500 × 375"] / name, quality=97)
    return sets


def konvoi_rates(pictures: Path, store: Path) -> dict[str, float]:
    """Pictures a second: packed, and read from the store as batches of crops."""
    from dataclasses import replace

    import numpy as np
    import torch

    from konvoi.data.batches import Batches
    from konvoi.data.cropped import CroppedImages
    from konvoi.data.images import statistics as statistics_of
    from konvoi.data.pack import pack
    from konvoi.data.sources.imagenet import open_imagenet
    from konvoi.data.store import read_store
    from konvoi.memory import keep_freed_memory
    from konvoi.recipe.crop import CropSection
    from konvoi.recipe.input import AugmentSection
    from konvoi.recipe.source import StoreSource

    torch.set_num_threads(1)
    keep_freed_memory()
    packing = 0.0
    for _ in range(2):
        shutil.rmtree(store, ignore_errors=True)
        started = time.process_time()
        count = len(pack(open_imagenet(pictures), store, workers=1, unreadable="skip"))
        packing = time.process_time() - started
    dataset = read_store(StoreSource(kind="store", folder=str(store)))
    everything = np.arange(len(dataset))
    bands = dataset.bands.fitted("standard", *statistics_of(dataset.images, everything))
    cropped = replace(dataset, images=CroppedImages(dataset.images, CropSection(), dataset.aspects))  # type: ignore[arg-type]
    batches = Batches(cropped, everything, bands, BATCH, 0, AugmentSection(flip=True))
    reading = 0.0
    for epoch in range(3):
        started = time.process_time()
        seen = sum(len(batch.images) for step in batches.epoch(epoch) for batch in step)
        reading = time.process_time() - started
    return {"packing": count / packing, "store": seen / reading}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="a folder or tar file of JPEGs named by synset")
    parser.add_argument("--folder", type=Path, required=True, help="for pictures and stores; half a gigabyte")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(konvoi_rates(arguments.side, arguments.folder / "store")))
        return
    sets = write_pictures(arguments.pictures, arguments.folder)
    print("| pictures | | images/s, one core | ratio, each round | median | bar |")
    print("|---|---|--:|---|--:|--:|")
    for name, folder in sets.items():
        ours: list[dict[str, float]] = []
        theirs: list[float] = []
        for _ in range(arguments.rounds):
            command = [sys.executable, __file__, "--folder", str(arguments.folder), "--side", str(folder)]
            ours.append(run_json(command))
            peer = [sys.executable, str(PEERS / "pillow_transforms.py"), str(folder), "--batch", str(BATCH)]
            theirs.append(run_json(peer)["rate"])
        files = [path.stat().st_size for path in folder.iterdir()]
        shown = f"{name}, {statistics.mean(files) / 1000:.0f} kB"
        print(f"| {shown} | Pillow, image by image | {statistics.median(theirs):,.0f} | | | |")
        packed = statistics.median(rate["packing"] for rate in ours)
        print(f"| {shown} | `konvoi data pack`, once | {packed:,.0f} | | | |")
        for label, epochs in (
            ("an epoch from the store", None),
            *((f"{e} epoch{'' if e == 1 else 's'}, packing included", e) for e in EPOCHS),
        ):
            rates = [1 / (1 / rate["store"] + (1 / rate["packing"] / epochs if epochs else 0)) for rate in ours]
            ratios = [own / other for own, other in zip(rates, theirs, strict=True)]
            bar = "≥ 1.5" if epochs == 16 else ""
            print(
                f"| {shown} | {label} | {statistics.median(rates):,.0f} | "
                f"{', '.join(f'{ratio:.2f}' for ratio in ratios)} | {statistics.median(ratios):.2f} | {bar} |"
            )
    shutil.rmtree(arguments.folder / "store", ignore_errors=True)


if __name__ == "__main__":
    main()
