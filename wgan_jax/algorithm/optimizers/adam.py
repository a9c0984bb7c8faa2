"""Adam (Kingma and Ba 2015)."""

import optax

from wgan_jax.config import Optimizer


def make(optimizer: Optimizer) -> optax.GradientTransformation:
    """Adam of optimizer.beta1 and beta2, epsilon 1e-8."""
    return optax.scale_by_adam(b1=optimizer.beta1, b2=optimizer.beta2)
