"""How the devices of this process share a batch. Only here is a mesh made."""

import dataclasses
import os
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wgan_jax.config import Config, UserError

AXIS = "batch"


@dataclasses.dataclass(frozen=True)
class Share:
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

    def split(self, batch: Any) -> Any:
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

    def copy(self, tree: Any) -> Any:
        """Arrays of any shape, whole on each device."""
        if self.mesh is None:
            return jax.device_put(tree)
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def put_window(self, rows: Any) -> Any:
        """Host arrays [n, batch, ...], of each batch a part on each device.

        Returns before they are there.
        """
        if self.mesh is None:
            return jax.device_put(rows)
        parts = NamedSharding(self.mesh, PartitionSpec(None, AXIS))
        return jax.device_put(rows, parts)


ONE_DEVICE = Share()


def make_share(config: Config, count: int = 0) -> Share:
    """Of `count` devices, or as many as can have equal parts of every batch if 0.

    Raises UserError where there are fewer, or a batch does not divide evenly.
    """
    devices = jax.local_devices()
    sizes = {
        "data.batch_size": config.data.batch_size,
        "objective.generator_batch": config.objective.generator_batch,
    }
    if not 0 <= count <= len(devices):
        raise UserError(
            f"--devices {count} must be from 1 to {len(devices)}, which this machine "
            "has, or 0 for as many as can share a batch"
        )
    for name, size in sizes.items():
        if count and size % count:
            raise UserError(
                f"--devices {count} cannot share {name}={size} evenly: take a multiple "
                f"of {count}, or other --devices"
            )
    fitting = (
        n
        for n in range(len(devices), 0, -1)
        if not any(size % n for size in sizes.values())
    )
    count = count or next(fitting)
    return Share(Mesh(devices[:count], (AXIS,)) if count > 1 else None)


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
