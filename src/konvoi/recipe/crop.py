"""The recipe's words for a part of each image at a size of its own: `input.crop`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from konvoi.recipe.section import PositiveFloat, Section

CropSize = Annotated[int, Field(ge=2, le=10_000)]


class SizeChange(Section):
    """Another size of the training crops from an epoch on."""

    epoch: Annotated[int, Field(ge=0)] = Field(description="the first epoch with it, counted from 0")
    size: CropSize


class CropSection(Section):
    """A square part of each image, at a size of its own: drawn at random in training, the middle in validation.

    The random resized crop of Szegedy et al. (2015). Crops are bilinear, with antialiasing, and keep the proportions of
    pictures that a store holds as squares. `augment.flip` mirrors crops while they are made; the other changes of
    `augment` come after.
    """

    size: CropSize = Field(default=224, description="height and width in pixels of what the network sees")
    scale: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(0.08, 1.0), description="least and largest share of the image's area, in training"
    )
    ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(3 / 4, 4 / 3), description="least and largest width / height, in training"
    )
    centre: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.875, description="side of validation's square, as a share of the image's short side"
    )
    sizes: tuple[SizeChange, ...] = Field(
        default=(), description="progressive resizing: sizes of the training crops by epoch; `size` before the first"
    )

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        if self.scale[0] > self.scale[1] or self.scale[1] > 1:
            raise ValueError(f"scale {list(self.scale)} must rise, and no crop is larger than its image (1)")
        if self.ratio[0] > self.ratio[1]:
            raise ValueError(f"ratio {list(self.ratio)} must rise")
        epochs = [change.epoch for change in self.sizes]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"sizes change at epochs {epochs}, which must rise")
        return self

    def size_in(self, epoch: int) -> int:
        """The size of the training crops in an epoch, counted from 0."""
        return next((change.size for change in reversed(self.sizes) if change.epoch <= epoch), self.size)
