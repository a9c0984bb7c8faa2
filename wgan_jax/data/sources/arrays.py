"""Images that are one array in memory: base class of the sources of such files."""

from collections import Counter

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import fit_arrays, grey_levels
from wgan_jax.data.readers import Reader, Samples
from wgan_jax.errors import UserError

Labels = tuple[np.ndarray | None, str]
"""Labels int64 [n] or None, and the reason why they cannot be used."""


class ArrayImages(Reader):
    """Images and labels in memory."""

    images: np.ndarray
    streamable = False
    required_field = "dir"

    def __init__(self, data: Data, name: str, images: np.ndarray, labels=None):
        """name: of the array, as the user knows it. labels: integers [n] or None.

        Raises UserError where the array does not have images, see `check_images`.
        """
        super().__init__(data)
        self.images = check_images(images, name)
        self.labels = labels
        self.classes = 0 if labels is None else len(np.unique(labels))

    def __len__(self):
        return len(self.images)

    def originals(self, numbers: np.ndarray) -> np.ndarray:
        """Images of these numbers, uint8 [n, height, width, 1 or 3]."""
        return self.images[numbers]

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers, resized and converted."""
        labels = None if self.labels is None else self.labels[numbers]
        notes = Counter()
        images = fit_arrays(np.asarray(self.images[numbers]), self.data, notes)
        return Samples(images, labels, notes)


def whole_labels(labels: np.ndarray, count: int, name: str) -> Labels:
    """(labels int64 [count] or None, reason why they cannot be used).

    labels: numbers [count] or [count, 1]. name: of the labels, as the user knows them.
    """
    shape = f"{labels.dtype}{list(labels.shape)}"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    fits = labels.shape == (count,) and labels.dtype.kind in "iub"
    if not fits or (labels.astype(np.int64) != labels).any():
        return None, (
            f"{name} is {shape}, not one whole number for each of the {count} images"
        )
    return labels.astype(np.int64), ""


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
