"""Setup of a run: data, specification, compiled chunk and prefetcher."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import TrainState, init_state, make_spec
from wgan_jax.config import Config
from wgan_jax.data.batches import make_get_batch, make_get_block_batch
from wgan_jax.data.dataset import Dataset, load
from wgan_jax.data.prefetch import Prefetcher
from wgan_jax.data.record import NO_DATA, DataRecord
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding
from wgan_jax.training.monitor import Monitor, MonitorPrograms

DIAGNOSTIC_IMAGES = 2048
"""Images of a stream that stay on the device, for the diagnostics."""


class Setup:
    """Data, networks and programs of a run: made once, used by a longer run again."""

    def __init__(self, config: Config, sharding: BatchSharding, dataset: Dataset):
        """dataset: of the configuration, see `load_dataset`."""
        self.sharding = sharding
        self.dataset = dataset
        self.samples, self.spec = prepare(config, dataset, sharding)
        key = jax.random.key(config.run.seed)
        self.key, *self.monitor_keys = jax.random.split(key, 4)
        self.chunk: Callable | None = None
        """chunk(state, samples, count) -> (state, mean metrics), once compiled."""
        self._programs: MonitorPrograms | None = None

    def initial_state(self) -> TrainState:
        """The state before the first step, on every device."""
        init = jax.jit(partial(init_state, spec=self.spec))
        return self.sharding.replicate(init(self.key))

    def compile(self, state: TrainState) -> Callable:
        """The chunk, compiled the first time for states of these shapes."""
        self.chunk = self.chunk or compile_chunk(state, self.samples, self.spec)
        return self.chunk

    def monitor(self, config: Config, **options) -> Monitor:
        """The monitor of a run. options: see `Monitor`."""
        get_batch, samples = prepare_monitor(
            config, self.spec, self.dataset, self.samples
        )
        programs = self._programs or MonitorPrograms(config, self.spec, get_batch)
        self._programs = programs
        return Monitor(
            config, programs, self.dataset, samples, self.monitor_keys, **options
        )

    def prefetcher(self, config: Config, state: TrainState):
        """Context with the prefetcher of a stream, from a state; None in memory."""
        if not self.dataset.stream:
            return contextlib.nullcontext()
        return make_prefetcher(config, self.dataset, state, self.sharding)


def load_dataset(
    config: Config, sharding: BatchSharding, record: DataRecord = NO_DATA
) -> Dataset:
    """`dataset.load` with a line for the user on devices, copies and streaming."""
    if sharding.count > 1:
        where = f" of {jax.process_count()} processes" * (jax.process_count() > 1)
        batch = f"each batch of {config.data.batch_size}"
        print(f"{sharding.count} devices{where} share {batch}")
    dataset = load(config, sharding, record=record)
    record = dataset.record
    if record.duplicates and config.data.is_text:
        print(
            f"{record.duplicates} lines repeat another one, which the split ignores: "
            f"{record.train} to train on and {record.heldout} held out"
        )
    elif record.duplicates:
        print(
            f"{record.duplicates} samples repeat the content of another one: copies "
            f"are on one side of the split, {record.train} to train on and "
            f"{record.heldout} held out"
        )
    if dataset.stream:
        print(dataset.stream)
    return dataset


def prepare(config: Config, dataset: Dataset, sharding: BatchSharding = ONE_DEVICE):
    """(samples, spec): all that the steps of a run need except its state.

    samples: the first argument of `Spec.get_batch`, on every device; for a stream,
    zeros of the right shapes, for the compiler only.
    """
    labelled = bool(config.model.classes)
    if dataset.stream:
        get_batch = make_get_block_batch(config.data, labelled)
        samples = dataset.stream.blank_block(sharding, processes.index_and_count())
    else:
        get_batch = make_get_batch(config.data, len(dataset.train), labelled)
        samples = dataset.train
        if labelled:
            samples = samples, dataset.train_labels
        samples = sharding.put_dataset(samples)
    record = dataset.record
    spec = make_spec(config, get_batch, sharding, record.label_shares, record.scales)
    return samples, spec


def prepare_monitor(config, spec, dataset, samples):
    """(get_batch, samples) of the diagnostics; a stream keeps some on the device.

    samples: those of `prepare`.
    """
    if not dataset.stream or not config.run.diagnostics:
        return spec.get_batch, samples
    largest = max(DIAGNOSTIC_IMAGES, config.data.batch_size)
    count = min(largest, len(dataset.train))
    get_batch = make_get_batch(config.data, count, bool(config.model.classes))
    return get_batch, spec.sharding.replicate(dataset.stream.first(count))


def compile_chunk(state, samples, spec):
    """Compiles chunk(state, samples, count) -> (state, mean metrics); donates state."""
    print("compiling ...", flush=True)
    start = time.perf_counter()
    chunk = jax.jit(partial(steps.train_chunk, spec=spec), donate_argnums=0)
    compiled = chunk.lower(state, samples, jnp.int32(1)).compile()
    print(f"compiled in {time.perf_counter() - start:.1f} s", flush=True)
    return compiled


def make_prefetcher(config, dataset, state, sharding) -> Prefetcher:
    """Prefetcher of a stream, from the step of `state` to run.steps of `config`."""

    def before(step):
        return int(steps.critic_updates_before(step, config.objective))

    # A key of this process only: its reader computes independently of the others.
    key = jnp.asarray(np.asarray(jax.random.key_data(state.key)))
    key = jax.random.wrap_key_data(key)
    _, key = steps.split_key(dataclasses.replace(state, key=key))
    process = processes.index_and_count()
    # That of a longer run than the one whose data were loaded.
    stream = dataclasses.replace(dataset.stream, config=config)
    return Prefetcher(stream, sharding, key, int(state.step), before, process)
