"""Algorithm 1 of both papers as pure functions from state to state.

Read `train_step` beside the papers: n_critic critic updates, each on a fresh real batch
and fresh noise, then one generator update on fresh noise.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import optax

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.state import Ema, NetState, Spec, TrainState, make_optimizer


def metric_names(spec: Spec) -> tuple[str, ...]:
    """What a step tells under this objective."""
    slopes = ("gradient_penalty", "gradient_norm")
    classes = ("class_loss", "class_accuracy", "generator_class_loss")
    return (
        losses.ESTIMATES[spec.objective.kind],
        *(slopes if spec.objective.constraint == "penalty" else ()),
        *(classes if spec.classes else ()),
        "critic_loss",
        "generator_loss",
    )


def critic_step(state: TrainState, real, key, *, spec: Spec, labels=None):
    """One critic update on the batch `real` [batch, ...]; returns (state, metrics).

    labels: int32 [batch], with classes. The generator stays, but for the running
    statistics that its forward pass moves.
    """
    gradient, stats, generator_stats, metrics = critic_gradient(
        state, real, key, spec=spec, labels=labels
    )
    critic = _update(
        state.critic, gradient, stats, spec.optimizer.critic_lr, state.step, spec
    )
    if spec.objective.constraint == "clip":
        critic = replace(
            critic, params=losses.clip_weights(critic.params, spec.objective.clip)
        )
    generator = replace(state.generator, stats=generator_stats)
    return replace(state, critic=critic, generator=generator), metrics


def critic_gradient(state: TrainState, real, key, *, spec: Spec, labels=None):
    """What a critic update is made of, before the optimizer.

    Generated samples have the labels of the real ones, and only the real ones train the
    auxiliary classifier (as in the code of Gulrajani et al.). Returns the gradient of
    the critic's loss, the statistics of critic and generator after the forward passes,
    and the metrics.
    """
    objective = spec.objective
    key_z, key_epsilon = jax.random.split(key)
    real, labels = spec.sharding.shard((real, labels))
    z = _noise(key_z, len(real), spec, real.dtype)
    fake, generator_stats = generate(
        spec, state.generator.params, state.generator.stats, z, labels
    )
    epsilon = spec.sharding.shard(
        jax.random.uniform(key_epsilon, (len(real),), real.dtype)
    )

    def loss(params):
        # Two passes, not one over both: BatchNorm would mix real and fake.
        score_real, logits, stats = critic_forward(
            spec, params, state.critic.stats, real
        )
        score_fake, stats = spec.critic.apply(params, stats, fake, True)
        value = losses.critic_loss(score_real, score_fake, objective.kind)
        estimate = losses.estimate(value, objective.kind)
        metrics = {losses.ESTIMATES[objective.kind]: estimate}
        if objective.constraint == "penalty":

            def score(x):
                return spec.critic.apply(params, stats, x, True)[0]

            x = losses.interpolate(real, fake, epsilon)
            norms = losses.gradient_norms(score, x)
            penalty = losses.gradient_penalty(
                norms, objective.gp_target, objective.one_sided
            )
            value += objective.gp_weight * penalty
            metrics |= {"gradient_penalty": penalty, "gradient_norm": norms.mean()}
        if logits is not None:
            class_loss = losses.class_loss(logits, labels)
            value += objective.critic_class_weight * class_loss
            right = jnp.mean(logits.argmax(1) == labels, dtype=logits.dtype)
            metrics |= {"class_loss": class_loss, "class_accuracy": right}
        return value, (stats, metrics | {"critic_loss": value})

    gradient, (stats, metrics) = jax.grad(loss, has_aux=True)(state.critic.params)
    return gradient, stats, generator_stats, metrics


def generator_step(state: TrainState, key, *, spec: Spec):
    """One generator update, which ends a step; returns (state, metrics).

    With classes, on labels of its own, each class as likely as the others.
    """
    objective, labels = spec.objective, None
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
        value, metrics = losses.generator_loss(score, objective.kind), {}
        if logits is not None:
            class_loss = losses.class_loss(logits, labels)
            value += objective.generator_class_weight * class_loss
            metrics = {"generator_class_loss": class_loss}
        return value, (stats, critic_stats, metrics | {"generator_loss": value})

    gradient, (stats, critic_stats, metrics) = jax.grad(loss, has_aux=True)(
        state.generator.params
    )
    generator = _update(
        state.generator, gradient, stats, spec.optimizer.generator_lr, state.step, spec
    )
    average = state.ema
    if average is not None:
        new = Ema(params=generator.params, stats=generator.stats)
        average = optax.incremental_update(new, average, 1 - spec.optimizer.ema_decay)
    critic = replace(state.critic, stats=critic_stats)
    state = replace(
        state, step=state.step + 1, generator=generator, critic=critic, ema=average
    )
    return state, metrics


def train_step(state: TrainState, real, *, spec: Spec):
    """One generator update and the critic updates before it; returns (state, metrics).

    real(i): the real batch of the critic update number i of this step, as `Spec.draw`
    gives it. Metrics of the critic are those of its last update.
    """
    key_train, _ = split_key(state)
    key_critic, key_generator = jax.random.split(
        jax.random.fold_in(key_train, state.step)
    )

    def body(i, carry):
        state, _ = carry
        batch, labels = real(i) if spec.classes else (real(i), None)
        key = jax.random.fold_in(key_critic, i)
        state, metrics = critic_step(state, batch, key, spec=spec, labels=labels)
        return state, _zeros(spec) | metrics

    updates = critic_updates(state.step, spec.objective)
    state, metrics = jax.lax.fori_loop(0, updates, body, (state, _zeros(spec)))
    state, generator_metrics = generator_step(state, key_generator, spec=spec)
    return state, metrics | generator_metrics


def train_chunk(state: TrainState, samples, steps, *, spec: Spec):
    """Many steps in one program; returns (state, mean of the metrics over the steps).

    samples: what spec.draw takes batches from; steps: how many, a traced number, so
    that chunks of every length run the same program and give the same bits.
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


