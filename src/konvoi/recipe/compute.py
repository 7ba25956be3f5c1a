"""On what a network is trained, in which arithmetic, and how several ranks work together."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from konvoi.recipe.section import PositiveFloat, Section


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
