"""What anomaly detection looks at: images, their names, and which are anomalous."""

import csv
import dataclasses
from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data import readers, sources
from wgan_jax.data.dataset import load_dataset
from wgan_jax.data.readers import Samples
from wgan_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Images:
    """Images to score and what is known of them."""

    samples: np.ndarray
    """uint8 [n, height, width, channels]."""
    places: np.ndarray
    """int [n]: each image's place in its source."""
    names: list[str] | None = None
    """File names relative to the folder, where they come from one."""
    labels: np.ndarray | None = None
    """int32 [n], where the source has labels."""
    anomalous: np.ndarray | None = None
    """bool [n], where it is known."""

    def rows(self, which) -> "Images":
        """The images at these places, in this order."""

        def take(values):
            return None if values is None else values[which]

        names = self.names and [self.names[i] for i in which]
        arrays = (self.samples, self.places, self.labels, self.anomalous)
        samples, places, labels, anomalous = map(take, arrays)
        return Images(samples, places, names, labels, anomalous)


def load(settings: Data, source: str, normal: tuple[int, ...], labels: str) -> Images:
    """The images of `source`, decoded as those of a run with these settings.

    source: a folder, an .npz file, or NAME:SPLIT of a TFDS data set; empty takes what
    the run never trained on, of all classes. normal: labels that count as normal;
    empty takes the run's own classes. labels: file that says which are anomalous.
    Raises UserError where something is missing or does not fit.
    """
    names = None
    if not source:
        part = _own(settings)
    else:
        part, names = _given(settings, source)
    count = len(part.samples)
    if not count:
        raise UserError(f"{_what(source)} has no images to score: give other --images")
    if labels:
        anomalous = _read_labels(Path(labels), names, count)
    else:
        anomalous = _by_class(settings, source, part, normal)
    return Images(part.samples, np.arange(count), names, part.labels, anomalous)


# ------------------------------------------------------------------------------ images


def _own(settings):
    whole, test = sources.LOADERS[settings.source](settings, print)
    if test is not None:
        return test
    held = load_dataset(settings)
    part = Samples(held.heldout, held.heldout_labels)
    if not settings.classes:
        return part
    # What was held out of the run's classes, and every image of another class: no image
    # here was trained on.
    other = whole.rows(~np.isin(whole.labels, settings.classes))
    return Samples(
        np.concatenate([part.samples, other.samples]),
        np.concatenate([part.labels, other.labels]),
    )


def _given(settings, source):
    """The images of --images, and their names where they are files."""
    path = Path(source)
    name, colon, split = source.rpartition(":")
    more = {"classes": (), "array": "", "skip_corrupt": False}
    if path.is_dir():
        kind, more = "folder", more | {"dir": source}
    elif path.is_file() and path.suffix == ".npz":
        kind, more = "npz", more | {"dir": source}
    elif colon and name and split and not path.exists():
        kind, more = "tfds", more | {"name": name, "split": split, "test_split": ""}
    else:
        raise UserError(
            f"--images {source} is no folder and no .npz file: give one of them, or "
            "NAME:SPLIT of a TFDS data set, such as mnist:test"
        )
    settings = dataclasses.replace(settings, source=kind, **more)
    try:
        part, _ = sources.LOADERS[kind](settings, print)
    except UserError as error:
        # Nothing is trained on here.
        reason = str(error).partition(", or train without")[0]
        raise UserError(f"--images {source}: {reason}") from error
    if kind != "folder":
        return part, None
    files = [p for p in path.rglob("*") if p.suffix.lower() in readers.SUFFIXES]
    files = sorted(p for p in files if p.is_file())
    return part, [p.relative_to(path).as_posix() for p in files]


def _what(source):
    return f"--images {source}" if source else "what the run held out (data.heldout)"


# ------------------------------------------------------------------------------ labels


def _by_class(settings, source, part, normal):
    if part.labels is None:
        if normal:
            raise UserError(
                f"--normal-class {_words(normal)} needs labels, which {_what(source)} "
                "does not have: leave it out, or give --labels"
            )
        return None
    missing = sorted(set(normal) - set(part.labels.tolist()))
    if missing:
        raise UserError(
            f"--normal-class {_words(normal)} has {missing[0]}, a label that no image "
            f"has: the labels go from {part.labels.min()} to {part.labels.max()}"
        )
    normal = normal or settings.classes
    return ~np.isin(part.labels, normal) if normal else None


def _words(numbers):
    return " ".join(map(str, numbers))


def _read_labels(path, names, count):
    """Which images are anomalous, by the file of --labels: bool [count]."""
    suffixes = (".npy", ".npz") if names is None else (".csv",)
    if path.suffix not in suffixes:
        what = "an array" if names is None else "a folder"
        raise UserError(
            f"--labels {path} must end in {' or '.join(suffixes)}, for the images are "
            f"those of {what}"
        )
    if not path.is_file():
        raise UserError(f"--labels {path} is no file")
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
    with path.open(newline="") as opened:
        rows = csv.DictReader(opened)
        if not {"name", "anomalous"} <= set(rows.fieldnames or ()):
            raise UserError(
                f"--labels {path} must begin with the line name,anomalous; it has "
                f"{','.join(rows.fieldnames or ()) or 'no line'}"
            )
        told = {row["name"]: (row["anomalous"] or "").strip() for row in rows}
    for name in names:
        if told.get(name) not in ("0", "1"):
            there = f"{told[name]!r}" if name in told else "no line"
            raise UserError(
                f"--labels {path} has {there} for the image {name}: it must have 0 "
                "(normal) or 1 (anomalous) for each image"
            )
    unknown = sorted(told.keys() - set(names))
    if unknown:
        raise UserError(
            f"--labels {path} has a line for {unknown[0]}, which is no image of the "
            "folder: names are paths within it"
        )
    return np.array([int(told[name]) for name in names])
