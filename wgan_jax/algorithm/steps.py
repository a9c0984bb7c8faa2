"""Algorithm 1 of both papers as pure functions from state to state.

Read `train_step` next to the papers: n_critic critic updates, each on a fresh real
batch and fresh noise, then one generator update on fresh noise.

Arrays: real and fake samples are float [batch, ...], scores [batch], noise z
[batch, z_dim], labels int32 [batch], None without classes. Metrics are {name: scalar}.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from chex import PRNGKey
from jaxtyping import Array, Float, Int

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.optimizers import make_optimizer
from wgan_jax.algorithm.state import Ema, NetState, Spec, TrainState
from wgan_jax.config import Objective

Samples = Float[Array, "batch ..."]
Scores = Float[Array, " batch"]
Labels = Int[Array, " batch"] | None
Metrics = dict[str, Float[Array, ""]]
Step = Int[Array, ""] | int


def metric_names(spec: Spec) -> tuple[str, ...]:
    """Names of the metrics of a step."""
    classes = ("class_loss", "class_accuracy", "generator_class_loss")
    return (
        spec.losses.metric,
        *spec.constraint.metrics,
        *(classes if spec.classes else ()),
        "critic_loss",
        "generator_loss",
    )


def critic_step(
    state: TrainState, real: Samples, key: PRNGKey, *, spec: Spec, labels: Labels = None
) -> tuple[TrainState, Metrics]:
    """One critic update on a real batch.

    Of the generator, only the running statistics change, by its forward pass.
    """
    gradient, stats, generator_stats, metrics = critic_gradient(
        state, real, key, spec=spec, labels=labels
    )
    critic = _update(
        state.critic, gradient, stats, spec.optimizer.critic_lr, state.step, spec
    )
    if spec.constraint.project:
        critic = replace(critic, params=spec.constraint.project(critic.params))
    generator = replace(state.generator, stats=generator_stats)
    return replace(state, critic=critic, generator=generator), metrics


def critic_gradient(
    state: TrainState, real: Samples, key: PRNGKey, *, spec: Spec, labels: Labels = None
) -> tuple[Any, Any, Any, Metrics]:
    """(gradient, critic statistics, generator statistics, metrics) of a critic update.

    Generated samples have the labels of the real ones, and only the real ones train the
    auxiliary classifier (as in the code of Gulrajani et al.).
    """
    key_z, key_penalty = jax.random.split(key)
    real, labels = spec.sharding.shard((real, labels))
    z = _noise(key_z, len(real), spec, real.dtype)
    fake, generator_stats = generate(
        spec, state.generator.params, state.generator.stats, z, labels
    )
    chex.assert_equal_shape([real, fake])

    def loss(params):
        # Two passes, not one over both: BatchNorm would mix real and fake.
        score_real, logits, stats = critic_forward(
            spec, params, state.critic.stats, real
        )
        score_fake, stats = spec.critic.apply(params, stats, fake, True)
        chex.assert_shape([score_real, score_fake], (len(real),))
        value = spec.losses.critic(score_real, score_fake)
        metrics = {spec.losses.metric: spec.losses.estimate(value)}
        if spec.constraint.penalty:

            def score(x):
                return spec.critic.apply(params, stats, x, True)[0]

            penalty, measured = spec.constraint.penalty(score, real, fake, key_penalty)
            value += penalty
            metrics |= measured
        if logits is not None and labels is not None:
            class_loss = losses.class_loss(logits, labels)
            value += spec.objective.critic_class_weight * class_loss
            accuracy = jnp.mean(logits.argmax(1) == labels, dtype=logits.dtype)
            metrics |= {"class_loss": class_loss, "class_accuracy": accuracy}
        if spec.objective.critic_weight_decay:
            decay = losses.half_square_sum(params)
            value += spec.objective.critic_weight_decay * decay
        return value, (stats, metrics | {"critic_loss": value})

    gradient, (stats, metrics) = jax.grad(loss, has_aux=True)(state.critic.params)
    return gradient, stats, generator_stats, metrics


def generator_step(
    state: TrainState, key: PRNGKey, *, spec: Spec
) -> tuple[TrainState, Metrics]:
    """One generator update, which completes a step.

    With classes, it draws new labels (`random_labels`).
    """
    labels = None
    if spec.classes:
        key, key_labels = jax.random.split(key)
        labels = random_labels(key_labels, spec.generator_batch, spec)
        labels = spec.sharding.shard(labels)
    z = _noise(key, spec.generator_batch, spec)

    def loss(params):
        fake, stats = generate(spec, params, state.generator.stats, z, labels)
        score, logits, critic_stats = critic_forward(
            spec, state.critic.params, state.critic.stats, fake
        )
        chex.assert_shape(score, (spec.generator_batch,))
        value, metrics = spec.losses.generator(score), {}
        if logits is not None and labels is not None:
            class_loss = losses.class_loss(logits, labels)
            value += spec.objective.generator_class_weight * class_loss
            metrics = {"generator_class_loss": class_loss}
        return value, (stats, critic_stats, metrics | {"generator_loss": value})

    gradient, (stats, critic_stats, metrics) = jax.grad(loss, has_aux=True)(
        state.generator.params
    )
    generator = _update(
        state.generator, gradient, stats, spec.optimizer.generator_lr, state.step, spec
    )
    ema = state.ema
    if ema is not None:
        new: Any = Ema(params=generator.params, stats=generator.stats)
        ema = optax.incremental_update(new, ema, spec.ema_weight(state.step))
    critic = replace(state.critic, stats=critic_stats)
    state = replace(
        state, step=state.step + 1, generator=generator, critic=critic, ema=ema
    )
    return state, metrics


def train_step(
    state: TrainState, real_batch: Callable, *, spec: Spec
) -> tuple[TrainState, Metrics]:
    """The critic updates of one step, then its generator update.

    real_batch(i): the real batch of critic update i of this step, in the form of
    `Spec.get_batch`. The critic's metrics are those of its last update.
    """
    key_train, _ = split_key(state)
    key_critic, key_generator = jax.random.split(
        jax.random.fold_in(key_train, state.step)
    )

    def body(i, carry):
        state, _ = carry
        real, labels = real_batch(i) if spec.classes else (real_batch(i), None)
        key = jax.random.fold_in(key_critic, i)
        state, metrics = critic_step(state, real, key, spec=spec, labels=labels)
        return state, _zeros(spec) | metrics

    updates = critic_updates(state.step, spec.objective)
    state, metrics = jax.lax.fori_loop(0, updates, body, (state, _zeros(spec)))
    state, generator_metrics = generator_step(state, key_generator, spec=spec)
    return state, metrics | generator_metrics


def train_chunk(
    state: TrainState, samples: Any, steps: chex.Numeric, *, spec: Spec
) -> tuple[TrainState, Metrics]:
    """Several steps in one program; the metrics are means over the steps.

    samples: the first argument of spec.get_batch. steps: traced, so that chunks of
    every length run the same program and give the same bits.
    """
    _, key_data = split_key(state)

    def body(_, carry):
        state, total = carry
        first = critic_updates_before(state.step, spec.objective)
        state, metrics = train_step(
            state, lambda i: spec.get_batch(samples, key_data, first + i), spec=spec
        )
        return state, jax.tree.map(jnp.add, total, metrics)

    state, total = jax.lax.fori_loop(0, steps, body, (state, _zeros(spec)))
    return state, jax.tree.map(lambda t: t / steps, total)


def generate(
    spec: Spec,
    params: Any,
    stats: Any,
    z: Float[Array, "batch z_dim"],
    labels: Labels = None,
    train: bool = True,
) -> tuple[Samples, Any]:
    """(samples, statistics) of the generator, conditioned on labels with classes."""
    condition = {"labels": labels} if spec.classes else {}
    return spec.generator.apply(params, stats, z, train=train, **condition)


def critic_forward(
    spec: Spec, params: Any, stats: Any, x: Samples
) -> tuple[Scores, Float[Array, "batch classes"] | None, Any]:
    """(scores, logits or None, statistics) of the critic in training."""
    if spec.critic.classify:
        (scores, logits), stats = spec.critic.classify(params, stats, x, True)
        return scores, logits, stats
    scores, stats = spec.critic.apply(params, stats, x, True)
    return scores, None, stats


def random_labels(key: PRNGKey, count: int, spec: Spec) -> Int[Array, " count"]:
    """Labels drawn independently with the probabilities spec.label_shares, int32."""
    if not spec.label_shares:
        return jax.random.randint(key, (count,), 0, spec.classes, jnp.int32)
    # In 64 bits, and ending at 1: uniform numbers are less than 1.
    bounds = np.cumsum(spec.label_shares)
    bounds = jnp.asarray(bounds / bounds[-1], jnp.float32)
    uniform = jax.random.uniform(key, (count,), jnp.float32)
    return jnp.searchsorted(bounds, uniform, side="right").astype(jnp.int32)


def split_key(state: TrainState) -> PRNGKey:
    """Split the state's key into (training noise, data order).

    Always split before fold_in: fold_in(key, 1) equals split(key)[1].
    """
    return jax.random.split(state.key)


def critic_updates(step: Step, objective: Objective) -> Step:
    """Critic updates before generator update number `step`, counted from 0."""
    if not objective.warmup:
        return objective.n_critic
    return jnp.where((step < 25) | (step % 500 == 0), 100, objective.n_critic)


def critic_updates_before(step: Step, objective: Objective) -> Step:
    """Critic updates in all steps before `step`: the sum of `critic_updates`."""
    if not objective.warmup:
        return step * objective.n_critic
    long = jnp.minimum(step, 25) + jnp.maximum(step - 1, 0) // 500
    return long * 100 + (step - long) * objective.n_critic


def heldout_estimate(
    state: TrainState, heldout: Samples, key: PRNGKey, *, spec: Spec
) -> Float[Array, ""]:
    """The critic's estimate of the distance on held-out samples (`Losses.estimate`).

    The mean over whole batches, without the remainder; norms use the statistics of each
    batch, as in training.
    """
    size = min(spec.batch_size, len(heldout))
    whole = heldout[: len(heldout) // size * size]
    batches = whole.reshape(-1, size, *heldout.shape[1:])

    def estimate(batch_and_key):
        real, key = batch_and_key
        real, labels = spec.sharding.shard(real), None
        if spec.classes:
            key, key_labels = jax.random.split(key)
            labels = random_labels(key_labels, len(real), spec)
        z = _noise(key, len(real), spec)
        generator, critic = state.generator, state.critic
        fake, _ = generate(spec, generator.params, generator.stats, z, labels)
        return _estimate(critic, real, fake, spec)

    keys = jax.random.split(key, len(batches))
    return jax.lax.map(estimate, (batches, keys)).mean()


def real_estimate(
    state: TrainState, real: Samples, key: PRNGKey, *, spec: Spec
) -> Float[Array, ""]:
    """The critic's estimate of the distance between two random halves of real samples.

    Near 0, because the halves have one distribution; its deviation over keys is the
    noise of an estimate of as many samples. Batches are those of `heldout_estimate`.
    """
    half = len(real) // 2
    size = min(spec.batch_size, half)
    shuffled = jax.random.permutation(key, real)
    halves = [
        part[: half // size * size].reshape(-1, size, *real.shape[1:])
        for part in (shuffled[:half], shuffled[half:])
    ]

    def estimate(pair):
        first, second = map(spec.sharding.shard, pair)
        return _estimate(state.critic, first, second, spec)

    return jax.lax.map(estimate, tuple(halves)).mean()


def _estimate(critic: NetState, real, fake, spec):
    """`Losses.estimate` of two batches; norms use the statistics of each."""
    scores = [
        spec.critic.apply(critic.params, critic.stats, x, True)[0] for x in (real, fake)
    ]
    return spec.losses.estimate(spec.losses.critic(*scores))


def _noise(key, count, spec, dtype: Any = float):
    return spec.sharding.shard(jax.random.normal(key, (count, spec.z_dim), dtype))


def _update(net: NetState, gradient, stats, base_lr, step, spec) -> NetState:
    direction, opt_state = make_optimizer(spec.optimizer).update(
        gradient, net.opt_state, net.params
    )
    lr = spec.learning_rate(base_lr, step)
    params = jax.tree.map(
        lambda p, d: p - (lr * d).astype(p.dtype), net.params, direction
    )
    return NetState(params=params, stats=stats, opt_state=opt_state)


def _zeros(spec):
    return {name: jnp.zeros(()) for name in metric_names(spec)}
