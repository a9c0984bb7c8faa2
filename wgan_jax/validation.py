"""Validation of a configuration before anything is loaded or computed."""

import dataclasses
import math
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from wgan_jax.algorithm.constraints import Constraint, make_constraint
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.algorithm.optimizers import make_optimizer
from wgan_jax.config import Config, Data, Objective
from wgan_jax.data.sources import check_stream, reader_class
from wgan_jax.errors import UserError
from wgan_jax.nn.models import ARCHITECTURES, architectures, bottleneck
from wgan_jax.references import is_object

# Architectures of images.
RESIDUAL = ("resnet", "resnet64", "resnet128", "bottleneck")
CONVOLUTIONAL = ("dcgan", *RESIDUAL)
# Fields that name a function, which may also be given itself.
FUNCTIONS = (
    "data.source",
    "model.kind",
    "model.critic_kind",
    "objective.kind",
    "objective.constraint",
    "optimizer.kind",
)


def validate(config: Config) -> None:
    """Check types, ranges and combinations; UserError names the first wrong field."""
    check_fields(config)
    check_updates(config.run.steps, config.objective, "run.steps")
    _check_intervals(config.run)
    _check_source(config)
    check_networks(config)
    _check_objective(config)


def check_networks(config: Config) -> None:
    """Check that networks and samples fit; UserError names the first wrong field."""
    architectures(config.model)
    _check_activations(config.model)
    _check_extra_depth(config.model)
    _check_line_fields(config)
    if config.data.is_text:
        _check_text(config)
    elif config.data.is_points:
        _check_points(config)
    else:
        _check_images(config)
        _check_labels(config.model)
        _check_residual_blocks(config.model)
        _check_size(config)
        _check_norm_groups(config)


def check_fields(config: Config) -> None:
    """Check types and ranges; UserError names the first wrong field."""
    check_types(config)
    _check_ranges(config)


def check_types(config: Config) -> None:
    """Check types; UserError names the first wrong field."""
    for section in dataclasses.fields(config):
        _check_types(section.name, getattr(config, section.name))


def _check_types(section, values):
    for name, kind in get_type_hints(type(values)).items():
        field = f"{section}.{name}"
        value: Any = getattr(values, name)
        if field in FUNCTIONS and is_object(value):
            continue
        choices, several = get_args(kind), get_origin(kind) is tuple
        if get_origin(kind) is UnionType:
            kind, several = int, type(value) is tuple
            if len(value) != 2 if several else type(value) is not int:
                raise _wrong(
                    field,
                    value,
                    "must be a whole number, or a tuple of two: height and width",
                )
        if get_origin(kind) is Literal:
            if type(value) is not str or value not in choices:
                raise _wrong(field, value, f"must be one of {', '.join(choices)}")
        elif several:
            if type(value) is not tuple or any(type(v) is not int for v in value):
                raise _wrong(field, value, "must be a tuple of whole numbers")
        elif kind is float:
            if type(value) not in (int, float) or value != value:
                raise _wrong(field, value, "must be a finite number")
        elif type(value) is not kind:
            raise _wrong(field, value, f"must be of type {kind.__name__}")
        if kind is str and "\0" in value:
            raise _wrong(field, value, "must not contain a null character")
        if kind is float:
            _check_float(field, value)
        whole: Any = value if several else [value] if kind is int else []
        if field != "run.seed" and any(abs(v) >= 2**31 for v in whole):
            raise _wrong(field, value, f"must be less than {2**31}")


def _check_float(field, value):
    # All arithmetic on the device is in float32, where subnormal numbers are 0.
    single = np.finfo(np.float32)
    largest, smallest = float(single.max), float(single.tiny)
    condition = ""
    if abs(value) == math.inf:
        condition = "a finite number"
    elif abs(value) > largest:
        condition = f"at most {largest:.3g}, the largest number of float32"
    elif 0 < abs(value) < smallest:
        condition = f"0 or at least {smallest:.3g}, the smallest number of float32"
    if condition:
        raise _wrong(field, value, f"must be {condition}")


