"""Losses that objectives and constraints share: arrays in, arrays out."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def class_loss(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"]
) -> Float[Array, ""]:
    """Cross-entropy of the auxiliary classifier in nats (Odena et al. 2017, AC-GAN)."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def half_square_sum(params: Any) -> Float[Array, ""]:
    """Half the sum of squares of all parameters but biases.

    The weight decay of the code of Gulrajani et al.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    squares = [
        jnp.square(leaf).sum()
        for path, leaf in leaves
        if getattr(path[-1], "key", "") not in ("bias", "b")
    ]
    return jnp.stack(squares).sum() / 2


def interpolate(
    real: Float[Array, "n ..."],
    fake: Float[Array, "n ..."],
    epsilon: Float[Array, " n"],
) -> Float[Array, "n ..."]:
    """epsilon real + (1 - epsilon) fake, one epsilon per sample.

    Algorithm 1 of Gulrajani et al. 2017. Raises AssertionError for unequal shapes.
    """
    chex.assert_equal_shape([real, fake])
    epsilon = epsilon.reshape((-1,) + (1,) * (real.ndim - 1))
    return epsilon * real + (1 - epsilon) * fake


def gradient_norms(score: Callable, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """Euclidean norm of d score(x) / d x over all axes but the batch.

    score: function from [n, ...] to [n] that treats each sample separately, so that the
    gradient of the sum is the gradient of each sample. The result is differentiable:
    where a gradient is zero, the derivative of its norm is defined as zero.
    """
    gradient = jax.grad(lambda x: score(x).sum())(x)
    squared = jnp.square(gradient).sum(tuple(range(1, x.ndim)))
    # The derivative of sqrt at zero is a NaN, even where `where` masks its value.
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)
