"""A configuration for data of the user, and the reason of each choice.

The choices depend on the facts about the data, on the presence of an accelerator, and
on the memory only where the network of the data would not fit into it.
"""

import dataclasses
import json
import math
import textwrap
from collections.abc import Mapping
from typing import Any, get_type_hints

import jax
import numpy as np

from wgan_jax import sizes
from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run
from wgan_jax.data.sources import detect, open_reader
from wgan_jax.data.sources.vectors import vector_length
from wgan_jax.data.survey import Survey, survey
from wgan_jax.distributed.sharding import format_bytes, memory_limit
from wgan_jax.errors import UserError

# Largest side of an image that is chosen, with and without an accelerator.
LARGEST = {True: 128, False: 64}
# Sides that a pyramid makes from 4 to 7 pixels, by doubling.
MADE = {base << n: base for base in range(4, 8) for n in range(1, 10)}
# Least ratio of the sides of nine in ten images that become rectangles, and largest.
WIDE, WIDEST = 1.25, 4
# Fewer images than this are memorised rather than generalised from.
FEW = 500
# Training needs about this multiple of the lower bound of `sizes`: the gradient of a
# penalty stores the outputs of the layers twice, and their gradients.
OVERHEAD = 4


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts about samples, on which a configuration depends."""

    data: Data
    """Section that names the samples: source, dir, name, array, test_split."""
    count: int
    """Number of readable samples; 0 is endless, as of a toy."""
    shape: tuple[int, ...]
    """Shape of a sample: [height, width, channels], the medians of the originals and 1
    channel where all are grey, or [d] for points."""
    shorter_sides: tuple[int, ...] = (0, 0, 0)
    """Quantiles (10 %, 50 %, 90 %) of the shorter sides of the originals; zeros where
    every image has `shape`."""
    aspects: tuple[float, ...] = (1.0, 1.0, 1.0)
    """The same quantiles of width / height."""
    classes: int = 0
    """Number of different labels; 0 without labels."""
    rarest: int = 0
    """Number of samples of the rarest label."""
    unreadable: int = 0
    """Number of samples that cannot be read, which `count` does not include."""
    test_count: int = 0
    """Number of samples of a test part to hold out; 0 holds out of `count`."""

    @classmethod
    def of_array(
        cls, data: Data, samples: np.ndarray, labels: np.ndarray | None = None
    ) -> "Facts":
        """Facts about images [n, h, w] or [n, h, w, 1 or 3], or about points [n, d].

        labels: [n]; each different value is a class. data: see `Facts.data`.
        """
        shape = samples.shape[1:]
        counts = () if labels is None else np.unique(labels, return_counts=True)[1]
        return cls(
            data=data,
            count=len(samples),
            shape=(*shape, 1) if len(shape) == 2 else tuple(shape),
            classes=len(counts),
            rarest=int(min(counts, default=0)),
        )


def facts_of(survey: Survey) -> Facts:
    """The facts of a survey of images, of those in data.classes where it is set."""
    rows, labels, counts = survey.rows, (), ()
    if survey.reader.classes:
        if wanted := survey.reader.data.classes:
            rows = rows[np.isin(rows["label"], wanted)]
        labels, counts = np.unique(rows["label"], return_counts=True)
    if not len(rows):
        # The message of training names the labels that exist.
        rows = survey.rows
    heights, widths = np.maximum(rows["height"], 1), np.maximum(rows["width"], 1)
    sides, aspects = (
        np.quantile(values, (0.1, 0.5, 0.9))
        for values in (np.minimum(heights, widths), widths / heights)
    )
    channels = 1 if rows["grey"].all() else 3
    data = survey.reader.data
    return Facts(
        data=dataclasses.replace(
            data, image_size=Data.image_size, channels=channels, resize=Data.resize
        ),
        count=len(rows),
        shape=(int(np.median(heights)), int(np.median(widths)), channels),
        shorter_sides=tuple(int(side) for side in sides),
        aspects=tuple(float(aspect) for aspect in aspects),
        classes=len(labels),
        rarest=int(min(counts, default=0)),
        unreadable=len(survey.unreadable),
        test_count=_test_count(survey.reader),
    )


def suggest(
    facts: Facts,
    memory: float | None = None,
    *,
    accelerator: bool = False,
    given: Mapping[str, Any] | None = None,
) -> tuple[Config, list[str]]:
    """(configuration, one sentence for each choice with its reason).

    memory: bytes of the device; None is unlimited. accelerator: whether it is a GPU or
    TPU. given: values of fields that are decided, such as {"model.features": 32}; the
    other choices follow them. A warning begins with `warning: `. Raises UserError where
    there are too few samples to train on.
    """
    choices = _Choices(facts.data, given or {})
    if len(facts.shape) == 1:
        _choose_points(choices, facts)
    else:
        _choose_images(choices, facts, accelerator)
    _choose_batch(choices, facts, accelerator)
    _fit_memory(choices, memory)
    _choose_run(choices, accelerator)
    # Warnings last.
    reasons = sorted(choices.reasons, key=lambda r: r.startswith("warning: "))
    return choices.config, reasons


def automatic(data: Data, given: Mapping[str, Any]) -> tuple[Config, list[str]]:
    """`suggest` for the samples that a data section names, on this machine.

    given: see `suggest`; without data.source the source is detected. Raises UserError
    where the samples cannot be read.
    """
    data, reason = name_source(data, given.get("data.source", ""))
    memory, accelerator = device()
    facts = read_facts(data)
    config, reasons = suggest(facts, memory, accelerator=accelerator, given=given)
    return config, [reason] * bool(reason) + reasons


def name_source(data: Data, source: str) -> tuple[Data, str]:
    """(data section with its source, reason of the choice or empty).

    source: as typed; empty detects the source of data.dir.
    """
    if source:
        return dataclasses.replace(data, source=source), ""
    if not data.dir:
        raise UserError(
            "--config auto needs data: add --data.dir PATH, or --data.source NAME with "
            "the fields that it needs"
        )
    source = detect(data.dir, "data.dir=")
    data = dataclasses.replace(data, source=source)
    return data, f"data.source={source}: {data.dir} is of this kind"


def device() -> tuple[float | None, bool]:
    """(bytes of memory of the device or None, whether it is a GPU or TPU)."""
    return memory_limit(), jax.default_backend() != "cpu"


def read_facts(data: Data) -> Facts:
    """The facts about the samples that a data section names, which are all read.

    Raises UserError where there are none.
    """
    if data.is_toy:
        return Facts(data, 0, (2,))
    if data.is_text:
        raise UserError(
            f"no configuration is chosen for lines of text (data.dir={data.dir}): take "
            "configs/language_model.py"
        )
    if not data.is_points:
        return facts_of(survey(data))
    if data.source == "vectors":
        data = dataclasses.replace(data, dimensions=vector_length(data))
    reader = open_reader(data)
    return Facts(data, len(reader), data.sample_shape, test_count=_test_count(reader))


def _test_count(reader):
    test = reader.test_reader()
    return len(test) if test else 0


def python_file(config: Config, reasons: list[str], command: str) -> str:
    """Text of a configuration file, with the reasons as comments.

    command: that trains the same without the file.
    """
    why = dict(reason.split(": ", 1) for reason in reasons)
    why = {name.split("=")[0]: text for name, text in why.items()}
    sections = []
    for section in dataclasses.fields(Config):
        values = getattr(config, section.name)
        rows = []
        for field in dataclasses.fields(values):
            value = getattr(values, field.name)
            reason = why.get(f"{section.name}.{field.name}")
            if reason:
                rows += textwrap.wrap(
                    f"{reason[0].upper()}{reason[1:]}.",
                    88,
                    initial_indent=" " * 12 + "# ",
                    subsequent_indent=" " * 12 + "# ",
                )
            if reason or value != field.default:
                text = json.dumps(value) if isinstance(value, str) else repr(value)
                rows.append(f"{' ' * 12}{field.name}={text},")
        kind = type(values).__name__
        sections += [f"        {section.name}={kind}(", *rows, "        ),"]
    names = ", ".join(
        ["Config", *(kind.__name__ for kind in get_type_hints(Config).values())]
    )
    return "\n".join(
        [
            '"""A configuration that was suggested for the data.',
            "",
            f"The command without this file: {command}",
            '"""',
            "",
            f"from wgan_jax.config import {names}",
            "",
            "",
            "def get_config():",
            "    return Config(",
            *sections,
            "    )",
            "",
        ]
    )


