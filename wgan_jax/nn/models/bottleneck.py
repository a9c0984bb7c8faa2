"""101-layer residual networks with bottlenecks (Gulrajani et al. 2017, Fig. 2).

After gan_64x64.py of the authors' code, ResnetGenerator and ResnetDiscriminator. The
widths have one entry per block: a block whose width differs from the one before it
doubles the image in the generator and halves it in the critic. The paper's networks are
33 blocks of three convolutions, and a layer at each end.
"""

import itertools
import math

from wgan_jax.nn import layers
from wgan_jax.nn.models.parts import Parts

# Factors of a block's main path, and of the last layer's output.
BLOCK, LAST = 0.3, 0.2


def generator(model, sample_shape, rngs):
    """A dense layer, blocks, and a 1x1 convolution to the image."""
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    base = [n >> changes(model.generator_widths) for n in size]
    channels = model.generator_widths[0] * model.features
    stack = [
        parts.dense(model.z_dim, math.prod(base) * channels),
        layers.reshape(*base, channels),
    ]
    norm, activation = model.generator_norm, model.generator_activation
    for multiple in model.generator_widths:
        width = multiple * model.features
        stack.append(_block(parts, channels, width, norm, activation, "up"))
        channels = width
    stack += [_conv_1x1(parts, channels, image_channels), layers.scale(LAST)]
    return [*stack, parts.activation(model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """A 1x1 convolution, blocks, and a dense layer over the rest of the image."""
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    channels = model.critic_widths[0] * model.features
    stack: list = [_conv_1x1(parts, image_channels, channels)]
    norm, activation = model.critic_norm, model.critic_activation
    for multiple in model.critic_widths:
        width = multiple * model.features
        stack.append(_block(parts, channels, width, norm, activation, "down"))
        channels = width
    pixels = math.prod(n >> changes(model.critic_widths) for n in size)
    last = parts.dense(pixels * channels, outputs)
    return [*stack, layers.reshape(-1), last, layers.scale(LAST)]


def changes(widths) -> int:
    """Number of blocks that change the size of the image, by the widths of all."""
    return sum(a != b for a, b in itertools.pairwise(widths))


def _block(parts, channels, width, norm, activation, resample):
    """(Activation, convolution) three times and a norm, added to a shortcut.

    The convolutions are 1x1 to half the channels, model.kernel and 1x1. resample: up or
    down, where the width changes.
    """
    kernel, narrow = parts.model.kernel, (channels // 2, width // 2)
    # TensorFlow's SAME: less before an image of even size than after it.
    strided = {"kernel": kernel, "stride": 2}
    strided["padding"] = ((kernel - 2) // 2, (kernel - 1) // 2)
    plain = {"kernel": kernel, "padding": (kernel - 1) // 2}
    if channels == width:
        middle, shortcut = parts.conv(layers.Conv, *narrow, **plain), []
    elif resample == "up":
        middle = parts.conv(layers.ConvTranspose, *narrow, **strided)
        shortcut = [_conv_1x1(parts, channels, 4 * width), layers.depth_to_space()]
    else:
        middle = parts.conv(layers.Conv, *narrow, **strided)
        shortcut = [_conv_1x1(parts, channels, width, stride=2)]
    normed = norm != "none"
    main = [
        parts.activation(activation),
        parts.conv(layers.Conv, channels, narrow[0], kernel=1),
        parts.activation(activation),
        middle,
        parts.activation(activation),
        parts.conv(layers.Conv, narrow[1], width, kernel=1, normed=normed),
        *parts.norm(norm, width),
        layers.scale(BLOCK),
    ]
    return layers.ResidualBlock(main, shortcut)


def _conv_1x1(parts, channels, width, stride=1):
    geometry = {"kernel": 1, "stride": stride}
    return parts.conv(layers.Conv, channels, width, tflib="glorot", **geometry)
