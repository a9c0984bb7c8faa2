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

from wgan_jax import winograd


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The static facts of one convolution, seen from its input (height, width)."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]
    """Zeros before and after the image, in both directions."""
    form: Literal["winograd", "products", "library"]

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the output: floor((n + before + after - k) / s) + 1."""
        return tuple(
            (n + sum(self.padding) - k) // self.stride + 1
            for n, k in zip(self.size, self.kernel, strict=True)
        )

    @property
    def blocks(self) -> tuple[int, int]:
        """Kernel size counted in blocks of stride x stride pixels, rounded up."""
        return tuple(-(-k // self.stride) for k in self.kernel)


_FORM = contextvars.ContextVar("form", default="")


def default_form() -> Literal["winograd", "products", "library"]:
    """The fastest form on this process's backend, or that of `in_form`."""
    fastest = "winograd" if jax.default_backend() == "cpu" else "library"
    return _FORM.get() or fastest


@contextlib.contextmanager
def in_form(form: Literal["winograd", "products", "library"]):
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
        x.shape[1:3], kernel.shape[:2], stride, _pair(padding), form or default_form()
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
    geometry = Geometry(size, kernel.shape[:2], stride, padding, form or default_form())
    return _input_gradient(y, kernel, geometry)


def conv_mean_pool(x, kernel, *, padding=0):
    """`conv` with stride 1, then the mean of every 2x2 pixels.

    As one convolution with stride 2, whose kernel is larger by one: the mean of
    `kernel` at four places. For 3x3 that is 16 products a pixel instead of 36. The form
    "products" does what is said here, in this order. The convolution has to give an
    even height and width.
    """
    if default_form() == "products":
        return mean_pool(conv(x, kernel, padding=padding))
    return conv(x, _at_four_places(kernel) / 4, stride=2, padding=padding)


def upsample_conv(x, kernel, *, padding=0):
    """Each pixel four times, as 2x2, then `conv` with stride 1.

    As one transposed convolution with stride 2, for the same reason.
    """
    if default_form() == "products":
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


# ------------------------------------------------------------- form 1: matrix products


def _to_blocks(x, g):
    """Pads x and gathers each stride x stride block of pixels into channels.

    Returns [batch, height' + blocks - 1, width' + blocks - 1, stride^2 channels].
    """
    s = g.stride
    rows, columns = (n + b - 1 for n, b in zip(g.output, g.blocks, strict=True))
    before = g.padding[0]
    after = [n * s - m - before for n, m in zip((rows, columns), g.size)]
    edges = [(0, 0, 0), *((before, a, 0) for a in after), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), edges)
    if s == 1:
        return x
    x = x.reshape(x.shape[0], rows, s, columns, s, x.shape[-1])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], rows, columns, -1)


def _from_blocks(blocks, g):
    """The transpose of `_to_blocks`: scatters channels back to pixels and crops."""
    s = g.stride
    n, rows, columns, _ = blocks.shape
    if s > 1:
        blocks = blocks.reshape(n, rows, columns, s, s, -1).transpose(0, 1, 3, 2, 4, 5)
        blocks = blocks.reshape(n, rows * s, columns * s, -1)
    before = g.padding[0]
    after = [m - before - size for m, size in zip(blocks.shape[1:3], g.size)]
    edges = [(0, 0, 0), *((-before, -a, 0) for a in after), (0, 0, 0)]
    return lax.pad(blocks, jnp.zeros((), blocks.dtype), edges)


def _kernel_to_blocks(kernel, g):
    """[kh, kw, in, out] to [block rows, block columns, stride^2 in, out]."""
    s, (rows, columns) = g.stride, g.blocks
    grow = [(0, n * s - k) for n, k in zip((rows, columns), g.kernel)]
    kernel = jnp.pad(kernel, [*grow, (0, 0), (0, 0)])
    kernel = kernel.reshape(rows, s, columns, s, *kernel.shape[2:])
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(
        rows, columns, -1, kernel.shape[-1]
    )


