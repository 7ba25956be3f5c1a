"""ImageNet's layouts: what is found, under which class, and with which pixels."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from konvoi.data.pack import pack
from konvoi.data.sources.imagenet import ImageNetSource, open_imagenet
from konvoi.data.sources.patch_sources import PatchOptions, open_patches
from konvoi.errors import DataError

COLOURS = {"n00000020": (200, 30, 30), "n00000003": (30, 160, 60), "n00000100": (40, 60, 220)}
"""Three classes, each with pictures of one colour; their numbers in the development kit are 1, 2 and 3."""

SORTED = sorted(COLOURS)
VALIDATION = ["n00000100", "n00000003", "n00000020", "n00000003", "n00000100"]


def picture(colour: tuple[int, ...], size: tuple[int, int] = (40, 30), mode: str = "RGB", kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image = Image.new("RGB", size, colour)
    # A gradient along each side, so that no two pictures are the same and no crop looks like another.
    ramp = np.asarray(image).astype(np.int16) + np.arange(size[0])[None, :, None] - np.arange(size[1])[:, None, None]
    Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).convert(mode).save(file, kind, quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ in folders, val/ flat, and the development kit's list with its table."""
    root = tmp_path_factory.mktemp("ilsvrc")
    for synset, colour in COLOURS.items():
        (root / "train" / synset).mkdir(parents=True)
        for number in range(4):
            path = root / "train" / synset / f"{synset}_{number * 7}.JPEG"
            path.write_bytes(picture(colour, (40 + 4 * number, 30 + number)))
    (root / "val").mkdir()
    for number, synset in enumerate(VALIDATION, start=1):
        path = root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG"
        path.write_bytes(picture(COLOURS[synset], (48 + number, 36)))
    kit = root / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    numbers = {synset: number for number, synset in enumerate(COLOURS, start=1)}
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text(
        "".join(f"{numbers[synset]}\n" for synset in VALIDATION)
    )
    write_meta(kit / "meta.mat")
    return root


def write_meta(path: Path) -> None:
    rows = [(number, synset, f"thing {number}, object", []) for number, synset in enumerate(COLOURS, start=1)]
    rows.append((4, "n00000001", "everything", [1, 2, 3]))
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("children", "O")]
    savemat(path, {"synsets": np.array([tuple(row) for row in rows], dtype=fields)})


def pixels_of(source: ImageNetSource) -> dict[str, tuple[bytes, tuple[str, ...], str]]:
    read = {name: source.read(name) for name in source.names}
    return {
        name: (patch.arrays["rgb"].tobytes(), patch.labels, source.parts.get(name, "")) for name, patch in read.items()
    }


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


