"""Sharding of batches over the devices of all processes. The only file with a mesh."""

import dataclasses
import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wgan_jax.config import Config
from wgan_jax.errors import UserError

AXIS = "batch"


@dataclasses.dataclass(frozen=True)
class BatchSharding:
    """Data parallelism: a device holds a part of each batch and all of the state.

    XLA partitions the program by these annotations (GSPMD): a sum over the batch, as in
    gradients and in BatchNorm statistics, becomes a sum over all devices.
    """

    mesh: Mesh | None = None
    """None for one device."""

    @property
    def count(self) -> int:
        """Number of devices."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def parts(self) -> int:
        """Number of parts into which `put_dataset` divides the rows."""
        return self.count if jax.process_count() > 1 else 1

    def shard(self, batch: Any) -> Any:
        """Inside a program: arrays [batch, ...] with a part of the batch per device.

        An array that does not divide evenly, as a short held-out batch, stays whole.
        """
        if self.mesh is None:
            return batch
        divided = NamedSharding(self.mesh, PartitionSpec(AXIS))

        def divide(array):
            if len(array) % self.count:
                return array
            return jax.lax.with_sharding_constraint(array, divided)

        return jax.tree.map(divide, batch)

    def replicate(self, tree: Any) -> Any:
        """Arrays of any shape, copied to every device; equal in all processes."""
        if self.mesh is None:
            return jax.device_put(tree)
        whole = NamedSharding(self.mesh, PartitionSpec())
        if jax.process_count() == 1:
            return jax.device_put(tree, whole)

        def copy(array):
            if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
                data = copy(jax.random.key_data(array))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
            return _put_rows(np.asarray(array), whole)

        return jax.tree.map(copy, tree)

    def put_dataset(self, tree: Any) -> Any:
        """Arrays [n, ...] that batches are taken from.

        With several processes each device holds a part of the rows, padded with zeros,
        and a batch is gathered over the network: the data set may exceed the memory of
        one device.
        """
        if jax.process_count() == 1 or self.mesh is None:
            return self.replicate(tree)
        divided = NamedSharding(self.mesh, PartitionSpec(AXIS))

        def divide(array):
            rows = -(-max(len(array), 1) // self.count) * self.count
            return _put_rows(array, divided, (rows, *array.shape[1:]))

        return jax.tree.map(divide, tree)

    def put_block(self, rows: Any) -> Any:
        """Host arrays [n, batch, ...] with a part of each batch per device.

        With several processes each passes its rows of every batch, in the order of the
        processes. Returns before the transfer ends.
        """
        if self.mesh is None:
            return jax.device_put(rows)
        divided = NamedSharding(self.mesh, PartitionSpec(None, AXIS))
        if jax.process_count() == 1:
            return jax.device_put(rows, divided)
        put = partial(jax.make_array_from_process_local_data, divided)
        return jax.tree.map(put, rows)


def _put_rows(array, sharding, shape=None):
    """A host array on the devices, padded with rows of zeros to `shape`."""

    def part(index):
        rows = array[index]
        start, end, _ = index[0].indices(shape[0]) if shape and index else (0, 0, 1)
        missing = end - start - len(rows) if shape else 0
        if missing:
            zeros = np.zeros((missing, *rows.shape[1:]), rows.dtype)
            rows = np.concatenate([rows, zeros])
        return rows

    shape = shape or array.shape
    return jax.make_array_from_callback(shape, sharding, part)


ONE_DEVICE = BatchSharding()


def make_sharding(config: Config, count: int = 0) -> BatchSharding:
    """Sharding over `count` devices of each process; 0 uses as many as divide a batch.

    Raises UserError if there are fewer devices, or a batch does not divide evenly.
    """
    devices = _devices_by_process()
    processes, available = len(devices), min(map(len, devices))
    sizes = {
        "data.batch_size": config.data.batch_size,
        "objective.generator_batch": config.objective.generator_batch,
    }
    if not 0 <= count <= available:
        raise UserError(
            f"--devices {count} must be from 1 to {available}, the devices of this "
            "machine, or 0 for as many as divide a batch"
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
    dividing = (
        n
        for n in range(available, 0, -1)
        if not any(size % (n * processes) for size in sizes.values())
    )
    count = count or next(dividing)
    used = [device for local in devices for device in local[:count]]
    return BatchSharding(Mesh(used, (AXIS,)) if len(used) > 1 else None)


def _devices_by_process():
    """The devices of each process, in the same order in all processes."""
    if jax.process_count() == 1:
        return [jax.local_devices()]
    devices = [[] for _ in range(jax.process_count())]
    for device in jax.devices():
        devices[device.process_index].append(device)
    return devices


def memory_limit(of_host: str = "SC_PHYS_PAGES") -> int | None:
    """Bytes of memory of a device, which is the host for a CPU; None if unknown.

    of_host: name of the host's pages to count, see `os.sysconf`.
    """
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        try:
            limit = os.sysconf(of_host) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            # Windows has no sysconf.
            return None
    return limit


def require_memory(option: str, size: float, arithmetic: str) -> None:
    """Raises UserError where `size` bytes exceed the memory of a device.

    option: with its value, as in --num 100. size: at least, because whatever fits is
    accepted. arithmetic: the factors of the size.
    """
    limit = memory_limit()
    if limit is not None and size > limit:
        raise UserError(
            f"{option} needs at least {format_bytes(size)} ({arithmetic}), and this "
            f"machine has {format_bytes(limit)}: lower it"
        )


def format_bytes(count: float) -> str:
    """Bytes with a unit, such as 2.5 GB."""
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{count / unit:.3g} {name}"
