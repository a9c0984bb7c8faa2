"""What a run is made of: frozen dataclasses, their checks, and their way to disk.

The docstring under a field is its help text on the command line. A file of `configs/`
defines `get_config()`, which returns a `Config` that names only what differs from the
defaults here; the command line overrides single fields.
"""

import dataclasses
import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

TOYS = ("8gaussians", "25gaussians", "swiss_roll")


class UserError(Exception):
    """A mistake the user can mend: one sentence, shown without a traceback, exit 2."""


@dataclasses.dataclass(frozen=True)
class Data:
    """What the real samples are and how they reach the critic."""

    source: Literal[
        "digits", "tfds", "folder", "npz", "8gaussians", "25gaussians", "swiss_roll"
    ] = "digits"
    """Where samples come from: scikit-learn's handwritten digits, a TensorFlow Datasets
    name, a folder of image files, an array in an .npz file, or a 2-D distribution."""
    name: str = ""
    """Name of the TFDS data set, such as mnist (source tfds)."""
    split: str = "train"
    """TFDS split to train on."""
    test_split: str = ""
    """TFDS split of the held-out images; empty keeps back part of `split` instead."""
    tfds_dir: str = ""
    """Folder of prepared TFDS data sets; empty is TFDS's own default."""
    manual_dir: str = ""
    """Folder with a TFDS data set's original files, for machines without network."""
    dir: str = ""
    """Folder of images (source folder) or path of the .npz file (source npz)."""
    array: str = ""
    """Name of the array in the .npz file; empty takes `images`, or the only array."""
    image_size: int = 32
    """Height and width of an image in pixels; others are centre-cropped and resized."""
    channels: int = 1
    """Colour channels: 1 (grey) or 3 (RGB); images are converted."""
    resize: Literal["box", "bilinear", "bicubic", "lanczos"] = "bicubic"
    """Resampling filter of the resize, always antialiased."""
    scale: Literal["symmetric", "unit"] = "symmetric"
    """Range of a pixel as the networks see it: [-1, 1] or [0, 1]."""
    dequantize: bool = False
    """Add uniform noise of one grey level, so that pixels fill the range evenly."""
    batch_size: int = 64
    """Real (and as many generated) samples in one update."""
    heldout: int = 1000
    """Samples never trained on, for the held-out Wasserstein estimate."""
    skip_corrupt: bool = False
    """Train without the image files that cannot be read, instead of stopping."""

    @property
    def is_toy(self) -> bool:
        """Whether samples are points in the plane rather than images."""
        return self.source in TOYS

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: [height, width, channels], or [2] for the toys."""
        if self.is_toy:
            return (2,)
        return (self.image_size, self.image_size, self.channels)


@dataclasses.dataclass(frozen=True)
class Model:
    """Generator and critic, sized by fields."""

    kind: Literal["mlp", "dcgan"] = "dcgan"
    """Fully connected layers, or a pyramid of stride-2 (transposed) convolutions."""
    critic_kind: Literal["same", "mlp", "dcgan"] = "same"
    """The critic's kind, where it is not the generator's."""
    z_dim: int = 100
    """Dimensions of the noise, drawn from a standard normal distribution."""
    features: int = 64
    """Base width: units (mlp) or channels (dcgan) that the widths below multiply."""
    generator_widths: tuple[int, ...] = (4, 2, 1)
    """Hidden layers of the generator from the noise on, as multiples of features."""
    critic_widths: tuple[int, ...] = (1, 2, 4)
    """Hidden layers of the critic from the image on, as multiples of features."""
    kernel: int = 4
    """Side of the stride-2 kernels in pixels, padded by (kernel - 1) // 2 (dcgan)."""
    generator_norm: Literal["none", "batch"] = "batch"
    """Norm after the generator's hidden layers; an mlp's first layer has none."""
    critic_norm: Literal["none", "batch", "instance", "layer"] = "none"
    """Norm after the critic's hidden layers but the first; no batch with a penalty."""
    norm_epsilon: float = 1e-5
    """Number added to the variance in every norm."""
    norm_momentum: float = 0.1
    """Weight of the newest batch in the running statistics, as PyTorch counts it."""
    generator_activation: Literal["relu", "leaky_relu", "tanh"] = "relu"
    """Activation of the generator's hidden layers."""
    critic_activation: Literal["relu", "leaky_relu", "tanh"] = "leaky_relu"
    """Activation of the critic's hidden layers."""
    leaky_slope: float = 0.2
    """Slope of leaky_relu below zero."""
    output: Literal["tanh", "sigmoid", "linear"] = "tanh"
    """Last activation of the generator; must fit data.scale."""
    bias: Literal["all", "unnormalised", "none"] = "unnormalised"
    """Which layers have a bias: all, those without a norm behind them, or none."""
    init: Literal["torch", "dcgan"] = "torch"
    """Initial weights: PyTorch's uniform default, or N(0, 0.02) for convolutions and
    N(1, 0.02) for BatchNorm scales of images."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type the networks compute in; parameters, norms and the penalty stay float32."""

    @property
    def critic_is(self) -> str:
        """The critic's kind, resolved."""
        return self.kind if self.critic_kind == "same" else self.critic_kind


