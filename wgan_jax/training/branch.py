"""Start of a run from the weights of another run, and the record of that parent."""

import dataclasses
import hashlib
from functools import partial
from pathlib import Path

import jax
import numpy as np

from wgan_jax.algorithm.state import Ema, TrainState, init_state, make_spec
from wgan_jax.config import Config, differences
from wgan_jax.data.record import NO_DATA
from wgan_jax.errors import UserError
from wgan_jax.runs import directory, restore


@dataclasses.dataclass(frozen=True)
class InitFrom:
    """The weights that a run starts from, as a command or a program names them."""

    run: str
    """Directory of the parent."""
    checkpoint: str = ""
    """A step, best, or empty for the newest."""
    averaged: bool = False
    """Start the generator from the parent's averaged weights."""
    keep_optimizers: bool = False
    """Also take the state of the parent's optimizers."""


@dataclasses.dataclass(frozen=True)
class Parent:
    """State of a parent that fits a new run, and its record."""

    origin: InitFrom
    state: TrainState
    record: dict
    """run, checkpoint, step, weights (their hash), averaged, keep_optimizers, and the
    parent's own record of a parent, if any."""
    vocabulary: str = ""
    """The characters that the parent's networks know by number, of text."""

    def start(self, state: TrainState, constraint) -> TrainState:
        """The initial state of a run with the parent's weights.

        Step and key are those of `state`, so that noise and data follow its seed.
        constraint: projects the critic where it bounds weights, as before every first
        step.
        """
        parent, generator = self.state, self.state.generator
        if self.origin.averaged:
            generator = dataclasses.replace(
                generator, params=parent.ema.params, stats=parent.ema.stats
            )
        critic = parent.critic
        if constraint.project:
            projected = constraint.project(critic.params)
            critic = dataclasses.replace(critic, params=projected)
        if not self.origin.keep_optimizers:
            generator = dataclasses.replace(
                generator, opt_state=state.generator.opt_state
            )
            critic = dataclasses.replace(critic, opt_state=state.critic.opt_state)
        ema = None
        if state.ema is not None:
            average = parent.ema or parent.generator
            # A copy, since the donated state may not hold one buffer twice.
            params, stats = jax.tree.map(np.array, (average.params, average.stats))
            ema = Ema(params=params, stats=stats)
        return dataclasses.replace(state, generator=generator, critic=critic, ema=ema)


def find_parent(
    out: Path, config: Config, origin: InitFrom | None, fresh: bool = False
) -> Parent | None:
    """The parent that the run in `out` still has to start from; None without one.

    A run with a checkpoint resumes and does not read its parent. Raises UserError where
    the run started from elsewhere, or the parent does not exist or does not fit.
    """
    if origin and Path(origin.run).resolve() == Path(out).resolve():
        raise UserError(f"--init-from {origin.run} is --out itself: give another --out")
    known = None if fresh else directory.read_parent(out)
    exists = not fresh and (Path(out) / "config.json").exists()
    if origin and exists:
        if not known:
            raise UserError(
                f"--init-from {origin.run}: --out {out} holds a run that started from "
                "initial weights: give another --out, or --fresh to move it aside"
            )
        for name, value in _named(origin).items():
            if (old := known.get(name)) != value:
                raise UserError(
                    f"--init-from {origin.run}: --out {out} holds a run that started "
                    f"with {name} {old or 'newest'}, not {value or 'newest'}: give "
                    "another --out, or --fresh to move it aside"
                )
    if exists and directory.saved_steps(out):
        return None
    if known and not origin:
        raise UserError(
            f"{out} starts from {known['run']} and has no checkpoint yet: add "
            f"--init-from {known['run']}, or --fresh to start from initial weights"
        )
    return open_parent(config, origin) if origin else None


def open_parent(config: Config, origin: InitFrom) -> Parent:
    """The parent's state. Raises UserError where it does not exist or does not fit."""
    run, theirs = origin.run, directory.read_config(origin.run)
    # Before anything is compiled.
    shapes = _network_shapes(theirs), _network_shapes(config)
    _check_networks(run, theirs, config, *shapes)
    if origin.keep_optimizers:
        there, here = (_shapes(state, "opt_state") for state in shapes)
        if there != here:
            kinds = f"{theirs.optimizer.kind} there and {config.optimizer.kind} here"
            raise UserError(
                f"--keep-optimizers: optimizer.kind is {kinds}: give the same, or "
                "leave --keep-optimizers out"
            )
    if origin.averaged and not theirs.optimizer.ema_decay:
        raise UserError(
            f"--init-averaged: {run} has no averaged weights (optimizer.ema_decay=0): "
            "leave it out"
        )
    _, _, state = restore.restore_run(run, origin.checkpoint)
    record = _named(origin) | {"step": int(state.step), "weights": fingerprint(state)}
    if grandparent := directory.read_parent(run):
        record["parent"] = grandparent
    lines = differences(theirs, config)
    changed = "; ".join(line for line in lines if not line.startswith("run."))
    more = f", which differs in {changed} (there and here)" if changed else ""
    print(f"starting from step {record['step']} of {run}{more}")
    data = directory.read_data_record(run, missing=NO_DATA)
    return Parent(origin, state, record, data.vocabulary)


def fingerprint(state: TrainState) -> str:
    """Hash of the weights and statistics of both networks."""
    digest = hashlib.sha256()
    for net in (state.generator, state.critic):
        for leaf in jax.tree.leaves((net.params, net.stats)):
            digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()[:24]


def _named(origin):
    """The fields of an origin as a record has them."""
    return dataclasses.asdict(origin) | {"run": str(Path(origin.run).resolve())}


def _network_shapes(config):
    """The shapes of a state of a configuration."""
    init = partial(init_state, spec=make_spec(config))
    return jax.eval_shape(init, jax.random.key(0))


def _shapes(state, part):
    """[(path, shape)] of the leaves of a part of both networks."""
    shapes = []
    for net in (state.generator, state.critic):
        leaves, _ = jax.tree_util.tree_flatten_with_path(getattr(net, part))
        shapes.append([(jax.tree_util.keystr(p), leaf.shape) for p, leaf in leaves])
    return shapes


def _check_networks(run, theirs, ours, saved, wanted):
    """Raises UserError, which names a field, where weights do not fit."""
    for part in ("params", "stats"):
        pairs = zip(_shapes(saved, part), _shapes(wanted, part), strict=True)
        for network, (there, here) in zip(("generator", "critic"), pairs, strict=True):
            if there == here:
                continue
            field = _differing(theirs, ours)
            reason = f"{field} (there and here)" if field else f"its {network} differs"
            raise UserError(
                f"--init-from {run} has other networks: {reason}; networks must be "
                "equal to take over weights"
            )


def _differing(theirs, ours):
    """The first field that differs and shapes networks, with both values."""
    if theirs.data.sample_shape != ours.data.sample_shape:
        names = ["image_size", "channels", "dimensions", "length", "vocabulary"]
        names.append("source")
        wanted = [f"data.{name}" for name in names]
    else:
        names = (
            "kind critic_kind classes z_dim features generator_widths critic_widths "
            "critic_halvings kernel ends generator_extra_depth critic_extra_depth "
            "generator_norm critic_norm generator_activation critic_activation bias "
            "critic_bias"
        )
        wanted = [f"model.{name}" for name in names.split()]
    lines = {line.partition(":")[0]: line for line in differences(theirs, ours)}
    return next((lines[name] for name in wanted if name in lines), "")
