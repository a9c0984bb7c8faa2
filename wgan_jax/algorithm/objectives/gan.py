"""The non-saturating GAN (Goodfellow et al. 2014), D the sigmoid of the score.

    critic     minimises  -E[log D(real)] - E[log(1 - D(fake))]
    generator  minimises  -E[log D(fake)]

The best critic reaches the Jensen-Shannon divergence, log 2 - loss / 2 in nats; for
every other critic this is a lower bound (Fig. 4 of Arjovsky et al. 2017).

Known failure: where real and fake do not overlap the divergence is log 2 at every
distance, and its gradient vanishes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wgan_jax.algorithm.objectives.base import Losses
from wgan_jax.config import Objective


def make(objective: Objective) -> Losses:
    """The losses, whose estimate is `jensen_shannon`."""
    return Losses(critic_loss, generator_loss, estimate, "jensen_shannon", bounded=True)


def critic_loss(
    score_real: Float[Array, " n"], score_fake: Float[Array, " m"]
) -> Float[Array, ""]:
    """-E[log D(real)] - E[log(1 - D(fake))] (their eq. 1)."""
    return jax.nn.softplus(-score_real).mean() + jax.nn.softplus(score_fake).mean()


def generator_loss(score_fake: Float[Array, " n"]) -> Float[Array, ""]:
    """-E[log D(fake)]."""
    return jax.nn.softplus(-score_fake).mean()


def estimate(critic_loss: Float[Array, ""]) -> Float[Array, ""]:
    """Lower bound of the Jensen-Shannon divergence in nats."""
    return jnp.log(2.0) - critic_loss / 2
