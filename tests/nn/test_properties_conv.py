"""The implementations of a convolution agree, for any shape, stride and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wgan_jax.nn.conv import conv, conv_transpose

IMPLEMENTATIONS = ("winograd", "products", "library")
SMALL = st.integers(1, 4)


def three_maps(function, x, kernel, seed):
    """Values and both gradients, {implementation: (y, dx, dkernel)}, in one program.

    The three maps are closed under differentiation: their agreement is that of every
    derivative.
    """

    def one(implementation):
        def apply(x, kernel):
            return function(x, kernel, implementation=implementation)

        y, pullback = jax.vjp(apply, x, kernel)
        cotangent = np.random.default_rng(seed).normal(size=y.shape)
        return (y, *pullback(jnp.asarray(cotangent)))

    return jax.jit(lambda: {name: one(name) for name in IMPLEMENTATIONS})()


def check_agreement(data):
    kernel = data.draw(st.tuples(*[st.integers(1, 6)] * 2), "kernel")
    if data.draw(st.booleans(), "square"):
        kernel = (kernel[0],) * 2
    stride = data.draw(st.integers(1, 4), "stride")
    padding = data.draw(st.tuples(*[st.integers(0, min(kernel) - 1)] * 2), "padding")
    n, ins, outs = (data.draw(SMALL, name) for name in ("n", "ins", "outs"))
    ins = 4 * ins if data.draw(st.booleans(), "narrow") else ins
    transposed = data.draw(st.booleans(), "transposed")
    height, width = (data.draw(st.integers(1, 12), name) for name in "hw")
    options = {"stride": stride, "padding": padding}
    if transposed:
        extra = data.draw(st.integers(0, stride - 1), "output padding")
        options["output_padding"] = extra
        sizes = [
            (m - 1) * stride - sum(padding) + k + extra
            for m, k in zip((height, width), kernel)
        ]
        assume(min(sizes) > 0)
    else:
        assume(height + sum(padding) >= kernel[0])
        assume(width + sum(padding) >= kernel[1])
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    with jax.enable_x64(True):
        x = rng.normal(size=(n, height, width, ins))
        shape = (*kernel, outs, ins) if transposed else (*kernel, ins, outs)
        function = conv_transpose if transposed else conv
        results = three_maps(
            lambda x, k, **more: function(x, k, **options, **more),
            jnp.asarray(x),
            jnp.asarray(rng.normal(size=shape)),
            seed=0,
        )
    for name in ("products", "library"):
        for ours, theirs in zip(results["winograd"], results[name], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@settings(max_examples=8)
@given(st.data())
def test_implementations_agree(data):
    check_agreement(data)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_implementations_agree_for_many_shapes(data):
    check_agreement(data)
