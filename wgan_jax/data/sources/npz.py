"""Images and labels of an .npz file."""

from collections import Counter
from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import fit_arrays, grey_levels
from wgan_jax.data.readers import Reader, Samples
from wgan_jax.errors import UserError


class NpzImages(Reader):
    """Images in memory, with labels where the file has them."""

    streamable = False
    required_field = "dir"

    def __init__(self, data: Data, field: str = "array"):
        """field: of `Data`, `array` or `test_split`; it names the array."""
        super().__init__(data)
        name, self.images, self.labels = read_array(data, field)
        where = f"of data.dir={data.dir}"
        self.images = check_images(self.images, f"array {name!r} {where}")
        if self.labels is not None:
            check_labels(self.labels, self.images, f"array {labels_of(name)!r} {where}")
            self.labels = self.labels.astype(np.int32)
            self.classes = int(self.labels.max(initial=0)) + 1

    def __len__(self):
        return len(self.images)

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers, resized and converted."""
        labels = None if self.labels is None else self.labels[numbers]
        notes = Counter()
        images = fit_arrays(self.images[numbers], self.data, notes)
        return Samples(images, labels, notes)

    def test_reader(self) -> Reader | None:
        """Reader of the array data.test_split, if one is named."""
        return NpzImages(self.data, "test_split") if self.data.test_split else None


def read_array(data: Data, field: str):
    """(name, array, its labels or None) of the array that a field of `data` names.

    Raises UserError where the file or the array is missing.
    """
    name = getattr(data, field)
    return read_npz(
        Path(data.dir),
        name,
        where=f"data.dir={data.dir}",
        asked=f"data.{field}={name!r}",
        remedy=f"name one of them with --data.{field.replace('_', '-')}",
    )


def read_npz(path: Path, name: str, *, where: str, asked: str, remedy: str):
    """(name, array, its labels or None) of an .npz file.

    An empty name takes `images`, or the only array. where, asked: the file and the
    array as the user named them. Raises UserError where either is missing.
    """
    try:
        # numpy does not close a file that it opened itself and could not read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict.fromkeys(file.files)
            if not name:
                name = "images" if len(arrays) != 1 else file.files[0]
            labels = labels_of(name) if labels_of(name) in arrays else None
            if name in arrays:
                return name, file[name], None if labels is None else file[labels]
    except Exception as error:
        raise UserError(f"{where} is not a readable .npz file: {error}") from error
    raise UserError(
        f"{asked} is not in {where}, which has {', '.join(arrays)}: {remedy}"
    )


def labels_of(name: str) -> str:
    """Name of the labels of an array: `train_labels` of `train_images`."""
    return name.replace("images", "labels") if "images" in name else "labels"


def check_images(images: np.ndarray, name: str) -> np.ndarray:
    """Images as uint8 [n, height, width, 1 or 3], by `decoding.grey_levels`.

    name: of the array, as the user knows it. Raises UserError for an array of another
    shape or type, or with values outside the range of its type.
    """
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    fits = fits and all(images.shape[1:])
    # The type of other integers says nothing of the range of their values.
    deep = images.dtype.kind in "bf" or images.dtype in (np.uint8, np.uint16)
    if not (fits and deep):
        raise UserError(
            f"{name} is {images.dtype}{list(images.shape)}: it must be "
            "[n, height, width] or [n, height, width, 1 or 3] of uint8, of uint16 "
            "from 0 to 65535, or of floating-point numbers from 0 to 1"
        )
    notes = Counter()
    try:
        images = grey_levels(images, notes)
    except UserError as error:
        raise UserError(f"{name} cannot be used: {error}") from error
    if notes["narrow"]:
        print(
            f"warning: {name} uses at most 1/16 of the values of its type, such as 12 "
            "bits in 16, and is dark: scale it to the whole range"
        )
    return images if images.ndim == 4 else images[..., None]


def check_labels(labels: np.ndarray, images: np.ndarray, name: str) -> None:
    """Raises UserError unless there is one whole number for each image."""
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(
            f"{name} is {labels.dtype}{list(labels.shape)}: it must be one whole "
            f"number for each of the {len(images)} images"
        )
