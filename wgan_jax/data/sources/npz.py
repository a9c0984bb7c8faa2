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
        name, images, self.labels, self.label_problem = read_array(data, field)
        self.images = check_images(images, f"array {name!r} of data.dir={data.dir}")
        self.classes = 0 if self.labels is None else len(np.unique(self.labels))

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
    """As `read_npz`, for the array that a field of `data` names.

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
    """(name, array, labels, reason why these cannot be used) of an .npz file.

    labels: int64 [n], or None. An empty name takes `images`, or the only array. where,
    asked: the file and the array as the user named them. Raises UserError where either
    is missing or unreadable.
    """
    try:
        # numpy does not close a file that it opened itself and could not read.
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("it is one .npy array; save it with numpy.savez")
            if not name:
                name = "images" if len(file.files) != 1 else file.files[0]
            if name in file.files:
                array = file[name]
                labels, problem = _read_labels(file, labels_of(name), array, where)
                return name, array, labels, problem
    except Exception as error:
        pickled = "pickle" in str(error)
        reason = "it has Python objects, which are not read" if pickled else error
        raise UserError(f"{where} is not a readable .npz file: {reason}") from error
    raise UserError(
        f"{asked} is not in {where}, which has {', '.join(file.files)}: {remedy}"
    )


def _read_labels(file, name, array, where):
    """(labels int64 [n] or None, reason why the file's labels cannot be used)."""
    if name not in file.files:
        return None, ""
    try:
        labels = file[name]
    except ValueError:
        return None, f"array {name!r} of {where} has Python objects"
    shape = f"{labels.dtype}{list(labels.shape)}"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    fits = labels.shape == array.shape[:1] and labels.dtype.kind in "iub"
    if not fits or (labels.astype(np.int64) != labels).any():
        count = len(array) if array.ndim else 0
        return None, (
            f"array {name!r} of {where} is {shape}, not one whole number for each of "
            f"the {count} images"
        )
    return labels.astype(np.int64), ""


def labels_of(name: str) -> str:
    """Name of the labels: `train_labels` of `train_images`, `y_train` of `x_train`."""
    if name.startswith("x_"):
        return f"y_{name[2:]}"
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
