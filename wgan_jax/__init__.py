"""Wasserstein GANs in JAX: weight clipping and gradient penalty, step by step.

The names below are the Python interface. Each is imported when it is first used:
`import wgan_jax` does not import JAX.
"""

import importlib
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
