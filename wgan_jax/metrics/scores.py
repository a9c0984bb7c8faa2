"""Scores of generated images from what a network makes of them, in float64 numpy.

Features are arrays [n, d] and logits [n, k] of any real type; a distribution of classes
is the softmax of logits. What is streamed takes constant memory.
"""

import dataclasses
import math

import numpy as np

BLOCK = 1024


# ------------------------------------------------------------------- Frechet distance


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, mean [d] and summed outer products of deviations from it [d, d]."""

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def none(cls, dimension: int) -> "Moments":
        """Moments of no features at all, to begin with."""
        return cls(0, np.zeros(dimension), np.zeros((dimension, dimension)))

    @classmethod
    def of(cls, features) -> "Moments":
        """Moments of features [n, d], n of 1 or more."""
        x = np.asarray(features, np.float64)
        mean = x.mean(0)
        x = x - mean
        return cls(len(x), mean, x.T @ x)

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both together (the update of Chan, Golub & LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return self
        step = other.mean - self.mean
        sharding = other.count / count
        scatter = self.scatter + other.scatter
        scatter += np.outer(step, step * (self.count * sharding))
        return Moments(count, self.mean + step * sharding, scatter)

    def update(self, features) -> "Moments":
        """Moments with features [n, d] added."""
        return self.merge(Moments.of(features))

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance [d, d], of 2 features or more."""
        return self.scatter / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)), the squared W2 of two Gaussians.

    Dowson & Landau 1982; of Inception features the FID, eq. 6 of Heusel et al. 2017.
    The trace of the root is that of (A^(1/2) B A^(1/2))^(1/2), whose eigenvalues are
    the singular values of F'G for any A = F F', B = G G'. These are taken: a zero is
    then found to 1e-16 of the largest, as the root of an eigenvalue it would be to 1e-8
    only, which features with fewer samples than dimensions have many times over. Raises
    ValueError for fewer than 2 features or numbers that are not finite.
    """
    for moments in (a, b):
        if moments.count < 2:
            raise ValueError(f"{moments.count} features have no covariance")
        if not np.isfinite(moments.scatter).all():
            raise ValueError("features must be finite")
    product = _factor(a.covariance).T @ _factor(b.covariance)
    root = np.linalg.svd(product, compute_uv=False).sum()
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    between = np.square(a.mean - b.mean).sum()
    # Rounding alone can take the distance of a sample to itself below zero.
    return max(float(between + traces - 2 * root), 0.0)


def _factor(covariance):
    """F [d, r] with F F' the covariance, r its rank or what rounding makes of it."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 0
    return vectors[:, kept] * np.sqrt(values[kept])


# --------------------------------------------------------------------- Inception score


class SplitScore:
    """The Inception score of logits that come in parts, of a count known before."""

    def __init__(self, count: int, splits: int = 10):
        """Raises ValueError for fewer logits than splits."""
        if count < splits:
            raise ValueError(f"{count} logits cannot be split into {splits}")
        self.ends = np.arange(1, splits + 1) * count // splits
        self.splits, self.seen = splits, 0
        self.sums = self.entropies = None

    def update(self, logits) -> None:
        """Adds logits [n, k]."""
        x = np.asarray(logits, np.float64)
        x = x - x.max(1, keepdims=True)
        log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
        p = np.exp(log_p)
        if self.sums is None:
            self.sums = np.zeros((self.splits, x.shape[1]))
            self.entropies = np.zeros(self.splits)
        part = np.searchsorted(self.ends, self.seen + np.arange(len(x)), "right")
        np.add.at(self.sums, part, p)
        # exp of -inf is 0, and 0 log 0 counts as 0.
        negative = np.where(p > 0, p * np.where(p > 0, log_p, 0), 0).sum(1)
        np.add.at(self.entropies, part, negative)
        self.seen += len(x)

    def result(self) -> tuple[float, float]:
        """See `inception_score`."""
        if self.seen != self.ends[-1]:
            raise ValueError(f"{self.seen} logits came where {self.ends[-1]} were due")
        counts = np.diff(self.ends, prepend=0)
        mean = self.sums / counts[:, None]
        logs = np.log(np.where(mean > 0, mean, 1))
        divergences = self.entropies / counts - (mean * logs).sum(1)
        scores = np.exp(divergences)
        return float(scores.mean()), float(scores.std())


def inception_score(logits, splits: int = 10) -> tuple[float, float]:
    """exp(E KL(p(y|x), p(y))) in each of `splits` consecutive parts: mean, deviation.

    Salimans et al. 2016 (section 4), whose code takes the deviation over the parts,
    with n and not n - 1. Between 1 and the number of classes. logits: [n, k].
    """
    score = SplitScore(len(logits), splits)
    for start in range(0, len(logits), BLOCK):
        score.update(logits[start : start + BLOCK])
    return score.result()


