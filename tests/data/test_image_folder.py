"""Folders of images and the images in them, with pixels worked out by hand."""

from __future__ import annotations

import struct
import tarfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from konvoi.data.bands import GREY, RGB
from konvoi.data.sources.image_file import read_image
from konvoi.data.sources.image_folder import read_image_folder
from konvoi.data.split import make_split
from konvoi.errors import DataError
from konvoi.recipe.source import ImageFolderSource
from konvoi.recipe.split import SplitSection

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [10, 20, 30]]], np.uint8)
# 0.299 red + 0.587 green + 0.114 blue, rounded: 76.2, 149.7, 29.1; 0, 255; 2.99 + 11.74 + 3.42 = 18.15
LUMA = [[76, 150, 29], [0, 255, 18]]


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def picture(path: Path, value: int = 0, size: tuple[int, int] = (4, 5)) -> Path:
    """A grey image of one value, `size` being height and width."""
    return save(path, Image.new("L", (size[1], size[0]), value))


def source(**settings: object) -> ImageFolderSource:
    return ImageFolderSource.model_validate({"kind": "image-folder", "size": (4, 5), "channels": "grey"} | settings)


# ---- one image --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "ppm", "tif", "bmp"])
def test_colour_keeps_its_values_and_becomes_luma(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"colours.{suffix}", Image.fromarray(COLOURS))
    colour = read_image(path, "rgb", (2, 3))
    assert colour.dtype == np.uint8
    assert colour.shape == (3, 2, 3)
    assert colour.flags.c_contiguous
    np.testing.assert_array_equal(colour, COLOURS.transpose(2, 0, 1))
    assert read_image(path, "grey", (2, 3)).tolist() == [LUMA]


def test_grey_is_repeated_for_colour(tmp_path: Path) -> None:
    path = save(tmp_path / "grey.pgm", Image.fromarray(np.array([[3, 200]], np.uint8)))
    assert read_image(path, "rgb", (1, 2)).tolist() == [[[3, 200]]] * 3


def test_one_bit_images_become_black_and_white(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", Image.fromarray(np.array([[True, False]])))
    assert read_image(path, "grey", (1, 2)).tolist() == [[[255, 0]]]


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 100, 50, 1, 2, 3])
    image.putdata([1, 0])
    path = save(tmp_path / "palette.png", image, transparency=0)
    assert read_image(path, "rgb", (1, 2)).tolist() == [[[1, 200]], [[2, 100]], [[3, 50]]]


@pytest.mark.parametrize(
    ("mode", "pixel", "grey"), [("RGBA", (255, 0, 0, 0), 76), ("LA", (90, 0), 90)], ids=["RGBA", "LA"]
)
def test_alpha_is_dropped_and_does_not_darken(tmp_path: Path, mode: str, pixel: tuple[int, ...], grey: int) -> None:
    path = save(tmp_path / "transparent.png", Image.new(mode, (1, 1), pixel))
    assert read_image(path, "grey", (1, 1)).tolist() == [[[grey]]]


def test_cmyk_becomes_colour(tmp_path: Path) -> None:
    path = save(tmp_path / "print.tif", Image.new("CMYK", (1, 1), (0, 255, 255, 0)))
    assert read_image(path, "rgb", (1, 1)).ravel().tolist() == [255, 0, 0]


def test_the_orientation_of_the_camera_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: rotate by 90° clockwise to see it upright.
    path = save(tmp_path / "turned.png", Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)), exif=exif)
    assert read_image(path, "grey", (3, 2)).tolist() == [[[4, 1], [5, 2], [6, 3]]]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    # 128 / 257 = 0.498 and 129 / 257 = 0.502; 257 is exactly 1; 40000 / 257 = 155.6
    values = np.array([[0, 128, 129, 257, 40000, 65535]], np.uint16)
    path = save(tmp_path / f"deep.{suffix}", Image.fromarray(values))
    assert read_image(path, "grey", (1, 6)).tolist() == [[[0, 0, 1, 1, 156, 255]]]


def test_thirty_two_bits_within_sixteen_are_scaled_and_beyond_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "wide.tif", Image.fromarray(np.array([[0, 65535]], np.int32)))
    assert read_image(path, "grey", (1, 2)).tolist() == [[[0, 255]]]
    path = save(tmp_path / "wider.tif", Image.fromarray(np.array([[-5, 70000]], np.int32)))
    with pytest.raises(DataError, match=r"wider\.tif: grey values from -5 to 70000"):
        read_image(path, "grey", (1, 2))


