"""Launcher of the processes that train one run: options, supervisor, jax.distributed.

JAX's runtime aborts a process when another one is lost. Each process therefore works in
a child of the command, which reports the reason in one sentence.
"""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading

import jax

from wgan_jax.distributed.processes import is_initialized, is_main_process
from wgan_jax.distributed.stop import handling
from wgan_jax.errors import UserError

LOST = 3
"""Exit status after the loss of another process: the same commands resume."""

MOST = 2**16
"""Processes that train one run."""

LOST_AFTER = 30
"""Seconds without a heartbeat after which a process counts as lost."""

# The file descriptor of a pipe whose other end closes with the command.
_PIPE = "WGAN_JAX_PARENT_PIPE"

# First line of a message of the runtime, which `supervise` replaces.
_RUNTIME_LINE = re.compile(r"[WEF]\d{4} \d\d:\d\d:|terminate called")


@dataclasses.dataclass(frozen=True)
class DistributedOptions:
    """Options of the processes that train one run."""

    coordinator: str = ""
    """HOST:PORT of process 0, through which the processes connect."""
    num_processes: int = 0
    """Processes that train one run, each started by this command; 0 is one process."""
    process_id: int = -1
    """Number of this process, from 0."""
    distributed: bool = False
    """Read these three from the cluster: Slurm, Open MPI, Kubernetes or a TPU pod."""
    join_timeout: int = 300
    """Seconds within which all processes must connect."""

    def enabled(self) -> bool:
        """Whether the options ask for jax.distributed; UserError if they conflict."""
        process = (self.coordinator, self.num_processes, self.process_id)
        if not 1 <= self.join_timeout <= 86400:
            raise UserError(
                f"--join-timeout {self.join_timeout} must be from 1 to 86400, a day"
            )
        if self.distributed:
            if process != ("", 0, -1):
                raise UserError(
                    "--distributed reads --coordinator, --num-processes and "
                    "--process-id from the cluster and cannot be combined with them"
                )
            return True
        if process == ("", 0, -1):
            return False
        if not re.fullmatch(r".+:\d+", self.coordinator):
            raise UserError(
                f"--coordinator {self.coordinator!r} must be HOST:PORT of process 0, "
                "as in 10.0.0.1:8476"
            )
        if int(self.coordinator.rpartition(":")[2][:6]) >= 2**16:
            raise UserError(
                f"--coordinator {self.coordinator} must end in a port up to 65535"
            )
        if not 1 <= self.num_processes <= MOST:
            raise UserError(
                f"--num-processes {self.num_processes} must be from 1 to {MOST}"
            )
        if not 0 <= self.process_id < self.num_processes:
            raise UserError(
                f"--process-id {self.process_id} must be from 0 to "
                f"{self.num_processes - 1}, and different for each process"
            )
        return True


def supervise(module: str, argv: list[str]) -> int:
    """Runs `python -m module argv` in a child process; returns its exit status.

    Signals are forwarded. The runtime's messages about a lost process are replaced by
    one sentence with the remedy.
    """
    read_end, write_end = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", module, *argv],
        env=os.environ | {_PIPE: str(read_end)},
        pass_fds=[read_end],
        stderr=subprocess.PIPE,
        # A Ctrl-C reaches the whole process group: the child would receive it twice.
        start_new_session=True,
        text=True,
        errors="replace",
    )
    os.close(read_end)
    held = []
    with handling(
        lambda number, _: child.send_signal(number), signal.SIGINT, signal.SIGTERM
    ):
        for line in child.stderr or ():
            if held or _RUNTIME_LINE.match(line):
                held.append(line)
            else:
                sys.stderr.write(line)
                sys.stderr.flush()
        code = child.wait()
    os.close(write_end)
    message = "".join(held)
    aborted = code == -signal.SIGABRT and held
    if aborted and "RegisterTask" in message:
        sentence = (
            "not all processes connected within --join-timeout: start each "
            "--process-id once, with the same --coordinator, which all can reach"
        )
        code = 2
    elif aborted or code == LOST:
        sentence = (
            "another process of this run exited or was lost, so this one stopped too; "
            "see that process's output for the cause. The same commands, started "
            "again, resume from the last checkpoint"
        )
        code = LOST
    else:
        sys.stderr.write(message)
        return code if code >= 0 else 128 - code
    print(f"error: {sentence}", file=sys.stderr)
    return code


def is_child() -> bool:
    """Whether this process was started by `supervise`."""
    return _PIPE in os.environ


@contextlib.contextmanager
def joined(options: DistributedOptions):
    """Context of this process in a run; one process that is all of it needs nothing.

    Connects to the other processes, before any other use of JAX. Process 0 prints all
    that the others would print. Raises UserError if --distributed finds no cluster. If
    a process is missing, the runtime aborts this one, which `supervise` reports.
    """
    if not options.enabled():
        yield
        return
    _join(options)
    if is_main_process():
        yield
        return
    number = f"process {jax.process_index()} of {jax.process_count()}"
    print(f"{number}: process 0 shows the progress", flush=True)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _join(options):
    _end_with_parent()
    others = f"{options.num_processes} processes" if options.num_processes else "all"
    print(f"waiting for {others} ...", flush=True)
    addresses = {}
    if not options.distributed:
        addresses = {
            "coordinator_address": options.coordinator,
            "num_processes": options.num_processes,
            "process_id": options.process_id,
            "cluster_detection_method": "deactivate",
        }
    try:
        jax.distributed.initialize(
            **addresses,
            initialization_timeout=options.join_timeout,
            heartbeat_timeout_seconds=LOST_AFTER,
        )
    except ValueError as error:
        raise UserError(
            f"--distributed finds no cluster here ({error}): give --coordinator "
            "HOST:PORT, --num-processes and --process-id"
        ) from error


def _end_with_parent():
    if not is_child():
        return
    pipe = int(os.environ[_PIPE])

    def wait():
        os.read(pipe, 1)
        os._exit(LOST)

    threading.Thread(target=wait, daemon=True).start()


def exit_failed(code: int) -> None:
    """Exits at once after a failure; a regular exit would wait for all processes."""
    if is_initialized() and code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
