"""Files of PyTorch: state dicts read, matched with the networks and written."""

import dataclasses
import itertools
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np

from wgan_jax.config import Config, Model
from wgan_jax.errors import UserError
from wgan_jax.nn import torch_weights
from wgan_jax.nn.models import build

# Names of a network, in lower case: keys of a file, or prefixes in a state dict.
NETWORKS = {
    "generator",
    "critic",
    "discriminator",
    "netg",
    "netd",
    "gen",
    "disc",
    "g",
    "d",
}
# Keys of a file under which a state dict is searched, in lower case.
WRAPPERS = {"state_dict", "model"} | NETWORKS
REMEDY = "save it with torch.save(net.state_dict(), FILE)"


def import_torch():
    """The module torch. Raises UserError where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise UserError(
            'torch is not installed: pip install "wgan_jax[torch]"'
        ) from error
    return torch


def read(
    path, report: Callable[[str], None] = print
) -> dict[str, dict[str, np.ndarray]]:
    """The state dicts {label: {name: float32 array}} of a file.

    One state dict of both networks, as a LightningModule's, is divided by the names of
    its parts. report: gets a sentence about parts that are not networks. Code in the
    file is not executed. Raises UserError where the file does not exist, is
    damaged or holds no state dict of finite numbers.
    """
    torch, path = import_torch(), Path(path)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder: name a file of PyTorch, or add --to-torch FOLDER to "
            "convert a run"
        )
    if not path.is_file():
        raise UserError(f"{path} is not a file: name a state dict saved by PyTorch")
    path.open("rb").close()
    # PyTorch reads a tensor without its checksum.
    damaged = zipfile.is_zipfile(path) and _first_damaged(path)
    try:
        # Its messages and warnings recommend to execute the code in a file.
        with warnings.catch_warnings(action="ignore"):
            content = None if damaged else torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise UserError(
                f"{path} contains code ({code[1]}), which is never executed: {REMEDY}"
            ) from None
        damaged = type(error).__name__
    if damaged:
        raise UserError(
            f"{path} is damaged or was not written by torch.save ({damaged}): {REMEDY}"
        )
    state_dicts = {}
    for label, tensors in _state_dicts(content, str(path), torch).items():
        state_dicts |= _divided(label, tensors, report)
    if not state_dicts:
        kind = f"a {type(content).__name__}"
        if isinstance(content, dict):
            kind = f"the keys {', '.join(map(str, content))[:200] or '(none)'}"
        raise UserError(f"{path} contains {kind}, not a state dict: {REMEDY}")
    for label, tensors in state_dicts.items():
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise UserError(
                    f"{label} has numbers in {name} that are not finite: give weights "
                    "from before the training diverged"
                )
    return state_dicts


def write(path, tensors: dict[str, np.ndarray]) -> None:
    """Writes a state dict, which torch.load reads."""
    torch = import_torch()
    torch.save({name: torch.from_numpy(a) for name, a in tensors.items()}, path)


def assign(state_dicts: dict[str, dict], config: Config) -> dict[str, tuple]:
    """{"generator" or "critic": (label, (params, stats))} of the state dicts.

    Each goes to the network that it fits. Raises UserError for one that fits neither
    network and for two that fit the same one.
    """
    networks = _networks(config.model, config)
    assigned = {}
    for label, tensors in state_dicts.items():
        fitting = _fitting(tensors, networks)
        if not fitting:
            raise _mismatch(label, tensors, config)
        free = [name for name in fitting if name not in assigned]
        if not free:
            raise UserError(
                f"{assigned[fitting[0]][0]} and {label} both fit the {fitting[0]}: "
                "give one of them"
            )
        arrays = torch_weights.from_torch(tensors, *networks[free[0]])
        assigned[free[0]] = (label, arrays)
    return assigned


def _first_damaged(path):
    """Name of the first damaged part of a zip file, or None."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        return type(error).__name__


def _state_dicts(content, label, torch):
    if not isinstance(content, dict):
        return {}
    tensors = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            continue
        counter = str(name).endswith("num_batches_tracked")
        if not (value.is_floating_point() or counter) or value.layout != torch.strided:
            raise UserError(
                f"{label} has {name} of {value.dtype}, {value.layout}: weights must be "
                "dense floating-point numbers"
            )
        tensors[str(name)] = value.detach().to(torch.float32).numpy()
    if tensors:
        return {label: tensors}
    state_dicts = {}
    for key, value in content.items():
        if str(key).lower().removesuffix("_state_dict") in WRAPPERS:
            state_dicts |= _state_dicts(value, f"{label} [{key}]", torch)
    return state_dicts


def _divided(label, tensors, report):
    """{label: tensors} of each network in one state dict of several."""
    names = {name: name.split(".") for name in tensors}
    # As in module.generator.0.weight, of a module in another one.
    while len({parts[0] for parts in names.values()}) == 1:
        if min(map(len, names.values())) < 3:
            return {label: tensors}
        names = {name: parts[1:] for name, parts in names.items()}
    parts, other = {}, set()
    for name, (first, *rest) in names.items():
        if first.lower() in NETWORKS:
            parts.setdefault(first, {})[".".join(rest)] = tensors[name]
        else:
            other.add(f"{first}.*")
    if len(parts) < 2:
        return {label: tensors}
    if other:
        report(f"{label}: {', '.join(sorted(other))} are not networks and are left out")
    return {f"{label} [{first}]": part for first, part in parts.items()}


def _networks(model, config):
    generator, critic = build(model, config.data.sample_shape)
    return {
        "generator": (generator, (model.z_dim,)),
        "critic": (critic, config.data.sample_shape),
    }


def _fitting(tensors, networks):
    return [
        name
        for name, network in networks.items()
        if all(row.fits for row in torch_weights.compare(tensors, *network))
    ]


def _mismatch(label, tensors, config):
    """The error for a state dict that fits neither network."""
    for bias in get_args(get_type_hints(Model)["bias"]):
        model = dataclasses.replace(config.model, bias=bias)
        for name in _fitting(tensors, _networks(model, config)):
            return UserError(
                f"{label} fits the {name} except for the biases of model.bias="
                f"{config.model.bias}: add --model.bias {bias}"
            )
    tables = {
        name: torch_weights.compare(tensors, *network)
        for name, network in _networks(config.model, config).items()
    }

    def fitting_rows(name):
        return len(list(itertools.takewhile(lambda row: row.fits, tables[name])))

    name = max(tables, key=fitting_rows)
    beginning = f"{label} fits neither network; it differs from the {name}"
    return torch_weights.mismatch(beginning, tables[name])
