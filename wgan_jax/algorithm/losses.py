"""The losses of both papers: arrays in, arrays out.

One sign everywhere: the critic scores real samples high, and the Wasserstein estimate
is E[critic(real)] - E[critic(fake)]. Beside it stand the two objectives it is compared
with, for which a score is a logit (gan) or a regression onto 1 and 0 (lsgan).
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def wasserstein(
    score_real: Float[Array, " n"], score_fake: Float[Array, " m"]
) -> Float[Array, ""]:
    """E[critic(real)] - E[critic(fake)], the estimate of eq. 2 of Arjovsky et al."""
    return score_real.mean() - score_fake.mean()


def critic_loss(
    score_real: Float[Array, " n"], score_fake: Float[Array, " m"], kind: str = "wgan"
) -> Float[Array, ""]:
    """What the critic minimises, before any penalty.

    wgan: minus the Wasserstein estimate. gan: -E[log D(real)] - E[log(1 - D(fake))]
    with D the sigmoid of the score (eq. 1 of Goodfellow et al. 2014). lsgan:
    E[(score(real) - 1)^2] / 2 + E[score(fake)^2] / 2 (eq. 9 of Mao et al. 2017).
    """
    if kind == "gan":
        return jax.nn.softplus(-score_real).mean() + jax.nn.softplus(score_fake).mean()
    if kind == "lsgan":
        return (jnp.square(score_real - 1).mean() + jnp.square(score_fake).mean()) / 2
    return -wasserstein(score_real, score_fake)


def generator_loss(score_fake: Float[Array, " n"], kind: str = "wgan"):
    """What the generator minimises.

    wgan: -E[critic(fake)], which moves with the critic's free constant and means
    nothing by itself. gan: -E[log D(fake)], the non-saturating form. lsgan:
    E[(score(fake) - 1)^2] / 2.
    """
    if kind == "gan":
        return jax.nn.softplus(-score_fake).mean()
    if kind == "lsgan":
        return jnp.square(score_fake - 1).mean() / 2
    return -score_fake.mean()


ESTIMATES = {"wgan": "wasserstein", "gan": "jensen_shannon", "lsgan": "le_cam"}


def estimate(critic_loss: Float[Array, ""], kind: str = "wgan") -> Float[Array, ""]:
    """The distance of real and fake that a critic of this loss (no penalty) bounds.

    gan: the Jensen-Shannon divergence in nats, log 2 - loss / 2 (Fig. 4 of Arjovsky et
    al.). lsgan: Le Cam's, the integral of (p - q)^2 / (2 (p + q)), which is 1 - 4 loss.
    Both are reached by the best critic, and are lower bounds for every other one.
    """
    if kind == "gan":
        return jnp.log(2.0) - critic_loss / 2
    if kind == "lsgan":
        return 1 - 4 * critic_loss
    return -critic_loss


def class_loss(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"]
) -> Float[Array, ""]:
    """Cross-entropy of the auxiliary classifier in nats (Odena et al., AC-GAN)."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def interpolate(
    real: Float[Array, "n ..."],
    fake: Float[Array, "n ..."],
    epsilon: Float[Array, " n"],
) -> Float[Array, "n ..."]:
    """epsilon real + (1 - epsilon) fake, one epsilon a sample (Gulrajani, Alg. 1)."""
    epsilon = epsilon.reshape((-1,) + (1,) * (real.ndim - 1))
    return epsilon * real + (1 - epsilon) * fake


def gradient_norms(score, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """Euclidean norm, over all axes but the batch, of d score(x) / d x.

    score: function from [n, ...] to [n] that treats each sample alone; then the
    gradient of the sum is each sample's own. Differentiable where a gradient is zero,
    where the derivative of the norm is taken as zero.
    """
    gradient = jax.grad(lambda x: score(x).sum())(x)
    squared = jnp.square(gradient).sum(tuple(range(1, x.ndim)))
    # sqrt alone would send a NaN back from zero, even where it is masked afterwards.
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def gradient_penalty(
    norms: Float[Array, " n"], target: float = 1.0, one_sided: bool = False
) -> Float[Array, ""]:
    """E[(norm - target)^2], eq. 3 of Gulrajani et al., not yet times its weight.

    one_sided: E[max(0, norm - target)^2], their appendix C.
    """
    excess = norms - target
    if one_sided:
        excess = jnp.maximum(excess, 0.0)
    return jnp.square(excess).mean()


def clip_weights(params, bound: float):
    """Every leaf clipped to [-bound, bound] (Arjovsky et al., Algorithm 1, line 7)."""
    return optax.tree.clip(params, -bound, bound)
