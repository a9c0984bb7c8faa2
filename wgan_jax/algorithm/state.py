"""Training state, static run specification, and their initialisation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from wgan_jax.algorithm.constraints import Constraint, make_constraint
from wgan_jax.algorithm.objectives import Losses, make_losses
from wgan_jax.algorithm.optimizers import check_direction, make_optimizer
from wgan_jax.config import Config, Objective, Optimizer
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding
from wgan_jax.nn.models import build
from wgan_jax.nn.network import Network


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class NetState:
    """State of one network."""

    params: Any
    stats: Any
    """Running statistics of its BatchNorms."""
    opt_state: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ema:
    """Exponential moving average of the generator's parameters and statistics, by
    `Spec.ema_weight`."""

    params: Any
    stats: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that a step changes: the content of a checkpoint."""

    step: Any
    """int32 scalar: generator updates done."""
    key: Any
    """Typed PRNG key, never advanced: all randomness is a function of (key, step)."""
    # Any: the axes of `jax.vmap` are a state of integers.
    generator: Any
    """A `NetState`."""
    critic: Any
    """A `NetState`."""
    ema: Any
    """An `Ema`, or None without optimizer.ema_decay."""


def _no_batches(samples, key, index):
    raise ValueError("this Spec has no source of batches: give make_spec a get_batch")


@dataclasses.dataclass(frozen=True)
class Spec:
    """Everything that is fixed throughout a run, bound once to the step functions."""

    generator: Network
    critic: Network
    objective: Objective
    optimizer: Optimizer
    batch_size: int
    generator_batch: int
    """Generated samples in a generator update."""
    z_dim: int
    classes: int
    """Number of labels: the generator is conditioned on them and the critic predicts
    them; 0 without labels."""
    steps: int
    """Generator updates of the whole run, for the decay of the learning rates."""
    get_batch: Callable = _no_batches
    """get_batch(samples, key, index) -> real batch number `index`, float [batch, ...];
    with classes the pair of it and its labels, int32 [batch]."""
    sharding: BatchSharding = ONE_DEVICE
    """Distribution of a batch over devices."""
    label_shares: tuple[float, ...] = ()
    """Probability of each class in the labels of generated samples; empty is the
    uniform distribution."""
    scales: tuple = ()
    """Means and standard deviations of the data's columns, by which samples that leave
    the program are scaled back; empty for none."""

    @property
    def losses(self) -> Losses:
        """The losses of objective.kind."""
        return make_losses(self.objective)

    @property
    def constraint(self) -> Constraint:
        """The Lipschitz constraint of objective.constraint."""
        return make_constraint(self.objective)

    def with_hyperparameters(self, values: dict[str, chex.Numeric]) -> "Spec":
        """A copy with other hyperparameters, which may be traced.

        values: by field of objective or optimizer, as in {"objective.clip": 0.01}.
        """
        sections = {"objective": self.objective, "optimizer": self.optimizer}
        for name, value in values.items():
            section, field = name.split(".")
            sections[section] = dataclasses.replace(sections[section], **{field: value})
        return dataclasses.replace(self, **sections)

    def learning_rate(self, base: chex.Numeric, step: chex.Numeric) -> chex.Numeric:
        """The learning rate at a generator step, for both networks."""
        if self.optimizer.decay == "linear":
            # The difference of integers is exact. XLA would replace the division by a
            # constant by a product with its rounded inverse.
            steps = jax.lax.optimization_barrier(jnp.float32(self.steps))
            return base * jnp.maximum(0.0, (self.steps - step) / steps)
        return base

    def ema_weight(self, step: chex.Numeric) -> chex.Numeric:
        """Weight of the newest generator in the average after generator step `step`.

        1 - min(ema_decay, (1 + step) / (10 + step)), as TensorFlow's
        ExponentialMovingAverage with num_updates. Under a constant decay, the initial
        weights would keep the share ema_decay^steps of the average. While the decay
        rises, the generator after k of n steps has the share (k+8 over 8) / (n+9 over
        9), binomial coefficients.
        """
        return jnp.maximum(1 - self.optimizer.ema_decay, 9 / (10 + step))


def make_spec(
    config: Config,
    get_batch: Callable | None = None,
    sharding: BatchSharding = ONE_DEVICE,
    label_shares: tuple[float, ...] = (),
    scales: tuple = (),
) -> Spec:
    """The specification of a run; without get_batch it cannot train.

    label_shares: the shares of the classes in the training data
    (`DataRecord.label_shares`); empty takes equal ones. scales: `DataRecord.scales`.
    """
    check_direction(config.optimizer)
    generator, critic = build(config.model, config.data.sample_shape)
    return Spec(
        generator=generator,
        critic=critic,
        objective=config.objective,
        optimizer=config.optimizer,
        batch_size=config.data.batch_size,
        generator_batch=config.objective.generator_batch or config.data.batch_size,
        classes=config.model.classes,
        z_dim=config.model.z_dim,
        steps=config.run.steps,
        get_batch=get_batch or _no_batches,
        sharding=sharding,
        label_shares=_label_shares(config.model, label_shares),
        scales=scales,
    )


def _label_shares(model, shares):
    uniform = model.label_sampling == "uniform"
    if not model.classes or uniform or len(set(shares)) <= 1:
        return ()
    # A class without training samples has the share 0.
    return (*shares, *[0.0] * (model.classes - len(shares)))


def init_state(key: chex.PRNGKey, spec: Spec) -> TrainState:
    """The state before the first step. key: typed, the source of all randomness."""
    key_generator, key_critic, key = jax.random.split(key, 3)
    generator = _init_net(spec.generator, key_generator, spec)
    critic = _init_net(spec.critic, key_critic, spec)
    if spec.constraint.project:
        # Algorithm 1 projects after each update only, which leaves the first unbounded.
        projected = spec.constraint.project(critic.params)
        critic = dataclasses.replace(critic, params=projected)
    ema = None
    if spec.optimizer.ema_decay:
        # A copy, since the donated state may not hold one buffer twice.
        params, stats = jax.tree.map(jnp.array, (generator.params, generator.stats))
        ema = Ema(params=params, stats=stats)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        generator=generator,
        critic=critic,
        ema=ema,
    )


def _init_net(network, key, spec):
    params, stats = network.init(key)
    opt_state = make_optimizer(spec.optimizer).init(params)
    return NetState(params=params, stats=stats, opt_state=opt_state)
