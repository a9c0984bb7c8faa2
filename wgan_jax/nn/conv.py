"""Convolution and transposed convolution with PyTorch's meaning, channels last.

A convolution ``y = F(x, k)``, its input gradient ``B(y, k)`` and its kernel gradient
``W(x, y)`` are three bilinear maps, and every derivative of each is another of the
three. They are defined here once, with rules that name each other, so the second
derivatives of a gradient penalty run on the same three fast kernels. ``B`` is also the
transposed convolution. Each map has four implementations: "products", a few matrix
products; "winograd", these with fewer multiplications; "library", XLA's convolution.
The first two are for the CPU, where XLA's convolutions are slow inside a loop. The
third is for GPU and TPU. "subpixel" is the third without dilated convolutions, for
other programs that read ours.

The rules are reverse-mode rules (`jax.custom_vjp`): `jax.jvp` of a convolution raises.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from wgan_jax.nn import conv_products, conv_winograd
from wgan_jax.nn.conv_products import Geometry, Implementation

Array = jax.Array | np.ndarray

_chosen: contextvars.ContextVar[Implementation | None] = contextvars.ContextVar(
    "implementation", default=None
)


def default_implementation() -> Implementation:
    """The implementation set by `use_implementation`, or this backend's fastest."""
    fastest = "winograd" if jax.default_backend() == "cpu" else "library"
    return _chosen.get() or fastest


@contextlib.contextmanager
def use_implementation(implementation: Implementation) -> Iterator[None]:
    """Context in which convolutions are traced in this implementation."""
    token = _chosen.set(implementation)
    try:
        yield
    finally:
        _chosen.reset(token)


def conv(
    x: Float[Array, "n h w c_in"],
    kernel: Float[Array, "kh kw c_in c_out"],
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    implementation: Implementation | None = None,
) -> Float[Array, "n h_out w_out c_out"]:
    """Cross-correlation as in torch.nn.Conv2d.

    kernel: PyTorch's weight transposed by (2, 3, 1, 0). padding: zeros on each side, or
    a pair (before, after); TensorFlow's SAME is such a pair where their sum is odd.
    h_out = floor((h + before + after - kh) / stride) + 1.
    """
    geometry = Geometry(
        x.shape[1:3],
        kernel.shape[:2],
        stride,
        pair(padding),
        implementation or default_implementation(),
    )
    return _forward(x, kernel, geometry)


def conv_transpose(
    y: Float[Array, "n h w c_in"],
    kernel: Float[Array, "kh kw c_out c_in"],
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int = 0,
    implementation: Implementation | None = None,
) -> Float[Array, "n h_out w_out c_out"]:
    """Transposed convolution as in torch.nn.ConvTranspose2d.

    kernel: PyTorch's weight transposed by (2, 3, 1, 0). padding: as in the convolution
    that this transposes. h_out = (h - 1) stride - before - after + kh + output_padding.
    """
    padding = pair(padding)
    size = tuple(
        (n - 1) * stride - sum(padding) + k + output_padding
        for n, k in zip(y.shape[1:3], kernel.shape[:2], strict=True)
    )
    geometry = Geometry(
        size,
        kernel.shape[:2],
        stride,
        padding,
        implementation or default_implementation(),
    )
    return _input_gradient(y, kernel, geometry)


def conv_mean_pool(
    x: Float[Array, "n h w c_in"],
    kernel: Float[Array, "k k c_in c_out"],
    *,
    padding: int | tuple[int, int] = 0,
) -> Float[Array, "n h_out w_out c_out"]:
    """`conv` with stride 1, then the mean of every 2x2 pixels.

    Computed as one convolution with stride 2 and a kernel larger by one, the mean of
    `kernel` at four positions: 16 products per pixel instead of 36 for 3x3. The
    implementation "products" computes the definition. The convolution must give an even
    height and width.
    """
    if default_implementation() == "products":
        return mean_pool(conv(x, kernel, padding=padding))
    return conv(x, _at_four_positions(kernel) / 4, stride=2, padding=padding)


