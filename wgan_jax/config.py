"""Configuration of a run: frozen dataclasses, read from Python files and from JSON.

The docstring of a field is its help text on the command line. A file of `configs/`
defines `get_config()`, which returns a `Config` that sets only the fields that differ
from the defaults here; the command line overrides single fields.
"""

import dataclasses
import difflib
import json
import re
import sys
from pathlib import Path
from typing import Literal, get_type_hints

from wgan_jax.errors import UserError
from wgan_jax.references import describe, execute, is_object, lookup, reference

TOYS = ("8gaussians", "25gaussians", "swiss_roll")
# Version of config.json; a file of another version is refused.
FORMAT = 2
# Beginning of a data.dir in the run directory, in config.json: the run can be moved.
RUN = "{run}/"
# Fields of `Data` that say which samples of its source are used.
SOURCE_FIELDS = (
    "name",
    "split",
    "test_split",
    "tfds_dir",
    "manual_dir",
    "dir",
    "array",
    "label_array",
    "classes",
    "dimensions",
    "standardise",
    "length",
    "vocabulary",
)


@dataclasses.dataclass(frozen=True)
class Data:
    """The real samples and their preparation."""

    source: str = "digits"
    """Source of the samples: digits (scikit-learn's), tfds (TensorFlow Datasets),
    folder (image files), zip (of image files), array_record (files of encoded images),
    parquet (files with an image column), idx (files of MNIST's kind), cifar (batches of
    CIFAR-10 or CIFAR-100), npz (images in an .npz or .npy file), vectors (in an .npz or
    .npy file), text (lines of text files), 8gaussians, 25gaussians, swiss_roll (2-D
    distributions), or a reader of your own, FILE.py:NAME."""
    name: str = ""
    """Name of the TFDS data set, such as mnist (source tfds), or beginning of the names
    of IDX files, such as emnist-letters (source idx)."""
    split: str = "train"
    """Part to train on: a TFDS split, or the part that file names have, as in
    t10k-images-idx3-ubyte and test-00000-of-00001.parquet (sources idx, cifar,
    parquet)."""
    test_split: str = ""
    """Part of the held-out images, as data.split, or an array of the .npz file. Empty
    takes the test part where file names or array names show one (sources idx, cifar,
    parquet, npz without data.array); elsewhere, and with none, part of the training
    images is held out."""
    tfds_dir: str = ""
    """Folder of prepared TFDS data sets; empty is TFDS's default."""
    manual_dir: str = ""
    """Folder of a TFDS data set's original files, for machines without a network."""
    dir: str = ""
    """Folder of images (source folder), path of the .zip, .npz or .npy file (zip, npz,
    vectors), or a file or folder of files (array_record, parquet, idx, cifar, text)."""
    array: str = ""
    """Name of the array in the .npz file, or of the image column (parquet); empty is
    `images`, `x_train`, `train_images`, or the only one."""
    label_array: str = ""
    """Name of the labels: an array of the .npz file, a column (parquet), or
    `fine_labels` or `coarse_labels` (cifar). Empty is the array of the same prefix or
    suffix (`train_labels` for `train_images`, `y_train` for `x_train`), the only column
    of labels, or `fine_labels`."""
    classes: tuple[int, ...] = ()
    """Labels of the images to use, in training and held out; empty is all."""
    dimensions: int = 2
    """Length of one sample (source vectors)."""
    standardise: bool = True
    """Train on columns of mean 0 and standard deviation 1 in the training part, and
    return samples in the columns' units (source vectors)."""
    length: int = 32
    """Characters of one sample: a line is cut or padded to it (source text)."""
    vocabulary: int = 2048
    """Characters that the networks know: the unknown mark, the padding, and the most
    frequent characters of the text; at most those of the text (source text)."""
    image_size: int | tuple[int, int] = 32
    """Height and width of an image in pixels, one number for a square; images of other
    sizes are centre-cropped and resized."""
    channels: int = 1
    """Colour channels: 1 (grey) or 3 (RGB); other images are converted."""
    resize: Literal["box", "bilinear", "bicubic", "lanczos"] = "bicubic"
    """Resampling filter for resizing, always antialiased."""
    background: int = 255
    """Grey level under transparent pixels, from 0 (black) to 255 (white)."""
    scale: Literal["symmetric", "unit"] = "symmetric"
    """Range of the networks' pixel values: [-1, 1] or [0, 1]."""
    dequantize: bool = False
    """Add uniform noise of one grey level to each pixel value."""
    flip: bool = False
    """Mirror each training image with probability 1/2 each time it is drawn."""
    batch_size: int = 64
    """Real samples in one critic update, and as many generated ones."""
    heldout: int = 1000
    """Samples excluded from training, for the held-out estimate."""
    skip_corrupt: bool = False
    """Skip images that cannot be read instead of stopping (not streamed)."""
    stream: Literal["auto", "always", "never"] = "auto"
    """Read and decode training images during training (sources tfds, folder, zip,
    array_record, and npz with a .npy file of uint8), or hold all of them on the device;
    auto streams where they would take more than half of its memory. The order of the
    images is the same."""
    workers: int = -1
    """Processes that read and decode a stream: -1 is one less than the number of cores,
    at most 16; 0 reads in threads of the training process."""

    def __post_init__(self):
        # A square has one spelling, by which configurations are compared.
        match self.image_size:
            case (int(height), int(width)) if height == width:
                object.__setattr__(self, "image_size", height)

    @property
    def height_and_width(self) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        size = self.image_size
        return size if isinstance(size, tuple) else (size, size)

    @property
    def size_text(self) -> str:
        """The size of an image as it is typed: 64, or 64 128."""
        return " ".join(map(str, dict.fromkeys(self.height_and_width)))

    @property
    def is_toy(self) -> bool:
        """Samples are drawn from a distribution in the plane."""
        return self.source in TOYS

    @property
    def is_points(self) -> bool:
        """Samples are points, not images."""
        if callable(self.source) or ":" in self.source:
            reader = lookup({}, self.source, "data.source")
            return getattr(reader, "points", False)
        return self.is_toy or self.source == "vectors"

    @property
    def is_text(self) -> bool:
        """Samples are lines of text."""
        return self.source == "text"

    @property
    def noun(self) -> str:
        """The samples of a source that is not a toy, in messages."""
        if self.is_text:
            return "lines"
        return "vectors" if self.is_points else "images"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample in the networks.

        [height, width, channels], [d] for points, or [length, vocabulary] for text,
        whose samples are shares of each character.
        """
        if self.is_text:
            return (self.length, self.vocabulary)
        if self.is_points:
            return (2 if self.is_toy else self.dimensions,)
        return (*self.height_and_width, self.channels)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of one sample in memory: as `sample_shape`, or [length] for text."""
        return self.sample_shape[:1] if self.is_text else self.sample_shape


