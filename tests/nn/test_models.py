import math
from dataclasses import replace
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT

from wgan_jax.config import Model, load
from wgan_jax.nn import conv, layers
from wgan_jax.nn.models import build, build_encoder

TINY = Model(
    z_dim=6,
    features=2,
    generator_widths=(2, 1),
    critic_widths=(1, 2),
    critic_norm="batch",
)
TINY_SHAPE = (8, 8, 1)
MLP = Model(
    kind="mlp",
    z_dim=5,
    features=4,
    generator_widths=(1, 2),
    critic_widths=(2, 1),
    critic_norm="batch",
    output="linear",
)
BIG_MLP = Model(
    kind="mlp",
    features=128,
    generator_widths=(1, 2, 4, 8),
    critic_widths=(4, 2),
    bias="all",
)
ARJOVSKY = Model(
    generator_widths=(8, 4, 2, 1),
    critic_widths=(1, 2, 4, 8),
    critic_norm="batch",
    bias="none",
)
INSTANCE = Model(
    features=8,
    generator_widths=(16, 8, 4, 2),
    critic_widths=(1, 2, 4, 8),
    critic_norm="instance",
)


CIFAR = load(ROOT / "configs" / "cifar10_resnet.py").model
CIFAR_LABELLED = load(ROOT / "configs" / "cifar10_resnet_acgan.py").model
CIFAR_DCGAN = load(ROOT / "configs" / "cifar10_dcgan_gp_adam.py").model
# Of gan_64x64.py of Gulrajani et al.
GATED = replace(
    CIFAR_DCGAN,
    features=64,
    generator_widths=(8, 4, 2, 1),
    critic_widths=(1, 2, 4, 8),
    ends="dense_channels",
    generator_activation="gated",
    critic_activation="gated",
    critic_norm="layer",
)
CONSTANT = replace(
    GATED,
    generator_widths=(1,) * 4,
    generator_norm="none",
    generator_activation="relu",
    critic_activation="leaky_relu",
)
FOUR_LAYERS = replace(
    CONSTANT, kind="mlp", critic_kind="dcgan", generator_widths=(8,) * 4
)
DEEP = replace(
    CIFAR_DCGAN,
    features=32,
    generator_widths=(16, 8, 4),
    critic_widths=(1, 2, 4),
    ends="dense_channels",
    critic_norm="batch",
    generator_extra_depth=16,
    critic_extra_depth=4,
)


def CRITIC_64(wide):
    """Parameters of the critic of gan_64x64.py with layer norm.

    wide: 2 for the gated one, whose layers have twice the outputs.
    """
    kernels = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    return wide * (kernels + (64 + 3 * 128 + 3 * 256 + 3 * 512)) + 16 * 512 + 1


def kinds(network):
    return [str(row.layer).split(" ")[0] for row in network.summary]


def norms(network):
    names = [str(row.layer) for row in network.summary]
    return [name for name in names if name.endswith("norm")]


@cache
def initialisers(model, sample_shape):
    return [(network, jax.jit(network.init)) for network in build(model, sample_shape)]


def initialised(model, sample_shape, seed=0):
    """[(network, params, stats)] of generator and critic."""
    keys = jax.random.split(jax.random.key(seed))
    pairs = zip(initialisers(model, sample_shape), keys, strict=True)
    return [(network, *init(key)) for (network, init), key in pairs]


def filled(model, sample_shape):
    """As `initialised`, with numbers from NumPy: no random program to compile."""
    rng = np.random.default_rng(0)
    result = []
    for network in build(model, sample_shape):
        params, stats = jax.eval_shape(network.init, jax.random.key(0))
        params = jax.tree.map(
            lambda p: rng.normal(size=p.shape).astype(p.dtype), params
        )
        stats = jax.tree_util.tree_map_with_path(
            lambda path, s: np.full(s.shape, float(path[-1].key != "mean"), s.dtype),
            stats,
        )
        result.append((network, params, stats))
    return result


def leaves(params, name):
    """The leaves called `name`, in the order of the layers."""
    layers = params["layers"]
    return [np.asarray(layers[i][name]) for i in sorted(layers) if name in layers[i]]


