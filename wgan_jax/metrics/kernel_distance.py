"""Kernel distance of features: the KID, with Inception's.

Features are arrays [n, d] of any real type; arithmetic is float64.
"""

import numpy as np

from wgan_jax.data.content import content_order
from wgan_jax.metrics.metric import Metric, Number

SIZE = 1000


def squared_mmd(x, y) -> float:
    """The unbiased MMD^2 of features x [n, d], y [m, d] by the kernel (<x,y>/d + 1)^3.

    Lemma 6 of Gretton et al. 2012, with the kernel of section 3.1 of Binkowski et al.
    2018. Its expectation is 0 for equal distributions, so it is often negative.
    """
    x, y = (np.asarray(v, np.float64) for v in (x, y))
    n, m = len(x), len(y)

    def kernel(a, b):
        base = a @ b.T / a.shape[1] + 1
        # Many times faster than base**3.
        return base * base * base

    kernels = [kernel(v, v) for v in (x, y)]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels]
    return float(sum(within) - 2 * kernel(x, y).sum() / (n * m))


def kernel_distance(
    x, y, subsets: int = 100, size: int = SIZE, seed: int = 0
) -> tuple[float, float]:
    """(mean, standard deviation) of `squared_mmd` over random subsets of both sides.

    Binkowski et al. 2018. x: [n, d]; y: [m, d]. A subset has `size` features of each
    side without replacement, at most as many as the smaller side has. The subsets are a
    function of the seed and do not depend on the order of the features. The variance is
    divided by n, not n - 1; subsets overlap, so it gives no standard error. Raises
    ValueError where a side has fewer than 2 features.
    """
    sides = [(np.asarray(v), content_order(v)) for v in (x, y)]
    size = min(size, len(x), len(y))
    if size < 2:
        raise ValueError(f"{len(x)} and {len(y)} features: both must be 2 or more")
    rng = np.random.default_rng(seed)
    values = [
        squared_mmd(*(v[rng.choice(order, size, replace=False)] for v, order in sides))
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


METRIC = Metric(
    numbers=(Number("kid", "KID"), Number("kid_subset_std", "KID, std over subsets")),
    compute=lambda generated, real, seed: kernel_distance(
        generated.rows, real.rows, seed=seed
    ),
    needs_rows=True,
    sizes=lambda generated, real: (min(SIZE, generated, real),) * 2,
)
