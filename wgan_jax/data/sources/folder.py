"""A folder of image files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, stack
from wgan_jax.data.image_files import class_folders, image_files, stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample
from wgan_jax.errors import printable


class ImagesInFolders(Reader):
    """Images with paths. Where each is in the folder of its class, they have labels."""

    required_field = "dir"

    def __init__(self, data: Data, images: Sequence[Any], paths, root, skipped):
        """images: arguments of `decode_one`. paths: those of the images, below root."""
        super().__init__(data)
        self.images = images
        self.remarks = skipped.line()
        self.labels, self.label_names, self.label_problem = class_folders(paths, root)
        self.classes = 0 if self.labels is None else len(np.unique(self.labels))

    def __len__(self):
        return len(self.images)

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers, and their labels."""
        notes = Counter()
        images = [self.decode_one(self.images[i], notes) for i in numbers]
        labels = None if self.labels is None else self.labels[numbers]
        return Samples(stack(images, self.data), labels, notes)

    def decode_one(self, image: Any, notes: Counter) -> np.ndarray:
        """Pixels of one image. Raises UnreadableSample for a damaged one."""
        raise NotImplementedError


class ImageFolder(ImagesInFolders):
    """The image files of data.dir at any depth, in the order of their names."""

    def __init__(self, data: Data):
        root = Path(data.dir)
        self.paths, skipped = image_files(root)
        super().__init__(data, self.paths, self.paths, root, skipped)

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

    def decode_one(self, path: Path, notes: Counter) -> np.ndarray:
        """Pixels of one file. Raises UnreadableSample for a damaged one."""
        try:
            return decode(path, self.data, notes)
        except Exception as error:
            raise UnreadableSample.because(
                error, str(path), "fix or remove it"
            ) from error
