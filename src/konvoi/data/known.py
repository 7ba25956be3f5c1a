"""The data sets known by name: their files, checksums, class names and where the world keeps copies.

Facts only. Where the files may lie on this machine is in `data.locations`, fetching them in `data.download`,
reading them in `data.sources.idx`.
"""

from __future__ import annotations

from dataclasses import dataclass

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The names that MNIST gave its four files, and that its successors kept."""


@dataclass(frozen=True)
class KnownFile:
    """One published file.

    Attributes:
        name: the file's name, without .gz.
        sha256: of the uncompressed content, because distributors compress the same content differently.
        size: bytes of the uncompressed content.
    """

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class KnownDataset:
    """A published data set in four IDX files.

    Attributes:
        name: as recipes and `konvoi data get` write it.
        class_names: in label order.
        files: in the order of `IDX_FILES`.
        mirrors: addresses that end in a slash; mirror + file name + ".gz" is the file.
        debian_package: the Debian package that installs the files, or None.
        image_shape: `(C, H, W)`.
    """

    name: str
    class_names: tuple[str, ...]
    files: tuple[KnownFile, ...]
    mirrors: tuple[str, ...]
    debian_package: str | None = None
    image_shape: tuple[int, int, int] = (1, 28, 28)


def spellings(file_name: str) -> tuple[str, ...]:
    """The names under which an IDX file is found in the world, the one that is downloaded first.

    >>> spellings("t10k-labels-idx1-ubyte")[1:]
    ('t10k-labels-idx1-ubyte', 't10k-labels.idx1-ubyte.gz', 't10k-labels.idx1-ubyte')
    """
    dotted = file_name.replace("-idx", ".idx")
    return (f"{file_name}.gz", file_name, f"{dotted}.gz", dotted)


MNIST = KnownDataset(
    name="mnist",
    class_names=tuple(str(digit) for digit in range(10)),
    files=(
        KnownFile(
            "train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            47_040_016,
        ),
        KnownFile(
            "train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            60_008,
        ),
        KnownFile(
            "t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            7_840_016,
        ),
        KnownFile(
            "t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            10_008,
        ),
    ),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
)

FASHION_MNIST = KnownDataset(
    name="fashion-mnist",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    files=(
        KnownFile(
            "train-images-idx3-ubyte",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            47_040_016,
        ),
        KnownFile(
            "train-labels-idx1-ubyte",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            60_008,
        ),
        KnownFile(
            "t10k-images-idx3-ubyte",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            7_840_016,
        ),
        KnownFile(
            "t10k-labels-idx1-ubyte",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            10_008,
        ),
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    debian_package="dataset-fashion-mnist",
)

KNOWN = {known.name: known for known in (MNIST, FASHION_MNIST)}
