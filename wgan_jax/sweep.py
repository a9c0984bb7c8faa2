"""Trains seeds and settings: `python -m wgan_jax.sweep --config configs/digits.py`.

Runs that differ in numbers only are one program by `jax.vmap`, where that is faster.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import jax

from wgan_jax import cli
from wgan_jax.distributed.sharding import make_sharding
from wgan_jax.distributed.stop import StopRequest
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.sweeps.members import make_members, shape_groups
from wgan_jax.sweeps.report import write_report
from wgan_jax.sweeps.training import train_group


@dataclasses.dataclass(frozen=True)
class Options:
    """Trains a configuration with several seeds and settings, and compares them."""

    config: str = ""
    """Python file whose get_config() gives the configuration."""
    out: str = ""
    """Directory of the sweep; empty is runs/NAME-sweep for configs/NAME.py."""
    seeds: int = 4
    """Seeds of each setting: run.seed and those that follow it."""
    vary: tuple[str, ...] = ()
    """Fields and their values, FIELD=VALUE,VALUE: every combination is a setting."""
    mode: Literal["auto", "together", "in-turn"] = "auto"
    """Runs that differ in seed and numbers only in one program, or one after another;
    auto tries both for a moment and takes the faster."""
    devices: int = 0
    """Devices of this machine that share each batch; 0 takes as many as can evenly."""
    fresh: bool = False
    """Move a sweep that is in --out aside, to OUT.1, and start again."""
    extend: bool = False
    """Go on with runs that had fewer run.steps."""


def main(argv=None) -> int:
    """Trains all that is not trained yet, and compares; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    config, options = cli.parse_config(Options, argv, "python -m wgan_jax.sweep")
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds} must be 1 or more")
    jax.config.update("jax_default_matmul_precision", config.run.precision)
    out = Path(options.out or f"runs/{Path(options.config).stem}-sweep")
    members = make_members(config, out, options.seeds, options.vary)
    groups = shape_groups(members)
    shares = [make_sharding(group[0].cfg, options.devices) for group in groups]
    _claim(out, members, options)
    settings = len({member.setting for member in members})
    print(f"{len(members)} runs: {settings} setting{'s' * (settings > 1)}, "
          f"{options.seeds} seed{'s' * (options.seeds > 1)} of each, "
          f"{len(groups)} program{'s' * (len(groups) > 1)}")  # fmt: skip
    stop, diverged = StopRequest(), {}
    for group, sharding in zip(groups, shares, strict=True):
        diverged |= train_group(group, sharding, options.mode, stop)
        if stop.requested:
            print("\nstopped, all saved; the same command goes on from it")
            return 0
    for name, reason in diverged.items():
        print(f"{name}: {reason}")
    write_report(out, members, diverged)
    return 0


def _claim(out, members, options):
    if (out / "config.json").exists():
        raise UserError(
            f"--out {out} holds a single run: give another --out for the sweep"
        )
    if options.fresh and out.exists():
        directory.archive(out)
    for member in members:
        directory.check_or_create(member.out, member.cfg, extend=options.extend)


if __name__ == "__main__":
    cli.run(main)
