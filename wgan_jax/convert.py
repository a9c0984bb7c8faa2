"""Weights from PyTorch and back.

python -m wgan_jax.convert netG.pth netD.pth --config configs/x.py --out RUN
python -m wgan_jax.convert RUN --to-torch FOLDER
"""

import dataclasses
import itertools
import re
import sys
from functools import partial
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import cli, config
from wgan_jax.algorithm.state import Ema, init_state, make_spec
from wgan_jax.config import Config, Model
from wgan_jax.errors import UserError
from wgan_jax.nn import torch_weights
from wgan_jax.nn.models import build
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.restore import restore_run
from wgan_jax.runs.sampling import weights
from wgan_jax.validation import validate

# Keys under which a file may hold a state dict, in small letters.
WRAPPINGS = (
    *("state_dict", "model", "generator", "critic", "discriminator"),
    *("netg", "netd", "gen", "disc", "g", "d"),
)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Makes a run of PyTorch's weights, or files of PyTorch's from a run."""

    files: cli.Positional[tuple[str, ...]] = ()
    """State dicts of a generator, a critic or both, in any order and under any names;
    with --to-torch, the run."""
    config: str = ""
    """Python file whose get_config() gives the networks. Activations and the epsilon
    of norms are in no state dict: they must be those that the weights were made for."""
    out: str = ""
    """Run directory to write."""
    step: int = 0
    """Generator updates that the weights have had."""
    fresh: bool = False
    """Move a run that is in --out aside, to OUT.1."""
    to_torch: str = ""
    """Folder to write netG.pth and netD.pth to, state dicts of the run's weights."""
    naming: Literal["sequential", "arjovsky"] = "sequential"
    """Names in them: N.weight, N the row of --dry-run's tables counted from 0, as in an
    nn.Sequential with a module for each row; or those of Arjovsky's DCGAN."""
    raw: bool = False
    """Take the generator of the last step even where the run keeps an averaged one."""
    checkpoint: int = -1
    """Step of the checkpoint to take; -1 takes the newest."""


def main(argv=None) -> int:
    """Converts in the direction that was asked for."""
    argv = sys.argv[1:] if argv is None else argv
    cfg, arguments = cli.parse_config(
        Arguments, argv, "python -m wgan_jax.convert", required=False
    )
    if arguments.to_torch:
        _leave_out(arguments, ("config", "out", "step", "fresh"), "with --to-torch")
        changed = config.differences(Config(), cfg)
        if changed:
            field = changed[0].split(":")[0].replace("_", "-")
            raise UserError(
                f"--{field} says nothing with --to-torch, which takes the run's "
                "configuration: leave it out"
            )
        return _write_torch(arguments)
    _leave_out(arguments, ("naming", "raw", "checkpoint"), "without --to-torch")
    if not arguments.config:
        raise UserError(
            "--config is missing: name a file, as in configs/digits.py, or convert a "
            "run by --to-torch FOLDER"
        )
    if not arguments.out:
        raise UserError("--out is missing: name the run directory to write")
    if not arguments.files:
        raise UserError("no file was given: name a generator's, a critic's or both")
    if not 0 <= arguments.step < 2**31:
        raise UserError(f"--step {arguments.step} must be from 0 to 2147483647")
    validate(cfg)
    return _make_run(arguments, cfg)


def _leave_out(arguments, names, when):
    defaults = {f.name: f.default for f in dataclasses.fields(Arguments)}
    for name in names:
        if getattr(arguments, name) != defaults[name]:
            raise UserError(f"--{name} says nothing {when}: leave it out")


# ------------------------------------------------------------------------ from PyTorch


def _make_run(arguments, cfg):
    files = {}
    for path in arguments.files:
        files |= read(path)
    found = assign(files, cfg)
    out = Path(arguments.out)
    directory.check_or_create(out, cfg, fresh=arguments.fresh)
    if (out / "config.json").exists():
        raise UserError(
            f"--out {out} holds a run: give another --out, or --fresh to move the old "
            "run aside"
        )
    spec = make_spec(cfg, get_batch=None)
    # The key that training would start from.
    key = jax.random.split(jax.random.key(cfg.run.seed), 4)[0]
    state = jax.jit(partial(init_state, spec=spec))(key)
    changes = {"step": jnp.int32(arguments.step)}
    for name in ("generator", "critic"):
        if name in found:
            params, stats = jax.tree.map(jnp.array, found[name])
            net = getattr(state, name)
            changes[name] = dataclasses.replace(net, params=params, stats=stats)
        else:
            print(f"the {name} was not given: it has fresh weights, all untrained")
    if "generator" in found and state.ema is not None:
        params, stats = jax.tree.map(jnp.array, found["generator"])
        changes["ema"] = Ema(params=params, stats=stats)
        print("the averaged generator starts as the same weights")
    state = dataclasses.replace(state, **changes)
    directory.initialise(out, cfg)
    keep = (cfg.run.max_to_keep, cfg.run.keep_every)
    with Checkpoints(out / "checkpoints", *keep) as checkpoints:
        checkpoints.save(state)
        checkpoints.wait()
    print(f"{out} is a run at step {arguments.step}, its optimizers at their start")
    return 0


