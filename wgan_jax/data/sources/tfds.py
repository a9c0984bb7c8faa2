"""Images and labels of a TensorFlow Datasets name, read without TensorFlow."""

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, fit, grey_levels, stack
from wgan_jax.data.image_files import stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample
from wgan_jax.data.tfds import image_features, open_builder
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
            self.label_names = tuple(getattr(features[self.label], "names", ()))
        self.opened = self._open(builder)

    @functools.cached_property
    def opened(self):
        """TFDS's random-access source, opened once in each process."""
        return self._open(open_builder(self.data))

    def _open(self, builder):
        import tensorflow_datasets as tfds

        # TFDS stores floats as the bytes of RGBA images, which it alone decodes.
        self.encoded = builder.info.features[self.image].np_dtype != np.float32
        decoders = {self.image: tfds.decode.SkipDecoding()} if self.encoded else None
        try:
            source = builder.as_data_source(split=self.split, decoders=decoders)
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
        """The split and a hash of the names, sizes and times of the files.

        They change when the data set is prepared again under the same name.
        """
        return f"{self.split} {stamps(self.folder, sorted(self.folder.iterdir()))}"

    def originals(self, numbers: np.ndarray) -> list[bytes | np.ndarray]:
        """Images of these numbers, encoded unless their values are floats."""
        return [example[self.image] for example in self._examples(numbers)]

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers and their labels."""
        records = list(map(int, numbers))
        examples = self._examples(numbers)
        notes = Counter()
        images = [
            self._decode(record, example[self.image], notes)
            for record, example in zip(records, examples, strict=True)
        ]
        labels = None
        if self.label:
            labels = np.array([example[self.label] for example in examples], np.int32)
        return Samples(stack(images, self.data), labels, notes)

    def _decode(self, number, image, notes):
        try:
            if self.encoded:
                return decode(image, self.data, notes)
            levels = grey_levels(image, notes)
            grey = levels.shape[-1] == 1
            image = Image.fromarray(levels[..., 0] if grey else levels)
            return fit(image, self.data, notes)
        except Exception as error:
            raise self._unreadable(number, error) from error

    def _examples(self, numbers):
        records = list(map(int, numbers))
        try:
            return self.opened.__getitems__(records)
        except Exception:
            return [self._one(record) for record in records]

    def _one(self, number):
        try:
            return self.opened.__getitems__([number])[0]
        except Exception as error:
            raise self._unreadable(number, error) from error

    def _unreadable(self, number, error):
        field = f"data.{self.field}={self.split}"
        return UnreadableSample.because(
            error,
            f"example {number} of {field} in {self.folder}",
            f"prepare data.name={self.data.name} again",
        )

    def test_reader(self) -> Reader | None:
        """Reader of the split data.test_split, if one is named."""
        return self.reader_of(self.data.test_split)
