"""In which arithmetic a network trains: chosen once, recorded with the run, and used by every step."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from konvoi.errors import RecipeError

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A chosen arithmetic.

    Attributes:
        name: `float32`, `tf32`, `bfloat16` or `float16`. Weights, losses and optimiser states are float32 in any case;
            tf32 rounds the factors of products to 10 bits, on a GPU.
        why: in words, for the run's record.
    """

    name: str
    why: str

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which the network runs forward."""
        return torch.autocast(device.type, DTYPES[self.name], enabled=DTYPES[self.name] != torch.float32)

    def make_exact(self) -> None:
        """Where the arithmetic is float32, keep cuDNN from rounding to TF32 and from unrepeatable algorithms."""
        if not torch.cuda.is_available():
            return
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.name != "float32"
        torch.backends.cudnn.deterministic = self.name == "float32"

    @property
    def needs_scaler(self) -> bool:
        """float16 gradients underflow without a scaled loss."""
        return self.name == "float16"


def choose_device(wanted: str, local_rank: int = 0) -> torch.device:
    """The device of a recipe's `compute.device`.

    Args:
        wanted: `auto`, `cpu` or `cuda`.
        local_rank: of several ranks on a host, each takes the GPU of its number.

    Raises:
        RecipeError: CUDA was asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RecipeError("compute.device is cuda, and PyTorch finds no CUDA device here. Use auto or cpu.")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """The arithmetic of a recipe's `compute.precision`; `auto` takes the fastest the hardware is built for.

    Raises:
        RecipeError: float16 on a CPU, which has no scaler and no speed; tf32 where there are no units for it.
    """
    if wanted == "tf32" and (device.type == "cpu" or torch.cuda.get_device_capability(device)[0] < 8):
        raise RecipeError(
            "compute.precision tf32 needs a GPU of compute capability 8.0 or more. Here use auto, bfloat16 or float32."
        )
    if wanted == "float16" and device.type == "cpu":
        raise RecipeError("compute.precision float16 needs a GPU. On a CPU use auto, bfloat16 or float32.")
    if wanted != "auto":
        return Precision(wanted, "as the recipe says")
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= 8:
            return Precision("bfloat16", f"GPU of compute capability {major}.{minor}")
        if major == 7:
            return Precision("float16", f"GPU of compute capability {major}.{minor}, without bfloat16 units")
        return Precision("float32", f"GPU of compute capability {major}.{minor}, without 16-bit matrix units")
    unit = bfloat16_unit()
    if unit:
        return Precision("bfloat16", f"processor with {unit}")
    return Precision("float32", "processor without bfloat16 units")


def bfloat16_unit() -> str | None:
    """The name of this processor's bfloat16 unit, or None."""
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("amx_bf16"):
        return "AMX bfloat16 matrix units"
    if capabilities.get("avx512_bf16"):
        return "AVX-512 bfloat16 units"
    return None
