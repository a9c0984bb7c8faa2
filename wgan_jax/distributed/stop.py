"""Stop requests: Ctrl-C and SIGTERM end training after the current chunk."""

import contextlib
import os
import signal
import threading

from jax.experimental import multihost_utils


@contextlib.contextmanager
def handling(handler, *numbers):
    """Context in which handler(number, frame) handles the signals of these numbers.

    Python allows handlers in the main thread only: in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            # None: the handler was not installed from Python and cannot be restored.
            signal.signal(number, signal.SIG_DFL if old is None else old)


class StopRequest(contextlib.ExitStack):
    """Stop request of a run in one process; a second Ctrl-C interrupts at once.

    Signals count from entering to leaving this context.
    """

    requested = False

    def __init__(
        self,
        numbers: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT),
        *,
        silent=False,
    ):
        """numbers: signals that request a stop. silent: without a line about it."""
        super().__init__()
        self._numbers = numbers
        self._silent = silent

    def __enter__(self):
        self.enter_context(handling(self._handle, *self._numbers))
        return self

    def _handle(self, number, frame):
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        if not self._silent:
            _announce()


class SharedStopRequest(contextlib.ExitStack):
    """Stop request of a run in several processes: a signal to one stops all.

    JAX's runtime handles SIGTERM, informs the other processes, and chooses the chunk
    after which all stop.
    """

    reads = 0
    interrupted = False

    def __enter__(self):
        self.enter_context(handling(self._handle, signal.SIGINT))
        return self

    def _handle(self, number, frame):
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
