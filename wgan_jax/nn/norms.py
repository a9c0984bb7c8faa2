"""Norms with PyTorch's meaning, channels last."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

Array = jax.Array | np.ndarray
# One for all samples, or one for each.
Affine = Float[Array, " channels"] | Float[Array, "batch channels"]
Channels = Float[Array, " channels"]
Samples = Float[Array, "batch ... channels"]
Images = Float[Array, "batch h w channels"]


def batch_norm(
    x: Samples, scale: Affine, bias: Affine, *, epsilon: float, groups: int = 1
) -> tuple[Samples, Channels, Channels]:
    """Normalises each channel over all other axes with this batch's statistics.

    groups: equal parts of the batch that are normalised separately, as on as many
    devices. Returns (y, mean, variance): the statistics are means over the groups, and
    the variance is the unbiased one, which PyTorch averages into its running variance
    while it normalises by the biased one.
    """
    parts = x.reshape(groups, -1, *x.shape[1:])
    count = x.size // (x.shape[-1] * groups)
    mean, variance = _moments(parts, tuple(range(1, parts.ndim - 1)))
    y = _normalise(parts, mean, variance, epsilon).reshape(x.shape)
    y = _scale(y, scale, bias, x.dtype)
    unbiased = variance * (count / max(count - 1, 1))
    mean, unbiased = (s.reshape(groups, -1).mean(0) for s in (mean, unbiased))
    return y, mean, unbiased


def stored_norm(
    x: Samples,
    scale: Affine,
    bias: Affine,
    mean: Channels,
    variance: Channels,
    *,
    epsilon: float,
) -> Samples:
    """Batch normalisation by running statistics, as used when sampling."""
    mean, variance = (_spread(s, x.ndim) for s in (mean, variance))
    return _scale(_normalise(x, mean, variance, epsilon), scale, bias, x.dtype)


def instance_norm(x: Images, scale: Affine, bias: Affine, *, epsilon: float) -> Images:
    """Normalises each channel of each image over height and width.

    As torch.nn.InstanceNorm2d(affine=True, track_running_stats=False).
    """
    y = _normalise(x, *_moments(x, (1, 2)), epsilon)
    return _scale(y, scale, bias, x.dtype)


def layer_norm(x: Samples, scale: Affine, bias: Affine, *, epsilon: float) -> Samples:
    """Normalises each sample over all its axes, with an affine map per channel.

    The layer norm of the code of Gulrajani et al.; torch.nn.LayerNorm has an affine map
    per unit.
    """
    y = _normalise(x, *_moments(x, tuple(range(1, x.ndim))), epsilon)
    return _scale(y, scale, bias, x.dtype)


def _moments(x, axes):
    # Two passes in at least float32: E[x^2] - E[x]^2 cancels, in bfloat16 completely.
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = x.mean(axes, keepdims=True)
    return mean, jnp.square(x - mean).mean(axes, keepdims=True)


def _normalise(x, mean, variance, epsilon):
    return (x - mean) * lax.rsqrt(variance + epsilon)


def _scale(y, scale, bias, dtype):
    return (y * _spread(scale, y.ndim) + _spread(bias, y.ndim)).astype(dtype)


def _spread(a, ndim):
    """[channels] or [batch, channels] with axes of size 1 in between, `ndim` in all."""
    batch = a.shape[:-1] or (1,)
    return a.reshape(*batch, *(1,) * (ndim - 2), a.shape[-1])