class _Choices:
    """The configuration so far. A field that is given keeps its value."""

    def __init__(self, data, given):
        self.given, self.reasons = given, []
        self.config = Config(data, Model(), Objective(), Optimizer(), Run())
        self._put(given)

    def set(self, reason: str, **fields) -> None:
        """Sets fields, such as model__features, and records the reason of the first.

        Nothing is recorded where the first field is given or the reason is empty.
        """
        fields = {name.replace("__", "."): value for name, value in fields.items()}
        self._put({k: v for k, v in fields.items() if k not in self.given})
        first, value = next(iter(fields.items()))
        if reason and first not in self.given:
            self.reasons.append(f"{first}={_shown(value)}: {reason}")

    def _put(self, fields):
        for name, value in fields.items():
            section, field = name.split(".")
            values = dataclasses.replace(
                getattr(self.config, section), **{field: value}
            )
            self.config = dataclasses.replace(self.config, **{section: values})


def _shown(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _choose_points(choices, facts):
    (length,) = facts.shape
    noise = min(max(length, 2), 128)
    choices.set(
        f"the samples are points of {length} numbers",
        model__kind="mlp",
        data__dimensions=length,
        model__output="linear",
        model__generator_norm="none",
        model__critic_activation="relu",
        model__generator_widths=(1, 1, 1),
        model__critic_widths=(1, 1, 1),
        model__z_dim=noise,
    )
    choices.set(
        "three hidden layers of this width suffice for the toy distributions"
        if length <= 32
        else "vectors of more than 32 numbers get twice the width of the toys",
        model__features=128 if length <= 32 else 256,
    )
    choices.set(
        "WGAN-GP with the weight of the paper's toys, whose distances are as short",
        objective__constraint="penalty",
        objective__gp_weight=0.1,
    )
    choices.set(
        "Adam with the constants of configs/toy_8gaussians.py; averaged weights are "
        "sampled",
        optimizer__kind="adam",
        optimizer__critic_lr=1e-3,
        optimizer__generator_lr=1e-3,
        optimizer__beta1=0.5,
        optimizer__decay="linear",
        optimizer__ema_decay=0.999,
    )


def _choose_images(choices, facts, accelerator):
    channels = facts.shape[-1]
    _choose_size(choices, facts, accelerator)
    choices.set(
        "every image is grey" if channels == 1 else "there are images in colour",
        data__channels=1 if channels == 1 else 3,
    )
    if facts.unreadable:
        choices.set(
            f"{facts.unreadable} images cannot be read; python -m wgan_jax.prepare "
            "check names them",
            data__skip_corrupt=True,
        )
    choices.set(
        "mirrored images need not look like the data; where they do, --data.flip "
        "doubles the data",
        data__flip=False,
    )
    _choose_objective(choices, accelerator)
    _choose_network(choices, facts, accelerator)


def _choose_objective(choices, accelerator):
    """Losses of images, and the optimizer that their authors use with them."""
    kind = choices.given.get("objective.kind", "wgan")
    constraint = choices.given.get("objective.constraint", "penalty")
    if kind in ("gan", "lsgan"):
        choices.set(
            "these losses need no constraint",
            objective__constraint="none",
            objective__n_critic=1,
        )
        source, optimizer, rate = "of DCGAN", "adam", 2e-4
        choices.set("", optimizer__beta1=0.5, optimizer__beta2=0.999)
    elif constraint == "clip":
        source, optimizer, rate = "of the WGAN paper", "rmsprop", 5e-5
    else:
        choices.set(
            "WGAN-GP with the weight of the paper",
            objective__constraint="penalty",
            objective__gp_weight=10.0,
            objective__n_critic=5 if accelerator else 3,
        )
        source, optimizer, rate = "of the WGAN-GP paper", "adam", 1e-4
    reason = f"the constants {source}"
    if source == "of the WGAN-GP paper" and not accelerator:
        reason, rate = f"{reason}, with three times the rate for a short run", 3e-4
    choices.set(
        f"{reason}; averaged weights are sampled",
        optimizer__kind=optimizer,
        optimizer__critic_lr=rate,
        optimizer__generator_lr=rate,
        optimizer__ema_decay=0.999 if accelerator else 0.99,
    )


def _choose_size(choices, facts, accelerator):
    height, width, _ = facts.shape
    limit = LARGEST[accelerator]
    small, middle, large = facts.shorter_sides
    if not any(facts.shorter_sides):
        small = middle = large = min(height, width)
    if small == large <= limit and small in MADE:
        side = small
        reason = f"the shorter side of the images, which halves to {MADE[small]} pixels"
    elif small < 8:
        side = max(middle, 1)
        reason = "the images are too small for a pyramid of convolutions"
    else:
        side = min(2 ** int(math.log2(small)), limit)
        reason = "the largest power of two that nine of ten shorter sides reach"
        if side == limit < small:
            where = "on an accelerator" if accelerator else "without an accelerator"
            reason = f"the largest size that is chosen {where}"
        reason += f"; the median of the originals is {width}x{height}"
    sides, shape = _rectangle(facts, side)
    choices.set(reason + shape, data__image_size=sides)


def _rectangle(facts, side):
    """(data.image_size whose shorter side is `side`, addition to the reason)."""
    low, middle, high = facts.aspects
    if not any(facts.shorter_sides):
        low = middle = high = facts.shape[1] / facts.shape[0]
    if low < WIDE and high > 1 / WIDE:
        return side, ""
    ratio = min(max(middle, 1 / middle), WIDEST)
    # A multiple of the factor by which the shorter side is halved.
    factor = 2 ** halvings(side, side)
    longer = round(side * ratio / factor) * factor
    if middle > 1:
        return (side, longer), f"; nine of ten images are wider than {low:.3g} to 1"
    return (longer, side), f"; nine of ten images are higher than 1 to {high:.3g}"


def halvings(height: int, width: int) -> int:
    """Number of times that both sides can be halved to 4 or more; 0 for an odd one."""
    count = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    return count


def _choose_network(choices, facts, accelerator):
    height, width = choices.config.data.height_and_width
    size, count = max(height, width), halvings(height, width)
    is_conditional = choices.given.get("model.classes", 0) > 0 or (
        accelerator and facts.classes > 1 and facts.rarest >= 100 and size <= 64
    )
    if not count:
        choices.set(
            f"images of {height}x{width} pixels cannot be halved to 4 or more",
            model__kind="mlp",
        )
    elif is_conditional:
        choices.set(
            f"it can be conditioned on the {facts.classes} labels",
            model__kind="resnet",
            model__classes=facts.classes,
        )
    else:
        unused = ""
        if facts.classes > 1:
            unused = (
                f"; the {facts.classes} labels are not used, which needs "
                f"--model.classes {facts.classes} and a ResNet, several times slower"
            )
        choices.set(
            f"a DCGAN is the fastest network for images{unused}", model__kind="dcgan"
        )
    kind = choices.config.model.kind
    widths = tuple(2**i for i in range(max(count, 1)))
    if kind == "dcgan":
        choices.set(
            f"one layer for each halving, from {height}x{width} to "
            f"{height >> count}x{width >> count} pixels, each twice as wide as the one "
            "before",
            model__critic_widths=widths,
            model__generator_widths=widths[::-1],
            model__init="dcgan",
        )
        if choices.config.objective.constraint != "penalty":
            choices.set("as in the paper", model__critic_norm="batch")
        elif size >= 64:
            choices.set(
                "it suits the penalty and makes deep critics train faster",
                model__critic_norm="instance",
            )
    elif kind == "mlp":
        choices.set("", model__generator_widths=(1, 2, 4), model__critic_widths=(4, 2))
    elif kind == "resnet":
        choices.set(
            "blocks of the WGAN-GP paper, one for each doubling",
            model__generator_widths=(1,) * len(widths),
            model__critic_widths=(1,) * (len(widths) + 1),
            model__critic_halvings=max(len(widths) - 1, 1),
            model__kernel=3,
            model__critic_activation="relu",
            model__bias="all",
            model__init="tflib",
            model__z_dim=128,
        )
    narrow = {"mlp": 128, "dcgan": 24 if size <= 32 else 16, "resnet": 16}
    choices.set(
        "the width of the papers"
        if accelerator
        else "narrow networks train in minutes on a CPU; a GPU gets the papers' width",
        model__features={"mlp": 256, "resnet": 128}.get(kind, 64)
        if accelerator
        else narrow.get(kind, 16),
    )
    if choices.config.data.scale == "unit":
        choices.set("it matches data.scale=unit", model__output="sigmoid")


def _choose_batch(choices, facts, accelerator):
    data = choices.config.data
    if not facts.count:
        choices.set("", data__batch_size=256, data__heldout=2048)
        return
    if facts.count < 2:
        raise UserError(
            f"{facts.count} sample is too few to train on: give at least 2, and better "
            f"{FEW} or more"
        )
    is_points = len(facts.shape) == 1
    test = facts.test_count
    heldout = min(1000, test or facts.count // 10)
    reason = "enough for the held-out estimate"
    if test:
        reason = f"held-out samples are of the test part, which has {test:,}"
    elif heldout < 1000:
        reason = f"a tenth of {facts.count:,} samples"
    choices.set(reason, data__heldout=heldout)
    left = facts.count - (0 if test else choices.config.data.heldout)
    largest, reason = 64, "the batch of the papers"
    if is_points:
        largest, reason = 256, "the batch of the papers' toys"
    elif not accelerator and max(data.height_and_width) > 32:
        largest, reason = 32, "half the batch of the papers, so that steps are short"
    batch = min(largest, 2 ** int(math.log2(max(left // 4, 1))))
    if batch < largest:
        reason = f"at most a quarter of the {left:,} samples to train on"
    choices.set(reason, data__batch_size=batch)
    if facts.count < FEW:
        choices.reasons.append(
            f"warning: {facts.count} samples are few: the critic can memorise them, "
            "which the held-out estimate shows, and samples then resemble copies; "
            f"{FEW} or more are better"
        )
    size = facts.count * math.prod(data.sample_shape)
    if not is_points and size > 2**28:
        choices.set(
            f"the images take {format_bytes(size)} and are streamed only where that is "
            "more than half of the device's memory",
            data__stream="auto",
        )


def _fit_memory(choices, memory):
    """Halves the batch, then the width, while training would exceed the memory."""

    def need():
        return OVERHEAD * sizes.training_bytes(choices.config)

    fields = {"data.batch_size": 8, "model.features": 4}
    for name, least in fields.items():
        section, field = name.split(".")
        while memory is not None and need() > memory and name not in choices.given:
            value = getattr(getattr(choices.config, section), field)
            if value // 2 < least:
                break
            choices.set("", **{f"{section}__{field}": value // 2})
            text = f"{name}={value // 2}: halved to fit {format_bytes(memory)}"
            stale = f"{name}="
            choices.reasons = [r for r in choices.reasons if not r.startswith(stale)]
            choices.reasons.append(f"{text} of memory")


def _choose_run(choices, accelerator):
    config = choices.config
    if config.data.is_points:
        steps, reason = 10_000, "enough for the toy distributions"
    elif accelerator:
        steps, reason = 20_000, "a first run; more steps sharpen the samples"
    else:
        steps, reason = 3000, "a first look"
    more = " (--run.steps N --extend trains longer)"
    if config.optimizer.decay == "linear":
        more = ""
    choices.set(f"{reason}{more}", run__steps=steps)
    run = choices.config.run
    chunk = min(run.chunk, run.steps)
    choices.set("", run__chunk=chunk)
    chunk = choices.config.run.chunk
    # An eighth of the run, as a multiple of the chunk.
    interval = max(run.steps // 8 // chunk, 1) * chunk
    choices.set(
        "",
        run__log_every=max(run.steps // 400 // chunk, 1) * chunk,
        run__sample_every=interval,
        run__checkpoint_every=interval,
    )
