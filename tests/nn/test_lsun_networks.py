"""The networks of the papers' photographs, against their descriptions and TensorFlow's
operations."""

import itertools
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT
from jax import lax

from wgan_jax.config import Model, load
from wgan_jax.errors import UserError
from wgan_jax.nn.conv import use_implementation
from wgan_jax.nn.models import build, build_encoder
from wgan_jax.references import execute
from wgan_jax.sizes import activations, parameters
from wgan_jax.validation import validate

GRID = execute(ROOT / "configs" / "lsun_grid.py")
WGAN = execute(ROOT / "configs" / "lsun_wgan.py")
RESNET64 = load(ROOT / "configs" / "lsun_resnet64.py")
RESNET128 = load(ROOT / "configs" / "lsun_resnet128.py")

# ----------------------------------------------------------------------------- counts


def conv(kernel, ins, outs, bias=True):
    return kernel**2 * ins * outs + outs * bias


def dense(ins, outs):
    return (ins + 1) * outs


def norm(channels):
    return 2 * channels


def pyramid(widths, count=conv, normed=True):
    """Layers between successive widths, each with a norm."""
    pairs = itertools.pairwise(widths)
    return sum(count(i, o) + normed * norm(o) for i, o in pairs)


conv5, conv4 = partial(conv, 5), partial(conv, 4, bias=False)
DCGAN_CRITIC = conv5(3, 64) + pyramid((64, 128, 256, 512), conv5) + dense(8192, 1)
ARJOVSKY_CRITIC = conv4(3, 64) + pyramid((64, 128, 256, 512), conv4) + conv4(512, 1)
HIDDEN = 2 * dense(512, 512)
COUNTS = {
    "baseline": (
        dense(128, 8192)
        + norm(512)
        + pyramid((512, 256, 128, 64), conv5)
        + conv5(64, 3),
        DCGAN_CRITIC,
    ),
    "constant": (
        dense(128, 1024) + pyramid((64, 64, 64, 64), conv5, False) + conv5(64, 3),
        DCGAN_CRITIC,
    ),
    "mlp": (
        dense(128, 512) + 3 * dense(512, 512) + dense(512, 12288),
        DCGAN_CRITIC,
    ),
    "no-norm": (
        dense(128, 8192) + pyramid((512, 256, 128, 64), conv5, False) + conv5(64, 3),
        DCGAN_CRITIC - norm(128 + 256 + 512),
    ),
    "gated": (
        dense(128, 16384)
        + norm(1024)
        + sum(conv5(2 * w, 2 * w) + norm(2 * w) for w in (256, 128, 64))
        + conv5(64, 3),
        conv5(3, 128)
        + sum(conv5(w, 4 * w) + norm(4 * w) for w in (64, 128, 256))
        + dense(8192, 1),
    ),
}
COUNTS["tanh"] = COUNTS["baseline"]