def switch_source(data: Data, source, **given) -> tuple[Data, str]:
    """(data section with another source, line on the fields that are not carried over).

    Where `source` differs from data.source, the SOURCE_FIELDS return to their defaults,
    except those in `given`, which has new values of any fields. The line is empty where
    no field changes by that.
    """
    default, lost = Data(), {}
    if source != data.source:
        lost = {
            name: getattr(default, name)
            for name in SOURCE_FIELDS
            if name not in given and getattr(data, name) != getattr(default, name)
        }
    line = ""
    if lost:
        fields = [f"data.{name}={getattr(data, name)}" for name in lost]
        line = (
            f"data.source={source} replaces {data.source}: {', '.join(fields)} of the "
            f"configuration {'is' if len(fields) == 1 else 'are'} not used"
        )
    return dataclasses.replace(data, source=source, **(lost | given)), line


@dataclasses.dataclass(frozen=True)
class Model:
    """Generator and critic, sized by fields."""

    kind: str = "dcgan"
    """Architecture of both networks: fully connected layers (mlp), a pyramid of
    stride-2 convolutions (dcgan), residual blocks that double or halve the image
    (resnet; resnet64, resnet128: those of WGAN-GP for these sizes), residual blocks
    with bottlenecks, one entry of the widths per block (bottleneck), residual blocks
    along a line of text (resnet1d), or FILE.py:NAME or MODULE:NAME, a class of
    yours."""
    critic_kind: str = "same"
    """Architecture of the critic; same is model.kind."""
    z_dim: int = 100
    """Dimensions of the noise, drawn from a standard normal distribution."""
    features: int = 64
    """Base width: units (mlp) or channels, multiplied by the widths."""
    generator_widths: tuple[int, ...] = (4, 2, 1)
    """Widths of the generator's hidden layers, from noise to image, as multiples of
    model.features."""
    critic_widths: tuple[int, ...] = (1, 2, 4)
    """Widths of the critic's hidden layers, from image to score, as multiples of
    model.features."""
    critic_halvings: int = 2
    """Number of the critic's first residual blocks that halve the image (resnet,
    resnet128)."""
    kernel: int = 4
    """Side of the kernels in pixels, or in characters (resnet1d), except in an mlp."""
    padding: Literal["torch", "same"] = "torch"
    """Padding of stride-2 convolutions: (kernel - 1) // 2 on each side (torch), or that
    of TensorFlow's SAME, which differs for odd kernels (dcgan)."""
    ends: Literal["conv", "dense", "dense_channels"] = "conv"
    """First layer of the generator and last layer of the critic: convolutions from and
    to 1x1, or dense layers. The norm after the generator's acts on units (dense) or on
    the channels of the small image (dense_channels) (dcgan)."""
    generator_extra_depth: int = 0
    """3x3 convolutions of the generator that preserve size and width, each with norm
    and activation, at twice its smallest image (dcgan)."""
    critic_extra_depth: int = 0
    """3x3 convolutions of the critic that preserve size and width, each with norm and
    activation, before its last halving (dcgan)."""
    classes: int = 0
    """Number of labels, 0 to classes - 1: the generator is conditioned on the labels by
    conditional BatchNorm and the critic predicts them by an auxiliary classifier; 0
    trains without labels (resnet)."""
    label_sampling: Literal["data", "uniform"] = "data"
    """Distribution of the labels of generated samples: the shares of the classes in the
    training data, or uniform (with model.classes)."""
    generator_norm: Literal["none", "batch"] = "batch"
    """Norm after the generator's hidden layers, except the first of an mlp."""
    critic_norm: Literal["none", "batch", "instance", "layer"] = "none"
    """Norm after the critic's hidden layers, except the first; batch cannot be combined
    with a penalty."""
    norm_epsilon: float = 1e-5
    """Constant added to the variance in every norm."""
    norm_momentum: float = 0.1
    """Weight of the newest batch in the running statistics (PyTorch's convention)."""
    norm_groups: int = 1
    """Groups of a batch that BatchNorm normalises separately, as on several devices."""
    generator_activation: Literal["relu", "leaky_relu", "tanh", "softplus", "gated"] = (
        "relu"
    )
    """Activation of the generator's hidden layers: relu, leaky_relu, tanh, softplus
    (softplus(2x + 2) / 2 - 1), or gated (sigmoid(a) tanh(b) of even and odd channels a
    and b of a layer of twice the width; mlp, dcgan)."""
    critic_activation: Literal["relu", "leaky_relu", "tanh", "softplus", "gated"] = (
        "leaky_relu"
    )
    """Activation of the critic's hidden layers, as generator_activation."""
    leaky_slope: float = 0.2
    """Slope of leaky_relu below zero."""
    output: Literal["tanh", "sigmoid", "linear", "softmax"] = "tanh"
    """Last activation of the generator; it must match data.scale, and is softmax for
    text. A network of your own may ignore it."""
    bias: Literal["all", "unnormalised", "none"] = "unnormalised"
    """Layers with a bias: all, those without a norm after them, or none."""
    init: Literal["torch", "dcgan", "tflib", "uniform"] = "torch"
    """Initial weights: PyTorch's uniform default (torch); N(0, 0.02) for convolutions
    and N(1, 0.02) for BatchNorm scales of images (dcgan); the uniform He and Glorot
    initialisation of the WGAN-GP code (tflib); or a uniform distribution of standard
    deviation 0.02 for all weights and zero biases (uniform)."""
    critic_bias: Literal["same", "all", "unnormalised", "none"] = "same"
    """Layers of the critic with a bias; same is model.bias."""
    critic_init: Literal["same", "torch", "dcgan", "tflib", "uniform"] = "same"
    """Initial weights of the critic; same is model.init."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the networks' products; parameters, norms and losses stay float32. In
    bfloat16 the penalty has an error of 1 to 2 %, that of the gradients in it."""

    @property
    def critic_is(self) -> str:
        """Kind of the critic, never "same"."""
        return self.kind if self.critic_kind == "same" else self.critic_kind