def read(path) -> dict[str, dict[str, np.ndarray]]:
    """The state dicts in a file of PyTorch's, each by what messages call it.

    Only tensors are read: no code that the file may carry is run. Raises UserError
    where there is no such file, or no state dict in it.
    """
    torch, path = _torch(), Path(path)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder, not a file of PyTorch's: to convert a run, add "
            "--to-torch FOLDER"
        )
    if not path.is_file():
        raise UserError(f"{path} is no file: name a state dict that PyTorch saved")
    try:
        held = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        remedy = "save it with torch.save(net.state_dict(), FILE)"
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise UserError(
                f"{path} holds more than tensors ({code[1]}), and code in a file is "
                f"never run: {remedy}"
            ) from error
        reason = str(error).rpartition("WeightsUnpickler error: ")[2] or repr(error)
        reason = reason.split("\n")[0].strip(" .")[:200]
        raise UserError(f"{path} cannot be read ({reason}): {remedy}") from error
    found = _state_dicts(held, str(path), torch)
    if not found:
        holds = f"a {type(held).__name__}"
        if isinstance(held, dict):
            holds = f"the keys {', '.join(map(str, held))[:200] or '(none)'}"
        raise UserError(
            f"{path} holds {holds}, not a state dict: save it with "
            "torch.save(net.state_dict(), FILE)"
        )
    return found


def _state_dicts(held, label, torch):
    if not isinstance(held, dict):
        return {}
    tensors = {
        str(name): value.detach().to(torch.float32).numpy()
        for name, value in held.items()
        if isinstance(value, torch.Tensor)
    }
    if tensors:
        return {label: tensors}
    found = {}
    for key, value in held.items():
        if str(key).lower().removesuffix("_state_dict") in WRAPPINGS:
            found |= _state_dicts(value, f"{label} [{key}]", torch)
    return found


def assign(files: dict[str, dict], cfg: Config) -> dict[str, tuple]:
    """(params, stats) of "generator" and "critic" from state dicts, each by what fits.

    Prints which was taken as what. Raises UserError for one that fits neither network,
    with shape beside shape, and for two that fit the same one.
    """
    networks = _networks(cfg.model, cfg)
    labels, found = {}, {}
    for label, tensors in files.items():
        fitting = _fitting(tensors, networks)
        if not fitting:
            raise UserError(_misfit(label, tensors, cfg))
        free = [name for name in fitting if name not in found]
        if not free:
            raise UserError(
                f"{labels[fitting[0]]} and {label} are both the {fitting[0]}'s: give "
                "one of them"
            )
        labels[free[0]] = label
        found[free[0]] = torch_weights.from_torch(tensors, *networks[free[0]])
        print(f"{label} is taken as the {free[0]}")
    return found


def _networks(model, cfg):
    generator, critic = build(model, cfg.data.sample_shape)
    return {
        "generator": (generator, (model.z_dim,)),
        "critic": (critic, cfg.data.sample_shape),
    }


def _fitting(tensors, networks):
    return [
        name
        for name, network in networks.items()
        if all(row.fits for row in torch_weights.compare(tensors, *network))
    ]


def _misfit(label, tensors, cfg):
    for bias in get_args(get_type_hints(Model)["bias"]):
        model = dataclasses.replace(cfg.model, bias=bias)
        for name in _fitting(tensors, _networks(model, cfg)):
            return (
                f"{label} is the {name}'s but for biases, which model.bias="
                f"{cfg.model.bias} puts elsewhere: add --model.bias {bias}"
            )

    def alike(rows):
        return len(list(itertools.takewhile(lambda row: row.fits, rows)))

    compared = {
        name: torch_weights.compare(tensors, *network)
        for name, network in _networks(cfg.model, cfg).items()
    }
    name = max(compared, key=lambda name: alike(compared[name]))
    return (
        f"{label} fits neither network; from the {name} it differs "
        f"{torch_weights.table(compared[name])}"
    )


# -------------------------------------------------------------------------- to PyTorch


def _write_torch(arguments):
    torch = _torch()
    if len(arguments.files) != 1:
        raise UserError(
            f"--to-torch converts one run, and {len(arguments.files)} were given"
        )
    run = arguments.files[0]
    if arguments.naming == "arjovsky":
        torch_weights.require_arjovsky(directory.read_config(run))
    cfg, spec, state = restore_run(run, arguments.checkpoint)
    folder = Path(arguments.to_torch)
    paths = {name: folder / f"net{name}.pth" for name in "GD"}
    for path in paths.values():
        if path.exists():
            raise UserError(f"{path} is there already: give another --to-torch")
    folder.mkdir(parents=True, exist_ok=True)
    for name, numbers, network, input_shape in (
        ("G", weights(state, arguments.raw), spec.generator, (spec.z_dim,)),
        ("D", (state.critic.params, state.critic.stats), spec.critic,
         cfg.data.sample_shape),
    ):  # fmt: skip
        names = None
        if arguments.naming == "arjovsky":
            names = torch_weights.arjovsky_names(network)
        tensors = torch_weights.to_torch(*numbers, network, input_shape, names)
        tensors = {name: torch.from_numpy(array) for name, array in tensors.items()}
        torch.save(tensors, paths[name])
        print(f"{paths[name]}: {len(tensors)} tensors of step {int(state.step)}")
    return 0


def _torch():
    try:
        import torch
    except ImportError as error:
        raise UserError(
            'torch is not installed: pip install "wgan_jax[torch]"'
        ) from error
    return torch


if __name__ == "__main__":
    cli.run(main)
