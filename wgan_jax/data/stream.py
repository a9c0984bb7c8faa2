"""Training images that are read while they are needed; the only file that uses Grain.

The batches equal those of images in memory, because the images of a batch are a
function of (key, number). A stream has no position, only a first batch.
"""

import dataclasses
import itertools
import math
import os

import jax.numpy as jnp
import numpy as np

from wgan_jax.config import Config, Data
from wgan_jax.data import worker
from wgan_jax.data.batches import epoch_rounds
from wgan_jax.data.readers import BatchSource, Reader
from wgan_jax.distributed.sharding import BatchSharding, format_bytes
from wgan_jax.errors import UserError

# Bytes of a block (see `prefetch.py`): far above the fixed cost of a transfer, far
# below the memory of any device.
BLOCK_BYTES = 64 * 2**20
# Bytes that all workers together read ahead, about.
AHEAD_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Stream:
    """Training images on disk."""

    config: Config
    reader: Reader
    """Has also the images that are held out."""
    numbers: np.ndarray
    """The reader's numbers of the training images, uint32 [count]."""
    reason: str
    """The setting or condition that asked for streaming."""
    labels: tuple[int, ...]
    """The reader's label of each class; empty reads images alone."""

    @property
    def block_length(self) -> int:
        """Batches in a block: those of a chunk, or as many as BLOCK_BYTES hold."""
        data, objective = self.config.data, self.config.objective
        longest = max(objective.n_critic, 100 if objective.warmup else 0)
        chunk = self.config.run.chunk * objective.n_critic
        batch_bytes = image_bytes(data.batch_size, data)
        return max(longest, min(chunk, BLOCK_BYTES // batch_bytes))

    def __str__(self):
        data = self.config.data
        workers = worker_count(data.workers)
        size = format_bytes(image_bytes(len(self.numbers), data))
        return (
            f"streaming {len(self.numbers):,} images ({size}) with {workers} "
            f"worker{'s' * (workers != 1)}: {self.reason}"
        )

    def blank_block(self, sharding: BatchSharding, process=(0, 1)):
        """(block, first) of zeros, of the shapes of every block."""
        data = self.config.data
        shape = self.block_length, data.batch_size // process[1]
        block = np.zeros((*shape, *data.sample_shape), np.uint8)
        if self.labels:
            block = block, np.zeros(shape, np.int32)
        return sharding.put_block(block), jnp.int32(0)

    def first(self, count: int):
        """The first training images, as `Dataset.train` or as a pair with classes."""
        part = self.reader.read(self.numbers[:count])
        return part.with_classes(self.labels)


def worker_count(requested: int) -> int:
    """data.workers, or for -1 one for each core but one, from 1 to 16."""
    if requested >= 0:
        return requested
    return min(max(usable_cores() - 1, 1), 16)


def usable_cores() -> int:
    """Number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def image_bytes(count: int, data: Data) -> int:
    """Bytes of `count` decoded images."""
    return count * math.prod(data.sample_shape)


def read_batches(stream: Stream, key, batches: range, process=(0, 1)):
    """Yields the raw batches of these numbers in order, read by Grain.

    key: of the data order, as `Spec.get_batch` takes it. process: (index, count); only
    its rows of each batch are read. A batch is uint8 [rows, height, width, channels],
    or a pair with labels. Workers start with the first batch and end with the
    generator.
    """
    import grain
    from absl import flags

    # Grain reads absl's command-line flags, which these commands do not have.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    data = stream.config.data
    per_epoch = len(stream.numbers) // data.batch_size
    last = batches[-1] // per_epoch if batches else 0
    rounds = epoch_rounds(key, range(batches.start // per_epoch, last + 1))
    source = BatchSource(
        stream.reader,
        stream.numbers,
        batches,
        data.batch_size,
        rounds,
        stream.labels,
        process,
    )
    workers = min(worker_count(data.workers), len(batches))
    # Each worker decodes on its core. Without workers, threads read ahead.
    threads = grain.ReadOptions(
        num_threads=0 if workers else 2, prefetch_buffer_size=0 if workers else 8
    )
    elements = grain.MapDataset.source(source).to_iter_dataset(threads)
    if workers:
        # Pipes are as fast as shared memory, which is scarce in containers and outlives
        # a killed process.
        options = grain.experimental.DatasetOptions(min_shm_size=2**62)
        elements = grain.experimental.WithOptionsIterDataset(elements, options)
        ahead = AHEAD_BYTES // (workers * image_bytes(data.batch_size, data))
        options = grain.MultiprocessingOptions(
            num_workers=workers, per_worker_buffer_size=min(max(ahead, 1), 8)
        )
        elements = elements.mp_prefetch(options, worker_init_fn=worker.begin)
    iterator = iter(elements)
    try:
        with worker.in_place_of_main():
            # Each worker has started once it has given a batch.
            first = list(itertools.islice(iterator, workers))
        yield from first
        yield from iterator
    except RuntimeError as error:
        if "terminated unexpectedly" not in str(error):
            raise
        raise UserError(
            "a process that reads the stream was killed, most often for lack of memory:"
            " take fewer with --data.workers"
        ) from error
    finally:
        iterator.close()
