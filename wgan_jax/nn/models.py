"""Generator and critic of a configuration, as lists of layers."""

import dataclasses
import math
from functools import partial

from wgan_jax.config import Model
from wgan_jax.nn import layers, network
from wgan_jax.nn.network import Network


def build(model: Model, sample_shape: tuple[int, ...]) -> tuple[Network, Network]:
    """Generator [batch, z_dim] -> [batch, *sample_shape] and critic back to [batch]."""
    make_generator = partial(_GENERATORS[model.kind], model, sample_shape)
    make_critic = partial(_CRITICS[model.critic_is], model, sample_shape)
    return (
        network.network(make_generator, (model.z_dim,), model.dtype),
        network.network(make_critic, sample_shape, model.dtype),
    )


def build_encoder(model: Model, sample_shape: tuple[int, ...]) -> Network:
    """[batch, *sample_shape] -> [batch, z_dim]: the critic's layers, without norms."""
    plain = dataclasses.replace(model, critic_norm="none", classes=0)
    make = partial(_CRITICS[model.critic_is], plain, sample_shape, outputs=model.z_dim)
    return network.network(make, sample_shape, model.dtype)


def _has_bias(model, normed):
    return model.bias == "all" or (model.bias == "unnormalised" and not normed)


def _dense(model, fan_in, width, rngs, normed=False):
    init = "glorot" if model.init == "tflib" else "torch"
    return layers.Dense(fan_in, width, _has_bias(model, normed), init, rngs)


def _relu(model, side):
    return layers.activation(getattr(model, f"{side}_activation"), model.leaky_slope)


def _output(model):
    return layers.activation(model.output, model.leaky_slope)


def _scores(outputs):
    return layers.reshape() if outputs is None else layers.reshape(outputs)


# ------------------------------------------------------------------------------- dense


def _dense_block(model, side, fan_in, width, norm, rngs):
    normed = norm != "none"
    block = [_dense(model, fan_in, width, rngs, normed)]
    if normed:
        block.append(layers.norm(norm, width, model, False, rngs))
    return [*block, _relu(model, side)]


def _mlp_generator(model, sample_shape, rngs):
    stack, width = [], model.z_dim
    for i, multiple in enumerate(model.generator_widths):
        fan_in, width = width, multiple * model.features
        norm = "none" if i == 0 else model.generator_norm
        stack += _dense_block(model, "generator", fan_in, width, norm, rngs)
    stack += [_dense(model, width, math.prod(sample_shape), rngs), _output(model)]
    return [*stack, layers.reshape(*sample_shape)] if len(sample_shape) > 1 else stack


def _mlp_critic(model, sample_shape, rngs, outputs=None):
    stack, width = [layers.reshape(-1)], math.prod(sample_shape)
    for i, multiple in enumerate(model.critic_widths):
        fan_in, width = width, multiple * model.features
        norm = "none" if i == 0 else model.critic_norm
        stack += _dense_block(model, "critic", fan_in, width, norm, rngs)
    return [*stack, _dense(model, width, outputs or 1, rngs), _scores(outputs)]


# ------------------------------------------------------------------------------- DCGAN


