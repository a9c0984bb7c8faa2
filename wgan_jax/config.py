"""What a run is made of: frozen dataclasses and their way to disk.

The docstring under a field is its help text on the command line. A file of `configs/`
defines `get_config()`, which returns a `Config` that names only what differs from the
defaults here; the command line overrides single fields.
"""

import dataclasses
import difflib
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_type_hints

from wgan_jax.errors import UserError

TOYS = ("8gaussians", "25gaussians", "swiss_roll")


@dataclasses.dataclass(frozen=True)
class Data:
    """What the real samples are and how they reach the critic."""

    source: Literal[
        *("digits", "tfds", "folder", "array_record", "npz", "vectors"),
        *("8gaussians", "25gaussians", "swiss_roll"),
    ] = "digits"
    """Where samples come from: scikit-learn's handwritten digits, a TensorFlow Datasets
    name, a folder of image files, array_record files of encoded images, images or
    vectors in an .npz file, or a 2-D distribution."""
    name: str = ""
    """Name of the TFDS data set, such as mnist (source tfds)."""
    split: str = "train"
    """TFDS split to train on."""
    test_split: str = ""
    """TFDS split, or array of the .npz file, of the held-out images; empty keeps back
    part of the others instead."""
    tfds_dir: str = ""
    """Folder of prepared TFDS data sets; empty is TFDS's own default."""
    manual_dir: str = ""
    """Folder with a TFDS data set's original files, for machines without network."""
    dir: str = ""
    """Folder of images (source folder), path of the .npz file (npz, vectors), or an
    array_record file or folder of them (array_record)."""
    array: str = ""
    """Name of the array in the .npz file; empty takes `images`, or the only array. Its
    labels lie beside it: `train_labels` for `train_images`."""
    classes: tuple[int, ...] = ()
    """Labels of the images to take, for training and held out; empty takes all."""
    dimensions: int = 2
    """Numbers of one sample (source vectors)."""
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
    flip: bool = False
    """Mirror every second training image, at random each time it is drawn."""
    batch_size: int = 64
    """Real (and as many generated) samples in one update."""
    heldout: int = 1000
    """Samples never trained on, for the held-out Wasserstein estimate."""
    skip_corrupt: bool = False
    """Train without the image files that cannot be read, instead of stopping (source
    folder, not streamed)."""
    stream: Literal["auto", "always", "never"] = "auto"
    """Read and decode training images while they are needed (sources tfds, folder,
    array_record), or keep them all on the device; auto streams where they would take
    more than half of its memory. The order is the same."""
    workers: int = -1
    """Processes that read and decode a stream: -1 is one for each core but one, 16 at
    most; 0 reads in threads of the training's own process."""

    @property
    def is_toy(self) -> bool:
        """Whether samples are drawn from a distribution in the plane, without end."""
        return self.source in TOYS

    @property
    def is_points(self) -> bool:
        """Whether samples are points rather than images."""
        return self.is_toy or self.source == "vectors"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: [height, width, channels], or [d] for points."""
        if self.is_points:
            return (2 if self.is_toy else self.dimensions,)
        return (self.image_size, self.image_size, self.channels)


@dataclasses.dataclass(frozen=True)
class Model:
    """Generator and critic, sized by fields."""

    kind: Literal["mlp", "dcgan", "resnet"] = "dcgan"
    """Fully connected layers, a pyramid of stride-2 (transposed) convolutions, or
    residual blocks between doublings and halvings of the image."""
    critic_kind: Literal["same", "mlp", "dcgan", "resnet"] = "same"
    """The critic's kind, where it is not the generator's."""
    z_dim: int = 100
    """Dimensions of the noise, drawn from a standard normal distribution."""
    features: int = 64
    """Base width: units (mlp) or channels (dcgan) that the widths below multiply."""
    generator_widths: tuple[int, ...] = (4, 2, 1)
    """Hidden layers of the generator from the noise on, as multiples of features."""
    critic_widths: tuple[int, ...] = (1, 2, 4)
    """Hidden layers of the critic from the image on, as multiples of features."""
    critic_halvings: int = 2
    """Residual blocks of the critic that halve the image, the first ones (resnet)."""
    kernel: int = 4
    """Side of the kernels in pixels (dcgan, resnet)."""
    padding: Literal["torch", "same"] = "torch"
    """Of stride-2 kernels: (kernel - 1) // 2 on each side, or what TensorFlow's SAME
    is, which differs for odd kernels (dcgan)."""
    ends: Literal["conv", "dense"] = "conv"
    """How noise becomes an image and an image a score: by convolutions from and to 1x1,
    or by dense layers, whose norm is that of units (dcgan)."""
    classes: int = 0
    """Labels 0 to classes - 1 that the generator is told, by conditional BatchNorm, and
    that the critic also tells, by an auxiliary classifier; 0 uses none (resnet)."""
    generator_norm: Literal["none", "batch"] = "batch"
    """Norm after the generator's hidden layers; an mlp's first layer has none."""
    critic_norm: Literal["none", "batch", "instance", "layer"] = "none"
    """Norm after the critic's hidden layers but the first; no batch with a penalty."""
    norm_epsilon: float = 1e-5
    """Number added to the variance in every norm."""
    norm_momentum: float = 0.1
    """Weight of the newest batch in the running statistics, as PyTorch counts it."""
    norm_groups: int = 1
    """Parts of a batch that BatchNorm treats each by itself, as on several devices."""
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
    init: Literal["torch", "dcgan", "tflib"] = "torch"
    """Initial weights: PyTorch's uniform default; N(0, 0.02) for convolutions and
    N(1, 0.02) for BatchNorm scales of images; or the uniform He and Glorot draws of the
    WGAN-GP code."""
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
    generator_batch: int = 0
    """Generated samples in a generator update; 0 is data.batch_size."""
    critic_class_weight: float = 1.0
    """Weight of the cross-entropy of real samples in the critic's loss (with
    model.classes)."""
    generator_class_weight: float = 0.1
    """Weight of the cross-entropy of generated samples in the generator's loss (with
    model.classes)."""
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
    ema_decay: float = 0.0
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
    max_to_keep: int = 2
    """Newest checkpoints kept."""
    keep_every: int = 0
    """Also keep for good each checkpoint whose step is a multiple of this; 0 none."""
    grid_size: int = 64
    """Samples in a grid."""
    diagnostics: bool = False
    """Also log what the critic's next update would be made of: weights at the bound,
    gradients by layer, slopes at the interpolates, step against gradient."""
    evaluate_every: int = 0
    """Steps between two Frechet distances of the samples to the training images, the
    best of which is kept as a checkpoint of its own; 0 computes none."""
    evaluate_num: int = 10000
    """Samples of such a distance, which falls as they grow: compare equal numbers."""
    evaluate_features: Literal["inception", "classifier"] = "inception"
    """Network behind it: that of the published FID, or one trained once on the data
    set's own labels."""
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
    return _by_reference(config)