def _kernel_from_blocks(blocks, g):
    """The transpose of `_kernel_to_blocks`."""
    s, (rows, columns) = g.stride, g.blocks
    kernel = blocks.reshape(rows, columns, s, s, -1, blocks.shape[-1])
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    kernel = kernel.reshape(rows * s, columns * s, -1, blocks.shape[-1])
    return kernel[: g.kernel[0], : g.kernel[1]]


def _shifts(g):
    return [(a, b) for a in range(g.blocks[0]) for b in range(g.blocks[1])]


def _window(blocks, shift, g):
    """The part of the block image that block `shift` of the kernel looks at."""
    (a, b), (rows, columns) = shift, g.output
    return blocks[:, a : a + rows, b : b + columns]


def _forward_products(x, kernel, g):
    blocks, kernel = _to_blocks(x, g), _kernel_to_blocks(kernel, g)
    if g.output == (1, 1):
        y = blocks.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1])
        return y.reshape(len(x), 1, 1, -1)
    return sum(_window(blocks, shift, g) @ kernel[shift] for shift in _shifts(g))


def _input_gradient_products(y, kernel, g):
    kernel = _kernel_to_blocks(kernel, g)
    rows, columns, channels, _ = kernel.shape
    taps = y @ kernel.reshape(-1, kernel.shape[-1]).T
    if g.output == (1, 1):
        return _from_blocks(taps.reshape(len(y), rows, columns, channels), g)
    taps = taps.reshape(*y.shape[:3], rows * columns, channels)
    zero = jnp.zeros((), taps.dtype)

    def place(tap, shift):
        edges = [(n, size - 1 - n, 0) for n, size in zip(shift, (rows, columns))]
        return lax.pad(tap, zero, [(0, 0, 0), *edges, (0, 0, 0)])

    placed = [place(taps[..., i, :], shift) for i, shift in enumerate(_shifts(g))]
    return _from_blocks(sum(placed), g)


def _kernel_gradient_products(x, y, g):
    blocks = _to_blocks(x, g)
    if g.output == (1, 1):
        kernel = blocks.reshape(len(x), -1).T @ y.reshape(len(y), -1)
    else:
        flat_y = y.reshape(-1, y.shape[-1])
        windows = (_window(blocks, shift, g) for shift in _shifts(g))
        kernel = jnp.stack([w.reshape(len(flat_y), -1).T @ flat_y for w in windows])
    return _kernel_from_blocks(kernel.reshape(*g.blocks, -1, y.shape[-1]), g)


# ------------------------------------- form 2: fewer products, where that is supported


def _forward_winograd(x, kernel, g):
    if _is_narrow(g, *kernel.shape[2:]):
        kernel = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
        return _input_gradient_products(x, kernel, _mirrored(g))
    if not winograd.supports(g.blocks) or g.output == (1, 1):
        return _forward_products(x, kernel, g)
    return winograd.correlate(_to_blocks(x, g), _kernel_to_blocks(kernel, g))


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
        return _input_gradient_products(y, kernel, g)
    edges = [
        (first, size + b - 1 - n - first, 0)
        for first, size, b, n in zip(before, sizes, g.blocks, g.output, strict=True)
    ]
    y = lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    kernel = jnp.flip(_kernel_to_blocks(kernel, g), (0, 1)).swapaxes(2, 3)
    blocks = winograd.correlate(y, kernel)
    return blocks if g.stride == 1 else _from_blocks(blocks, g)


def _kernel_gradient_winograd(x, y, g):
    if _is_narrow(g, x.shape[-1], y.shape[-1]):
        kernel = _kernel_gradient_products(y, x, _mirrored(g))
        return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    if not _sums_pay(g, x.shape[-1], y.shape[-1]):
        return _kernel_gradient_products(x, y, g)
    kernel = winograd.kernel_gradient(_to_blocks(x, g), y, g.blocks)
    return _kernel_from_blocks(kernel, g)


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
    fits = winograd.supports(g.blocks) and g.output != (1, 1)
    return fits and g.stride**2 * ins >= outs


# --------------------------------------------------- form 3: the library's convolution


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
        _forward_products,
        _input_gradient_products,
        _kernel_gradient_products,
    ),
    "library": (_forward_library, _input_gradient_library, _kernel_gradient_library),
}
