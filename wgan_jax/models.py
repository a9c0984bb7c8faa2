"""Generator and critic of a configuration, as lists of layers."""

import dataclasses
import math
from functools import partial

from wgan_jax import modules
from wgan_jax.config import Model
from wgan_jax.modules import Network


def build(model: Model, sample_shape: tuple[int, ...]) -> tuple[Network, Network]:
    """Generator [batch, z_dim] -> [batch, *sample_shape] and critic back to [batch]."""
    generators = {"mlp": _mlp_generator, "dcgan": _generator}
    critics = {"mlp": _mlp_critic, "dcgan": _critic}
    make_generator = partial(generators[model.kind], model, sample_shape)
    make_critic = partial(critics[model.critic_is], model, sample_shape)
    return (
        modules.network(make_generator, (model.z_dim,), model.dtype),
        modules.network(make_critic, sample_shape, model.dtype),
    )


def _has_bias(model, normed):
    return model.bias == "all" or (model.bias == "unnormalised" and not normed)


def build_encoder(model: Model, sample_shape: tuple[int, ...]) -> Network:
    """[batch, *sample_shape] -> [batch, z_dim]: the critic's layers, without norms."""
    plain = dataclasses.replace(model, critic_norm="none")
    critics = {"mlp": _mlp_critic, "dcgan": _critic}
    make = partial(critics[model.critic_is], plain, sample_shape, outputs=model.z_dim)
    return modules.network(make, sample_shape, model.dtype)


def _dense_block(model, fan_in, width, norm, activation, rngs):
    normed = norm != "none"
    block = [modules.Dense(fan_in, width, _has_bias(model, normed), rngs)]
    if normed:
        block.append(modules.norm(norm, width, model, False, rngs))
    return [*block, modules.activation(activation, model.leaky_slope)]


# ------------------------------------------------------------------------ the families


def _mlp_generator(model, sample_shape, rngs):
    stack, width = [], model.z_dim
    for i, multiple in enumerate(model.generator_widths):
        fan_in, width = width, multiple * model.features
        norm = "none" if i == 0 else model.generator_norm
        stack += _dense_block(
            model, fan_in, width, norm, model.generator_activation, rngs
        )
    out = math.prod(sample_shape)
    stack.append(modules.Dense(width, out, _has_bias(model, False), rngs))
    stack.append(modules.activation(model.output, model.leaky_slope))
    return [*stack, modules.reshape(*sample_shape)] if len(sample_shape) > 1 else stack


def _mlp_critic(model, sample_shape, rngs, outputs=None):
    stack, width = [modules.reshape(-1)], math.prod(sample_shape)
    for i, multiple in enumerate(model.critic_widths):
        fan_in, width = width, multiple * model.features
        norm = "none" if i == 0 else model.critic_norm
        stack += _dense_block(model, fan_in, width, norm, model.critic_activation, rngs)
    stack.append(modules.Dense(width, outputs or 1, _has_bias(model, False), rngs))
    return [*stack, _outputs(outputs)]


def _generator(model, sample_shape, rngs):
    """DCGAN: one transposed convolution from 1x1, then doublings up to the image."""
    size, _, image_channels = sample_shape
    base = size // 2 ** len(model.generator_widths)
    stack, channels = [modules.reshape(1, 1, model.z_dim)], model.z_dim
    normed = model.generator_norm != "none"
    geometry = (base, 1, 0)
    for multiple in model.generator_widths:
        before, channels = channels, multiple * model.features
        bias = _has_bias(model, normed)
        stack.append(
            modules.ConvTranspose(before, channels, *geometry, bias, model.init, rngs)
        )
        if normed:
            stack.append(
                modules.norm(model.generator_norm, channels, model, True, rngs)
            )
        stack.append(modules.activation(model.generator_activation, model.leaky_slope))
        geometry = (model.kernel, 2, (model.kernel - 1) // 2)
    bias = _has_bias(model, False)
    stack.append(
        modules.ConvTranspose(
            channels, image_channels, *geometry, bias, model.init, rngs
        )
    )
    return [*stack, modules.activation(model.output, model.leaky_slope)]


def _critic(model, sample_shape, rngs, outputs=None):
    """DCGAN: halvings of the image, then one convolution over all that is left.

    outputs: numbers a sample; None is one, without an axis of its own.
    """
    size, _, channels = sample_shape
    base = size // 2 ** len(model.critic_widths)
    geometry = (model.kernel, 2, (model.kernel - 1) // 2)
    stack = []
    for i, multiple in enumerate(model.critic_widths):
        before, channels = channels, multiple * model.features
        normed = i > 0 and model.critic_norm != "none"
        bias = _has_bias(model, normed)
        stack.append(modules.Conv(before, channels, *geometry, bias, model.init, rngs))
        if normed:
            stack.append(modules.norm(model.critic_norm, channels, model, True, rngs))
        stack.append(modules.activation(model.critic_activation, model.leaky_slope))
    bias = _has_bias(model, False)
    last = (channels, outputs or 1, base, 1, 0, bias, model.init, rngs)
    return [*stack, modules.Conv(*last), _outputs(outputs)]


def _outputs(outputs):
    return modules.reshape() if outputs is None else modules.reshape(outputs)
