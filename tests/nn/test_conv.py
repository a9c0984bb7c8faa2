from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from jaxtyping import TypeCheckError

from wgan_jax.nn.conv import (
    conv,
    conv_mean_pool,
    conv_transpose,
    mean_pool,
    upsample,
    upsample_conv,
    use_implementation,
)
from wgan_jax.nn.norms import batch_norm, instance_norm, layer_norm, stored_norm

# (height, width), kernel, stride, padding, output padding
CONVS = {
    "k4s2p1": ((8, 6), 4, 2, 1),
    "k4s2p1 odd": ((7, 9), 4, 2, 1),
    "k3s2p1": ((8, 7), 3, 2, 1),
    "k5s2p2": ((8, 8), 5, 2, 2),
    "k3s1p1": ((5, 6), 3, 1, 1),
    "k4s1p0 to 1x1": ((4, 4), 4, 1, 0),
    "k5s2p2 to 1x1": ((2, 2), 5, 2, 2),
    "k3s3p0 rows left out": ((10, 11), 3, 3, 0),
    "k2s3p0 holes": ((9, 8), 2, 3, 0),
    "k5s2 SAME": ((8, 6), 5, 2, (1, 2)),
    "k3s2 uneven": ((7, 8), 3, 2, (2, 0)),
    "k4s2p1 large": ((18, 16), 4, 2, 1),
    "k3s1p1 narrow": ((5, 6), 3, 1, 1),
    "k3s1 uneven narrow": ((5, 4), 3, 1, (2, 0)),
}
TRANSPOSES = {
    "k4s2p1": ((4, 3), 4, 2, 1, 0),
    "k3s2p1+1": ((4, 3), 3, 2, 1, 1),
    "k3s2p1": ((4, 3), 3, 2, 1, 0),
    "k5s2p2+1": ((3, 4), 5, 2, 2, 1),
    "k3s1p1": ((4, 5), 3, 1, 1, 0),
    "k4s1p0 from 1x1": ((1, 1), 4, 1, 0, 0),
    "k5s2 SAME": ((4, 3), 5, 2, (1, 2), 0),
}
CASES = [("conv", n) for n in CONVS] + [("conv_transpose", n) for n in TRANSPOSES]
IMPLEMENTATIONS = ("winograd", "products", "library")
QUANTITIES = ("value", "d x", "d kernel", "d2 x", "d2 kernel")

each_case = pytest.mark.parametrize(("kind", "name"), CASES)
each_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def sides(padding):
    return padding if isinstance(padding, tuple) else (padding, padding)


def taps(outputs, inputs, kernel, stride, padding):
    """taps[i, a, h] = 1 where output pixel i reads input pixel h by kernel pixel a."""
    i, a, h = np.ogrid[:outputs, :kernel, :inputs]
    return (h == i * stride + a - sides(padding)[0]).astype(float)


