"""array_record files of encoded images, one image a record: reading and writing."""

import bisect
import concurrent.futures
import contextlib
import io
import itertools
import math
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, stack
from wgan_jax.data.image_files import find_files, stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample
from wgan_jax.errors import UserError

# Images in one written file, which has then some hundred megabytes.
SHARD = 100_000
# One image a group, because a group is decompressed as a whole. PNG is compressed.
WRITER_OPTIONS = {"png": "group_size:1,uncompressed", "ppm": "group_size:1"}
# The records of a batch are far apart: bytes between them are not read.
READER_OPTIONS = {
    "options": "readahead_buffer_size:0",
    "file_reader_buffer_size": 2**15,
}


class ArrayRecordImages(Reader):
    """Images of the array_record file or files in data.dir."""

    required_field = "dir"

    def __init__(self, data: Data):
        super().__init__(data)
        library()
        self.paths = record_files(Path(data.dir))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            counts = list(pool.map(_count_records, self.paths))
        self.starts = [0, *itertools.accumulate(counts)]
        # Readers of the files that this process has opened, by file number.
        self.opened = {}

    def __getstate__(self):
        return self.__dict__ | {"opened": {}}

    def __len__(self):
        return self.starts[-1]

    @property
    def identity(self) -> str:
        """Hash of the names, sizes and times of the files."""
        return stamps(Path(self.data.dir), self.paths)

    def originals(self, numbers: np.ndarray) -> list[bytes]:
        """Encoded images of these numbers."""
        originals = [b""] * len(numbers)
        for place, _, _, encoded in self._encoded(numbers):
            originals[place] = encoded
        return originals

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers."""
        images, notes = [None] * len(numbers), Counter()
        for place, file, record, encoded in self._encoded(numbers):
            images[place] = self._decode(file, record, encoded, notes)
        return Samples(stack(images, self.data), notes=notes)

    def _encoded(self, numbers):
        """Yields (place in `numbers`, file, record in it, encoded image)."""
        by_file = {}
        for place, number in enumerate(map(int, numbers)):
            file = bisect.bisect_right(self.starts, number) - 1
            by_file.setdefault(file, []).append((place, number - self.starts[file]))
        for file, wanted in by_file.items():
            places, records = zip(*wanted, strict=True)
            encoded = self._records(file, records)
            for place, record, image in zip(places, records, encoded, strict=True):
                yield place, file, record, image

    def _records(self, file, records):
        if file not in self.opened:
            path = str(self.paths[file])
            self.opened[file] = library().ArrayRecordReader(path, **READER_OPTIONS)
        try:
            # The library reads all of them in parallel threads.
            return self.opened[file].read(records)
        except Exception:
            return [self._one_record(file, record) for record in records]

    def _one_record(self, file, record):
        try:
            return self.opened[file].read([record])[0]
        except Exception as error:
            raise self._unreadable(file, record, error) from error

    def _decode(self, file, record, encoded, notes):
        try:
            return decode(encoded, self.data, notes)
        except Exception as error:
            raise self._unreadable(file, record, error) from error

    def _unreadable(self, file, record, error):
        name = f"record {record} of {self.paths[file]}"
        return UnreadableSample.because(error, name, "write the file again")


def library():
    """array_record's module. Raises UserError where it is missing.

    Imported late, because array-record has no wheel for Windows and for Intel Macs.
    """
    try:
        import array_record.python.array_record_module as module
    except ImportError as error:
        raise UserError(
            "data.source=array_record needs array-record, for Linux and Apple silicon: "
            "pip install 'wgan-jax[records]'"
        ) from error
    return module


def record_files(path: Path) -> list[Path]:
    """The array_record files at a path. Raises UserError where there are none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"data.dir={path} is neither an array_record file nor a folder")
    # Sharded files are named x.array_record-00000-of-00008.
    files, _ = find_files(path, lambda p: ".array_record" in p.name)
    if not files:
        raise UserError(f"data.dir={path} has no files called *.array_record")
    return files


def _count_records(path):
    reader = library().ArrayRecordReader(str(path))
    count = reader.num_records()
    try:
        # The library reports a file that it could not open only here.
        reader.close()
    except Exception as error:
        raise UserError(
            f"{path} is not a readable array_record file ({error}): write it again, "
            "or take it out of data.dir"
        ) from error
    return count


def encode(image: np.ndarray, file_format: str) -> bytes:
    """uint8 [height, width, 1 or 3] in a file format of Pillow, png or ppm."""
    file = io.BytesIO()
    grey = image.shape[2] == 1
    Image.fromarray(image[..., 0] if grey else image).save(file, file_format)
    return file.getvalue()


def write_records(
    out: Path, records: Iterable[bytes], count: int, file_format: str
) -> None:
    """Writes `count` encoded images to the new folder `out`, SHARD to a file.

    An error leaves nothing of the folder or of the parents that it creates.
    """
    writer_class = library().ArrayRecordWriter
    partial = out.with_name(out.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    created = [path for path in out.parents if not path.exists()]
    partial.mkdir(parents=True)
    shards, records = math.ceil(count / SHARD), iter(records)
    try:
        for shard in range(shards):
            name = f"images.array_record-{shard:05}-of-{shards:05}"
            writer = writer_class(str(partial / name), WRITER_OPTIONS[file_format])
            try:
                for _ in range(min(SHARD, count - shard * SHARD)):
                    writer.write(next(records))
            finally:
                writer.close()
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
