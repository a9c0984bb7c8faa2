"""1-D residual networks of text (gan_language.py of Gulrajani et al. 2017, sect. 5.5).

A sample is [length, vocabulary]: shares of each character at each place, one-hot for
real text. All blocks have model.features channels and add 0.3 times their result.
"""

from wgan_jax.nn import layers
from wgan_jax.nn.models.parts import Parts

RESIDUAL = 0.3
"""Factor of a block's result."""


def generator(model, sample_shape, rngs):
    """A dense layer to the whole line, blocks, a 1x1 convolution to the vocabulary."""
    parts, width = Parts(model, rngs), model.features
    length, vocabulary = sample_shape
    return [
        parts.dense(model.z_dim, length * width),
        layers.reshape(length, width),
        *_blocks(parts, model.generator_widths, model.generator_activation),
        parts.conv(layers.Conv1d, width, vocabulary, kernel=1),
        parts.activation(model.output),
    ]


def critic(model, sample_shape, rngs, outputs=1):
    """A 1x1 convolution, blocks, a dense layer over the whole line."""
    parts, width = Parts(model, rngs), model.features
    length, vocabulary = sample_shape
    return [
        parts.conv(layers.Conv1d, vocabulary, width, kernel=1),
        *_blocks(parts, model.critic_widths, model.critic_activation),
        layers.reshape(length * width),
        parts.dense(length * width, outputs),
    ]


def _blocks(parts, widths, activation):
    """(Activation, convolution) twice for each of `widths`, which are all 1."""

    def half():
        model = parts.model
        conv = parts.conv(
            layers.Conv1d, model.features, model.features, kernel=model.kernel
        )
        return [parts.activation(activation), conv]

    return [
        layers.ResidualBlock([*half(), *half(), layers.scale(RESIDUAL)], [])
        for _ in widths
    ]
