"""Processes of one or more hosts that train one run together, by jax.distributed.

The runtime ends a process by abort() where another one is lost. So each works in a
child of the command, which tells in a sentence how that ended.
"""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading

import jax

from wgan_jax.distributed.processes import is_initialized, is_main_process
from wgan_jax.errors import UserError

LOST = 3
"""Exit status where another process is gone: the same commands go on."""


LOST_AFTER = 30
"""Seconds without a sign of life after which a process counts as lost."""


# The file descriptor of a pipe whose other end closes with the command.
_CHILD = "WGAN_JAX_PARENT_PIPE"


_RUNTIME_LINE = re.compile(r"[WEF]\d{4} \d\d:\d\d:|terminate called")


@dataclasses.dataclass(frozen=True)
class DistributedOptions:
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

    def enabled(self) -> bool:
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


def join(hosts: DistributedOptions) -> None:
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
    if not is_main_process():
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


def exit_failed(code: int) -> None:
    """Ends a process that failed; at an ordinary end it would wait for all others."""
    if is_initialized() and code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
