"""Optimizers: one file each, named in `OPTIMIZERS`.

A transformation turns a gradient into a direction; the steps apply the learning rate.
"""

import inspect

import numpy as np
import optax

from wgan_jax.algorithm.optimizers import adam, rmsprop, rmsprop_tf1
from wgan_jax.config import Optimizer
from wgan_jax.errors import UserError
from wgan_jax.references import lookup, make_named

# By optimizer.kind: a function of the configuration's section `optimizer`.
OPTIMIZERS = {
    "rmsprop": rmsprop.make,
    "rmsprop_tf1": rmsprop_tf1.make,
    "adam": adam.make,
}


def make_optimizer(optimizer: Optimizer) -> optax.GradientTransformation:
    """The optimizer of `optimizer.kind`. Raises UserError for a wrong name.

    A function of the learning rate, such as optax.adam, gives the direction by which it
    changes a parameter at the rate 1: its updates must be proportional to the rate.
    """
    function = lookup(OPTIMIZERS, optimizer.kind, "optimizer.kind")
    if not _is_of_learning_rate(function):
        return make_named(
            optax.GradientTransformation, OPTIMIZERS, "optimizer.kind", optimizer
        )
    return optax.chain(function(1.0), optax.scale(-1.0))


def check_direction(optimizer: Optimizer) -> None:
    """Raises UserError where an optimizer of the user steps along the gradient.

    It computes, so it must not run before the processes of a run are connected.
    """
    if optimizer.kind in OPTIMIZERS:
        return
    transformation = make_optimizer(optimizer)
    # A gradient that is constant for some steps, as transformations have memory.
    params, gradient = np.ones(2, np.float32), np.full(2, 0.5, np.float32)
    state = transformation.init(params)
    for _ in range(3):
        direction, state = transformation.update(gradient, state, params)
    if not (np.asarray(direction) > 0).all():
        raise UserError(
            f"optimizer.kind={optimizer.kind!s:.60} climbs the loss: the steps "
            "subtract its direction, scaled by optimizer.critic_lr or generator_lr; "
            "give a transformation without a learning rate, such as "
            "optax.scale_by_adam(), or a function of the rate, such as optax.adam"
        )


def _is_of_learning_rate(function):
    """True where the first parameter of a function is called learning_rate."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return next(iter(parameters), "") == "learning_rate"