def direct_conv(x, kernel, *, stride, padding):
    """The definition of a convolution as one einsum, differentiated by JAX."""
    pairs = list(zip(x.shape[1:3], kernel.shape[:2], strict=True))
    outputs = [(n + sum(sides(padding)) - k) // stride + 1 for n, k in pairs]
    rows, columns = (
        taps(o, n, k, stride, padding) for o, (n, k) in zip(outputs, pairs, strict=True)
    )
    return jnp.einsum("nhwc,iah,jbw,abco->nijo", x, rows, columns, kernel)


def direct_conv_transpose(y, kernel, *, stride, padding, output_padding):
    pairs = list(zip(y.shape[1:3], kernel.shape[:2], strict=True))
    rows, columns = (
        taps(
            n,
            (n - 1) * stride - sum(sides(padding)) + k + output_padding,
            k,
            stride,
            padding,
        )
        for n, k in pairs
    )
    return jnp.einsum("nijd,iah,jbw,abcd->nhwc", y, rows, columns, kernel)


def operands(kind, name):
    """(x, kernel, keyword arguments) of one case, in float64."""
    rng = np.random.default_rng(len(name))
    if kind == "conv":
        size, k, stride, padding = CONVS[name]
        channels = (8, 2) if "narrow" in name else (3, 2)
        options = {"stride": stride, "padding": padding}
    else:
        size, k, stride, padding, extra = TRANSPOSES[name]
        channels = (2, 3)
        options = {"stride": stride, "padding": padding, "output_padding": extra}
    x = rng.normal(size=(2, *size, channels[kind != "conv"]))
    return x, rng.normal(size=(k, k, *channels)), options


def derivatives(function, x, kernel):
    """Value, gradients of a loss, and gradients of those gradients' squared norm."""

    def loss(x, kernel):
        return jnp.square(function(x, kernel)).sum()

    gradient = jax.grad(loss, argnums=(0, 1))

    def penalty(x, kernel):
        return sum(jnp.square(g).sum() for g in gradient(x, kernel))

    second = jax.grad(penalty, argnums=(0, 1))
    return (function(x, kernel), *gradient(x, kernel), *second(x, kernel))


@cache
def computed(kind, name):
    """Derivatives by each implementation and by the definition, in one program."""
    x, kernel, options = operands(kind, name)
    if kind == "conv":
        fast, direct = conv, direct_conv
    else:
        fast, direct = conv_transpose, direct_conv_transpose
    functions = {
        name: partial(fast, implementation=name, **options) for name in IMPLEMENTATIONS
    }
    functions["direct"] = partial(direct, **options)

    @jax.jit
    def everything(x, kernel):
        return {n: derivatives(f, x, kernel) for n, f in functions.items()}

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, everything(x, kernel))


def assert_same_derivatives(ours, theirs, tolerance):
    for name, a, b in zip(QUANTITIES, ours, theirs, strict=True):
        assert a.dtype == np.float64
        scale = np.abs(b).max()
        np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance * scale, err_msg=name
        )


@each_case
def test_convolution_and_two_derivatives_follow_the_definition(kind, name):
    result = computed(kind, name)
    for implementation in IMPLEMENTATIONS:
        assert_same_derivatives(result[implementation], result["direct"], 1e-11)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "name"),
    # PyTorch pads by the same number on both sides.
    [(k, n) for k, n in CASES if not isinstance((CONVS | TRANSPOSES)[n][3], tuple)],
)
def test_convolution_and_two_derivatives_follow_torch(kind, name):
    import torch

    x, kernel, options = operands(kind, name)
    x = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    weight = torch.tensor(kernel.transpose(3, 2, 0, 1), requires_grad=True)
    y = getattr(torch.nn.functional, f"{kind}2d")(x, weight, **options)
    first = torch.autograd.grad(y.square().sum(), (x, weight), create_graph=True)
    penalty = sum(g.square().sum() for g in first)
    second = torch.autograd.grad(penalty, (x, weight))

    def ours(image):
        return image.detach().numpy().transpose(0, 2, 3, 1)

    def ours_kernel(weight):
        return weight.detach().numpy().transpose(2, 3, 1, 0)

    expected = [
        ours(y),
        ours(first[0]),
        ours_kernel(first[1]),
        ours(second[0]),
        ours_kernel(second[1]),
    ]
    for implementation in IMPLEMENTATIONS:
        assert_same_derivatives(computed(kind, name)[implementation], expected, 1e-9)


@each_implementation
def test_derivatives_of_a_convolution_follow_finite_differences(implementation, x64):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 5, 4, 1)), rng.normal(size=(4, 4, 1, 2))
    options = {"stride": 2, "padding": 1, "implementation": implementation}
    function = jax.jit(partial(conv, **options))
    check_grads(function, (x, kernel), order=2, modes=["rev"], eps=1e-4, rtol=1e-6)


