"""The three maps of a convolution in each of our forms and in PyTorch, timed.

Forward F, input gradient B and kernel gradient W, milliseconds each, inside a loop as
in training; PyTorch's, where it is installed, are a call each, channels last. The forms
take turns; a figure is the median.
"""

import argparse
import statistics
import sys
import time
from functools import partial

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wgan_jax.nn import conv

# images, side in pixels, channels in and out, side of the kernel, stride
SHAPES = {
    "3x3 64": (64, 32, 64, 64, 3, 1),
    "4x4 64": (64, 16, 64, 128, 4, 2),
    "4x4 16": (32, 64, 16, 32, 4, 2),
}
# Without the library's: a kernel gradient of that form takes seconds inside a loop.
FORMS = ("winograd", "products")
INNER = 4


def in_loop(function, *operands):
    """A compiled loop of INNER calls whose results depend on each other."""

    @jax.jit
    def loop(first, *others):
        def body(_, nudge):
            out = lax.optimization_barrier(function(first + nudge, *others))
            return jnp.minimum(out.ravel()[0], 0) * 1e-20

        return lax.fori_loop(0, INNER, body, jnp.float32(0))

    loop(*operands).block_until_ready()
    return lambda: loop(*operands).block_until_ready()


def ours(shape, form):
    """{map: function to time} of this form."""
    n, size, ins, outs, kernel, stride = shape
    options = {"stride": stride, "padding": (kernel - 1) // 2, "form": form}
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.normal(size=(n, size, size, ins)), jnp.float32)
    k = jnp.asarray(draw.normal(size=(kernel, kernel, ins, outs)), jnp.float32)
    forward = partial(conv.conv, **options)
    y = forward(x, k)

    # What a gradient does not need of the forward pass is not computed.
    def input_gradient(y, x, k):
        return jax.vjp(forward, x, k)[1](y)[0]

    def kernel_gradient(y, x, k):
        return jax.vjp(forward, x, k)[1](y)[1]

    return {
        "F": in_loop(forward, x, k),
        "B": in_loop(input_gradient, y, x, k),
        "W": in_loop(kernel_gradient, y, x, k),
    }


def theirs(shape):
    """The same of PyTorch."""
    torch = benchmark.torch
    n, size, ins, outs, kernel, stride = shape
    last = {"memory_format": torch.channels_last}
    x = torch.randn(n, ins, size, size).contiguous(**last)
    k = torch.randn(outs, ins, kernel, kernel).contiguous(**last)
    padding = (kernel - 1) // 2
    forward = partial(torch.conv2d, stride=stride, padding=padding)
    y = forward(x, k)

    def gradient(which):
        return torch.ops.aten.convolution_backward(
            y, x, k, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, which
        )

    def repeat(function):
        def run():
            for _ in range(INNER):
                function()

        run()
        return run

    return {
        "F": repeat(lambda: forward(x, k)),
        "B": repeat(lambda: gradient([True, False, False])),
        "W": repeat(lambda: gradient([False, True, False])),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns (default 7)")
    parser.add_argument("--tiny", action="store_true", help="one small shape: a test")
    options = parser.parse_args(arguments)
    report = benchmark.machine(*benchmark.prepare("float32"))
    shapes = {"tiny": (2, 8, 4, 4, 3, 1)} if options.tiny else SHAPES
    print(f"{report['cpu']}, {report['cores']} cores; commit {report['commit']}\n")
    print("| shape | form | F ms | B ms | W ms |\n|---|---|---|---|---|")
    for name, shape in shapes.items():
        sides = {form: ours(shape, form) for form in FORMS}
        if benchmark.torch is not None:
            sides["PyTorch"] = theirs(shape)
        times = {(side, m): [] for side in sides for m in "FBW"}
        for _ in range(1 if options.tiny else options.rounds):
            for side, m in times:
                start = time.perf_counter()
                sides[side][m]()
                times[side, m].append((time.perf_counter() - start) / INNER * 1e3)
        for side in sides:
            cells = (f"{statistics.median(times[side, m]):.3g}" for m in "FBW")
            print(f"| {name} | {side} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