@dataclasses.dataclass(frozen=True)
class Objective:
    """The losses, the Lipschitz constraint and the rhythm of updates."""

    kind: str = "wgan"
    """Losses: wgan (Wasserstein), gan (non-saturating, Goodfellow et al.), lsgan (least
    squares, Mao et al.), or a function of your own, FILE.py:NAME."""
    constraint: str = "penalty"
    """Lipschitz constraint of the critic: clip (weight clipping, Arjovsky et al.),
    penalty (gradient penalty, Gulrajani et al.), none (not with wgan), or a function of
    your own, FILE.py:NAME."""
    clip: float = 0.01
    """Bound on every critic parameter after each update (constraint clip)."""
    gp_weight: float = 10.0
    """Weight of the gradient penalty, lambda (constraint penalty)."""
    gp_target: float = 1.0
    """Gradient norm without a penalty (constraint penalty)."""
    one_sided: bool = False
    """Penalise only gradient norms above the target (constraint penalty)."""
    n_critic: int = 5
    """Critic updates per generator update."""
    generator_batch: int = 0
    """Generated samples in a generator update; 0 is data.batch_size."""
    critic_weight_decay: float = 0.0
    """Weight of half the sum of squares of the critic's parameters, without biases, in
    its loss."""
    critic_class_weight: float = 1.0
    """Weight of the cross-entropy of real samples in the critic's loss (with
    model.classes)."""
    generator_class_weight: float = 0.1
    """Weight of the cross-entropy of generated samples in the generator's loss (with
    model.classes)."""
    warmup: bool = False
    """100 critic updates for each of the first 25 generator updates and for every
    500th, as in the code of Arjovsky et al."""


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The optimizer of both networks and its learning rates."""

    kind: str = "adam"
    """Optimizer: rmsprop (PyTorch's), rmsprop_tf1 (TensorFlow 1's), adam, or a function
    of your own, FILE.py:NAME."""
    critic_lr: float = 1e-4
    """Learning rate of the critic."""
    generator_lr: float = 1e-4
    """Learning rate of the generator."""
    beta1: float = 0.0
    """Decay rate of Adam's first moment."""
    beta2: float = 0.9
    """Decay rate of Adam's second moment."""
    decay: Literal["constant", "linear"] = "constant"
    """Learning rates are constant, or fall linearly to zero at run.steps."""
    ema_decay: float = 0.0
    """Decay per step of the exponential moving average of the generator, which is then
    sampled; 0 computes none. Step t, counted from 0, uses (1 + t) / (10 + t) while that
    is smaller, so that the average forgets the initial weights at once."""


