"""Critics of points, trained alone or with their generators: shared by toy figures."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import critic_step
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data.batches import make_get_batch
from wgan_jax.metrics.mixtures import MIXTURES, centres, std
from wgan_jax.nn.network import Network

PENALTY = Optimizer(kind="adam", critic_lr=1e-4, beta1=0.5, beta2=0.9)
CLIP = Optimizer(kind="rmsprop_tf1", critic_lr=5e-5)
# Constraints of critics on one-dimensional problems.
ON_A_LINE = {
    "penalty": (
        Objective(gp_weight=10.0),
        dataclasses.replace(PENALTY, critic_lr=1e-3),
    ),
    "clip": (
        Objective(constraint="clip", clip=0.1),
        dataclasses.replace(CLIP, critic_lr=1e-3),
    ),
}


def points_config(objective, optimizer, widths, features=64, batch_size=256, z_dim=2):
    """Configuration for points of the plane with a ReLU critic of the given widths."""
    return Config(
        data=Data(source="8gaussians", batch_size=batch_size, heldout=0),
        model=Model(
            kind="mlp",
            z_dim=z_dim,
            features=features,
            generator_widths=(1,),
            critic_widths=widths,
            generator_norm="none",
            critic_activation="relu",
            output="linear",
            bias="all",
        ),
        objective=objective,
        optimizer=optimizer,
    )


def fixed_generator(points) -> Network:
    """Generator without weights: points(z) of standard normal noise z [n, z_dim]."""

    def apply(params, stats, z, train):
        return points(z), stats

    return Network(init=lambda key: ({}, {}), apply=apply, summary=[])


def train_critic(spec, real, key, steps):
    """State after `steps` critic updates, each on real(key) [batch, d]. Traceable.

    The generator is not trained.
    """
    key_init, key_steps = jax.random.split(key)
    state = init_state(key_init, spec)

    def body(i, state):
        key_real, key = jax.random.split(jax.random.fold_in(key_steps, i))
        return critic_step(state, real(key_real), key, spec=spec)[0]

    return jax.lax.fori_loop(0, steps, body, state)


def uniform(z):
    """Maps standard normal numbers to uniform numbers in [0, 1]."""
    return jax.scipy.stats.norm.cdf(z)


def he(network) -> Network:
    """The ReLU network with initial weights U(-b, b), b = sqrt(6 / fan in), biases 0.

    He et al. 2015, uniform as in WGAN-GP's gan_toy.py. PyTorch's default b is smaller
    by sqrt(6): each layer shrinks its input, and twelve layers shrink it to nothing.
    """

    def init(key):
        params, stats = network.init(key)
        scaled = jax.tree.map(
            lambda a: math.sqrt(6) * a if a.ndim == 2 else jnp.zeros_like(a), params
        )
        return scaled, stats

    return dataclasses.replace(network, init=init)


def toy_spec(source, objective, optimizer, features, depth, batch_size=256):
    """Specification of a run on a toy with the initial weights of `he`.

    Generator and critic have `depth` hidden layers of `features` ReLUs each.
    """
    widths = (1,) * depth
    config = points_config(objective, optimizer, widths, features, batch_size)
    data = dataclasses.replace(config.data, source=source)
    model = dataclasses.replace(config.model, generator_widths=widths)
    config = dataclasses.replace(config, data=data, model=model)
    spec = make_spec(config, make_get_batch(data, 0))
    return dataclasses.replace(
        spec, generator=he(spec.generator), critic=he(spec.critic)
    )


def toy_from_noise(name, z):
    """Points [n, 2] distributed as in `toy_sample`, from standard normal z [n, 3]."""
    position, noise = uniform(z[:, 0]), z[:, 1:]
    if name in MIXTURES:
        modes = jnp.asarray(centres(name), jnp.float32)
        # Rounding can make the uniform number equal to 1.
        mode = jnp.minimum((len(modes) * position).astype(int), len(modes) - 1)
        return modes[mode] + std(name) * noise
    t = 1.5 * jnp.pi * (1 + 2 * position)
    return (jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], 1) + 0.25 * noise) / 7.5


def scorer(spec):
    """score(critic, x) -> [n] for a `NetState` of the critic of `spec`."""

    def score(critic, x):
        return spec.critic.apply(critic.params, critic.stats, x, True)[0]

    return score


def nth(tree, i):
    """Tree number i of a stack of trees."""
    return jax.tree.map(lambda a: a[i], tree)
