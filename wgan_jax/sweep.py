"""Train seeds and settings: `python -m wgan_jax.sweep --config configs/digits.py`.

A sweep trains several seeds per setting, and ranks the settings by a measure that does
not depend on the critic: mean and standard deviation over seeds. Runs that differ only
in numeric hyperparameters share one vmapped program where that is faster.
"""

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Literal

import jax

from wgan_jax import cli
from wgan_jax.distributed.sharding import make_sharding
from wgan_jax.distributed.stop import StopRequest
from wgan_jax.errors import UserError
from wgan_jax.metrics.image_scores import LEAST
from wgan_jax.runs import directory
from wgan_jax.runs.lock import DirectoryLock
from wgan_jax.sizes import check_memory
from wgan_jax.sweeps.measures import measure_members
from wgan_jax.sweeps.members import make_members, shape_groups
from wgan_jax.sweeps.report import write_report
from wgan_jax.sweeps.settings import read_settings
from wgan_jax.sweeps.training import check_functions, train_group
from wgan_jax.training.progress import LogFormat, log_output

PROG = "python -m wgan_jax.sweep"


@dataclasses.dataclass(frozen=True)
class Options:
    """Trains several seeds per setting, and ranks the settings by exact W1 or by the
    Frechet distance."""

    config: str = ""
    """Python file whose get_config() returns the configuration, or auto, which chooses
    one for the data in --data.dir and prints the reasons."""
    settings: tuple[str, ...] = ()
    """Settings to compare, each one word in quotes: NAME: FIELD=VALUE FIELD=VALUE, with
    a configuration file before the fields instead of --config if you like; or a JSON
    file, {NAME: {FIELD: VALUE}}."""
    out: str = ""
    """Directory of the sweep; empty is runs/NAME-sweep for configs/NAME.py, or
    with auto for the data NAME."""
    seeds: int = 4
    """Number of seeds of each setting, counted from run.seed."""
    vary: tuple[str, ...] = ()
    """Fields and their values, FIELD=VALUE,VALUE; every combination is a setting, of
    each of --settings."""
    mode: Literal["auto", "together", "in-turn"] = "auto"
    """Train runs that differ only in seed and numeric hyperparameters in one program or
    one after another; auto times both and takes the faster."""
    features: Literal["auto", "classifier", "patches", "inception", "none"] = "auto"
    """Network of the Frechet distance that ranks settings on images; auto takes that of
    run.evaluate_every, or a classifier where the data have labels, or patches; none
    ranks nothing, points included."""
    num: int = 0
    """Samples of the score that ranks settings; 0 takes 2000 points, or as many images
    as there are to train on, at most 10000."""
    devices: int = 0
    """Devices of this machine that share a batch; 0 uses as many as divide it."""
    fresh: bool = False
    """Move an existing sweep in --out to OUT.1 and start again."""
    extend: bool = False
    """Resume runs that had fewer run.steps."""
    accept_changed_data: bool = False
    """Resume runs although their data have changed, and record the change."""
    log_format: LogFormat = "auto"
    """Output: a live display on a terminal and a line per record elsewhere (auto), a
    line per record (lines), or a JSON object per line (json)."""


def main(argv=None) -> int:
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    config, options = cli.parse_config(Options, argv, PROG, required=False)
    cli.require(options, "seeds", 1)
    cli.require(options, "num", LEAST if options.num else 0)
    cli.refuse_together(options, "fresh", "extend")

    def configure(file):
        if file:
            return cli.parse_config(Options, argv, PROG, required=False, file=file)[0]
        if not options.config:
            raise UserError("--config is missing: name a file, as in configs/digits.py")
        return config

    for option in ("settings", "vary"):
        if cli.given(argv, f"--{option}") and not getattr(options, option):
            raise UserError(f"--{option} has no value: give one after it")
    settings = read_settings(options.settings, configure)
    if options.config and all(setting.file for setting in settings):
        raise UserError(
            f"--config {options.config} is not used: each of --settings names a file"
        )
    for axis in options.vary:
        field = f"--{axis.partition('=')[0].replace('_', '-')}"
        if cli.given(argv, field):
            raise UserError(f"{field} is also varied: give its values by --vary only")
    for name in set.intersection(*(set(setting.fields) for setting in settings)):
        if cli.given(argv, f"--{name.replace('_', '-')}"):
            raise UserError(
                f"--{name.replace('_', '-')} is given, and set by each of --settings: "
                "give it once"
            )
    name = cli.run_name(options.config or settings[0].file, config)
    out = Path(options.out or f"runs/{name}-sweep")
    members = make_members(settings, out, options.seeds, options.vary)
    groups = shape_groups(members)
    shardings = [make_sharding(group[0].config, options.devices) for group in groups]
    for group, sharding in zip(groups, shardings, strict=True):
        check_memory(group[0].config, sharding.count)
        check_functions(group[0].config)
    count = len({member.setting for member in members})
    with contextlib.ExitStack() as stack:
        stack.enter_context(log_output(options.log_format))
        begin = _claim(out, members, options, stack)
        print(
            f"{_count(len(members), 'run')}: {_count(count, 'setting')}, "
            f"{_count(options.seeds, 'seed')} each, {_count(len(groups), 'program')}"
        )
        stop, diverged = stack.enter_context(StopRequest()), {}
        for group, sharding in zip(groups, shardings, strict=True):
            if len(groups) > 1:
                named = dict.fromkeys(member.setting for member in group)
                print(f"\n{', '.join(named)}: {_count(len(group), 'run')}")
            with jax.default_matmul_precision(group[0].config.run.precision):
                diverged |= train_group(
                    group,
                    sharding,
                    options.mode,
                    stop,
                    begin,
                    fresh=options.fresh,
                    accept_changed_data=options.accept_changed_data,
                )
            if stop.requested:
                print("\nstopped, all saved; the same command resumes the sweep")
                return 0
        for name, message in diverged.items():
            print(f"{name}: {message}")
        scores = {}
        if options.features != "none":
            trained = [member for member in members if member.name not in diverged]
            scores = measure_members(
                trained, options.features, options.num, lambda: stop.requested
            )
            if stop.requested:
                print("\nstopped, all saved; the same command resumes the sweep")
                return 0
        write_report(out, members, diverged, scores)
    return 0


def _count(number, noun):
    return f"{number} {noun}{'s' * (number > 1)}"


def _claim(out, members, options, stack):
    """Locks the directories in `stack`; returns `begin` of `train_group`."""
    lock = stack.enter_context(DirectoryLock(out))
    if (out / "config.json").exists():
        raise UserError(
            f"--out {out} contains a single run: give another --out for the sweep"
        )

    begins = {}

    def claim():
        for member in members:
            context = directory.claimed(
                member.out, member.config, extend=options.extend
            )
            begins[member.out] = stack.enter_context(context)

    def begin(member, record):
        if not begins:
            lock.move_aside()
            claim()
        begins[member.out](record)

    if options.fresh:
        lock.check_below()
    else:
        claim()
    return begin


if __name__ == "__main__":
    cli.run(main)
