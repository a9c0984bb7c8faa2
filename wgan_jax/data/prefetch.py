"""Prefetching of a stream: one block of batches is trained on, the next one loads."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.data.stream import Stream, read_batches
from wgan_jax.distributed.sharding import BatchSharding


@dataclasses.dataclass(frozen=True)
class _Block:
    """Batches of whole steps on the device."""

    batches: Any
    first: Any
    """Number of the first batch, int32."""
    end: int
    """First step whose batches are not in the block."""


class Prefetcher:
    """Context manager that trains on a stream and reads batches ahead of it."""

    def __init__(
        self,
        stream: Stream,
        sharding: BatchSharding,
        key,
        step: int,
        before: Callable[[int], int],
        process: tuple[int, int] = (0, 1),
    ):
        """Starts to read the batches of `step`.

        key, process: see `read_batches`. before(step) -> number of the step's first
        batch.
        """
        self.wait_seconds = 0.0
        """Upper bound of the seconds that the device had no batch to compute on."""
        self._before = before
        self._sharding = sharding
        self._step = step
        self._length = stream.block_length
        self._last = stream.config.run.steps
        batches = range(before(step), before(self._last))
        self._batches = read_batches(stream, key, batches, process)
        self._closing = False
        self._block: _Block | None = None
        # A metric of the last call on this block, and on the previous block.
        self._running = None
        self._previous = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "prefetcher")
        self._next = self._thread.submit(self._fetch, step)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closing = True
        self._thread.shutdown(cancel_futures=True)
        self._batches.close()

    def advance(self, chunk, state, count):
        """Calls chunk(state, samples, count) on as many blocks as `count` steps need.

        Returns (state, mean metrics), as one call with all samples would.
        """
        parts = []
        count = int(count)
        while count:
            block = self._block
            if block is None or block.end == self._step:
                block = self._next_block()
            taken = min(count, block.end - self._step)
            samples = block.batches, block.first
            state, metrics = chunk(state, samples, jnp.int32(taken))
            self._running = jax.tree.leaves(metrics)[0]
            self._step += taken
            count -= taken
            parts.append((taken, metrics))
        return state, _mean(parts)

    def _next_block(self) -> _Block:
        """Waits for the next block and starts to fetch the one after it."""
        # A stream faster than the device would fill the device's memory with blocks.
        jax.block_until_ready(self._previous)
        # The device may still compute on the block; this drops the host's reference.
        self._block = None
        self._previous = self._running
        start = time.perf_counter()
        block = self._next.result()
        if self._running is None or self._running.is_ready():
            self.wait_seconds += time.perf_counter() - start
        if block.end < self._last:
            self._next = self._thread.submit(self._fetch, block.end)
        self._block = block
        return block

    def _fetch(self, step):
        """Reads the block that begins with `step` and sends it to the device."""
        first, end = self._before(step), step + 1
        while end < self._last and self._before(end + 1) - first <= self._length:
            end += 1
        block = None
        for i in range(self._before(end) - first):
            if self._closing:
                raise concurrent.futures.CancelledError
            batch = next(self._batches)
            if block is None:
                block = jax.tree.map(self._empty, batch)
            jax.tree.map(lambda rows, row, i=i: rows.__setitem__(i, row), block, batch)
        return _Block(self._sharding.put_block(block), jnp.int32(first), end)

    def _empty(self, batch):
        # Rows after the last whole step stay unfilled and are never read.
        return np.empty((self._length, *batch.shape), batch.dtype)


def _mean(parts):
    """Mean of the metrics over all steps, from (steps, mean metrics) of parts."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(count for count, _ in parts)
    weights = [count / total for count, _ in parts]
    every = [metrics for _, metrics in parts]
    return jax.tree.map(
        lambda *values: sum(w * v for w, v in zip(weights, values, strict=True)), *every
    )
