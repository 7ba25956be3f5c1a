"""What the network sees of an image, and how training images are changed at random; crops are in `crop`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from konvoi.recipe.crop import CropSection
from konvoi.recipe.section import Fraction, NonNegativeFloat, OpenFraction, Section


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
