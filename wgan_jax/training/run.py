"""Training of one run, in a directory or in memory, to its end or to a stop request.

The command and the Python interface share it.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

from wgan_jax.algorithm.state import TrainState
from wgan_jax.config import Config
from wgan_jax.data.record import NO_DATA
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import BatchSharding
from wgan_jax.distributed.stop import SharedStopRequest, StopRequest
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints, MemoryCheckpoints
from wgan_jax.runs.log import MemoryLog, RunLog
from wgan_jax.training import setup as setups
from wgan_jax.training.best import BestCheckpoint
from wgan_jax.training.branch import InitFrom, find_parent
from wgan_jax.training.loop import RunRecorder, run_loop
from wgan_jax.training.progress import make_progress
from wgan_jax.training.setup import Setup

Callback = Callable[[int, dict[str, float]], object]
"""callback(step, metrics of a record) -> whether to end training."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run after training."""

    setup: Setup
    state: TrainState
    grid: Path | None = None
    """Newest grid of samples; None where this training has drawn none."""


def train(
    config: Config,
    sharding: BatchSharding,
    out: Path,
    *,
    setup: Setup | None = None,
    fresh: bool = False,
    extend: bool = False,
    accept_changed_data: bool = False,
    init_from: InitFrom | None = None,
    began: Callable[[], None] = lambda: None,
    until: int | None = None,
    stop=None,
    callback: Callback | None = None,
) -> Trained:
    """Trains the run in the directory `out` to its end, or to a stop request.

    Nothing is written, and no old run is moved, before all that training needs is
    loaded and compiled. setup: of earlier training of this run; None loads the data.
    fresh, extend: see `directory.claimed`. accept_changed_data: resumes a run although
    its data have changed. init_from: weights of another run for a run without a
    checkpoint. began: called once the directory has the files of a run. until: step to
    end at; None is run.steps. stop: a context with the attribute `requested`; None is a
    `StopRequest`.
    """
    with contextlib.ExitStack() as stack:
        # Before the data, so that an unusable directory costs no waiting.
        begin = stack.enter_context(
            directory.claimed(out, config, fresh=fresh, extend=extend)
        )
        parent = find_parent(out, config, init_from, fresh)
        if setup is None:
            record = NO_DATA
            if not fresh:
                record = directory.read_data_record(out, missing=record)
            if parent and parent.vocabulary:
                # Networks know characters by number alone.
                record = dataclasses.replace(record, vocabulary=parent.vocabulary)
            dataset = setups.load_dataset(config, sharding, record)
            setup = Setup(config, sharding, dataset)
        record = setup.dataset.record
        if not fresh:
            check = partial(directory.check_same_data, out, record, accept_changed_data)
            processes.run_in_main(check)
        evaluate = None
        if config.run.evaluate_every:
            best = BestCheckpoint(config, setup.spec, setup.dataset)
            evaluate = partial(best.evaluate, out=out)
        run, state = config.run, setup.initial_state()
        checkpoints = stack.enter_context(
            Checkpoints(out / "checkpoints", run.max_to_keep, run.keep_every, sharding)
        )
        if not fresh:
            saved = checkpoints.resume(state, print)
            if saved is not None:
                print(f"resuming {out} from step {int(saved.step)}")
                state = sharding.replicate(saved)
        if parent:
            state = sharding.replicate(parent.start(state, setup.spec.constraint))
        step = int(state.step)
        processes.check_same(str(step), "checkpoints to resume from")
        if step >= (until or run.steps):
            return Trained(setup, state)
        output = stack.enter_context(processes.output_directory(out))

        def begin_from():
            begin(record, parent and parent.record)
            began()
            if parent:
                # So that the parent is not needed again.
                checkpoints.save(state)

        return _train(
            config,
            setup,
            state,
            output=output,
            checkpoints=checkpoints,
            open_log=partial(RunLog, output, step, run.tensorboard),
            begin=begin_from,
            evaluate=evaluate,
            until=until,
            stop=stop,
            callback=callback,
        )


def train_in_memory(
    config: Config,
    setup: Setup,
    state: TrainState,
    log: MemoryLog,
    *,
    until: int | None = None,
    stop=None,
    callback: Callback | None = None,
) -> Trained:
    """As `train`, from a state that may be donated, and without a directory.

    Where training is interrupted at once, the state of the newest record is returned.
    """
    evaluate = None
    if config.run.evaluate_every:
        best = BestCheckpoint(config, setup.spec, setup.dataset)
        evaluate = best.evaluate
    checkpoints = MemoryCheckpoints()
    # A copy on the device costs nothing.
    run = dataclasses.replace(config.run, checkpoint_every=config.run.log_every)
    try:
        return _train(
            dataclasses.replace(config, run=run),
            setup,
            state,
            output=None,
            checkpoints=checkpoints,
            open_log=lambda: log,
            begin=lambda: None,
            evaluate=evaluate,
            until=until,
            stop=stop,
            callback=callback,
        )
    except KeyboardInterrupt:
        if checkpoints.newest is None:
            raise
        return Trained(setup, checkpoints.newest)


def _train(
    config,
    setup,
    state,
    *,
    output,
    checkpoints,
    open_log,
    begin,
    evaluate,
    until,
    stop,
    callback,
):
    """Compiles, calls begin(), and trains. output: directory of pictures, or None."""
    if until:
        run = dataclasses.replace(config.run, steps=until)
        config = dataclasses.replace(config, run=run)
    with contextlib.ExitStack() as stack:
        # Before the compilation, during which it reads the first batches.
        prefetcher = stack.enter_context(setup.prefetcher(config, state))
        chunk = setup.compile(state)
        monitor = setup.monitor(config, directory=output, evaluate=evaluate)
        monitor.compile(state)
        begin()
        kind = SharedStopRequest if processes.is_multiprocess() else StopRequest
        stop = stack.enter_context(stop or kind())
        log = stack.enter_context(open_log())
        log.print_warnings()
        stack.callback(log.print_warnings)
        recorder = RunRecorder(
            config,
            int(state.step),
            monitor=monitor,
            checkpoints=checkpoints,
            log=log,
            progress=stack.enter_context(make_progress()),
            stopped=lambda: stop.requested,
            prefetcher=prefetcher,
            callback=callback,
        )

        def advance(state, count):
            if prefetcher:
                return prefetcher.advance(chunk, state, count)
            return chunk(state, setup.samples, count)

        state = run_loop(recorder, state, advance)
    return Trained(setup, state, recorder.grid)
