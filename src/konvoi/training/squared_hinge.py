"""The linear support vector machine with squared hinge loss, solved exactly by Newton's method.

½‖w‖² + ½b² + Σ Cᵢ max(0, 1 − yᵢ(w·xᵢ + b))², which is what liblinear's primal solver and scikit-learn's LinearSVC
minimise, and the tests compare the solutions. It is written here because a convolutional SVM network fits thousands of
small machines on the same few hundred patches: the products of all patches are taken once, and where liblinear needs
hundreds of passes over values that are almost divided, Newton's method ends after a few steps, exactly.

S. S. Keerthi and D. DeCoste, "A modified finite Newton method for fast solution of large scale linear SVMs", JMLR 6
(2005); with more values than patches, the equivalent in products of patches: O. Chapelle, "Training a support vector
machine in the primal", Neural Computation 19 (2007), equation 18.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]

_MOST_STEPS = 100
_ENOUGH = 1e-12
"""Of the objective's relative decrease in a step: what double precision can tell."""


@dataclass(frozen=True)
class Solution:
    """One machine.

    Attributes:
        rows: `(m,)`, the samples that it was fitted on.
        coefficients: `(m,)`, of those samples; or `(d + 1,)`, of the values and of the constant 1.
    """

    rows: NDArray[np.int64]
    coefficients: Floats


def one_thread_of_algebra() -> AbstractContextManager[object]:
    """Within it, NumPy's products use one thread: machines are fitted side by side, and each is too small for more."""
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


class Machines:
    """Machines on parts of the same samples."""

    def __init__(self, values: Floats) -> None:
        """Prepare what all machines share.

        Args:
            values: `(n, d)`, standardised: all dimensions and the bias are regularised alike.
        """
        self._values = np.column_stack([values, np.ones(len(values))])
        count, dimensions = self._values.shape
        self._products = self._values @ self._values.T if count <= 2 * dimensions else None

    def fit(
        self, rows: NDArray[np.int64], positive: NDArray[np.bool_], costs: Floats, start: Solution | None = None
    ) -> Solution:
        """The minimum, from zero or from another machine's solution on the same rows.

        Args:
            rows: `(m,)`, which samples.
            positive: `(m,)`, their sides.
            costs: `(m,)`, the C of each.
            start: from which the steps begin.
        """
        signs = np.where(positive, 1.0, -1.0)
        products = None if self._products is None else self._products[np.ix_(rows, rows)]
        matrix = self._values[rows] if products is None else products
        coefficients = np.zeros(matrix.shape[1]) if start is None else start.coefficients
        decisions = matrix @ coefficients
        objective = self._objective(coefficients, decisions, signs, costs)
        for _ in range(_MOST_STEPS):
            active = np.flatnonzero(signs * decisions < 1)
            if products is None:
                target = _primal_target(matrix[active], signs[active], costs[active])
            else:
                target = _dual_target(products, active, signs[active], costs[active])
            reached = matrix @ target
            step = 1.0
            while True:
                new = coefficients + step * (target - coefficients)
                new_decisions = decisions + step * (reached - decisions)
                new_objective = self._objective(new, new_decisions, signs, costs)
                if new_objective <= objective or step < 1e-9:
                    break
                step /= 2
            decrease = objective - new_objective
            if decrease >= 0:
                coefficients, decisions = new, new_decisions
            if decrease <= _ENOUGH * max(objective, 1e-30):
                break
            objective = new_objective
        return Solution(rows, coefficients)

    def decide(self, solution: Solution, rows: NDArray[np.int64]) -> Floats:
        """Decision values `(k,)` of samples, which need not be those that the machine was fitted on."""
        if self._products is None:
            return np.asarray(self._values[rows] @ solution.coefficients)
        return np.asarray(self._products[np.ix_(rows, solution.rows)] @ solution.coefficients)

    def weights(self, solution: Solution) -> tuple[Floats, float]:
        """The hyperplane: weights `(d,)` and bias."""
        whole = solution.coefficients
        if self._products is not None:
            whole = self._values[solution.rows].T @ solution.coefficients
        return whole[:-1], float(whole[-1])

    def _objective(self, coefficients: Floats, decisions: Floats, signs: Floats, costs: Floats) -> float:
        # In products of patches, ‖w‖² is the coefficients times the decision values.
        square = coefficients @ (coefficients if self._products is None else decisions)
        short = np.maximum(0.0, 1.0 - signs * decisions)
        return float(0.5 * square + costs @ (short * short))


def _primal_target(values: Floats, signs: Floats, costs: Floats) -> Floats:
    """Where the minimum would be if exactly these samples stayed within the margin: (I + 2XᵀCX) w = 2XᵀCy."""
    weighted = values * (2.0 * costs)[:, None]
    hessian = weighted.T @ values
    hessian.flat[:: len(hessian) + 1] += 1.0
    return _solve(hessian, weighted.T @ signs)


def _dual_target(products: Floats, active: NDArray[np.int64], signs: Floats, costs: Floats) -> Floats:
    """The same in coefficients of the samples: (K + diag(1 / 2C)) β = y, and 0 for all others."""
    matrix = products[np.ix_(active, active)]
    matrix.flat[:: len(matrix) + 1] += 0.5 / costs
    target = np.zeros(len(products))
    if len(active):
        target[active] = _solve(matrix, signs)
    return target


def _solve(positive_definite: Floats, right: Floats) -> Floats:
    # Read late, because every other training does without.
    from scipy.linalg import solve

    return np.asarray(solve(positive_definite, right, assume_a="pos", overwrite_a=True, check_finite=False))
