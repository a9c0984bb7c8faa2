"""Residual networks of Gulrajani et al. 2017, appendix F."""

from wgan_jax.nn import layers
from wgan_jax.nn.models import parts


def generator(model, sample_shape, rngs):
    """A dense layer, blocks that double the image, norm, convolution to the image."""
    size, _, image_channels = sample_shape
    widths = [multiple * model.features for multiple in model.generator_widths]
    base, channels = size // 2 ** len(widths), widths[0]
    norm, activation = model.generator_norm, model.generator_activation
    units, options = base**2 * channels, parts.dense_options(model)
    stack = [
        layers.Dense(model.z_dim, units, **options, rngs=rngs),
        layers.reshape(base, base, channels),
    ]
    for width in widths:
        block = _residual_block(
            model,
            channels,
            width,
            rngs,
            norm=norm,
            activation=activation,
            classes=model.classes,
            resample="up",
        )
        stack.append(block)
        channels = width
    if norm != "none":
        # One for all classes, as in the code of Gulrajani et al.
        stack.append(parts.norm(model, norm, channels, rngs, spatial=True))
    stack.append(parts.activation(model, activation))
    last = _conv(
        model, channels, image_channels, rngs, kernel=model.kernel, tflib="glorot"
    )
    return [*stack, last, parts.activation(model, model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """Blocks, of which the first halve the image, mean over the image, dense layers."""
    channels = sample_shape[2]
    stack = []
    for i, multiple in enumerate(model.critic_widths):
        width = multiple * model.features
        block = _residual_block(
            model,
            channels,
            width,
            rngs,
            norm=model.critic_norm,
            activation=model.critic_activation,
            resample="down" if i < model.critic_halvings else "",
            first=i == 0,
        )
        stack.append(block)
        channels = width
    stack.append(parts.activation(model, model.critic_activation))
    stack.append(layers.global_mean_pool())
    options = parts.dense_options(model)
    if model.classes:
        return [*stack, layers.Heads(channels, model.classes, **options, rngs=rngs)]
    return [*stack, layers.Dense(channels, outputs, **options, rngs=rngs)]


def _residual_block(
    model,
    channels,
    width,
    rngs,
    *,
    norm,
    activation,
    classes=0,
    resample="",
    first=False,
):
    """(Norm, activation, convolution) twice; a 1x1 convolution or nothing as shortcut.

    resample: "up" doubles the image before the first convolution, "down" halves it
    after the second. first: the block of a critic that reads the image, without the
    first norm and activation.
    """
    normed = norm != "none" and not first

    def before_conv(channels):
        options = {"spatial": True, "classes": classes}
        norms = [parts.norm(model, norm, channels, rngs, **options)] if normed else []
        return [*norms, parts.activation(model, activation)]

    # A critic's block that halves the image widens in its second convolution.
    middle = channels if resample == "down" and not first else width
    up, down = (resample if resample == name else "" for name in ("up", "down"))
    kernel = model.kernel
    main = [
        *([] if first else before_conv(channels)),
        _conv(model, channels, middle, rngs, kernel=kernel, normed=normed, resample=up),
        *before_conv(middle),
        _conv(model, middle, width, rngs, kernel=kernel, resample=down),
    ]
    if channels == width and not resample:
        return layers.ResidualBlock(main, [])
    shortcut = [_conv(model, channels, width, rngs, kernel=1, tflib="glorot")]
    # A 1x1 convolution and a change of size commute: this order is cheaper.
    if resample == "up":
        shortcut = [*shortcut, layers.upsample()]
    elif resample == "down":
        shortcut = [layers.mean_pool(), *shortcut]
    return layers.ResidualBlock(main, shortcut)


def _conv(
    model, channels, width, rngs, *, kernel, normed=False, tflib="he", resample=""
):
    """A convolution with stride 1 that keeps the size of the image."""
    return layers.Conv(
        channels,
        width,
        kernel=kernel,
        padding=(kernel - 1) // 2,
        resample=resample,
        **parts.conv_options(model, normed=normed, tflib=tflib),
        rngs=rngs,
    )
