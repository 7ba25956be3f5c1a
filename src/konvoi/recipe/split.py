"""How samples are divided into train, validation and test; the methods for pixels of a scene are in `pixel_split`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from konvoi.recipe.pixel_split import PixelsSection
from konvoi.recipe.section import NonNegativeFloat, OpenFraction, PositiveFloat, PositiveInt, Section


class Blocks(Section):
    """Division in space: whole tiles of the ground go to one part, so that neighbours are not split."""

    size: PositiveFloat = Field(default=10.0, description="side of a tile, km")
    buffer: NonNegativeFloat = Field(
        default=0.0,
        description="km from centre to centre; training and validation patches nearer than this to a later part are "
        "left out (patches of 1.2 km overlap, corner to corner, up to 1.7)",
    )


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
