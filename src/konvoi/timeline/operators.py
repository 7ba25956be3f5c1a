"""PyTorch's operators in plain words: which kind of work an operator or a kernel does."""

from __future__ import annotations

from collections.abc import Sequence

CONVOLUTION = "convolution"
DENSE = "dense products"
NORMALISATION = "normalisation"
ACTIVATION = "activation"
POOLING = "pooling"
ELEMENTS = "sums and other work value by value"
FORMATS = "copies and changes of format"
CONVERSIONS = "conversions of precision"
DROPOUT = "dropout and random numbers"
COMPILED = "compiled kernels"
HOST_TO_DEVICE = "host to device"
DATA = "data"
LOSS = "loss"
OPTIMISER = "optimiser"
COMMUNICATION = "communication"
BETWEEN = "between operators"

KINDS = (
    CONVOLUTION, DENSE, NORMALISATION, ACTIVATION, POOLING, ELEMENTS, DROPOUT, COMPILED, FORMATS, CONVERSIONS, LOSS,
    OPTIMISER, COMMUNICATION, HOST_TO_DEVICE, DATA, BETWEEN,
)  # fmt: skip
"""In the order of figures. `BETWEEN` is Python, the dispatcher, and a GPU that waits for them."""

_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (COMMUNICATION, ("nccl", "c10d::", "gloo:", "all_reduce", "allreduce")),
    (HOST_TO_DEVICE, ("memcpy htod",)),
    (COMPILED, ("triton", "inductor", "cpp_fused", "compiledfunction", "torch-compiled")),
    (CONVOLUTION, ("conv2d", "convolution", "conv3d", "conv1d")),
    (NORMALISATION, ("batch_norm", "batchnorm", "layer_norm", "group_norm")),
    (POOLING, ("pool",)),
    (DENSE, ("aten::linear", "addmm", "aten::mm", "aten::bmm", "matmul")),
    (ACTIVATION, ("relu", "clamp_min", "threshold", "gelu", "tanh", "sigmoid")),
    (DROPOUT, ("dropout", "bernoulli", "aten::rand", "aten::normal_", "aten::uniform_")),
    (FORMATS, ("aten::contiguous", "aten::clone")),
    (CONVERSIONS, ("aten::_to_copy",)),
    (
        ELEMENTS,
        (
            "aten::add", "aten::mul", "aten::div", "aten::sub", "aten::sum", "aten::mean", "aten::fill_", "aten::zero",
            "aten::stack", "aten::cat", "aten::argmax", "aten::eq", "aten::gt", "aten::_foreach", "accumulategrad",
            "aten::index", "aten::sqrt", "aten::pow",
        ),
    ),
)  # fmt: skip
"""The first kind one of whose words is part of the name, in lower case."""

_COPY = "aten::copy_"


def kind_of_name(name: str) -> str | None:
    """The kind of an operator or kernel by its name alone; None of one that only serves others, such as `empty`."""
    lower = name.lower()
    for kind, words in _WORDS:
        if any(word in lower for word in words):
            return kind
    return None


def kind_of(stack: Sequence[str]) -> str:
    """The kind of work of a moment, by the innermost operator that has one.

    Args:
        stack: names of the open spans, from the outermost to the innermost.
    """
    copies = False
    for name in reversed(stack):
        if name == _COPY:
            # What is copied, and why, is known one level further out.
            copies = True
            continue
        kind = kind_of_name(name)
        if kind in (FORMATS, CONVERSIONS):
            return kind
        if copies and name.startswith(("aten::", "autograd::", "torch::autograd")):
            return FORMATS
        if kind is not None:
            return kind
    return FORMATS if copies else BETWEEN


def operator_of(stack: Sequence[str]) -> str | None:
    """The innermost operator that has a kind, for the table of operators."""
    for name in reversed(stack):
        if name.startswith("aten::") and (name == _COPY or kind_of_name(name) is not None):
            return name
    return None
