"""What a process that reads a stream begins with, and how it ends.

A child of Python's multiprocessing first imports what its parent was started with: that
would be a command, with all of JAX behind it. Under `in_place_of_main` it imports this
module instead, which costs a tenth of the time and memory.
"""

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import signal
import sys
import threading

if __name__ == "__mp_main__":
    # Grain imports JAX wherever it finds it, and does without where it does not.
    sys.modules["jax"] = None
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    # Ctrl-C reaches all processes of a terminal; the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def in_place_of_main():
    """Processes begun meanwhile import this module and not that of the command."""
    main = sys.modules["__main__"]
    kept = main.__spec__
    main.__spec__ = importlib.util.find_spec("wgan_jax.data.worker")
    try:
        yield
    finally:
        main.__spec__ = kept


def begin(index: int, count: int) -> None:
    """Has this process, a worker of `count`, end with the one that began it.

    One that is killed cannot end its workers, which would wait for it forever.
    """

    def follow():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
