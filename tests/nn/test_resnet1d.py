"""The 1-D residual networks of text."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import language_model
from wgan_jax.nn import layers
from wgan_jax.nn.models import build
from wgan_jax.nn.models.resnet1d import critic
from wgan_jax.nn.network import build_network

CONFIG = language_model.get_config()


def test_parameter_counts_of_the_paper():
    generator, scores = build(CONFIG.model, CONFIG.data.sample_shape)
    blocks = 10 * (5 * 512 * 512 + 512)
    dense, last = 128 * 32 * 512 + 32 * 512, 512 * 2048 + 2048
    assert generator.parameters == dense + blocks + last == 16_276_480
    first, score = 2048 * 512 + 512, 32 * 512 + 1
    assert scores.parameters == first + blocks + score == 14_177_793
    assert [row.shape for row in generator.summary][-1] == (32, 2048)
    names = [str(row.layer) for row in generator.summary]
    blocks = ["residual block"] * 5
    assert names == ["dense", "reshape", *blocks, "1-D conv 1", "softmax"]
    block = generator.summary[2].layer
    inner = ["relu", "1-D conv 5", "relu", "1-D conv 5", "scale"]
    assert list(map(str, block.main)) == inner
    assert not block.shortcut


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_convolution_is_a_correlation_that_keeps_the_length(size):
    layer = layers.Conv1d(2, 3, kernel=size, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(2, 7, 2)).astype(np.float32)
    y = layer(jnp.asarray(x), True)
    kernel = np.asarray(layer.kernel[...])
    for n in range(2):
        for out in range(3):
            each = [np.correlate(x[n, :, c], kernel[:, c, out], "same") for c in (0, 1)]
            expected = sum(each) + np.asarray(layer.bias[...])[out]
            np.testing.assert_allclose(y[n, :, out], expected, rtol=1e-5, atol=1e-6)


def test_tflib_draws_a_convolution_by_its_taps():
    layer = layers.Conv1d(20, 60, kernel=5, init="he", rngs=nnx.Rngs(0))
    kernel, limit = np.asarray(layer.kernel[...]), np.sqrt(12 / (5 * 20 + 5 * 60))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.02)
    assert not np.asarray(layer.bias[...]).any()


def test_a_block_adds_three_tenths_of_its_result():
    model = dataclasses.replace(CONFIG.model, features=2, critic_widths=(1,))
    network = build_network(
        lambda rngs: critic(model, (4, 3), rngs)[1:2], (4, 2), "float32"
    )
    params, stats = network.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, 4, 2))
    y = network.apply(params, stats, x, True)[0] - x
    # The last bias of the block passes the factor alone.
    last = params["layers"][0]["main"][3]
    last["bias"] = last["bias"] + 1
    changed = network.apply(params, stats, x, True)[0] - x
    np.testing.assert_allclose(changed - y, 0.3 * np.ones((1, 4, 2)), rtol=1e-5)


def test_a_sample_has_shares_of_each_character():
    y = layers.activation("softmax")(jax.random.normal(jax.random.key(0), (2, 3, 5)), 0)
    np.testing.assert_allclose(y.sum(-1), np.ones((2, 3)), rtol=1e-6)
    assert (np.asarray(y) > 0).all()
