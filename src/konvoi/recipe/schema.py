"""What an experiment is: the typed sections of a recipe, with their ranges and defaults.

Only the shape lives here; reading, overriding and writing recipes is in `recipe.files`. Imports no torch, so
that a recipe can be checked on a machine, or in a command, that never trains.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from konvoi.errors import RecipeError
from konvoi.recipe.convolutional_svm import LinearSvms, SvmNetwork
from konvoi.recipe.crop import CropSection
from konvoi.recipe.section import (
    Fraction,
    NonNegativeFloat,
    OpenFraction,
    PositiveFloat,
    PositiveInt,
    Section,
    Width,
)

# ---- source -------------------------------------------------------------------------------------------------


class DigitsSource(Section):
    """The 1,797 handwritten digits (8×8, 16 grey levels) that ship inside scikit-learn."""

    kind: Literal["digits"]


class IdxSource(Section):
    """The four IDX files of MNIST and of the data sets that took over its format."""

    kind: Literal["idx"]
    dataset: str = Field(
        default="mnist", description="mnist and fashion-mnist are known by checksum; other names are free"
    )
    classes: tuple[str, ...] | None = Field(
        default=None,
        description="class names in label order; default: those of a known data set, else 0, 1, …",
    )


class ImageFolderSource(Section):
    """A folder with one sub-folder of PNG, JPEG, PPM or TIFF images for each class."""

    kind: Literal["image-folder"]
    folder: str | None = Field(
        default=None,
        description="default: --data-dir; with sub-folders train/ and test/, test/ is the sealed test set",
    )
    channels: Literal["grey", "rgb"] = "rgb"
    size: tuple[PositiveInt, PositiveInt] = Field(
        default=(32, 32), description="height and width in pixels to which every image is resized"
    )


class StoreSource(Section):
    """A store that `konvoi data pack` wrote: patches with many bands, at native resolution."""

    kind: Literal["store"]
    folder: str | None = Field(default=None, description="default: --data-dir")
    bands: str | tuple[str, ...] = Field(
        default="all", description="a named sub-set (all, rgb, 10m, all12, s1, …), or the names in the order wanted"
    )
    nomenclature: Literal["as-packed", "bigearthnet-19"] = Field(
        default="as-packed", description="bigearthnet-19: 43 CORINE labels become the 19 of Sumbul et al. (2021)"
    )
    exclude: tuple[Literal["snow", "cloud"], ...] = Field(
        default=(), description="patches that the source's lists flag so are left out, and counted"
    )
    hierarchy: str | None = Field(
        default=None,
        description="folder with ImageNet's wordnet.is_a.txt and words.txt, or its meta.mat, for scores by category; "
        "default: the store",
    )


class LmdbSource(Section):
    """Patches that rico-hdl packed: an LMDB whose values are safetensors, with a table of labels beside it."""

    kind: Literal["lmdb"]
    folder: str | None = Field(default=None, description="default: --data-dir")
    labels: str | None = Field(
        default=None, description="CSV, Parquet or JSON table of names and labels; default: metadata.parquet"
    )
    bands: str | tuple[str, ...] = "all12"


CubeAxes = Literal[
    "rows-columns-bands", "bands-rows-columns", "rows-bands-columns", "columns-rows-bands", "bands-columns-rows"
]
SceneName = Literal["indian-pines", "pavia-university", "salinas", "salinas-a", "ksc", "botswana"]


class CubeSource(Section):
    """The labelled pixels of one hyperspectral scene, each with the window around it."""

    kind: Literal["cube"]
    scene: SceneName | None = Field(
        default=None, description="a well-known scene, found by its usual file names; its classes and size are checked"
    )
    cube: str | None = Field(default=None, description="file: .mat, ENVI (.hdr) or GeoTIFF; default: the scene's")
    ground_truth: str | None = Field(
        default=None, description="file: .mat, PNG or TIFF, ENVI, or polygons (.geojson, .shp); default: the scene's"
    )
    cube_variable: str | None = Field(default=None, description="in a .mat file; default: the only one that can be it")
    axes: CubeAxes | None = Field(default=None, description="of a .mat file's array; default: rows-columns-bands")
    ground_truth_variable: str | None = Field(
        default=None, description="in a .mat file; of polygons, the column with the class"
    )
    classes: tuple[str, ...] | None = Field(
        default=None, description="class names in the order of the ground truth's values; default: what the files say"
    )
    unlabelled: tuple[int, ...] = Field(default=(0,), description="values of the ground truth that are no class")
    drop_bands: tuple[int | str, ...] = Field(
        default=(),
        description="numbers counted from 1, ranges like 104-108 with both ends, or band names; of a well-known scene "
        "also water-absorption",
    )
    constant_bands: Literal["refuse", "drop", "keep"] = Field(
        default="refuse", description="bands with the same value in all of the scene"
    )
    window: PositiveInt = Field(default=9, description="side in pixels, odd; reflected at the border of the scene")

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(f"window is {self.window}, and an even window has no centre pixel; use {self.window + 1}")
        if self.scene is None and (self.cube is None or self.ground_truth is None):
            raise ValueError("name a well-known scene, or both cube and ground_truth")
        return self


SourceSection = Annotated[
    DigitsSource | IdxSource | ImageFolderSource | StoreSource | LmdbSource | CubeSource, Field(discriminator="kind")
]


# ---- split and input ----------------------------------------------------------------------------------------


class Blocks(Section):
    """Division in space: whole tiles of the ground go to one part, so that neighbours are not split."""

    size: PositiveFloat = Field(default=10.0, description="side of a tile, km")
    buffer: NonNegativeFloat = Field(
        default=0.0,
        description="km from centre to centre; training and validation patches nearer than this to a later part are "
        "left out (patches of 1.2 km overlap, corner to corner, up to 1.7)",
    )


Guard = Literal["none", "half-window", "window"] | Annotated[int, Field(ge=0)]
"""Of a window of w pixels a side, half is (w − 1) / 2 pixels and the whole w − 1; a number is in pixels."""


class RandomPixels(Section):
    """Labelled pixels at random, for comparison: test windows hold training pixels, so this split leaks."""

    method: Literal["random"]
    guard: Guard = Field(
        default="none", description="half-window would take nearly all training pixels out: they lie everywhere"
    )


class StratifiedPixels(Section):
    """Labelled pixels at random, of each class its share: leaks as `random` does."""

    method: Literal["stratified"]
    guard: Guard = "none"


class PixelBlocks(Section):
    """Square blocks of the scene, stratified: a block's labelled pixels go to one part."""

    method: Literal["blocks"]
    size: PositiveInt = Field(default=24, description="side of a block in pixels")
    guard: Guard = "half-window"


