"""Products of matrices: with a vector, by columns and by the library; and with each other.

A product of a matrix and a vector uses each entry once and can be no faster than memory. A product of two matrices uses
each entry n times, and that is why processors with many units help.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from konvoi.hardware.devices import arithmetic
from konvoi.hardware.measurement import Measurement, measure

BY_COLUMNS = "matrix–vector by columns"
MATRIX_VECTOR = "matrix–vector, library"
MATRIX_MATRIX = "matrix–matrix"


def product_by_columns(columns: Sequence[Tensor], vector: Sequence[float], out: Tensor) -> Tensor:
    """y = Σⱼ cⱼ·bⱼ: the columns of a matrix, each times its entry of the vector, added up.

    Every processor can work on columns of its own, and needs of the vector only their entries.

    Args:
        columns: c₁ … cₙ, `(M,)` each.
        vector: b₁ … bₙ.
        out: y, `(M,)`, overwritten.

    Returns:
        `out`.
    """
    out.zero_()
    for column, entry in zip(columns, vector, strict=True):
        out.add_(column, alpha=entry)
    return out


def matrix_vector_cost(rows: int, columns: int, item: int) -> tuple[int, int]:
    """Operations of a product of a matrix and a vector, and bytes moved at least, with entries of `item` bytes."""
    return 2 * rows * columns, (rows * columns + rows + columns) * item


def matrix_matrix_cost(rows: int, inner: int, columns: int, item: int) -> tuple[int, int]:
    """Operations of a product of two matrices, `rows` × `inner` by `inner` × `columns`, and bytes moved at least."""
    return 2 * rows * inner * columns, (rows * inner + inner * columns + rows * columns) * item


def measure_matrix_vector(
    device: torch.device, side: int, precision: str, seconds: float, threads: int | None = None
) -> list[Measurement]:
    """A square matrix and a vector: written as the sum over columns, and by the library."""
    with arithmetic(precision) as dtype:
        # Row j of the transposed matrix is column j, whose entries then lie side by side.
        transposed = random_values((side, side), device, dtype)
        vector = random_values((side,), device, dtype)
        matrix = transposed.t().contiguous()
        columns, entries, out = list(transposed.unbind()), vector.tolist(), torch.empty_like(vector)
        cost = matrix_vector_cost(side, side, dtype.itemsize)
        return [
            measure(
                work,
                device,
                seconds,
                operation=name,
                size=f"{side:,}²",
                precision=precision,
                cost=cost,
                threads=threads,
            )
            for name, work in (
                (BY_COLUMNS, lambda: product_by_columns(columns, entries, out)),
                (MATRIX_VECTOR, lambda: torch.mv(matrix, vector, out=out)),
            )
        ]


def measure_matrix_matrix(
    device: torch.device, side: int, precision: str, seconds: float, threads: int | None = None
) -> Measurement:
    """Two square matrices, by the library."""
    with arithmetic(precision) as dtype:
        left, right = (random_values((side, side), device, dtype) for _ in range(2))
        out = torch.empty_like(left)
        return measure(
            lambda: torch.mm(left, right, out=out),
            device,
            seconds,
            operation=MATRIX_MATRIX,
            size=f"{side:,}³",
            precision=precision,
            cost=matrix_matrix_cost(side, side, side, dtype.itemsize),
            threads=threads,
        )


def random_values(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Uniform in [−0.5, 0.5): a GPU saves power on zeros, and would look faster than it is."""
    generator = torch.Generator(device).manual_seed(len(shape))
    return (torch.rand(shape, device=device, generator=generator) - 0.5).to(dtype)
