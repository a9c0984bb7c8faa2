"""The three maps of a convolution as matrix products over shifted views of the image.

A stride first becomes part of the channels, as blocks of stride x stride pixels. The
maps F, B and W are defined in `conv`.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jax import lax

Implementation = Literal["winograd", "products", "library", "subpixel"]


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Sizes, stride, padding and implementation of one convolution: all static."""

    size: tuple[int, ...]
    """Height and width of the input."""
    kernel: tuple[int, ...]
    stride: int
    padding: tuple[int, int]
    """Zeros before and after the image, in both directions."""
    implementation: Implementation

    @property
    def output(self) -> tuple[int, ...]:
        """Height and width of the output: floor((n + before + after - k) / s) + 1."""
        return tuple(
            (n + sum(self.padding) - k) // self.stride + 1
            for n, k in zip(self.size, self.kernel, strict=True)
        )

    @property
    def blocks(self) -> tuple[int, ...]:
        """Kernel size in blocks of stride x stride pixels, rounded up."""
        return tuple(-(-k // self.stride) for k in self.kernel)


def to_blocks(x, g):
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


def from_blocks(blocks, g):
    """The transpose of `to_blocks`: scatters channels back to pixels and crops."""
    blocks = to_pixels(blocks, g.stride)
    before = g.padding[0]
    after = [m - before - size for m, size in zip(blocks.shape[1:3], g.size)]
    edges = [(0, 0, 0), *((-before, -a, 0) for a in after), (0, 0, 0)]
    return lax.pad(blocks, jnp.zeros((), blocks.dtype), edges)


def to_pixels(blocks, s):
    """[n, rows, columns, s^2 channels] to [n, s rows, s columns, channels]."""
    if s == 1:
        return blocks
    n, rows, columns, depth = blocks.shape
    blocks = blocks.reshape(n, rows, columns, s, s, depth // s**2)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, rows * s, columns * s, depth // s**2)


def kernel_to_blocks(kernel, g):
    """[kh, kw, in, out] to [block rows, block columns, stride^2 in, out]."""
    s, (rows, columns) = g.stride, g.blocks
    grow = [(0, n * s - k) for n, k in zip((rows, columns), g.kernel)]
    kernel = jnp.pad(kernel, [*grow, (0, 0), (0, 0)])
    kernel = kernel.reshape(rows, s, columns, s, *kernel.shape[2:])
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(
        rows, columns, -1, kernel.shape[-1]
    )


def kernel_from_blocks(blocks, g):
    """The transpose of `kernel_to_blocks`."""
    s, (rows, columns) = g.stride, g.blocks
    kernel = blocks.reshape(rows, columns, s, s, -1, blocks.shape[-1])
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    kernel = kernel.reshape(rows * s, columns * s, -1, blocks.shape[-1])
    return kernel[: g.kernel[0], : g.kernel[1]]


def _shifts(g):
    return [(a, b) for a in range(g.blocks[0]) for b in range(g.blocks[1])]


def _window(blocks, shift, g):
    """The part of the block image that block `shift` of the kernel reads."""
    (a, b), (rows, columns) = shift, g.output
    return blocks[:, a : a + rows, b : b + columns]


def forward(x, kernel, g):
    """F: x [n, *g.size, in], kernel [*g.kernel, in, out] -> [n, *g.output, out]."""
    blocks, kernel = to_blocks(x, g), kernel_to_blocks(kernel, g)
    if g.output == (1, 1):
        y = blocks.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1])
        return y.reshape(len(x), 1, 1, -1)
    return sum(_window(blocks, shift, g) @ kernel[shift] for shift in _shifts(g))


def input_gradient(y, kernel, g):
    """B: y [n, *g.output, out], kernel [*g.kernel, in, out] -> [n, *g.size, in]."""
    kernel = kernel_to_blocks(kernel, g)
    rows, columns, channels, _ = kernel.shape
    taps = y @ kernel.reshape(-1, kernel.shape[-1]).T
    if g.output == (1, 1):
        return from_blocks(taps.reshape(len(y), rows, columns, channels), g)
    taps = taps.reshape(*y.shape[:3], rows * columns, channels)
    zero = jnp.zeros((), taps.dtype)

    def place(tap, shift):
        edges = [(n, size - 1 - n, 0) for n, size in zip(shift, (rows, columns))]
        return lax.pad(tap, zero, [(0, 0, 0), *edges, (0, 0, 0)])

    placed = [place(taps[..., i, :], shift) for i, shift in enumerate(_shifts(g))]
    return from_blocks(sum(placed), g)


def kernel_gradient(x, y, g):
    """W: x [n, *g.size, in], y [n, *g.output, out] -> [*g.kernel, in, out]."""
    blocks = to_blocks(x, g)
    if g.output == (1, 1):
        kernel = blocks.reshape(len(x), -1).T @ y.reshape(len(y), -1)
    else:
        flat_y = y.reshape(-1, y.shape[-1])
        windows = (_window(blocks, shift, g) for shift in _shifts(g))
        kernel = jnp.stack([w.reshape(len(flat_y), -1).T @ flat_y for w in windows])
    return kernel_from_blocks(kernel.reshape(*g.blocks, -1, y.shape[-1]), g)