class PixelRegions(Section):
    """Contiguous regions of each class, found by DBSCAN and ranked, train until the share is reached (Lange et al.)."""

    method: Literal["regions"]
    rank: Literal["area", "variance"] = Field(
        default="area", description="the largest first, or the one whose spectra vary most"
    )
    reach: PositiveFloat = Field(default=1.5, description="DBSCAN's ε in pixels; 1.5 connects diagonals")
    neighbours: PositiveInt = Field(default=5, description="pixels within reach that make a pixel part of a core")
    guard: Guard = "half-window"


class GrownPixels(Section):
    """In each field, regions that grow from a seed (Liang et al.)."""

    method: Literal["growing"]
    guard: Guard = "half-window"


class WholeFields(Section):
    """Fields, the connected pixels of a class, go to one part each; no field is cut."""

    method: Literal["fields"]
    guard: Guard = "half-window"


class PixelMap(Section):
    """A map of your own: an image, a .mat or a .npy of the scene's size with a code for each part."""

    method: Literal["map"]
    file: str
    variable: str | None = Field(default=None, description="of a .mat; default: the only one of the scene's size")
    train: int = 1
    validation: int = Field(default=2, description="where no pixel has it, a share of the training pixels validates")
    test: int = 3
    guard: Guard = "half-window"


