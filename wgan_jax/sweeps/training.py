"""Training of the members of a sweep, in one vmapped program or one by one."""

import contextlib
import dataclasses
import math
import statistics
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.algorithm.state import TrainState, init_state, make_spec
from wgan_jax.config import Config
from wgan_jax.data.record import NO_DATA
from wgan_jax.distributed.sharding import memory_limit
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.log import RunLog
from wgan_jax.sweeps.members import Member, varied_hyperparameters
from wgan_jax.training.best import BestCheckpoint
from wgan_jax.training.loop import Clock, Diverged, RunRecorder, run_loop
from wgan_jax.training.monitor import Monitor, MonitorPrograms
from wgan_jax.training.progress import Status, make_progress
from wgan_jax.training.setup import load_dataset, prepare

# The runs of a stack share the step; all else has an entry per run. A value that
# depends on the step only, such as the number of critic updates, then stays a scalar.
AXES = TrainState(step=None, key=0, generator=0, critic=0, ema=0)

TRIAL_SECONDS = 0.5
"""Duration of the timing of each mode, after compilation."""


@dataclasses.dataclass
class _Run:
    """A member in training."""

    member: Member
    state: Any
    """A `TrainState`, or None once it is in a stack."""
    hyperparameters: dict
    monitor: Monitor
    checkpoints: Checkpoints
    log: Any = None
    """A `RunLog`, once the run is trained."""

    def recorder(self, stopped, progress=None):
        """Recorder from the step of the state; see `RunRecorder`."""
        return RunRecorder(
            self.member.config,
            int(self.state.step),
            monitor=self.monitor,
            checkpoints=self.checkpoints,
            log=self.log,
            stopped=stopped,
            progress=progress,
            name=self.member.name,
        )


def check_functions(config: Config) -> None:
    """Traces a step with functions of the user, which raises what they raise.

    So that no member is trained before a mistake in the functions of a later one.
    """
    fields = config.model, config.objective, config.optimizer
    if ":" not in "".join(map(str, map(dataclasses.astuple, fields))):
        return
    count, shape = config.data.batch_size, config.data.sample_shape

    def get_batch(samples, key, index):
        labels = jnp.zeros(count, jnp.int32)
        batch = jnp.zeros((count, *shape))
        return (batch, labels) if config.model.classes else batch

    spec = make_spec(config, get_batch)
    state = jax.eval_shape(partial(init_state, spec=spec), jax.random.key(0))
    chunk = partial(steps.train_chunk, spec=spec)
    jax.eval_shape(chunk, state, (), jnp.int32(1))


def train_group(
    members, sharding, mode, stop, begin, *, fresh=False, accept_changed_data=False
):
    """Trains members that share a program; returns {name: message of its divergence}.

    mode: together, in-turn or auto. stop: a `StopRequest`. begin(member, record)
    creates the run directory, right before its training starts. fresh: no member is
    resumed. accept_changed_data: members are resumed although their data have changed.
    """
    config = members[0].config
    old = () if fresh else [member.out for member in members]
    records = [directory.read_data_record(out, missing=NO_DATA) for out in old]
    dataset = load_dataset(config, sharding, (records or [NO_DATA])[0])
    samples, spec = prepare(config, dataset, sharding)
    for out in old:
        directory.check_same_data(out, dataset.record, accept_changed_data)
    if dataset.stream:
        raise UserError(
            "a sweep needs its images on the device, but they are streamed "
            f"({dataset.stream.reason}): take data.stream=never, or train the runs one "
            "by one with python -m wgan_jax.train"
        )
    best = None
    if config.run.evaluate_every:
        best = BestCheckpoint(config, spec, dataset)
    programs = MonitorPrograms(config, spec)
    init = jax.jit(
        lambda key, varied: init_state(key, spec.with_hyperparameters(varied))
    )

    def open_run(member, hyperparameters, stack):
        key, *monitor_keys = jax.random.split(jax.random.key(member.seed), 4)
        state = init(key, hyperparameters)
        checkpoints = stack.enter_context(
            Checkpoints(
                member.out / "checkpoints",
                config.run.max_to_keep,
                config.run.keep_every,
            )
        )
        if not fresh:
            state = checkpoints.resume(state, print) or state
        state = sharding.replicate(state)
        if int(state.step) >= config.run.steps:
            return None
        monitor = Monitor(
            member.config,
            programs,
            dataset,
            samples,
            monitor_keys,
            directory=member.out,
            evaluate=best and partial(best.evaluate, out=member.out),
            hyperparameters=hyperparameters,
        )
        return _Run(member, state, hyperparameters, monitor, checkpoints)

    def chunk(state, hyperparameters, samples, count):
        varied = spec.with_hyperparameters(hyperparameters)
        return steps.train_chunk(state, samples, count, spec=varied)

    def start_run(run):
        begin(run.member, dataset.record)
        log = RunLog(run.member.out, int(run.state.step), config.run.tensorboard)
        run.log = stack.enter_context(log)

    diverged = {}
    with contextlib.ExitStack() as stack:
        varied = varied_hyperparameters(members)
        runs = [open_run(m, v, stack) for m, v in zip(members, varied, strict=True)]
        runs = [run for run in runs if run]
        if len(runs) < len(members):
            trained = len(members) - len(runs)
            print(f"{trained} of {len(members)} are trained to the end already")
        # Members are at different steps only if the sweep was killed between two saves.
        by_step = {}
        for run in runs:
            by_step.setdefault(int(run.state.step), []).append(run)
        for runs in by_step.values():
            if not stop.requested:
                diverged |= _train_runs(runs, chunk, samples, mode, stop, start_run)
    return diverged


