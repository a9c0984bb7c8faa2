"""A folder of image files."""

from collections import Counter
from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, stack
from wgan_jax.data.image_files import image_files, stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample


class ImageFolder(Reader):
    """The image files of data.dir at any depth, in the order of their names."""

    required_field = "dir"

    def __init__(self, data: Data):
        super().__init__(data)
        self.paths, skipped = image_files(Path(data.dir))
        self.remarks = skipped.line()

    def __len__(self):
        return len(self.paths)

    @property
    def identity(self) -> str:
        """Hash of the names, sizes and times of the files."""
        return stamps(Path(self.data.dir), self.paths)

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers."""
        notes = Counter()
        images = [self._one(self.paths[i], notes) for i in numbers]
        return Samples(stack(images, self.data), notes=notes)

    def _one(self, path, notes):
        try:
            return decode(path, self.data, notes)
        except Exception as error:
            raise UnreadableSample.because(
                error, str(path), "fix or remove it"
            ) from error
