"""Training of one run in a directory: from its configuration to its end."""

import contextlib
from functools import partial
from pathlib import Path

from wgan_jax.config import Config
from wgan_jax.data.record import NO_DATA
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import BatchSharding
from wgan_jax.distributed.stop import SharedStopRequest, StopRequest
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.log import RunLog
from wgan_jax.training import setup
from wgan_jax.training.best import BestCheckpoint
from wgan_jax.training.loop import RunRecorder, run_loop
from wgan_jax.training.monitor import Monitor, MonitorPrograms
from wgan_jax.training.progress import make_progress


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
        dataset, samples, spec, state, keys = setup.initialise(config, sharding, record)
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
        stack.callback(log.print_warnings)
        recorder = RunRecorder(
            config,
            step,
            monitor=monitor,
            checkpoints=checkpoints,
            log=log,
            progress=stack.enter_context(make_progress()),
            stopped=lambda: stop.requested,
            prefetcher=prefetcher,
        )

        def advance(state, count):
            if prefetcher:
                return prefetcher.advance(chunk, state, count)
            return chunk(state, samples, count)

        run_loop(recorder, state, advance)
    if recorder.step < run.steps:
        step = recorder.step
        print(f"stopped at step {step}, all saved; the same command resumes it")
    else:
        print(f"done: {recorder.step} steps, samples in {recorder.grid}")
