"""Processes of one or more hosts that train one run together, by jax.distributed.

The runtime ends a process by abort() where another one is lost. So each works in a
child of the command, which tells in a sentence how that ended.
"""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from wgan_jax.config import UserError

LOST = 3
"""Exit status where another process is gone: the same commands go on."""
LOST_AFTER = 30
"""Seconds without a sign of life after which a process counts as lost."""

# The file descriptor of a pipe whose other end closes with the command.
_CHILD = "WGAN_JAX_PARENT_PIPE"
_RUNTIME_LINE = re.compile(r"[WEF]\d{4} \d\d:\d\d:|terminate called")
_SIGNS = ("Gloo", "NCCL", "oordination", "heartbeat", "arrier", "UNAVAILABLE")


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The processes that train one run, as the command line has them."""

    coordinator: str = ""
    """HOST:PORT of process 0, by which processes find each other."""
    num_processes: int = 0
    """Processes that train together, each started by this command; 0 is one alone."""
    process_id: int = -1
    """Which of them this one is, from 0."""
    distributed: bool = False
    """Take these three from the cluster: Slurm, Open MPI, Kubernetes or a TPU pod."""
    join_timeout: int = 300
    """Seconds in which all processes must have come."""

    def several(self) -> bool:
        """Whether there are several; UserError where what is given makes no sense."""
        given = (self.coordinator, self.num_processes, self.process_id)
        if self.join_timeout < 1:
            raise UserError(f"--join-timeout {self.join_timeout} must be 1 or more")
        if self.distributed:
            if given != ("", 0, -1):
                raise UserError(
                    "--distributed asks the cluster for --coordinator, "
                    "--num-processes and --process-id: give it or them"
                )
            return True
        if given == ("", 0, -1):
            return False
        if not re.fullmatch(r".+:\d+", self.coordinator):
            raise UserError(
                f"--coordinator {self.coordinator!r} must be HOST:PORT of process 0, "
                "as in 10.0.0.1:8476"
            )
        if self.num_processes < 1:
            raise UserError(
                f"--num-processes {self.num_processes} must be how many train together,"
                " 1 or more"
            )
        if not 0 <= self.process_id < self.num_processes:
            raise UserError(
                f"--process-id {self.process_id} must be from 0 to "
                f"{self.num_processes - 1}, another one for each process"
            )
        return True


def supervise(module: str, argv: list[str]) -> int:
    """Runs `python -m module argv` as one of several; returns the exit status.

    Signals are passed on. What the runtime says of a lost process is not shown, but a
    sentence with what to do.
    """
    alive, closes_with_us = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", module, *argv],
        env=os.environ | {_CHILD: str(alive)},
        pass_fds=[alive],
        stderr=subprocess.PIPE,
        # A Ctrl-C reaches a whole group: the child would have it twice.
        start_new_session=True,
        text=True,
        errors="replace",
    )
    os.close(alive)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: child.send_signal(number))
    held = []
    for line in child.stderr:
        if held or _RUNTIME_LINE.match(line):
            held.append(line)
        else:
            sys.stderr.write(line)
            sys.stderr.flush()
    code = child.wait()
    os.close(closes_with_us)
    told = "".join(held)
    aborted = code == -signal.SIGABRT and held
    if aborted and "RegisterTask" in told:
        sentence = (
            "not all processes came within --join-timeout: start each --process-id "
            "once, with the same --coordinator, whose port all of them can reach"
        )
        code = 2
    elif aborted or code == LOST:
        sentence = (
            "another process of this run has ended or is lost, so this one ended too: "
            "what the other one said tells why; start all of them again, and they go "
            "on from the last checkpoint"
        )
        code = LOST
    else:
        sys.stderr.write(told)
        return code if code >= 0 else 128 - code
    print(f"error: {sentence}", file=sys.stderr)
    return code


def is_child() -> bool:
    """Whether this process was started by `supervise`."""
    return _CHILD in os.environ


def start(hosts: Hosts) -> None:
    """Joins the other processes; before anything else of JAX.

    Raises UserError where there is no cluster. Where not all processes come, the
    runtime ends this one, of which `supervise` tells.
    """
    _end_with_parent()
    count = f"{hosts.num_processes} processes" if hosts.num_processes else "the others"
    print(f"waiting for {count} ...", flush=True)
    told = {}
    if not hosts.distributed:
        told = {
            "coordinator_address": hosts.coordinator,
            "num_processes": hosts.num_processes,
            "process_id": hosts.process_id,
            "cluster_detection_method": "deactivate",
        }
    try:
        jax.distributed.initialize(
            **told,
            initialization_timeout=hosts.join_timeout,
            heartbeat_timeout_seconds=LOST_AFTER,
        )
    except ValueError as error:
        raise UserError(
            f"--distributed finds no cluster here ({error}): give --coordinator "
            "HOST:PORT, --num-processes and --process-id"
        ) from error
    if not is_first():
        print(f"process {jax.process_index()} of {jax.process_count()}: the first "
              "one, 0, tells of the run", flush=True)  # fmt: skip
        # For good: whatever else is printed here, the first process prints as well.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _end_with_parent():
    if not is_child():
        return
    pipe = int(os.environ[_CHILD])

    def wait():
        os.read(pipe, 1)
        os._exit(LOST)

    threading.Thread(target=wait, daemon=True).start()


def joined() -> bool:
    """Whether this process has joined others, or itself alone, by `start`."""
    return jax.distributed.is_initialized()


def leave(code: int) -> None:
    """Ends a process that failed; at an ordinary end it would wait for all others."""
    if joined() and code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tells_of_loss(error: Exception) -> bool:
    """Whether an error is that of an operation that another process left."""
    return joined() and any(sign in str(error) for sign in _SIGNS)


def several() -> bool:
    """Whether more than this process train the run."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes what only one can."""
    return jax.process_index() == 0


