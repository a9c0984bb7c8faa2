"""Diagnostics of a critic update, computed alongside training without affecting it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from chex import PRNGKey
from jaxtyping import Array, Float

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.optimizers import make_optimizer
from wgan_jax.algorithm.state import NetState, Spec, TrainState
from wgan_jax.algorithm.steps import (
    Labels,
    Metrics,
    Samples,
    critic_gradient,
    generate,
)

QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def critic_diagnostics(
    state: TrainState, real: Samples, key: PRNGKey, *, spec: Spec, labels: Labels = None
) -> Metrics:
    """Diagnostics of the update that a real batch would make.

    step_gradient_cosine: cosine of the angle between the optimizer's step and the
    gradient; where it is negative, the critic gets worse (Arjovsky et al., section
    4.3). layer_gradient/NN: see `layer_gradients`. slope/qNNN: percentiles of the norm
    of the critic's gradient at the interpolates of the gradient penalty, under every
    constraint. The constraint adds its diagnostics, such as weights_at_bound.
    """
    key_step, key_z, key_epsilon = jax.random.split(key, 3)
    gradient = critic_gradient(state, real, key_step, spec=spec, labels=labels)[0]
    direction, _ = make_optimizer(spec.optimizer).update(
        gradient, state.critic.opt_state, state.critic.params
    )
    metrics: dict[str, Any] = {"step_gradient_cosine": _cosine(direction, gradient)}
    if spec.constraint.diagnostics:
        metrics |= spec.constraint.diagnostics(state.critic.params)
    z = jax.random.normal(key_z, (len(real), spec.z_dim), real.dtype)
    generator = state.generator
    fake, _ = generate(spec, generator.params, generator.stats, z, labels)
    gradients = layer_gradients(state.critic, real, fake, spec=spec)
    metrics |= {f"layer_gradient/{i:02}": norm for i, norm in gradients.items()}

    def score(x):
        return spec.critic.apply(state.critic.params, state.critic.stats, x, True)[0]

    epsilon = jax.random.uniform(key_epsilon, (len(real),), real.dtype)
    between = losses.interpolate(real, fake, epsilon)
    slopes = jax.vmap(_norm)(jax.grad(lambda x: score(x).sum())(between))
    values = jnp.percentile(slopes, jnp.array(QUANTILES))
    return metrics | {
        f"slope/q{q:03}": value for q, value in zip(QUANTILES, values, strict=True)
    }


def layer_gradients(
    critic: NetState, real: Samples, fake: Samples, *, spec: Spec
) -> dict[int, Float[Array, ""]]:
    """{layer: norm of d loss / d output} of every critic layer that has parameters.

    critic: of a network that `models.build` made. The loss is the critic's without the
    penalty; the output is that of the whole batch, of real and of fake samples, before
    the activation (Fig. 1b of Gulrajani et al.).
    """
    weighted = {i: row for i, row in enumerate(spec.critic.summary) if row[2]}
    size = len(real)
    zeros = [
        {i: jnp.zeros((size, *shape)) for i, (_, shape, _) in weighted.items()}
        for _ in range(2)
    ]

    def loss(offsets):
        scores = [
            spec.critic.apply(critic.params, critic.stats, x, True, offset)[0]
            for x, offset in zip((real, fake), offsets, strict=True)
        ]
        return spec.losses.critic(*scores)

    both = jax.grad(loss)(zeros)
    return {i: _norm([gradients[i] for gradients in both]) for i in weighted}


def _norm(tree):
    scaled, largest = _scaled(tree)
    return largest * optax.tree.norm(scaled)


def _cosine(a, b):
    a, b = _scaled(a)[0], _scaled(b)[0]
    lengths = optax.tree.norm(a) * optax.tree.norm(b)
    return optax.tree.vdot(a, b) / jnp.where(lengths > 0, lengths, 1.0)


def _scaled(tree):
    """(tree / s, s), where s is the largest magnitude, or 1 where all are zero.

    The squares of numbers below e^-43 underflow in float32.
    """
    largest = optax.tree.norm(tree, ord=jnp.inf)
    largest = jnp.where(largest > 0, largest, 1.0)
    return jax.tree.map(lambda a: a / largest, tree), largest
