"""How devices of all processes share a batch. Only here is a mesh made."""

import dataclasses
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wgan_jax.config import Config
from wgan_jax.errors import UserError

AXIS = "batch"


@dataclasses.dataclass(frozen=True)
class BatchSharding:
    """What each device holds: a part of every batch, and all of everything else.

    XLA divides the program by that alone (GSPMD): sums over the batch, as in gradients
    and in the statistics of a norm, become sums over all devices.
    """

    mesh: Mesh | None = None
    """None for one device, which nothing has to be told."""

    @property
    def count(self) -> int:
        """The number of devices."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def parts(self) -> int:
        """Into how many parts `hold` divides the rows."""
        return self.count if jax.process_count() > 1 else 1

    def shard(self, batch: Any) -> Any:
        """Inside a program: arrays [batch, ...], a part of the batch on each device.

        Those that do not divide evenly, as a short held-out batch, stay whole.
        """
        if self.mesh is None:
            return batch
        parts = NamedSharding(self.mesh, PartitionSpec(AXIS))

        def divide(array):
            if len(array) % self.count:
                return array
            return jax.lax.with_sharding_constraint(array, parts)

        return jax.tree.map(divide, batch)

    def replicate(self, tree: Any) -> Any:
        """Arrays of any shape, whole on each device; the same in every process."""
        if self.mesh is None:
            return jax.device_put(tree)
        whole = NamedSharding(self.mesh, PartitionSpec())
        if jax.process_count() == 1:
            return jax.device_put(tree, whole)

        def place(array):
            if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
                data = place(jax.random.key_data(array))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
            return _place(np.asarray(array), whole)

        return jax.tree.map(place, tree)

    def put_dataset(self, tree: Any) -> Any:
        """Arrays [n, ...] that batches are taken from.

        With several processes each holds a part of the rows, so that together they hold
        more than one could; a batch is then gathered over the network. Rows of zeros
        fill the last part.
        """
        if jax.process_count() == 1 or self.mesh is None:
            return self.replicate(tree)
        parts = NamedSharding(self.mesh, PartitionSpec(AXIS))

        def place(array):
            rows = -(-max(len(array), 1) // self.count) * self.count
            return _place(array, parts, (rows, *array.shape[1:]))

        return jax.tree.map(place, tree)

    def put_block(self, rows: Any) -> Any:
        """Host arrays [n, batch, ...], of each batch a part on each device.

        With several processes each gives its own rows of every batch, in the order of
        the processes. Returns before they are there.
        """
        if self.mesh is None:
            return jax.device_put(rows)
        parts = NamedSharding(self.mesh, PartitionSpec(None, AXIS))
        if jax.process_count() == 1:
            return jax.device_put(rows, parts)
        return jax.tree.map(
            lambda own: jax.make_array_from_process_local_data(parts, own), rows
        )


def _place(array, sharding, shape=None):
    """A host's array on its devices; where `shape` has more rows, they are zeros."""

    def part(index):
        found = array[index]
        start, end, _ = index[0].indices(shape[0]) if shape and index else (0, 0, 1)
        missing = end - start - len(found) if shape else 0
        if missing:
            zeros = np.zeros((missing, *found.shape[1:]), found.dtype)
            found = np.concatenate([found, zeros])
        return found

    shape = shape or array.shape
    return jax.make_array_from_callback(shape, sharding, part)


ONE_DEVICE = BatchSharding()


def make_sharding(config: Config, count: int = 0) -> BatchSharding:
    """Of `count` devices of each process, or as many as can share evenly if 0.

    Raises UserError where there are fewer, or a batch does not divide evenly.
    """
    devices = _by_process()
    processes, there = len(devices), min(map(len, devices))
    sizes = {
        "data.batch_size": config.data.batch_size,
        "objective.generator_batch": config.objective.generator_batch,
    }
    if not 0 <= count <= there:
        raise UserError(
            f"--devices {count} must be from 1 to {there}, which this machine "
            "has, or 0 for as many as can share a batch"
        )
    for name, size in sizes.items():
        if size % processes:
            raise UserError(
                f"{processes} processes cannot share {name}={size} evenly: take a "
                f"multiple of {processes}, or another --num-processes"
            )
        if count and size % (count * processes):
            raise UserError(
                f"--devices {count} cannot share {name}={size} evenly"
                f"{f' in {processes} processes' if processes > 1 else ''}: take a "
                f"multiple of {count * processes}, or other --devices"
            )
    fitting = (
        n
        for n in range(there, 0, -1)
        if not any(size % (n * processes) for size in sizes.values())
    )
    count = count or next(fitting)
    taken = [device for own in devices for device in own[:count]]
    return BatchSharding(Mesh(taken, (AXIS,)) if len(taken) > 1 else None)


def _by_process():
    """The devices of each process, in an order that all processes have."""
    if jax.process_count() == 1:
        return [jax.local_devices()]
    found = [[] for _ in range(jax.process_count())]
    for device in jax.devices():
        found[device.process_index].append(device)
    return found


def memory_limit(of_host: str = "SC_PHYS_PAGES") -> int | None:
    """Bytes of memory of a device, or of the host where that is the device.

    of_host: which of the host's pages count, as `os.sysconf` calls them. None where the
    system does not tell.
    """
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        try:
            limit = os.sysconf(of_host) * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            return None
    return limit