@contextlib.contextmanager
def own_directory(out: Path):
    """Where a process writes what it tells of the run: `out` for the first one.

    All take part in what is written, for all hold a part of the arrays; what the others
    made of it goes with them.
    """
    if is_first():
        yield out
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        (Path(elsewhere) / "samples").mkdir()
        yield Path(elsewhere)


class StopRequest:
    """Like `loop.StopRequest`, for all processes at once: a signal to any ends all.

    The runtime takes SIGTERM, tells the others, and names the chunk to stop behind.
    """

    def __init__(self):
        self.asked = 0
        self.interrupted = False
        signal.signal(signal.SIGINT, self)

    def __call__(self, number, frame):
        """Takes Ctrl-C, a second one of which does not wait."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        os.write(1, b"\nfinishing this chunk ...\n")
        os.kill(os.getpid(), signal.SIGTERM)

    @property
    def requested(self) -> bool:
        """Whether to stop: the same answer in every process to the n-th question."""
        self.asked += 1
        return multihost_utils.reached_preemption_sync_point(self.asked)


def place() -> tuple[int, int]:
    """(which process this is, how many there are)."""
    return jax.process_index(), jax.process_count()


def least(value: float) -> float:
    """The least value that any process has, to the precision of float32."""
    if not several():
        return value
    return float(multihost_utils.process_allgather(np.float32(value)).min())


def meet(name: str) -> None:
    """Waits until all processes are here."""
    if several():
        multihost_utils.sync_global_devices(name)


def agree(value: str, what: str) -> None:
    """Raises UserError on every process unless all have the same value."""
    if not several():
        return
    found = multihost_utils.process_allgather(np.uint32(zlib.crc32(value.encode())))
    if len(set(found.tolist())) > 1:
        raise UserError(
            f"the {len(found)} processes of this run have different {what}: start all "
            "by the same command but for --process-id"
        )


def first_decides(answer: bool) -> bool:
    """What the first process answers, on all of them."""
    if not several():
        return answer
    return bool(multihost_utils.broadcast_one_to_all(np.uint32(answer)))


def agree_on_directory(out: Path) -> None:
    """Raises UserError unless all processes see the same directory."""
    if not several():
        return
    token = out / ".processes"
    if is_first():
        token.write_text("seen\n")
    meet("directory written")
    seen = token.is_file()
    found = multihost_utils.process_allgather(np.uint32(seen))
    if is_first():
        token.unlink(missing_ok=True)
    if not found.all():
        raise UserError(
            f"--out {out} is not the same directory for all processes: give one on a "
            "disk that they share"
        )
