"""What to change, from what was measured. Each rule is a function; what it says names the share that it rests on."""

from __future__ import annotations

from collections.abc import Callable

from konvoi.recipe import Recipe
from konvoi.recipe.source import LmdbSource, StoreSource
from konvoi.record import Record
from konvoi.timeline.operators import (
    ACTIVATION,
    BETWEEN,
    COMMUNICATION,
    CONVERSIONS,
    CONVOLUTION,
    DATA,
    DENSE,
    DROPOUT,
    ELEMENTS,
    FORMATS,
    HOST_TO_DEVICE,
    NORMALISATION,
    OPTIMISER,
    POOLING,
)
from konvoi.timeline.summary import TimelineSummary

MUCH_DATA = 0.02
MUCH_FORMAT = 0.05
MUCH_CONVERSION = 0.10
MUCH_BETWEEN = 0.15
MUCH_COMMUNICATION = 0.05
MUCH_OPTIMISER = 0.15
MUCH_VALUE_BY_VALUE = 0.35
MUCH_TRANSFER = 0.05
MUCH_RANDOM = 0.10


class Advice(Record):
    """One conclusion: what was measured, and what to try."""

    found: str
    change: str


class Circumstances(Record):
    """What the rules look at besides the summary.

    Attributes:
        best_precision: what `compute.precision: auto` would choose here.
        cores: that this process may use.
    """

    best_precision: str
    cores: int


Rule = Callable[[TimelineSummary, Recipe, Circumstances], Advice | None]


def advise(summary: TimelineSummary, recipe: Recipe, circumstances: Circumstances) -> list[Advice]:
    """What the rules conclude, in their order; nothing where no rule applies."""
    found = [rule(summary, recipe, circumstances) for rule in RULES]
    return [advice for advice in found if advice is not None]


def waits_for_data(summary: TimelineSummary, recipe: Recipe, _: Circumstances) -> Advice | None:
    """Batches are not ready when the step wants them."""
    share = summary.share_of(DATA)
    if share <= MUCH_DATA:
        return None
    changes = recipe.input.augment.model_dump(exclude_defaults=True)
    if isinstance(recipe.source, LmdbSource):
        change = "Pack the source into a store (konvoi data pack), which is read as memory."
    elif isinstance(recipe.source, StoreSource):
        change = "Put the store on a local disk, or into memory; see konvoi data info for its size."
    elif changes:
        change = (
            f"The images are in memory, so this is gathering and changing them (input.augment: {', '.join(changes)}). "
            "Try fewer changes, and see what that costs in accuracy."
        )
    else:
        change = "The images are in memory, so this is gathering and normalising them: little is to be gained."
    return Advice(found=f"{share:.1%} of the step waits for data.", change=change)


def copies_to_the_gpu(summary: TimelineSummary, _recipe: Recipe, _: Circumstances) -> Advice | None:
    """Images travel from the host to the GPU."""
    share = summary.share_of(HOST_TO_DEVICE)
    if share <= MUCH_TRANSFER:
        return None
    return Advice(
        found=f"{share:.1%} of the GPU's time are copies from the host.",
        change="Let fewer bytes travel: stored types (8 or 16 bits) are converted on the GPU; choose fewer bands.",
    )


def low_precision_is_there(summary: TimelineSummary, _recipe: Recipe, here: Circumstances) -> Advice | None:
    """Products in float32 although there are units for less."""
    share = summary.share_of(CONVOLUTION) + summary.share_of(DENSE)
    if summary.precision != "float32" or here.best_precision == "float32" or not share:
        return None
    return Advice(
        found=f"Convolutions and dense products take {share:.1%} of the step, in float32, and there are units for "
        f"{here.best_precision}.",
        change="compute.precision: auto; konvoi bench device measures how much faster products are.",
    )


def memory_format(summary: TimelineSummary, recipe: Recipe, _: Circumstances) -> Advice | None:
    """Arrays are copied because operators want another order of their axes."""
    share = summary.share_of(FORMATS)
    if not recipe.compute.channels_last and share + summary.share_of(CONVOLUTION) > MUCH_FORMAT:
        return Advice(
            found=f"compute.channels_last is off: convolutions take {summary.share_of(CONVOLUTION):.1%} of the step, "
            f"changes of format inside of them included, and copies {share:.1%} more.",
            change="compute.channels_last: true, the order in which convolutions are computed.",
        )
    if share <= MUCH_FORMAT:
        return None
    return Advice(
        found=f"{share:.1%} of the step are copies and changes of format.",
        change="Look in the trace for aten::copy_ and the operator around it: a layer wants another memory format.",
    )


