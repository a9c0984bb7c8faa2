"""A folder of image files."""

from collections import Counter
from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, stack
from wgan_jax.data.image_files import class_folders, image_files, stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample
from wgan_jax.errors import printable


class ImageFolder(Reader):
    """The image files of data.dir at any depth, in the order of their names.

    Where each is in the folder of its class, they have labels.
    """

    required_field = "dir"

    def __init__(self, data: Data):
        super().__init__(data)
        self.paths, skipped = image_files(Path(data.dir))
        self.remarks = skipped.line()
        folders = class_folders(self.paths, Path(data.dir))
        self.labels, self.label_names, self.label_problem = folders
        self.classes = 0 if self.labels is None else len(np.unique(self.labels))

    def __len__(self):
        return len(self.paths)

    @property
    def identity(self) -> str:
        """Hash of the names, sizes and times of the files."""
        files = stamps(Path(self.data.dir), self.paths)
        return f"{files} labelled" if self.classes else files

    def originals(self, numbers: np.ndarray) -> list[Path]:
        """Files of these numbers."""
        return [self.paths[number] for number in numbers]

    def name(self, number: int) -> str:
        """The path of the file in the folder."""
        return printable(str(self.paths[number].relative_to(self.data.dir)))

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers, and their labels."""
        notes = Counter()
        images = [self._one(self.paths[i], notes) for i in numbers]
        labels = None if self.labels is None else self.labels[numbers]
        return Samples(stack(images, self.data), labels, notes)

    def _one(self, path, notes):
        try:
            return decode(path, self.data, notes)
        except Exception as error:
            raise UnreadableSample.because(
                error, str(path), "fix or remove it"
            ) from error
