"""Stop requests: Ctrl-C and SIGTERM end training after the current chunk."""

import os
import signal

from jax.experimental import multihost_utils


class StopRequest:
    """Stop request of a run in one process; a second Ctrl-C interrupts at once."""

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGTERM, self)
        signal.signal(signal.SIGINT, self)

    def __call__(self, number, frame):
        """Handles a signal."""
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        _announce()


class SharedStopRequest:
    """Stop request of a run in several processes: a signal to one stops all.

    JAX's runtime handles SIGTERM, informs the other processes, and chooses the chunk
    after which all stop.
    """

    def __init__(self):
        self.reads = 0
        self.interrupted = False
        signal.signal(signal.SIGINT, self)

    def __call__(self, number, frame):
        """Handles Ctrl-C; a second one interrupts at once."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        _announce()
        os.kill(os.getpid(), signal.SIGTERM)

    @property
    def requested(self) -> bool:
        """Whether to stop; the n-th read returns the same value in every process."""
        self.reads += 1
        return multihost_utils.reached_preemption_sync_point(self.reads)


def _announce():
    # print() is not reentrant, and a signal can arrive in the middle of one.
    os.write(1, b"\nfinishing this chunk ...\n")