# ----------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("model", "sample_shape", "generator_count", "critic_count"),
    [
        (INSTANCE, (64, 64, 3), 378_083, 44_649),
        (ARJOVSKY, (64, 64, 3), 3_576_704, 2_765_568),
        # Dense layers with biases and three BatchNorms; then dense layers alone.
        (
            BIG_MLP,
            (32, 32, 1),
            (101 * 128 + 129 * 256 + 257 * 512 + 513 * 1024 + 1025 * 1024)
            + 2 * (256 + 512 + 1024),
            1025 * 512 + 513 * 256 + 257,
        ),
        # As printed by the code of Gulrajani et al., with the classifier's head.
        (CIFAR, (32, 32, 3), 1_204_483, 1_053_825),
        (CIFAR_LABELLED, (32, 32, 3), 1_218_307, 1_055_115),
        (
            CIFAR_DCGAN,
            (32, 32, 3),
            129 * 8192
            + 25 * (512 * 256 + 256 * 128 + 128 * 3)
            + (256 + 128 + 3)
            + 2 * (8192 + 256 + 128),
            25 * (3 * 128 + 128 * 256 + 256 * 512) + (128 + 256 + 512) + 8193,
        ),
        # Twice the outputs of each hidden layer, and norms of them.
        (
            GATED,
            (64, 64, 3),
            129 * 16 * 1024
            + 25 * (512 * 512 + 256 * 256 + 128 * 128 + 64 * 3)
            + (512 + 256 + 128 + 3)
            + 2 * (1024 + 512 + 256 + 128),
            CRITIC_64(2),
        ),
        (
            CONSTANT,
            (64, 64, 3),
            129 * 16 * 64 + 3 * (25 * 64 + 1) * 64 + 25 * 64 * 3 + 3,
            CRITIC_64(1),
        ),
        (
            FOUR_LAYERS,
            (64, 64, 3),
            129 * 512 + 3 * 513 * 512 + 513 * 64 * 64 * 3,
            CRITIC_64(1),
        ),
        # 3x3 convolutions of width 256 and 64, each with a bias and a norm.
        (
            DEEP,
            (32, 32, 3),
            129 * 16 * 512
            + 25 * (512 * 256 + 256 * 128 + 128 * 3)
            + (256 + 128 + 3)
            + 2 * (512 + 256 + 128)
            + 16 * (9 * 256 + 3) * 256,
            25 * (3 * 32 + 32 * 64 + 64 * 128)
            + (32 + 64 + 128)
            + 2 * (64 + 128)
            + 4 * (9 * 64 + 3) * 64
            + 16 * 128
            + 1,
        ),
    ],
    ids=[
        *("instance", "arjovsky", "mlp", "resnet", "resnet of classes", "cifar dcgan"),
        *("gated", "constant width", "four layers", "deep"),
    ],
)
def test_parameter_counts(model, sample_shape, generator_count, critic_count):
    generator, critic = build(model, sample_shape)
    assert generator.parameters == generator_count
    assert critic.parameters == critic_count
    for network in (generator, critic):
        params, _ = jax.eval_shape(network.init, jax.random.key(0))
        sizes = (math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
        assert sum(sizes) == network.parameters


@pytest.mark.parametrize(
    ("shape", "depth", "kernel", "ends"),
    [
        ((28, 28, 1), 2, 5, "conv"),
        ((28, 28, 3), 1, 3, "conv"),
        ((64, 128, 1), 4, 3, "conv"),
        ((40, 56, 3), 3, 4, "dense"),
        ((96, 48, 1), 3, 5, "dense"),
    ],
)
def test_dcgan_shapes(shape, depth, kernel, ends):
    widths = (1,) * depth
    model = replace(TINY, generator_widths=widths, critic_widths=widths, ends=ends)
    generator, critic = build(replace(model, kernel=kernel), shape)
    key = jax.random.key(0)
    for network, inputs, output in ((generator, (6,), shape), (critic, shape, ())):
        params, stats = jax.eval_shape(network.init, key)
        x = jax.ShapeDtypeStruct((3, *inputs), jnp.float32)
        for train in (True, False):
            y, _ = jax.eval_shape(
                lambda *a, n=network, t=train: n.apply(*a, t), params, stats, x
            )
            assert (y.shape, y.dtype) == ((3, *output), jnp.float32)
    sizes = [
        row.shape[:2]
        for row in generator.summary
        if isinstance(row.layer, layers.ConvTranspose)
    ]
    halvings = range(depth - (ends == "dense"), -1, -1)
    assert sizes == [(shape[0] >> i, shape[1] >> i) for i in halvings]


@pytest.mark.parametrize("shape", [(2,), (8, 8, 3)])
def test_mlp_shapes(shape):
    generator, critic = build(MLP, shape)
    assert generator.summary[-1].shape == shape
    assert critic.summary[-1].shape == ()


@pytest.mark.parametrize("output", ["tanh", "sigmoid", "linear"])
def test_output_range(output):
    (network, params, stats), _ = filled(replace(TINY, output=output), TINY_SHAPE)
    z = jax.random.normal(jax.random.key(1), (4, 6))
    # Large weights: without its last activation a network would leave the range.
    params = jax.tree.map(lambda p: 10 * p, params)
    y = jax.jit(network.apply, static_argnums=3)(params, stats, z, True)[0]
    low, high = float(y.min()), float(y.max())
    expected = {"tanh": (-1, 1), "sigmoid": (0, 1)}
    if output == "linear":
        assert low < -2 < 2 < high
    else:
        np.testing.assert_allclose((low, high), expected[output], atol=1e-3)
        assert expected[output][0] <= low < high <= expected[output][1]


# ------------------------------------------------------------------------------- norms


def test_critic_has_no_norm_on_its_first_layer():
    _, critic = build(TINY, TINY_SHAPE)
    assert kinds(critic) == ["conv", "leaky_relu", "conv", "batch", "leaky_relu"] + [
        "conv",
        "reshape",
    ]
    _, critic = build(MLP, (2,))
    assert kinds(critic) == ["reshape", "dense", "leaky_relu", "dense", "batch"] + [
        "leaky_relu",
        "dense",
        "reshape",
    ]


def test_generator_norms_every_hidden_layer_but_the_first_of_an_mlp():
    generator, _ = build(TINY, TINY_SHAPE)
    assert kinds(generator)[1:] == ["transposed", "batch", "relu"] * 2 + [
        "transposed",
        "tanh",
    ]
    generator, _ = build(MLP, (2,))
    assert kinds(generator) == ["dense", "relu", "dense", "batch", "relu", "dense"] + [
        "linear"
    ]


def test_extra_convolutions_are_at_twice_the_smallest_size():
    model = replace(TINY, generator_extra_depth=2, critic_extra_depth=1)
    generator, critic = build(model, TINY_SHAPE)
    extra = ["conv", "batch"]
    assert kinds(generator)[1:] == [
        *["transposed", "batch", "relu"] * 2,
        *[*extra, "relu"] * 2,
        *["transposed", "tanh"],
    ]
    # Before the norms of the critic begin, as its first layer.
    assert kinds(critic)[:7] == ["conv", "leaky_relu", *extra, "leaky_relu", *extra]
    for network, channels in ((generator, 2), (critic, 2)):
        rows = [row for row in network.summary if str(row.layer).startswith("conv 3x3")]
        assert {row.shape for row in rows} == {(4, 4, channels)}


def test_the_norm_after_a_dense_layer_acts_on_units_or_on_channels():
    for ends, scales in (("dense", 2 * 2 * 4), ("dense_channels", 4)):
        generator, _ = build(replace(TINY, ends=ends), TINY_SHAPE)
        row = next(r for r in generator.summary if str(r.layer) == "batch norm")
        assert row.parameters == 2 * scales
        assert generator.summary[3].shape == (2, 2, 4)


def test_norm_none_builds_no_norm():
    model = replace(TINY, generator_norm="none", critic_norm="none")
    for network in build(model, TINY_SHAPE):
        assert norms(network) == []


@pytest.mark.parametrize(
    ("bias", "in_generator", "in_critic"),
    [("all", 3, 3), ("unnormalised", 1, 2), ("none", 0, 0)],
)
def test_bias_selects_the_layers_with_a_bias(bias, in_generator, in_critic):
    counts = []
    for network in build(replace(TINY, bias=bias), TINY_SHAPE):
        params, _ = jax.eval_shape(network.init, jax.random.key(0))
        weighted = [p for p in params["layers"].values() if "kernel" in p]
        counts.append(sum("bias" in p for p in weighted))
    assert counts == [in_generator, in_critic]


# ----------------------------------------------------------------------- initial values


WIDE = Model(
    z_dim=50, features=32, generator_widths=(2, 1), critic_widths=(1, 2), bias="all"
)
WIDE_SHAPE = (16, 16, 3)
DOUBLINGS, HALVINGS = ((32, 16), (16, 8), (8, 3)), ((3, 8), (8, 16), (16, 32))
# Of a transposed convolution PyTorch counts the output channels.
FAN_INS = ([64 * 16, 32 * 16, 3 * 16], [3 * 16, 32 * 16, 64 * 16])


def assert_uniform(values, bound):
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.98 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(values.size)


def assert_normal(values, mean, deviation):
    assert values.mean() == pytest.approx(
        mean, abs=4 * deviation / math.sqrt(values.size)
    )
    assert values.std() == pytest.approx(deviation, rel=0.15)
    # Beyond the range of the uniform distribution of this deviation.
    assert np.abs(values - mean).max() > 2 * deviation


@pytest.mark.parametrize("which", [0, 1], ids=["generator", "critic"])
def test_torch_initialiser_is_uniform_by_fan_in(which):
    _, params, _ = initialised(WIDE, WIDE_SHAPE)[which]
    bounds = [1 / math.sqrt(fan_in) for fan_in in FAN_INS[which]]
    for kernel, bound in zip(leaves(params, "kernel"), bounds, strict=True):
        assert_uniform(kernel, bound)
    biases = [p["bias"] for p in params["layers"].values() if "kernel" in p]
    scaled = [np.asarray(b) / s for b, s in zip(biases, bounds, strict=True)]
    for values in scaled:
        assert np.abs(values).max() <= 1
    assert_uniform(np.concatenate([*scaled, -np.concatenate(scaled)]), 1.0)


def test_torch_initialiser_of_dense_layers_is_uniform_by_fan_in():
    model = replace(WIDE, kind="mlp", critic_widths=(4, 2))
    _, params, _ = initialised(model, WIDE_SHAPE)[1]
    fan_ins = [16 * 16 * 3, 128]
    for kernel, fan_in in zip(leaves(params, "kernel"), fan_ins):
        assert_uniform(kernel, 1 / math.sqrt(fan_in))


def test_tflib_initialiser_is_uniform_by_fan_in_and_fan_out():
    shape = (32, 32, 3)
    for (_, params, _), variances in zip(
        initialised(replace(CIFAR_DCGAN, features=8), shape),
        (
            # Dense: 2 / (in + out). Doublings: 4 / (25 in / 4 + 25 out), as halvings.
            [2 / (128 + 512), *(4 / (25 * i / 4 + 25 * o) for i, o in DOUBLINGS)],
            [*(4 / (25 * i + 25 * o / 4) for i, o in HALVINGS), 2 / (512 + 1)],
        ),
        strict=True,
    ):
        kernels = leaves(params, "kernel")
        for kernel, variance in zip(kernels, variances, strict=True):
            if kernel.size > 1000:
                assert_uniform(kernel, math.sqrt(3 * variance))
            assert np.abs(kernel).max() <= math.sqrt(3 * variance)
        for layer in params["layers"].values():
            np.testing.assert_array_equal(layer.get("bias", 0.0), 0.0)


def test_uniform_initialiser_has_one_deviation_and_no_biases():
    model = replace(WIDE, init="uniform", ends="dense_channels")
    for _, params, _ in initialised(model, WIDE_SHAPE):
        kernels = [kernel.ravel() for kernel in leaves(params, "kernel")]
        assert_uniform(np.concatenate(kernels), 0.02 * math.sqrt(3))
        for layer in params["layers"].values():
            np.testing.assert_array_equal(layer.get("bias", 0.0), 0.0)


def test_the_critic_can_have_an_initialiser_of_its_own():
    mixed = replace(WIDE, critic_init="uniform")
    generator, critic = (params for _, params, _ in initialised(mixed, WIDE_SHAPE))
    expected = initialised(WIDE, WIDE_SHAPE)[0][1]
    chex.assert_trees_all_equal(generator, expected)
    expected = initialised(replace(WIDE, init="uniform"), WIDE_SHAPE)[1][1]
    chex.assert_trees_all_equal(critic, expected)


def test_tflib_initialiser_of_residual_blocks():
    model = replace(CIFAR, features=16)
    for _, params, _ in initialised(model, (32, 32, 3)):
        blocks = [p for p in params["layers"].values() if "main" in p]
        assert len(blocks) in (3, 4)
        for block in blocks:
            parts = [*block["main"].values(), *block.get("shortcut", {}).values()]
            for kernel in (np.asarray(p["kernel"]) for p in parts if "kernel" in p):
                k, _, ins, outs = kernel.shape
                # He after a ReLU, Glorot on the 1x1 shortcut.
                variance = (4 if k == 3 else 2) / (k * k * (ins + outs))
                assert np.abs(kernel).max() <= math.sqrt(3 * variance)
                if kernel.size > 1000:
                    assert_uniform(kernel, math.sqrt(3 * variance))


# -------------------------------------------------------------- residual nets, classes


TINY_RESNET = Model(
    kind="resnet",
    z_dim=5,
    features=2,
    generator_widths=(2, 1),
    critic_widths=(1, 2, 2),
    kernel=3,
    classes=3,
)


def test_a_residual_block_is_the_sum_of_main_path_and_shortcut():
    _, (network, params, stats) = filled(TINY_RESNET, TINY_SHAPE)
    x = jax.random.normal(jax.random.key(0), (2, *TINY_SHAPE))
    # With main paths of zero, the critic is its shortcuts: 1x1 maps of means.
    blocks = [i for i, layer in params["layers"].items() if "main" in layer]
    for i in blocks:
        main = params["layers"][i]["main"]
        params["layers"][i]["main"] = jax.tree.map(np.zeros_like, main)
    score = network.apply(params, stats, x, False)[0]
    y = np.asarray(x)
    for i, halves in zip(blocks, (True, True, False), strict=True):
        if halves:
            n, h, w, c = y.shape
            y = y.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
        if "shortcut" in params["layers"][i]:
            (layer,) = (
                p for p in params["layers"][i]["shortcut"].values() if "kernel" in p
            )
            y = y @ layer["kernel"][0, 0] + layer["bias"]
    assert y.shape == (2, 2, 2, 4)
    y = np.where(y > 0, y, 0.2 * y).mean((1, 2))
    head = params["layers"][max(params["layers"])]["score"]
    expected = y @ head["kernel"][:, 0] + head["bias"]
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_the_order_of_shortcut_and_change_of_size_gives_the_same_sums():
    kernel = np.random.default_rng(0).normal(size=(1, 1, 3, 4)).astype("f4")
    x = np.random.default_rng(1).normal(size=(2, 4, 6, 3)).astype("f4")
    for change in (layers.upsample(), layers.mean_pool()):
        before = conv.conv(change(x, False), kernel)
        after = change(conv.conv(x, kernel), False)
        np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)