# --------------------------------------------------------- functions of the user's own


def lookup(table: Mapping[str, Any], value: str, field: str) -> Any:
    """The entry of `table` that a field names, or the object that it refers to.

    value: a key of the table, or a reference FILE.py:NAME or MODULE:NAME. Raises
    UserError, which names `field`, for every other value.
    """
    if value in table:
        return table[value]
    place, colon, name = value.rpartition(":")
    if not colon:
        near = difflib.get_close_matches(value, table, 1)
        hint = f"did you mean {near[0]}?" if near else f"take {', '.join(table)}"
        raise UserError(
            f"{field}={value} is not known: {hint}; a function of your own is "
            "FILE.py:NAME or MODULE:NAME"
        )
    try:
        module = _import(place)
        return getattr(module, name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{field}={value} cannot be imported ({reason})") from error


def reference(function) -> str:
    """The reference of a function or class at the top level of a file or module.

    Raises UserError for a lambda or a nested function, which no other process could
    find again.
    """
    name = function.__qualname__
    if "<" in name or "." in name:
        raise UserError(
            f"{name} cannot be named in config.json: define it at the top level of a "
            "file"
        )
    module = sys.modules.get(function.__module__)
    path = getattr(module, "__file__", None) or function.__code__.co_filename
    if module is None or module.__name__ in ("__main__", f"config_{Path(path).stem}"):
        return f"{path}:{name}"
    return f"{module.__name__}:{name}"


def _import(place):
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).resolve()
    # One module for each file: a class must be the same one each time.
    name = f"wgan_jax_user_{path!s}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def _by_reference(config: Config) -> Config:
    """The same with references in the place of functions."""
    sections = {}
    for name in get_type_hints(Config):
        section = getattr(config, name)
        functions = {
            field.name: reference(value)
            for field in dataclasses.fields(section)
            if callable(value := getattr(section, field.name))
        }
        sections[name] = dataclasses.replace(section, **functions)
    return Config(**sections)


# ------------------------------------------------------------------------ to disk


def to_json(config: Config) -> str:
    """The configuration as indented JSON."""
    return json.dumps(dataclasses.asdict(_by_reference(config)), indent=2) + "\n"


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
    a, b = (dataclasses.asdict(_by_reference(c)) for c in (a, b))
    return [
        f"{section}.{field}: {a[section][field]} and {b[section][field]}"
        for section in a
        for field in a[section]
        if a[section][field] != b[section][field]
    ]
