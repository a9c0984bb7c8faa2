"""Which runs a sweep is made of, and which of them are one program."""

import dataclasses
import difflib
import itertools
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import jax.numpy as jnp

from wgan_jax.config import Config, to_json
from wgan_jax.errors import UserError
from wgan_jax.validation import validate

# Fields that no shape and no branch depends on: they can be arguments of a program.
VMAPPABLE = (
    *("objective.clip", "objective.gp_weight", "objective.gp_target"),
    *("objective.critic_class_weight", "objective.generator_class_weight"),
    *("optimizer.critic_lr", "optimizer.generator_lr"),
    *("optimizer.beta1", "optimizer.beta2", "optimizer.ema_decay"),
)


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of a sweep."""

    setting: str
    """What was varied, as `critic_lr=0.0001,clip=0.01`; empty where nothing was."""
    seed: int
    cfg: Config
    out: Path

    @property
    def name(self) -> str:
        """As it is called in messages."""
        return f"{self.setting + ', ' if self.setting else ''}seed {self.seed}"


def make_members(base: Config, out: Path, seeds: int, vary) -> list[Member]:
    """All runs of a sweep. Raises UserError for a field or value that makes no sense.

    vary: FIELD=VALUE,VALUE for each varied field. The seeds are base.run.seed and those
    that follow it.
    """
    axes = [_axis(word) for word in vary]
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
        cfg = base
        for name, value in zip(names, values, strict=True):
            cfg = _with(cfg, name, value)
        pairs = zip(short, values, strict=True)
        setting = ",".join(f"{name}={value}" for name, value in pairs)
        for seed in range(base.run.seed, base.run.seed + seeds):
            run = dataclasses.replace(cfg.run, seed=seed)
            member = dataclasses.replace(cfg, run=run)
            validate(member)
            folder = out / setting.replace("/", "_") / f"seed-{seed}"
            members.append(Member(setting, seed, member, folder))
    return members


def _with(cfg, name, value):
    section, field = name.split(".")
    changed = dataclasses.replace(getattr(cfg, section), **{field: value})
    return dataclasses.replace(cfg, **{section: changed})


def _axis(word):
    """A word of --vary as (field, values)."""
    name, _, listed = word.partition("=")
    name = name.replace("-", "_")
    if not listed:
        raise UserError(
            f"--vary {word} must be FIELD=VALUE,VALUE, as in "
            "optimizer.critic_lr=1e-4,5e-5"
        )
    kinds = {
        f"{section}.{field}": kind
        for section, part in get_type_hints(Config).items()
        for field, kind in get_type_hints(part).items()
    }
    if name not in kinds:
        tail = [k for k in kinds if k.split(".")[1] == name.split(".")[-1]]
        near = tail or difflib.get_close_matches(name, kinds, 1)
        hint = f"did you mean {near[0]}?" if near else "see --help for all fields"
        raise UserError(f"--vary {name} is no field: {hint}")
    if name == "run.seed":
        raise UserError("--vary run.seed: the seeds of a sweep are given by --seeds N")
    values = [_value(name, kinds[name], text) for text in listed.split(",")]
    for value in values:
        if values.count(value) > 1:
            raise UserError(f"--vary {name} has {value} twice: give each value once")
    return name, values


def _value(name, kind, text):
    """The text of one value as its field has it."""
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            known = ", ".join(get_args(kind))
            raise UserError(f"--vary {name}={text} must be one of {known}")
        return text
    if kind is bool:
        if text not in ("true", "false"):
            raise UserError(f"--vary {name}={text} must be true or false")
        return text == "true"
    if kind not in (int, float, str):
        raise UserError(f"--vary {name}: a field of several values cannot be varied")
    try:
        return kind(text)
    except ValueError:
        what = {int: "a whole number", float: "a number"}[kind]
        raise UserError(f"--vary {name}={text} must be {what}") from None


def shape_groups(members: list[Member]) -> list[list[Member]]:
    """The members by program: those of one group differ in seed and NUMBERS only."""
    groups = {}
    for member in members:
        neutral = _with(member.cfg, "run.seed", 0)
        for name in VMAPPABLE:
            neutral = _with(neutral, name, 0.0)
        averaged = bool(member.cfg.optimizer.ema_decay)
        groups.setdefault((to_json(neutral), averaged), []).append(member)
    return list(groups.values())


def varied_hyperparameters(members: list[Member]) -> list[dict]:
    """{field: float32 scalar} of each member, of the NUMBERS in which they differ."""
    found = {
        name: [getattr(getattr(m.cfg, section), field) for m in members]
        for name in VMAPPABLE
        for section, field in [name.split(".")]
    }
    differ = {name: values for name, values in found.items() if len(set(values)) > 1}
    return [
        {name: jnp.float32(values[i]) for name, values in differ.items()}
        for i in range(len(members))
    ]