def test_global_pooling_averages_over_the_image():
    x = np.arange(8.0, dtype="f4").reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(layers.global_mean_pool()(x, False), [[3.0, 4.0]])


def test_a_label_selects_scale_and_shift_of_its_sample_only():
    (network, params, stats), _ = filled(TINY_RESNET, TINY_SHAPE)
    z = np.repeat(jax.random.normal(jax.random.key(0), (1, 5)), 3, 0)
    apply = jax.jit(network.apply, static_argnums=3)

    def made(*labels):
        labels = np.array(labels, np.int32)
        return np.asarray(apply(params, stats, z, False, labels=labels)[0])

    first, second = made(0, 1, 2), made(0, 0, 2)
    np.testing.assert_allclose(first[[0, 2]], second[[0, 2]], rtol=1e-6)
    assert not np.allclose(first[1], second[1], atol=1e-3)
    np.testing.assert_allclose(second[0], second[1], rtol=1e-6)
    scales = [s for s in jax.tree.leaves(params) if s.ndim == 2 and s.shape[0] == 3]
    # Two norms in each of two blocks; the last norm is shared by all classes.
    assert len(scales) == 2 * 4
    assert "conditional batch norm" not in norms(network)


def test_a_critic_of_classes_scores_and_classifies():
    _, (network, params, stats) = filled(TINY_RESNET, TINY_SHAPE)
    x = jax.random.normal(jax.random.key(0), (4, *TINY_SHAPE))
    scores, _ = network.apply(params, stats, x, True)
    (same, logits), _ = network.classify(params, stats, x, True)
    assert (scores.shape, logits.shape) == ((4,), (4, 3))
    np.testing.assert_array_equal(scores, same)
    hidden = np.asarray(network.hidden(params, stats, x))
    head = params["layers"][max(params["layers"])]["classes"]
    expected = hidden @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    _, without = build(replace(TINY_RESNET, classes=0), TINY_SHAPE)
    assert without.classify is None