def _wrong(field, value, condition):
    try:
        shown = repr(value)
    except ValueError:
        # A number of more digits than Python prints.
        shown = f"{type(value).__name__} of {value.bit_length()} bits"
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return UserError(f"{field}={shown} {condition}")


def _check_ranges(config):
    def require(section, names, test, condition):
        for name in names.split():
            value = getattr(getattr(config, section), name)
            if not test(value):
                raise UserError(f"{section}.{name}={value} must be {condition}")

    positive = (lambda v: v > 0, "greater than 0")
    not_negative = (lambda v: v >= 0, "0 or more")
    # In float32, where 0.99999999 is 1; the types are checked, so no cast overflows.
    fraction = (lambda v: 0 <= np.float32(v) < 1, "at least 0 and less than 1")
    require("data", "batch_size dimensions length", *positive)
    require(
        "data",
        "vocabulary",
        lambda v: 3 <= v <= 65536,
        "from 3 (unknown, end of a line and one character) to 65536",
    )
    require(
        "data",
        "image_size",
        lambda v: min(v if isinstance(v, tuple) else (v,)) > 0,
        "greater than 0",
    )
    require("data", "heldout", *not_negative)
    require(
        "data",
        "classes",
        lambda v: min(v, default=0) >= 0 and len(set(v)) == len(v),
        "different whole numbers of 0 or more",
    )
    require("data", "channels", lambda v: v in (1, 3), "1 or 3")
    require("data", "background", lambda v: 0 <= v <= 255, "from 0 to 255")
    require("data", "workers", lambda v: -1 <= v <= 256, "from -1 to 256")
    require("model", "z_dim features kernel norm_epsilon", *positive)
    require("model", "norm_momentum", lambda v: 0 < v <= 1, "in (0, 1]")
    require("model", "leaky_slope", *fraction)
    require("model", "norm_groups", *positive)
    require(
        "model",
        "critic_halvings classes generator_extra_depth critic_extra_depth",
        *not_negative,
    )
    require("model", "kernel", lambda v: v >= 2, "2 or more, to cover a stride of 2")
    require(
        "model",
        "generator_widths critic_widths",
        lambda v: len(v) > 0 and min(v) > 0,
        "one or more whole numbers greater than 0",
    )
    require("objective", "clip n_critic", *positive)
    require(
        "objective",
        "gp_weight gp_target generator_batch critic_class_weight "
        "generator_class_weight critic_weight_decay",
        *not_negative,
    )
    require("optimizer", "critic_lr generator_lr", *positive)
    require("optimizer", "beta1 beta2 ema_decay", *fraction)
    require(
        "run", "steps chunk log_every checkpoint_every max_to_keep grid_size", *positive
    )
    require("run", "sample_every keep_every evaluate_every", *not_negative)
    require("run", "evaluate_num", lambda v: v >= 2, "2 or more, to have a covariance")
    require("run", "seed", lambda v: 0 <= v < 2**32, "from 0 to 4294967295")


def _check_intervals(run):
    for name, reason in (
        ("log_every", "metrics leave the device once per chunk"),
        ("sample_every", "samples are drawn between chunks"),
        ("checkpoint_every", "checkpoints are written between chunks"),
        ("evaluate_every", "samples are evaluated between chunks"),
    ):
        value = getattr(run, name)
        if value % run.chunk:
            smaller = math.gcd(value, run.chunk)
            raise UserError(
                f"run.{name}={value} must be a multiple of run.chunk={run.chunk}: "
                f"{reason}, and --run.chunk {smaller} has shorter ones"
            )
    if run.keep_every % run.checkpoint_every:
        raise UserError(
            f"run.keep_every={run.keep_every} must be a multiple of "
            f"run.checkpoint_every={run.checkpoint_every}: only those steps are saved"
        )


