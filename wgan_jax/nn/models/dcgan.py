"""DCGAN: a pyramid of (transposed) convolutions with stride 2 (Radford et al. 2016)."""

import math

from wgan_jax.nn import layers
from wgan_jax.nn.models.parts import Parts


def generator(model, sample_shape, rngs):
    """A layer from noise to a small image, then transposed convolutions that double it.

    The first layer is a transposed convolution from 1x1 or, with model.ends=dense, a
    dense layer. model.generator_extra_depth convolutions follow the second layer.
    """
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    base = tuple(n // 2 ** len(model.generator_widths) for n in size)
    style = model.generator_norm, model.generator_activation
    channels, stack = model.z_dim, []
    for i, multiple in enumerate(model.generator_widths):
        width = multiple * model.features
        if i:
            block = layers.ConvTranspose, channels, width, *style
            stack += parts.conv_block(*block, **_stride_2(model))
        else:
            stack += _first_block(parts, base, width, *style)
        if i == 1:
            stack += parts.extra_blocks(model.generator_extra_depth, width, *style)
        channels = width
    last = layers.ConvTranspose, channels, image_channels
    stack.append(parts.conv(*last, **_stride_2(model)))
    return [*stack, parts.activation(model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """Convolutions that halve the image, then one layer over the rest of it.

    model.critic_extra_depth convolutions come before the last halving.
    """
    parts, (*size, channels) = Parts(model, rngs), sample_shape
    base = tuple(n // 2 ** len(model.critic_widths) for n in size)
    stack, norm, activation = [], "none", model.critic_activation
    for i, multiple in enumerate(model.critic_widths):
        width = multiple * model.features
        block = layers.Conv, channels, width, norm, activation
        stack += parts.conv_block(*block, **_stride_2(model))
        channels, norm = width, model.critic_norm
        if i == len(model.critic_widths) - 2:
            extra = model.critic_extra_depth, width, norm, activation
            stack += parts.extra_blocks(*extra)
    if model.ends != "conv":
        last = parts.dense(math.prod(base) * channels, outputs)
        return [*stack, layers.reshape(-1), last]
    return [*stack, parts.conv(layers.Conv, channels, outputs, kernel=base)]


def _first_block(parts, base, width, norm, activation):
    """Layers from noise to an image of the size `base` and `width` channels."""
    model = parts.model
    if model.ends == "conv":
        block = layers.ConvTranspose, model.z_dim, width, norm, activation
        first = layers.reshape(1, 1, model.z_dim)
        return [first, *parts.conv_block(*block, kernel=base)]
    channels = parts.before(activation, width)
    units = math.prod(base) * channels
    stack: list = [parts.dense(model.z_dim, units, normed=norm != "none")]
    image = layers.reshape(*base, channels)
    if model.ends == "dense":
        stack += [*parts.norm(norm, units, spatial=False), image]
    else:
        stack += [image, *parts.norm(norm, channels)]
    return [*stack, parts.activation(activation)]


def _stride_2(model) -> dict:
    """Kernel, stride and padding of a convolution that halves or doubles an image."""
    if model.padding == "same":
        missing = model.kernel - 2
        padding = (missing // 2, missing - missing // 2)
    else:
        padding = ((model.kernel - 1) // 2,) * 2
    return {"kernel": model.kernel, "stride": 2, "padding": padding}
