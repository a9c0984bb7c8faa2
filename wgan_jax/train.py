"""Train a configuration: `python -m wgan_jax.train --config configs/digits.py`."""

import contextlib
import dataclasses
import sys
from functools import partial
from pathlib import Path

import jax

from wgan_jax import cli
from wgan_jax.algorithm.state import init_state
from wgan_jax.config import Config, to_json
from wgan_jax.data.record import NO_DATA
from wgan_jax.distributed import launcher, processes
from wgan_jax.distributed.launcher import DistributedOptions
from wgan_jax.distributed.sharding import BatchSharding, make_sharding
from wgan_jax.distributed.stop import SharedStopRequest, StopRequest
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.log import ProgressLine, RunLog
from wgan_jax.sizes import check_memory
from wgan_jax.training import setup
from wgan_jax.training.best import BestCheckpoint
from wgan_jax.training.loop import RunRecorder, run_loop
from wgan_jax.training.monitor import Monitor, MonitorPrograms
from wgan_jax.training.plan import print_plan
from wgan_jax.validation import validate


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of one run."""

    config: str = ""
    """Python file whose get_config() returns the configuration."""
    out: str = ""
    """Run directory; empty is runs/NAME for configs/NAME.py."""
    seed: int = -1
    """Short for --run.seed; -1 leaves it unchanged."""
    dry_run: bool = False
    """Print the resolved configuration, the networks and their cost, and stop."""
    compile: bool = False
    """With --dry-run: also load the data and compile the training program."""
    devices: int = 0
    """Devices of each process that share a batch; 0 uses as many as divide it."""
    fresh: bool = False
    """Move an existing run in --out to OUT.1 and start again."""
    extend: bool = False
    """Resume a run in --out that had fewer run.steps."""
    accept_changed_data: bool = False
    """Resume a run although its data have changed, and record the change."""


@dataclasses.dataclass(frozen=True)
class Options(DistributedOptions, RunOptions):
    """Trains a Wasserstein GAN, or resumes a run that was stopped."""


def main(argv=None) -> int:
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    config, options = cli.parse_config(Options, argv, "python -m wgan_jax.train")
    if options.compile and not options.dry_run:
        raise UserError("--compile applies to --dry-run only: add --dry-run")
    cli.refuse_together(options, "fresh", "extend")
    if options.seed != -1:
        if cli.given(argv, "--run.seed"):
            raise UserError("--seed is short for --run.seed: give one of them")
        run = dataclasses.replace(config.run, seed=options.seed)
        config = dataclasses.replace(config, run=run)
    validate(config)
    if options.enabled() and not launcher.is_child():
        return launcher.supervise("wgan_jax.train", argv)
    with (
        launcher.joined(options),
        jax.default_matmul_precision(config.run.precision),
    ):
        processes.check_same(to_json(config), "configurations")
        sharding = make_sharding(config, options.devices)
        check_memory(config, sharding.count)
        if options.dry_run:
            print_plan(config, directory.environment(config))
            if options.compile:
                _, samples, spec, state, _ = _initialise(config, sharding)
                setup.compile_chunk(state, samples, spec)
            return 0
        out = Path(options.out or f"runs/{Path(options.config).stem}")
        train(
            config,
            sharding,
            out,
            fresh=options.fresh,
            extend=options.extend,
            accept_changed_data=options.accept_changed_data,
        )
    return 0


def train(
    config: Config,
    sharding: BatchSharding,
    out: Path,
    *,
    fresh: bool = False,
    extend: bool = False,
    accept_changed_data: bool = False,
) -> None:
    """Trains the run in the directory `out` to its end, or to a stop request.

    Nothing is written, and no old run is moved, before all that training needs is
    loaded and compiled. fresh, extend: see `directory.claimed`. accept_changed_data:
    resumes a run although its data have changed.
    """
    with contextlib.ExitStack() as stack:
        # Before the data, so that an unusable directory costs no waiting.
        begin = stack.enter_context(
            directory.claimed(out, config, fresh=fresh, extend=extend)
        )
        record = NO_DATA
        if not fresh:
            record = directory.read_data_record(out, missing=record)
        dataset, samples, spec, state, keys = _initialise(config, sharding, record)
        if not fresh:
            accept = accept_changed_data
            check = partial(directory.check_same_data, out, dataset.record, accept)
            processes.run_in_main(check)
        evaluate = None
        if config.run.evaluate_every:
            best = BestCheckpoint(config, spec, dataset)
            evaluate = partial(best.evaluate, out=out)
        run = config.run
        checkpoints = stack.enter_context(
            Checkpoints(out / "checkpoints", run.max_to_keep, run.keep_every, sharding)
        )
        if not fresh:
            saved = checkpoints.resume(state, print)
            if saved is not None:
                print(f"resuming {out} from step {int(saved.step)}")
                state = sharding.replicate(saved)
        step = int(state.step)
        processes.check_same(str(step), "checkpoints to resume from")
        if step >= run.steps:
            more = "to train longer: --run.steps N --extend"
            if config.optimizer.decay == "linear":
                more = "its learning rate has decayed to 0; a longer run needs "
                more += "--run.steps N and another --out"
            print(f"{out} is trained to the end, step {step}; {more}")
            return
        prefetcher = None
        if dataset.stream:
            # Before the compilation, during which it reads the first batches.
            prefetcher = setup.make_prefetcher(config, dataset, state, sharding)
            stack.enter_context(prefetcher)
        chunk = setup.compile_chunk(state, samples, spec)
        get_batch, monitored = setup.prepare_monitor(config, spec, dataset, samples)
        output = stack.enter_context(processes.output_directory(out))
        monitor = Monitor(
            config,
            MonitorPrograms(config, spec, get_batch),
            dataset,
            monitored,
            keys,
            directory=output,
            evaluate=evaluate,
        )
        monitor.compile(state)
        begin(dataset.record)
        stop = stack.enter_context(
            SharedStopRequest() if processes.is_multiprocess() else StopRequest()
        )
        log = stack.enter_context(RunLog(output, step, run.tensorboard))
        log.print_warnings()
        recorder = RunRecorder(
            config,
            step,
            monitor=monitor,
            checkpoints=checkpoints,
            log=log,
            progress=ProgressLine(),
            stopped=lambda: stop.requested,
            prefetcher=prefetcher,
        )

        def advance(state, count):
            if prefetcher:
                return prefetcher.advance(chunk, state, count)
            return chunk(state, samples, count)

        try:
            run_loop(recorder, state, advance)
        finally:
            print()
            log.print_warnings()
    if recorder.step < run.steps:
        step = recorder.step
        print(f"stopped at step {step}, all saved; the same command resumes it")
    else:
        print(f"done: {recorder.step} steps, samples in {recorder.grid}")


def _initialise(config, sharding, record=NO_DATA):
    """(dataset, samples, spec, initial state, three keys of the monitor)."""
    dataset, samples, spec = setup.prepare(config, sharding, record)
    key, *monitor_keys = jax.random.split(jax.random.key(config.run.seed), 4)
    state = sharding.replicate(jax.jit(partial(init_state, spec=spec))(key))
    return dataset, samples, spec, state, monitor_keys


if __name__ == "__main__":
    cli.run(main)