def check_updates(steps: int, objective: Objective, field: str) -> None:
    """Raises UserError where training up to a step exceeds int32 in critic updates.

    field: that gives the number of steps.
    """
    updates = critic_update_count(steps, objective)
    if updates >= 2**31:
        warmup = " and objective.warmup" if objective.warmup else ""
        raise UserError(
            f"{field}={steps} makes {updates:,} critic updates with objective.n_critic="
            f"{objective.n_critic}{warmup}, and they are counted up to {2**31 - 1:,}: "
            "lower one of them"
        )


def critic_update_count(steps: int, objective: Objective) -> int:
    """`steps.critic_updates_before` in whole numbers of any size."""
    if not objective.warmup:
        return steps * objective.n_critic
    long = min(steps, 25) + max(steps - 1, 0) // 500
    return long * 100 + (steps - long) * objective.n_critic


def _check_source(config):
    reader_class(config.data)
    if config.data.stream == "always":
        check_stream(config, "data.stream=always")


def _check_objective(config):
    model, objective = config.model, config.objective
    losses, constraint = make_losses(objective), make_constraint(objective)
    make_optimizer(config.optimizer)
    if constraint.penalty and model.critic_norm == "batch":
        raise UserError(
            "model.critic_norm=batch cannot be combined with objective.constraint="
            f"{objective.constraint}: BatchNorm couples the samples of a batch, so the "
            "gradient of a single sample, which the penalty needs, is undefined; take "
            "layer, instance or none"
        )
    if losses.needs_constraint and constraint == Constraint():
        raise UserError(
            f"objective.constraint={objective.constraint} cannot be combined with "
            f"objective.kind={objective.kind}: the estimate of an unconstrained critic "
            "is unbounded; take clip or penalty"
        )
    if model.critic_is == "mlp" and model.critic_norm == "instance":
        field = "kind" if model.critic_kind == "same" else "critic_kind"
        raise UserError(
            f"model.critic_norm=instance needs images: with model.{field}=mlp take "
            "layer or none"
        )


def _check_line_fields(config):
    """Refuses what applies to text only, for other sources."""
    data, model = config.data, config.model
    if data.is_text:
        return
    for name in ("length", "vocabulary"):
        value = getattr(data, name)
        if value != getattr(Data, name):
            raise UserError(
                f"data.{name}={value} applies to data.source=text: leave it out, or "
                "take data.source=text"
            )
    for name in ("kind", "critic_kind"):
        if getattr(model, name) == "resnet1d":
            raise UserError(
                f"model.{name}=resnet1d needs lines of text: data.source={data.source} "
                "has none, so take another one, or data.source=text"
            )


def _check_text(config):
    data, model, run = config.data, config.model, config.run
    text = f"data.source={data.source} consists of lines of text"
    # First: the configuration may be one of images.
    for name, value in (("kind", model.kind), ("critic_kind", model.critic_is)):
        if value in ARCHITECTURES and value != "resnet1d":
            raise UserError(
                f"model.{name}={value} does not read text: {text}, so take "
                f"configs/language_model.py, or model.{name}=resnet1d"
            )
    if run.evaluate_every:
        raise UserError(
            f"run.evaluate_every={run.evaluate_every} needs images: {text}, so leave "
            "it at 0 and measure the checkpoints with python -m wgan_jax.evaluate RUN "
            "--checkpoint all"
        )
    if model.classes:
        raise UserError(
            f"model.classes={model.classes} needs labels: {text}, so take "
            "model.classes=0"
        )
    names = "test_split classes image_size channels resize background scale"
    for name in f"{names} dequantize flip".split():
        value = getattr(data, name)
        if value != getattr(Data, name):
            raise UserError(
                f"data.{name}={value} applies to images: {text}, so leave "
                f"data.{name} out"
            )
    required = [
        ("kind", "output", "softmax"),
        ("kind", "generator_norm", "none"),
        ("critic_is", "critic_norm", "none"),
    ]
    for kind, name, needed in required:
        value = getattr(model, name)
        if getattr(model, kind) == "resnet1d" and value != needed:
            raise UserError(
                f"model.{name}={value} is not that of model.kind=resnet1d: take "
                f"model.{name}={needed}"
            )
    if "resnet1d" in (model.kind, model.critic_is):
        _check_blocks(model)


