"""Real samples: what is trained on, what is held out, and how batches are drawn.

Images lie in one uint8 array that stays on the device. Batches are a function of
(key, index), so that a resumed run needs no position in the data: an epoch is a keyed
bijection of the image numbers, computed where it is used.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import order, sources
from wgan_jax.config import Data, UserError


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Samples in memory."""

    train: np.ndarray
    """uint8 [n, height, width, channels] or float32 vectors [n, d]; empty for a toy,
    which is drawn endlessly."""
    heldout: np.ndarray
    """Samples never trained on: like train, or float32 [n, 2] for a toy."""
    train_labels: np.ndarray | None = None
    """int32 [n], where the source has labels."""
    heldout_labels: np.ndarray | None = None
    stream: Any = None
    """`stream.Stream` where train is read while it is needed, by slices of it."""


def load(data: Data, report: Callable[[str], None] = print) -> Dataset:
    """The samples that `data` describes; `report` is told of what takes long or fails.

    Raises UserError where they are missing, unreadable, or fewer than a batch.
    """
    if data.is_toy:
        points = toy_sample(data.source, jax.random.key(0), data.heldout)
        return Dataset(train=np.zeros((0, 2), np.uint8), heldout=np.asarray(points))
    train, test = sources.LOADERS[data.source](data, report)
    train, test = _of_classes(train, data), test and _of_classes(test, data)
    kept, held = split(data, len(train.samples), test and len(test.samples))
    test, train = (test or train).rows(held), train.rows(kept)
    return Dataset(train.samples, test.samples, train.labels, test.labels)


def split(data: Data, count: int, test_count: int | None):
    """Which of `count` samples are trained on, and which held out, as indices.

    The latter are of the test part if there is one, of test_count. Raises UserError
    where fewer than a batch are left to train on.
    """
    # Fixed, so that runs with different seeds hold back the same images.
    chance = np.random.default_rng(0)
    if test_count is None:
        shuffled = chance.permutation(count)
        count = max(count - data.heldout, 0)
        kept, held = shuffled[:count], shuffled[count:]
    else:
        kept, held = slice(None), chance.permutation(test_count)[: data.heldout]
    if count < data.batch_size:
        what = "vectors" if data.is_points else "images"
        raise UserError(
            f"data.batch_size={data.batch_size} is larger than the {count} {what} "
            f"left to train on beside data.heldout={data.heldout}: lower one of them"
        )
    return kept, held


def _of_classes(part, data):
    if not data.classes:
        return part
    if part.labels is None:
        raise UserError(
            f"data.classes={data.classes} needs labels, which data.source={data.source}"
            " does not have here: leave data.classes empty"
        )
    missing = sorted(set(data.classes) - set(part.labels.tolist()))
    if missing:
        raise UserError(
            f"data.classes={data.classes} has {missing[0]}, a label that no image has: "
            f"the labels go from {part.labels.min()} to {part.labels.max()}"
        )
    return part.rows(np.isin(part.labels, data.classes))


# ------------------------------------------------------------------------------ batches


def make_draw(data: Data, count: int, labelled: bool = False) -> Callable:
    """draw(samples, key, index) -> the batch number `index`, float32 [batch, ...].

    samples: `Dataset.train` [count, ...]. Each epoch of count // batch_size batches
    visits a sample at most once, in a new order; the remainder of an epoch is left out.
    labelled: samples are a pair with `Dataset.train_labels`, and so is each batch.
    """
    if data.is_toy:

        def draw_points(samples, key, index):
            key = jax.random.fold_in(key, index)
            return toy_sample(data.source, key, data.batch_size)

        return draw_points

    batches = count // data.batch_size

    def draw(samples, key, index):
        key_order, key_noise = jax.random.split(key)
        position = index % batches * data.batch_size + jnp.arange(data.batch_size)
        key_order = jax.random.fold_in(key_order, index // batches)
        which = permute(position, count, key_order)
        batch = jax.tree.map(lambda array: array[which], samples)
        return _finish(batch, data, key_noise, index, labelled)

    return draw


def make_window_draw(data: Data, labelled: bool = False) -> Callable:
    """As `make_draw`, from batches that the host has drawn already.

    samples: (window, first), the raw batches from number `first` on: [n, batch, ...] or
    with labels a pair. `epoch_rounds` and `order.place` tell the host which they are.
    """

    def draw(samples, key, index):
        window, first = samples
        _, key_noise = jax.random.split(key)
        batch = jax.tree.map(lambda array: array[index - first], window)
        return _finish(batch, data, key_noise, index, labelled)

    return draw


def _finish(batch, data, key_noise, index, labelled):
    """What a raw batch becomes on the device; its chance is that of its number."""
    pixels, labels = batch if labelled else (batch, None)
    key_noise = jax.random.fold_in(key_noise, index)
    if data.flip:
        key_noise, key_flip = jax.random.split(key_noise)
        flipped = jax.random.bernoulli(key_flip, shape=(len(pixels), 1, 1, 1))
        pixels = jnp.where(flipped, pixels[:, :, ::-1], pixels)
    real = to_float(pixels, data, key_noise)
    return (real, labels) if labelled else real


def epoch_rounds(key, epochs: range) -> np.ndarray:
    """What draws the order of each epoch: `order.place`'s uint32 [epochs, 2, ROUNDS].

    key: that of `make_draw`.
    """
    key_order, _ = jax.random.split(key)

    def one(epoch):
        return _rounds(jax.random.fold_in(key_order, epoch))

    return np.asarray(jax.lax.map(one, jnp.asarray(epochs, jnp.int32)))


def permute(position, count: int, key):
    """Where `position` (integers in [0, count)) goes in a permutation drawn by `key`.

    See `order.place`.
    """
    return order.place(position, count, *_rounds(key))


def _rounds(key):
    return jax.random.bits(key, (2, order.ROUNDS), jnp.uint32)


def to_float(images, data: Data, key):
    """uint8 images to float32 in the range of data.scale; points pass through.

    With data.dequantize, (x + u) / 256 for u ~ U[0, 1) by `key` replaces x / 255.
    """
    if data.is_points:
        return images
    x = images.astype(jnp.float32)
    noise = jax.random.uniform(key, x.shape) if data.dequantize else 0.0
    x = (x + noise) / (256 if data.dequantize else 255)
    return 2 * x - 1 if data.scale == "symmetric" else x


def toy_sample(name: str, key, count: int):
    """Points [count, 2] of a toy distribution, constants as in WGAN-GP's gan_toy.py."""
    key_place, key_noise = jax.random.split(key)
    noise = jax.random.normal(key_noise, (count, 2))
    if name == "8gaussians":
        # Radius 2, deviation 0.02, then all divided by 1.414.
        angle = jnp.pi / 4 * jax.random.randint(key_place, (count,), 0, 8)
        centre = 2 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)
        return (centre + 0.02 * noise) / 1.414
    if name == "25gaussians":
        # A 5 x 5 lattice of spacing 2, deviation 0.05, then all divided by 2.828.
        centre = 2.0 * jax.random.randint(key_place, (count, 2), -2, 3)
        return (centre + 0.05 * noise) / 2.828
    # scikit-learn's make_swiss_roll(noise=0.25), axes 0 and 2, divided by 7.5.
    t = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(key_place, (count,)))
    roll = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], 1)
    return (roll + 0.25 * noise) / 7.5
