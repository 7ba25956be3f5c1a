"""The networks, and the weights they start from; those of support vector machines are in `convolutional_svm`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from konvoi.recipe.convolutional_svm import SvmNetwork
from konvoi.recipe.section import Fraction, PositiveInt, Section, Width

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