def test_a_gate_is_a_sigmoid_of_even_channels_times_tanh_of_odd_ones():
    gate = layers.activation("gated")
    x = np.array([[1.0, 2.0, -3.0, 0.5]], np.float32)
    sigmoid = 1 / (1 + np.exp(-x[:, ::2]))
    expected = sigmoid * np.tanh(x[:, 1::2])
    np.testing.assert_allclose(gate(x, True), expected, rtol=1e-6)
    # In the channels of an image, and in the units of an mlp.
    both = {"generator_activation": "gated", "critic_activation": "gated"}
    for model in (replace(TINY, **both), replace(MLP, **both, output="tanh")):
        generator, critic = build(model, TINY_SHAPE)
        gates = [row for row in generator.summary if str(row.layer) == "gated"]
        widths = [row.shape[-1] for row in gates]
        assert widths == [m * model.features for m in model.generator_widths]
        assert critic.summary[-1].shape == ()


@pytest.mark.parametrize("model", [TINY, MLP, TINY_RESNET, CIFAR_DCGAN, GATED])
def test_an_encoder_is_the_critic_with_noise_for_its_score(model):
    shape = (32, 32, 3) if model in (CIFAR_DCGAN, GATED) else TINY_SHAPE
    model = replace(model, features=2)
    encoder = build_encoder(model, shape)
    params, stats = jax.eval_shape(encoder.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((3, *shape), jnp.float32)
    z, _ = jax.eval_shape(lambda *a: encoder.apply(*a, False), params, stats, x)
    assert z.shape == (3, model.z_dim)
    assert norms(encoder) == []


def test_dcgan_initialiser_is_normal_in_convolutions_and_batch_norm_scales():
    model = replace(WIDE, init="dcgan", critic_norm="batch")
    for _, params, _ in initialised(model, WIDE_SHAPE):
        for kernel in leaves(params, "kernel"):
            assert_normal(kernel, 0.0, 0.02)
        scales = np.concatenate(leaves(params, "scale"))
        assert_normal(scales, 1.0, 0.02)
        for layer in params["layers"].values():
            if "scale" in layer:
                np.testing.assert_array_equal(layer["bias"], 0.0)


def test_dcgan_initialiser_leaves_dense_layers_and_their_norms():
    model = replace(WIDE, kind="mlp", generator_widths=(4, 2), init="dcgan")
    (_, params, _), _ = initialised(model, WIDE_SHAPE)
    for kernel, fan_in in zip(leaves(params, "kernel"), [50, 128, 64], strict=True):
        assert_uniform(kernel, 1 / math.sqrt(fan_in))
    for scale in leaves(params, "scale"):
        np.testing.assert_array_equal(scale, 1.0)


def test_batch_norm_starts_with_scale_one_and_standard_statistics():
    (_, params, stats), _ = initialised(TINY, TINY_SHAPE)
    for scale in leaves(params, "scale"):
        np.testing.assert_array_equal(scale, 1.0)
    for mean, variance in zip(leaves(stats, "mean"), leaves(stats, "variance")):
        np.testing.assert_array_equal(mean, 0.0)
        np.testing.assert_array_equal(variance, 1.0)


def test_different_keys_give_different_weights_in_every_layer():
    a, b = (initialised(TINY, TINY_SHAPE, seed)[0][1] for seed in (0, 1))
    for kernel_a, kernel_b in zip(leaves(a, "kernel"), leaves(b, "kernel")):
        assert not np.isclose(kernel_a, kernel_b).all()


# --------------------------------------------------------------------------- statistics


@pytest.mark.parametrize("which", [0, 1], ids=["generator", "critic"])
def test_running_statistics_change_in_training_only(which):
    network, params, stats = filled(TINY, TINY_SHAPE)[which]
    apply = jax.jit(network.apply, static_argnums=3)
    x = jax.random.normal(jax.random.key(2), (4, *((6,), TINY_SHAPE)[which]))
    trained, moved = apply(params, stats, x, True)
    for old, new in zip(jax.tree.leaves(stats), jax.tree.leaves(moved), strict=True):
        assert not np.isclose(old, new).any()
    evaluated, unchanged = apply(params, moved, x, False)
    chex.assert_trees_all_equal(unchanged, moved)
    assert not np.allclose(trained, evaluated, atol=1e-3)
    # A sample depends on the rest of its batch in training and not in evaluation.
    pair = apply(params, moved, x[:2], False)[0]
    np.testing.assert_allclose(pair, evaluated[:2], rtol=1e-4, atol=1e-5)
    assert not np.allclose(apply(params, moved, x[:2], True)[0], trained[:2], atol=1e-3)


def test_running_statistics_move_by_the_momentum_towards_the_unbiased_variance():
    model = replace(MLP, critic_widths=(1, 1), norm_momentum=0.25)
    _, (network, params, stats) = filled(model, (2,))
    x = np.asarray(jax.random.normal(jax.random.key(3), (6, 2)))
    _, moved = jax.jit(network.apply, static_argnums=3)(params, stats, x, True)
    first, second = (params["layers"][i] for i in (1, 3))
    hidden = x @ first["kernel"] + first["bias"][None]
    hidden = np.where(hidden > 0, hidden, 0.2 * hidden) @ second["kernel"]
    got = moved["layers"][4]
    np.testing.assert_allclose(got["mean"], 0.25 * hidden.mean(0), atol=1e-6)
    variance = 0.75 + 0.25 * hidden.var(0, ddof=1)
    np.testing.assert_allclose(got["variance"], variance, rtol=1e-5)


@pytest.mark.torch
def test_batch_norm_over_several_batches_follows_torch(x64):
    import torch

    model = replace(MLP, norm_momentum=0.3, norm_epsilon=1e-3)
    (network, params, stats), _ = filled(model, (2,))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 4),
        torch.nn.ReLU(),
        torch.nn.Linear(4, 8, bias=False),
        torch.nn.BatchNorm1d(8, eps=1e-3, momentum=0.3),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 2),
    ).double()
    ours = params["layers"]
    tensors = {(i, n): torch.tensor(v) for i in ours for n, v in ours[i].items()}
    with torch.no_grad():
        for i in (0, 2, 5):
            theirs[i].weight.copy_(tensors[i, "kernel"].T)
        for i in (0, 3, 5):
            theirs[i].bias.copy_(tensors[i, "bias"])
        theirs[3].weight.copy_(tensors[3, "scale"])
    apply = jax.jit(network.apply, static_argnums=3)
    rng = np.random.default_rng(5)
    for _ in range(4):
        x = rng.normal(1.0, 3.0, (7, 5))
        y, stats = apply(params, stats, x, True)
        expected = theirs(torch.tensor(x)).detach()
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
    running = stats["layers"][3]
    np.testing.assert_allclose(running["mean"], theirs[3].running_mean, rtol=1e-9)
    np.testing.assert_allclose(running["variance"], theirs[3].running_var, rtol=1e-9)
    y, _ = apply(params, stats, x, False)
    expected = theirs.eval()(torch.tensor(x)).detach()
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)


