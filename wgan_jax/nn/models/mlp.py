"""Multilayer perceptrons: dense layers, for points and for flattened images."""

import math

from wgan_jax.nn import layers
from wgan_jax.nn.models.parts import Parts


def generator(model, sample_shape, rngs):
    """Dense layers from noise to a sample."""
    parts, style = (
        Parts(model, rngs),
        (model.generator_norm, model.generator_activation),
    )
    stack, width = _hidden_layers(parts, model.z_dim, model.generator_widths, style)
    stack.append(parts.dense(width, math.prod(sample_shape)))
    stack.append(parts.activation(model.output))
    return [*stack, layers.reshape(*sample_shape)] if len(sample_shape) > 1 else stack


def critic(model, sample_shape, rngs, outputs=1):
    """Dense layers from a sample to `outputs` numbers."""
    parts, style = Parts(model, rngs), (model.critic_norm, model.critic_activation)
    width = math.prod(sample_shape)
    stack, width = _hidden_layers(parts, width, model.critic_widths, style)
    return [layers.reshape(-1), *stack, parts.dense(width, outputs)]


def _hidden_layers(parts, width, multiples, style):
    """Blocks of dense layers, the first without a norm, and the width of the last."""
    stack, (norm, activation) = [], style
    for i, multiple in enumerate(multiples):
        fan_in, width = width, multiple * parts.model.features
        stack += parts.dense_block(fan_in, width, norm if i else "none", activation)
    return stack, width
