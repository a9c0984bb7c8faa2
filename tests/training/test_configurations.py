"""Every configuration of the repository: its networks at full width, and its steps."""

from dataclasses import replace
from functools import cache

import chex
import jax
import numpy as np
import pytest
from helpers import ROOT, configuration_names

from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import train_chunk
from wgan_jax.config import Data, Run, load
from wgan_jax.data.batches import make_get_batch
from wgan_jax.nn import conv
from wgan_jax.nn.models import build
from wgan_jax.validation import validate

# Parameters of generator and critic at full width, and the shape of a sample. Those of
# lsun_wgan and of the CIFAR-10 ResNets are those of the papers' code, counted apart
# from it; the classifier has 128 x 10 + 10 more, and the conditional norms 13,824.
NETWORKS = {
    "cat_faces_1": (12_658_435, 2_765_633, (64, 64, 3)),
    "cat_faces_2": (12_658_435, 2_765_633, (64, 64, 3)),
    "cat_faces_3": (12_658_435, 2_765_633, (64, 64, 3)),
    "cifar10_dcgan_clip": (5_179_907, 4_116_225, (32, 32, 3)),
    "cifar10_dcgan_gan": (5_179_907, 4_116_225, (32, 32, 3)),
    "cifar10_dcgan_gp_adam": (5_179_907, 4_114_689, (32, 32, 3)),
    "cifar10_dcgan_gp_rmsprop": (5_179_907, 4_114_689, (32, 32, 3)),
    "cifar10_resnet": (1_204_483, 1_053_825, (32, 32, 3)),
    "cifar10_resnet_acgan": (1_204_483 + 13_824, 1_053_825 + 1_290, (32, 32, 3)),
    "cifar10_resnet_best": (4_276_739, 1_053_825, (32, 32, 3)),
    "custom_folder": (1_100_227, 694_689, (64, 64, 3)),
    "digits": (191_185, 94_249, (32, 32, 1)),
    "fashion_mnist_mlp": (1_756_032, 656_385, (32, 32, 1)),
    "language_model": (16_276_480, 14_177_793, (32, 2048)),
    "lsun_grid": (5_364_739, 4_316_545, (64, 64, 3)),
    "lsun_resnet128": (8_544_515, 47_757_697, (128, 128, 3)),
    "lsun_resnet64": (8_540_483, 7_491_841, (64, 64, 3)),
    "lsun_wgan": (3_576_704, 2_765_568, (64, 64, 3)),
    "mnist_anomaly": (191_185, 94_249, (32, 32, 1)),
    "mnist_dcgan": (12_133_633, 10_511_105, (32, 32, 1)),
    "mnist_dcgan_anogan": (759_680, 138_624, (28, 28, 1)),
    "mnist_wgan_gp": (2_132_737, 138_561, (28, 28, 1)),
    "toy_25gaussians": (33_666, 33_537, (2,)),
    "toy_8gaussians": (33_666, 33_537, (2,)),
    "toy_swiss_roll": (33_666, 33_537, (2,)),
}
# Tracing of residual networks takes seconds.
TRACED_SLOWLY = {name for name in NETWORKS if "resnet" in name} | {"language_model"}
CYCLES = 20


def configuration(name):
    return load(ROOT / "configs" / f"{name}.py")


@cache
def shapes(model, shape):
    """Parameters of both networks, and the shapes of a sample and of its score."""
    generator, critic = build(model, shape)
    key = jax.random.key(0)
    labels = np.zeros(4, np.int32) if model.classes else None
    z = jax.ShapeDtypeStruct((4, model.z_dim), np.float32)

    def pair(key, z):
        params, stats = generator.init(key)
        fake, _ = generator.apply(params, stats, z, True, labels=labels)
        params_critic, stats_critic = critic.init(key)
        score, _ = critic.apply(params_critic, stats_critic, fake, True)
        return params, params_critic, fake, score

    params, params_critic, fake, score = jax.eval_shape(pair, key, z)
    counts = [size(tree) for tree in (params, params_critic)]
    return (*counts, fake.shape, score.shape)


def size(tree):
    return sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(tree))


def test_the_table_has_every_configuration():
    assert sorted(NETWORKS) == configuration_names()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in TRACED_SLOWLY))
        for name in NETWORKS
    ],
)
def test_networks_have_their_parameters_and_shapes_at_full_width(name):
    config = configuration(name)
    generator, critic, shape = NETWORKS[name]
    assert config.data.sample_shape == shape
    found = shapes(config.model, shape)
    assert found == (generator, critic, (4, *shape), (4,))


def reduced(config):
    """The configuration with small networks, images and batches, its rates unchanged.

    Data of one shape are one configuration.
    """
    data, model, objective = config.data, config.model, config.objective
    if data.is_text:
        data = replace(data, vocabulary=12)
    elif not data.is_points:
        size = data.image_size
        fields = {"channels": data.channels, "dequantize": data.dequantize}
        data = Data(image_size=size // 2 if size > 32 else size, **fields)
    return replace(
        config,
        data=replace(data, batch_size=8),
        model=replace(model, features=4, norm_groups=min(model.norm_groups, 2)),
        objective=replace(
            objective,
            n_critic=min(objective.n_critic, 2),
            generator_batch=8,
            warmup=False,
        ),
    )


@cache
def trainer(config):
    """chunk(state, samples, count, rates) and an initial state of a configuration.

    The rates are arguments, so that configurations that differ in them share a program.
    """
    labelled = config.model.classes > 0
    spec = make_spec(config, make_get_batch(config.data, 32, labelled))

    def chunk(state, samples, count, rates):
        with_rates = spec.with_hyperparameters(rates)
        return train_chunk(state, samples, count, spec=with_rates)

    return jax.jit(chunk), init_state(jax.random.key(0), spec)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_critic_of_every_configuration_learns(name):
    config = reduced(configuration(name))
    validate(config)
    data, rng = config.data, np.random.default_rng(0)
    # Bright images, which no generator makes at the start.
    samples = rng.integers(160, 256, (32, *data.stored_shape), np.uint8)
    if data.is_text:
        samples = rng.integers(2, 4, samples.shape, np.uint8)
    if classes := config.model.classes:
        # One label, which the classifier learns first.
        samples = samples, np.full(32, classes - 1, np.int32)
    rates = {
        f"optimizer.{which}_lr": getattr(config.optimizer, f"{which}_lr")
        for which in ("critic", "generator")
    }
    optimizer = replace(config.optimizer, critic_lr=1.0, generator_lr=1.0)
    # Faster to compile than the default of a CPU, faster to run than the library's.
    with conv.use_implementation("products"):
        chunk, before = trainer(replace(config, optimizer=optimizer, run=Run()))
        state, losses = before, []
        for count in (1, CYCLES - 4, 3):
            state, metrics = chunk(state, samples, count, rates)
            chex.assert_tree_all_finite(metrics)
            losses.append(float(metrics["critic_loss"]))
    assert int(state.step) == CYCLES
    assert losses[2] < losses[0]
    for net in ("generator", "critic"):
        old, new = getattr(before, net).params, getattr(state, net).params
        pairs = zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)
        # Units that are dead for all noise have no gradient.
        assert np.mean([not np.array_equal(a, b) for a, b in pairs]) > 0.5, net
