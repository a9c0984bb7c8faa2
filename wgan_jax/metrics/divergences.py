"""Total variation, Kullback-Leibler and Jensen-Shannon divergences, in nats.

TV = 1/2 sum |p - q|, at most 1. KL(p, q) = sum p log(p / q), infinite where p > 0 and
q = 0. JS = 1/2 KL(p, m) + 1/2 KL(q, m) with m = (p + q) / 2, at most log 2. Arjovsky et
al. (section 2) write JS without the two halves, which would reach 2 log 2, yet state
log 2 for their Example 1: the halves are meant.
"""

import dataclasses
import math

import numpy as np


def total_variation(p, q) -> float:
    """TV of two arrays of probabilities."""
    p, q = _probabilities(p, q)
    return float(np.abs(p - q).sum() / 2)


def kullback_leibler(p, q) -> float:
    """KL(p, q) of two arrays of probabilities."""
    p, q = _probabilities(p, q)
    some = p > 0
    if (q[some] == 0).any():
        return math.inf
    # A difference of logarithms: the quotient overflows for a tiny q.
    return float((p[some] * (np.log(p[some]) - np.log(q[some]))).sum())


def jensen_shannon(p, q) -> float:
    """JS of two arrays of probabilities."""
    p, q = _probabilities(p, q)
    total = 0.0
    for one, other in ((p, q), (q, p)):
        some = one > 0
        density, both = one[some], (one + other)[some]
        total += (density * (np.log(both) - np.log(density))).sum()
    return max(float(math.log(2) - total / 2), 0.0)


def histogram(samples, edges) -> np.ndarray:
    """Shares of samples [n] or [n, d] in the cells between `edges`, flat, sum 1.

    edges: an increasing array for [n], a sequence of d of them for [n, d]. One more
    cell, the last, has the share outside of all others. Divergences of histograms are
    biased upwards where there are many cells and few samples.
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim == 1:
        samples, edges = samples[:, None], [edges]
    counts = np.histogramdd(samples, bins=[np.asarray(e) for e in edges])[0].ravel()
    outside = len(samples) - counts.sum()
    return np.append(counts, outside) / len(samples)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """A normal distribution on the line."""

    mean: float
    std: float

    def __post_init__(self):
        if not self.std > 0:
            raise ValueError(f"std={self.std} must be greater than 0")

    def log_density(self, x):
        """Log of the density at x."""
        z = (x - self.mean) / self.std
        return -np.square(z) / 2 - math.log(self.std * math.sqrt(2 * math.pi))

    def below(self, x: float) -> float:
        """Probability of values below x."""
        return math.erfc((self.mean - x) / (self.std * math.sqrt(2))) / 2


def gaussian_total_variation(p: Gaussian, q: Gaussian) -> float:
    """TV of two Gaussians, from the points where their densities cross.

    erf(|d| / (2 sqrt(2) s)) for equal standard deviations s and means d apart;
    otherwise the narrower density is the larger between the two roots of a quadratic.
    """
    narrow, wide = sorted((p, q), key=lambda g: g.std)
    d = wide.mean - narrow.mean
    s, t = narrow.std, wide.std
    if s == t:
        return math.erf(abs(d) / (2 * math.sqrt(2) * s))
    # a x^2 + 2 b x + c = 0, x from the narrower mean, of the two log densities.
    a = (t - s) * (t + s) / (s * t) ** 2
    b = d / t**2
    c = -((d / t) ** 2) - 2 * math.log(t / s)
    # c < 0 < a: the roots have opposite signs, and neither loses digits to a difference
    # of nearly equal numbers.
    far = -(b + math.copysign(math.sqrt(b * b - a * c), b))
    low, high = sorted((far / a, c / far))
    low, high = low + narrow.mean, high + narrow.mean
    inside = narrow.below(high) - narrow.below(low)
    return inside - (wide.below(high) - wide.below(low))


def gaussian_kullback_leibler(p: Gaussian, q: Gaussian) -> float:
    """KL(p, q): log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2."""
    scale = p.std / q.std
    shift = (p.mean - q.mean) / q.std
    return -math.log(scale) + (scale**2 + shift**2 - 1) / 2


def gaussian_jensen_shannon(p: Gaussian, q: Gaussian) -> float:
    """JS of two Gaussians by quadrature, to 1e-12.

    There is no closed form. Gauss-Legendre panels of half a standard deviation of each,
    within 12 standard deviations of its mean, resolve both densities.
    """
    steps = np.arange(-12, 12.5, 0.5)
    edges = np.unique([g.mean + steps * g.std for g in (p, q)])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half + half * nodes).ravel()
    weights = (half * weights).ravel()
    log_p, log_q = p.log_density(x), q.log_density(x)
    log_sum = np.logaddexp(log_p, log_q)
    lost = np.exp(log_p) * (log_sum - log_p) + np.exp(log_q) * (log_sum - log_q)
    return max(float(math.log(2) - weights @ lost / 2), 0.0)


def parallel_lines(theta: float) -> dict[str, float]:
    """Example 1 of Arjovsky et al.: {0} x U[0, 1] against {theta} x U[0, 1].

    Only W1 = |theta| measures the distance of the lines: the divergences jump at 0.
    """
    apart = theta != 0
    return {
        "wasserstein": abs(theta),
        "jensen_shannon": math.log(2) if apart else 0.0,
        "kullback_leibler": math.inf if apart else 0.0,
        "total_variation": 1.0 if apart else 0.0,
    }


def _probabilities(p, q):
    p, q = (np.asarray(v, np.float64) for v in (p, q))
    if p.shape != q.shape:
        raise ValueError(f"probabilities {p.shape} and {q.shape} must have one shape")
    for v in (p, q):
        if not (v >= 0).all() or abs(v.sum() - 1) > 1e-6:
            raise ValueError(f"probabilities must be 0 or more and sum to 1: {v}")
    return p, q
