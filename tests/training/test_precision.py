"""Which arithmetic is chosen where, and what is refused."""

from __future__ import annotations

import pytest
import torch

from konvoi.errors import RecipeError
from konvoi.training.precision import bfloat16_unit, choose_device, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("wanted", "says"), [("float16", "float16 needs a GPU"), ("tf32", "tf32 needs a GPU")])
def test_what_only_a_gpu_can_is_refused_on_a_processor(wanted: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        choose_precision(wanted, CPU)


def test_auto_takes_the_processors_own_units() -> None:
    chosen = choose_precision("auto", CPU)
    unit = bfloat16_unit()
    assert chosen.name == ("float32" if unit is None else "bfloat16")
    assert unit is None or unit in chosen.why


@pytest.mark.parametrize(("wanted", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_products_are_made_in_the_chosen_arithmetic(wanted: str, dtype: torch.dtype) -> None:
    with choose_precision(wanted, CPU).autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_processor_stays_one_whatever_the_rank() -> None:
    assert choose_device("cpu", local_rank=3) == CPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; PyTorch finds none here")
def test_ranks_of_a_host_take_its_gpus_in_turn() -> None:
    count = torch.cuda.device_count()
    assert [choose_device("auto", rank).index for rank in range(2 * count)] == [*range(count)] * 2
