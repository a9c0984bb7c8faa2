"""The residual networks for 64x64 images of Gulrajani et al.'s code, gan_64x64.py.

Its README recommends them for this size: GoodGenerator and GoodDiscriminator.
"""

import math

from wgan_jax.nn import layers
from wgan_jax.nn.models import resnet
from wgan_jax.nn.models.parts import Parts


def generator(model, sample_shape, rngs):
    """As `resnet.generator`, with He's initialisation of the last layer too."""
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    base = [n // 2 ** len(model.generator_widths) for n in size]
    stack, channels = resnet.generator_blocks(parts, base)
    stack.append(resnet.conv(parts, channels, image_channels))
    return [*stack, parts.activation(model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """A convolution, blocks that halve the image, and a dense layer over the rest."""
    parts, (*size, channels) = Parts(model, rngs), sample_shape
    options = {"norm": model.critic_norm, "activation": model.critic_activation}
    width = model.features
    stack: list = [resnet.conv(parts, channels, width, tflib="glorot")]
    for multiple in model.critic_widths:
        channels, width = width, multiple * model.features
        stack.append(
            resnet.residual_block(parts, channels, width, resample="down", **options)
        )
    pixels = math.prod(n // 2 ** len(model.critic_widths) for n in size)
    return [*stack, layers.reshape(-1), parts.dense(pixels * width, outputs)]
