"""Whether a configuration makes sense, told before anything is loaded or computed."""

import dataclasses
import math
from typing import Literal, get_args, get_origin, get_type_hints

from wgan_jax.config import Config
from wgan_jax.errors import UserError

# Sources whose images have numbers, by which a few are read at a time.
STREAMED = ("tfds", "folder", "array_record")


def validate(config: Config) -> None:
    """Checks types, ranges and pairs of fields; raises UserError with one sentence."""
    for section in dataclasses.fields(config):
        _check_types(section.name, getattr(config, section.name))
    _check_ranges(config)
    _check_pairs(config)


def _check_types(section, values):
    for name, kind in get_type_hints(type(values)).items():
        value, field = getattr(values, name), f"{section}.{name}"
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                raise UserError(
                    f"{field}={value!r} must be one of {', '.join(get_args(kind))}"
                )
        elif get_origin(kind) is tuple:
            if type(value) is not tuple or any(type(v) is not int for v in value):
                raise UserError(f"{field}={value!r} must be a tuple of whole numbers")
        elif kind is float:
            if type(value) not in (int, float) or not math.isfinite(value):
                raise UserError(f"{field}={value!r} must be a finite number")
        elif type(value) is not kind:
            raise UserError(f"{field}={value!r} must be of type {kind.__name__}")


def _check_ranges(config):
    def require(section, names, test, what):
        for name in names.split():
            value = getattr(getattr(config, section), name)
            if not test(value):
                raise UserError(f"{section}.{name}={value} must be {what}")

    positive = (lambda v: v > 0, "greater than 0")
    not_negative = (lambda v: v >= 0, "0 or more")
    fraction = (lambda v: 0 <= v < 1, "at least 0 and less than 1")
    require("data", "batch_size image_size dimensions", *positive)
    require("data", "heldout", *not_negative)
    require(
        "data",
        "classes",
        lambda v: min(v, default=0) >= 0 and len(set(v)) == len(v),
        "different whole numbers of 0 or more",
    )
    require("data", "channels", lambda v: v in (1, 3), "1 or 3")
    require("data", "workers", lambda v: v >= -1, "-1, 0 or more")
    require("model", "z_dim features kernel norm_epsilon", *positive)
    require("model", "norm_momentum", lambda v: 0 < v <= 1, "in (0, 1]")
    require("model", "leaky_slope", *fraction)
    require("model", "norm_groups", *positive)
    require("model", "critic_halvings classes", *not_negative)
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
        "generator_class_weight",
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