# --------------------------------------------------------------------- kernel distance


@dataclasses.dataclass(frozen=True)
class KernelDistance:
    """MMD^2 over subsets of the features."""

    mean: float
    std: float
    """Over the subsets, with n and not n - 1; they overlap, so it is no error."""
    subsets: int
    size: int
    """Features of each side in a subset: as asked for, or all of the smaller side."""


def squared_mmd(x, y) -> float:
    """The unbiased MMD^2 of features x [n, d], y [m, d] by the kernel (<x,y>/d + 1)^3.

    Lemma 6 of Gretton et al. 2012, with the kernel of section 3.1 of Binkowski et al.
    2018. Zero in the mean between equal distributions, so often below it.
    """
    x, y = (np.asarray(v, np.float64) for v in (x, y))
    n, m = len(x), len(y)

    def kernel(a, b):
        base = a @ b.T / a.shape[1] + 1
        # Many times as fast as base**3.
        return base * base * base

    own = [kernel(v, v) for v in (x, y)]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in own]
    return float(sum(within) - 2 * kernel(x, y).sum() / (n * m))


def kernel_distance(
    x, y, subsets: int = 100, size: int = 1000, seed: int = 0
) -> KernelDistance:
    """KID: `squared_mmd` of random subsets of x [n, d] and y [m, d], mean over them.

    Binkowski et al. 2018. A subset has `size` features of each side, each once, or
    fewer where a side has fewer. Raises ValueError where a side has fewer than 2.
    """
    size = min(size, len(x), len(y))
    if size < 2:
        raise ValueError(f"{len(x)} and {len(y)} features: both must be 2 or more")
    rng = np.random.default_rng(seed)
    values = [
        squared_mmd(*(v[rng.choice(len(v), size, replace=False)] for v in (x, y)))
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values)), subsets, size)


# -------------------------------------------------------------------------- neighbours


def precision_recall(real, fake, neighbours: int = 3) -> tuple[float, float]:
    """Shares of fake within the real manifold, and of real within the fake one.

    Eqs. 1 and 2 of Kynkaanniemi et al. 2019: the manifold of a set is the union of the
    balls around its features, each as wide as the distance to the feature's k-th
    nearest other one. Raises ValueError where a set has no more than k.
    """
    real, fake = _centred(real, fake)
    radii = [_radii(v, neighbours) for v in (real, fake)]
    precision, recall = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, squared in _squared_distances(real, fake):
        precision |= (squared <= radii[0][rows, None]).any(0)
        recall[rows] = (squared <= radii[1]).any(1)
    return float(precision.mean()), float(recall.mean())


def density_coverage(real, fake, neighbours: int = 5) -> tuple[float, float]:
    """Real balls that a fake one lies in, over k, and the share of them that hold one.

    Eqs. 3 and 5 of Naeem et al. 2020, with the balls of `precision_recall`: density is
    1 in the mean where the distributions are equal, and can be above. Raises ValueError
    where a set has no more than k.
    """
    real, fake = _centred(real, fake)
    radii = _radii(real, neighbours)
    inside, covered = 0, np.zeros(len(real), bool)
    for rows, squared in _squared_distances(real, fake):
        within = squared < radii[rows, None]
        inside += int(within.sum())
        covered[rows] = within.any(1)
    return inside / (neighbours * len(fake)), float(covered.mean())


def _centred(x, y):
    # About zero, the expanded square of a distance keeps the most digits.
    x, y = (np.asarray(v, np.float64) for v in (x, y))
    middle = x.mean(0)
    return x - middle, y - middle


def _radii(x, neighbours):
    """Squared distances [n] of features to their k-th nearest other one."""
    if len(x) <= neighbours:
        raise ValueError(f"{len(x)} features have no {neighbours} neighbours each")
    radii = np.empty(len(x))
    for rows, squared in _squared_distances(x, x):
        own = np.arange(rows.start, rows.stop)
        # Each is not its own neighbour, however its distance to itself is rounded.
        squared[own - rows.start, own] = math.inf
        radii[rows] = np.partition(squared, neighbours - 1, 1)[:, neighbours - 1]
    return radii


def _squared_distances(x, y):
    """Pairs (rows of x, squared distances [rows, m] to y), BLOCK rows at a time."""
    squares = np.square(y).sum(1)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        part = x[rows]
        squared = np.square(part).sum(1)[:, None] + squares - 2 * (part @ y.T)
        yield rows, squared.clip(min=0)