PixelsSection = Annotated[
    RandomPixels | StratifiedPixels | PixelBlocks | PixelRegions | GrownPixels | WholeFields | PixelMap,
    Field(discriminator="method"),
]


class SplitSection(Section):
    """How samples are divided into train, validation and test; always stratified by class or label."""

    validation: OpenFraction = Field(default=0.2, description="share of the training samples held out for validation")
    test: OpenFraction = Field(
        default=0.2,
        description="share of all samples sealed for the test, where the source brings no test set",
    )
    seed: int = 0
    folds: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="k-fold cross-validation: the training samples in this many parts"
    )
    fold: Annotated[int, Field(ge=0)] = Field(default=0, description="which part validates, counted from 0")
    lists: str | None = Field(
        default=None,
        description="a folder with lists of names: train, val or validation, test; .csv, also .gz and .bz2",
    )
    blocks: Blocks | None = Field(
        default=None, description="divide in space; goes before what the files say, unless lists are named"
    )
    pixels: PixelsSection | None = Field(
        default=None, description="how the pixels of a scene are divided; default: blocks, with a guard band"
    )
    allow_leakage: bool = Field(
        default=False,
        description="train although test windows hold training pixels; every table and figure then says leaking",
    )
    allow_untrained_classes: bool = Field(
        default=False, description="train although a class has no training pixels; its test pixels count as mistakes"
    )
    labelled: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=1.0, description="share of the training split whose labels are used; smaller shares lie inside larger"
    )
    labelled_per_class: PositiveInt | None = Field(
        default=None, description="training samples of each class whose labels are used, instead of a share"
    )
    labelled_seed: int = Field(default=0, description="of the order from which `labelled` takes the first ones")

    @model_validator(mode="after")
    def _labelled_once(self) -> Self:
        if self.labelled < 1 and self.labelled_per_class is not None:
            raise ValueError("labelled and labelled_per_class are both given; leave one out")
        return self

    @model_validator(mode="after")
    def _fold_in_range(self) -> Self:
        ways = {"folds": self.folds, "blocks": self.blocks, "pixels": self.pixels}
        given = [way for way, section in ways.items() if section is not None]
        if len(given) > 1 and (self.lists is None or "pixels" in given):
            raise ValueError(f"{' and '.join(given)} are all ways to divide; leave all but one out")
        if self.pixels is not None and self.lists is not None:
            raise ValueError("lists and pixels are both given; leave one out")
        if self.folds is None and self.fold > 0:
            raise ValueError(f"fold {self.fold} needs folds, the number of parts; 5 is usual")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(
                f"fold {self.fold} does not exist: with folds = {self.folds}, fold is 0 to {self.folds - 1}"
            )
        return self


class AugmentSection(Section):
    """Random changes of the training images; every draw is uniform in ± the given limit."""

    shift: NonNegativeFloat = Field(default=0.0, description="pixels, both axes")
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = Field(default=0.0, description="degrees")
    scale: Fraction = Field(default=0.0, description="0.1 means 0.9 to 1.1 times the size")
    shear: Annotated[float, Field(ge=0.0, lt=90.0)] = Field(default=0.0, description="degrees")
    elastic: NonNegativeFloat = Field(default=0.0, description="largest displacement in pixels of a smooth warp")
    flip: bool = Field(default=False, description="left-right, for half of the images")
    symmetries: bool = Field(
        default=False, description="one of the square's eight: quarter turns and mirrors, without interpolation"
    )


class InputSection(Section):
    """What the network sees of an image."""

    normalise: Literal["unit", "standard", "weights"] = Field(
        default="standard",
        description="unit: 0 to 1, or the bands' own units; standard: mean 0 and deviation 1 over the training split; "
        "weights: as the pretrained weights were trained",
    )
    resample: Literal["bilinear", "nearest"] = Field(
        default="bilinear", description="how coarser bands are brought to the finest grid"
    )
    crop: CropSection | None = Field(default=None, description="else images as they are stored")
    augment: AugmentSection = AugmentSection()
    repeat_rare: OpenFraction | None = Field(
        default=None,
        description="samples with a label rarer than this share are repeated, √(share / frequency) times on average",
    )


