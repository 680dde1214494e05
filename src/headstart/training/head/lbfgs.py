"""L-BFGS for smooth, strongly convex functions (Nocedal and Wright, "Numerical Optimization", 2006, algorithm 7.5).

SciPy's takes half a second to import, and has its own BLAS beside NumPy's: two thread pools that slow each other down.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

_MEMORY = 10
_SUFFICIENT_DECREASE, _SUFFICIENT_CURVATURE = 1e-4, 0.9  # the Wolfe conditions
_MAX_TRIALS = 20

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def minimise(objective: Objective, start: np.ndarray, *, tolerance: float, max_steps: int = 500) -> np.ndarray:
    """Minimise a function from a starting point.

    Args:
        objective: gives value and gradient, float64 (n,), at a point.
        start: float64 (n,).
        tolerance: stop when a step lowers the value by less than ``tolerance**2`` of it, or when the norm of the
            gradient is below ``tolerance`` times that at the start.
        max_steps: maximum number of steps.

    Returns:
        The best point found, float64 (n,).
    """
    point = start
    value, gradient = objective(point)
    small = tolerance * float(np.linalg.norm(gradient))
    pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=_MEMORY)
    for _ in range(max_steps):
        if float(np.linalg.norm(gradient)) <= small:
            break
        direction = _direction(gradient, pairs)
        next_point = _line_search(objective, point, value, gradient, direction)
        if next_point is None:
            break
        new_point, new_value, new_gradient = next_point
        step, change = new_point - point, new_gradient - gradient
        curvature = float(step @ change)
        if curvature > 0:
            pairs.append((step, change, curvature))
        decrease = value - new_value
        point, value, gradient = new_point, new_value, new_gradient
        if decrease <= tolerance**2 * abs(value):
            break
    return point


def _direction(gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """Minus the estimated inverse Hessian times the gradient, by the two-loop recursion."""
    q = gradient.copy()
    shares = []
    for step, change, curvature in reversed(pairs):
        share = float(step @ q) / curvature
        q -= share * change
        shares.append(share)
    if pairs:
        _, change, curvature = pairs[-1]
        q *= curvature / float(change @ change)
    for (step, change, curvature), share in zip(pairs, reversed(shares), strict=True):
        q += (share - float(change @ q) / curvature) * step
    return -q


def _line_search(
    objective: Objective, point: np.ndarray, value: float, gradient: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """A point that meets the weak Wolfe conditions, by bracketing and halving; None if none is found."""
    slope = float(gradient @ direction)
    if not slope < 0:
        return None
    low, high, length = 0.0, np.inf, 1.0
    best = None
    for _ in range(_MAX_TRIALS):
        new_point = point + length * direction
        new_value, new_gradient = objective(new_point)
        if not new_value <= value + _SUFFICIENT_DECREASE * length * slope:
            high = length
        else:
            best = (new_point, new_value, new_gradient)
            if float(new_gradient @ direction) >= _SUFFICIENT_CURVATURE * slope:
                return best
            low = length
        length = 2 * length if np.isinf(high) else (low + high) / 2
    return best
