"""Training."""

import contextlib
import dataclasses
import math
import statistics
import time

import jax
import jax.numpy as jnp

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.algorithm.state import TrainState, init_state
from wgan_jax.distributed.sharding import memory_limit
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.log import ProgressLine, RunLog, duration
from wgan_jax.sweeps.members import (
    Member,
    varied_hyperparameters,
)
from wgan_jax.training.best import BestCheckpoint
from wgan_jax.training.loop import Clock, Diverged, drive, follow
from wgan_jax.training.monitor import Monitor, MonitorPrograms
from wgan_jax.training.setup import prepare

# All of a run has its own entry in a stack but its step, which all runs share: what
# depends on it alone, as the number of critic updates, then stays one for all.
AXES = TrainState(step=None, key=0, generator=0, critic=0, ema=0)


# Seconds that each way of training is tried for, once compiled.
TRIAL = 0.5


@dataclasses.dataclass
class _Open:
    """A member in training: where it stands and what keeps it."""

    member: Member
    state: TrainState
    numbers: dict
    monitor: Monitor
    checkpoints: Checkpoints
    log: RunLog

    def follow(self, line, stopped):
        """See `loop.follow`."""
        kept = (self.monitor, self.checkpoints, self.log, line, stopped)
        return follow(self.member.cfg, int(self.state.step), *kept)


def train_group(members, sharding, mode, stop):
    """Trains members of one program to the end; returns {name: why it diverged}."""
    cfg = members[0].cfg
    dataset, samples, spec = prepare(cfg, sharding)
    if dataset.stream:
        raise UserError(
            f"a sweep keeps its images on the device, and these are streamed "
            f"({dataset.stream.why}): take data.stream=never, or train the runs one "
            "by one with python -m wgan_jax.train"
        )
    programs, numbers = MonitorPrograms(cfg, spec), varied_hyperparameters(members)
    watch = BestCheckpoint(cfg, spec, dataset) if cfg.run.evaluate_every else None
    init = jax.jit(lambda key, n: init_state(key, spec.with_hyperparameters(n)))

    def chunk(state, numbers, samples, count):
        own = spec.with_hyperparameters(numbers)
        return steps.train_chunk(state, samples, count, spec=own)

    diverged = {}
    with contextlib.ExitStack() as stack:
        by_step = {}
        for member, own in zip(members, numbers, strict=True):
            keys = jax.random.split(jax.random.key(member.seed), 4)
            state = init(keys[0], own)
            directory.initialise(member.out, member.cfg)
            keep = (cfg.run.max_to_keep, cfg.run.keep_every)
            checkpoints = stack.enter_context(
                Checkpoints(member.out / "checkpoints", *keep)
            )
            state = checkpoints.restore_newest(state, print, move=True) or state
            state = sharding.replicate(state)
            step = int(state.step)
            if step >= cfg.run.steps:
                continue
            log = RunLog(member.out, step, cfg.run.tensorboard)
            stack.enter_context(log)
            places = (dataset, samples, keys[1:], member.out, watch)
            monitor = Monitor(member.cfg, programs, *places, numbers=own)
            run = _Open(member, state, own, monitor, checkpoints, log)
            by_step.setdefault(step, []).append(run)
        if len(members) > sum(map(len, by_step.values())):
            trained = len(members) - sum(map(len, by_step.values()))
            print(f"{trained} of {len(members)} are trained to the end already")
        # One number each, but for a sweep that was killed between two of its saves.
        for runs in by_step.values():
            if not stop.requested:
                diverged |= _train_runs(runs, chunk, samples, mode, stop)
    return diverged


def _train_runs(runs, chunk, samples, mode, stop):
    print("compiling ...", flush=True)
    start = time.perf_counter()
    one = jax.jit(chunk, donate_argnums=0)
    first = runs[0]
    arguments = (first.state, first.numbers, samples, jnp.int32(1))
    one = one.lower(*arguments).compile()
    size = min(len(runs), _how_many_fit(one, samples))
    many = jax.vmap(chunk, in_axes=(AXES, 0, None, None), out_axes=(AXES, 0))
    many = jax.jit(many, donate_argnums=0)
    together = mode == "together"
    if mode == "auto" and size > 1:
        together = _is_faster(many, one, runs[:size], samples)
    first.monitor.compile(first.state)
    print(f"compiled in {time.perf_counter() - start:.1f} s", flush=True)
    diverged = {}
    if together:
        for batch in (runs[i : i + size] for i in range(0, len(runs), size)):
            if not stop.requested:
                diverged |= _run_together(batch, many, samples, stop)
        return diverged
    for run in runs:
        if stop.requested:
            break
        print(f"\n{run.member.name}", flush=True)

        def advance(state, count, own=run.numbers):
            return one(state, own, samples, count)

        follower = run.follow(ProgressLine(), lambda: stop.requested)
        try:
            drive(follower, run.state, advance)
        except Diverged as error:
            diverged[run.member.name] = str(error)
    print()
    return diverged