# ----------------------------------------------------------------------------- bfloat16


@pytest.mark.parametrize("which", [0, 1], ids=["generator", "critic"])
def test_bfloat16_computes_in_half_and_returns_single_precision(which):
    half, params, stats = filled(replace(TINY, dtype="bfloat16"), TINY_SHAPE)[which]
    full = build(TINY, TINY_SHAPE)[which]
    for leaf in jax.tree.leaves((params, stats)):
        assert leaf.dtype == jnp.float32
    x = jax.random.normal(jax.random.key(6), (4, *((6,), TINY_SHAPE)[which]))
    y, moved = jax.jit(half.apply, static_argnums=3)(params, stats, x, True)
    expected, _ = jax.jit(full.apply, static_argnums=3)(params, stats, x, True)
    for leaf in (y, *jax.tree.leaves(moved)):
        assert leaf.dtype == jnp.float32
    error = np.abs(y - expected).max() / np.abs(expected).max()
    assert 1e-4 < error < 0.05


# -------------------------------------------------------------------------- activations


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("relu", 0.0),
        ("leaky_relu", -0.4),
        ("tanh", np.tanh(-2.0)),
        ("softplus", np.log1p(np.exp(-2.0)) / 2 - 1),
    ],
)
def test_critic_activation(name, below):
    model = replace(MLP, features=1, critic_widths=(1,), critic_activation=name)
    _, critic = build(model, (2,))
    ones = {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}
    last = {"kernel": jnp.ones((1, 1)), "bias": jnp.full(1, 3.0)}
    params = {"layers": {1: ones, 3: last}}
    y, _ = critic.apply(params, {}, jnp.array([[-0.5, -1.5]]), True)
    np.testing.assert_allclose(y, [3.0 + below], rtol=1e-6)
