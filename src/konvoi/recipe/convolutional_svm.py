"""Recipes of convolutional SVM networks: their layers, their scales, and how the machines are fitted."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from konvoi.recipe.section import PositiveFloat, PositiveInt, Section, Width


class SvmLayer(Section):
    """Filters that are hyperplanes of linear support vector machines → ReLU → pooling."""

    maps: Width = Field(description="filters, each of which tells one class from the rest, classes in turn")
    kernel: PositiveInt = Field(default=3, description="rows and columns of a patch; 1 with bands: along the spectrum")
    bands: PositiveInt | None = Field(
        default=None,
        description="neighbouring bands of a patch, which then slides along the spectrum too; default: all",
    )
    stride: PositiveInt = 1
    band_stride: PositiveInt = Field(default=1, description="along the spectrum")
    padding: Literal["valid", "same"] = Field(default="valid", description="of rows and columns; never of bands")
    pool: Literal["none", "max", "average"] = "none"
    pool_size: PositiveInt = Field(default=2, description="rows and columns")
    band_pool: PositiveInt = Field(default=1, description="bands that are pooled into one; 1: the spectrum stays")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.padding == "same" and self.kernel % 2 == 0:
            raise ValueError(f"same padding needs an odd kernel, and {self.kernel} is even: use padding: valid")
        if self.bands is None and (self.band_stride > 1 or self.band_pool > 1):
            raise ValueError("band_stride and band_pool are for layers with bands, which slide along the spectrum")
        if self.band_pool > 1 and self.pool == "none":
            raise ValueError("band_pool needs a pool: max or average")
        if self.pool != "none" and self.pool_size == 1 and self.band_pool == 1:
            raise ValueError("pool_size 1 pools nothing: use pool: none")
        return self


class Scale(Section):
    """What one member of an ensemble sees differently."""

    window: PositiveInt | None = Field(default=None, description="side of the centre that is cut out of each image")
    kernel: PositiveInt | None = Field(default=None, description="rows and columns of the first layer's patches")

    @property
    def in_words(self) -> str:
        """For example "window 5, kernel 3"."""
        sides = (("window", self.window), ("kernel", self.kernel))
        return ", ".join(f"{name} {side}" for name, side in sides if side is not None)

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if self.window is None and self.kernel is None:
            raise ValueError("a scale needs a window, a kernel, or both")
        return self


class SvmNetwork(Section):
    """A convolutional network whose filters and classifier are linear support vector machines."""

    kind: Literal["svmnet"]
    layers: Annotated[tuple[SvmLayer, ...], Field(min_length=1)]
    global_pool: Literal["none", "max", "average"] = "none"
    scales: tuple[Scale, ...] = Field(
        default=(), description="an ensemble with a member a scale, each with all layers; default: one network"
    )
    fusion: Literal["average", "majority"] = Field(
        default="average", description="of the members: their mean probabilities, or a vote each"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.scales) == 1:
            raise ValueError("scales has one entry; an ensemble needs two, and one network needs none")
        for number, (before, after) in enumerate(itertools.pairwise(self.layers), start=1):
            if before.bands is None and after.bands is not None:
                raise ValueError(
                    f"layers.{number} slides along the spectrum (bands: {after.bands}), and layers.{number - 1} has "
                    "used all bands up. Give that one bands too"
                )
        return self


class LinearSvms(Section):
    """No optimiser: layer by layer forward, every filter is a linear support vector machine."""

    kind: Literal["linear-svms"]
    patches: Annotated[int, Field(ge=4)] = Field(
        default=400, description="of each filter, half of them of its class; two thirds of those that exist at most"
    )
    costs: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = Field(
        default=(0.1, 1.0, 10.0, 100.0, 1000.0), description="from which cross-validation chooses each C"
    )
    folds: Annotated[int, Field(ge=2)] = Field(default=3, description="of the cross-validation, by whole images")
    classifier_costs: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = Field(
        default=(0.001, 0.01, 0.1, 1.0, 10.0, 100.0), description="from which the C of the classifier is chosen"
    )
    samples: PositiveInt = Field(default=10_000, description="training images of the classifier at the end, at most")
    search_samples: PositiveInt = Field(default=2_000, description="training images that choose its C, at most")