def _how_many_fit(one, samples):
    """Runs that the memory holds beside the samples, by what the program of one needs.

    With a tenth to spare; without a limit where the system does not tell.
    """
    limit = memory_limit("SC_AVPHYS_PAGES")
    if limit is None:
        return 2**30
    sizes, shared = (
        one.memory_analysis(),
        sum(a.nbytes for a in jax.tree.leaves(samples)),
    )
    # A state is there twice while many of them are stacked.
    own = sizes.argument_size_in_bytes - shared
    needed = 2 * own + sizes.temp_size_in_bytes
    return max(1, int((0.9 * limit - shared) / needed))


def _is_faster(many, one, runs, samples):
    """Whether a program of all runs takes less time than theirs in turn; tells both."""
    stacked, numbers = _stack(runs)
    first = runs[0]
    in_turn = len(runs) * _seconds_per_step(
        lambda state, count: one(state, first.numbers, samples, count), first.state
    )
    together = _seconds_per_step(
        lambda state, count: many(state, numbers, samples, count), stacked
    )
    faster = together < in_turn
    print(f"a step of {len(runs)} runs takes {1000 * together:.3g} ms in one program "
          f"and {1000 * in_turn:.3g} ms one after another: training them "
          f"{'together' if faster else 'in turn'}", flush=True)  # fmt: skip
    return faster


def _seconds_per_step(advance, state):
    """Of training from a copy of the state, for about TRIAL seconds."""
    state = jax.tree.map(jnp.copy, state)
    state, _ = jax.block_until_ready(advance(state, jnp.int32(1)))
    count = 1
    while True:
        start = time.perf_counter()
        state, _ = jax.block_until_ready(advance(state, jnp.int32(count)))
        taken = time.perf_counter() - start
        if taken > TRIAL / 2:
            return taken / count
        count = min(4 * count, math.ceil(TRIAL * count / taken))


def _stack(runs):
    states, numbers = [run.state for run in runs], [run.numbers for run in runs]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    stacked = dataclasses.replace(stacked, step=jnp.array(states[0].step))
    return stacked, jax.tree.map(lambda *leaves: jnp.stack(leaves), *numbers)


@jax.jit
def _pick(stacked, metrics, i):
    """State and metrics of run number i."""
    state, metrics = jax.tree.map(lambda a: a[i] if a.ndim else a, (stacked, metrics))
    return state, metrics


class _Silent:
    """In the place of a progress line, where one is shown for many runs."""

    def show(self, text):
        """Shows nothing."""

    def clear(self):
        """There is nothing to clear."""


def _run_together(runs, many, samples, stop):
    """Trains runs of equal steps in one program; returns {name: why it diverged}."""
    cfg, stopped, diverged = runs[0].member.cfg, False, {}
    stacked, numbers = _stack(runs)
    line, shown = ProgressLine(), int(stacked.step)
    clock, live = Clock(shown), {}
    for i, run in enumerate(runs):
        follower = run.follow(_Silent(), lambda: stopped)
        live[i] = follower, next(follower)
        # It is in the stack now.
        run.state = None
    while live:
        count = next(iter(live.values()))[1]
        stacked, metrics = many(stacked, numbers, samples, jnp.int32(count))
        # Asked once for all, so that they end at the same step.
        stopped = stop.requested
        for i, (follower, _) in list(live.items()):
            try:
                live[i] = follower, follower.send(_pick(stacked, metrics, i))
            except StopIteration:
                del live[i]
            except Diverged as error:
                diverged[runs[i].member.name] = str(error)
                del live[i]
        logged = max(run.log.last[0] for run in runs)
        if logged > shown:
            shown = logged
            line.show(_together_line(cfg, runs, shown, clock.rate(shown)))
    print()
    return diverged


def _together_line(cfg, runs, step, rate):
    estimate = make_losses(cfg.objective).metric
    values = [run.log.last[1][estimate] for run in runs if run.log.last[0] == step]
    spread = f" +- {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return "  ".join(
        [
            f"step {step}/{cfg.run.steps}",
            f"{len(values)} runs",
            f"{rate:.3g} cycles/s each",
            f"{estimate} {statistics.mean(values):.4g}{spread}",
            f"{duration((cfg.run.steps - step) / rate)} left",
        ]
    )