def _check_blocks(model):
    if model.kernel % 2 == 0:
        raise UserError(
            f"model.kernel={model.kernel} must be odd for residual blocks, whose "
            "convolutions preserve the length: take 5"
        )
    for name in ("generator_widths", "critic_widths"):
        widths = getattr(model, name)
        if set(widths) != {1}:
            ones = (1,) * len(widths)
            raise UserError(
                f"model.{name}={widths} must be ones, one for each block of "
                f"model.kind=resnet1d, whose widths are equal: take {ones}, and "
                "model.features for the width"
            )


def _check_points(config):
    data, model, run = config.data, config.model, config.run
    points = f"data.source={data.source} consists of points"
    if run.evaluate_every:
        raise UserError(
            f"run.evaluate_every={run.evaluate_every} needs images: {points}, so leave "
            "it at 0"
        )
    if data.flip or data.classes:
        name = "flip" if data.flip else "classes"
        raise UserError(
            f"data.{name}={getattr(data, name)} needs images: {points}, so leave "
            f"data.{name} out"
        )
    for name, value in (("kind", model.kind), ("critic_kind", model.critic_is)):
        if value in CONVOLUTIONAL:
            raise UserError(
                f"model.{name}={value} needs images: {points}, so take model.kind=mlp"
            )
    # A network of the user's own has a last activation of its own.
    if model.output != "linear" and model.kind in ARCHITECTURES:
        raise UserError(
            f"model.output={model.output} cannot reach every point: "
            f"data.source={data.source} needs model.output=linear"
        )


def _check_images(config):
    data, model = config.data, config.model
    matching = {"symmetric": "tanh", "unit": "sigmoid"}[data.scale]
    if model.output not in (matching, "linear") and model.kind in ARCHITECTURES:
        raise UserError(
            f"model.output={model.output} does not match data.scale={data.scale}: "
            f"take model.output={matching}"
        )
    least = min(data.height_and_width)
    if model.kernel > least and {model.kind, model.critic_is} & set(CONVOLUTIONAL):
        raise UserError(
            f"model.kernel={model.kernel} is wider than an image of data.image_size="
            f"{data.image_size}: take at most {least}"
        )


def _check_labels(model):
    without = {*ARCHITECTURES} - {"resnet"}
    if model.classes and without & {model.kind, model.critic_is}:
        raise UserError(
            f"model.classes={model.classes} needs networks that use labels: take "
            "model.kind=resnet or model.classes=0"
        )
    if model.classes and model.generator_norm != "batch":
        raise UserError(
            f"model.classes={model.classes} conditions the generator by its "
            "BatchNorms: take model.generator_norm=batch or model.classes=0"
        )


def _check_activations(model):
    for part, kind in (("generator", model.kind), ("critic", model.critic_is)):
        name = f"{part}_activation"
        if getattr(model, name) == "gated" and kind in (*RESIDUAL, "resnet1d"):
            other = ", or model.kind=dcgan" * (kind in RESIDUAL)
            raise UserError(
                f"model.{name}=gated halves the channels, which residual blocks add to "
                f"their input: take another activation{other}"
            )


def _check_extra_depth(model):
    for part, kind in (("generator", model.kind), ("critic", model.critic_is)):
        name, widths = f"{part}_extra_depth", f"{part}_widths"
        depth = getattr(model, name)
        if depth and kind in ARCHITECTURES and kind != "dcgan":
            raise UserError(
                f"model.{name}={depth} applies to the dcgan and the {part} is of kind "
                f"{kind}: take model.{name}=0"
            )
        if depth and kind == "dcgan" and len(getattr(model, widths)) < 2:
            raise UserError(
                f"model.{name}={depth} needs two or more model.{widths}, and they are "
                f"{getattr(model, widths)}: add one, or take model.{name}=0"
            )