# ---- network ------------------------------------------------------------------------------------------------

Activation = Literal["relu", "gelu", "tanh", "sigmoid"]
Initialisation = Literal["torch", "glorot", "he"]


class MlpNetwork(Section):
    """Fully connected layers on the flattened image."""

    kind: Literal["mlp"]
    hidden: tuple[Width, ...] = (128, 128)
    activation: Activation = "relu"
    dropout: Fraction = Field(default=0.0, description="after every hidden layer")
    init: Initialisation = "he"


class ConvBlock(Section):
    """Convolution → pooling → normalisation → activation → dropout; all but the convolution are optional.

    A convolution directly before a normalisation has no biases, because the normalisation's shift replaces
    them.
    """

    maps: Width = Field(description="feature maps, the number of filters")
    kernel: PositiveInt = 3
    stride: PositiveInt = 1
    padding: Literal["valid", "same"] = "same"
    norm: Literal["none", "batch"] = "none"
    activation: Activation | Literal["none"] = "relu"
    pool: Literal["none", "max", "average"] = "none"
    pool_size: Annotated[int, Field(ge=2)] = 2
    dropout: Fraction = 0.0

    @model_validator(mode="after")
    def _same_padding_needs_an_odd_kernel(self) -> Self:
        if self.padding == "same" and self.kernel % 2 == 0:
            raise ValueError(f"same padding needs an odd kernel, and {self.kernel} is even: use padding: valid")
        return self


class CnnNetwork(Section):
    """Convolution blocks, then optionally a global pooling, hidden dense layers, and the output layer."""

    kind: Literal["cnn"]
    blocks: Annotated[tuple[ConvBlock, ...], Field(min_length=1)]
    global_pool: Literal["none", "max", "average"] = "none"
    hidden: tuple[Width, ...] = ()
    activation: Activation = Field(default="relu", description="of the hidden dense layers")
    dropout: Fraction = Field(
        default=0.0, description="after every hidden dense layer; before the output layer where there is none"
    )
    init: Initialisation = "he"


class ResNetNetwork(Section):
    """A residual network with the layers, names and shapes of torchvision's."""

    kind: Literal["resnet"]
    depth: Literal[18, 34, 50, 101] = 50
    zero_init_residual: bool = Field(default=False, description="every block starts as the identity")


class CubeNetwork(Section):
    """What the networks for windows of a hyperspectral cube share; none of them pads, so all can map a whole scene."""

    hidden: tuple[Width, ...] = (128, 128)
    activation: Activation = "relu"
    norm: Literal["none", "batch"] = Field(default="none", description="after every convolution")
    dropout: Fraction = Field(
        default=0.0, description="after every hidden dense layer; before the output layer where there is none"
    )
    init: Initialisation = "he"


class Cnn3dNetwork(CubeNetwork):
    """3-D convolutions over rows, columns and spectrum, then dense layers."""

    kind: Literal["cnn3d"]
    filters: Annotated[tuple[Width, ...], Field(min_length=1)] = (48, 32, 32)
    kernel: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(default=(3, 3, 5), description="rows, columns, bands")
    spectral_stride: PositiveInt = Field(default=1, description="bands from one filter position to the next")
    spectral_pool: PositiveInt = Field(
        default=1, description="max-pooling along the spectrum after every convolution, over so many values"
    )


class SpectralCnnNetwork(CubeNetwork):
    """1-D convolutions along the spectrum of the centre pixel, then dense layers; the rest of the window is unseen."""

    kind: Literal["spectral-cnn"]
    filters: Annotated[tuple[Width, ...], Field(min_length=1)] = (16, 32, 32)
    kernel: PositiveInt = Field(default=7, description="bands")
    spectral_stride: PositiveInt = 1
    spectral_pool: PositiveInt = Field(
        default=2, description="max-pooling along the spectrum after every convolution, over so many values"
    )
    hidden: tuple[Width, ...] = (128,)


