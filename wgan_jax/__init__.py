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
    from wgan_jax.data.dataset import load_dataset
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

_MODULES = {
    "Config": "config",
    "UserError": "errors",
    "init_state": "algorithm.state",
    "load_config": "config",
    "load_dataset": "data.dataset",
    "make_get_batch": "data.batches",
    "make_sampler": "runs.sampling",
    "make_spec": "algorithm.state",
    "restore_run": "runs.restore",
    "train_chunk": "algorithm.steps",
    "train_step": "algorithm.steps",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return module.load if name == "load_config" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