class TestLayouts:
    def test_folders_with_the_development_kit(self, folders: Path) -> None:
        source = open_imagenet(folders, 32)
        assert source.class_names == ("n00000003 thing 2", "n00000020 thing 1", "n00000100 thing 3")
        assert list(source.names) == sorted(source.names)
        assert len(source.names) == 17
        for number, synset in enumerate(VALIDATION, start=1):
            name = f"ILSVRC2012_val_{number:08d}"
            assert source.read(name).labels == (source.class_names[SORTED.index(synset)],)
            assert source.parts[name] == "test"
        assert source.read("n00000020_14").labels == ("n00000020 thing 1",)
        assert source.parts["n00000020_14"] == "train"

    def test_tar_files_say_the_same_as_folders(self, folders: Path, tmp_path: Path) -> None:
        (tmp_path / "train").mkdir()
        for synset in COLOURS:
            files = {path.name: path.read_bytes() for path in sorted((folders / "train" / synset).iterdir())}
            tar_of(tmp_path / "train" / f"{synset}.tar", files)
        shutil.copytree(folders / "val", tmp_path / "val")
        shutil.copytree(folders / "ILSVRC2012_devkit_t12", tmp_path / "ILSVRC2012_devkit_t12")
        assert pixels_of(open_imagenet(tmp_path, 32)) == pixels_of(open_imagenet(folders, 32))

    def test_tar_files_inside_a_tar_file_too(self, folders: Path, tmp_path: Path) -> None:
        inner = {}
        for synset in COLOURS:
            files = {path.name: path.read_bytes() for path in sorted((folders / "train" / synset).iterdir())}
            inner[f"{synset}.tar"] = tar_of(tmp_path / "inner.tar", files).read_bytes()
        (tmp_path / "inner.tar").unlink()
        tar_of(tmp_path / "ILSVRC2012_img_train.tar", inner)
        validation = {path.name: path.read_bytes() for path in sorted((folders / "val").iterdir())}
        tar_of(tmp_path / "ILSVRC2012_img_val.tar", validation)
        shutil.copytree(folders / "ILSVRC2012_devkit_t12", tmp_path / "ILSVRC2012_devkit_t12")
        assert pixels_of(open_imagenet(tmp_path, 32)) == pixels_of(open_imagenet(folders, 32))

    @pytest.mark.parametrize("kind", ["kaggle", "folders", "ranks"])
    def test_validation_pictures_labelled_in_another_way(self, folders: Path, tmp_path: Path, kind: str) -> None:
        base = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" if kind == "kaggle" else tmp_path
        shutil.copytree(folders / "train", base / "train")
        shutil.copytree(folders / "val", base / "val")
        names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, 6)]
        if kind == "kaggle":
            lines = [f"{name},{synset} 1 2 3 4 " for name, synset in zip(names, VALIDATION, strict=True)]
            (tmp_path / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]))
            (tmp_path / "LOC_synset_mapping.txt").write_text("n00000003 thing 2, x\nn00000020 thing 1\n")
        elif kind == "ranks":
            lines = [f"{name}.JPEG {SORTED.index(synset)}" for name, synset in zip(names, VALIDATION, strict=True)]
            (tmp_path / "val.txt").write_text("\n".join(lines))
        else:
            for name, synset in zip(names, VALIDATION, strict=True):
                (base / "val" / synset).mkdir(exist_ok=True)
                (base / "val" / f"{name}.JPEG").rename(base / "val" / synset / f"{name}.JPEG")
        source = open_imagenet(tmp_path, 32)
        found = [source.read(name).labels[0][:9] for name in names]
        assert found == VALIDATION
        if kind == "kaggle":
            assert source.class_names == ("n00000003 thing 2", "n00000020 thing 1", "n00000100")

    def test_without_a_table_it_is_said_what_is_missing(self, folders: Path, tmp_path: Path) -> None:
        shutil.copytree(folders / "train", tmp_path / "train")
        shutil.copytree(folders / "val", tmp_path / "val")
        with pytest.raises(DataError, match="5 pictures whose synsets are not known"):
            open_imagenet(tmp_path)
        kit = folders / "ILSVRC2012_devkit_t12" / "data"
        shutil.copy(kit / "ILSVRC2012_validation_ground_truth.txt", tmp_path)
        with pytest.raises(DataError, match=r"meta\.mat"):
            open_imagenet(tmp_path)
        found = open_imagenet(tmp_path, 32, kit / "ILSVRC2012_validation_ground_truth.txt")
        assert pixels_of(found) == pixels_of(open_imagenet(folders, 32))

    def test_a_class_that_only_validation_has(self, folders: Path, tmp_path: Path) -> None:
        shutil.copytree(folders / "train", tmp_path / "train")
        (tmp_path / "val" / "n00000777").mkdir(parents=True)
        (tmp_path / "val" / "n00000777" / "a.JPEG").write_bytes(picture((1, 2, 3)))
        with pytest.raises(DataError, match="pictures of n00000777"):
            open_imagenet(tmp_path)

    def test_a_compressed_tar_file(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "pictures.tar", "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("n00000003_1.JPEG"))
        with pytest.raises(DataError, match="Unpack it first"):
            open_imagenet(tmp_path / "pictures.tar")

    def test_the_layout_is_recognised(self, folders: Path) -> None:
        assert open_patches(folders, None, PatchOptions(size=32)).kind == "imagenet"
        with pytest.raises(DataError, match="--bands"):
            open_patches(folders, None, PatchOptions(bands=("a",)))


class TestPixels:
    def test_training_pictures_are_whole_and_validation_pictures_are_cut(self, folders: Path) -> None:
        source = open_imagenet(folders, 20)
        patch = source.read("n00000020_21")
        original = Image.open(folders / "train" / "n00000020" / "n00000020_21.JPEG")
        expected = np.asarray(original.resize((20, 20), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        np.testing.assert_array_equal(patch.arrays["rgb"], expected)
        assert patch.aspect == original.width / original.height == 52 / 33

        # The customary way: the short side to 18 pixels, then what is in the middle.
        patch = open_imagenet(folders, 18).read("ILSVRC2012_val_00000004")
        original = Image.open(folders / "val" / "ILSVRC2012_val_00000004.JPEG")
        assert original.size == (52, 36)
        square = original.resize((26, 18), Image.Resampling.BILINEAR).crop((4, 0, 22, 18))
        np.testing.assert_array_equal(patch.arrays["rgb"], np.asarray(square).transpose(2, 0, 1))
        assert patch.aspect == 1

    @pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG")])
    def test_modes_and_formats_of_all_kinds(self, tmp_path: Path, mode: str, kind: str) -> None:
        for synset in ("n00000001", "n00000002"):
            (tmp_path / synset).mkdir()
        (tmp_path / "n00000001" / "a.JPEG").write_bytes(picture((230, 230, 230), mode=mode, kind=kind))
        (tmp_path / "n00000002" / "b.JPEG").write_bytes(picture((230, 230, 230)))
        source = open_imagenet(tmp_path, 30)
        found, expected = (source.read(name).arrays["rgb"].astype(int) for name in ("a", "b"))
        assert np.abs(found - expected).max() <= 6

    def test_cmyk_as_adobe_writes_it_is_inverted(self, tmp_path: Path) -> None:
        content = picture((255, 255, 255), mode="CMYK")
        # The file itself: Adobe's marker, and samples in which 255 is no ink.
        assert b"Adobe" in content
        assert struct.unpack(">B", content[content.index(b"Adobe") + 11 :][:1])[0] in (0, 2)
        for synset in ("n00000001", "n00000002"):
            (tmp_path / synset).mkdir()
        (tmp_path / "n00000001" / "a.JPEG").write_bytes(content)
        (tmp_path / "n00000002" / "b.JPEG").write_bytes(picture((0, 0, 0), (30, 30), mode="CMYK"))
        source = open_imagenet(tmp_path, 8)
        assert source.read("a").arrays["rgb"].min() >= 215
        assert source.read("b").arrays["rgb"].max() <= 45

    def test_large_pictures_are_decoded_at_a_fraction_and_look_the_same(self, tmp_path: Path) -> None:
        stream = np.random.default_rng(0)
        smooth = Image.fromarray(stream.integers(0, 256, (40, 50, 3), dtype=np.uint8)).resize((1000, 800), 3)
        for synset in ("n00000001", "n00000002"):
            (tmp_path / synset).mkdir()
            smooth.save(tmp_path / synset / f"{synset}.JPEG", quality=95)
        found = open_imagenet(tmp_path, 64).read("n00000001").arrays["rgb"].astype(int)
        whole = Image.open(tmp_path / "n00000001" / "n00000001.JPEG").convert("RGB")
        expected = np.asarray(whole.resize((64, 64), Image.Resampling.BILINEAR)).transpose(2, 0, 1).astype(int)
        assert np.abs(found - expected).mean() < 1.5


def test_damaged_pictures_are_named_and_skipped(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "train", tmp_path / "train")
    broken = tmp_path / "train" / "n00000003" / "n00000003_7.JPEG"
    broken.write_bytes(broken.read_bytes()[:300])
    (tmp_path / "train" / "n00000020" / "n00000020_7.JPEG").write_text("no picture")
    with pytest.raises(DataError, match="2 of 12 patches cannot be used") as refused:
        pack(open_imagenet(tmp_path, 16), tmp_path / "store")
    assert "n00000003_7.JPEG" in str(refused.value)
    assert "n00000020_7.JPEG" in str(refused.value)
    store = pack(open_imagenet(tmp_path, 16), tmp_path / "store", unreadable="skip")
    assert len(store) == 10
    assert [problem.where for problem in store.manifest.problems] == ["n00000003_7", "n00000020_7"]
    assert store.class_counts().tolist() == [3, 3, 4]
    assert store.column("labels").tolist() == [0] * 3 + [1] * 3 + [2] * 4
    assert store.column("aspects")[0] == pytest.approx(40 / 30)


def test_a_tar_file_that_was_cut_off(folders: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in sorted((folders / "train").rglob("*.JPEG"))}
    path = tar_of(tmp_path / "all.tar", files)
    last = path.read_bytes().rindex(b"n00000100_7.JPEG")
    with path.open("r+b") as file:
        file.truncate(last + 700)
    source = open_imagenet(path, 16)
    assert len(source.names) == 11
    assert [problem.where for problem in source.problems] == [f"{path}/n00000100_7.JPEG"]


def test_listing_costs_little(tmp_path: Path) -> None:
    files = {f"n{number % 10:08d}_{number}.JPEG": b"" for number in range(20_000)}
    source = pickle.loads(pickle.dumps(open_imagenet(tar_of(tmp_path / "many.tar", files))))
    assert len(source.names) == 20_000
    assert len(pickle.dumps(source)) < 20_000 * 60
    assert source.names[1234] == sorted(name.removesuffix(".JPEG") for name in files)[1234]
    assert source.names.position("n00000003_13") == source.names[:].index("n00000003_13")
    assert source.names.position("n00000003_14") == -1


def test_the_1000_real_pictures(shared_data: Path) -> None:
    source = open_imagenet(next((shared_data / "imagenet").glob("*.tar")), 64)
    assert len(source.class_names) == len(source.names) == 1000
    assert source.class_names[0] == "n01440764 tench"
    assert source.class_names[207] == "n02099601 golden retriever"
    assert list(source.class_names) == sorted(source.class_names)
    assert not source.problems
    patches = [source.read(name) for name in source.names[::25]]
    assert [patch.labels[0] for patch in patches] == list(source.class_names[::25])
    assert all(patch.arrays["rgb"].shape == (3, 64, 64) for patch in patches)
    assert max(patch.aspect for patch in patches) > 1.2 > 0.8 > min(patch.aspect for patch in patches)
