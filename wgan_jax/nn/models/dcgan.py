"""DCGAN: a pyramid of (transposed) convolutions with stride 2 (Radford et al. 2016)."""

import math

from wgan_jax.nn import layers
from wgan_jax.nn.models.parts import Parts


def generator(model, sample_shape, rngs):
    """A layer from noise to a small image, then transposed convolutions that double it.

    The first layer is a transposed convolution from 1x1 or, with model.ends=dense, a
    dense layer.
    """
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    base = tuple(n // 2 ** len(model.generator_widths) for n in size)
    widths = [multiple * model.features for multiple in model.generator_widths]
    norm, activation = model.generator_norm, model.generator_activation
    if model.ends == "dense":
        channels, *widths = widths
        units = math.prod(base) * channels
        stack = parts.dense_block(model.z_dim, units, norm, activation)
        stack.append(layers.reshape(*base, channels))
        geometry = _stride_2(model)
    else:
        stack: list = [layers.reshape(1, 1, model.z_dim)]
        channels = model.z_dim
        geometry: dict = {"kernel": base}
    kind, normed = layers.ConvTranspose, norm != "none"
    for width in widths:
        stack.append(parts.conv(kind, channels, width, normed=normed, **geometry))
        stack += [*parts.norm(norm, width), parts.activation(activation)]
        channels, geometry = width, _stride_2(model)
    stack.append(parts.conv(kind, channels, image_channels, **geometry))
    return [*stack, parts.activation(model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """Convolutions that halve the image, then one layer over the rest of it."""
    parts, (*size, channels) = Parts(model, rngs), sample_shape
    base = tuple(n // 2 ** len(model.critic_widths) for n in size)
    stack, norm = [], "none"
    for multiple in model.critic_widths:
        width, normed = multiple * model.features, norm != "none"
        geometry = _stride_2(model)
        stack.append(
            parts.conv(layers.Conv, channels, width, normed=normed, **geometry)
        )
        stack += [*parts.norm(norm, width), parts.activation(model.critic_activation)]
        channels, norm = width, model.critic_norm
    if model.ends == "dense":
        last = parts.dense(math.prod(base) * channels, outputs)
        return [*stack, layers.reshape(-1), last]
    return [*stack, parts.conv(layers.Conv, channels, outputs, kernel=base)]


def _stride_2(model) -> dict:
    """Kernel, stride and padding of a convolution that halves or doubles an image."""
    if model.padding == "same":
        missing = model.kernel - 2
        padding = (missing // 2, missing - missing // 2)
    else:
        padding = ((model.kernel - 1) // 2,) * 2
    return {"kernel": model.kernel, "stride": 2, "padding": padding}
