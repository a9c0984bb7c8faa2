"""What training carries from step to step, what stays fixed, and how both are born."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from wgan_jax.algorithm import losses
from wgan_jax.config import Config, Objective, Optimizer
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding
from wgan_jax.nn.models import build
from wgan_jax.nn.network import Network


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class NetState:
    """The numbers of one network."""

    params: Any
    stats: Any
    """Running statistics of its BatchNorms."""
    opt_state: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ema:
    """The averaged generator: its parameters and running statistics."""

    params: Any
    stats: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """All that training needs to go on: what a checkpoint holds."""

    step: Any
    """int32 scalar: generator updates done."""
    key: Any
    """Typed PRNG key, never advanced: all randomness is a function of (key, step)."""
    generator: NetState
    critic: NetState
    ema: Ema | None


@dataclasses.dataclass(frozen=True)
class Spec:
    """All that stays fixed through a run, bound once to the step functions."""

    generator: Network
    critic: Network
    objective: Objective
    optimizer: Optimizer
    batch_size: int
    generator_batch: int
    """Generated samples in a generator update."""
    z_dim: int
    classes: int
    """Labels that the networks are told and tell; 0 uses none."""
    steps: int
    """Generator updates of the whole run, for the decay of the learning rates."""
    get_batch: Callable
    """draw(samples, key, index) -> the real batch number `index`, [batch, ...], or with
    classes the pair of it and its labels."""
    sharding: BatchSharding = ONE_DEVICE
    """How devices share a batch."""

    def with_hyperparameters(self, numbers: dict) -> "Spec":
        """The same with other numbers, which may be traced.

        numbers: by field, {"objective.clip": 0.01}, of objective or optimizer.
        """
        sections = {"objective": self.objective, "optimizer": self.optimizer}
        for name, value in numbers.items():
            section, field = name.split(".")
            sections[section] = dataclasses.replace(sections[section], **{field: value})
        return dataclasses.replace(self, **sections)

    def learning_rate(self, base, step):
        """The learning rate at a generator step; both nets decay by that clock."""
        if self.optimizer.decay == "linear":
            return base * jnp.maximum(0.0, 1.0 - step / self.steps)
        return base


def make_spec(
    config: Config, get_batch: Callable, sharding: BatchSharding = ONE_DEVICE
) -> Spec:
    """The fixed part of a run with this configuration and this source of batches."""
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
        get_batch=get_batch,
        sharding=sharding,
    )


def make_optimizer(optimizer: Optimizer) -> optax.GradientTransformation:
    """Gradient to ascent direction, without the learning rate, which steps apply.

    rmsprop: PyTorch's defaults, epsilon outside the root. rmsprop_tf1: TensorFlow 1's,
    epsilon inside, mean square starting at one. optax's own defaults are a third
    algorithm, under which a clipped critic with its tiny gradients hardly moves.
    """
    if optimizer.kind == "rmsprop":
        return optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False)
    if optimizer.kind == "rmsprop_tf1":
        return optax.scale_by_rms(decay=0.9, eps=1e-10, initial_scale=1.0)
    return optax.scale_by_adam(b1=optimizer.beta1, b2=optimizer.beta2)


def init_state(key, spec: Spec) -> TrainState:
    """The state before the first step. key: typed PRNG key, all of the run's chance."""
    key_generator, key_critic, key = jax.random.split(key, 3)
    generator = _init_net(spec.generator, key_generator, spec)
    critic = _init_net(spec.critic, key_critic, spec)
    if spec.objective.constraint == "clip":
        # Algorithm 1 clips after each update, which leaves the first one unbounded.
        clipped = losses.clip_weights(critic.params, spec.objective.clip)
        critic = dataclasses.replace(critic, params=clipped)
    average = None
    if spec.optimizer.ema_decay:
        # A copy: the donated state may not hold one buffer twice.
        copy = jax.tree.map(jnp.array, (generator.params, generator.stats))
        average = Ema(params=copy[0], stats=copy[1])
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        generator=generator,
        critic=critic,
        ema=average,
    )


def _init_net(network, key, spec):
    params, stats = network.init(key)
    opt_state = make_optimizer(spec.optimizer).init(params)
    return NetState(params=params, stats=stats, opt_state=opt_state)
