"""Train a configuration: `python -m wgan_jax.train --config configs/digits.py`."""

import dataclasses
import shlex
import sys
from pathlib import Path

import jax

from wgan_jax import cli
from wgan_jax.config import to_json
from wgan_jax.distributed import launcher, processes
from wgan_jax.distributed.launcher import DistributedOptions
from wgan_jax.distributed.sharding import make_sharding
from wgan_jax.errors import UserError
from wgan_jax.pages.write import NAME, write_page
from wgan_jax.references import describe
from wgan_jax.runs import directory
from wgan_jax.sizes import check_memory
from wgan_jax.training.branch import InitFrom, open_parent
from wgan_jax.training.loop import Diverged
from wgan_jax.training.plan import print_plan
from wgan_jax.training.progress import LogFormat, log_output
from wgan_jax.training.run import train
from wgan_jax.training.setup import Setup, load_dataset
from wgan_jax.validation import validate


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of one run."""

    config: str = ""
    """Python file whose get_config() returns the configuration, config.json of a run,
    or auto, which chooses one for the data in --data.dir and prints the reasons."""
    out: str = ""
    """Run directory; empty is runs/NAME for configs/NAME.py, or
    with auto for the data NAME."""
    seed: int = -1
    """Short for --run.seed; -1 leaves it unchanged."""
    init_from: str = ""
    """Run whose weights this run starts from, at step 0, with its own data, seed and
    hyperparameters. The networks must be equal."""
    checkpoint: str = ""
    """With --init-from: step of its checkpoint; empty takes the newest, best the best
    one of training."""
    init_averaged: bool = False
    """With --init-from: start the generator from the averaged weights."""
    keep_optimizers: bool = False
    """With --init-from: also take the state of the optimizers, instead of new ones."""
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
    report: bool = True
    """Write the page of the run, report.html, at the end of training (by one
    process)."""
    log_format: LogFormat = "auto"
    """Output: a live display on a terminal and a line per record elsewhere (auto), a
    line per record (lines), or a JSON object per line (json)."""


@dataclasses.dataclass(frozen=True)
class Options(DistributedOptions, RunOptions):
    """Trains a Wasserstein GAN, or resumes a run that was stopped."""


def main(argv=None) -> int:
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    config, options = cli.parse_config(
        Options, argv, "python -m wgan_jax.train", one_run=True
    )
    if options.compile and not options.dry_run:
        raise UserError("--compile applies to --dry-run only: add --dry-run")
    cli.refuse_together(options, "fresh", "extend")
    _note_parent(options)
    init_from = _origin(options)
    if options.seed != -1:
        if cli.given(argv, "--run.seed"):
            raise UserError("--seed is short for --run.seed: give one of them")
        run = dataclasses.replace(config.run, seed=options.seed)
        config = dataclasses.replace(config, run=run)
    validate(config)
    if options.enabled() and not launcher.is_child():
        return launcher.supervise("wgan_jax.train", argv)
    with (
        log_output(options.log_format),
        launcher.joined(options),
        jax.default_matmul_precision(config.run.precision),
    ):
        processes.check_same(to_json(config), "configurations")
        sharding = make_sharding(config, options.devices)
        check_memory(config, sharding.count)
        if options.dry_run:
            print_plan(config, directory.environment(config))
            if init_from:
                open_parent(config, init_from)
            if options.compile:
                dataset = load_dataset(config, sharding)
                setup = Setup(config, sharding, dataset)
                setup.compile(setup.initial_state())
            return 0
        out = Path(options.out or f"runs/{cli.run_name(options.config, config)}")
        report = options.report and not processes.is_multiprocess()
        try:
            trained = train(
                config,
                sharding,
                out,
                fresh=options.fresh,
                extend=options.extend,
                accept_changed_data=options.accept_changed_data,
                init_from=init_from,
            )
        except Diverged:
            if report:
                _write_report(out)
            raise
        _print_end(config, out, trained)
        if report:
            _write_report(out)
    return 0


def _write_report(out):
    """Writes the page of a run, whose training a failure of the page does not undo."""
    try:
        print(f"page of the run: {write_page([out])}")
    # Also for Ctrl-C: the run is saved.
    except (Exception, KeyboardInterrupt) as error:
        print(
            f"warning: {out / NAME} is not written ({describe(error)}); the run is "
            f"saved, and python -m wgan_jax.report {out} writes its page"
        )


def _note_parent(options):
    """States that the weights of a parent are not part of a config.json."""
    parent = directory.read_parent(Path(options.config).parent)
    if options.config.endswith(".json") and parent and not options.init_from:
        start = shlex.join(directory.parent_options(parent))
        print(f"{options.config} is of a run that started from weights: add {start}")


def _origin(options):
    """The `InitFrom` of the options; None without --init-from."""
    if options.init_from:
        cli.refuse_together(options, "init_averaged", "keep_optimizers")
        return InitFrom(
            options.init_from,
            options.checkpoint,
            options.init_averaged,
            options.keep_optimizers,
        )
    for name in ("checkpoint", "init_averaged", "keep_optimizers"):
        if getattr(options, name):
            raise UserError(
                f"--{name.replace('_', '-')} applies to --init-from only: add "
                "--init-from RUN"
            )
    return None


def _print_end(config, out, trained):
    step = int(trained.state.step)
    if step < config.run.steps:
        print(f"stopped at step {step}, all saved; the same command resumes it")
    elif trained.grid:
        print(f"done: {step} steps, samples in {trained.grid}")
    else:
        more = "to train longer: --run.steps N --extend"
        if config.optimizer.decay == "linear":
            more = "its learning rate has decayed to 0; a longer run needs "
            more += "--run.steps N and another --out"
        print(f"{out} is trained to the end, step {step}; {more}")


if __name__ == "__main__":
    cli.run(main)
