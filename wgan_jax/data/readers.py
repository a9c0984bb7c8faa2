"""Images read by their numbers, a few at a time, in whichever process asks for them.

Imports nothing of JAX, for these are what a stream's worker processes do. What a reader
has opened stays behind when it is sent to one.
"""

import bisect
import concurrent.futures
import dataclasses
import functools
import hashlib
import io
import itertools
import math
import re
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image, ImageOps

from wgan_jax.config import Data
from wgan_jax.data import shuffle, tfds
from wgan_jax.errors import UserError

# The header of a binary PGM (5) or PPM (6) of 256 levels, as most programs write it.
PLAIN = re.compile(rb"P([56])\s+(\d+)\s+(\d+)\s+255\s")
SUFFIXES = {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
}


@dataclasses.dataclass(frozen=True)
class Samples:
    """Samples [n, ...] of a source and their labels, int32 [n], where it has them."""

    samples: np.ndarray
    labels: np.ndarray | None = None

    def rows(self, which):
        """The part at these places, in this order."""
        labels = None if self.labels is None else self.labels[which]
        return Samples(self.samples[which], labels)


def fit(image: Image.Image, data: Data) -> np.ndarray:
    """A Pillow image to uint8 [image_size, image_size, channels]."""
    if image.mode.startswith("I;16"):
        # Pillow would cut its 65,536 grey levels off at 255.
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    image = image.convert("L" if data.channels == 1 else "RGB")
    size = (data.image_size, data.image_size)
    if image.size != size:
        method = Image.Resampling[data.resize.upper()]
        image = ImageOps.fit(image, size, method=method)
    return np.asarray(image).reshape(data.sample_shape)


def stack(images: list, data: Data) -> np.ndarray:
    """Fitted images as one uint8 [n, height, width, channels]."""
    return np.stack(images) if images else np.zeros((0, *data.sample_shape), np.uint8)


def stamps(folder: Path, files: list[Path]) -> str:
    """Names, sizes and times of files: what changes when one of them does."""
    found = [(p.relative_to(folder), p.stat()) for p in files]
    lines = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in found]
    return "\n".join([str(folder.resolve()), *lines])


class ImageFolder:
    """The image files of data.dir, in the order of their names."""

    labelled = False

    def __init__(self, data: Data):
        """Raises UserError where there are none."""
        self.data, self.paths = data, image_files(Path(data.dir))

    def __len__(self):
        return len(self.paths)

    @property
    def identity(self) -> str:
        """What changes when a file does."""
        return stamps(Path(self.data.dir), self.paths)

    def read(self, numbers) -> Samples:
        """The images of these numbers. Raises UserError for one that is unreadable."""
        return Samples(stack([self._one(self.paths[i]) for i in numbers], self.data))

    def _one(self, path):
        try:
            return read_file(path, self.data)
        except Exception as error:
            raise UserError(
                f"{path} cannot be read ({type(error).__name__}: {error}): mend or "
                "remove it"
            ) from error


def image_files(folder: Path, typed: str = "data.dir=") -> list[Path]:
    """The image files of a folder, at any depth. Raises UserError where none are.

    typed: what stands before the folder where the user named it.
    """
    if not folder.is_dir():
        raise UserError(f"{typed}{folder} is no folder")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    files = sorted(p for p in found if p.is_file())
    if not files:
        raise UserError(
            f"{typed}{folder} has no image files: it must hold files ending in "
            f"{' '.join(sorted(SUFFIXES))}, at any depth"
        )
    return files


def read_file(path: Path, data: Data) -> np.ndarray:
    """The image of a file, turned as its EXIF says and fitted."""
    with Image.open(path) as image:
        return fit(ImageOps.exif_transpose(image), data)


class ArrayRecordImages:
    """Encoded images, one a record, of the array_record file or files in data.dir."""

    labelled = False

    def __init__(self, data: Data):
        """Raises UserError where there are none."""
        self.data, self.paths = data, record_files(Path(data.dir))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            counts = list(pool.map(_count_records, self.paths))
        self.starts = [0, *itertools.accumulate(counts)]
        # Of each file that was read from, in this process.
        self.opened = {}

    def __getstate__(self):
        return self.__dict__ | {"opened": {}}

    def __len__(self):
        return self.starts[-1]

    @property
    def identity(self) -> str:
        """What changes when a file does."""
        return stamps(Path(self.data.dir), self.paths)

    def read(self, numbers) -> Samples:
        """The images of these numbers. Raises UserError for one that is unreadable."""
        by_file, images = {}, [None] * len(numbers)
        for place, number in enumerate(map(int, numbers)):
            file = bisect.bisect_right(self.starts, number) - 1
            by_file.setdefault(file, []).append((place, number - self.starts[file]))
        for file, wanted in by_file.items():
            places, records = zip(*wanted, strict=True)
            read = self._records(file, records)
            for place, record, encoded in zip(places, records, read, strict=True):
                images[place] = self._one(file, record, encoded)
        return Samples(stack(images, self.data))

    def _records(self, file, records):
        if file not in self.opened:
            # Batches are of records far apart: what lies between is not to be read.
            options = {"options": "readahead_buffer_size:0"}
            path = str(self.paths[file])
            self.opened[file] = ArrayRecordReader(
                path, file_reader_buffer_size=2**15, **options
            )
        try:
            # Many at once, in threads beneath Python.
            return self.opened[file].read(records)
        except Exception:
            return [self._alone(file, record) for record in records]

    def _alone(self, file, record):
        try:
            return self.opened[file].read([record])[0]
        except Exception as error:
            raise self._bad(file, record, error) from error

    def _one(self, file, record, encoded):
        try:
            pixels = plain_pixels(encoded, self.data)
            if pixels is not None:
                return pixels
            with Image.open(io.BytesIO(encoded)) as image:
                return fit(ImageOps.exif_transpose(image), self.data)
        except Exception as error:
            raise self._bad(file, record, error) from error

    def _bad(self, file, record, error):
        reason = " ".join(str(error).split())
        return UserError(
            f"record {record} of {self.paths[file]} cannot be read "
            f"({type(error).__name__}: {reason}): write the file anew"
        )