def upsample_conv(
    x: Float[Array, "n h w c_in"],
    kernel: Float[Array, "k k c_in c_out"],
    *,
    padding: int | tuple[int, int] = 0,
) -> Float[Array, "n h_out w_out c_out"]:
    """`upsample`, then `conv` with stride 1.

    Computed as one transposed convolution with stride 2; see `conv_mean_pool`.
    """
    if default_implementation() == "products":
        return conv(upsample(x), kernel, padding=padding)
    before, after = (kernel.shape[0] - 1 - p for p in pair(padding))
    kernel = _at_four_positions(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return conv_transpose(x, kernel, stride=2, padding=(before, after))


def upsample(x: Float[Array, "n h w c"]) -> Float[Array, "n 2*h 2*w c"]:
    """Each pixel four times, as 2x2."""
    return x.repeat(2, 1).repeat(2, 2)


def mean_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h//2 w//2 c"]:
    """Mean of every 2x2 pixels; height and width must be even."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _at_four_positions(kernel) -> Any:
    """The sum of a kernel [k, k, ...] shifted by 0 or 1 in both directions."""
    shifts = [((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i in (0, 1) for j in (0, 1)]
    return sum(jnp.pad(kernel, shift) for shift in shifts)


def pair(numbers: int | tuple[int, int]) -> tuple[int, int]:
    """Both padding (before, after) or kernel (height, width), where one is given."""
    return (numbers, numbers) if isinstance(numbers, int) else numbers


# ------------------------------------------------- three maps closed under derivatives


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _forward(x, kernel, geometry):
    return _IMPLEMENTATIONS[geometry.implementation].forward(x, kernel, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _input_gradient(y, kernel, geometry):
    return _IMPLEMENTATIONS[geometry.implementation].input_gradient(y, kernel, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kernel_gradient(x, y, geometry):
    return _IMPLEMENTATIONS[geometry.implementation].kernel_gradient(x, y, geometry)


def _save_operands(primal):
    return lambda a, b, geometry: (primal(a, b, geometry), (a, b))


_forward.defvjp(
    _save_operands(_forward),
    lambda g, saved, dy: (
        _input_gradient(dy, saved[1], g),
        _kernel_gradient(saved[0], dy, g),
    ),
)
_input_gradient.defvjp(
    _save_operands(_input_gradient),
    lambda g, saved, dx: (
        _forward(dx, saved[1], g),
        _kernel_gradient(dx, saved[0], g),
    ),
)
_kernel_gradient.defvjp(
    _save_operands(_kernel_gradient),
    lambda g, saved, dk: (
        _input_gradient(saved[1], dk, g),
        _forward(saved[0], dk, g),
    ),
)


# ----------------------------------------------------------------------- winograd


def _forward_winograd(x, kernel, g):
    if _is_narrow(g, *kernel.shape[2:]):
        kernel = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
        return conv_products.input_gradient(x, kernel, _mirrored(g))
    if not conv_winograd.supports(g.blocks) or g.output == (1, 1):
        return conv_products.forward(x, kernel, g)
    return conv_winograd.correlate(
        conv_products.to_blocks(x, g), conv_products.kernel_to_blocks(kernel, g)
    )


def _input_gradient_winograd(y, kernel, g):
    if g.stride == 1:
        # The padding of the image needs no gradient.
        before = [b - 1 - g.padding[0] for b in g.blocks]
        sizes = g.size
    else:
        before = [b - 1 for b in g.blocks]
        sizes = [n + b for n, b in zip(g.output, before, strict=True)]
    tiles = math.prod((size + 1) // 2 for size in sizes)
    products = math.prod(b + 1 for b in g.blocks) * tiles
    is_fewer = products < math.prod(g.blocks + g.output)
    if not (is_fewer and _sums_pay(g, *kernel.shape[2:])):
        return conv_products.input_gradient(y, kernel, g)
    edges = [
        (first, size + b - 1 - n - first, 0)
        for first, size, b, n in zip(before, sizes, g.blocks, g.output, strict=True)
    ]
    y = lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    kernel = jnp.flip(conv_products.kernel_to_blocks(kernel, g), (0, 1)).swapaxes(2, 3)
    blocks = conv_winograd.correlate(y, kernel)
    return blocks if g.stride == 1 else conv_products.from_blocks(blocks, g)


def _kernel_gradient_winograd(x, y, g):
    if _is_narrow(g, x.shape[-1], y.shape[-1]):
        kernel = conv_products.kernel_gradient(y, x, _mirrored(g))
        return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    if not _sums_pay(g, x.shape[-1], y.shape[-1]):
        return conv_products.kernel_gradient(x, y, g)
    kernel = conv_winograd.kernel_gradient(conv_products.to_blocks(x, g), y, g.blocks)
    return conv_products.kernel_from_blocks(kernel, g)


def _is_narrow(g, ins, outs):
    """True where shifting a convolution's output is cheaper than shifting its input."""
    square = g.kernel[0] == g.kernel[1]
    return g.stride == 1 and square and 4 * outs <= ins and g.output != (1, 1)


def _mirrored(g):
    """The geometry of the transpose of a convolution with stride 1."""
    padding = tuple(g.kernel[0] - 1 - p for p in g.padding)
    return dataclasses.replace(g, size=g.output, padding=padding)


def _sums_pay(g, ins, outs):
    """True where the products saved cost more than the sums over `outs` channels."""
    fits = conv_winograd.supports(g.blocks) and g.output != (1, 1)
    return fits and g.stride**2 * ins >= outs


# ------------------------------------------------------------------------ library


def _forward_library(x, kernel, g):
    return lax.conv_general_dilated(
        x,
        kernel,
        (g.stride, g.stride),
        [g.padding] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _input_gradient_library(y, kernel, g):
    # Input rows that a strided convolution does not read get zeros.
    before = [k - 1 - g.padding[0] for k in g.kernel]
    after = [
        size - ((n - 1) * g.stride + 1) + g.padding[0]
        for size, n in zip(g.size, g.output, strict=True)
    ]
    return lax.conv_general_dilated(
        y,
        jnp.flip(kernel, (0, 1)).swapaxes(2, 3),
        (1, 1),
        list(zip(before, after, strict=True)),
        lhs_dilation=(g.stride, g.stride),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _input_gradient_subpixel(y, kernel, g):
    if g.stride == 1:
        return _input_gradient_library(y, kernel, g)
    kernel = jnp.flip(conv_products.kernel_to_blocks(kernel, g), (0, 1)).swapaxes(2, 3)
    blocks = lax.conv_general_dilated(
        y,
        kernel,
        (1, 1),
        [(b - 1, b - 1) for b in g.blocks],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x, first = conv_products.to_pixels(blocks, g.stride), g.padding[0]
    missing = [first + size - n for size, n in zip(g.size, x.shape[1:3], strict=True)]
    x = jnp.pad(x, [(0, 0), *((0, max(0, m)) for m in missing), (0, 0)])
    return x[:, first : first + g.size[0], first : first + g.size[1]]


def _kernel_gradient_library(x, y, g):
    after = [
        (n - 1) * g.stride + k - size - g.padding[0]
        for n, k, size in zip(g.output, g.kernel, g.size, strict=True)
    ]
    return lax.conv_general_dilated(
        x,
        y,
        (1, 1),
        [(g.padding[0], a) for a in after],
        rhs_dilation=(g.stride, g.stride),
        dimension_numbers=("CHWN", "IHWO", "HWNC"),
    )


class _Maps(NamedTuple):
    forward: Callable
    input_gradient: Callable
    kernel_gradient: Callable


_IMPLEMENTATIONS = {
    "winograd": _Maps(
        _forward_winograd, _input_gradient_winograd, _kernel_gradient_winograd
    ),
    "products": _Maps(
        conv_products.forward,
        conv_products.input_gradient,
        conv_products.kernel_gradient,
    ),
    "library": _Maps(
        _forward_library, _input_gradient_library, _kernel_gradient_library
    ),
    "subpixel": _Maps(
        _forward_library, _input_gradient_subpixel, _kernel_gradient_library
    ),
}
