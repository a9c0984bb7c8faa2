"""What a critic update is made of, told beside the training without a part in it."""

import jax
import jax.numpy as jnp
import optax

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.state import Spec, TrainState, make_optimizer
from wgan_jax.algorithm.steps import critic_gradient, generate

QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def critic_diagnostics(
    state: TrainState, real, key, *, spec: Spec, labels=None
) -> dict:
    """Diagnostics of the update that the batch `real` [batch, ...] would make.

    labels: int32 [batch], with classes.

    weights_at_bound: share of the critic's parameters that clipping holds (clip only).
    step_gradient_cosine: cosine of the angle between the optimizer's step and the
    gradient; where it is negative the critic gets worse (Arjovsky et al., section 4.3).
    layer_gradient/NN: see `layer_gradients`. slope/qNNN: quantiles, in per cent, of the
    norm of the critic's gradient at points drawn as for the penalty, under every
    constraint.
    """
    key_step, key_z, key_epsilon = jax.random.split(key, 3)
    gradient = critic_gradient(state, real, key_step, spec=spec, labels=labels)[0]
    direction, _ = make_optimizer(spec.optimizer).update(
        gradient, state.critic.opt_state, state.critic.params
    )
    found = {"step_gradient_cosine": _cosine(direction, gradient)}
    if spec.objective.constraint == "clip":
        found["weights_at_bound"] = share_at_bound(
            state.critic.params, spec.objective.clip
        )
    z = jax.random.normal(key_z, (len(real), spec.z_dim), real.dtype)
    generator = state.generator
    fake, _ = generate(spec, generator.params, generator.stats, z, labels)
    gradients = layer_gradients(state.critic, real, fake, spec=spec)
    found |= {f"layer_gradient/{i:02}": norm for i, norm in gradients.items()}

    def score(x):
        return spec.critic.apply(state.critic.params, state.critic.stats, x, True)[0]

    epsilon = jax.random.uniform(key_epsilon, (len(real),), real.dtype)
    slopes = losses.gradient_norms(score, losses.interpolate(real, fake, epsilon))
    values = jnp.percentile(slopes, jnp.array(QUANTILES))
    return found | {f"slope/q{q:03}": v for q, v in zip(QUANTILES, values, strict=True)}


def share_at_bound(params, bound: float):
    """Share of the entries of all leaves whose size is that of the clip's bound."""
    leaves = jax.tree.leaves(params)
    held = sum((jnp.abs(leaf) >= bound).sum() for leaf in leaves)
    return held / sum(leaf.size for leaf in leaves)


def layer_gradients(critic, real, fake, *, spec: Spec) -> dict:
    """{layer: norm of d loss / d output} of every critic layer that has weights.

    critic: a `Net` of a network that `models.build` made. The loss is the critic's
    without the penalty, the output that of a whole batch [batch, ...] of real and of
    fake samples, before the activation (Fig. 1b of Gulrajani et al.).
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
        return losses.critic_loss(*scores, spec.objective.kind)

    both = jax.grad(loss)(zeros)
    return {i: optax.tree.norm([part[i] for part in both]) for i in weighted}


def _cosine(a, b):
    tiny = jnp.finfo(jnp.float32).tiny
    lengths = optax.tree.norm(a) * optax.tree.norm(b)
    return optax.tree.vdot(a, b) / jnp.maximum(lengths, tiny)