def _stride_2(model):
    """(kernel, stride, padding) of a halving or a doubling."""
    missing = model.kernel - 2
    same = (missing // 2, missing - missing // 2)
    torch = ((model.kernel - 1) // 2,) * 2
    return model.kernel, 2, same if model.padding == "same" else torch


def _conv_init(model):
    return "he" if model.init == "tflib" else model.init


def _generator(model, sample_shape, rngs):
    """DCGAN: a layer from noise to a small image, then doublings of it."""
    size, _, image_channels = sample_shape
    base = size // 2 ** len(model.generator_widths)
    normed = model.generator_norm != "none"
    multiples = [*model.generator_widths]
    if model.ends == "dense":
        channels = multiples.pop(0) * model.features
        units = base**2 * channels
        norm = model.generator_norm
        stack = _dense_block(model, "generator", model.z_dim, units, norm, rngs)
        stack.append(layers.reshape(base, base, channels))
        geometry = _stride_2(model)
    else:
        stack, channels = [layers.reshape(1, 1, model.z_dim)], model.z_dim
        geometry = (base, 1, 0)
    for multiple in multiples:
        before, channels = channels, multiple * model.features
        how = (*geometry, _has_bias(model, normed), _conv_init(model), rngs)
        stack.append(layers.ConvTranspose(before, channels, *how))
        if normed:
            stack.append(layers.norm(model.generator_norm, channels, model, True, rngs))
        stack.append(_relu(model, "generator"))
        geometry = _stride_2(model)
    how = (*geometry, _has_bias(model, False), _conv_init(model), rngs)
    stack.append(layers.ConvTranspose(channels, image_channels, *how))
    return [*stack, _output(model)]


def _critic(model, sample_shape, rngs, outputs=None):
    """DCGAN: halvings of the image, then one layer over all that is left.

    outputs: numbers a sample; None is one, without an axis of its own.
    """
    size, _, channels = sample_shape
    base = size // 2 ** len(model.critic_widths)
    stack = []
    for i, multiple in enumerate(model.critic_widths):
        before, channels = channels, multiple * model.features
        normed = i > 0 and model.critic_norm != "none"
        how = (*_stride_2(model), _has_bias(model, normed), _conv_init(model), rngs)
        stack.append(layers.Conv(before, channels, *how))
        if normed:
            stack.append(layers.norm(model.critic_norm, channels, model, True, rngs))
        stack.append(_relu(model, "critic"))
    if model.ends == "dense":
        stack.append(layers.reshape(-1))
        stack.append(_dense(model, base**2 * channels, outputs or 1, rngs))
    else:
        how = (base, 1, 0, _has_bias(model, False), _conv_init(model), rngs)
        stack.append(layers.Conv(channels, outputs or 1, *how))
    return [*stack, _scores(outputs)]


# ------------------------------------------------------------------------------ ResNet


def _residual_block(model, side, before, after, rngs, resample="", first=False):
    """norm, activation, conv, norm, activation, conv; beside it 1x1, or nothing.

    resample: up doubles the image before the first convolution, down halves it behind
    the second. first: without what would come before the first convolution of a critic.
    """
    norm = getattr(model, f"{side}_norm")
    classes = model.classes if side == "generator" else 0
    normed = norm != "none" and not first

    def conv(ins, outs, kernel, normed, init, change=""):
        padding = (kernel - 1) // 2
        how = (kernel, 1, padding, _has_bias(model, normed), init, rngs, change)
        return layers.Conv(ins, outs, *how)

    up, down = (resample if resample == name else "" for name in ("up", "down"))

    def ready(channels):
        norms = [layers.norm(norm, channels, model, True, rngs, classes)]
        return [*(norms if normed else []), _relu(model, side)]

    # A critic's block widens behind its activation, where it also halves the image.
    middle = before if resample == "down" and not first else after
    main = [] if first else ready(before)
    main += [conv(before, middle, model.kernel, normed, _conv_init(model), up)]
    main += ready(middle)
    main += [conv(middle, after, model.kernel, False, _conv_init(model), down)]
    if before == after and not resample:
        return layers.ResidualBlock(main, [])
    init = "glorot" if model.init == "tflib" else model.init
    shortcut = [conv(before, after, 1, False, init)]
    # A 1x1 convolution and a change of size may change places: this order is cheaper.
    if resample == "up":
        shortcut = [*shortcut, layers.upsample()]
    elif resample == "down":
        shortcut = [layers.mean_pool(), *shortcut]
    return layers.ResidualBlock(main, shortcut)


def _resnet_generator(model, sample_shape, rngs):
    """A dense layer, blocks that double the image, norm, convolution to the image."""
    size, _, image_channels = sample_shape
    widths = [multiple * model.features for multiple in model.generator_widths]
    base = size // 2 ** len(widths)
    channels = widths[0]
    stack = [_dense(model, model.z_dim, base**2 * channels, rngs)]
    stack.append(layers.reshape(base, base, channels))
    for width in widths:
        how = (channels, width, rngs, "up")
        stack.append(_residual_block(model, "generator", *how))
        channels = width
    if model.generator_norm != "none":
        # One for all classes, as the code of Gulrajani et al. has it.
        stack.append(layers.norm(model.generator_norm, channels, model, True, rngs))
    init = "glorot" if model.init == "tflib" else model.init
    padding = (model.kernel - 1) // 2
    how = (model.kernel, 1, padding, _has_bias(model, False), init, rngs)
    stack += [_relu(model, "generator"), layers.Conv(channels, image_channels, *how)]
    return [*stack, _output(model)]


def _resnet_critic(model, sample_shape, rngs, outputs=None):
    """Blocks of which the first ones halve the image, a mean over it, dense layers."""
    stack, channels = [], sample_shape[2]
    for i, multiple in enumerate(model.critic_widths):
        before, channels = channels, multiple * model.features
        resample = "down" if i < model.critic_halvings else ""
        how = (before, channels, rngs, resample, i == 0)
        stack.append(_residual_block(model, "critic", *how))
    stack += [_relu(model, "critic"), layers.global_mean_pool()]
    if model.classes:
        init = "glorot" if model.init == "tflib" else "torch"
        bias = _has_bias(model, False)
        return [*stack, layers.Heads(channels, model.classes, bias, init, rngs)]
    return [*stack, _dense(model, channels, outputs or 1, rngs), _scores(outputs)]


_GENERATORS = {
    "mlp": _mlp_generator,
    "dcgan": _generator,
    "resnet": _resnet_generator,
}
_CRITICS = {"mlp": _mlp_critic, "dcgan": _critic, "resnet": _resnet_critic}
