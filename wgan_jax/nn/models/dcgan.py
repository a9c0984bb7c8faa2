"""DCGAN: a pyramid of (transposed) convolutions with stride 2 (Radford et al. 2016)."""

from wgan_jax.nn import layers
from wgan_jax.nn.models import parts


def generator(model, sample_shape, rngs):
    """A layer from noise to a small image, then transposed convolutions that double it.

    The first layer is a transposed convolution from 1x1 or, with model.ends=dense, a
    dense layer.
    """
    size, _, image_channels = sample_shape
    base = size // 2 ** len(model.generator_widths)
    widths = [multiple * model.features for multiple in model.generator_widths]
    norm, activation = model.generator_norm, model.generator_activation
    normed = norm != "none"
    if model.ends == "dense":
        channels, *widths = widths
        units = base**2 * channels
        stack: list = parts.dense_block(
            model,
            model.z_dim,
            units,
            rngs,
            norm_kind=norm,
            activation_name=activation,
        )
        stack.append(layers.reshape(base, base, channels))
        geometry = _stride_2(model)
    else:
        stack, channels = [layers.reshape(1, 1, model.z_dim)], model.z_dim
        geometry = {"kernel": base}
    for width in widths:
        options = geometry | parts.conv_options(model, normed=normed)
        stack.append(layers.ConvTranspose(channels, width, **options, rngs=rngs))
        if normed:
            stack.append(parts.norm(model, norm, width, rngs, spatial=True))
        stack.append(parts.activation(model, activation))
        channels, geometry = width, _stride_2(model)
    options = geometry | parts.conv_options(model)
    stack.append(layers.ConvTranspose(channels, image_channels, **options, rngs=rngs))
    return [*stack, parts.activation(model, model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """Convolutions that halve the image, then one layer over the rest of it."""
    size, _, channels = sample_shape
    base = size // 2 ** len(model.critic_widths)
    stack = []
    for i, multiple in enumerate(model.critic_widths):
        width = multiple * model.features
        normed = i > 0 and model.critic_norm != "none"
        options = _stride_2(model) | parts.conv_options(model, normed=normed)
        stack.append(layers.Conv(channels, width, **options, rngs=rngs))
        if normed:
            norm = parts.norm(model, model.critic_norm, width, rngs, spatial=True)
            stack.append(norm)
        stack.append(parts.activation(model, model.critic_activation))
        channels = width
    if model.ends == "dense":
        options = parts.dense_options(model)
        last = layers.Dense(base**2 * channels, outputs, **options, rngs=rngs)
        return [*stack, layers.reshape(-1), last]
    options = parts.conv_options(model)
    return [*stack, layers.Conv(channels, outputs, kernel=base, **options, rngs=rngs)]


def _stride_2(model):
    """Kernel, stride and padding of a convolution that halves or doubles an image."""
    if model.padding == "same":
        missing = model.kernel - 2
        padding = (missing // 2, missing - missing // 2)
    else:
        padding = ((model.kernel - 1) // 2,) * 2
    return {"kernel": model.kernel, "stride": 2, "padding": padding}
