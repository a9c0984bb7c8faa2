"""Precision, recall, density and coverage of features, by nearest neighbours.

Features are arrays [n, d] of any real type; arithmetic is float64.
"""

import math

import numpy as np

from wgan_jax.data.content import content_order
from wgan_jax.metrics.metric import Metric, Number

BLOCK = 1024
# Images of each side, as in the papers: the work grows with the square.
LIMIT = 10_000


def precision_recall(real, fake, neighbours: int = 3) -> tuple[float, float]:
    """Share of fake in the real manifold, and of real in the fake manifold.

    Eqs. 1 and 2 of Kynkaanniemi et al. 2019. The manifold of a set is the union of the
    balls around its features; the radius of a ball is the distance to the k-th nearest
    other feature. Raises ValueError where a set has k features or fewer.
    """
    real, fake = _centred(real, fake)
    radii = [_radii(v, neighbours) for v in (real, fake)]
    precision, recall = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, squared in _squared_distances(real, fake):
        precision |= (squared <= radii[0][rows, None]).any(0)
        recall[rows] = (squared <= radii[1]).any(1)
    return float(precision.mean()), float(recall.mean())


def density_coverage(real, fake, neighbours: int = 5) -> tuple[float, float]:
    """Real balls around a fake feature, over k, and share of real balls with a fake.

    Eqs. 3 and 5 of Naeem et al. 2020, with the balls of `precision_recall`. Density has
    expectation 1 for equal distributions and can exceed 1. Raises ValueError where a
    set has k features or fewer.
    """
    real, fake = _centred(real, fake)
    radii = _radii(real, neighbours)
    inside, covered = 0, np.zeros(len(real), bool)
    for rows, squared in _squared_distances(real, fake):
        within = squared < radii[rows, None]
        inside += int(within.sum())
        covered[rows] = within.any(1)
    return inside / (neighbours * len(fake)), float(covered.mean())


def nearest(x, y) -> tuple[np.ndarray, np.ndarray]:
    """Number and Euclidean distance [n] of the row of y [m, d] nearest to each of x.

    y: anything that slices of rows are read from, in blocks.
    """
    x = np.asarray(x, np.float64)
    squares = np.full(len(x), math.inf)
    numbers = np.zeros(len(x), int)
    for start in range(0, len(y), BLOCK):
        block = np.asarray(y[start : start + BLOCK], np.float64).reshape(-1, x.shape[1])
        for rows, squared in _squared_distances(x, block):
            best = squared.argmin(1)
            least = squared[np.arange(len(best)), best]
            closer = least < squares[rows]
            numbers[rows][closer] = start + best[closer]
            squares[rows][closer] = least[closer]
    rows = [np.ravel(np.asarray(y[n : n + 1], np.float64)) for n in numbers]
    # The expanded square of a short distance has few digits.
    return numbers, np.linalg.norm(x - np.reshape(rows, x.shape), axis=1)


def _centred(x, y):
    # In one order for every order of the inputs, because sums round by their order.
    x, y = (np.asarray(v, np.float64)[content_order(v)] for v in (x, y))
    # Around zero the expanded square of a distance loses the fewest digits.
    middle = x.mean(0)
    return x - middle, y - middle


def _radii(x, neighbours):
    """Squared distances [n] of features to their k-th nearest other feature."""
    if len(x) <= neighbours:
        raise ValueError(f"{len(x)} features have no {neighbours} neighbours each")
    radii = np.empty(len(x))
    for rows, squared in _squared_distances(x, x):
        diagonal = np.arange(rows.start, rows.stop)
        # A feature is not its own neighbour, even where rounding makes it look so.
        squared[diagonal - rows.start, diagonal] = math.inf
        radii[rows] = np.partition(squared, neighbours - 1, 1)[:, neighbours - 1]
    return radii


def _squared_distances(x, y):
    """Pairs (slice of x, squared distances [rows, m] to y), BLOCK rows each."""
    squares = np.square(y).sum(1)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        part = x[rows]
        squared = np.square(part).sum(1)[:, None] + squares - 2 * (part @ y.T)
        yield rows, squared.clip(min=0)


def _compute(generated, real, seed):
    size = min(generated.count, real.count, LIMIT)
    sides = (f.rows[content_order(f.rows, seed)[:size]] for f in (real, generated))
    sides = tuple(sides)
    return *precision_recall(*sides), *density_coverage(*sides)


METRIC = Metric(
    numbers=tuple(
        Number(name, name) for name in ("precision", "recall", "density", "coverage")
    ),
    compute=_compute,
    needs_rows=True,
    sizes=lambda generated, real: (min(LIMIT, generated, real),) * 2,
    # One more than the neighbours of `density_coverage`.
    least=6,
)
