"""Arguments of `fit`: the configuration that they make, and their checks."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from wgan_jax.config import TOYS, Config, Data, differences, switch_source
from wgan_jax.data.sources import detect
from wgan_jax.data.sources.text import vocabulary_size
from wgan_jax.data.sources.vectors import vector_length
from wgan_jax.errors import UserError
from wgan_jax.interface import arrays
from wgan_jax.runs import directory
from wgan_jax.suggest import Facts, device, read_facts, suggest


def configuration(data, config, labels, steps, seed):
    """The configuration of `fit`, whose data.source may be an array."""
    given: dict[str, Any] = {}
    if steps is not None:
        check_whole("steps", steps, 1)
        given["run.steps"] = steps
    check_whole("seed", seed, 0)
    if seed:
        given["run.seed"] = seed
    if config is not None and not isinstance(config, Config):
        raise UserError(
            f"config is a {type(config).__name__}: give a wgan_jax.Config, such as "
            "wgan_jax.load_config('configs/digits.py')"
        )
    base = Data() if config is None else config.data
    if data is None or isinstance(data, str | os.PathLike):
        if labels is not None:
            raise UserError("labels belong to an array: a path has its own labels")
        if data is None and config is None:
            raise UserError("data is None: give an array, a path, or a config")
        section = base if data is None else _of_path(data, base)
        facts = None
    else:
        array = arrays.check_array(data)
        if labels is not None:
            labels = arrays.check_labels(labels, len(array))
        section = arrays.data_section(base, arrays.source_of(array, labels))
        facts = Facts.of_array(section, array, labels)
        if config is None:
            given |= {
                f"data.{name}": getattr(section, name)
                for name in ("image_size", "channels")
            }
    if labels is not None:
        classes = len(np.unique(labels))
        if classes < 2:
            raise UserError("labels are all the same: leave them out")
        given["model.classes"] = classes
    if config is None:
        memory, accelerator = device()
        config, reasons = suggest(
            facts or read_facts(section), memory, accelerator=accelerator, given=given
        )
        print("config=None: chosen for these data", *reasons, sep="\n  ")
        return config
    config = dataclasses.replace(config, data=section)
    for name, value in given.items():
        part, field = name.split(".")
        values = dataclasses.replace(getattr(config, part), **{field: value})
        config = dataclasses.replace(config, **{part: values})
    if labels is not None and {config.model.kind, config.model.critic_is} & {
        "mlp",
        "dcgan",
    }:
        raise UserError(
            f"labels need networks that use them, and model.kind={config.model.kind} "
            "does not: take model.kind='resnet', or leave labels out"
        )
    return config


def _of_path(path, base):
    name = os.fspath(path)
    if name in (*TOYS, "digits") and not Path(name).exists():
        return switch_source(base, name)[0]
    data, _ = switch_source(base, detect(path), dir=name)
    if data.source == "vectors":
        data = dataclasses.replace(data, dimensions=vector_length(data))
    if data.is_text:
        size = min(data.vocabulary, vocabulary_size(data))
        data = dataclasses.replace(data, vocabulary=size)
    return data


def check_whole(name: str, value, least: int) -> None:
    """Raises UserError where a value is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise UserError(f"{name}={value!r} must be a whole number")
    if not least <= value < 2**32:
        raise UserError(f"{name}={value} must be {least} or more")


def check_out(out, config):
    """Raises UserError where a directory holds another run."""
    if not (out / "config.json").is_file():
        return
    old = directory.read_config(out)
    ignored = ["data.stream:", "data.workers:"]
    if old.optimizer.decay == "constant" and old.run.steps < config.run.steps:
        ignored.append("run.steps:")
    changed = [
        line for line in differences(old, config) if not line.startswith(tuple(ignored))
    ]
    if changed:
        raise UserError(
            f"out={out} holds a run that differs in {', '.join(changed)} (there and "
            f"now): give another directory, or continue that run with "
            f"wgan_jax.load({str(out)!r}).train(steps)"
        )
