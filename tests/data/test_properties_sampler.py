"""The order of images, for any number of images and any size of batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgan_jax.config import Data
from wgan_jax.data import shuffle
from wgan_jax.data.batches import epoch_rounds, make_get_batch, permute
from wgan_jax.data.readers import BatchSource, Samples

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.one_of(st.integers(1, 50), st.integers(1, 5000))


def rounds(seed):
    bits = np.random.default_rng(seed).integers(0, 2**32, (2, shuffle.ROUNDS))
    return bits.astype(np.uint32)


@settings(max_examples=200)
@given(COUNTS, SEEDS)
def test_the_shuffle_is_a_permutation(count, seed):
    which = shuffle.shuffled_index(np.arange(count), count, *rounds(seed))
    np.testing.assert_array_equal(np.sort(which), np.arange(count))


@given(st.integers(0, 2**31 - 2), SEEDS)
def test_the_shuffle_of_a_huge_set_stays_within_it(last, seed):
    position = np.unique([0, last // 2, last])
    which = shuffle.shuffled_index(position, last + 1, *rounds(seed))
    assert len(np.unique(which)) == len(position)
    assert which.min() >= 0
    assert which.max() <= last


class Numbers:
    """A reader whose sample is its number."""

    def read(self, numbers):
        return Samples(np.asarray(numbers, np.uint32))


@settings(max_examples=50)
@given(st.data())
def test_an_epoch_has_each_image_at_most_once_and_epochs_differ(data):
    count = data.draw(COUNTS)
    size = data.draw(st.integers(1, count))
    per_epoch = count // size
    orders = np.stack([rounds(data.draw(SEEDS)) for _ in range(2)])
    batches, numbers = range(2 * per_epoch), np.arange(count)
    source = BatchSource(Numbers(), numbers, batches, size, orders, False, (0, 1))
    epochs = np.concatenate([source[i] for i in batches]).reshape(2, -1)
    for epoch in epochs:
        assert len(np.unique(epoch)) == per_epoch * size > count - size
        assert epoch.max() < count
    # Of 20 images, two orders are equal with probability 1 / 20!.
    same = np.array_equal(*orders)
    assert per_epoch * size < 20 or same == np.array_equal(*epochs)


@settings(max_examples=3)
@given(st.data())
def test_images_in_memory_come_in_the_order_of_a_stream(data):
    count = data.draw(st.integers(1, 256))
    size = data.draw(st.integers(1, count))
    first = data.draw(st.integers(0, 3 * (count // size)))
    key, numbers = jax.random.key(data.draw(SEEDS)), np.arange(count)
    batches = range(first, first + 5)
    epochs = range(first // (count // size), batches[-1] // (count // size) + 1)
    source = BatchSource(
        Numbers(), numbers, batches, size, epoch_rounds(key, epochs), False, (0, 1)
    )
    get_batch = make_get_batch(Data(batch_size=size, scale="unit"), count)
    images = jnp.asarray(numbers, jnp.uint8)[:, None, None, None]
    every = jax.jit(jax.vmap(lambda i: get_batch(images, key, i)))
    drawn = np.rint(255 * np.asarray(every(jnp.asarray(batches)))).reshape(5, size)
    np.testing.assert_array_equal(drawn, [source[i] for i in range(5)])


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_both_arithmetics_give_the_same_order(count):
    key = jax.random.key(count)
    # `epoch_rounds` splits the key and folds in the epoch.
    folded = jax.random.fold_in(jax.random.split(key)[0], 3)
    ours = permute(np.arange(count), count, folded)
    (one,) = epoch_rounds(key, range(3, 4))
    theirs = shuffle.shuffled_index(np.arange(count), count, *one)
    np.testing.assert_array_equal(ours, theirs)
