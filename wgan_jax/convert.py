"""Weights from PyTorch and back.

python -m wgan_jax.convert netG.pth netD.pth --config configs/x.py --out RUN
python -m wgan_jax.convert RUN --to-torch FOLDER
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp

from wgan_jax import cli
from wgan_jax.algorithm.state import Ema, init_state, make_spec
from wgan_jax.config import Config, differences
from wgan_jax.errors import UserError
from wgan_jax.files import check_new
from wgan_jax.nn import torch_files, torch_weights
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.restore import restore_run
from wgan_jax.runs.sampling import weights
from wgan_jax.sizes import check_weights
from wgan_jax.validation import check_updates, validate


@dataclasses.dataclass(frozen=True)
class Options:
    """Converts weights of PyTorch to a run, or a run to files of PyTorch."""

    files: Annotated[cli.Positional[tuple[str, ...]], cli.metavar("FILE")] = ()
    """State dicts of a generator, a critic or both, in any order and with any names;
    with --to-torch, the run."""
    config: str = ""
    """Python file whose get_config() describes the networks. A state dict does not
    contain activations and the epsilon of norms: they must match."""
    out: str = ""
    """Run directory to write."""
    step: int = 0
    """Number of generator updates of the weights."""
    fresh: bool = False
    """Move an existing run in --out to OUT.1."""
    to_torch: str = ""
    """Folder in which to write the weights of the run as netG.pth and netD.pth."""
    naming: Literal["sequential", "arjovsky"] = "sequential"
    """Names of the tensors in --to-torch: N.weight for row N, counted from 0, of the
    tables of --dry-run, as in an nn.Sequential with one module per row; or the names
    of Arjovsky's DCGAN."""
    raw: bool = False
    """Write the generator of the last step instead of the averaged one."""
    checkpoint: str = ""
    """Step of the checkpoint to write; empty or last is the newest, best the best one
    of training (with run.evaluate_every)."""
    overwrite: bool = False
    """Replace netG.pth and netD.pth in --to-torch."""


def main(argv=None) -> int:
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    config, options = cli.parse_config(
        Options, argv, "python -m wgan_jax.convert", required=False
    )
    if options.to_torch:
        _refuse(
            options,
            ("config", "out", "step", "fresh"),
            "cannot be combined with --to-torch",
        )
        changed = differences(Config(), config)
        if changed:
            field = changed[0].split(":")[0].replace("_", "-")
            raise UserError(
                f"--{field} cannot be combined with --to-torch, which uses the "
                "configuration of the run: leave it out"
            )
        return _to_torch(options)
    _refuse(
        options,
        ("naming", "raw", "checkpoint", "overwrite"),
        "applies to --to-torch only",
    )
    if not options.config:
        raise UserError(
            "--config is missing: name a file, as in configs/digits.py, or add "
            "--to-torch FOLDER to convert a run"
        )
    if not options.out:
        raise UserError("--out is missing: name the run directory to write")
    if not options.files:
        raise UserError(
            "the files are missing: name a state dict of a generator, a critic or both"
        )
    cli.require(options, "step", 0)
    validate(config)
    check_updates(options.step, config.objective, "--step ")
    check_weights(config)
    return _from_torch(options, config)


def _refuse(options, names, condition):
    for name in names:
        if getattr(options, name) != getattr(Options, name):
            raise UserError(f"--{name} {condition}: leave it out")


def _from_torch(options, config):
    state_dicts = {}
    for path in options.files:
        state_dicts |= torch_files.read(path)
    assigned = torch_files.assign(state_dicts, config)
    for name, (label, _) in assigned.items():
        print(f"{label} is used as the {name}")
    out = Path(options.out)
    with directory.claimed(out, config, fresh=options.fresh) as begin:
        if (out / "config.json").exists() and not options.fresh:
            raise UserError(
                f"--out {out} contains a run: give another --out, or add --fresh to "
                "move that run"
            )
        state = _converted_state(options.step, config, assigned)
        begin()
        run = config.run
        with Checkpoints(out / "checkpoints", run.max_to_keep, run.keep_every) as saved:
            saved.save(state)
            saved.wait()
    print(f"{out} is a run at step {options.step}; its optimizers start afresh")
    return 0


def _converted_state(step, config, assigned):
    spec = make_spec(config, get_batch=None)
    # The key from which training would start.
    key = jax.random.split(jax.random.key(config.run.seed), 4)[0]
    state = jax.jit(partial(init_state, spec=spec))(key)
    changes: dict = {"step": jnp.int32(step)}
    for name in ("generator", "critic"):
        if name not in assigned:
            print(f"the {name} was not given: its weights are untrained")
            continue
        params, stats = jax.tree.map(jnp.array, assigned[name][1])
        net = getattr(state, name)
        changes[name] = dataclasses.replace(net, params=params, stats=stats)
    if "generator" in assigned and state.ema is not None:
        params, stats = jax.tree.map(jnp.array, assigned["generator"][1])
        changes["ema"] = Ema(params=params, stats=stats)
        print("the averaged generator starts with the same weights")
    return dataclasses.replace(state, **changes)


def _to_torch(options):
    torch_files.import_torch()
    if len(options.files) != 1:
        raise UserError(
            f"--to-torch converts one run and {len(options.files)} were given: name one"
        )
    run, is_arjovsky = options.files[0], options.naming == "arjovsky"
    if is_arjovsky:
        torch_weights.require_arjovsky(directory.read_config(run))
    config, spec, state = restore_run(run, options.checkpoint)
    folder = Path(options.to_torch)
    critic, shape = state.critic, config.data.sample_shape
    files = (
        ("netG.pth", weights(state, options.raw), spec.generator, (spec.z_dim,)),
        ("netD.pth", (critic.params, critic.stats), spec.critic, shape),
    )
    for name, *_ in files:
        check_new(folder / name, "--to-torch", options.overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (params, stats), network, input_shape in files:
        names = torch_weights.arjovsky_names(network) if is_arjovsky else None
        tensors = torch_weights.to_torch(params, stats, network, input_shape, names)
        torch_files.write(folder / name, tensors)
        print(f"{folder / name}: {len(tensors)} tensors of step {int(state.step)}")
    return 0


if __name__ == "__main__":
    cli.run(main)
