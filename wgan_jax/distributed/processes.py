"""Processes."""

import contextlib
import tempfile
import zlib
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from wgan_jax.errors import UserError

_SIGNS = ("Gloo", "NCCL", "oordination", "heartbeat", "arrier", "UNAVAILABLE")


def is_initialized() -> bool:
    """Whether this process has joined others, or itself alone, by `start`."""
    return jax.distributed.is_initialized()


def is_connection_loss(error: Exception) -> bool:
    """Whether an error is that of an operation that another process left."""
    return is_initialized() and any(sign in str(error) for sign in _SIGNS)


def is_multiprocess() -> bool:
    """Whether more than this process train the run."""
    return jax.process_count() > 1


def is_main_process() -> bool:
    """Whether this is the process that writes what only one can."""
    return jax.process_index() == 0


@contextlib.contextmanager
def output_directory(out: Path):
    """Where a process writes what it tells of the run: `out` for the first one.

    All take part in what is written, for all hold a part of the arrays; what the others
    made of it goes with them.
    """
    if is_main_process():
        yield out
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        (Path(elsewhere) / "samples").mkdir()
        yield Path(elsewhere)


def index_and_count() -> tuple[int, int]:
    """(which process this is, how many there are)."""
    return jax.process_index(), jax.process_count()


def allreduce_min(value: float) -> float:
    """The least value that any process has, to the precision of float32."""
    if not is_multiprocess():
        return value
    return float(multihost_utils.process_allgather(np.float32(value)).min())


def barrier(name: str) -> None:
    """Waits until all processes are here."""
    if is_multiprocess():
        multihost_utils.sync_global_devices(name)


def check_same(value: str, what: str) -> None:
    """Raises UserError on every process unless all have the same value."""
    if not is_multiprocess():
        return
    found = multihost_utils.process_allgather(np.uint32(zlib.crc32(value.encode())))
    if len(set(found.tolist())) > 1:
        raise UserError(
            f"the {len(found)} processes of this run have different {what}: start all "
            "by the same command but for --process-id"
        )


def broadcast_from_main(answer: bool) -> bool:
    """What the first process answers, on all of them."""
    if not is_multiprocess():
        return answer
    return bool(multihost_utils.broadcast_one_to_all(np.uint32(answer)))


def check_same_directory(out: Path) -> None:
    """Raises UserError unless all processes see the same directory."""
    if not is_multiprocess():
        return
    token = out / ".processes"
    if is_main_process():
        token.write_text("seen\n")
    barrier("directory written")
    seen = token.is_file()
    found = multihost_utils.process_allgather(np.uint32(seen))
    if is_main_process():
        token.unlink(missing_ok=True)
    if not found.all():
        raise UserError(
            f"--out {out} is not the same directory for all processes: give one on a "
            "disk that they share"
        )
