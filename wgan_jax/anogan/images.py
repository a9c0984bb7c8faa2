"""Images to score for anomalies, and normal ones to calibrate on."""

import csv
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from wgan_jax.anogan import mvtec
from wgan_jax.config import Data
from wgan_jax.data.content import content_order, digests
from wgan_jax.data.dataset import Dataset, load_in_memory
from wgan_jax.data.decoding import pixel_fields
from wgan_jax.data.memory import load_cached, load_samples
from wgan_jax.data.readers import Samples
from wgan_jax.data.sources import open_reader
from wgan_jax.data.sources.folder import ImageFolder
from wgan_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Images:
    """Images to score, with their names and labels where these are known."""

    samples: np.ndarray
    """uint8 [n, height, width, channels]."""
    indices: np.ndarray
    """int [n]: the index of each image in its source."""
    names: list[str] | None = None
    """File names relative to the folder, for images of a folder."""
    labels: np.ndarray | None = None
    """int32 [n], where the source has labels."""
    label_names: Sequence[str] = ()
    """Name of each label from 0 on, where the folders of --images name them."""
    anomalous: np.ndarray | None = None
    """bool [n], where it is known."""
    defects: np.ndarray | None = None
    """str [n]: the folder of each image in the layout of MVTec AD."""
    masks: mvtec.Masks | None = None
    """Defective pixels in the layout of MVTec AD, where any are known."""

    def rows(self, which) -> "Images":
        """The images at the positions `which`, in that order."""

        def take(values):
            return None if values is None else values[which]

        return Images(
            samples=self.samples[which],
            indices=self.indices[which],
            names=self.names and [self.names[i] for i in which],
            labels=take(self.labels),
            label_names=self.label_names,
            anomalous=take(self.anomalous),
            defects=take(self.defects),
            masks=self.masks and self.masks.rows(which),
        )


def load_images(
    data_config: Data,
    source: str,
    normal_class: tuple[str, ...],
    labels: str,
    load_run: Callable[[], Dataset] | None = None,
) -> Images:
    """The images of `source`, decoded as the samples of a run with this data_config.

    source: a folder, an .npz file, or NAME:SPLIT of a TFDS data set; empty takes images
    that the run was not trained on, of all classes. Of a folder in the layout of MVTec
    AD the images of test, which have their truth from the folders. normal_class: labels
    or names of labels of normal images; empty takes the run's classes, except for the
    folders of classes of another source, whose numbers mean nothing to the run. labels:
    file with the anomalous images. load_run() -> the run's samples; None takes those of
    data_config. Raises UserError where something is missing or does not match.
    """
    if source and mvtec.is_layout(Path(source)):
        return _load_mvtec(data_config, Path(source), normal_class, labels)
    if source:
        part, names = _load_source(data_config, source)
    else:
        load_run = load_run or partial(load_in_memory, data_config)
        part, names = _load_untrained(data_config, load_run()), None
    count = len(part.samples)
    if not count:
        raise UserError(
            f"{_describe(source)} has no images to score: give other --images"
        )
    foreign = names is not None and len(part.label_names) > 0
    if labels:
        anomalous = _read_labels(Path(labels), names, count)
    else:
        default = () if foreign else data_config.classes
        anomalous = _by_class(source, part, normal_class, default)
    return Images(
        part.samples,
        np.arange(count),
        names,
        part.labels,
        part.label_names if foreign else (),
        anomalous,
    )


def _load_mvtec(data_config, root, normal_class, labels):
    for option, value in (
        ("--labels", labels),
        ("--normal-class", " ".join(map(str, normal_class))),
    ):
        if value:
            raise UserError(
                f"{option} {value} cannot be combined with --images {root}, which has "
                "the layout of MVTec AD: its folders give the truth"
            )
    part, names = _load_source(data_config, f"{root / 'test'}")
    names = names or []
    defects = mvtec.defects(names)
    masks = mvtec.read_masks(root, names, data_config)
    anomalous = defects != mvtec.GOOD
    return Images(
        part.samples,
        np.arange(len(names)),
        names,
        anomalous=anomalous,
        defects=defects,
        masks=masks if (masks.known & anomalous).any() else None,
    )


# ------------------------------------------------------------------------- calibration


