"""Convolution and transposed convolution with PyTorch's meaning, channels last.

A convolution ``y = F(x, k)``, its input gradient ``B(y, k)`` and its kernel gradient
``W(x, y)`` are three bilinear maps, and every derivative of each is another of the
three. They are defined here once, with rules that name each other, so the second
derivatives a gradient penalty needs run on the same three fast kernels; ``B`` is also
the transposed convolution. Each has three forms: a few matrix products, these with
fewer multiplications by `winograd` (both for the CPU, where XLA's convolutions crawl
inside a loop), and the library's convolution (GPU and TPU).

The rules are reverse-mode ones (`jax.custom_vjp`): `jax.jvp` of a convolution raises.
"""

import contextlib
import contextvars
import dataclasses
import math
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from wgan_jax.nn import conv_products, conv_winograd
from wgan_jax.nn.conv_products import Geometry

_FORM = contextvars.ContextVar("form", default="")


def default_implementation() -> Literal["winograd", "products", "library"]:
    """The fastest form on this process's backend, or that of `in_form`."""
    fastest = "winograd" if jax.default_backend() == "cpu" else "library"
    return _FORM.get() or fastest


@contextlib.contextmanager
def use_implementation(form: Literal["winograd", "products", "library"]):
    """Within it, convolutions are traced in this form."""
    token = _FORM.set(form)
    try:
        yield
    finally:
        _FORM.reset(token)


def conv(x, kernel, *, stride=1, padding=0, form=None):
    """Cross-correlation as in torch.nn.Conv2d.

    x: [batch, height, width, in]; kernel: [kh, kw, in, out], which is PyTorch's weight
    transposed by (2, 3, 1, 0); padding: zeros on each side, or a pair (before, after),
    which TensorFlow's SAME is with an odd number of them. Returns
    [batch, height', width', out] with
    height' = floor((height + before + after - kh) / stride) + 1.
    """
    geometry = Geometry(
        x.shape[1:3],
        kernel.shape[:2],
        stride,
        _pair(padding),
        form or default_implementation(),
    )
    return _forward(x, kernel, geometry)


def conv_transpose(y, kernel, *, stride=1, padding=0, output_padding=0, form=None):
    """Transposed convolution as in torch.nn.ConvTranspose2d.

    y: [batch, height, width, in]; kernel: [kh, kw, out, in], which is PyTorch's weight
    transposed by (2, 3, 1, 0); padding: as in the convolution that this transposes.
    Returns [batch, height', width', out] with
    height' = (height - 1) stride - before - after + kh + output_padding.
    """
    padding = _pair(padding)
    size = tuple(
        (n - 1) * stride - sum(padding) + k + output_padding
        for n, k in zip(y.shape[1:3], kernel.shape[:2], strict=True)
    )
    geometry = Geometry(
        size, kernel.shape[:2], stride, padding, form or default_implementation()
    )
    return _input_gradient(y, kernel, geometry)


def conv_mean_pool(x, kernel, *, padding=0):
    """`conv` with stride 1, then the mean of every 2x2 pixels.

    As one convolution with stride 2, whose kernel is larger by one: the mean of
    `kernel` at four places. For 3x3 that is 16 products a pixel instead of 36. The form
    "products" does what is said here, in this order. The convolution has to give an
    even height and width.
    """
    if default_implementation() == "products":
        return mean_pool(conv(x, kernel, padding=padding))
    return conv(x, _at_four_places(kernel) / 4, stride=2, padding=padding)


def upsample_conv(x, kernel, *, padding=0):
    """Each pixel four times, as 2x2, then `conv` with stride 1.

    As one transposed convolution with stride 2, for the same reason.
    """
    if default_implementation() == "products":
        return conv(upsample(x), kernel, padding=padding)
    before, after = (kernel.shape[0] - 1 - p for p in _pair(padding))
    kernel = _at_four_places(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return conv_transpose(x, kernel, stride=2, padding=(before, after))


def upsample(x):
    """[n, h, w, c] to [n, 2h, 2w, c], each pixel four times."""
    return x.repeat(2, 1).repeat(2, 2)


def mean_pool(x):
    """[n, h, w, c] to [n, h/2, w/2, c], the mean of four pixels each."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _at_four_places(kernel):
    """The sum of a kernel [k, k, ...] shifted by 0 or 1 in both directions."""
    places = [((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i in (0, 1) for j in (0, 1)]
    return sum(jnp.pad(kernel, place) for place in places)


def _pair(padding):
    return (padding, padding) if isinstance(padding, int) else tuple(padding)


# ------------------------------------------------- three maps closed under derivatives


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _forward(x, kernel, geometry):
    return _FORMS[geometry.form][0](x, kernel, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _input_gradient(y, kernel, geometry):
    return _FORMS[geometry.form][1](y, kernel, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kernel_gradient(x, y, geometry):
    return _FORMS[geometry.form][2](x, y, geometry)


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


# ------------------------------------- form 1: fewer products, where that is supported


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
        # Only what is left of the padded image.
        before = [b - 1 - g.padding[0] for b in g.blocks]
        sizes = g.size
    else:
        before = [b - 1 for b in g.blocks]
        sizes = [n + b for n, b in zip(g.output, before, strict=True)]
    tiles = math.prod((size + 1) // 2 for size in sizes)
    saved = math.prod(b + 1 for b in g.blocks) * tiles < math.prod(g.blocks + g.output)
    if not (saved and _sums_pay(g, *kernel.shape[2:])):
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
    """Whether it is cheaper to shift what comes out of a convolution than its input."""
    square = g.kernel[0] == g.kernel[1]
    return g.stride == 1 and square and 4 * outs <= ins and g.output != (1, 1)


def _mirrored(g):
    """A convolution with stride 1 seen from its output: `g` is its transpose."""
    padding = tuple(g.kernel[0] - 1 - p for p in g.padding)
    return dataclasses.replace(g, size=g.output, padding=padding)


def _sums_pay(g, ins, outs):
    """Whether the sums over `outs` channels are cheap beside the products they save."""
    fits = conv_winograd.supports(g.blocks) and g.output != (1, 1)
    return fits and g.stride**2 * ins >= outs


# --------------------------------------------------- form 2: the library's convolution


def _forward_library(x, kernel, g):
    return lax.conv_general_dilated(
        x,
        kernel,
        (g.stride, g.stride),
        [g.padding] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _input_gradient_library(y, kernel, g):
    # What a strided convolution leaves out of its input comes back as extra rows.
    before = [k - 1 - g.padding[0] for k in g.kernel]
    after = [
        size - ((n - 1) * g.stride + 1) + g.padding[0]
        for size, n in zip(g.size, g.output, strict=True)
    ]
    return lax.conv_general_dilated(
        y,
        jnp.flip(kernel, (0, 1)),
        (1, 1),
        list(zip(before, after, strict=True)),
        lhs_dilation=(g.stride, g.stride),
        dimension_numbers=("NHWC", "HWOI", "NHWC"),
    )


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


_FORMS = {
    "winograd": (
        _forward_winograd,
        _input_gradient_winograd,
        _kernel_gradient_winograd,
    ),
    "products": (
        conv_products.forward,
        conv_products.input_gradient,
        conv_products.kernel_gradient,
    ),
    "library": (_forward_library, _input_gradient_library, _kernel_gradient_library),
}
