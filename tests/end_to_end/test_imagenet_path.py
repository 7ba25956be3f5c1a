"""ImageNet from pictures to the report: real pictures, packed, trained on for a moment, and scored."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

import konvoi
from konvoi.console.results import print_result
from konvoi.data.pack import pack
from konvoi.data.sources.imagenet import open_imagenet
from konvoi.experiment import evaluate
from konvoi.predict.images import predict_images
from konvoi.recipe import parse_recipe

CLASSES = 24

RECIPE = """
name: imagenet-path
source: {{kind: store, bands: [red, green, blue]{hierarchy}}}
split: {{validation: 0.25}}
input:
  crop: {{size: 40, scale: [0.3, 1.0], sizes: [{{epoch: 0, size: 24}}, {{epoch: 1, size: 32}}, {{epoch: 2, size: 40}}]}}
  augment: {{flip: true}}
network:
  kind: cnn
  blocks:
    - {{maps: 12, kernel: 5, stride: 2, norm: batch}}
    - {{maps: 24, norm: batch, pool: max}}
    - {{maps: 48, norm: batch}}
  global_pool: average
loss: {{label_smoothing: 0.1}}
optim: {{kind: sgd, lr: 0.1, momentum: 0.9, nesterov: true}}
schedule: {{kind: cosine, warmup_epochs: 1}}
budget: {{epochs: 6, batch: 32, keep: last}}
compute: {{precision: float32, device: cpu}}
"""


@pytest.fixture(scope="module")
def pictures(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each of 24 classes the one real picture there is, four changed ones in train/, the picture itself in val/."""
    root = tmp_path_factory.mktemp("imagenet")
    (root / "val").mkdir()
    truth = ["ImageId,PredictionString"]
    with tarfile.open(next((shared_data / "imagenet").glob("*.tar"))) as archive:
        members = sorted((member for member in archive if member.isfile()), key=lambda member: member.name)
        for number, member in enumerate(members[:: len(members) // CLASSES][:CLASSES], start=1):
            file = archive.extractfile(member)
            assert file is not None
            content = file.read()
            synset = Path(member.name).name[:9]
            (root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG").write_bytes(content)
            truth.append(f"ILSVRC2012_val_{number:08d},{synset} 1 1 2 2")
            picture = Image.open(io.BytesIO(content)).convert("RGB")
            (root / "train" / synset).mkdir(parents=True)
            for version in range(4):
                changed = ImageEnhance.Brightness(picture).enhance(0.7 + 0.15 * version)
                changed = changed.crop((5 * version, 0, picture.width, picture.height - 3 * version))
                changed.save(root / "train" / synset / f"{synset}_{version}.JPEG", quality=90)
    (root / "LOC_val_solution.csv").write_text("\n".join(truth))
    return root


@pytest.fixture(scope="module")
def store(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "store"
    # The pictures of val/ are copies of none in train/: those were changed.
    assert len(pack(open_imagenet(pictures, 64), folder)) == 5 * CLASSES
    return folder


def tree_of(store: Path, folder: Path) -> Path:
    """A made tree over the real synsets: the first half are animals, and of these the first four birds."""
    synsets = sorted(path.split()[0] for path in konvoi_classes(store))
    edges = [("n90000001", "n90000002"), *(("n90000001", synset) for synset in synsets[4:12])]
    edges += [("n90000002", synset) for synset in synsets[:4]]
    folder.mkdir()
    (folder / "wordnet.is_a.txt").write_text("".join(f"{parent} {child}\n" for parent, child in edges))
    (folder / "words.txt").write_text("n90000001\tanimal, beast\nn90000002\tbird\n")
    return folder


def konvoi_classes(store: Path) -> tuple[str, ...]:
    from konvoi.data.store import Store

    return Store(store).manifest.class_names


def test_from_pictures_to_the_report(
    pictures: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hierarchy = tree_of(store, tmp_path / "wordnet")
    recipe = parse_recipe(RECIPE.format(hierarchy=f", hierarchy: {hierarchy}"), "here")
    run = konvoi.train(recipe, data_dir=store, run_dir=tmp_path / "run")
    evaluation = run.evaluation
    assert evaluation is not None
    assert evaluation.test is not None
    assert evaluation.test.samples == CLASSES
    assert evaluation.test.accuracy <= evaluation.test.top5 <= 1
    # Guessing would find 5 of 24 classes among five; the pictures are the training pictures without their changes.
    assert evaluation.test.top5 > 0.3
    assert run.facts.data.image_shape == (3, 40, 40)
    assert [entry.name for entry in evaluation.categories] == ["animal", "bird"]
    assert [(entry.classes, entry.samples) for entry in evaluation.categories] == [(12, 12), (4, 4)]
    capsys.readouterr()
    print_result(run, per_class=True)
    shown = capsys.readouterr().out
    assert "top-5" in shown
    assert "animal" in shown
    page = run.report_path.read_text()
    assert "top-5 accuracy, test" in page
    assert "By category" in page

    # What was validated is what is predicted from the files themselves.
    files = sorted((pictures / "val").iterdir())
    found = predict_images(run, files).probabilities
    expected = run.predictions("test").probabilities
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
    assert np.abs(found - expected).mean() < 0.01


def test_without_a_tree_one_line_says_so_and_a_run_is_repeated_bit_for_bit(store: Path, tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE.format(hierarchy=""), "here")
    whole = konvoi.train(recipe, data_dir=store, run_dir=tmp_path / "whole")
    assert whole.evaluation is not None
    assert whole.evaluation.categories == ()
    assert whole.evaluation.hierarchy.startswith("No scores by category: ")
    assert "No scores by category: " in whole.report_path.read_text()
    again = konvoi.train(recipe, data_dir=store, run_dir=tmp_path / "again", evaluate_test=False)
    one, other = (run.network().state_dict() for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert evaluate(again, data_dir=store).test == whole.evaluation.test