def test_floating_point_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "reflectance.tif", Image.fromarray(np.array([[0.5]], np.float32)))
    with pytest.raises(DataError, match=r"reflectance\.tif: floating-point values"):
        read_image(path, "grey", (1, 1))


def test_a_stack_of_pages_is_refused(tmp_path: Path) -> None:
    page = Image.new("L", (2, 2))
    path = save(tmp_path / "stack.tif", page, save_all=True, append_images=[page, page])
    with pytest.raises(DataError, match="a stack of 3 pages"):
        read_image(path, "grey", (2, 2))


def test_shrinking_uses_every_pixel(tmp_path: Path) -> None:
    """A checkerboard of 0 and 255 shrunk by 8 is grey everywhere; without antialiasing it is black or white."""
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)
    path = save(tmp_path / "board.png", Image.fromarray(board))
    small = read_image(path, "grey", (4, 4)).astype(int)
    assert abs(small - 127.5).max() < 2


def test_size_is_height_then_width(tmp_path: Path) -> None:
    assert read_image(picture(tmp_path / "a.png"), "rgb", (7, 2)).shape == (3, 7, 2)


@pytest.mark.parametrize("suffix", ["png", "jpg", "ppm", "tif", "bmp"])
def test_truncated_files_are_refused_with_their_path(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", Image.fromarray(noise))
    whole = path.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read_image(path, "rgb", (40, 40))
        assert str(caught.value).startswith(f"{path}: ")


def test_what_is_not_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    path.write_text("<html>")
    with pytest.raises(DataError, match="not an image of a format that is read here"):
        read_image(path, "rgb", (2, 2))
    with pytest.raises(DataError, match="there is no such file"):
        read_image(tmp_path / "nothing.png", "rgb", (2, 2))


@pytest.mark.parametrize("side", [10_000, 100_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    path = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))))
    with pytest.raises(DataError, match="more than the 89 million pixels"):
        read_image(path, "rgb", (32, 32))


# ---- a folder with classes ----------------------------------------------------------------------------------


def test_a_class_for_each_sub_folder(tmp_path: Path) -> None:
    root = tmp_path / "trees"
    picture(root / "oak" / "2.png", 2)
    picture(root / "oak" / "10.PNG", 10)
    picture(root / "ash" / "young" / "3.pgm", 3)

    dataset = read_image_folder(source(), root)

    assert dataset.name == "trees"
    assert dataset.class_names == ("ash", "oak")
    assert dataset.images.shape == (3, 1, 4, 5)
    assert dataset.images[:, 0, 0, 0].tolist() == [3, 10, 2]
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.labels.dtype == np.int64
    assert dataset.sample_names == ("ash/young/3.pgm", "oak/10.PNG", "oak/2.png")
    assert dataset.given_test is None
    assert dataset.bands == GREY
    assert dataset.skipped == ()
    assert dataset.origin == f"image folder {root}"


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    for number in range(150):
        picture(tmp_path / f"class {number % 3}" / f"{number}.png", number)
    first, second = (read_image_folder(source(channels="rgb"), tmp_path) for _ in range(2))
    assert first.images.shape == (150, 3, 4, 5)
    assert first.bands == RGB
    assert first.fingerprint == second.fingerprint
    assert first.sample_names is not None
    stems = [int(Path(name).stem) for name in first.sample_names]
    assert first.images[:, 2, 3, 4].tolist() == stems


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Train", "Test"), ("TRAIN", "test")])
def test_the_test_folder_is_the_given_test(tmp_path: Path, train: str, test: str) -> None:
    for part, value in ((train, 1), (test, 2)):
        picture(tmp_path / part / "a" / "x.png", value)
        picture(tmp_path / part / "b" / "x.png", value + 10)
    dataset = read_image_folder(source(), tmp_path)
    assert dataset.given_test is not None
    assert dataset.given_test.tolist() == [2, 3]
    assert dataset.images[:, 0, 0, 0].tolist() == [1, 11, 2, 12]
    assert dataset.labels.tolist() == [0, 1, 0, 1]
    assert dataset.class_names == ("a", "b")


