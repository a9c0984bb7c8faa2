"""Images and labels of a TensorFlow Datasets name, read without TensorFlow."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wgan_jax.config import Data
from wgan_jax.data.decoding import fit, stack, stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample
from wgan_jax.data.tfds import open_builder
from wgan_jax.errors import UserError


class TfdsImages(Reader):
    """Images of a split of a prepared data set, with labels where it has them."""

    required_field = "name"

    def __init__(self, data: Data, field: str = "split"):
        """field: of `Data`, `split` or `test_split`; it names the split.

        Prepares the data set where that has not been done: see `tfds.open_builder`.
        """
        super().__init__(data)
        self.field = field
        self.split = getattr(data, field)
        builder = open_builder(data)
        self.folder = Path(builder.data_path)
        features: Any = builder.info.features
        self.image, self.label = image_features(features, data.name)
        if self.label:
            self.classes = features[self.label].num_classes
        self.opened = self._open(builder)

    @functools.cached_property
    def opened(self):
        """TFDS's random-access source, opened once in each process."""
        return self._open(open_builder(self.data))

    def _open(self, builder):
        try:
            source = builder.as_data_source(split=self.split)
            len(source)
        except ValueError as error:
            raise UserError(
                f"data.{self.field}={self.split} is not in data.name={self.data.name}, "
                f"which has {', '.join(builder.info.splits)}"
            ) from error
        return source

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "opened"}

    def __len__(self):
        return len(self.opened)

    @property
    def identity(self) -> str:
        """The split and names, sizes and modification times of the files.

        They change when the data set is prepared again under the same name.
        """
        return f"{self.split} {stamps(self.folder, sorted(self.folder.iterdir()))}"

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers and their labels."""
        records = list(map(int, numbers))
        try:
            examples = self.opened.__getitems__(records)
        except Exception:
            examples = [self._one(record) for record in records]
        images = [self._fit(example[self.image]) for example in examples]
        labels = None
        if self.label:
            labels = np.array([example[self.label] for example in examples], np.int32)
        return Samples(stack(images, self.data), labels)

    def _fit(self, image):
        grey = image.shape[-1] == 1
        return fit(Image.fromarray(image[..., 0] if grey else image), self.data)

    def _one(self, number):
        try:
            return self.opened.__getitems__([number])[0]
        except Exception as error:
            field = f"data.{self.field}={self.split}"
            raise UnreadableSample.because(
                error,
                f"example {number} of {field} in {self.folder}",
                f"prepare data.name={self.data.name} again",
            ) from error

    def test_reader(self) -> Reader | None:
        """Reader of the split data.test_split, if one is named."""
        return TfdsImages(self.data, "test_split") if self.data.test_split else None


def image_features(features, name: str) -> tuple[str, str | None]:
    """Keys of the first image feature and the first class label, or None.

    Raises UserError where the data set has no images.
    """
    import tensorflow_datasets as tfds

    images = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
    if not images:
        raise UserError(
            f"data.name={name} has no images: its features are {', '.join(features)}"
        )
    labels = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    return images[0], labels[0] if labels else None
