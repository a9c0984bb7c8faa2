"""Critics of points, trained alone or with their generators: what toy figures share."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import critic_step
from wgan_jax.config import Config, Data, Model, Optimizer
from wgan_jax.data.batches import make_get_batch
from wgan_jax.metrics.mixtures import MIXTURES, centres, deviation
from wgan_jax.nn.network import Network

PENALTY = Optimizer(kind="adam", critic_lr=1e-4, beta1=0.5, beta2=0.9)
CLIP = Optimizer(kind="rmsprop_tf1", critic_lr=5e-5)


def points_config(objective, optimizer, widths, features=64, batch_size=256, z_dim=2):
    """A configuration for points of the plane with a ReLU critic of these widths."""
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
    """A generator without weights, points(z) of standard normal noise z [n, z_dim]."""

    def apply(params, stats, z, train):
        return points(z), stats

    return Network(init=lambda key: ({}, {}), apply=apply, summary=[])


def train_critic(spec, real, key, steps):
    """The state after `steps` critic updates, each on real(key) [batch, d]. Traceable.

    The generator of `spec` stays as it is.
    """
    key_init, key_steps = jax.random.split(key)
    state = init_state(key_init, spec)

    def body(i, state):
        key_real, key = jax.random.split(jax.random.fold_in(key_steps, i))
        return critic_step(state, real(key_real), key, spec=spec)[0]

    return jax.lax.fori_loop(0, steps, body, state)


def uniform(z):
    """Standard normal numbers to uniform ones in [0, 1]."""
    return jax.scipy.stats.norm.cdf(z)


def he(network) -> Network:
    """The ReLU network with weights U(-b, b), b = sqrt(6 / fan in), and no biases yet.

    He et al. 2015, uniform as in WGAN-GP's gan_toy.py. PyTorch's default has b smaller
    by sqrt(6), so that each layer halves what passes, and twelve let nothing through.
    """

    def init(key):
        params, stats = network.init(key)
        scaled = jax.tree.map(
            lambda a: math.sqrt(6) * a if a.ndim == 2 else jnp.zeros_like(a), params
        )
        return scaled, stats

    return dataclasses.replace(network, init=init)


def toy_spec(source, objective, optimizer, features, depth, batch_size=256):
    """A run on a toy: generator and critic of `depth` hidden layers of `features` ReLUs
    each, with the initial weights of `he`.
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
    """Points [n, 2] distributed as those of `toy_sample`, of standard normal noise z
    [n, 3].
    """
    place, noise = uniform(z[:, 0]), z[:, 1:]
    if name in MIXTURES:
        modes = jnp.asarray(centres(name), jnp.float32)
        # Rounding may give the uniform number 1.
        mode = jnp.minimum((len(modes) * place).astype(int), len(modes) - 1)
        return modes[mode] + deviation(name) * noise
    t = 1.5 * jnp.pi * (1 + 2 * place)
    return (jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], 1) + 0.25 * noise) / 7.5


def scorer(spec):
    """score(critic, x) -> [n] of a `Net` of the spec's critic."""

    def score(critic, x):
        return spec.critic.apply(critic.params, critic.stats, x, True)[0]

    return score


def nth(tree, i):
    """The tree number i of a stack of them."""
    return jax.tree.map(lambda a: a[i], tree)
