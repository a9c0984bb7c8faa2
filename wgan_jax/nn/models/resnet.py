"""Residual networks of Gulrajani et al. 2017, appendix F."""

import math

from wgan_jax.nn import layers
from wgan_jax.nn.models.parts import Parts


def generator(model, sample_shape, rngs):
    """A dense layer, blocks that double the image, norm, convolution to the image."""
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    widths = [multiple * model.features for multiple in model.generator_widths]
    base, channels = [n // 2 ** len(widths) for n in size], widths[0]
    norm, activation = model.generator_norm, model.generator_activation
    stack = [
        parts.dense(model.z_dim, math.prod(base) * channels),
        layers.reshape(*base, channels),
    ]
    options = {"norm": norm, "activation": activation, "classes": model.classes}
    for width in widths:
        stack.append(_residual_block(parts, channels, width, resample="up", **options))
        channels = width
    # One norm for all classes, as in the code of Gulrajani et al.
    stack += [*parts.norm(norm, channels), parts.activation(activation)]
    stack.append(_conv(parts, channels, image_channels, tflib="glorot"))
    return [*stack, parts.activation(model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """Blocks, of which the first halve the image, mean over the image, dense layers."""
    parts, channels, stack = Parts(model, rngs), sample_shape[2], []
    options = {"norm": model.critic_norm, "activation": model.critic_activation}
    for i, multiple in enumerate(model.critic_widths):
        width = multiple * model.features
        options["resample"] = "down" if i < model.critic_halvings else ""
        block = _residual_block(parts, channels, width, first=i == 0, **options)
        stack.append(block)
        channels = width
    stack += [parts.activation(model.critic_activation), layers.global_mean_pool()]
    if model.classes:
        score, classes = parts.dense(channels, 1), parts.dense(channels, model.classes)
        return [*stack, layers.Heads(score, classes)]
    return [*stack, parts.dense(channels, outputs)]


def _residual_block(
    parts, channels, width, *, norm, activation, classes=0, resample="", first=False
):
    """(Norm, activation, convolution) twice; a 1x1 convolution or nothing as shortcut.

    resample: "up" doubles the image before the first convolution, "down" halves it
    after the second. first: the block of a critic that reads the image, without the
    first norm and activation.
    """
    norm = "none" if first else norm
    normed = norm != "none"

    def before_conv(channels):
        norms = parts.norm(norm, channels, classes=classes)
        return [*norms, parts.activation(activation)]

    # A critic's block that halves the image widens in its second convolution.
    middle = channels if resample == "down" and not first else width
    up, down = (resample if resample == name else "" for name in ("up", "down"))
    main = [
        *([] if first else before_conv(channels)),
        _conv(parts, channels, middle, normed=normed, resample=up),
        *before_conv(middle),
        _conv(parts, middle, width, resample=down),
    ]
    if channels == width and not resample:
        return layers.ResidualBlock(main, [])
    shortcut = [_conv(parts, channels, width, kernel=1, tflib="glorot")]
    # A 1x1 convolution and a change of size commute: this order is cheaper.
    if resample == "up":
        shortcut = [*shortcut, layers.upsample()]
    elif resample == "down":
        shortcut = [layers.mean_pool(), *shortcut]
    return layers.ResidualBlock(main, shortcut)


def _conv(parts, channels, width, *, kernel=0, **options):
    """A convolution with stride 1 that keeps the size; kernel: 0 is model.kernel."""
    kernel = kernel or parts.model.kernel
    options |= {"kernel": kernel, "padding": (kernel - 1) // 2}
    return parts.conv(layers.Conv, channels, width, **options)