@pytest.mark.parametrize("name", ["val", "validation", "Val"])
def test_a_validation_folder_is_the_validation_split(tmp_path: Path, name: str) -> None:
    for part, value in (("train", 1), (name, 2), ("test", 3)):
        for class_name in ("a", "b"):
            picture(tmp_path / part / class_name / "x.png", value)
    picture(tmp_path / "unlabelled" / "y.png")
    dataset = read_image_folder(source(), tmp_path)
    assert dataset.images[:, 0, 0, 0].tolist() == [1, 1, 2, 2, 3, 3]
    assert dataset.given_test is not None
    assert dataset.given_test.tolist() == [4, 5]
    assert dataset.given_validation is not None
    assert dataset.given_validation.tolist() == [2, 3]
    split = make_split(dataset, SplitSection(validation=0.9))
    assert (split.train.tolist(), split.validation.tolist(), len(split.test)) == ([0, 1], [2, 3], 2)
    assert "the files' own validation set" in split.method
    assert dataset.skipped == ("unlabelled: a folder beside train/, not read",)


def test_train_and_validation_without_test(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for class_name in ("a", "b"):
            picture(tmp_path / part / class_name / "x.png")
    dataset = read_image_folder(source(), tmp_path)
    assert dataset.given_test is None
    assert len(dataset) == 4
    with pytest.raises(DataError, match=r"validation part and no test part\. Rename the validation part to test"):
        make_split(dataset, SplitSection())


def test_a_class_may_be_called_train_or_test(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        picture(tmp_path / "traffic" / name / "x.png")
    for name in ("control", "test"):
        picture(tmp_path / "trial" / name / "x.png")
    assert read_image_folder(source(), tmp_path / "traffic").class_names == ("bus", "car", "train")
    assert read_image_folder(source(), tmp_path / "trial").class_names == ("control", "test")


@pytest.mark.parametrize(
    ("extra", "said"),
    [("test/c/x.png", r"test has 'c', and .*train has not"), ("train/c/x.png", r"test has no sub-folder for 'c'")],
)
def test_classes_of_train_and_test_must_agree(tmp_path: Path, extra: str, said: str) -> None:
    for part in ("train", "test"):
        for class_name in ("a", "b"):
            picture(tmp_path / part / class_name / "x.png")
    picture(tmp_path / extra)
    with pytest.raises(DataError, match=said):
        read_image_folder(source(), tmp_path)


def test_damaged_files_are_skipped_and_named_and_the_rest_stays_in_place(tmp_path: Path) -> None:
    for part, start in (("train", 0), ("test", 100)):
        for number in range(24):
            picture(tmp_path / part / "ab"[number % 2] / f"{number:02}.png", start + number)
    for name in ("train/a/00.png", "train/b/07.png", "test/a/22.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    dataset = read_image_folder(source(), tmp_path)

    assert len(dataset) == 45
    assert [line.split(": ")[0] for line in dataset.skipped] == ["train/a/00.png", "train/b/07.png", "test/a/22.png"]
    assert all(str(tmp_path) not in line for line in dataset.skipped)
    assert dataset.given_test is not None
    assert dataset.given_test.tolist() == list(range(22, 45))
    assert dataset.sample_names is not None
    for position, name in enumerate(dataset.sample_names):
        number = int(Path(name).stem)
        assert dataset.images[position, 0, 0, 0] == number + (100 if name.startswith("test") else 0)
        assert dataset.labels[position] == number % 2


def test_more_than_a_tenth_unreadable_is_an_error(tmp_path: Path) -> None:
    for number in range(19):
        picture(tmp_path / "ab"[number % 2] / f"{number:02}.png")
    for name in ("a/00.png", "b/01.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 19 images cannot be read.*\n  a/00.png: .*\n  b/01.png: "):
        read_image_folder(source(), tmp_path)


def test_one_unreadable_file_is_skipped_however_few_there_are(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        picture(tmp_path / name)
    (tmp_path / "a" / "1.png").write_bytes(b"")
    assert len(read_image_folder(source(), tmp_path)) == 2


def test_a_class_whose_images_are_all_unreadable_is_an_error(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        picture(tmp_path / name)
    (tmp_path / "b" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the images of 'b' can be read"):
        read_image_folder(source(), tmp_path)


def test_other_files_are_ignored_if_usual_and_listed_if_not(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png")
    picture(tmp_path / "b" / "1.png")
    picture(tmp_path / "b" / "._1.png")
    picture(tmp_path / ".cache" / "thumbnail.png")
    picture(tmp_path / "overview.png")
    for name in ("Thumbs.db", ".DS_Store", "GT-a.csv", "notes.txt", "clip.mp4", "1.nef"):
        (tmp_path / "a" / name).touch()
    dataset = read_image_folder(source(), tmp_path)
    assert dataset.sample_names == ("a/1.png", "b/1.png")
    assert dataset.skipped == (
        "overview.png: lies outside the class folders",
        "a/1.nef: not an image by its name",
        "a/clip.mp4: not an image by its name",
    )


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    picture(elsewhere / "1.png")
    root = tmp_path / "root"
    picture(root / "b" / "1.png")
    (root / "a").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "circle").symlink_to(elsewhere, target_is_directory=True)
    assert read_image_folder(source(), root).sample_names == ("a/1.png", "b/1.png")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "has no sub-folders. Expected: one sub-folder per class"),
        (["1.png", "2.png"], "has no sub-folders, but 2 images directly in it.*one sub-folder per class"),
        (["a/1.png", "b/notes.txt"], "class folder .*b has no images"),
        (["train/1.png", "test/a/1.png"], "train has no sub-folders, but 1 images directly in it"),
        (["test/a/1.png", "val/a/1.png"], "has 'test', 'val' and no train/"),
        (["train/a/1.png", "Train/a/1.png"], "differ only in capital letters"),
    ],
)
def test_a_folder_that_is_not_laid_out_by_class_is_refused(tmp_path: Path, files: list[str], said: str) -> None:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            picture(path)
        else:
            path.touch()
    with pytest.raises(DataError, match=said):
        read_image_folder(source(), tmp_path)


# ---- which folder -------------------------------------------------------------------------------------------


def test_the_folder_of_the_recipe_is_seen_from_the_data_dir_or_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "leaves" / "a" / "1.png")
    picture(tmp_path / "leaves" / "b" / "1.png")
    monkeypatch.delenv("KONVOI_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    absolute = str(tmp_path / "leaves")
    assert len(read_image_folder(source(folder="leaves"))) == 2
    assert len(read_image_folder(source(folder=absolute))) == 2
    monkeypatch.chdir("/")
    assert len(read_image_folder(source(folder="leaves"), tmp_path)) == 2
    with pytest.raises(DataError, match=r"not found: leaves \(missing\), seen from /"):
        read_image_folder(source(folder="leaves"))
    monkeypatch.setenv("KONVOI_DATA", str(tmp_path))
    assert len(read_image_folder(source(folder="leaves"))) == 2
    with pytest.raises(DataError, match="Leave one of the two out"):
        read_image_folder(source(folder=absolute), tmp_path)


def test_no_folder_is_said() -> None:
    with pytest.raises(DataError, match="No folder of images is named"):
        read_image_folder(source())


# ---- real traffic signs -------------------------------------------------------------------------------------


def test_traffic_signs(shared_data: Path, tmp_path: Path) -> None:
    archive = shared_data / "gtsrb" / "gtsrb_speedlimits_full.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no traffic signs: {archive} does not exist")
    per_class = 5
    taken: Counter[str] = Counter()
    raw: dict[str, bytes] = {}
    with tarfile.open(archive) as members:
        for member in members:
            if "/Final_Training/" not in member.name:
                continue
            class_name, name = member.name.split("/")[-2:]
            if name.endswith(".csv") or taken[class_name] < per_class:
                content = members.extractfile(member)
                assert content is not None
                path = tmp_path / class_name / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content.read())
                if path.suffix == ".ppm":
                    taken[class_name] += 1
                    raw[f"{class_name}/{name}"] = path.read_bytes()

    dataset = read_image_folder(source(channels="rgb", size=(32, 32)), tmp_path)

    assert dataset.class_names == tuple(f"{number:05}" for number in (0, 1, 2, 3, 4, 5, 7, 8))
    assert np.bincount(dataset.labels).tolist() == [per_class] * 8
    assert dataset.skipped == ()
    assert dataset.sample_names is not None
    for position, sample in enumerate(dataset.sample_names):
        # A PPM is a few lines of header, and then the pixels as they are.
        assert raw[sample].startswith(b"P6\n")
        pixels = np.frombuffer(raw[sample][-32 * 32 * 3 :], np.uint8).reshape(32, 32, 3)
        np.testing.assert_array_equal(dataset.images[position], pixels.transpose(2, 0, 1))
