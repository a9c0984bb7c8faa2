"""A stream's batches on the device: a window of many is trained on, the next comes."""

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
class _Window:
    """Batches on the device, enough for whole steps."""

    batches: Any
    first: Any
    """Number of its first batch, int32."""
    end: int
    """The step that it does not reach any more."""


class Prefetcher:
    """The batches of a run from a step on, read ahead; to be used by `with`."""

    def __init__(
        self,
        stream: Stream,
        sharding: BatchSharding,
        key,
        step: int,
        before: Callable[[int], int],
        process: tuple[int, int] = (0, 1),
    ):
        """key, process: see `read_batches`.

        before(step) -> the number of the step's first batch.
        """
        self.before, self.sharding, self.step = before, sharding, step
        self.length, self.last = stream.window_length, stream.config.run.steps
        batches = range(before(step), before(self.last))
        self.batches = read_batches(stream, key, batches, process)
        self.closing, self.current, self.seconds = False, None, 0.0
        # Of the metrics of the last call on this window, and on the one before.
        self.running, self.earlier = None, None
        self.thread = concurrent.futures.ThreadPoolExecutor(1, "windows")
        self.next = self.thread.submit(self._fetch, step)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing = True
        self.thread.shutdown(cancel_futures=True)
        self.batches.close()

    def waited(self) -> float:
        """Seconds so far that the device had no batch to compute on, at most."""
        return self.seconds

    def advance(self, chunk, state, count):
        """chunk(state, samples, count) over as many windows as `count` steps need.

        Returns (state, mean metrics), as one call with all samples would.
        """
        parts, count = [], int(count)
        while count:
            if self.current is None or self.current.end == self.step:
                self._turn()
            window, taken = self.current, min(count, self.current.end - self.step)
            samples = window.batches, window.first
            state, metrics = chunk(state, samples, jnp.int32(taken))
            self.running = jax.tree.leaves(metrics)[0]
            self.step, count = self.step + taken, count - taken
            parts.append((taken, metrics))
        return state, _mean(parts)

    def _turn(self):
        """Takes the next window, and has the one after it fetched."""
        # A stream that is faster than the device would fill its memory with windows.
        jax.block_until_ready(self.earlier)
        # The device may still compute on it, but here it is not needed any more.
        self.current, self.earlier = None, self.running
        start = time.perf_counter()
        self.current = self.next.result()
        if self.running is None or self.running.is_ready():
            self.seconds += time.perf_counter() - start
        if self.current.end < self.last:
            self.next = self.thread.submit(self._fetch, self.current.end)

    def _fetch(self, step):
        """The window that begins with a step, on its way to the device."""
        first, end = self.before(step), step + 1
        while end < self.last and self.before(end + 1) - first <= self.length:
            end += 1
        window = None
        for i in range(self.before(end) - first):
            if self.closing:
                return None
            batch = next(self.batches)
            if window is None:
                window = jax.tree.map(self._empty, batch)
            jax.tree.map(lambda rows, row, i=i: rows.__setitem__(i, row), window, batch)
        return _Window(self.sharding.put_block(window), jnp.int32(first), end)

    def _empty(self, batch):
        # What is not filled is behind the last whole step, and never looked at.
        return np.empty((self.length, *batch.shape), batch.dtype)


def _mean(parts):
    """The mean of metrics over all steps, from means over some of them."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(count for count, _ in parts)
    weights = [count / total for count, _ in parts]
    every = [metrics for _, metrics in parts]
    return jax.tree.map(
        lambda *values: sum(w * v for w, v in zip(weights, values, strict=True)), *every
    )
