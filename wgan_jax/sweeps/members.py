"""Members of a sweep, and their grouping into programs."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_origin

import jax.numpy as jnp

from wgan_jax.config import Config, to_json
from wgan_jax.errors import UserError
from wgan_jax.sweeps.settings import (
    Setting,
    check_field,
    directory_name,
    field_types,
    parse_value,
    replace_field,
    replace_fields,
    value_label,
)
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
    """Name of the setting and the varied fields, as in clip,critic_lr=0.0001; empty for
    the configuration itself."""
    seed: int
    config: Config
    out: Path
    """Run directory."""

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.setting + ', ' if self.setting else ''}seed {self.seed}"


def make_members(settings: Sequence[Setting], out, seeds: int, vary) -> list[Member]:
    """All runs of a sweep. Raises UserError for an invalid field or value.

    out: directory of the sweep. seeds: their number, counted from run.seed of each
    setting. vary: FIELD=VALUE,VALUE for each varied field; every combination is a
    setting.
    """
    axes = [_parse_axis(argument) for argument in vary]
    count = len(settings) * math.prod(len(values) for _, values in axes)
    if seeds * count > MOST:
        raise UserError(
            f"--seeds {seeds} makes {seeds * count:,} runs at {count:,} "
            f"setting{'s' * (count > 1)}: take at most {MOST:,} runs"
        )
    names = [name for name, _ in axes]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"--vary {name} is given twice: give all its values at once"
            )
        for setting in settings:
            if name in setting.fields:
                raise UserError(
                    f"--vary {name} is also set by {setting.typed}: give it once"
                )
    fields = [name.split(".")[1] for name in names]
    short = [f if fields.count(f) == 1 else n for f, n in zip(fields, names)]
    members, lines = [], []
    for setting in settings:
        for values in itertools.product(*(values for _, values in axes)):
            changes = dict(zip(names, values, strict=True))
            varied, line = replace_fields(setting.config, changes)
            if line and line not in lines:
                print(line)
                lines.append(line)
            pairs = zip(short, map(value_label, values), strict=True)
            label = [setting.name] if setting.name else []
            label = ",".join([*label, *(f"{name}={value}" for name, value in pairs)])
            first = varied.run.seed
            for seed in range(first, first + seeds):
                config = replace_field(varied, "run.seed", seed)
                try:
                    validate(config)
                except UserError as error:
                    where = f"{setting.typed}: " if setting.typed else ""
                    raise UserError(f"{where}{error}") from error
                directory = Path(out) / directory_name(label) / f"seed-{seed}"
                members.append(Member(label, seed, config, directory))
    return members


def _parse_axis(argument):
    """(field, values) of an argument of --vary."""
    name, _, texts = argument.partition("=")
    if not texts:
        raise UserError(
            f"--vary {argument} must be FIELD=VALUE,VALUE, as in "
            "optimizer.critic_lr=1e-4,5e-5"
        )
    option = f"--vary {argument}"
    name = check_field(option, name)
    if get_origin(field_types()[name]) is tuple:
        raise UserError(
            f"--vary {name}: a field of several values cannot be varied; give "
            f"--settings '{name}=1,2' '{name}=1,2,4'"
        )
    values = [parse_value(option, name, text) for text in texts.split(",")]
    for value in values:
        if values.count(value) > 1:
            raise UserError(
                f"--vary {name} has {value_label(value)} twice: give each value once"
            )
    return name, values


def shape_groups(members: list[Member]) -> list[list[Member]]:
    """The members by program: a group differs in seeds and VMAPPABLE fields only."""
    groups = {}
    for member in members:
        neutral = replace_field(member.config, "run.seed", 0)
        for name in VMAPPABLE:
            neutral = replace_field(neutral, name, 0.0)
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
