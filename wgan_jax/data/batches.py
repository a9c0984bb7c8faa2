"""Batches as a function of (key, number), so that a resumed run needs no position.

An epoch is a keyed permutation of the images, computed where it is used.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, UInt32

from wgan_jax.config import Data
from wgan_jax.data import shuffle
from wgan_jax.data.toys import toy_sample


def make_get_batch(data: Data, count: int, labelled: bool = False) -> Callable:
    """get_batch(samples, key, index) -> batch number `index`, float32 [batch, ...].

    samples: `Dataset.train` [count, ...]. Each epoch of count // batch_size batches
    visits a sample at most once, in a new order; the remainder of an epoch is left out.
    labelled: samples are a pair with `Dataset.train_labels`, and so is each batch.
    """
    if data.is_toy:

        def get_points(samples, key, index):
            key = jax.random.fold_in(key, index)
            return toy_sample(data.source, key, data.batch_size)

        return get_points

    batches = count // data.batch_size

    def get_batch(samples, key, index):
        key_order, key_noise = jax.random.split(key)
        position = index % batches * data.batch_size + jnp.arange(data.batch_size)
        key_order = jax.random.fold_in(key_order, index // batches)
        which = permute(position, count, key_order)
        batch = jax.tree.map(lambda array: array[which], samples)
        return _finish(batch, data, key_noise, index, labelled)

    return get_batch


def make_get_block_batch(data: Data, labelled: bool = False) -> Callable:
    """As `make_get_batch`, from batches that the host has read.

    samples: (block, first), the raw batches from number `first` on: [n, batch, ...] or
    with labels a pair. `epoch_rounds` and `shuffle.shuffled_index` determine them.
    """

    def get_batch(samples, key, index):
        block, first = samples
        _, key_noise = jax.random.split(key)
        batch = jax.tree.map(lambda array: array[index - first], block)
        return _finish(batch, data, key_noise, index, labelled)

    return get_batch


def _finish(batch, data, key_noise, index, labelled):
    """A raw batch as floats, flipped; its randomness depends on its number alone."""
    pixels, labels = batch if labelled else (batch, None)
    key_noise = jax.random.fold_in(key_noise, index)
    if data.flip:
        key_noise, key_flip = jax.random.split(key_noise)
        flipped = jax.random.bernoulli(key_flip, shape=(len(pixels), 1, 1, 1))
        pixels = jnp.where(flipped, pixels[:, :, ::-1], pixels)
    real = to_float(pixels, data, key_noise)
    return (real, labels) if labelled else real


def epoch_rounds(key: chex.PRNGKey, epochs: range) -> UInt32[np.ndarray, "n 2 rounds"]:
    """Pivots and salts of `shuffle.shuffled_index` in each of n epochs.

    key: as `make_get_batch` takes it.
    """
    key_order, _ = jax.random.split(key)

    def one(epoch):
        return _rounds(jax.random.fold_in(key_order, epoch))

    return np.asarray(jax.lax.map(one, jnp.asarray(epochs, jnp.int32)))


def permute(
    position: Int[Array | np.ndarray, "*n"], count, key: chex.PRNGKey
) -> Int[Array, "*n"]:
    """Shuffled index of each `position` in [0, count), by a permutation of `key`.

    See `shuffle.shuffled_index`.
    """
    return shuffle.shuffled_index(jnp.asarray(position), count, *_rounds(key))


def _rounds(key):
    return jax.random.bits(key, (2, shuffle.ROUNDS), jnp.uint32)


def to_float(
    images: Num[Array | np.ndarray, "n *shape"], data: Data, key: chex.PRNGKey | None
) -> Float[Array | np.ndarray, "n *sample_shape"]:
    """Samples of a dataset in the form of the networks, float32 [n, *sample_shape].

    uint8 images have the range of data.scale, points are unchanged, and the characters
    of text are one-hot.

    With data.dequantize, (x + u) / 256 for u ~ U[0, 1) by `key` replaces x / 255.
    key: not used, and may be None, without data.dequantize.
    """
    if data.is_points:
        return images
    if data.is_text:
        return jax.nn.one_hot(images, data.vocabulary)
    x = images.astype(jnp.float32)
    if data.dequantize:
        assert key is not None
        x = (x + jax.random.uniform(key, x.shape)) / 256
    else:
        x = x / 255
    return 2 * x - 1 if data.scale == "symmetric" else x
