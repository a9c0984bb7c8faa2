"""Least squares (Mao et al. 2017, eq. 9, with targets 1 for real and 0 for fake).

    critic     minimises  E[(score(real) - 1)^2] / 2 + E[score(fake)^2] / 2
    generator  minimises  E[(score(fake) - 1)^2] / 2

The best critic reaches Le Cam's distance, the integral of (p - q)^2 / (2 (p + q)),
which is 1 - 4 loss; for every other critic this is a lower bound.

Known failure: the distance is 1 wherever real and fake do not overlap.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from wgan_jax.algorithm.objectives.base import Losses
from wgan_jax.config import Objective


def make(objective: Objective) -> Losses:
    """The losses, whose estimate is `le_cam`."""
    return Losses(critic_loss, generator_loss, estimate, "le_cam", bounded=True)


def critic_loss(
    score_real: Float[Array, " n"], score_fake: Float[Array, " m"]
) -> Float[Array, ""]:
    """E[(score(real) - 1)^2] / 2 + E[score(fake)^2] / 2."""
    return (jnp.square(score_real - 1).mean() + jnp.square(score_fake).mean()) / 2


def generator_loss(score_fake: Float[Array, " n"]) -> Float[Array, ""]:
    """E[(score(fake) - 1)^2] / 2."""
    return jnp.square(score_fake - 1).mean() / 2


def estimate(critic_loss: Float[Array, ""]) -> Float[Array, ""]:
    """Lower bound of Le Cam's distance."""
    return 1 - 4 * critic_loss
