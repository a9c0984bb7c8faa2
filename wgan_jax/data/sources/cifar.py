"""Batches of CIFAR-10 and CIFAR-100, in the binary and in the Python version."""

import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.image_files import find_files
from wgan_jax.data.readers import Reader
from wgan_jax.data.sources.arrays import ArrayImages
from wgan_jax.errors import UserError

# Bytes of an image: three planes of 32x32.
IMAGE = 3072
# Files of CIFAR-10 and CIFAR-100; the Python version has no suffix.
PATTERN = re.compile(r"(?:(data_batch)_(\d)|(test_batch)|(train)|(test))(\.bin)?")
# Names that a pickle of numbers may refer to, in NumPy 1 and 2.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
LABELS = {10: ("labels",), 100: ("coarse_labels", "fine_labels")}
CLASSES = {"labels": 10, "coarse_labels": 20, "fine_labels": 100}


class Batch(NamedTuple):
    """A file that is named as a batch of CIFAR."""

    path: Path
    classes: int
    """10 or 100: of CIFAR-10 or CIFAR-100."""
    part: str
    """train or test."""
    number: int
    """Place in the part, from 1."""

    @classmethod
    def of(cls, path: Path) -> "Batch | None":
        """The batch at a path; None where the file has another name.

        Other data sets have files called train and test: these must have the bytes of
        the Python version, or the suffix .bin.
        """
        match = PATTERN.fullmatch(path.name)
        if not match:
            return None
        batch, number, ten_test, train, _ = match.groups()[:5]
        if not match[6] and not _is_pickle(path):
            return None
        part = "train" if batch or train else "test"
        return cls(path, 10 if batch or ten_test else 100, part, int(number or 1))


class CifarImages(ArrayImages):
    """Images and labels of a part of the batches in data.dir, or of one of them."""

    def __init__(self, data: Data, field: str = "split"):
        """field: of `Data`, `split` or `test_split`; it names the part.

        Raises UserError where batches are missing or damaged.
        """
        path = Path(data.dir)
        self.test_part = ""
        if path.is_file():
            batch = Batch.of(path)
            if not batch:
                raise UserError(
                    f"data.dir={path} is not named as a batch of CIFAR is: name a "
                    "folder of data_batch_1.bin or train.bin, or one such file"
                )
            batches = [batch]
        else:
            found, part = cifar_batches(path), getattr(data, field)
            batches = [batch for batch in found if batch.part == part]
            if not batches:
                raise UserError(
                    f"data.{field}={part} is not a part of the batches in data.dir="
                    f"{path}: take one of {', '.join(sorted({b.part for b in found}))}"
                )
            _check_complete(batches)
            has_test = part != "test" and any(b.part == "test" for b in found)
            self.test_part = data.test_split or "test" * has_test
        classes = batches[0].classes
        choice = data.label_array or LABELS[classes][-1]
        if choice not in LABELS[classes]:
            raise UserError(
                f"data.label_array={choice} is not in CIFAR-{classes}, which has "
                f"{' and '.join(LABELS[classes])}"
            )
        parts = [_read(batch, choice) for batch in batches]
        images = np.concatenate([images for images, _ in parts])
        labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
        name = f"the array of {batches[0].path}"
        super().__init__(data, name, images, labels)
        self.label_names = _label_names(batches[0].path.parent, choice)
        if field == "split":
            self.remarks = self.test_remarks(self.test_part)

    def test_reader(self) -> Reader | None:
        """Reader of the part data.test_split, or of test batches in the same folder."""
        return self.reader_of(self.test_part)


def cifar_batches(folder: Path) -> list[Batch]:
    """Batches of CIFAR in a folder, at any depth, in order.

    Raises UserError where there are none, or those of several data sets.
    """
    if not folder.is_dir():
        raise UserError(f"data.dir={folder} is neither a batch of CIFAR nor a folder")
    paths, _ = find_files(folder, lambda path: Batch.of(path) is not None)
    batches = [batch for batch in map(Batch.of, paths) if batch]
    if not batches:
        raise UserError(
            f"data.dir={folder} has no batches of CIFAR: it must hold data_batch_1.bin "
            "to data_batch_5.bin and test_batch.bin, or train.bin and test.bin"
        )
    sets = {(b.path.parent, b.classes, b.path.suffix): b.path for b in batches}
    if len(sets) > 1:
        first, second = list(sets.values())[:2]
        raise UserError(
            f"data.dir={folder} has several sets of batches, with {first} and "
            f"{second}: name the folder of one set"
        )
    return sorted(batches, key=lambda batch: (batch.part, batch.number))