@dataclasses.dataclass(frozen=True)
class Run:
    """Length of a run, intervals and precision. One step is one generator update."""

    seed: int = 0
    """Seed of initial weights, noise and batches."""
    steps: int = 1000
    """Total number of generator updates."""
    chunk: int = 25
    """Steps in one call of the compiled program."""
    log_every: int = 25
    """Steps between two lines of metrics.jsonl, each the mean over the last chunk."""
    sample_every: int = 250
    """Steps between two sample grids; 0 draws only the last."""
    checkpoint_every: int = 250
    """Steps between two checkpoints."""
    max_to_keep: int = 2
    """Number of newest checkpoints to keep."""
    keep_every: int = 0
    """Also keep each checkpoint whose step is a multiple of this; 0 keeps none."""
    grid_size: int = 64
    """Samples in a grid."""
    diagnostics: bool = False
    """Also log diagnostics of the critic's next update: weights at the bound, gradients
    by layer, slopes at the interpolates, angle between step and gradient."""
    evaluate_every: int = 0
    """Steps between two Frechet distances of the samples to the training images; the
    best state is saved as a separate checkpoint; 0 computes none."""
    evaluate_num: int = 10000
    """Samples per Frechet distance, which decreases with their number: compare equal
    numbers."""
    evaluate_features: Literal["inception", "classifier", "patches"] = "inception"
    """Network of the Frechet distance: Inception as in published FIDs, a classifier
    trained once on the labels of the data set, or patches of its images, which need no
    labels."""
    tensorboard: bool = True
    """Write TensorBoard files if tensorboardX is installed."""
    precision: Literal["float32", "tensorfloat32", "bfloat16"] = "float32"
    """Lowest precision of matrix products on GPU and TPU; a CPU always uses float32."""


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

    path: may also be the config.json of a run. Raises UserError if the file is missing,
    fails, or returns another type.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.py"))
        if len(near) > 10:
            closest = difflib.get_close_matches(path.name, near, 3)
            near = closest or [*near[:10], "..."]
        known = f"; {path.parent} has {', '.join(near)}" if near else ""
        raise UserError(f"--config {path} is not a file{known}")
    if path.suffix == ".json":
        try:
            return from_json(path.read_bytes(), path.parent)
        except UserError as error:
            raise UserError(f"--config {path}: {error}") from error
    if path.suffix != ".py":
        raise UserError(
            f"--config {path} is not a Python file: name one that ends in .py and "
            "defines get_config(), as configs/digits.py does, or config.json of a run"
        )
    # So that a configuration can build on another: `from configs import other`.
    root = str(path.resolve().parent.parent)
    if root not in sys.path:
        sys.path.append(root)
    # SystemExit: a script that was not written to be imported.
    try:
        get_config = getattr(execute(path), "get_config", None)
        config = get_config() if callable(get_config) else None
    except (Exception, SystemExit) as error:
        raise UserError(f"--config {path} failed with {describe(error)}") from error
    if not callable(get_config):
        raise UserError(
            f"--config {path} has no get_config(): define it, as configs/digits.py does"
        )
    if type(config) is not Config:
        raise UserError(
            f"get_config() of {path} returned {type(config).__name__}, not a "
            "wgan_jax.config.Config"
        )
    for name, kind in get_type_hints(Config).items():
        if type(section := getattr(config, name)) is not kind:
            raise UserError(
                f"get_config() of {path} returned a Config whose {name} is of type "
                f"{type(section).__name__}, not wgan_jax.config.{kind.__name__}"
            )
    return _by_reference(config)


