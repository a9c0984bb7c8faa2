"""Members of a sweep, and their grouping into programs."""

import dataclasses
import difflib
import itertools
import math
from pathlib import Path
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

import jax.numpy as jnp

from wgan_jax.config import Config, to_json
from wgan_jax.errors import UserError
from wgan_jax.validation import validate

# Fields that no shape and no branch depends on: they can be arguments of a program.
VMAPPABLE = (
    "objective.clip",
    "objective.gp_weight",
    "objective.gp_target",
    "objective.critic_class_weight",
    "objective.generator_class_weight",
    "optimizer.critic_lr",
    "optimizer.generator_lr",
    "optimizer.beta1",
    "optimizer.beta2",
    "optimizer.ema_decay",
)

# Runs in a sweep.
MOST = 10_000


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of a sweep."""

    setting: str
    """The varied fields, as in critic_lr=0.0001,clip=0.01; empty if there are none."""
    seed: int
    config: Config
    out: Path
    """Run directory."""

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.setting + ', ' if self.setting else ''}seed {self.seed}"


def make_members(base: Config, out: Path, seeds: int, vary) -> list[Member]:
    """All runs of a sweep. Raises UserError for an invalid field or value.

    out: directory of the sweep. seeds: their number, counted from base.run.seed. vary:
    FIELD=VALUE,VALUE for each varied field.
    """
    axes = [_parse_axis(argument) for argument in vary]
    settings = math.prod(len(values) for _, values in axes)
    if seeds * settings > MOST:
        plural = "s" * (settings > 1)
        raise UserError(
            f"--seeds {seeds} makes {seeds * settings:,} runs at {settings:,} "
            f"setting{plural}: take at most {MOST:,} runs"
        )
    names = [name for name, _ in axes]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"--vary {name} is given twice: give all its values at once"
            )
    fields = [name.split(".")[1] for name in names]
    short = [f if fields.count(f) == 1 else n for f, n in zip(fields, names)]
    members = []
    for values in itertools.product(*(values for _, values in axes)):
        varied = base
        for name, value in zip(names, values, strict=True):
            varied = _replace(varied, name, value)
        pairs = zip(short, values, strict=True)
        setting = ",".join(f"{name}={_shown(value)}" for name, value in pairs)
        for seed in range(base.run.seed, base.run.seed + seeds):
            config = _replace(varied, "run.seed", seed)
            validate(config)
            directory = out / setting.replace("/", "_") / f"seed-{seed}"
            members.append(Member(setting, seed, config, directory))
    return members


def _shown(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else value


def _replace(config, name, value):
    section, field = name.split(".")
    changed = dataclasses.replace(getattr(config, section), **{field: value})
    return dataclasses.replace(config, **{section: changed})


def _parse_axis(argument):
    """(field, values) of an argument of --vary."""
    name, _, texts = argument.partition("=")
    name = name.replace("-", "_")
    if not texts:
        raise UserError(
            f"--vary {argument} must be FIELD=VALUE,VALUE, as in "
            "optimizer.critic_lr=1e-4,5e-5"
        )
    types = {
        f"{section}.{field}": type_
        for section, fields in get_type_hints(Config).items()
        for field, type_ in get_type_hints(fields).items()
    }
    if name not in types:
        near = [t for t in types if t.split(".")[1] == name.split(".")[-1]]
        near = near or difflib.get_close_matches(name, types, 1)
        hint = f"did you mean {near[0]}?" if near else "see --help for all fields"
        raise UserError(f"--vary {name} is not a field: {hint}")
    if name == "run.seed":
        raise UserError("--vary run.seed is not possible: give the seeds by --seeds N")
    values = [_parse_value(name, types[name], text) for text in texts.split(",")]
    for value in values:
        if values.count(value) > 1:
            raise UserError(
                f"--vary {name} has {_shown(value)} twice: give each value once"
            )
    return name, values


def _parse_value(name, type_, text):
    """One value of --vary, converted to the type of its field."""
    if get_origin(type_) is Literal:
        if text not in get_args(type_):
            known = ", ".join(get_args(type_))
            raise UserError(f"--vary {name}={text} must be one of {known}")
        return text
    if type_ is bool:
        if text not in ("true", "false"):
            raise UserError(f"--vary {name}={text} must be true or false")
        return text == "true"
    if get_origin(type_) is tuple:
        raise UserError(f"--vary {name}: a field of several values cannot be varied")
    is_size = get_origin(type_) is UnionType
    try:
        if not is_size:
            return type_(text)
        height, *width = map(int, text.split("x"))
        return height if width in ([], [height]) else (height, *width)
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}
        wanted = wanted.get(type_, "a whole number, or HEIGHTxWIDTH")
        raise UserError(f"--vary {name}={text} must be {wanted}") from None


def shape_groups(members: list[Member]) -> list[list[Member]]:
    """The members by program: a group differs in seeds and VMAPPABLE fields only."""
    groups = {}
    for member in members:
        neutral = _replace(member.config, "run.seed", 0)
        for name in VMAPPABLE:
            neutral = _replace(neutral, name, 0.0)
        averaged = bool(member.config.optimizer.ema_decay)
        groups.setdefault((to_json(neutral), averaged), []).append(member)
    return list(groups.values())


def varied_hyperparameters(members: list[Member]) -> list[dict]:
    """{field: float32 scalar} of each member, for the VMAPPABLE fields that differ."""
    values = {
        name: [getattr(getattr(m.config, section), field) for m in members]
        for name in VMAPPABLE
        for section, field in [name.split(".")]
    }
    varied = {name: column for name, column in values.items() if len(set(column)) > 1}
    return [
        {name: jnp.float32(column[i]) for name, column in varied.items()}
        for i in range(len(members))
    ]
