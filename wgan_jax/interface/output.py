"""Surroundings of a call from Python: what is printed, precision and caches."""

import contextlib
import io
import sys
import threading

import jax
import rich

from wgan_jax.files import enable_compilation_cache, without_caching


@contextlib.contextmanager
def session(config, out):
    """Precision of a run; without a directory nothing is cached on disk."""
    enable_compilation_cache()
    with contextlib.ExitStack() as stack:
        if out is None:
            stack.enter_context(without_caching())
        precision = config.run.precision
        stack.enter_context(jax.default_matmul_precision(precision))
        yield


@contextlib.contextmanager
def output(progress: bool):
    """Without progress, this thread prints nothing."""
    if progress:
        yield
        return
    console = rich.get_console()
    quiet, console.quiet = console.quiet, True
    try:
        with contextlib.redirect_stdout(_Silence(sys.stdout)):
            yield
    finally:
        console.quiet = quiet


class _Silence(io.TextIOBase):
    """A text stream that drops what this thread writes."""

    def __init__(self, stream):
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text):
        if threading.get_ident() != self._thread:
            self._stream.write(text)
        return len(text)

    def flush(self):
        self._stream.flush()