@dataclasses.dataclass(frozen=True)
class Objective:
    """The losses, the Lipschitz constraint and the rhythm of the updates."""

    kind: Literal["wgan", "gan", "lsgan"] = "wgan"
    """Wasserstein losses, or what they are compared with: the non-saturating GAN
    (Goodfellow et al.) or least squares (Mao et al.)."""
    constraint: Literal["clip", "penalty", "none"] = "penalty"
    """Weight clipping (Arjovsky et al.), gradient penalty (Gulrajani et al.), or none,
    which the Wasserstein losses cannot do without."""
    clip: float = 0.01
    """Bound on every critic parameter after each update (constraint clip)."""
    gp_weight: float = 10.0
    """Weight of the gradient penalty, lambda (constraint penalty)."""
    gp_target: float = 1.0
    """Gradient norm that costs nothing (constraint penalty)."""
    one_sided: bool = False
    """Penalise only gradient norms above the target (constraint penalty)."""
    n_critic: int = 5
    """Critic updates for each generator update."""
    warmup: bool = False
    """100 critic updates for each of the first 25 generator updates and for every
    500th, as the original code has it."""


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How gradients become updates."""

    kind: Literal["rmsprop", "rmsprop_tf1", "adam"] = "adam"
    """RMSprop as PyTorch defines it, RMSprop as TensorFlow 1 does, or Adam."""
    critic_lr: float = 1e-4
    """Learning rate of the critic."""
    generator_lr: float = 1e-4
    """Learning rate of the generator."""
    beta1: float = 0.0
    """Decay of Adam's first moment."""
    beta2: float = 0.9
    """Decay of Adam's second moment."""
    decay: Literal["constant", "linear"] = "constant"
    """Learning rates stay, or fall linearly to zero at run.steps generator updates."""
    average: float = 0.0
    """Decay per step of the averaged (EMA) generator; 0 keeps no average."""


@dataclasses.dataclass(frozen=True)
class Run:
    """How long, how often, how exactly. One step is one generator update."""

    seed: int = 0
    """Seed of initial weights, noise and batches."""
    steps: int = 1000
    """Generator updates in all."""
    chunk: int = 25
    """Steps in one call of the compiled program."""
    log_every: int = 25
    """Steps between two lines of metrics.jsonl, each the mean over its last chunk."""
    sample_every: int = 250
    """Steps between two sample grids; 0 draws none but the last."""
    checkpoint_every: int = 250
    """Steps between two checkpoints."""
    keep: int = 2
    """Newest checkpoints kept."""
    keep_every: int = 0
    """Also keep for good each checkpoint whose step is a multiple of this; 0 none."""
    grid: int = 64
    """Samples in a grid."""
    diagnostics: bool = False
    """Also log what the critic's next update would be made of: weights at the bound,
    gradients by layer, slopes at the interpolates, step against gradient."""
    tensorboard: bool = True
    """Write TensorBoard files, where tensorboardX is installed."""
    precision: Literal["float32", "tensorfloat32", "bfloat16"] = "float32"
    """Least precise multiplication allowed on GPU and TPU; a CPU keeps float32."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment."""

    data: Data = Data()
    model: Model = Model()
    objective: Objective = Objective()
    optimizer: Optimizer = Optimizer()
    run: Run = Run()