def generate(spec: Spec, params, stats, z, labels=None, train=True):
    """(samples, statistics) of the generator, told labels int32 [n] with classes."""
    told = {"labels": labels} if spec.classes else {}
    return spec.generator.apply(params, stats, z, train=train, **told)


def critic_forward(spec: Spec, params, stats, x):
    """(scores, logits or None, statistics) of the critic in training."""
    if spec.classes:
        (scores, logits), stats = spec.critic.classify(params, stats, x, True)
        return scores, logits, stats
    scores, stats = spec.critic.apply(params, stats, x, True)
    return scores, None, stats


def random_labels(key, count: int, spec: Spec):
    """Labels int32 [count], each class as likely."""
    return jax.random.randint(key, (count,), 0, spec.classes, jnp.int32)


def split_key(state: TrainState):
    """The roots of the two kinds of chance: (noise of the steps, order of the data).

    Always split before fold_in: of one key, fold_in(key, 1) is split(key)[1].
    """
    return jax.random.split(state.key)


def critic_updates(step, objective):
    """Critic updates before generator update number `step`, counted from 0."""
    if not objective.warmup:
        return objective.n_critic
    return jnp.where((step < 25) | (step % 500 == 0), 100, objective.n_critic)


def critic_updates_before(step, objective):
    """Critic updates in all steps before `step`: the sum of `critic_updates`."""
    if not objective.warmup:
        return step * objective.n_critic
    long = jnp.minimum(step, 25) + jnp.maximum(step - 1, 0) // 500
    return long * 100 + (step - long) * objective.n_critic


def heldout_estimate(state: TrainState, heldout, key, *, spec: Spec):
    """The critic's estimate of the distance on samples never trained on, all [n, ...].

    In whole batches, what remains left out, with each batch's own statistics in its
    norms as in training. See `losses.estimate` for what a critic estimates.
    """
    kind = spec.objective.kind
    size = min(spec.batch_size, len(heldout))
    whole = heldout[: len(heldout) // size * size]
    batches = whole.reshape(-1, size, *heldout.shape[1:])

    def score(batch_and_key):
        real, key = batch_and_key
        real, labels = spec.sharding.shard(real), None
        if spec.classes:
            key, key_labels = jax.random.split(key)
            labels = random_labels(key_labels, len(real), spec)
        z = _noise(key, len(real), spec)
        generator = state.generator
        fake, _ = generate(spec, generator.params, generator.stats, z, labels)
        net = state.critic
        scores = [
            spec.critic.apply(net.params, net.stats, x, True)[0] for x in (real, fake)
        ]
        return losses.estimate(losses.critic_loss(*scores, kind), kind)

    keys = jax.random.split(key, len(batches))
    return jax.lax.map(score, (batches, keys)).mean()


def _noise(key, count, spec, dtype=float):
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
