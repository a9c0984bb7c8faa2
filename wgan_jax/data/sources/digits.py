"""The handwritten digits that scikit-learn ships: 1,797 scans of 8x8 pixels."""

from collections import Counter
from typing import Any

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import fit_arrays
from wgan_jax.data.readers import Reader, Samples


class Digits(Reader):
    """Scans in memory, with labels 0 to 9."""

    classes = 10
    streamable = False

    def __init__(self, data: Data):
        from sklearn.datasets import load_digits

        super().__init__(data)
        digits: Any = load_digits()
        # Grey levels 0 to 16.
        self.images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        self.labels = digits.target.astype(np.int32)

    def __len__(self):
        return len(self.images)

    def originals(self, numbers: np.ndarray) -> np.ndarray:
        """Scans of these numbers, [n, 8, 8, 1]."""
        return self.images[numbers]

    def read(self, numbers: np.ndarray) -> Samples:
        """Scans of these numbers, resized and converted."""
        notes = Counter()
        images = fit_arrays(self.images[numbers], self.data, notes)
        return Samples(images, self.labels[numbers], notes)
