"""Real samples: training part, held-out part, in memory or streamed.

Images in memory are one uint8 array that stays on the device. Batches are a function of
(key, number), see `batches`.
"""

import dataclasses
import importlib.util
import math
from collections import Counter

import jax
import numpy as np

from wgan_jax.config import Config, Data
from wgan_jax.data.content import digests
from wgan_jax.data.memory import load_parts, load_samples, print_remarks, read_all
from wgan_jax.data.readers import LazyImages, Samples
from wgan_jax.data.record import NO_DATA, DataRecord, standardise
from wgan_jax.data.sources import check_stream, open_reader, reader_class
from wgan_jax.data.sources.vectors import check_columns
from wgan_jax.data.split import split
from wgan_jax.data.stream import Stream, image_bytes
from wgan_jax.data.text import encode, make_vocabulary
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
    """uint8 [n, height, width, channels], float32 vectors [n, d], or numbers of
    characters [n, length]; empty for a toy, which is drawn endlessly."""
    heldout: np.ndarray
    """Samples never trained on: like train, or float32 [n, 2] for a toy."""
    train_labels: np.ndarray | None = None
    """int32 [n], classes 0 to k - 1, where the source has labels."""
    heldout_labels: np.ndarray | None = None
    """int32 [n], where training has all of their labels."""
    stream: Stream | None = None
    """Where train is read while it is needed."""
    record: DataRecord = NO_DATA
    label_problem: str = ""
    """Reason why labels of the source cannot be used."""


def load(
    config: Config,
    sharding: BatchSharding = ONE_DEVICE,
    limit: float | None = None,
    record: DataRecord = NO_DATA,
) -> Dataset:
    """The samples of a configuration, in memory or streamed as data.stream decides.

    limit: bytes of memory for images; None takes those of the device or devices.
    record: of the run so far, whose labels and scales are used again. Raises UserError
    where samples are missing, unreadable or fewer than a batch, where labels do not fit
    model.classes, and where streaming is needed but impossible.
    """
    dataset = _open_stream(config, sharding, limit, record)
    dataset = dataset or load_in_memory(config.data, record)
    _check_labels(config, dataset)
    return dataset


def load_in_memory(data: Data, record: DataRecord = NO_DATA) -> Dataset:
    """The samples of a data section, in memory whatever data.stream says.

    record: see `load`. Raises UserError where samples are missing, unreadable or fewer
    than a batch.
    """
    if data.is_toy:
        points = toy_sample(data.source, jax.random.key(0), data.heldout)
        return Dataset(train=np.zeros((0, 2), np.uint8), heldout=np.asarray(points))
    part, test = load_parts(data)
    part, test = _of_classes(part, data), test and _of_classes(test, data)
    divided = split(data, _hashed(part), test and _hashed(test), record.labels)
    train = part.samples[divided.train]
    heldout = (test or part).samples[divided.heldout]
    known = {name: getattr(record, name) for name in ("mean", "std", "vocabulary")}
    record = dataclasses.replace(divided.record, **known)
    if data.is_text:
        codes = (
            part.samples
            if test is None
            else np.concatenate([part.samples, test.samples])
        )
        vocabulary = record.vocabulary or make_vocabulary(
            codes, data.vocabulary, f"data.dir={data.dir}"
        )
        record = dataclasses.replace(record, vocabulary=vocabulary)
        train, heldout = (encode(codes, vocabulary) for codes in (train, heldout))
    if data.is_points:
        check_columns(train, f"the training part of data.source={data.source}")
        if data.standardise and not record.scales:
            mean, std = train.mean(0).tolist(), train.std(0).tolist()
            record = dataclasses.replace(record, mean=tuple(mean), std=tuple(std))
        train = standardise(train, record.scales).astype(np.float32)
        heldout = standardise(heldout, record.scales).astype(np.float32)
    return Dataset(
        train,
        heldout,
        divided.train_labels,
        divided.heldout_labels,
        record=record,
        label_problem=divided.problem,
    )


def _open_stream(config, sharding, limit, record):
    """The dataset of a configuration that is to be streamed; None for any other."""
    data = config.data
    source = reader_class(data)
    if data.stream == "never" or not (source and source.can_stream(data)):
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
    hashes = load_samples(reader, hashed=True)
    test_hashes = load_samples(test, hashed=True) if test else None
    divided = split(data, hashes, test_hashes, record.labels)
    numbers = np.arange(len(reader), dtype=np.uint32)[divided.train]
    heldout, errors = read_all(test or reader, divided.heldout, "held-out images")
    if errors:
        raise errors[0]
    # The other remarks are those of the hashes.
    brightest = heldout.samples.max(initial=0)
    print_remarks([], Counter(), len(heldout.samples), brightest)
    labels = divided.record.labels if config.model.classes else ()
    return Dataset(
        LazyImages(reader, numbers),
        heldout.samples,
        divided.train_labels,
        divided.heldout_labels,
        Stream(config, reader, numbers, reason, labels),
        divided.record,
        divided.problem,
    )


def _hashed(part):
    return dataclasses.replace(part, samples=digests(part.samples))


def _of_classes(part: Samples, data):
    if not data.classes:
        return part
    if part.labels is None:
        raise UserError(
            f"data.classes={data.classes} needs labels, and "
            f"{part.problem or _no_labels(data)}: leave data.classes empty"
        )
    missing = sorted(set(data.classes) - set(part.labels.tolist()))
    if missing:
        raise UserError(
            f"data.classes={data.classes} has {missing[0]}, a label that no image has: "
            f"the labels go from {part.labels.min()} to {part.labels.max()}"
        )
    return part.rows(np.isin(part.labels, data.classes))


def _check_labels(config, dataset):
    classes, count = config.model.classes, len(dataset.record.labels)
    if not classes:
        return
    if dataset.label_problem or not count:
        raise UserError(
            f"model.classes={classes} needs labels, and "
            f"{dataset.label_problem or _no_labels(config.data)}: take model.classes=0"
        )
    if count != classes:
        few = "few" if classes < count else "many"
        raise UserError(
            f"model.classes={classes} is too {few}: the training images have {count} "
            f"different labels; take model.classes={count}"
        )


def _no_labels(data):
    return f"data.source={data.source} has none here"