def bottleneck(ins, outs, shortcut):
    inner = conv(1, ins, ins // 2) + conv(3, ins // 2, outs // 2)
    return inner + conv(1, outs // 2, outs, bias=False) + norm(outs) + shortcut


WIDTHS = (512, 256, 128, 64, 32)
PLAIN = sum((5 if w == 32 else 6) * bottleneck(w, w, 0) for w in WIDTHS)
PAIRS = tuple(itertools.pairwise(WIDTHS))
BOTTLENECKS = (
    dense(128, 8192)
    + PLAIN
    + sum(bottleneck(i, o, conv(1, i, 4 * o)) for i, o in PAIRS)
    + conv(1, 32, 3),
    conv(1, 3, 32)
    + PLAIN
    + sum(bottleneck(o, i, conv(1, o, i)) for i, o in PAIRS)
    + dense(8192, 1),
)


def up(ins, outs, bias):
    main = norm(ins) + conv(3, ins, outs, bias) + norm(outs) + conv(3, outs, outs)
    return main + conv(1, ins, outs)


def down(ins, outs, bias):
    return (
        2 * norm(ins)
        + conv(3, ins, ins, bias)
        + conv(3, ins, outs)
        + conv(1, ins, outs)
    )


UPS = ((512, 512), (512, 256), (256, 128), (128, 64))


@pytest.mark.parametrize(
    "networks",
    [pytest.param(n, marks=[pytest.mark.slow] * (n != "baseline")) for n in COUNTS],
)
def test_the_grid_has_the_parameters_of_its_descriptions(networks):
    for method in GRID.METHODS:
        config = GRID.cell(networks, method)
        validate(config)
    check(config, COUNTS[networks])


@pytest.mark.slow
def test_the_101_layers_have_the_parameters_of_their_description():
    config = GRID.cell("resnet101", "wgan-gp")
    validate(config)
    generator, critic = check(config, BOTTLENECKS)
    for network in (generator, critic):
        blocks = [row for row in network.summary if str(row.layer) == "residual block"]
        weighted = [row for row in network.summary if row.parameters]
        assert 3 * len(blocks) + len(weighted) - len(blocks) == 101


@pytest.mark.parametrize(
    ("networks", "generator", "critic"),
    [
        ("dcgan", 3_576_704, 2_765_568),
        pytest.param("no norm", 3_574_784, 2_765_568, marks=pytest.mark.slow),
        pytest.param("constant", 302_080, 2_765_568, marks=pytest.mark.slow),
        pytest.param("mlp", 6_880_768, 2_765_568, marks=pytest.mark.slow),
        ("mlp both", 6_880_768, dense(12288, 512) + HIDDEN + dense(512, 1)),
    ],
)
def test_the_networks_of_wgan_have_the_parameters_of_its_code(
    networks, generator, critic
):
    for objective in WGAN.OBJECTIVES:
        config = WGAN.experiment(networks, objective)
        validate(config)
    check(config, (generator, critic))


@pytest.mark.slow
def test_the_residual_networks_have_the_parameters_of_their_descriptions():
    generator = dense(128, 8192) + sum(up(*p, False) for p in UPS) + norm(64)
    downs = ((64, 128), (128, 256), (256, 512), (512, 512))
    critic = conv(3, 3, 64) + sum(down(*p, False) for p in downs) + dense(8192, 1)
    check(RESNET64, (generator + conv(3, 64, 3), critic))
    generator = dense(128, 8192) + sum(up(*p, True) for p in UPS) + norm(64)
    downs = ((128, 256), (256, 512), (512, 1024))
    critic = conv(5, 3, 128) + sum(down(*p, True) for p in downs) + dense(1024, 1)
    critic += 2 * 2 * (norm(1024) + conv(3, 1024, 1024))
    check(RESNET128, (generator + conv(5, 64, 3), critic))


def check(config, counts):
    """Counts and shapes of the networks of a configuration, and its lower bounds."""
    shape = config.data.sample_shape
    networks = build(config.model, shape)
    assert tuple(network.parameters for network in networks) == counts
    assert networks[0].summary[-1].shape == shape
    assert networks[1].summary[-1].shape == ()
    assert 0.45 * sum(counts) < parameters(config) <= sum(counts)
    outputs = [sum(np.prod(r.shape) for r in n.summary) for n in networks]
    assert 0 < activations(config) <= 2 * np.prod(shape) + max(outputs)
    return networks


# ------------------------------------------------------ against TensorFlow's operations

SHAPE = (8, 16, 3)
SMALL = Model(
    kind="bottleneck",
    z_dim=5,
    features=4,
    generator_widths=(2, 2, 1),
    critic_widths=(1, 2, 2),
    kernel=3,
    critic_norm="layer",
    critic_activation="relu",
)
SMALL64 = replace(SMALL, kind="resnet64", critic_widths=(2, 1), generator_widths=(2, 1))
SMALL128 = replace(
    SMALL, kind="resnet128", critic_halvings=1, generator_widths=(2,), bias="all"
)
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def convolve(p, x, stride=1):
    y = lax.conv_general_dilated(
        x, p["kernel"], (stride, stride), "SAME", dimension_numbers=DIMENSIONS
    )
    return y + p.get("bias", np.zeros(1, np.float32)).reshape(1, 1, 1, -1)


def deconvolve(p, x):
    y = lax.conv_transpose(
        x,
        p["kernel"],
        (2, 2),
        "SAME",
        dimension_numbers=DIMENSIONS,
        transpose_kernel=True,
    )
    return y + p["bias"].reshape(1, 1, 1, -1)


def layer_norm(p, x):
    axes = (1, 2, 3)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    y = (x - mean) / jnp.sqrt(variance + 1e-5)
    return y * p["scale"].reshape(1, 1, 1, -1) + p["bias"].reshape(1, 1, 1, -1)


def batch_norm(p, x):
    axes = (0, 1, 2)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    y = (x - mean) / jnp.sqrt(variance + 1e-5)
    return y * p["scale"].reshape(1, 1, 1, -1) + p["bias"].reshape(1, 1, 1, -1)


def linear(p, x):
    return x @ p["kernel"] + p["bias"].reshape(1, -1)


def doubled(x):
    return x.repeat(2, 1).repeat(2, 2)


def pooled(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def relu(x):
    return jnp.maximum(x, 0)


def weighted(part):
    """The parameters of the layers that have any, in their order."""
    return [part[i] for i in sorted(part) if part[i]]


def bottleneck_block(p, x, resample, normalise):
    first, second, third, last = weighted(p["main"])
    y = convolve(first, relu(x))
    y = (
        deconvolve(second, relu(y))
        if resample == "up"
        else convolve(second, relu(y), 2 if resample else 1)
    )
    y = normalise(last, convolve(third, relu(y)))
    if resample == "up":
        (shortcut,) = weighted(p["shortcut"])
        n, h, w, _ = x.shape
        x = convolve(shortcut, x).reshape(n, h, w, 2, 2, -1)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, -1)
    elif resample:
        (shortcut,) = weighted(p["shortcut"])
        x = convolve(shortcut, x, 2)
    return x + 0.3 * y


def block(p, x, resample, normalise, strided=False):
    first, second, third, fourth = weighted(p["main"])
    y = relu(normalise(first, x))
    y = convolve(second, doubled(y) if resample == "up" else y)
    y = relu(normalise(third, y))
    y = convolve(fourth, y, 2 if strided and resample else 1)
    if resample == "down":
        y = y if strided else pooled(y)
        x = pooled(x)
    elif resample == "up":
        x = doubled(x)
    return y + (convolve(weighted(p["shortcut"])[0], x) if resample else x)


def bottleneck_generator(p, z):
    x = linear(p[0], z).reshape(len(z), 4, 8, 8)
    for layer, resample in zip(p[1:4], ("", "", "up"), strict=True):
        x = bottleneck_block(layer, x, resample, batch_norm)
    return jnp.tanh(convolve(p[4], x) / 5)


def bottleneck_critic(p, x):
    x = convolve(p[0], x)
    for layer, resample in zip(p[1:4], ("", "down", ""), strict=True):
        x = bottleneck_block(layer, x, resample, layer_norm)
    return linear(p[4], x.reshape(len(x), -1))[:, 0] / 5


def generator64(p, z):
    x = linear(p[0], z).reshape(len(z), 2, 4, 8)
    for layer in p[1:3]:
        x = block(layer, x, "up", batch_norm)
    return jnp.tanh(convolve(p[4], relu(batch_norm(p[3], x))))


def critic64(p, x):
    x = convolve(p[0], x)
    for layer in p[1:3]:
        x = block(layer, x, "down", layer_norm)
    return linear(p[3], x.reshape(len(x), -1))[:, 0]


def generator128(p, z):
    x = linear(p[0], z).reshape(len(z), 2, 4, 8)
    x = block(p[1], x, "up", batch_norm)
    return jnp.tanh(convolve(p[3], doubled(relu(batch_norm(p[2], x)))))


def critic128(p, x):
    x = convolve(p[0], x, 2)
    for layer, resample in zip(p[1:3], ("down", ""), strict=True):
        x = block(layer, x, resample, layer_norm, strided=True)
    return linear(p[3], x.mean((1, 2)))[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "references"),
    [
        (SMALL, (bottleneck_generator, bottleneck_critic)),
        (SMALL64, (generator64, critic64)),
        (SMALL128, (generator128, critic128)),
    ],
    ids=["bottleneck", "resnet64", "resnet128"],
)
def test_the_layers_are_those_of_the_released_code(model, references):
    rng = np.random.default_rng(0)
    for network, reference, inputs in zip(
        build(model, SHAPE), references, ((5,), SHAPE), strict=True
    ):
        shapes, stats = jax.eval_shape(network.init, jax.random.key(0))
        params = jax.tree.map(
            lambda s: rng.normal(0, 0.5, s.shape).astype("f4"), shapes
        )
        stats = jax.tree.map(lambda s: np.zeros(s.shape, "f4"), stats)
        x = rng.normal(size=(3, *inputs)).astype("f4")
        found = jax.jit(partial(network.apply, train=True))(params, stats, x)[0]
        layers = [p for p in weighted(params["layers"]) if jax.tree.leaves(p)]
        expected = jax.jit(reference)(layers, x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_gain_halves_the_first_weights_of_doubled_images():
    model = replace(SMALL128, init="tflib", features=32)
    params, _ = jax.jit(build(model, SHAPE)[0].init)(jax.random.key(0))
    main = params["layers"][2]["main"]
    last = max(i for i in params["layers"] if "kernel" in params["layers"][i])
    first, second = (np.asarray(p["kernel"]) for p in weighted(main) if "kernel" in p)
    # He's standard deviation for 64 channels, 3x3, and half of it where it doubles.
    he = np.sqrt(4 / (2 * 9 * 64))
    assert first.std() == pytest.approx(he / 2, rel=0.02)
    assert second.std() == pytest.approx(he, rel=0.02)
    kernel = np.asarray(params["layers"][last]["kernel"])
    assert kernel.std() == pytest.approx(np.sqrt(2 / (25 * 67)) / 2, rel=0.05)


@pytest.mark.slow
def test_the_encoder_has_the_layers_of_the_critic():
    for model in (SMALL, SMALL64, SMALL128):
        assert build_encoder(model, SHAPE).summary[-1].shape == (5,)


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (
            {"features": 3},
            {},
            "model.features=3 must be even for bottlenecks, which have half the "
            "channels of their blocks: take 4",
        ),
        (
            {"kernel": 4},
            {},
            "model.kernel=4 must be odd for residual blocks, whose convolutions "
            "preserve the size: take 3",
        ),
        (
            {"classes": 3},
            {},
            "model.classes=3 needs networks that use labels: take model.kind=resnet or "
            "model.classes=0",
        ),
        (
            {"critic_activation": "gated"},
            {},
            "model.critic_activation=gated halves the channels, which residual blocks "
            "add to their input: take another activation, or model.kind=dcgan",
        ),
        (
            {},
            {"image_size": 9},
            "data.image_size=9 cannot be halved 1 times to 2 or more pixels, as by "
            "model.generator_widths=(2, 2, 1): take 8 or 10",
        ),
        (
            {"kind": "resnet128", "critic_widths": (1, 2), "critic_halvings": 2},
            {},
            "model.critic_halvings=2 is more than the 1 blocks of model.critic_widths="
            "(1, 2): take at most 1",
        ),
        (
            {"kind": "resnet128", "generator_widths": (1,), "critic_halvings": 1},
            {"image_size": 10},
            "data.image_size=10 cannot be halved 2 times to 2 or more pixels, as by "
            "model.generator_widths=(1,): take 8 or 12",
        ),
        (
            {},
            {"source": "8gaussians"},
            "model.kind=bottleneck needs images: data.source=8gaussians consists of "
            "points, so take model.kind=mlp",
        ),
    ],
)
def test_a_mistake_gets_one_sentence(model, data, message):
    base = replace(GRID.get_config(), model=SMALL)
    config = replace(
        base,
        model=replace(SMALL, **model),
        data=replace(base.data, **({"image_size": 16} | data)),
    )
    with pytest.raises(UserError) as error:
        validate(config)
    assert str(error.value) == message


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["winograd", "library"])
def test_the_gradient_of_the_penalty_is_that_of_tensorflows_operations(implementation):
    """Second derivatives of strided 1x1 and 3x3 convolutions and their transposes."""
    rng = np.random.default_rng(0)
    critic = build(SMALL, SHAPE)[1]
    shapes, _ = jax.eval_shape(critic.init, jax.random.key(0))
    params = jax.tree.map(lambda s: rng.normal(0, 0.5, s.shape).astype("f4"), shapes)
    x = rng.normal(size=(3, *SHAPE)).astype("f4")

    def gradient(score):
        def penalty(params):
            slopes = jax.grad(lambda x: score(params, x).sum())(x)
            return jnp.square(jnp.sqrt((slopes**2).sum((1, 2, 3))) - 1).mean()

        return jax.jit(jax.grad(penalty))(params)

    with use_implementation(implementation):
        found = gradient(lambda params, x: critic.apply(params, {}, x, True)[0])
    expected = gradient(
        lambda params, x: bottleneck_critic(
            [p for p in weighted(params["layers"]) if jax.tree.leaves(p)], x
        )
    )
    for ours, theirs in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        scale = np.abs(theirs).max() + 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * scale)


# ----------------------------------------------------------------------------- bfloat16


@pytest.mark.parametrize(
    "model",
    [SMALL, *(pytest.param(m, marks=pytest.mark.slow) for m in (SMALL64, SMALL128))],
    ids=lambda m: m.kind,
)
def test_products_are_in_half_precision(model):
    for network, inputs in zip(
        build(replace(model, dtype="bfloat16"), SHAPE), ((5,), SHAPE), strict=True
    ):
        params, stats = jax.eval_shape(network.init, jax.random.key(0))
        x = jax.ShapeDtypeStruct((2, *inputs), jnp.float32)
        with use_implementation("library"):
            program = str(
                jax.make_jaxpr(partial(network.apply, train=True))(params, stats, x)
            )
        products = [
            line.split("=")[0]
            for line in program.splitlines()
            if "= conv_general_dilated" in line or "= dot_general" in line
        ]
        assert len(products) > 4
        assert all("bf16" in line for line in products)
        y, _ = jax.eval_shape(partial(network.apply, train=True), params, stats, x)
        assert y.dtype == jnp.float32