@pytest.mark.parametrize("resample", ["up", "down"])
@pytest.mark.parametrize(
    ("kernel", "padding"), [(3, 1), (1, 0), (5, 2), (3, (2, 0)), (2, (1, 0))]
)
def test_resampling_joined_with_a_convolution_follows_the_definition(
    resample, kernel, padding, x64
):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 6, 4, 3)))
    weights = jnp.asarray(rng.normal(size=(kernel, kernel, 3, 5)))
    direct = partial(direct_conv, stride=1, padding=padding)

    def definition(x, weights):
        if resample == "up":
            return direct(jnp.kron(x, jnp.ones((1, 2, 2, 1))), weights)
        y = direct(x, weights)
        corners = (y[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
        return sum(corners) / 4

    joined = {"up": upsample_conv, "down": conv_mean_pool}[resample]
    joined = partial(joined, padding=padding)

    def slopes(function):
        def penalised(x, weights):
            slope = jax.grad(lambda x: jnp.sin(function(x, weights)).sum())(x)
            return jnp.square(slope).sum()

        return [function(x, weights), *jax.grad(penalised, (0, 1))(x, weights)]

    expected = slopes(definition)
    for implementation in IMPLEMENTATIONS:
        with use_implementation(implementation):
            computed = slopes(joined)
        for a, b in zip(computed, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11 * np.abs(b).max())


def test_joined_resampling_takes_fewer_products():
    x, kernel = jnp.zeros((2, 32, 32, 16)), jnp.zeros((3, 3, 16, 16))
    for joined in (conv_mean_pool, upsample_conv):

        def flops(implementation, joined=joined):
            with use_implementation(implementation):
                program = jax.jit(lambda x, k: joined(x, k, padding=1))
                return program.lower(x, kernel).cost_analysis()["flops"]

        assert flops("library") < 0.5 * flops("products")


def test_upsampling_copies_and_pooling_averages():
    x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    up = upsample(x)
    np.testing.assert_array_equal(up[0, :2, :2], np.tile(x[0, 0, 0], (2, 2, 1)))
    assert up.shape == (1, 4, 4, 2)
    np.testing.assert_array_equal(mean_pool(up), x)


@each_implementation
def test_forward_mode_through_a_convolution_raises(implementation):
    x, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda x: conv(x, kernel, implementation=implementation), (x,), (x,))


@each_implementation
def test_convolutions_work_under_vmap_and_inside_scan(implementation, x64):
    rng = np.random.default_rng(1)
    xs, kernels = rng.normal(size=(3, 2, 4, 4, 2)), rng.normal(size=(3, 4, 4, 2, 1))
    options = {"stride": 2, "padding": 1}

    def there_and_back(conv, conv_transpose, x, kernel):
        up = conv_transpose(jnp.tanh(conv(x, kernel)), kernel)
        return jnp.square(up).sum()

    ours = partial(
        there_and_back,
        partial(conv, implementation=implementation, **options),
        partial(conv_transpose, implementation=implementation, **options),
    )
    direct = partial(
        there_and_back,
        partial(direct_conv, **options),
        partial(direct_conv_transpose, output_padding=0, **options),
    )

    @jax.jit
    def run(xs, kernels):
        gradient = jax.grad(ours, argnums=(0, 1))
        scanned = jax.lax.scan(
            lambda _, pair: (None, gradient(*pair)), None, (xs, kernels)
        )
        expected = jax.vmap(jax.grad(direct, argnums=(0, 1)))(xs, kernels)
        return jax.vmap(gradient)(xs, kernels), scanned[1], expected

    mapped, scanned, expected = run(xs, kernels)
    for a, b, c in zip(mapped, scanned, expected, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(b, c, rtol=1e-10, atol=1e-10)


def test_convolutions_keep_bfloat16():
    x, kernel = (
        jnp.ones((1, 4, 4, 1), jnp.bfloat16),
        jnp.ones((4, 4, 1, 1), jnp.bfloat16),
    )
    for implementation in IMPLEMENTATIONS:
        y = conv(x, kernel, stride=2, padding=1, implementation=implementation)
        assert y.dtype == jnp.bfloat16


NORMS = {"instance": (instance_norm, (1, 2)), "layer": (layer_norm, (1, 2, 3))}


def normalised(x, axes, scale, bias, epsilon):
    x, scale, bias = (np.asarray(a, np.float64) for a in (x, scale, bias))
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * scale + bias


def image_batch(shape=(4, 3, 5, 2)):
    rng = np.random.default_rng(2)
    x = rng.normal(3.0, 2.0, shape)
    scale, bias = rng.normal(size=(2, shape[-1]))
    return jnp.asarray(x), jnp.asarray(scale), jnp.asarray(bias)


@pytest.mark.parametrize("name", NORMS)
def test_sample_norm_is_its_definition(name, x64):
    norm, axes = NORMS[name]
    x, scale, bias = image_batch()
    y = norm(x, scale, bias, epsilon=0.3)
    np.testing.assert_allclose(y, normalised(x, axes, scale, bias, 0.3), rtol=1e-10)


def test_sample_norms_treat_each_sample_separately():
    x, scale, bias = image_batch()
    for norm, _ in NORMS.values():
        whole = norm(x, scale, bias, epsilon=1e-5)
        single = norm(x[:1], scale, bias, epsilon=1e-5)
        np.testing.assert_allclose(whole[:1], single, rtol=1e-5, atol=1e-6)


def test_batch_norm_in_groups_normalises_each_group_separately(x64):
    x, scale, bias = image_batch((6, 3, 5, 2))
    y, *statistics = batch_norm(x, scale, bias, epsilon=0.3, groups=3)
    parts = [batch_norm(part, scale, bias, epsilon=0.3) for part in jnp.split(x, 3)]
    np.testing.assert_allclose(y, np.concatenate([p[0] for p in parts]), rtol=1e-12)
    for i, statistic in enumerate(statistics, 1):
        mean = np.mean([part[i] for part in parts], 0)
        np.testing.assert_allclose(statistic, mean, rtol=1e-12)


def test_batch_norm_accepts_a_scale_and_a_shift_per_sample(x64):
    x, scale, bias = image_batch()
    samples = jnp.arange(4.0)[:, None]
    scales, biases = scale[None] * samples, bias[None] - samples
    y = batch_norm(x, scales, biases, epsilon=0.3)[0]
    plain = batch_norm(x, jnp.ones(2), jnp.zeros(2), epsilon=0.3)[0]
    expected = plain * scales[:, None, None] + biases[:, None, None]
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (6, 3)], ids=["images", "vectors"])
def test_batch_norm_is_its_definition_with_unbiased_variance(shape, x64):
    x, scale, bias = image_batch(shape)
    y, mean, variance = batch_norm(x, scale, bias, epsilon=0.3)
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(y, normalised(x, axes, scale, bias, 0.3), rtol=1e-10)
    np.testing.assert_allclose(mean, np.mean(x, axes), rtol=1e-12)
    np.testing.assert_allclose(variance, np.var(x, axes, ddof=1), rtol=1e-12)