def _check_pairs(config):
    data, model, run = config.data, config.model, config.run
    for name, reason in (
        ("log_every", "metrics leave the device once a chunk"),
        ("sample_every", "samples are drawn between chunks"),
        ("checkpoint_every", "checkpoints are written between chunks"),
        ("evaluate_every", "samples are measured between chunks"),
    ):
        value = getattr(run, name)
        if value % run.chunk:
            raise UserError(
                f"run.{name}={value} must be a multiple of run.chunk={run.chunk}: "
                f"{reason}"
            )
    if run.keep_every % run.checkpoint_every:
        raise UserError(
            f"run.keep_every={run.keep_every} must be a multiple of "
            f"run.checkpoint_every={run.checkpoint_every}: only those steps are saved"
        )
    for source, field in (
        *(("tfds", "name"), ("folder", "dir"), ("array_record", "dir")),
        *(("npz", "dir"), ("vectors", "dir")),
    ):
        if data.source == source and not getattr(data, field):
            raise UserError(
                f"data.{field} is empty: data.source={source} needs it, as in "
                f"--data.{field} {'mnist' if field == 'name' else 'PATH'}"
            )
    if data.stream == "always":
        check_stream(config, "data.stream=always")
    if config.objective.constraint == "penalty" and model.critic_norm == "batch":
        raise UserError(
            "model.critic_norm=batch cannot stand with objective.constraint=penalty: "
            "BatchNorm ties the samples of a batch together, so the gradient for one "
            "sample, which the penalty needs, is not defined; take layer, instance or "
            "none"
        )
    if config.objective.kind == "wgan" and config.objective.constraint == "none":
        raise UserError(
            "objective.constraint=none cannot stand with objective.kind=wgan: the "
            "estimate of an unbounded critic has no end; take clip or penalty"
        )
    if model.critic_is == "mlp" and model.critic_norm == "instance":
        field = "kind" if model.critic_kind == "same" else "critic_kind"
        raise UserError(
            f"model.critic_norm=instance needs images: with model.{field}=mlp take "
            "layer or none"
        )
    if data.is_points:
        if run.evaluate_every:
            raise UserError(
                f"run.evaluate_every={run.evaluate_every} needs images: data.source="
                f"{data.source} gives points, so leave it at 0"
            )
        if data.flip or data.classes:
            name = "flip" if data.flip else "classes"
            raise UserError(
                f"data.{name}={getattr(data, name)} needs images: data.source="
                f"{data.source} gives points, so leave data.{name} out"
            )
        if model.kind != "mlp":
            raise UserError(
                f"model.kind={model.kind} needs images: data.source={data.source} "
                "gives points, so take model.kind=mlp"
            )
        if model.critic_is != "mlp":
            raise UserError(
                f"model.critic_kind={model.critic_kind} needs images: data.source="
                f"{data.source} gives points, so take model.kind=mlp"
            )
        if model.output != "linear":
            raise UserError(
                f"model.output={model.output} cannot reach every point: "
                f"data.source={data.source} needs model.output=linear"
            )
        return
    wanted = {"symmetric": "tanh", "unit": "sigmoid"}[data.scale]
    if model.output not in (wanted, "linear"):
        raise UserError(
            f"model.output={model.output} does not fit data.scale={data.scale}: "
            f"take model.output={wanted}"
        )
    for kind, name in (
        (model.kind, "generator_widths"),
        (model.critic_is, "critic_widths"),
    ):
        halves = kind == "dcgan" or (kind, name) == ("resnet", "generator_widths")
        factor = 2 ** len(getattr(model, name))
        if halves and (data.image_size % factor or data.image_size // factor < 2):
            raise UserError(
                f"data.image_size={data.image_size} cannot be made by "
                f"model.{name}={getattr(model, name)}: each of the "
                f"{len(getattr(model, name))} entries halves the image, so the "
                f"size must be {factor} times 2 or more"
            )
    _check_resnet(config)


def check_stream(config: Config, why: str) -> None:
    """Raises UserError where the images cannot be streamed; why: what asks for it."""
    data, run = config.data, config.run
    if data.source not in STREAMED:
        raise UserError(
            f"{why} needs images that can be read one by one: data.source="
            f"{data.source} is kept in memory, so leave data.stream at auto"
        )
    if data.skip_corrupt:
        raise UserError(
            f"data.skip_corrupt=True cannot stand with {why}: which images are left "
            "out must be known before the first batch; mend or remove the files that "
            "cannot be read, or take data.stream=never"
        )
    if data.classes:
        raise UserError(
            f"data.classes={data.classes} cannot stand with {why}: every label would "
            "be read before the first batch; leave data.classes empty, or take "
            "data.stream=never"
        )
    if run.evaluate_every and run.evaluate_features == "classifier":
        raise UserError(
            f"run.evaluate_features=classifier cannot stand with {why}: the classifier "
            "is trained on images in memory; take inception, or data.stream=never"
        )


def _check_resnet(config):
    data, model, objective = config.data, config.model, config.objective
    if model.classes and (model.kind, model.critic_is) != ("resnet", "resnet"):
        raise UserError(
            f"model.classes={model.classes} needs networks that can be told labels: "
            "take model.kind=resnet, or model.classes=0"
        )
    if model.classes and model.generator_norm != "batch":
        raise UserError(
            f"model.classes={model.classes} reaches the generator through its norms: "
            "take model.generator_norm=batch, or model.classes=0"
        )
    if "resnet" in (model.kind, model.critic_is) and model.kernel % 2 == 0:
        raise UserError(
            f"model.kernel={model.kernel} must be odd for residual blocks, whose "
            "convolutions keep the size: take 3"
        )
    if model.critic_is == "resnet":
        factor = 2**model.critic_halvings
        if model.critic_halvings > len(model.critic_widths):
            raise UserError(
                f"model.critic_halvings={model.critic_halvings} is more than the "
                f"{len(model.critic_widths)} blocks of model.critic_widths="
                f"{model.critic_widths}: take as many at most"
            )
        if data.image_size % factor:
            raise UserError(
                f"data.image_size={data.image_size} cannot be halved "
                f"model.critic_halvings={model.critic_halvings} times: it must be a "
                f"multiple of {factor}"
            )
    for field, size in (
        ("data.batch_size", data.batch_size),
        ("objective.generator_batch", objective.generator_batch),
    ):
        if size % model.norm_groups:
            raise UserError(
                f"model.norm_groups={model.norm_groups} does not divide {field}={size}:"
                " all groups must be of one size"
            )
