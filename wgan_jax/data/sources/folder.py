"""A folder of image files."""

from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, image_files, stack, stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample


class ImageFolder(Reader):
    """The image files of data.dir at any depth, in the order of their names."""

    required_field = "dir"

    def __init__(self, data: Data):
        super().__init__(data)
        self.paths = image_files(Path(data.dir))

    def __len__(self):
        return len(self.paths)

    @property
    def identity(self) -> str:
        """Names, sizes and modification times of the files."""
        return stamps(Path(self.data.dir), self.paths)

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers."""
        return Samples(stack([self._one(self.paths[i]) for i in numbers], self.data))

    def _one(self, path):
        try:
            return decode(path, self.data)
        except Exception as error:
            raise UnreadableSample.because(
                error, str(path), "fix or remove it"
            ) from error
