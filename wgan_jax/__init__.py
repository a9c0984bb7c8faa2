"""Wasserstein GANs in JAX: weight clipping and gradient penalty, step by step.

The names below are the Python interface. Each is imported when it is first used:
`import wgan_jax` does not import JAX.
"""

import importlib
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wgan_jax.algorithm.state import init_state, make_spec
    from wgan_jax.algorithm.steps import train_chunk, train_step
    from wgan_jax.config import Config
    from wgan_jax.config import load as load_config
    from wgan_jax.data.batches import make_get_batch
    from wgan_jax.data.dataset import load as load_dataset
    from wgan_jax.errors import UserError
    from wgan_jax.runs.restore import restore_run
    from wgan_jax.runs.sampling import make_sampler

__version__ = "0.1.0"

__all__ = [
    "Config",
    "UserError",
    "init_state",
    "load_config",
    "load_dataset",
    "make_get_batch",
    "make_sampler",
    "make_spec",
    "restore_run",
    "train_chunk",
    "train_step",
]

_PLACES = {
    "Config": ("config", "Config"),
    "UserError": ("errors", "UserError"),
    "init_state": ("algorithm.state", "init_state"),
    "load_config": ("config", "load"),
    "load_dataset": ("data.dataset", "load"),
    "make_get_batch": ("data.batches", "make_get_batch"),
    "make_sampler": ("runs.sampling", "make_sampler"),
    "make_spec": ("algorithm.state", "make_spec"),
    "restore_run": ("runs.restore", "restore_run"),
    "train_chunk": ("algorithm.steps", "train_chunk"),
    "train_step": ("algorithm.steps", "train_step"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    module, attribute = _PLACES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _end_on_signals() -> None:
    """Ends the process with one line at Ctrl-C or SIGTERM, until `cli.run` begins."""

    def end(number, frame):
        word = "interrupted" if number == signal.SIGINT else "terminated"
        os.write(2, f"error: {word}\n".encode())
        os._exit(2)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


# Only in a command, python -m wgan_jax.COMMAND, whose imports take seconds: sys.argv[0]
# is -m while Python imports the package that contains the module to run.
if sys.argv[:1] == ["-m"] and any(
    re.fullmatch(r"(-m)?wgan_jax(\.[a-z]+)?", word) for word in sys.orig_argv
):
    _end_on_signals()
