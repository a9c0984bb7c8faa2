"""Frechet distance of features: the FID, with Inception's.

Features are arrays [n, d] of any real type; arithmetic is float64.
"""

import dataclasses

import numpy as np

from wgan_jax.data.content import content_order
from wgan_jax.metrics.metric import Metric, Number


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, mean [d] and summed outer products of deviations from it [d, d]."""

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def none(cls, dimension: int) -> "Moments":
        """Moments of an empty set of features."""
        return cls(0, np.zeros(dimension), np.zeros((dimension, dimension)))

    @classmethod
    def of(cls, features) -> "Moments":
        """Moments of features [n, d], n of 1 or more, the same in every order."""
        x = np.asarray(features, np.float64)[content_order(features)]
        mean = x.mean(0)
        x = x - mean
        return cls(len(x), mean, x.T @ x)

    def merge(self, other: "Moments") -> "Moments":
        """Moments of the union (the update of Chan, Golub & LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return self
        step = other.mean - self.mean
        weight = other.count / count
        scatter = self.scatter + other.scatter
        scatter += np.outer(step, step * (self.count * weight))
        return Moments(count, self.mean + step * weight, scatter)

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
    The trace of the root is the sum of the singular values of F'G for any A = F F',
    B = G G'. Singular values resolve a zero to 1e-16 of the largest one. Roots of the
    eigenvalues of A B would resolve it to 1e-8 only, and features with fewer samples
    than dimensions have many zeros. Raises ValueError for fewer than 2 features or
    numbers that are not finite.
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
    # Rounding can make the distance of a sample to itself negative.
    return max(float(between + traces - 2 * root), 0.0)


def _factor(covariance):
    """F [d, r] with F F' the covariance; r is its numerical rank."""
    values, vectors = np.linalg.eigh(covariance)
    positive = values > 0
    return vectors[:, positive] * np.sqrt(values[positive])


DISTANCE = Number("frechet", "Frechet distance", "fid", "FID")
METRIC = Metric(
    numbers=(DISTANCE,),
    compute=lambda generated, real, seed: (
        frechet_distance(generated.moments, real.moments),
    ),
    # With fewer, the covariance is singular and the distance mostly their number.
    advised=lambda dimension: dimension + 1,
)
