"""Correlations of small kernels by Winograd's minimal filtering.

After fixed sums over input and filter, two neighbouring outputs of a filter with r taps
take r + 1 products instead of 2 r: in two dimensions 9 instead of 16 for 2x2 kernels
and 16 instead of 36 for 3x3 (Lavin and Gray, arXiv 1509.09308). Each product is a
matrix product over all tiles of 2x2 outputs and all channels. The result is exact up
to rounding.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax

# By taps. For inputs d, taps k and outputs y: y = OUTPUTS ((TAPS k) * (INPUTS d)).
_INPUTS = {
    2: ((1, -1, 0), (0, 1, 0), (0, -1, 1)),
    3: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
}
_TAPS = {
    2: ((1, 0), (1, 1), (0, 1)),
    3: ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
}
_OUTPUTS = {2: ((1, 1, 0), (0, 1, 1)), 3: ((1, 1, 1, 0), (0, 1, -1, -1))}


def supports(taps: tuple[int, ...]) -> bool:
    """True where there are sums for a kernel of taps[0] x taps[1]."""
    return all(n in _TAPS for n in taps)


def correlate(x, kernel):
    """Valid correlation: x [n, h, w, in], kernel [kh, kw, in, out] -> [n, h', w', out].

    h' = h - kh + 1, w' = w - kw + 1.
    """
    taps = kernel.shape[:2]
    rows, columns = (size - t + 1 for size, t in zip(x.shape[1:3], taps, strict=True))
    filters = _transform(_TAPS, taps, [list(row) for row in kernel])
    tiles = _input_tiles(x, taps, rows, columns)
    products = [
        [tile @ f for tile, f in zip(*pair, strict=True)]
        for pair in zip(tiles, filters, strict=True)
    ]
    phases = _transform(_OUTPUTS, taps, products)
    # Output 2 i + p of a row is phase p of tile i.
    y = jnp.stack([jnp.stack(row, 3) for row in phases], 2)
    n, up, _, across, _, channels = y.shape
    return y.reshape(n, 2 * up, 2 * across, channels)[:, :rows, :columns]


def kernel_gradient(x, y, taps):
    """Gradient of sum(y * correlate(x, kernel)) with respect to the kernel.

    x [n, h, w, in], y [n, h', w', out] -> [*taps, in, out]. The sums are the transposes
    of those of `correlate`, and the products are as many.
    """
    rows, columns = y.shape[1:3]
    y = jnp.pad(y, ((0, 0), (0, rows % 2), (0, columns % 2), (0, 0)))
    phases = [[y[:, p::2, q::2] for q in (0, 1)] for p in (0, 1)]
    gradients = _transform(_transposed(_OUTPUTS), taps, phases)
    tiles = _input_tiles(x, taps, rows, columns)
    # Matrices first: XLA would copy a tile whose axes it contracts to one.
    products = [
        [_rows(d).T @ _rows(g) for d, g in zip(*pair, strict=True)]
        for pair in zip(tiles, gradients, strict=True)
    ]
    kernel = _transform(_transposed(_TAPS), taps, products)
    return jnp.stack([jnp.stack(row) for row in kernel])


def _input_tiles(x, taps, rows, columns):
    """The sums of the inputs of each tile of 2x2 outputs, as a grid of arrays."""
    edges = ((0, 0), (0, rows % 2), (0, columns % 2), (0, 0))
    x = jnp.pad(x, edges)

    def every_second(i, j):
        last = (len(x), i + rows + rows % 2 - 1, j + columns + columns % 2 - 1)
        return lax.slice(x, (0, i, j, 0), (*last, x.shape[3]), (1, 2, 2, 1))

    inputs = [
        [every_second(i, j) for j in range(taps[1] + 1)] for i in range(taps[0] + 1)
    ]
    return _transform(_INPUTS, taps, inputs)


def _transform(matrices, taps, grid):
    """Applies the matrix of taps[0] down a grid of arrays, that of taps[1] across."""
    down, across = (matrices[t] for t in taps)
    columns = [[_combine(row, c) for row in down] for c in zip(*grid, strict=True)]
    return [[_combine(row, r) for row in across] for r in zip(*columns, strict=True)]


def _rows(x):
    return x.reshape(-1, x.shape[-1])


def _transposed(matrices):
    return {t: tuple(zip(*matrix, strict=True)) for t, matrix in matrices.items()}


def _combine(weights, arrays) -> Any:
    return sum(
        a if w == 1 else w * a for w, a in zip(weights, arrays, strict=True) if w
    )
