"""Multilayer perceptrons: dense layers, for points and for flattened images."""

import math

from wgan_jax.nn import layers
from wgan_jax.nn.models import parts


def generator(model, sample_shape, rngs):
    """Dense layers from noise to a sample."""
    stack, width = _hidden_layers(
        model,
        model.z_dim,
        model.generator_widths,
        rngs,
        norm=model.generator_norm,
        activation=model.generator_activation,
    )
    options = parts.dense_options(model)
    stack.append(layers.Dense(width, math.prod(sample_shape), **options, rngs=rngs))
    stack.append(parts.activation(model, model.output))
    return [*stack, layers.reshape(*sample_shape)] if len(sample_shape) > 1 else stack


def critic(model, sample_shape, rngs, outputs=1):
    """Dense layers from a sample to `outputs` numbers."""
    stack, width = _hidden_layers(
        model,
        math.prod(sample_shape),
        model.critic_widths,
        rngs,
        norm=model.critic_norm,
        activation=model.critic_activation,
    )
    options = parts.dense_options(model)
    last = layers.Dense(width, outputs, **options, rngs=rngs)
    return [layers.reshape(-1), *stack, last]


def _hidden_layers(model, width, multiples, rngs, *, norm, activation):
    """Blocks of dense layers, the first without a norm, and the width of the last."""
    stack = []
    for i, multiple in enumerate(multiples):
        fan_in, width = width, multiple * model.features
        stack += parts.dense_block(
            model,
            fan_in,
            width,
            rngs,
            norm_kind=norm if i else "none",
            activation_name=activation,
        )
    return stack, width
