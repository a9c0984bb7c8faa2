"""Optimizers: one file each, named in `OPTIMIZERS`.

A transformation turns a gradient into a direction; the steps apply the learning rate.
"""

import optax

from wgan_jax.algorithm.optimizers import adam, rmsprop, rmsprop_tf1
from wgan_jax.config import Optimizer
from wgan_jax.references import make_named

# By optimizer.kind: a function of the configuration's section `optimizer`.
OPTIMIZERS = {
    "rmsprop": rmsprop.make,
    "rmsprop_tf1": rmsprop_tf1.make,
    "adam": adam.make,
}


def make_optimizer(optimizer: Optimizer) -> optax.GradientTransformation:
    """The optimizer of `optimizer.kind`. Raises UserError for a wrong name."""
    return make_named(
        optax.GradientTransformation, OPTIMIZERS, "optimizer.kind", optimizer
    )