def _check_residual_blocks(model):
    kinds = {model.kind, model.critic_is}
    if kinds & set(RESIDUAL) and model.kernel % 2 == 0:
        raise UserError(
            f"model.kernel={model.kernel} must be odd for residual blocks, whose "
            "convolutions preserve the size: take 3"
        )
    if "bottleneck" in kinds and model.features % 2:
        raise UserError(
            f"model.features={model.features} must be even for bottlenecks, which have "
            f"half the channels of their blocks: take {model.features + 1}"
        )
    # Of resnet128, the first width is that of a convolution.
    first = {"resnet": 0, "resnet128": 1}
    if model.critic_is not in first:
        return
    blocks = len(model.critic_widths) - first[model.critic_is]
    if model.critic_halvings > blocks:
        raise UserError(
            f"model.critic_halvings={model.critic_halvings} is more than the {blocks} "
            f"blocks of model.critic_widths={model.critic_widths}: take at most "
            f"{blocks}"
        )


def _check_size(config):
    model, size = config.model, config.data.image_size
    sizes = nearest_sizes(config)
    if sizes == [size]:
        return
    rules = _halvings(model)
    fewer, kinds = {}, (model.kind, model.critic_is)
    for name, (halvings, least) in rules.items():
        counts = range(name != "critic_halvings", halvings + 1)
        fewer[name] = max((n for n in counts if _fits(config, n, least)), default=None)
        # Their halvings are not the number of widths.
        if {"resnet128", "bottleneck"} & {*kinds}:
            fewer[name] = None
    remedies = [" or ".join(map(str, sizes))]
    if None not in fewer.values():
        taken = {
            "generator_widths": lambda n: model.generator_widths[-n:],
            "critic_widths": lambda n: model.critic_widths[:n],
            "critic_halvings": lambda n: n,
        }
        changes = [
            f"model.{name}={taken[name](n)}"
            for name, n in fewer.items()
            if n < rules[name][0]
        ]
        remedies.append(" and ".join(changes))
    name = next(name for name, rule in rules.items() if not _fits(config, *rule))
    (halvings, least), value = rules[name], getattr(model, name)
    raise UserError(
        f"data.image_size={size} cannot be halved {halvings} times to {least} or "
        f"more pixels, as by model.{name}={value}: take {', or '.join(remedies)}"
    )


def nearest_sizes(config: Config) -> list[int | tuple[int, int]]:
    """data.image_size if the networks can make it, or the next smaller and larger ones.

    Networks of the user's own make every size here.
    """
    rules = _halvings(config.model).values()
    factor = 2 ** max((halvings for halvings, _ in rules), default=0)
    smallest = max((least << halvings for halvings, least in rules), default=1)
    sizes = []
    for raised in (0, factor - 1):
        height, width = (
            max((n + raised) // factor * factor, smallest)
            for n in config.data.height_and_width
        )
        sizes.append(Data(image_size=(height, width)).image_size)
    return list(dict.fromkeys(sizes))


def _fits(config, halvings, least):
    sides = config.data.height_and_width
    return all(n % 2**halvings == 0 and n >> halvings >= least for n in sides)


def _halvings(model):
    """{field: (number of times that it halves the image, least size after them)}."""
    rules = {}
    if model.kind == "bottleneck":
        rules["generator_widths"] = bottleneck.changes(model.generator_widths), 2
    elif model.kind in CONVOLUTIONAL:
        halvings = len(model.generator_widths) + (model.kind == "resnet128")
        rules["generator_widths"] = halvings, 2
    if model.critic_is == "bottleneck":
        rules["critic_widths"] = bottleneck.changes(model.critic_widths), 1
    elif model.critic_is in ("resnet", "resnet128"):
        halvings = model.critic_halvings + (model.critic_is == "resnet128")
        rules["critic_halvings"] = halvings, 1
    elif model.critic_is in CONVOLUTIONAL:
        rules["critic_widths"] = len(model.critic_widths), 2
    return rules


def _check_norm_groups(config):
    groups = config.model.norm_groups
    for field, size in (
        ("data.batch_size", config.data.batch_size),
        ("objective.generator_batch", config.objective.generator_batch),
    ):
        if size % groups:
            raise UserError(
                f"model.norm_groups={groups} does not divide {field}={size}: all "
                "groups must have the same size"
            )
