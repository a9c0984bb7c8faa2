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
    from wgan_jax.algorithm.constraints import Constraint as Constraint
    from wgan_jax.algorithm.constraints import make_constraint as make_constraint
    from wgan_jax.algorithm.diagnostics import critic_diagnostics as critic_diagnostics
    from wgan_jax.algorithm.losses import gradient_norms as gradient_norms
    from wgan_jax.algorithm.losses import interpolate as interpolate
    from wgan_jax.algorithm.objectives import Losses as Losses
    from wgan_jax.algorithm.objectives import make_losses as make_losses
    from wgan_jax.algorithm.optimizers import make_optimizer as make_optimizer
    from wgan_jax.algorithm.state import init_state as init_state
    from wgan_jax.algorithm.state import make_spec as make_spec
    from wgan_jax.algorithm.steps import critic_step as critic_step
    from wgan_jax.algorithm.steps import generator_step as generator_step
    from wgan_jax.algorithm.steps import heldout_estimate as heldout_estimate
    from wgan_jax.algorithm.steps import train_chunk as train_chunk
    from wgan_jax.algorithm.steps import train_step as train_step
    from wgan_jax.config import Config as Config
    from wgan_jax.config import Data as Data
    from wgan_jax.config import Model as Model
    from wgan_jax.config import Objective as Objective
    from wgan_jax.config import Optimizer as Optimizer
    from wgan_jax.config import Run as Run
    from wgan_jax.config import load as load_config
    from wgan_jax.data.batches import make_get_batch as make_get_batch
    from wgan_jax.data.dataset import load as load_dataset
    from wgan_jax.data.toys import toy_sample as toy_sample
    from wgan_jax.errors import UserError as UserError
    from wgan_jax.interface.run import TrainedRun as TrainedRun
    from wgan_jax.interface.run import fit as fit
    from wgan_jax.interface.run import load as load
    from wgan_jax.metrics.critic import CriticEstimate as CriticEstimate
    from wgan_jax.metrics.critic import measure as measure_critic
    from wgan_jax.metrics.divergences import jensen_shannon as jensen_shannon
    from wgan_jax.metrics.divergences import kullback_leibler as kullback_leibler
    from wgan_jax.metrics.divergences import total_variation as total_variation
    from wgan_jax.metrics.frechet import Moments as Moments
    from wgan_jax.metrics.frechet import frechet_distance as frechet_distance
    from wgan_jax.metrics.kernel_distance import kernel_distance as kernel_distance
    from wgan_jax.metrics.metric import Metric as Metric
    from wgan_jax.metrics.metric import Number as Number
    from wgan_jax.metrics.mixtures import high_quality as high_quality
    from wgan_jax.metrics.mixtures import modes_covered as modes_covered
    from wgan_jax.metrics.neighbours import density_coverage as density_coverage
    from wgan_jax.metrics.neighbours import precision_recall as precision_recall
    from wgan_jax.metrics.transport import distance_to_truth as distance_to_truth
    from wgan_jax.metrics.transport import sliced_wasserstein as sliced_wasserstein
    from wgan_jax.metrics.transport import wasserstein_1 as wasserstein_1
    from wgan_jax.nn.models import build as build_networks
    from wgan_jax.nn.network import Network as Network
    from wgan_jax.runs.restore import restore_run as restore_run
    from wgan_jax.runs.sampling import make_sampler as make_sampler

__version__ = "0.1.0"

_PLACES = {
    "fit": ("interface.run", "fit"),
    "load": ("interface.run", "load"),
    "TrainedRun": ("interface.run", "TrainedRun"),
    "Config": ("config", "Config"),
    "Data": ("config", "Data"),
    "Model": ("config", "Model"),
    "Objective": ("config", "Objective"),
    "Optimizer": ("config", "Optimizer"),
    "Run": ("config", "Run"),
    "UserError": ("errors", "UserError"),
    "load_config": ("config", "load"),
    "Constraint": ("algorithm.constraints", "Constraint"),
    "Losses": ("algorithm.objectives", "Losses"),
    "gradient_norms": ("algorithm.losses", "gradient_norms"),
    "interpolate": ("algorithm.losses", "interpolate"),
    "make_losses": ("algorithm.objectives", "make_losses"),
    "make_constraint": ("algorithm.constraints", "make_constraint"),
    "make_optimizer": ("algorithm.optimizers", "make_optimizer"),
    "build_networks": ("nn.models", "build"),
    "Network": ("nn.network", "Network"),
    "make_spec": ("algorithm.state", "make_spec"),
    "init_state": ("algorithm.state", "init_state"),
    "critic_step": ("algorithm.steps", "critic_step"),
    "generator_step": ("algorithm.steps", "generator_step"),
    "train_step": ("algorithm.steps", "train_step"),
    "train_chunk": ("algorithm.steps", "train_chunk"),
    "load_dataset": ("data.dataset", "load"),
    "make_get_batch": ("data.batches", "make_get_batch"),
    "make_sampler": ("runs.sampling", "make_sampler"),
    "restore_run": ("runs.restore", "restore_run"),
    "wasserstein_1": ("metrics.transport", "wasserstein_1"),
    "sliced_wasserstein": ("metrics.transport", "sliced_wasserstein"),
    "distance_to_truth": ("metrics.transport", "distance_to_truth"),
    "measure_critic": ("metrics.critic", "measure"),
    "CriticEstimate": ("metrics.critic", "CriticEstimate"),
    "Metric": ("metrics.metric", "Metric"),
    "Number": ("metrics.metric", "Number"),
    "frechet_distance": ("metrics.frechet", "frechet_distance"),
    "critic_diagnostics": ("algorithm.diagnostics", "critic_diagnostics"),
    "heldout_estimate": ("algorithm.steps", "heldout_estimate"),
    "Moments": ("metrics.frechet", "Moments"),
    "kernel_distance": ("metrics.kernel_distance", "kernel_distance"),
    "precision_recall": ("metrics.neighbours", "precision_recall"),
    "density_coverage": ("metrics.neighbours", "density_coverage"),
    "modes_covered": ("metrics.mixtures", "modes_covered"),
    "high_quality": ("metrics.mixtures", "high_quality"),
    "total_variation": ("metrics.divergences", "total_variation"),
    "kullback_leibler": ("metrics.divergences", "kullback_leibler"),
    "jensen_shannon": ("metrics.divergences", "jensen_shannon"),
    "toy_sample": ("data.toys", "toy_sample"),
}

__all__ = [
    "Config",
    "Constraint",
    "CriticEstimate",
    "Data",
    "Losses",
    "Metric",
    "Model",
    "Moments",
    "Network",
    "Number",
    "Objective",
    "Optimizer",
    "Run",
    "TrainedRun",
    "UserError",
    "build_networks",
    "critic_diagnostics",
    "critic_step",
    "density_coverage",
    "distance_to_truth",
    "fit",
    "frechet_distance",
    "generator_step",
    "gradient_norms",
    "heldout_estimate",
    "high_quality",
    "init_state",
    "interpolate",
    "jensen_shannon",
    "kernel_distance",
    "kullback_leibler",
    "load",
    "load_config",
    "load_dataset",
    "make_constraint",
    "make_get_batch",
    "make_losses",
    "make_optimizer",
    "make_sampler",
    "make_spec",
    "measure_critic",
    "modes_covered",
    "precision_recall",
    "restore_run",
    "sliced_wasserstein",
    "total_variation",
    "toy_sample",
    "train_chunk",
    "train_step",
    "wasserstein_1",
]


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