def test_stored_norm_uses_the_given_statistics(x64):
    x, scale, bias = image_batch()
    mean, variance = jnp.array([1.0, -2.0]), jnp.array([4.0, 0.25])
    y = stored_norm(x, scale, bias, mean, variance, epsilon=0.3)
    x, scale, bias, mean, variance = map(np.asarray, (x, scale, bias, mean, variance))
    expected = (x - mean) / np.sqrt(variance + 0.3) * scale + bias
    np.testing.assert_allclose(y, expected, rtol=1e-12)


@pytest.mark.torch
def test_norms_follow_torch(x64):
    import torch

    F = torch.nn.functional
    x, scale, bias = image_batch()
    images = torch.tensor(np.array(x.transpose(0, 3, 1, 2)))
    scale_, bias_ = torch.tensor(np.array(scale)), torch.tensor(np.array(bias))
    expected = {
        "instance": F.instance_norm(images, weight=scale_, bias=bias_, eps=1e-3),
        "batch": F.batch_norm(
            images, None, None, scale_, bias_, training=True, eps=1e-3
        ),
        # One group is the layer norm with an affine map per channel.
        "layer": F.group_norm(images, 1, scale_, bias_, eps=1e-3),
    }
    ours = {
        "instance": instance_norm(x, scale, bias, epsilon=1e-3),
        "batch": batch_norm(x, scale, bias, epsilon=1e-3)[0],
        "layer": layer_norm(x, scale, bias, epsilon=1e-3),
    }
    for name, y in ours.items():
        theirs = expected[name].numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(y, theirs, rtol=1e-9, err_msg=name)


