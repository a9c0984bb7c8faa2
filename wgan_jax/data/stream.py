"""Training images read while they are needed; the only file that imports grain.

Batches are those of images in memory, for which are in one is a function of (key,
number): a stream has no position but a number to begin at.
"""

import dataclasses
import importlib.util
import itertools
import math
import os
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.progress import track

from wgan_jax.config import Config
from wgan_jax.data import readers, worker
from wgan_jax.data.batches import epoch_rounds
from wgan_jax.data.dataset import Dataset, load_dataset, split_heldout
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding, memory_limit
from wgan_jax.errors import UserError
from wgan_jax.validation import STREAMED, check_stream

# Bytes of a block (see `prefetch.py`): far more than a transfer's own cost, far less
# than any memory.
BLOCK_BYTES = 64 * 2**20
# Bytes that all workers together have ready, about.
AHEAD_BYTES = 16 * 2**20
# Held-out images read at once.
SLICE = 256


@dataclasses.dataclass(frozen=True)
class Stream:
    """What to read training images from."""

    config: Config
    reader: Any
    """Of `readers`; knows more images than are trained on."""
    numbers: np.ndarray
    """What the training images are called there: uint32 [count]."""
    why: str
    """What asked for streaming, in words."""

    @property
    def labelled(self) -> bool:
        """Whether batches come with their labels."""
        return bool(self.config.model.classes)

    @property
    def block_length(self) -> int:
        """Batches in a block: those of a chunk, if these are not too many bytes."""
        described, objective = self.config.data, self.config.objective
        longest = max(objective.n_critic, 100 if objective.warmup else 0)
        batch_bytes = described.batch_size * math.prod(described.sample_shape)
        chunk = self.config.run.chunk * objective.n_critic
        return max(longest, min(chunk, BLOCK_BYTES // batch_bytes))

    def __str__(self):
        described = self.config.data
        workers = worker_count(described.workers)
        size = _bytes(_size(len(self.numbers), described))
        return (
            f"streaming {len(self.numbers):,} images ({size}) with {workers} "
            f"worker{'s' * (workers != 1)}: {self.why}"
        )

    def blank_block(self, sharding: BatchSharding, process=(0, 1)):
        """(block, first) of zeros, of the shapes of every block."""
        described = self.config.data
        shape = self.block_length, described.batch_size // process[1]
        block = np.zeros((*shape, *described.sample_shape), np.uint8)
        if self.labelled:
            block = block, np.zeros(shape, np.int32)
        return sharding.put_block(block), jnp.int32(0)

    def first(self, count: int):
        """The first training images, as `Dataset.train` or with labels the pair."""
        part = self.reader.read(self.numbers[:count])
        return (part.samples, part.labels) if self.labelled else part.samples


# ------------------------------------------------------------------------------- choice


def load(config: Config, sharding: BatchSharding = ONE_DEVICE) -> Dataset:
    """`data.load`, or what it would give read while it is needed; see data.stream."""
    limit = processes.allreduce_min(memory_limit() or math.inf) * sharding.parts
    return open_dataset(config, limit) or load_dataset(config.data)


def open_dataset(config: Config, limit: float) -> Dataset | None:
    """The samples of a configuration that is to be streamed; None for any other.

    limit: bytes of memory for images that stay in it. Raises UserError where there are
    no images, or streaming them is impossible.
    """
    described = config.data
    if described.stream == "never" or described.source not in STREAMED:
        return None
    reader = _reader(described, described.split, "data.split")
    size, why = _size(len(reader), described), f"data.stream={described.stream}"
    if described.stream == "auto":
        if 2 * size <= limit:
            return None
        why = f"more than half of {_bytes(limit)} of memory"
        check_stream(
            config,
            f"streaming, which {_bytes(size)} of images need with {_bytes(limit)} of "
            "memory",
        )
    if importlib.util.find_spec("grain") is None:
        raise UserError(
            f"streaming {_bytes(size)} of images ({why}) needs Grain: pip install "
            "'wgan-jax[stream]', or take data.stream=never"
        )
    test = None
    if described.source == "tfds" and described.test_split:
        test = _reader(described, described.test_split, "data.test_split")
    kept, held = split_heldout(described, len(reader), test and len(test))
    numbers = np.arange(len(reader), dtype=np.uint32)[kept]
    _check_labels(config, reader)
    heldout = _read_all(test or reader, held)
    return Dataset(
        readers.LazyImages(reader, numbers),
        heldout.samples,
        heldout_labels=heldout.labels,
        stream=Stream(config, reader, numbers, why),
    )


def _reader(described, split, field):
    if described.source == "tfds":
        return readers.TfdsImages(described, split, field)
    kinds = {"folder": readers.ImageFolder, "array_record": readers.ArrayRecordImages}
    return kinds[described.source](described)


def _check_labels(config, reader):
    classes = config.model.classes
    if classes and not reader.labelled:
        raise UserError(
            f"model.classes={classes} needs labels, which data.source="
            f"{config.data.source} does not have here: take model.classes=0"
        )
    if classes and reader.classes > classes:
        raise UserError(
            f"model.classes={classes} is too few for the labels, which go up to "
            f"{reader.classes - 1}: take model.classes={reader.classes}"
        )


def _read_all(reader, numbers):
    places = range(0, len(numbers), SLICE)
    slices = track(places, "held-out images", transient=True, disable=len(places) < 5)
    parts = [reader.read(numbers[i : i + SLICE]) for i in slices]
    if not parts:
        return reader.read(numbers)
    labels = None
    if parts[0].labels is not None:
        labels = np.concatenate([part.labels for part in parts])
    return readers.Samples(np.concatenate([part.samples for part in parts]), labels)


def worker_count(asked: int) -> int:
    """data.workers, or for -1 one for each core but one, from 1 to 16."""
    if asked >= 0:
        return asked
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(max(cores - 1, 1), 16)


def _size(count, described):
    return count * math.prod(described.sample_shape)


def _bytes(count):
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{count / unit:.3g} {name}"


# ----------------------------------------------------------------------------- batches


def read_batches(stream: Stream, key, batches: range, process=(0, 1)):
    """The raw batches of these numbers, one after another, by Grain.

    key: of the data, as `Spec.draw` has it; process: (index, count) of this process,
    whose rows of each batch are given. uint8 [rows, height, width, channels], or with
    labels a pair. Workers begin at the first batch and end when this is closed.
    """
    import grain
    from absl import flags

    # Grain asks for options of absl's command lines, which these commands do not have.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    described = stream.config.data
    per_epoch = len(stream.numbers) // described.batch_size
    last = batches[-1] // per_epoch if batches else 0
    rounds = epoch_rounds(key, range(batches.start // per_epoch, last + 1))
    source = readers.BatchSource(
        stream.reader,
        stream.numbers,
        batches,
        described.batch_size,
        rounds,
        stream.labelled,
        process,
    )
    workers = min(worker_count(described.workers), len(batches))
    # A core decodes in each worker, and without workers a thread reads ahead.
    threads = grain.ReadOptions(
        num_threads=0 if workers else 2, prefetch_buffer_size=0 if workers else 8
    )
    elements = grain.MapDataset.source(source).to_iter_dataset(threads)
    if workers:
        # Through pipes: as fast, and memory that processes share is scarce in
        # containers and outlives a process that is killed.
        options = grain.experimental.DatasetOptions(min_shm_size=2**62)
        elements = grain.experimental.WithOptionsIterDataset(elements, options)
        ahead = AHEAD_BYTES // (workers * _size(described.batch_size, described))
        options = grain.MultiprocessingOptions(
            num_workers=workers, per_worker_buffer_size=min(max(ahead, 1), 8)
        )
        elements = elements.mp_prefetch(options, worker_init_fn=worker.begin)
    iterator = iter(elements)
    try:
        with worker.in_place_of_main():
            # By the time that each has given a batch, each has begun.
            begun = list(itertools.islice(iterator, workers))
        yield from begun
        yield from iterator
    except RuntimeError as error:
        if "terminated unexpectedly" not in str(error):
            raise
        raise UserError(
            "a process that reads the stream was ended from outside, most often for "
            "want of memory: take fewer with --data.workers"
        ) from error
    finally:
        iterator.close()
