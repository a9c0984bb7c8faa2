"""Communication between the processes of a run: barrier, agreement, broadcast."""

import contextlib
import tempfile
import zlib
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from wgan_jax.errors import UserError

# Parts of the messages of errors after the loss of a process.
_LOSS_MESSAGES = ("Gloo", "NCCL", "oordination", "heartbeat", "arrier", "UNAVAILABLE")


def is_initialized() -> bool:
    """Whether `launcher.join` has initialised jax.distributed."""
    return jax.distributed.is_initialized()


def is_connection_loss(error: Exception) -> bool:
    """Whether an error is due to the loss of another process."""
    return is_initialized() and any(text in str(error) for text in _LOSS_MESSAGES)


def is_multiprocess() -> bool:
    """Whether several processes train the run."""
    return jax.process_count() > 1


def is_main_process() -> bool:
    """Whether this is process 0, which writes the files of the run."""
    return jax.process_index() == 0


@contextlib.contextmanager
def output_directory(out: Path):
    """Directory for log and samples: `out` in process 0, temporary in the others.

    All processes compute the same output, because each holds a part of the arrays.
    """
    if is_main_process():
        yield out
        return
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "samples").mkdir()
        yield Path(temporary)


def index_and_count() -> tuple[int, int]:
    """(number of this process, number of processes)."""
    return jax.process_index(), jax.process_count()


def allreduce_min(value: float) -> float:
    """Minimum of a value over all processes, in float32."""
    if not is_multiprocess():
        return value
    return float(multihost_utils.process_allgather(np.float32(value)).min())


def barrier(name: str) -> None:
    """Waits until all processes have called this."""
    if is_multiprocess():
        multihost_utils.sync_global_devices(name)


def check_same(value: str, noun: str) -> None:
    """Raises UserError in every process unless all have the same value.

    noun: plural name of the value in the message.
    """
    if not is_multiprocess():
        return
    checksum = np.uint32(zlib.crc32(value.encode()))
    checksums = multihost_utils.process_allgather(checksum)
    if len(set(checksums.tolist())) > 1:
        raise UserError(
            f"the {len(checksums)} processes of this run have different {noun}: start "
            "all by the same command, except for --process-id"
        )


def broadcast_from_main(answer: bool) -> bool:
    """The answer of process 0, in every process."""
    if not is_multiprocess():
        return answer
    return bool(multihost_utils.broadcast_one_to_all(np.uint32(answer)))


def run_in_main(function) -> None:
    """Runs function() in process 0; all wait for it.

    A UserError or OSError of it is raised in process 0, and in the others as a
    UserError.
    """
    failure = None
    if is_main_process():
        try:
            function()
        except (UserError, OSError) as error:
            failure = error
    if is_multiprocess():
        text = np.frombuffer(str(failure or "").encode()[:1000].ljust(1000), np.uint8)
        text = bytes(multihost_utils.broadcast_one_to_all(text)).decode(errors="ignore")
        failure = failure or (UserError(text.strip()) if text.strip() else None)
    if failure:
        raise failure


def check_same_directory(out: Path) -> None:
    """Raises UserError in every process unless all see the same directory."""
    if not is_multiprocess():
        return
    token = out / ".processes"
    if is_main_process():
        token.touch()
    barrier("token written")
    visible = multihost_utils.process_allgather(np.uint32(token.is_file()))
    if is_main_process():
        token.unlink(missing_ok=True)
    if not visible.all():
        raise UserError(
            f"--out {out} is not the same directory for all processes: give one on a "
            "shared disk"
        )