def conversions(summary: TimelineSummary, _recipe: Recipe, _: Circumstances) -> Advice | None:
    """Weights and maps are converted between precisions at every step."""
    share = summary.share_of(CONVERSIONS)
    if share <= MUCH_CONVERSION:
        return None
    return Advice(
        found=f"{share:.1%} of the step are conversions between float32 and {summary.precision}.",
        change="A larger budget.batch: weights are converted once a step, whatever its batch.",
    )


def value_by_value(summary: TimelineSummary, recipe: Recipe, _: Circumstances) -> Advice | None:
    """Work that memory limits, which a compiler can put together."""
    share = sum(summary.share_of(kind) for kind in (NORMALISATION, ACTIVATION, POOLING, ELEMENTS))
    if share <= MUCH_VALUE_BY_VALUE or recipe.compute.compile:
        return None
    return Advice(
        found=f"Normalisation, activation, pooling and sums take {share:.1%} of the step; memory limits them, not "
        "arithmetic.",
        change="Try compute.compile: true, which reads a value once for several of them.",
    )


def little_work_a_call(summary: TimelineSummary, recipe: Recipe, _: Circumstances) -> Advice | None:
    """Python and the dispatcher take as long as the work that they start."""
    share = summary.share_of(BETWEEN)
    if share <= MUCH_BETWEEN:
        return None
    compiled = "" if recipe.compute.compile else ", or compute.compile: true"
    waits = "the GPU waits for the processor" if summary.device == "cuda" else "no operator runs"
    return Advice(
        found=f"In {share:.1%} of the step {waits}: each operator has little to do with {summary.batch} samples.",
        change=f"A larger budget.batch (konvoi study batch says what that costs){compiled}.",
    )


def optimiser(summary: TimelineSummary, _recipe: Recipe, _: Circumstances) -> Advice | None:
    """The update of the weights is long beside the gradients'."""
    share = summary.share_of(OPTIMISER)
    if share <= MUCH_OPTIMISER:
        return None
    return Advice(
        found=f"The optimiser takes {share:.1%} of the step; its work depends on the number of weights, not on the "
        "batch.",
        change="A larger budget.batch, or micro-batches (budget.accumulate) where memory is short.",
    )


def random_numbers(summary: TimelineSummary, _recipe: Recipe, _: Circumstances) -> Advice | None:
    """Dropout draws a number for each value."""
    share = summary.share_of(DROPOUT)
    if share <= MUCH_RANDOM:
        return None
    return Advice(
        found=f"Dropout and its random numbers take {share:.1%} of the step.",
        change="Drop after pooling instead of before it, where there are fewer values.",
    )


def communication(summary: TimelineSummary, recipe: Recipe, _: Circumstances) -> Advice | None:
    """Ranks wait for each other's gradients."""
    share = summary.share_of(COMMUNICATION)
    if share <= MUCH_COMMUNICATION:
        return None
    smaller = "" if recipe.parallel.gradients != "float32" else "parallel.gradients: bfloat16 halves the bytes; "
    return Advice(
        found=f"{share:.1%} of the step waits for other ranks ({summary.ranks} of them).",
        change=f"{smaller}a larger budget.batch makes exchanges rarer; konvoi scale says where that ends.",
    )


def idle_cores(summary: TimelineSummary, _recipe: Recipe, here: Circumstances) -> Advice | None:
    """Fewer threads than cores, on a processor."""
    if summary.device != "cpu" or summary.threads * summary.ranks >= here.cores:
        return None
    return Advice(
        found=f"{summary.threads * summary.ranks} of {here.cores} cores compute.",
        change="Unset OMP_NUM_THREADS, or set it to the cores that each rank may use.",
    )


RULES: tuple[Rule, ...] = (
    waits_for_data,
    copies_to_the_gpu,
    low_precision_is_there,
    memory_format,
    conversions,
    communication,
    little_work_a_call,
    value_by_value,
    optimiser,
    random_numbers,
    idle_cores,
)
