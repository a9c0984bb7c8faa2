"""Restoring a trained run from its directory."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax

from wgan_jax.algorithm.state import Spec, TrainState, init_state, make_spec
from wgan_jax.config import Config
from wgan_jax.data.dataset import Dataset, load, load_in_memory
from wgan_jax.errors import UserError
from wgan_jax.runs.checkpoint import Checkpoints, DamagedCheckpoint, is_finite
from wgan_jax.runs.directory import (
    BEST_CHECKPOINTS,
    check_same_data,
    read_best,
    read_config,
    read_data_record,
)
from wgan_jax.sizes import check_weights


def restore_run(run, checkpoint: int | str = "") -> tuple[Config, Spec, TrainState]:
    """Configuration, specification and state of a run at a checkpoint.

    checkpoint: a step, "best" (by the metric of run.evaluate_every), or "", "last" or
    -1 for the newest. Raises UserError if the run or the checkpoint does not exist, and
    where weights are not finite.
    """
    config, spec, like = initial_state(run)
    return config, spec, restore_state(run, config, like, checkpoint)


def initial_state(run) -> tuple[Config, Spec, TrainState]:
    """Configuration and specification of a run, and a state of its structure."""
    config, record = read_config(run), read_data_record(run)
    check_weights(config)
    spec = make_spec(config, label_shares=record.label_shares, scales=record.scales)
    state = jax.jit(functools.partial(init_state, spec=spec))(jax.random.key(0))
    return config, spec, state


def restore_state(run, config: Config, like: TrainState, checkpoint: int | str = ""):
    """The state of a run at a checkpoint, of the structure of `like`.

    checkpoint, errors: see `restore_run`.
    """
    best = checkpoint == "best"
    newest = checkpoint in ("", "last")
    step = -1 if best or newest else _step(checkpoint)
    if best and not read_best(run):
        raise UserError(
            f"--checkpoint best: {run} has none (run.evaluate_every="
            f"{config.run.evaluate_every}): give a step, or train with "
            "--run.evaluate-every N"
        )
    with _open(run, config, BEST_CHECKPOINTS if best else "checkpoints") as checkpoints:
        saved = checkpoints.steps()
        if not saved:
            raise UserError(f"{run} has no checkpoint yet")
        state = _restore(checkpoints, run, like, step, saved)
    if not is_finite(state):
        raise UserError(
            f"{run} has diverged: its weights of step {int(state.step)} are not all "
            "finite; take an earlier checkpoint with --checkpoint"
        )
    return state


def load_data(run, config: Config, accept: bool = False, in_memory=False) -> Dataset:
    """The samples of a run, checked against the record of its data.

    accept: see `check_same_data`. in_memory: whatever data.stream says.
    """
    record = read_data_record(run)
    if in_memory:
        dataset = load_in_memory(config.data, record)
    else:
        dataset = load(config, record=record)
    check_same_data(run, dataset.record, accept)
    return dataset


def at_run_precision(function: Callable) -> Callable:
    """function(run, ...) with products of matrices in run.precision of that run."""

    @functools.wraps(function)
    def call(run, *args, **kwargs):
        with jax.default_matmul_precision(read_config(run).run.precision):
            return function(run, *args, **kwargs)

    return call


def checkpoint_steps(run) -> list[int]:
    """The steps of a run's checkpoints, oldest first; UserError if it has none."""
    with _open(run, read_config(run), "checkpoints") as checkpoints:
        saved = checkpoints.steps()
    if not saved:
        raise UserError(f"{run} has no checkpoint yet")
    return saved


def _restore(checkpoints, run, state, step, saved):
    if step == -1:
        return checkpoints.restore_newest(state, print, move=False) or state
    _check_saved(run, step, saved)
    try:
        return checkpoints.restore(state, step)
    except DamagedCheckpoint as error:
        # A run in training deletes old checkpoints.
        _check_saved(run, step, checkpoints.reload())
        reason = f"--checkpoint {step} of {run} is damaged: {error}"
        raise UserError(reason) from error


def _check_saved(run, step, saved):
    if step not in saved:
        known = ", ".join(map(str, saved))
        raise UserError(f"--checkpoint {step} is not saved: {run} has {known}")


def _open(run, config, name):
    directory = Path(run) / name
    if not directory.is_dir():
        raise UserError(f"{run} has no checkpoints")
    return Checkpoints(directory, config.run.max_to_keep, config.run.keep_every)


def _step(checkpoint):
    try:
        return int(checkpoint)
    except ValueError:
        raise UserError(
            f"--checkpoint {checkpoint} must be a step, best or last"
        ) from None
