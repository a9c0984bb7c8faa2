"""Trains a configuration: `python -m wgan_jax.train --config configs/digits.py`."""

import contextlib
import dataclasses
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import cli
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state
from wgan_jax.config import to_json
from wgan_jax.data.prefetch import Prefetcher
from wgan_jax.distributed import launcher, processes
from wgan_jax.distributed.launcher import DistributedOptions
from wgan_jax.distributed.sharding import make_sharding
from wgan_jax.distributed.stop import SharedStopRequest, StopRequest
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.log import ProgressLine, RunLog
from wgan_jax.training import loop
from wgan_jax.training.best import BestCheckpoint
from wgan_jax.training.monitor import Monitor, MonitorPrograms
from wgan_jax.training.plan import cycle_flops, print_plan
from wgan_jax.training.setup import prepare, seen
from wgan_jax.validation import validate


@dataclasses.dataclass(frozen=True)
class Options(DistributedOptions):
    """Trains a Wasserstein GAN, or goes on with a run that was stopped."""

    config: str = ""
    """Python file whose get_config() gives the configuration."""
    out: str = ""
    """Run directory; empty is runs/NAME for configs/NAME.py."""
    seed: int = -1
    """Short for --run.seed; -1 leaves it."""
    dry_run: bool = False
    """Print the resolved configuration, networks and cost, compile, and stop."""
    devices: int = 0
    """Devices of each process that share a batch; 0 takes as many as can evenly."""
    fresh: bool = False
    """Move a run that is in --out aside, to OUT.1, and start again."""
    extend: bool = False
    """Go on with a run in --out that had fewer run.steps."""


def main(argv=None) -> int:
    """Parses, builds, restores and trains; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    cfg, options = cli.parse_config(Options, argv, "python -m wgan_jax.train")
    if options.seed != -1:
        run = dataclasses.replace(cfg.run, seed=options.seed)
        cfg = dataclasses.replace(cfg, run=run)
    validate(cfg)
    several = options.several()
    if several and not launcher.is_child():
        return launcher.supervise("wgan_jax.train", argv)
    if several:
        launcher.join(options)
        processes.check_same(to_json(cfg), "configurations")
    sharding = make_sharding(cfg, options.devices)
    jax.config.update("jax_default_matmul_precision", cfg.run.precision)
    out = Path(options.out or f"runs/{Path(options.config).stem}")
    if not options.dry_run:
        # First of all, so that a directory that will not do costs no waiting.
        if processes.is_main_process():
            directory.check_or_create(
                out, cfg, fresh=options.fresh, extend=options.extend
            )
        processes.check_same_directory(out)
    dataset, samples, spec = prepare(cfg, sharding)
    keys = jax.random.split(jax.random.key(cfg.run.seed), 4)
    state = sharding.replicate(jax.jit(partial(init_state, spec=spec))(keys[0]))
    if options.dry_run:
        flops = cycle_flops(state, samples, spec)
        print_plan(cfg, spec, directory.environment(cfg), flops)
        _compile(state, samples, spec)
        return 0
    watch = BestCheckpoint(cfg, spec, dataset) if cfg.run.evaluate_every else None
    if processes.is_main_process():
        directory.initialise(out, cfg)
    keep = (cfg.run.max_to_keep, cfg.run.keep_every)
    with (
        Checkpoints(out / "checkpoints", *keep, sharding) as checkpoints,
        processes.output_directory(out) as written,
        contextlib.ExitStack() as stack,
    ):
        saved = checkpoints.restore_newest(state, print, move=True)
        if saved is not None:
            print(f"going on with {out} from step {int(saved.step)}")
            state = sharding.replicate(saved)
        step = int(state.step)
        processes.check_same(str(step), "checkpoints to go on from")
        if step >= cfg.run.steps:
            print(f"{out} is trained to the end, step {step}; more: --run.steps N "
                  "--extend")  # fmt: skip
            return 0
        stop = SharedStopRequest() if processes.is_multiprocess() else StopRequest()
        prefetcher = None
        if dataset.stream:
            # Before the compiler, so that the first batches are there behind it.
            prefetcher = stack.enter_context(_prefetcher(cfg, dataset, state, sharding))
        chunk = _compile(state, samples, spec)
        draw, shown = seen(cfg, spec, dataset, samples)
        programs = MonitorPrograms(cfg, spec, draw)
        monitor = Monitor(
            cfg, programs, dataset, shown, keys[1:], out, watch, written=written
        )
        monitor.compile(state)
        with RunLog(written, step, cfg.run.tensorboard) as log:
            kept = (monitor, checkpoints, log, ProgressLine(), lambda: stop.requested)
            step, sheet = loop.drive(
                loop.follow(cfg, step, *kept, prefetcher),
                state,
                partial(prefetcher.advance, chunk)
                if prefetcher
                else lambda state, count: chunk(state, samples, count),
            )
    if step < cfg.run.steps:
        print(f"\nstopped at step {step}, all saved; the same command goes on from it")
    else:
        print(f"\ndone: {step} steps, samples in {sheet}")
    return 0


def _prefetcher(cfg, dataset, state, sharding):
    def before(step):
        return int(steps.critic_updates_before(step, cfg.objective))

    # Of this process alone: what reads ahead computes when it likes.
    own = jax.random.wrap_key_data(np.asarray(jax.random.key_data(state.key)))
    _, key = steps.split_key(dataclasses.replace(state, key=own))
    place = processes.index_and_count()
    return Prefetcher(dataset.stream, sharding, key, int(state.step), before, place)


def _compile(state, samples, spec):
    print("compiling ...", flush=True)
    start = time.perf_counter()
    train_chunk = jax.jit(partial(steps.train_chunk, spec=spec), donate_argnums=0)
    compiled = train_chunk.lower(state, samples, jnp.int32(1)).compile()
    print(f"compiled in {time.perf_counter() - start:.1f} s", flush=True)
    return compiled


if __name__ == "__main__":
    cli.run(main)
