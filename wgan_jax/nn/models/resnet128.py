"""Residual networks for 128x128 images (Gulrajani et al. 2017, Fig. 4).

After the authors' research code (igul222/nn, experiments/wgan/wgan_imagenet128.py),
since `improved_wgan_training` has no networks of this size.
"""

from wgan_jax.nn import layers
from wgan_jax.nn.models import resnet
from wgan_jax.nn.models.parts import Parts

LAST_KERNEL = 5
# Of the convolutions of a doubled image, relative to tflib's standard deviation.
GAIN = 0.5


def generator(model, sample_shape, rngs):
    """A dense layer, blocks that double the image, and a convolution that doubles it.

    It doubles the image once more than model.generator_widths has entries.
    """
    parts, (*size, image_channels) = Parts(model, rngs), sample_shape
    base = [n // 2 ** (len(model.generator_widths) + 1) for n in size]
    stack, channels = resnet.generator_blocks(parts, base, gain=GAIN)
    last = {"kernel": LAST_KERNEL, "resample": "up", "tflib": "glorot", "gain": GAIN}
    stack.append(resnet.conv(parts, channels, image_channels, **last))
    return [*stack, parts.activation(model.output)]


def critic(model, sample_shape, rngs, outputs=1):
    """A convolution with stride 2, blocks, mean over the image, and a dense layer.

    The first entry of model.critic_widths is the convolution, of 5x5; each other one is
    a block. The first model.critic_halvings blocks halve the image.
    """
    parts, channels = Parts(model, rngs), sample_shape[2]
    options = {"norm": model.critic_norm, "activation": model.critic_activation}
    width, *widths = [multiple * model.features for multiple in model.critic_widths]
    stack: list = [resnet.conv(parts, channels, width, kernel=LAST_KERNEL, stride=2)]
    for i, next_width in enumerate(widths):
        channels, width = width, next_width
        options["resample"] = "down" if i < model.critic_halvings else ""
        stack.append(
            resnet.residual_block(parts, channels, width, strided=True, **options)
        )
    return [*stack, layers.global_mean_pool(), parts.dense(width, outputs)]
