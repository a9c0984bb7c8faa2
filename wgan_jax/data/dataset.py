"""Real samples: training part, held-out part, in memory or streamed.

Images in memory are one uint8 array that stays on the device. Batches are a function of
(key, number), see `batches`.
"""

import dataclasses
import importlib.util
import math

import jax
import numpy as np

from wgan_jax.config import Config, Data
from wgan_jax.data.memory import load_parts, print_remarks, read_all
from wgan_jax.data.readers import LazyImages, Samples
from wgan_jax.data.record import DataRecord
from wgan_jax.data.sources import check_stream, open_reader, reader_class
from wgan_jax.data.stream import Stream, image_bytes
from wgan_jax.data.toys import toy_sample
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import (
    ONE_DEVICE,
    BatchSharding,
    format_bytes,
    memory_limit,
)
from wgan_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Samples to train on and samples held out."""

    train: np.ndarray | LazyImages
    """uint8 [n, height, width, channels] or float32 vectors [n, d]; empty for a toy,
    which is drawn endlessly."""
    heldout: np.ndarray
    """Samples never trained on: like train, or float32 [n, 2] for a toy."""
    train_labels: np.ndarray | None = None
    """int32 [n], where the source has labels and is in memory."""
    heldout_labels: np.ndarray | None = None
    stream: Stream | None = None
    """Where train is read while it is needed."""
    record: DataRecord = dataclasses.field(default_factory=DataRecord)


def load(
    config: Config, sharding: BatchSharding = ONE_DEVICE, limit: float | None = None
) -> Dataset:
    """The samples of a configuration, in memory or streamed as data.stream decides.

    limit: bytes of memory for images; None takes those of the device or devices. Raises
    UserError where samples are missing, unreadable or fewer than a batch, where labels
    do not fit model.classes, and where streaming is needed but impossible.
    """
    dataset = _open_stream(config, sharding, limit) or load_in_memory(config.data)
    _check_labels(config, dataset)
    return dataset


def load_in_memory(data: Data) -> Dataset:
    """The samples of a data section, in memory whatever data.stream says.

    Raises UserError where they are missing, unreadable or fewer than a batch.
    """
    if data.is_toy:
        points = toy_sample(data.source, jax.random.key(0), data.heldout)
        return Dataset(train=np.zeros((0, 2), np.uint8), heldout=np.asarray(points))
    train, test = load_parts(data)
    train, test = _of_classes(train, data), test and _of_classes(test, data)
    train_rows, heldout_rows = split_heldout(
        data, len(train.samples), len(test.samples) if test else None
    )
    test = (test or train).rows(heldout_rows)
    train = train.rows(train_rows)
    labels, shares = (), ()
    if train.labels is not None:
        labels, counts = np.unique(train.labels, return_counts=True)
        labels, shares = labels.tolist(), (counts / counts.sum()).tolist()
    record = DataRecord(
        train=len(train.samples),
        heldout=len(test.samples),
        labels=tuple(labels),
        label_shares=tuple(shares),
    )
    return Dataset(
        train.samples, test.samples, train.labels, test.labels, record=record
    )


def _open_stream(config, sharding, limit):
    """The dataset of a configuration that is to be streamed; None for any other."""
    data = config.data
    source = reader_class(data)
    if data.stream == "never" or not (source and source.streamable):
        return None
    reader = open_reader(data)
    size = image_bytes(len(reader), data)
    reason = f"data.stream={data.stream}"
    if data.stream == "auto":
        if limit is None:
            device = processes.allreduce_min(memory_limit() or math.inf)
            limit = device * sharding.parts
        if 2 * size <= limit:
            return None
        reason = f"more than half of {format_bytes(limit)} of memory"
        check_stream(
            config,
            f"streaming, which {format_bytes(size)} of images need with "
            f"{format_bytes(limit)} of memory",
        )
    if importlib.util.find_spec("grain") is None:
        raise UserError(
            f"streaming {format_bytes(size)} of images ({reason}) needs Grain: pip "
            "install 'wgan-jax[stream]', or take data.stream=never"
        )
    test = reader.test_reader()
    train_rows, heldout_rows = split_heldout(
        data, len(reader), len(test) if test else None
    )
    numbers = np.arange(len(reader), dtype=np.uint32)[train_rows]
    heldout, errors = read_all(test or reader, heldout_rows, "held-out images")
    if errors:
        raise errors[0]
    brightest = heldout.samples.max(initial=0)
    print_remarks(reader.remarks, heldout.notes, len(heldout.samples), brightest)
    return Dataset(
        LazyImages(reader, numbers),
        heldout.samples,
        heldout_labels=heldout.labels,
        stream=Stream(config, reader, numbers, reason),
    )


def split_heldout(data: Data, count: int, test_count: int | None):
    """Indices of the samples to train on and of those held out.

    count: samples of the training part. test_count: those of the test part, from which
    samples are then held out; None holds out of the training part. Raises UserError
    where fewer than a batch are left to train on.
    """
    # A fixed seed: runs with different seeds hold out the same images.
    rng = np.random.default_rng(0)
    if test_count is None:
        shuffled = rng.permutation(count)
        count = max(count - data.heldout, 0)
        train, heldout = shuffled[:count], shuffled[count:]
    else:
        train, heldout = slice(None), rng.permutation(test_count)[: data.heldout]
    if count < data.batch_size:
        noun = "vectors" if data.is_points else "images"
        raise UserError(
            f"data.batch_size={data.batch_size} is larger than the {count} {noun} left "
            f"to train on besides data.heldout={data.heldout}: lower one of them"
        )
    return train, heldout


def _of_classes(part: Samples, data):
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


def _check_labels(config, dataset):
    classes = config.model.classes
    if not classes:
        return
    if dataset.stream:
        largest = dataset.stream.reader.classes - 1
    else:
        largest = -1 if dataset.train_labels is None else dataset.train_labels.max()
    if largest < 0:
        raise UserError(
            f"model.classes={classes} needs labels, which data.source="
            f"{config.data.source} does not have here: take model.classes=0"
        )
    if largest >= classes:
        raise UserError(
            f"model.classes={classes} is too few for the labels, which go up to "
            f"{largest}: take model.classes={largest + 1}"
        )