def load(path) -> Config:
    """The `Config` that `get_config()` of the Python file at `path` returns.

    Raises UserError where the file is missing, fails, or returns something else.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.py"))
        known = f"; {path.parent} has {', '.join(near)}" if near else ""
        raise UserError(f"--config {path} is no file{known}")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    # So that a configuration can build on another: `from configs import other`.
    root = str(path.resolve().parent.parent)
    if root not in sys.path:
        sys.path.append(root)
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"--config {path} failed with {reason}") from error
    if not isinstance(config, Config):
        raise UserError(
            f"get_config() of {path} returned {type(config).__name__}, not a "
            "wgan_jax.config.Config"
        )
    return config


def to_json(config: Config) -> str:
    """The configuration as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """The inverse of `to_json`. Raises UserError for what is no such configuration."""
    try:
        sections = json.loads(text)
        made = {
            name: _section(kind, sections[name])
            for name, kind in get_type_hints(Config).items()
        }
        return Config(**made)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"config.json is not of this version of wgan_jax ({error}): start a new "
            "run, or install the version in versions.json"
        ) from error


def _section(kind, values):
    # JSON has no tuples.
    return kind(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    )


def differences(a: Config, b: Config) -> list[str]:
    """The fields in which two configurations differ: `run.steps: 10 and 20`."""
    a, b = dataclasses.asdict(a), dataclasses.asdict(b)
    return [
        f"{section}.{field}: {a[section][field]} and {b[section][field]}"
        for section in a
        for field in a[section]
        if a[section][field] != b[section][field]
    ]


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
    require("data", "batch_size image_size", *positive)
    require("data", "heldout", *not_negative)
    require("data", "channels", lambda v: v in (1, 3), "1 or 3")
    require("model", "z_dim features kernel norm_epsilon", *positive)
    require("model", "norm_momentum", lambda v: 0 < v <= 1, "in (0, 1]")
    require("model", "leaky_slope", *fraction)
    require("model", "kernel", lambda v: v >= 2, "2 or more, to cover a stride of 2")
    require(
        "model",
        "generator_widths critic_widths",
        lambda v: len(v) > 0 and min(v) > 0,
        "one or more whole numbers greater than 0",
    )
    require("objective", "clip n_critic", *positive)
    require("objective", "gp_weight gp_target", *not_negative)
    require("optimizer", "critic_lr generator_lr", *positive)
    require("optimizer", "beta1 beta2 average", *fraction)
    require("run", "steps chunk log_every checkpoint_every keep grid", *positive)
    require("run", "sample_every keep_every", *not_negative)
    require("run", "seed", lambda v: 0 <= v < 2**32, "from 0 to 4294967295")


def _check_pairs(config):
    data, model, run = config.data, config.model, config.run
    for name, reason in (
        ("log_every", "metrics leave the device once a chunk"),
        ("sample_every", "samples are drawn between chunks"),
        ("checkpoint_every", "checkpoints are written between chunks"),
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
    for source, field in (("tfds", "name"), ("folder", "dir"), ("npz", "dir")):
        if data.source == source and not getattr(data, field):
            raise UserError(
                f"data.{field} is empty: data.source={source} needs it, as in "
                f"--data.{field} {'mnist' if field == 'name' else 'PATH'}"
            )
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
    if data.is_toy:
        if model.kind != "mlp":
            raise UserError(
                f"model.kind={model.kind} needs images: data.source={data.source} "
                "gives points in the plane, so take model.kind=mlp"
            )
        if model.critic_is != "mlp":
            raise UserError(
                f"model.critic_kind={model.critic_kind} needs images: data.source="
                f"{data.source} gives points in the plane, so take model.kind=mlp"
            )
        if model.output != "linear":
            raise UserError(
                f"model.output={model.output} cannot reach every point of the plane: "
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
        if kind == "dcgan":
            factor = 2 ** len(getattr(model, name))
            if data.image_size % factor or data.image_size // factor < 2:
                raise UserError(
                    f"data.image_size={data.image_size} cannot be made by "
                    f"model.{name}={getattr(model, name)}: each of the "
                    f"{len(getattr(model, name))} entries halves the image, so the "
                    f"size must be {factor} times 2 or more"
                )
