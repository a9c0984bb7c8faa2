"""Gradient penalty (Gulrajani et al. 2017, eq. 3; one-sided: their appendix C).

    weight E[(|grad critic(x)| - target)^2]        x = epsilon real + (1 - epsilon) fake

with one epsilon ~ U[0, 1] per sample; weight, target and one_sided are objective.gp_*.

Known failure: the constraint is soft. Where the optimal plan moves all mass along
parallel rays by W1, the best slope is target + W1 / (2 weight), so that the estimate
exceeds W1 (docs/theory.md). The penalty acts between paired samples only, and it is
undefined for a critic with BatchNorm, which has no gradient of a single sample.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.constraints.base import Constraint
from wgan_jax.config import Objective


def make(objective: Objective) -> Constraint:
    """The penalty of objective.gp_weight, gp_target and one_sided."""

    def penalty(score, real, fake, key):
        epsilon = jax.random.uniform(key, (len(real),), real.dtype)
        x = losses.interpolate(real, fake, epsilon)
        norms = losses.gradient_norms(score, x)
        value = gradient_penalty(norms, objective.gp_target, objective.one_sided)
        metrics = {"gradient_penalty": value, "gradient_norm": norms.mean()}
        return objective.gp_weight * value, metrics

    return Constraint(penalty, metrics=("gradient_penalty", "gradient_norm"))


def gradient_penalty(
    norms: Float[Array, " n"], target: chex.Numeric = 1.0, one_sided: bool = False
) -> Float[Array, ""]:
    """E[(norm - target)^2], or E[max(0, norm - target)^2], without the weight."""
    excess = norms - target
    if one_sided:
        excess = jnp.maximum(excess, 0.0)
    return jnp.square(excess).mean()