class PcaCnnNetwork(CubeNetwork):
    """Principal components of the spectrum, then 2-D convolutions and dense layers."""

    kind: Literal["pca-cnn"]
    components: PositiveInt = Field(default=10, description="fitted on the training pixels")
    whiten: bool = Field(default=True, description="divide every component by its deviation")
    filters: Annotated[tuple[Width, ...], Field(min_length=1)] = (32, 64)
    kernel: PositiveInt = Field(default=3, description="rows and columns")
    hidden: tuple[Width, ...] = (128,)


class HybridCnnNetwork(CubeNetwork):
    """Principal components, 3-D convolutions, 2-D convolutions, dense layers: HybridSN, Roy et al., GRSL 2020."""

    kind: Literal["hybrid-cnn"]
    components: PositiveInt = Field(default=15, description="fitted on the training pixels")
    whiten: bool = Field(default=True, description="divide every component by its deviation")
    filters_3d: tuple[Width, ...] = (8, 16, 32)
    spectral_kernels: tuple[PositiveInt, ...] = Field(
        default=(7, 5, 3), description="components that each 3-D filter spans; its rows and columns are 3"
    )
    filters_2d: tuple[Width, ...] = (64,)
    hidden: tuple[Width, ...] = (256, 128)
    dropout: Fraction = 0.4

    @model_validator(mode="after")
    def _one_kernel_a_convolution(self) -> Self:
        if len(self.filters_3d) != len(self.spectral_kernels):
            raise ValueError(
                f"filters_3d names {len(self.filters_3d)} convolutions, spectral_kernels {len(self.spectral_kernels)}"
            )
        return self


NetworkSection = Annotated[
    MlpNetwork
    | CnnNetwork
    | ResNetNetwork
    | Cnn3dNetwork
    | SpectralCnnNetwork
    | PcaCnnNetwork
    | HybridCnnNetwork
    | SvmNetwork,
    Field(discriminator="kind"),
]


class Pretrained(Section):
    """Weights to start from, with the contract of the bands they were trained on."""

    weights: str = Field(description="a public set's name (`konvoi weights` lists them), a file, or a run folder")
    freeze: bool = Field(default=False, description="train the last layer alone, on fixed features")


# ---- loss, optimiser, schedule, budget, compute ----------------------------------------------------------------


class CrossEntropy(Section):
    """The cross-entropy of the softmax over the logits: one label a sample."""

    kind: Literal["cross-entropy"]
    label_smoothing: Fraction = 0.0


class MeanSquaredError(Section):
    """The squared difference of the softmax from one-hot targets, mean over classes and samples, as Keras takes it."""

    kind: Literal["mse"]


class BinaryCrossEntropy(Section):
    """The cross-entropy of a sigmoid for each label: several labels a sample."""

    kind: Literal["bce"]
    positive_weight: Literal["none", "balanced"] = Field(
        default="none", description="balanced: positives of a label count (negatives / positives) of the training split"
    )
    largest_weight: PositiveFloat = Field(default=20.0, description="bound of a balanced weight")


class FocalLoss(Section):
    """Binary cross-entropy times (1 − p)^gamma of the right decision's probability p."""

    kind: Literal["focal"]
    gamma: NonNegativeFloat = 2.0
    alpha: OpenFraction | None = Field(default=None, description="weight of positives; 1 − alpha of negatives")


class AsymmetricLoss(Section):
    """Focal loss with another exponent for negatives, whose easiest are dropped."""

    kind: Literal["asymmetric"]
    gamma_positive: NonNegativeFloat = 0.0
    gamma_negative: NonNegativeFloat = 4.0
    clip: Fraction = Field(default=0.05, description="negatives' probabilities are lowered by this, to 0 at least")