def _train_runs(runs, chunk, samples, mode, stop, start_run):
    """Trains runs at the same step; returns {name: message of its divergence}."""
    print("compiling ...", flush=True)
    start = time.perf_counter()
    first = runs[0]
    one = jax.jit(chunk, donate_argnums=0)
    one = one.lower(first.state, first.hyperparameters, samples, jnp.int32(1)).compile()
    many = jax.vmap(chunk, in_axes=(AXES, 0, None, None), out_axes=(AXES, 0))
    many = jax.jit(many, donate_argnums=0)
    size = min(len(runs), _how_many_fit(one, samples))
    together = mode == "together"
    if mode == "auto" and size > 1:
        together = _is_faster(many, one, runs[:size], samples)
    first.monitor.compile(first.state)
    print(f"compiled in {time.perf_counter() - start:.1f} s", flush=True)
    for run in runs if not stop.requested else ():
        start_run(run)
    diverged = {}
    if together:
        for i in range(0, len(runs), size):
            if not stop.requested:
                diverged |= _train_together(runs[i : i + size], many, samples, stop)
    else:
        for number, run in enumerate(runs, 1):
            if not stop.requested:
                print(f"\n{run.member.name}, run {number} of {len(runs)}", flush=True)
                diverged |= _train_alone(run, one, samples, stop)
        print()
    return diverged


def _train_alone(run, one, samples, stop):
    def advance(state, count):
        return one(state, run.hyperparameters, samples, count)

    try:
        with make_progress() as progress:
            recorder = run.recorder(lambda: stop.requested, progress)
            run_loop(recorder, run.state, advance)
    except Diverged as error:
        return {run.member.name: str(error)}
    return {}


def _train_together(runs, many, samples, stop):
    """Trains a stack of runs in one program."""
    config, stopped, diverged = runs[0].member.config, False, {}
    stacked, hyperparameters = _stack(runs)
    logged = int(stacked.step)
    clock = Clock(logged)
    recorders = [run.recorder(lambda: stopped) for run in runs]
    for run in runs:
        # The stack contains a copy.
        run.state = None
    live = dict(enumerate(recorders))
    with make_progress() as progress:
        while live:
            count = next(iter(live.values())).next_count()
            stacked, metrics = many(stacked, hyperparameters, samples, jnp.int32(count))
            # Read once, so that all runs stop at the same step.
            stopped = stop.requested
            for i, recorder in list(live.items()):
                try:
                    recorder.update(*_pick(stacked, metrics, i))
                except Diverged as error:
                    diverged[runs[i].member.name] = str(error)
                    del live[i]
                else:
                    if not recorder.next_count():
                        del live[i]
            newest = max(run.log.last[0] for run in runs)
            if newest > logged:
                logged = newest
                progress.show(_status(config, runs, logged, clock.rate(logged)))
    return diverged


@jax.jit
def _pick(stacked, metrics, i):
    """State and metrics of run number i."""
    state, metrics = jax.tree.map(lambda a: a[i] if a.ndim else a, (stacked, metrics))
    return state, metrics


def _stack(runs):
    def stack(trees):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    stacked = stack([run.state for run in runs])
    stacked = dataclasses.replace(stacked, step=jnp.array(runs[0].state.step))
    return stacked, stack([run.hyperparameters for run in runs])


def _how_many_fit(one, samples):
    """Number of runs that fit in memory next to the samples, with a tenth to spare.

    one: the compiled program of one run. Unlimited if the memory size is unknown.
    """
    limit = memory_limit("SC_AVPHYS_PAGES")
    if limit is None:
        return 2**30
    sizes = one.memory_analysis()
    shared = sum(a.nbytes for a in jax.tree.leaves(samples))
    # While runs are stacked, memory contains each state twice.
    needed = 2 * (sizes.argument_size_in_bytes - shared) + sizes.temp_size_in_bytes
    return max(1, int((0.9 * limit - shared) / needed))


def _is_faster(many, one, runs, samples):
    """Whether one program of all runs is faster than training them one by one."""
    stacked, hyperparameters = _stack(runs)
    first = runs[0]
    in_turn = len(runs) * _seconds_per_step(
        lambda state, count: one(state, first.hyperparameters, samples, count),
        first.state,
    )
    together = _seconds_per_step(
        lambda state, count: many(state, hyperparameters, samples, count), stacked
    )
    faster = together < in_turn
    choice = "together" if faster else "in turn"
    print(
        f"a step of {len(runs)} runs takes {1000 * together:.3g} ms in one program and "
        f"{1000 * in_turn:.3g} ms one after another: training them {choice}",
        flush=True,
    )
    return faster


def _seconds_per_step(advance, state):
    """Seconds per step, measured on a copy of the state for about TRIAL_SECONDS."""
    state = jax.tree.map(jnp.copy, state)
    state, _ = jax.block_until_ready(advance(state, jnp.int32(1)))
    count = 1
    while True:
        start = time.perf_counter()
        state, _ = jax.block_until_ready(advance(state, jnp.int32(count)))
        seconds = time.perf_counter() - start
        if seconds > TRIAL_SECONDS / 2:
            return seconds / count
        count = min(4 * count, math.ceil(TRIAL_SECONDS * count / seconds))


def _status(config, runs, step, rate):
    """Status of the runs that have logged this step."""
    estimate = make_losses(config.objective).metric
    values = [run.log.last[1][estimate] for run in runs if run.log.last[0] == step]
    mean = statistics.mean(values)
    spread = f" +- {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    figures = [
        f"{len(values)} runs",
        f"{rate:.3g} cycles/s each",
        f"{estimate} {mean:.4g}{spread}",
    ]
    return Status(step, config.run.steps, rate, {estimate: mean}, figures, estimate)