# ------------------------------------------------------------------------ to disk


def _by_reference(config: Config) -> Config:
    """A copy with references instead of functions, and absolute paths in them."""
    sections = {}
    for name in get_type_hints(Config):
        section = getattr(config, name)
        values = {f.name: getattr(section, f.name) for f in dataclasses.fields(section)}
        changes = {}
        for field, value in values.items():
            if is_object(value):
                changes[field] = reference(value)
            elif isinstance(value, str) and re.fullmatch(r".+\.py:\w+", value):
                place, _, function = value.rpartition(":")
                changes[field] = f"{Path(place).resolve()}:{function}"
        sections[name] = dataclasses.replace(section, **changes)
    return Config(**sections)


def to_json(config: Config, run: str | Path = "") -> str:
    """The configuration as indented JSON, with the version of this format.

    run: directory of the run; a data.dir in it is written relative to it.
    """
    sections = dataclasses.asdict(_by_reference(config))
    place = Path(sections["data"]["dir"])
    if run and place.is_absolute() and Path(run).resolve() in place.parents:
        relative = place.relative_to(Path(run).resolve()).as_posix()
        sections["data"]["dir"] = f"{RUN}{relative}"
    return json.dumps({"format": FORMAT} | sections, indent=2) + "\n"


def from_json(text: str | bytes, run: str | Path = "") -> Config:
    """The inverse of `to_json`. Raises UserError for any other text."""
    try:
        sections = json.loads(text)
        version = sections.pop("format", None)
        if version == FORMAT:
            place = sections["data"].get("dir", "")
            if place.startswith(RUN):
                inside = Path(run).resolve() / place.removeprefix(RUN)
                sections["data"]["dir"] = str(inside)
            kinds = get_type_hints(Config)
            return Config(**{n: _section(k, sections[n]) for n, k in kinds.items()})
        reason = f"its format is {version}, not {FORMAT}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise UserError(
        f"config.json was written by another version of wgan_jax ({reason}): train the "
        "run again, or read it with the version in versions.json"
    )


def _section(kind, values):
    # JSON has no tuples.
    return kind(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    )


def differences(a: Config, b: Config) -> list[str]:
    """The fields in which two configurations differ: `run.steps: 10 and 20`."""
    left, right = (dataclasses.asdict(_by_reference(c)) for c in (a, b))
    return [
        f"{section}.{field}: {value} and {right[section][field]}"
        for section, values in left.items()
        for field, value in values.items()
        if value != right[section][field]
    ]