def _cross_entropy_where_no_kind_is_said(section: object) -> object:
    return {"kind": "cross-entropy", **section} if isinstance(section, dict) else section


LossSection = Annotated[
    CrossEntropy | MeanSquaredError | BinaryCrossEntropy | FocalLoss | AsymmetricLoss,
    Field(discriminator="kind"),
    BeforeValidator(_cross_entropy_where_no_kind_is_said),
]


class OptimiserSection(Section):
    """What all optimisers share."""

    lr_reference_batch: PositiveInt | None = Field(
        default=None, description="the batch that lr is meant for; it is multiplied by (first) batch / this"
    )
    weight_decay: NonNegativeFloat = 0.0
    decay_norms_and_biases: bool = Field(
        default=False,
        description="whether weight decay also pulls normalisation parameters and biases to zero",
    )
    clip_norm: PositiveFloat | None = Field(default=None, description="largest Euclidean norm of the gradient")
    layer_decay: OpenFraction | None = Field(
        default=None, description="learning rate of each stage before the last layer, as a factor of the next one's"
    )


class Sgd(OptimiserSection):
    """Stochastic gradient descent, with heavy-ball or Nesterov momentum."""

    kind: Literal["sgd"]
    lr: PositiveFloat = 0.01
    momentum: Fraction = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs momentum > 0; 0.9 is usual")
        return self


class Adam(OptimiserSection):
    """Adam; weight decay enters the gradient."""

    kind: Literal["adam"]
    lr: PositiveFloat = 0.001
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8


class AdamW(OptimiserSection):
    """Adam with weight decay apart from the gradient."""

    kind: Literal["adamw"]
    lr: PositiveFloat = 0.001
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.01


class Lars(OptimiserSection):
    """SGD with momentum and a learning rate for each layer: layer-wise adaptive rate scaling, for large batches."""

    kind: Literal["lars"]
    lr: PositiveFloat = 1.0
    momentum: Fraction = 0.9
    nesterov: bool = False
    trust: PositiveFloat = Field(default=0.001, description="learning rate of a layer: trust × ‖weights‖ / ‖update‖")


class Lamb(OptimiserSection):
    """AdamW with a learning rate for each layer, for large batches."""

    kind: Literal["lamb"]
    lr: PositiveFloat = 0.002
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-6
    weight_decay: NonNegativeFloat = 0.01


Optimiser = Sgd | Adam | AdamW | Lars | Lamb
OptimSection = Annotated[Optimiser | LinearSvms, Field(discriminator="kind")]


class Warmup(Section):
    """A linear rise of the learning rate over the first epochs, shared by all schedules."""

    warmup_epochs: NonNegativeFloat = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="instead of warmup_epochs")

    @model_validator(mode="after")
    def _one_warm_up(self) -> Self:
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("warmup_epochs and warmup_steps are both given; leave one out")
        return self


class ConstantSchedule(Warmup):
    """The same learning rate throughout."""

    kind: Literal["constant"]


class StepSchedule(Warmup):
    """The learning rate times `factor` after every `every` epochs."""

    kind: Literal["step"]
    every: PositiveFloat
    factor: OpenFraction = 0.1


class CosineSchedule(Warmup):
    """Half a cosine from the learning rate down to `final` times it."""

    kind: Literal["cosine"]
    final: Fraction = 0.0


class InverseTimeSchedule(Warmup):
    """lr / (1 + decay · step): what Keras's optimisers did with their argument `decay`."""

    kind: Literal["inverse-time"]
    decay: NonNegativeFloat


class OneCycleSchedule(Section):
    """A linear rise from `initial` × lr to lr over `rise` of the steps, then a linear fall to `final` × lr."""

    kind: Literal["one-cycle"]
    rise: OpenFraction = 0.3
    initial: Fraction = 0.04
    final: Fraction = 0.0


ScheduleSection = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | InverseTimeSchedule | OneCycleSchedule,
    Field(discriminator="kind"),
]


