"""The Wasserstein losses (Arjovsky et al. 2017, eq. 2 and Algorithm 1).

    critic     minimises  -(E[critic(real)] - E[critic(fake)])
    generator  minimises  -E[critic(fake)]

The estimate is W1 for the best critic of Lipschitz constant 1. The generator's loss
moves with the critic's free constant and has no meaning alone.
"""

from jaxtyping import Array, Float

from wgan_jax.algorithm.objectives.base import Losses
from wgan_jax.config import Objective


def make(objective: Objective) -> Losses:
    """The losses, whose estimate is `wasserstein`."""
    return Losses(
        critic_loss, generator_loss, estimate, "wasserstein", needs_constraint=True
    )


def wasserstein(
    score_real: Float[Array, " n"], score_fake: Float[Array, " m"]
) -> Float[Array, ""]:
    """E[critic(real)] - E[critic(fake)]."""
    return score_real.mean() - score_fake.mean()


def critic_loss(
    score_real: Float[Array, " n"], score_fake: Float[Array, " m"]
) -> Float[Array, ""]:
    """Minus the Wasserstein estimate."""
    return -wasserstein(score_real, score_fake)


def generator_loss(score_fake: Float[Array, " n"]) -> Float[Array, ""]:
    """-E[critic(fake)]."""
    return -score_fake.mean()


def estimate(critic_loss: Float[Array, ""]) -> Float[Array, ""]:
    """The Wasserstein estimate, in units of the critic's Lipschitz constant."""
    return -critic_loss
