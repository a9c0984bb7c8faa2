"""Real samples: what is trained on, what is held out, and how batches are drawn.

Images lie in one uint8 array that stays on the device. Batches are a function of
(key, index), so that a resumed run needs no position in the data: an epoch is a keyed
bijection of the image numbers, computed where it is used.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from wgan_jax.config import Data
from wgan_jax.data import sources
from wgan_jax.data.toys import toy_sample
from wgan_jax.errors import UserError


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


def load_dataset(data: Data, report: Callable[[str], None] = print) -> Dataset:
    """The samples that `data` describes; `report` is told of what takes long or fails.

    Raises UserError where they are missing, unreadable, or fewer than a batch.
    """
    if data.is_toy:
        points = toy_sample(data.source, jax.random.key(0), data.heldout)
        return Dataset(train=np.zeros((0, 2), np.uint8), heldout=np.asarray(points))
    train, test = sources.LOADERS[data.source](data, report)
    train, test = _of_classes(train, data), test and _of_classes(test, data)
    kept, held = split_heldout(data, len(train.samples), test and len(test.samples))
    test, train = (test or train).rows(held), train.rows(kept)
    return Dataset(train.samples, test.samples, train.labels, test.labels)


def split_heldout(data: Data, count: int, test_count: int | None):
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