def record_files(path: Path) -> list[Path]:
    """The array_record files at a path. Raises UserError where there are none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"data.dir={path} is no array_record file and no folder")
    # Sharded ones are called x.array_record-00000-of-00008.
    found = [p for p in path.rglob("*.array_record*") if p.is_file()]
    if not found:
        raise UserError(f"data.dir={path} has no files called *.array_record")
    return sorted(found)


def _count_records(path):
    reader = ArrayRecordReader(str(path))
    count = reader.num_records()
    try:
        # Only now is told that the file could not be opened.
        reader.close()
    except Exception as error:
        raise UserError(
            f"{path} is no readable array_record file ({error}): write it anew, or "
            "take it out of data.dir"
        ) from error
    return count


def plain_pixels(encoded: bytes, data: Data) -> np.ndarray | None:
    """The pixels of a binary PGM or PPM that fits as it is; None for all else.

    What Pillow gives, in a tenth of the time.
    """
    header = PLAIN.match(encoded)
    if not header:
        return None
    kind, width, height = map(int, header.groups())
    shape = height, width, 1 if kind == 5 else 3
    if shape != data.sample_shape or len(encoded) - header.end() != math.prod(shape):
        return None
    return np.frombuffer(encoded, np.uint8, offset=header.end()).reshape(shape)


class TfdsImages:
    """Images and labels of a split of a prepared TFDS data set."""

    def __init__(self, data: Data, split: str, field: str):
        """Raises UserError where it is not there; field: where the split was named."""
        self.data, self.split, self.field = data, split, field
        self.labelled = self.opened.label is not None
        self.classes = self.opened.classes
        self.folder = self.opened.folder

    @functools.cached_property
    def opened(self):
        """The data source, opened once in each process."""
        builder = tfds.open_builder(self.data, print)
        return tfds.examples(builder, self.split, self.data.name, self.field)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "opened"}

    def __len__(self):
        return len(self.opened)

    @property
    def identity(self) -> str:
        """What changes when a file does."""
        return f"{self.split} {stamps(self.folder, sorted(self.folder.iterdir()))}"

    def read(self, numbers) -> Samples:
        """The images of these numbers. Raises UserError for one that is unreadable."""
        numbers = list(map(int, numbers))
        try:
            pairs = self.opened.take(numbers)
        except Exception:
            pairs = [self._alone(number) for number in numbers]
        images = [fit(Image.fromarray(image), self.data) for image, _ in pairs]
        labels = np.array([label for _, label in pairs], np.int32)
        return Samples(stack(images, self.data), labels if self.labelled else None)

    def _alone(self, number):
        try:
            return self.opened.take([number])[0]
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"example {number} of {self.field}={self.split} in {self.folder} "
                f"cannot be read ({type(error).__name__}: {reason}): prepare "
                f"data.name={self.data.name} anew"
            ) from error


class BatchSource:
    """Raw batches in the order of training, by their place behind the first.

    What Grain calls a source, with whole batches for elements, as each element costs
    it much. Which images are in a batch is a function of its number alone.
    """

    def __init__(self, reader, numbers, batches, batch_size, rounds, labelled, process):
        """batches: range of the numbers of the batches to give.

        numbers: what the training images are called in the reader; rounds: by epoch,
        see `data.epoch_rounds`; process: (index, count), for the rows of this one.
        """
        self.reader, self.numbers, self.rounds = reader, numbers, rounds
        self.batches, self.labelled = batches, labelled
        self.per_epoch = len(numbers) // batch_size
        index, count = process
        self.rows = np.arange(batch_size).reshape(count, -1)[index]
        self.batch_size = batch_size

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, place):
        number = self.batches[place]
        epoch, within = divmod(number, self.per_epoch)
        position = within * self.batch_size + self.rows
        rounds = self.rounds[epoch - self.batches.start // self.per_epoch]
        which = shuffle.shuffled_index(position, len(self.numbers), *rounds)
        part = self.reader.read(self.numbers[which])
        return (part.samples, part.labels) if self.labelled else part.samples


class LazyImages:
    """Some images of a reader as a sequence that is read by slices, like an array."""

    def __init__(self, reader, numbers):
        self.reader, self.numbers = reader, numbers

    def __len__(self):
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, height, width, channels]."""
        return (len(self), *self.reader.data.sample_shape)

    def __getitem__(self, places: slice):
        return self.reader.read(self.numbers[places]).samples

    @property
    def identity(self) -> str:
        """What changes when an image does, or which they are."""
        numbers = hashlib.sha256(np.ascontiguousarray(self.numbers)).hexdigest()
        return f"{self.reader.identity}\n{numbers} {self.reader.data.resize}"