class BatchChange(Section):
    """Another batch size from an epoch on."""

    epoch: PositiveInt = Field(description="the first epoch with it, counted from 0")
    batch: PositiveInt


class BudgetSection(Section):
    """How long to train and which weights to keep."""

    epochs: PositiveInt = 10
    batch: PositiveInt = Field(
        default=64, description="samples of one optimiser step: over all ranks, and all of its micro-batches"
    )
    batch_schedule: tuple[BatchChange, ...] = Field(default=(), description="other batch sizes, later")
    accumulate: PositiveInt = Field(
        default=1, description="micro-batches whose gradients are added up for one optimiser step"
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="best: the epoch of highest validation accuracy (with several labels a sample: macro mAP), of "
        "lower loss where equal",
    )
    early_stopping: PositiveInt | None = Field(
        default=None, description="stop after this many epochs without a better one, as `keep: best` compares them"
    )
    ema: OpenFraction | None = Field(
        default=None,
        description="decay of an exponential moving average of the weights, which is what is evaluated",
    )
    checkpoint_seconds: NonNegativeFloat = Field(
        default=30.0, description="time between checkpoints; one is also written at the end and at a signal"
    )


class ComputeSection(Section):
    """On what, and in which arithmetic; never what is learned."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16"] = "auto"
    channels_last: bool = True
    compile: bool = Field(default=False, description="the network by torch.compile; the first steps take a minute")
    cuda_graphs: bool = Field(
        default=False,
        description="with compile, on one GPU: kernels are launched together, which helps where batches are small",
    )

    @model_validator(mode="after")
    def _graphs_are_compiled(self) -> Self:
        if self.cuda_graphs and not self.compile:
            raise ValueError("cuda_graphs needs compile: true")
        return self


class LocalSgd(Section):
    """From a step on, every rank goes its own way, and the weights are averaged now and then."""

    first_step: Annotated[int, Field(ge=0)] = Field(
        default=0, description="before it, gradients are averaged at every step (post-local SGD)"
    )
    every: Annotated[int, Field(ge=2)] = Field(default=8, description="steps from one averaging to the next")


class ParallelSection(Section):
    """How several ranks work together on one training; with one rank, it changes nothing."""

    batch_norm: Literal["local", "synchronised"] = Field(
        default="local", description="statistics of a rank's own share of the batch, or of the whole batch"
    )
    gradients: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="in which they travel between ranks"
    )
    bucket: PositiveFloat = Field(default=25.0, description="MiB of gradients that travel together")
    local_sgd: LocalSgd | None = None


class Pretraining(Section):
    """A first training, on this or another source, whose network is where the recipe's own training starts.

    Sections that are left out are those of the recipe itself.
    """

    source: SourceSection | None = None
    split: SplitSection | None = None
    input: InputSection | None = None
    pretrained: Pretrained | None = None
    loss: LossSection | None = None
    optim: OptimSection | None = None
    schedule: ScheduleSection | None = None
    budget: BudgetSection | None = None


class Recipe(Section):
    """One experiment, written down."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    about: str = Field(default="", description="one line: what this is and where it comes from")
    source: SourceSection
    split: SplitSection = SplitSection()
    input: InputSection = InputSection()
    network: NetworkSection
    pretrained: Pretrained | None = None
    loss: LossSection = CrossEntropy(kind="cross-entropy")
    optim: OptimSection
    schedule: ScheduleSection = ConstantSchedule(kind="constant")
    budget: BudgetSection = BudgetSection()
    compute: ComputeSection = ComputeSection()
    parallel: ParallelSection = ParallelSection()
    pretraining: Pretraining | None = None
    baselines: tuple[Literal["rbf-svm", "mlp"], ...] = Field(
        default=("rbf-svm", "mlp"), description="of a cube: what its test scores are shown against; [] for nothing"
    )
    seed: int = 0

    @property
    def optimiser(self) -> Optimiser:
        """The `optim` section of a recipe that is trained by gradient steps.

        Raises:
            RecipeError: the network is fitted forward, without any.
        """
        if isinstance(self.optim, LinearSvms):
            raise RecipeError(
                f"{self.name} is fitted forward by linear support vector machines: it has no optimiser, no learning "
                "rate and no steps. Use a recipe that is trained by gradient steps."
            )
        return self.optim

    @model_validator(mode="after")
    def _fitted_forward_or_trained(self) -> Self:
        if isinstance(self.network, SvmNetwork) != isinstance(self.optim, LinearSvms):
            raise ValueError(
                f"network.kind is {self.network.kind} and optim.kind {self.optim.kind}; a network of kind svmnet is "
                "fitted by linear-svms, and no other network is"
            )
        if isinstance(self.network, SvmNetwork):
            unused = [name for name, idle in _of_gradient_steps(self).items() if not idle]
            if unused:
                raise ValueError(
                    f"{', '.join(unused)}: of no meaning for a network that is fitted forward, without gradient steps. "
                    "Leave them out"
                )
        return self

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.pretrained is not None and self.pretraining is not None:
            raise ValueError(
                "pretrained and pretraining are both given; weights that the pretraining itself starts from stand in "
                "pretraining.pretrained"
            )
        if self.input.normalise == "weights" and self.pretrained is None and self.pretraining is None:
            raise ValueError("input.normalise is weights, and the recipe names no pretrained weights")
        return self

    @model_validator(mode="after")
    def _windows_are_turned_and_not_warped(self) -> Self:
        augment = self.input.augment.model_copy(update={"flip": False, "symmetries": False})
        if self.source.kind == "cube" and augment != AugmentSection():
            raise ValueError(
                "input.augment warps, and a window's label is that of its centre pixel, whose spectrum "
                "a warp would mix with others. Of windows, use symmetries or flip"
            )
        return self

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.parallel.local_sgd is not None and self.budget.ema is not None:
            raise ValueError(
                "parallel.local_sgd and budget.ema are both given; while ranks go their own ways, there is no one "
                "network to average over time. Leave one out"
            )
        return self

    @model_validator(mode="after")
    def _batches_grow_in_order(self) -> Self:
        epochs = [change.epoch for change in self.budget.batch_schedule]
        if epochs != sorted(set(epochs)) or any(epoch >= self.budget.epochs for epoch in epochs):
            raise ValueError(
                f"budget.batch_schedule changes at epochs {epochs}; they must rise and lie below budget.epochs "
                f"({self.budget.epochs})"
            )
        return self

    @model_validator(mode="after")
    def _sizes_change_within_the_training(self) -> Self:
        late = [change.epoch for change in self.input.crop.sizes] if self.input.crop else []
        if any(epoch >= self.budget.epochs for epoch in late):
            raise ValueError(
                f"input.crop.sizes changes at epochs {late}; they must lie below budget.epochs ({self.budget.epochs})"
            )
        return self

    @model_validator(mode="after")
    def _warm_up_ends_before_the_training(self) -> Self:
        warmup = getattr(self.schedule, "warmup_epochs", 0.0)
        if warmup > self.budget.epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {warmup:g} and budget.epochs {self.budget.epochs}, so that the learning "
                "rate would never be reached"
            )
        return self


def _of_gradient_steps(recipe: Recipe) -> dict[str, bool]:
    """Sections that only a training by gradient steps reads, and whether each is as it is by default."""
    budget = BudgetSection(keep=recipe.budget.keep, checkpoint_seconds=recipe.budget.checkpoint_seconds)
    return {
        "input.crop": recipe.input.crop is None,
        "input.augment": recipe.input.augment == AugmentSection(),
        "input.repeat_rare": recipe.input.repeat_rare is None,
        "pretrained": recipe.pretrained is None,
        "pretraining": recipe.pretraining is None,
        "loss": recipe.loss == CrossEntropy(kind="cross-entropy"),
        "schedule": recipe.schedule == ConstantSchedule(kind="constant"),
        "budget": recipe.budget == budget,
        "parallel": recipe.parallel == ParallelSection(),
    }
