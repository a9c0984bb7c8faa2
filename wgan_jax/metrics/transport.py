"""Wasserstein-1 distances between samples. The only file that imports POT.

Samples are arrays [n, d], or [n] for d = 1; all arithmetic is float64.
"""

import dataclasses
import math
import os
import warnings
from collections.abc import Callable

import numpy as np

from wgan_jax.data.content import content_order


@dataclasses.dataclass(frozen=True)
class MeanStd:
    """Mean and standard deviation of a repeated measurement."""

    mean: float
    std: float
    """Sample standard deviation (n - 1) of one measurement; NaN where n is 1."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Distance of samples from the truth, and of the truth from itself."""

    distance: MeanStd
    floor: MeanStd
    ratio: float
    """Mean distance over mean floor; samples of the truth have ratio 1."""


def mean_std(values) -> MeanStd:
    """Mean and sample standard deviation of one number or more."""
    values = np.asarray(values, np.float64)
    std = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return MeanStd(mean=float(values.mean()), std=std)


def wasserstein_1(x, y, iterations: int = 100_000_000) -> float:
    """Exact W1 between the empirical distributions of x [n, d] and y [m, d].

    The least mean Euclidean distance over all couplings (eq. 1 of Arjovsky et al.), by
    sorting for d = 1 and otherwise by POT's network simplex, which needs memory for n m
    numbers. Raises ValueError for shapes that do not match and for values that are not
    finite, RuntimeError where `iterations` do not reach the optimum.
    """
    x, y = _points(x, y)
    if x.shape[1] == 1:
        return float(_sorted_distance(x, y)[0])
    squared = np.zeros((len(x), len(y)))
    # Coordinate by coordinate: the expanded square would lose half the digits.
    for a, b in zip(x.T, y.T, strict=True):
        squared += np.square(a[:, None] - b[None, :])
    with warnings.catch_warnings():
        # POT's warning is raised as an error below.
        warnings.simplefilter("ignore")
        cost, log = _pot().emd2(
            [], [], np.sqrt(squared), numItermax=iterations, log=True
        )
    if log["warning"] is not None:
        raise RuntimeError(
            f"no optimal transport between {len(x)} and {len(y)} points: "
            f"{log['warning']}"
        )
    return float(cost)


def sliced_wasserstein(x, y, seed: int = 0, projections: int = 256) -> float:
    """Mean over directions of the exact W1 between the projections of x and y.

    Estimates E[W1(<u, x>, <u, y>)] for u uniform on the unit sphere of R^d, without a
    further constant, by `projections` directions drawn by `seed`. It is at most W1. For
    a translation by v it is |v| E|<u, e>| = |v| Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)):
    2/pi |v| in the plane, about sqrt(2 / (pi d)) |v| in many dimensions.
    """
    x, y = _points(x, y)
    u = np.random.default_rng(seed).normal(size=(x.shape[1], projections))
    u /= np.linalg.norm(u, axis=0)
    return float(_sorted_distance(x @ u, y @ u).mean())


def distances(
    draw_x: Callable,
    draw_y: Callable,
    n: int,
    repeats: int,
    seed: int,
    distance: Callable = wasserstein_1,
) -> MeanStd:
    """distance(x, y) over independent pairs x = draw_x(seed, n), y = draw_y(seed, n).

    Each draw has a separate seed, an integer below 2^32 derived from `seed`.
    """
    return mean_std(
        [
            distance(draw_x(a, n), draw_y(b, n))
            for a, b in pair_seeds(seed, repeats).tolist()
        ]
    )


def distance_to_truth(
    generate: Callable,
    draw: Callable,
    n: int,
    repeats: int,
    seed: int,
    distance: Callable = wasserstein_1,
) -> Comparison:
    """Distance of generate(seed, n) to the truth draw(seed, n), and its floor.

    The floor is the distance of two independent samples of the truth, the score of a
    perfect generator. An empirical distance is positive even between equal
    distributions and falls with n (W1 as n^-1/2 in one dimension, nearly so in two, as
    n^(-1/d) in more). Both distances use the same second halves of the pairs, so that
    part of the noise cancels.
    """
    value = distances(generate, draw, n, repeats, seed, distance)
    floor = distances(draw, draw, n, repeats, seed, distance)
    ratio = value.mean / floor.mean if floor.mean else math.inf
    return Comparison(distance=value, floor=floor, ratio=ratio)


def pair_seeds(seed: int, repeats: int) -> np.ndarray:
    """Seeds [repeats, 2] of both samples of each pair, as `distances` draws them."""
    state = np.random.SeedSequence(seed).generate_state(2 * repeats)
    return state.reshape(repeats, 2)


def _points(x, y):
    x, y = (np.asarray(v, np.float64) for v in (x, y))
    x, y = (v[:, None] if v.ndim == 1 else v for v in (x, y))
    fits = x.ndim == y.ndim == 2 and x.shape[1] == y.shape[1] and len(x) and len(y)
    if not fits:
        raise ValueError(f"samples {x.shape} and {y.shape} must be [n, d] and [m, d]")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("samples must be finite")
    # In one order for every order of the inputs, because sums round by their order.
    return x[content_order(x)], y[content_order(y)]


def _sorted_distance(x, y):
    """W1 [k] of the columns of x [n, k] and y [m, k]: integral of |F^-1 - G^-1|."""
    n, m = len(x), len(y)
    x, y = np.sort(x, 0), np.sort(y, 0)
    if n == m:
        return np.abs(x - y).mean(0)
    # Both quantile functions are constant between these multiples of 1 / (n m).
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    gaps = np.abs(x[(ends - 1) // m] - y[(ends - 1) // n])
    return widths @ gaps


def _pot():
    # POT imports every installed array library by default, which takes many seconds.
    for library in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{library}", "1")
    import ot

    return ot