def _check_complete(batches):
    """Raises UserError where a batch is missing: fewer images would be no error."""
    first = batches[0]
    expected = 5 if (first.classes, first.part) == (10, "train") else 1
    missing = set(range(1, expected + 1)) - {batch.number for batch in batches}
    if missing:
        name = f"data_batch_{min(missing)}{first.path.suffix}"
        raise UserError(
            f"{first.path.parent} has no {name}: add it, or name one batch alone with "
            "--data.dir FILE"
        )


def _is_pickle(path):
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _read(batch, choice):
    """(uint8 images [n, 32, 32, 3], labels [n]) of a batch."""
    binary = batch.path.suffix == ".bin"
    pixels, labels = (_read_binary if binary else _read_pickle)(batch, choice)
    highest = labels.max(initial=0)
    if labels.min(initial=0) < 0 or highest >= CLASSES[choice]:
        raise UserError(
            f"{batch.path} has the label {highest}, and CIFAR-{batch.classes} has "
            f"{CLASSES[choice]} {choice}: it is damaged, download it again"
        )
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _read_binary(batch, choice):
    names = LABELS[batch.classes]
    values = np.fromfile(batch.path, np.uint8)
    record = IMAGE + len(names)
    if not len(values) or len(values) % record:
        raise UserError(
            f"{batch.path} has {len(values):,} bytes, not a multiple of the {record} "
            "of an image with its label: it is damaged, download it again"
        )
    rows = values.reshape(-1, record)
    return rows[:, len(names) :], rows[:, names.index(choice)]


def _read_pickle(batch, choice):
    content = _unpickle(batch.path)
    pixels = np.asarray(content.get(b"data"))
    labels: Any = content.get(choice.encode())
    is_whole = isinstance(labels, list) and all(type(n) is int for n in labels)
    shape = pixels.dtype, pixels.shape
    if not (is_whole and shape == (np.uint8, (len(labels), IMAGE))):
        raise UserError(
            f"{batch.path} is not a batch of CIFAR-{batch.classes}: it must have "
            f"`data`, uint8 [n, {IMAGE}], and `{choice}`, n whole numbers"
        )
    # A type of another byte order is equal and yet refused by Pillow.
    return pixels.astype(np.uint8), np.array(labels)


class _NumbersOnly(pickle.Unpickler):
    """Unpickler of numbers, text, containers and NumPy arrays, and of nothing else."""

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickle(path) -> dict:
    try:
        with path.open("rb") as file:
            content = _NumbersOnly(file, encoding="bytes").load()
        if type(content) is not dict:
            raise ValueError(f"it has a {type(content).__name__} instead of a dict")
    except Exception as error:
        raise UserError(
            f"{path} is not a pickle of numbers alone and is not read ({error}): take "
            "the binary version of CIFAR"
        ) from error
    return content


def _label_names(folder, choice) -> tuple[str, ...]:
    """Names of the labels, by number; empty where the folder has no file of them."""
    stem = "batches.meta" if choice == "labels" else f"{choice[:-1]}_names"
    text = folder / f"{stem}.txt"
    if text.is_file():
        names = text.read_text(errors="replace").split("\n")
        return _checked([name.strip() for name in names if name.strip()], choice)
    meta = folder / ("batches.meta" if choice == "labels" else "meta")
    if not meta.is_file():
        return ()
    key = ("label" if choice == "labels" else choice[:-1]) + "_names"
    names = _unpickle(meta).get(key.encode())
    if not (isinstance(names, list) and all(type(name) is bytes for name in names)):
        return ()
    return _checked([name.decode(errors="replace") for name in names], choice)


def _checked(names, choice):
    return tuple(names) if len(names) == CLASSES[choice] else ()