@jax.jit
def each_norm(x, scale, bias):
    return {
        "batch": batch_norm(x, scale, bias, epsilon=1e-5)[0],
        "instance": instance_norm(x, scale, bias, epsilon=1e-5),
        "layer": layer_norm(x, scale, bias, epsilon=1e-5),
    }


def test_norm_of_a_constant_is_the_bias_and_its_gradient_finite():
    x, scale, bias = jnp.full((2, 4, 4, 2), 7.0), jnp.ones(2), jnp.array([0.5, -1.0])
    for y in each_norm(x, scale, bias).values():
        np.testing.assert_array_equal(y, jnp.broadcast_to(bias, x.shape))

    def total(x):
        return sum(jnp.square(y).sum() for y in each_norm(x, scale, bias).values())

    assert jnp.isfinite(jax.jit(jax.grad(total))(x)).all()


def test_norm_of_a_large_mean_does_not_cancel():
    noise = np.random.default_rng(3).normal(size=(4, 8, 8, 2))
    x = np.float32(1e4 + noise)
    axes = {"batch": (0, 1, 2), "instance": (1, 2), "layer": (1, 2, 3)}
    for name, y in each_norm(jnp.asarray(x), jnp.ones(2), jnp.zeros(2)).items():
        expected = normalised(x, axes[name], 1.0, 0.0, 1e-5)
        np.testing.assert_allclose(y, expected, atol=5e-3, err_msg=name)


def test_norm_in_bfloat16_takes_its_moments_in_float32():
    x = jnp.asarray(
        20 + np.random.default_rng(4).normal(size=(4, 8, 8, 2)), jnp.bfloat16
    )
    one, zero = jnp.ones(2, jnp.bfloat16), jnp.zeros(2, jnp.bfloat16)
    y, mean, variance = batch_norm(x, one, zero, epsilon=1e-5)
    assert y.dtype == jnp.bfloat16
    assert mean.dtype == variance.dtype == jnp.float32
    expected = normalised(x, (0, 1, 2), 1.0, 0.0, 1e-5)
    np.testing.assert_allclose(y.astype(jnp.float32), expected, atol=2e-2)


def test_wrong_shapes_are_rejected():
    x, scale = jnp.ones((2, 4, 4, 3)), jnp.ones(3)
    with pytest.raises(TypeCheckError):
        conv(x, jnp.ones((3, 3, 2, 5)))
    with pytest.raises(TypeCheckError):
        conv_transpose(x, jnp.ones((3, 3, 3, 5)))
    with pytest.raises(TypeCheckError):
        instance_norm(x, scale, jnp.ones(4), epsilon=1e-5)
    with pytest.raises(TypeCheckError):
        batch_norm(x, jnp.ones((4, 3)), scale, epsilon=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"),
    [(4, 2, 1, 0), (5, 2, (1, 2), 0), (5, 2, 2, 1), (3, 3, 0, 2), (3, 1, 1, 0)],
)
def test_a_transposed_convolution_is_one_without_dilation(
    kernel, stride, padding, extra
):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2, 4, 3, 2)).astype(np.float32)
    k = rng.normal(size=(kernel, kernel, 3, 2)).astype(np.float32)
    options = {"stride": stride, "padding": padding, "output_padding": extra}

    def transposed(implementation):
        return partial(conv_transpose, implementation=implementation, **options)

    expected = jax.jit(transposed("products"))(y, k)
    text = str(jax.make_jaxpr(transposed("subpixel"))(y, k))
    assert "lhs_dilation=(1, 1)" in text
    assert f"lhs_dilation=({stride}, {stride})" not in text or stride == 1
    np.testing.assert_allclose(
        jax.jit(transposed("subpixel"))(y, k), expected, atol=1e-5
    )
