"""A critic's estimate of the distance between two samples, and its slopes."""

import dataclasses
import math
from collections.abc import Callable

import jax
import numpy as np
from jax.tree_util import Partial

from wgan_jax.algorithm import losses
from wgan_jax.data.content import content_order


@dataclasses.dataclass(frozen=True)
class CriticEstimate:
    """A critic's estimate of W1 and its input gradients between the samples."""

    estimate: float
    """E[critic(real)] - E[critic(fake)], in units of the critic's free slope."""
    mean_norm: float
    """Mean norm of the input gradient between the samples."""
    largest_norm: float
    """Largest of those norms."""

    @property
    def calibrated(self) -> float:
        """estimate / mean_norm, in the units of the samples."""
        return _ratio(self.estimate, self.mean_norm)

    @property
    def lower_bound_on_points(self) -> float:
        """estimate / largest_norm, in the units of the samples."""
        return _ratio(self.estimate, self.largest_norm)


def measure(score: Callable, real, fake, seed: int = 0, size: int = 250):
    """The `CriticEstimate` of a critic on independent samples, both float [n, ...].

    score: function from [n, ...] to [n] that treats samples independently; as a
    jax.tree_util.Partial over its weights it is compiled once. Norms are taken at the n
    points epsilon real + (1 - epsilon) fake, epsilon ~ U[0, 1], where the penalty of
    Gulrajani et al. acts. The pairs are random by the seed, whatever the order of the
    samples. size: samples in one pass. Raises ValueError for samples of unequal number.

    By Kantorovich and Rubinstein (eq. 2 of Arjovsky et al.) estimate / L is at most W1
    for the critic's Lipschitz constant L. `calibrated` divides by the mean norm, which
    removes the critic's scale. It equals W1 exactly where the critic is a multiple of
    an optimal potential whose slope is 1 at all points between the samples (as between
    a sample and its translation), and is not a bound elsewhere. Division by L, the
    largest slope anywhere, would give a lower bound of W1: `lower_bound_on_points`
    divides by the largest slope of the n points.
    """
    if len(real) != len(fake):
        raise ValueError(f"{len(real)} real and {len(fake)} fake samples must be pairs")
    if not isinstance(score, Partial):
        score = Partial(score)
    real, fake = (
        np.asarray(v)[content_order(v, seed + i)] for i, v in enumerate((real, fake))
    )
    epsilon = np.random.default_rng(seed).uniform(size=len(real)).astype(real.dtype)
    parts = [
        _measure_batch(score, *(v[start : start + size] for v in (real, fake, epsilon)))
        for start in range(0, len(real), size)
    ]
    score_real, score_fake, norms = (
        np.concatenate([np.asarray(part, np.float64) for part in column])
        for column in zip(*parts, strict=True)
    )
    return CriticEstimate(
        estimate=float(score_real.mean() - score_fake.mean()),
        mean_norm=float(norms.mean()),
        largest_norm=float(norms.max()),
    )


@jax.jit
def _measure_batch(score, real, fake, epsilon):
    x = losses.interpolate(real, fake, epsilon)
    return score(real), score(fake), losses.gradient_norms(score, x)


def _ratio(estimate, norm):
    # A constant critic has no scale to divide by.
    return estimate / norm if norm > 0 else math.nan
