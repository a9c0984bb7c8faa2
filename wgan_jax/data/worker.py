"""Start and end of a process that reads a stream.

A child of Python's multiprocessing first imports the main module of its parent, here a
command with all of JAX. Under `in_place_of_main` it imports this module instead, in a
tenth of the time and memory.
"""

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings

if __name__ == "__mp_main__":
    # Grain imports JAX if it can and works without it.
    sys.modules["jax"] = None  # type: ignore[assignment]
    for name in ("absl", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Pillow warns of files that it reads all the same.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # Ctrl-C reaches all processes of a terminal; the training process handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def in_place_of_main():
    """Context in which started processes import this module, not the command's."""
    main = sys.modules["__main__"]
    spec = main.__spec__
    main.__spec__ = importlib.util.find_spec("wgan_jax.data.worker")
    try:
        yield
    finally:
        main.__spec__ = spec


def begin(index: int, count: int) -> None:
    """Makes this process, worker `index` of `count`, end with its parent.

    A killed parent cannot end its workers, which would wait for it forever.
    """

    def exit_with_parent():
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()