def take_calibration(
    shown: Images, trained: np.ndarray, num: int, seed: int
) -> tuple[Images, Images]:
    """(images left to score, images to calibrate on), both of `shown`.

    shown: images that a run was not trained on. Half of the normal ones calibrate, at
    most num, drawn at random by the seed and by their content; copies of these are not
    scored. Where the truth is unknown, all count as normal. trained: hashes of the
    images that the run was trained on, which never calibrate.
    """
    keys = digests(shown.samples)
    normal = ~np.isin(keys, trained)
    if shown.anomalous is not None:
        normal &= ~shown.anomalous
    order = content_order(shown.samples, seed)
    order = order[normal[order]]
    chosen = order[: min(num, -(-len(order) // 2))]
    scored = ~np.isin(keys, keys[chosen])
    return shown.rows(np.flatnonzero(scored)), shown.rows(np.sort(chosen))


def load_calibration(
    data_config: Data,
    source: str,
    shown: Images,
    normal_class: tuple[str, ...],
    load_run: Callable[[], Dataset],
    trained: np.ndarray,
    num: int,
    seed: int,
) -> Images:
    """Normal images to calibrate on that are not among the images `shown`.

    source: of --calibration; empty takes the run's held-out images, those of
    normal_class if all of these labels occur. At most num, drawn by the seed.
    trained: hashes of the images that the run was trained on. Raises UserError where an
    image of the source was trained on.
    """
    if source:
        samples = _load_source(data_config, source, "--calibration")[0].samples
        check_untrained(samples, trained, f"--calibration {source}")
    else:
        dataset = load_run()
        samples, labels = dataset.heldout, dataset.heldout_labels
        if labels is not None and normal_class:
            record = dataset.record
            labels = np.array(record.labels)[labels]
            known = _numbers(normal_class, dict(zip(record.label_names, record.labels)))
            if all(known.get(word) in labels for word in normal_class):
                samples = samples[np.isin(labels, list(known.values()))]
    return choose(samples, shown, num, seed)


def choose(samples: np.ndarray, shown: Images, num: int, seed: int) -> Images:
    """At most num of the samples that are not among the images `shown`, at random."""
    samples = samples[~np.isin(digests(samples), digests(shown.samples))]
    chosen = np.sort(content_order(samples, seed)[:num])
    # Below zero, so that a search starts elsewhere than that of a scored image.
    return Images(samples[chosen], -1 - np.arange(len(chosen)))


def check_untrained(samples: np.ndarray, trained: np.ndarray, option: str) -> None:
    """Raises UserError where a hash of the samples is one of `trained`."""
    seen = np.isin(digests(samples), trained).sum()
    if seen:
        raise UserError(
            f"{option} has {seen} of {len(samples)} images that the run was trained "
            "on: remove them, because their scores are too low"
        )


# ------------------------------------------------------------------------------ images


def _load_untrained(data_config, dataset):
    """Images that the run was not trained on."""
    reader = open_reader(data_config)
    test = reader.test_reader()
    if test is not None:
        return load_cached(test)[0]
    labels = dataset.heldout_labels
    if labels is not None:
        labels = np.array(dataset.record.labels)[labels]
    heldout = Samples(dataset.heldout, labels)
    if not data_config.classes:
        return heldout
    # Held-out images of the run's classes, and all images of the other classes. Both
    # have labels, because data.classes needs them.
    whole, _ = load_cached(reader)
    other = whole.rows(~np.isin(np.asarray(whole.labels), data_config.classes))
    return Samples(
        np.concatenate([heldout.samples, other.samples]),
        np.concatenate([np.asarray(heldout.labels), np.asarray(other.labels)]),
    )


def _load_source(data_config, source, option="--images"):
    """The images of --images, and their names if they are files."""
    path = Path(source)
    name, colon, split = source.rpartition(":")
    if path.is_dir():
        fields = {"source": "folder", "dir": source}
    elif path.is_file() and path.suffix == ".npz":
        fields = {"source": "npz", "dir": source}
    elif colon and name and split and not path.exists():
        fields = {"source": "tfds", "name": name, "split": split}
        fields |= {f: getattr(data_config, f) for f in ("tfds_dir", "manual_dir")}
    else:
        raise UserError(
            f"{option} {source} is neither a folder nor an .npz file: give one of "
            "these, or NAME:SPLIT of a TFDS data set, such as mnist:test"
        )
    # Other fields of the run describe its own data.
    other = Data(**fields, **pixel_fields(data_config))
    try:
        reader = open_reader(other)
        part = load_samples(reader)
    except UserError as error:
        # The remedy for training does not apply here.
        reason = str(error).partition(", or train without")[0]
        raise UserError(f"{option} {source}: {reason}") from error
    if not isinstance(reader, ImageFolder):
        return part, None
    return part, [file.relative_to(path).as_posix() for file in reader.paths]


def _describe(source):
    return f"--images {source}" if source else "the run's held-out set (data.heldout)"


# ------------------------------------------------------------------------------ labels


def _by_class(source, part, normal_class, default):
    words = " ".join(normal_class)
    if part.labels is None:
        if normal_class:
            raise UserError(
                f"--normal-class {words} needs labels and {_describe(source)} has "
                "none: remove it, or give --labels"
            )
        return None
    names = dict(zip(part.label_names, range(len(part.label_names))))
    known = _numbers(normal_class, names)
    missing = [w for w in normal_class if known.get(w) not in part.labels]
    if missing:
        listed = ", ".join(part.label_names[:20])
        raise UserError(
            f"--normal-class {words} includes {missing[0]}, which is not the label of "
            f"any image: labels are from {part.labels.min()} to {part.labels.max()}"
            + f" ({listed})"
            * bool(listed)
        )
    normal = list(known.values()) or default
    return ~np.isin(part.labels, normal) if normal else None


def _numbers(words, names):
    """{word: label} of the words that are the name or the number of a label."""
    known = {word: names[word] for word in words if word in names}
    plain = {w: int(w) for w in words if w.removeprefix("-").isdecimal()}
    return plain | known


def _read_labels(path, names, count):
    """Whether each image is anomalous, by the file of --labels: bool [count]."""
    suffixes = (".npy", ".npz") if names is None else (".csv",)
    if path.suffix not in suffixes:
        kind = "an array" if names is None else "a folder"
        raise UserError(
            f"--labels {path} must end in {' or '.join(suffixes)} for the images of "
            f"{kind}"
        )
    if not path.is_file():
        raise UserError(f"--labels {path} is not a file")
    values = _read_array(path) if names is None else _read_csv(path, names)
    if values.shape != (count,) or values.dtype.kind not in "biu":
        raise UserError(
            f"--labels {path} is {values.dtype}{list(values.shape)}: it must be a 0 or "
            f"1 for each of the {count} images"
        )
    if not np.isin(values, (0, 1)).all():
        raise UserError(
            f"--labels {path} has {values[~np.isin(values, (0, 1))][0]}: it must be 0 "
            "for a normal image and 1 for an anomalous one"
        )
    return values.astype(bool)


def _read_array(path):
    try:
        with path.open("rb") as opened:
            array = np.load(opened, allow_pickle=False)
            if path.suffix == ".npz":
                (name,) = array.files
                array = array[name]
            return array
    except Exception as error:
        raise UserError(
            f"--labels {path} cannot be read ({error}): it must hold one array"
        ) from error


def _read_csv(path, names):
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as opened:
        rows = csv.DictReader(opened)
        if not {"name", "anomalous"} <= set(rows.fieldnames or ()):
            raise UserError(
                f"--labels {path} must start with the line name,anomalous; it starts "
                f"with {','.join(rows.fieldnames or ()) or 'no line'}"
            )
        labels = {row["name"]: (row["anomalous"] or "").strip() for row in rows}
    for name in names:
        if labels.get(name) not in ("0", "1"):
            value = f"{labels[name]!r}" if name in labels else "no line"
            raise UserError(
                f"--labels {path} has {value} for the image {name}: it must have 0 "
                "(normal) or 1 (anomalous) for each image"
            )
    unknown = sorted(labels.keys() - set(names))
    if unknown:
        raise UserError(
            f"--labels {path} has a line for {unknown[0]}, which is not an image of "
            "the folder: names are relative paths"
        )
    return np.array([int(labels[name]) for name in names])
