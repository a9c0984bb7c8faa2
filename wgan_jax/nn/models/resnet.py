"""Residual networks for CIFAR-10 (Gulrajani et al. 2017, appendix F), and their block.

`resnet64` and `resnet128` are made of the same block.
"""

import math
from typing import Any

from wgan_jax.nn import layers
from wgan_jax.nn.models.parts import Parts


def generator(model, sample_shape, rngs):
    """A dense layer, blocks that double the image, norm, convolution to the image."""
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    base = [n // 2 ** len(model.generator_widths) for n in size]
    stack, channels = generator_blocks(parts, base)
    stack.append(conv(parts, channels, image_channels, tflib="glorot"))
    return [*stack, parts.activation(model.output)]


def generator_blocks(parts, base, gain=1.0):
    """(layers from noise to the last norm and activation, number of their channels).

    base: height and width of the first image. gain: see `residual_block`.
    """
    model = parts.model
    widths = [multiple * model.features for multiple in model.generator_widths]
    channels = widths[0]
    norm, activation = model.generator_norm, model.generator_activation
    stack = [
        parts.dense(model.z_dim, math.prod(base) * channels),
        layers.reshape(*base, channels),
    ]
    options = {"norm": norm, "activation": activation, "classes": model.classes}
    for width in widths:
        stack.append(
            residual_block(parts, channels, width, resample="up", gain=gain, **options)
        )
        channels = width
    # One norm for all classes, as in the code of Gulrajani et al.
    return [*stack, *parts.norm(norm, channels), parts.activation(activation)], channels


def critic(model, sample_shape, rngs, outputs=1):
    """Blocks, of which the first halve the image, mean over the image, dense layers."""
    parts, channels, stack = Parts(model, rngs), sample_shape[2], []
    options = {"norm": model.critic_norm, "activation": model.critic_activation}
    for i, multiple in enumerate(model.critic_widths):
        width = multiple * model.features
        options["resample"] = "down" if i < model.critic_halvings else ""
        block = residual_block(parts, channels, width, first=i == 0, **options)
        stack.append(block)
        channels = width
    stack += [parts.activation(model.critic_activation), layers.global_mean_pool()]
    if model.classes:
        score, classes = parts.dense(channels, 1), parts.dense(channels, model.classes)
        return [*stack, layers.Heads(score, classes)]
    return [*stack, parts.dense(channels, outputs)]


def residual_block(
    parts,
    channels,
    width,
    *,
    norm,
    activation,
    classes=0,
    resample="",
    first=False,
    strided=False,
    gain=1.0,
):
    """(Norm, activation, convolution) twice; a 1x1 convolution or nothing as shortcut.

    resample: "up" doubles the image before the first convolution, "down" halves it
    after the second. first: the block of a critic that reads the image, without the
    first norm and activation. strided: halve by the stride of the second convolution.
    gain: of the convolutions of a doubled image, in model.init=tflib.
    """
    norm = "none" if first else norm
    normed = norm != "none"

    def before_conv(channels):
        norms = parts.norm(norm, channels, classes=classes)
        return [*norms, parts.activation(activation)]

    # A critic's block that halves the image widens in its second convolution.
    middle = channels if resample == "down" and not first else width
    up: dict[str, Any] = {"resample": "up", "gain": gain} if resample == "up" else {}
    down: dict[str, Any] = {}
    if resample == "down":
        down = {"stride": 2} if strided else {"resample": "down"}
    main = [
        *([] if first else before_conv(channels)),
        conv(parts, channels, middle, normed=normed, **up),
        *before_conv(middle),
        conv(parts, middle, width, **down),
    ]
    if channels == width and not resample:
        return layers.ResidualBlock(main, [])
    shortcut = [conv(parts, channels, width, kernel=1, tflib="glorot", gain=gain)]
    # A 1x1 convolution and a change of size commute: this order is cheaper.
    if resample == "up":
        shortcut = [*shortcut, layers.upsample()]
    elif resample == "down":
        shortcut = [layers.mean_pool(), *shortcut]
    return layers.ResidualBlock(main, shortcut)


def conv(parts, channels, width, *, kernel=0, stride=1, **options):
    """A convolution that keeps the size or, with stride 2, halves it (SAME).

    kernel: 0 is model.kernel.
    """
    kernel = kernel or parts.model.kernel
    padding = (kernel - 1) // 2
    if stride == 2:
        # TensorFlow's SAME has less before an image of even size than after it.
        padding = ((kernel - 2) // 2, (kernel - 1) // 2)
    options |= {"kernel": kernel, "padding": padding, "stride": stride}
    return parts.conv(layers.Conv, channels, width, **options)
