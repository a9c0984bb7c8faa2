"""Weight clipping (Arjovsky et al. 2017, Algorithm 1, line 7).

    w <- min(max(w, -c), c)

for every parameter w of the critic after each update, c = objective.clip. A bounded set
of parameters bounds the critic's Lipschitz constant K, and the estimate is at most
K W1.

Known failure: K is unknown and depends on c, depth and norms. Parameters gather at the
two bounds, the critic tends to simple functions, and gradients vanish or explode over
the layers unless c is tuned (Gulrajani et al. 2017, section 3).
"""

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from wgan_jax.algorithm.constraints.base import Constraint
from wgan_jax.config import Objective

Bound = Float[Array, ""] | float


def make(objective: Objective) -> Constraint:
    """Clipping to objective.clip."""
    return Constraint(
        project=lambda params: clip_weights(params, objective.clip),
        diagnostics=lambda params: {
            "weights_at_bound": share_at_bound(params, objective.clip)
        },
    )


def clip_weights(params: chex.ArrayTree, bound: Bound) -> chex.ArrayTree:
    """`params` with every entry clipped to [-bound, bound]."""
    return optax.tree.clip(params, -bound, bound)


def share_at_bound(params: chex.ArrayTree, bound: Bound) -> chex.Numeric:
    """Share of the entries of all leaves whose absolute value reaches the bound."""
    leaves = jax.tree.leaves(params)
    at_bound = sum((jnp.abs(leaf) >= bound).sum() for leaf in leaves)
    return at_bound / sum(leaf.size for leaf in leaves)
