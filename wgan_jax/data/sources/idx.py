"""IDX files, as MNIST, Fashion-MNIST, KMNIST, QMNIST and EMNIST are published."""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.image_files import find_files
from wgan_jax.data.readers import Reader
from wgan_jax.data.sources.arrays import ArrayImages, whole_labels
from wgan_jax.errors import UserError

# Types of the values, by the third byte of a file.
DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
# As in emnist-letters-train-images-idx3-ubyte.gz; some programs write a dot.
PATTERN = re.compile(
    r"(?:(.+)-)?(train|t10k|test|valid|validation)-(images|labels)[-.]idx\d-\w+(\.gz)?"
)
TEST_PARTS = ("t10k", "test")
# Bytes in one call, so that a false header allocates no more.
PIECE = 2**24


class IdxFile(NamedTuple):
    """A file that is named as those of MNIST are."""

    path: Path
    name: str
    part: str
    kind: str

    @classmethod
    def of(cls, path: Path) -> "IdxFile | None":
        """The file at a path; None where it has another name."""
        match = PATTERN.fullmatch(path.name)
        return match and cls(path, match[1] or "", match[2], match[3])


class IdxImages(ArrayImages):
    """Images and labels of a part of the IDX files in data.dir, or of one file."""

    def __init__(self, data: Data, field: str = "split"):
        """field: of `Data`, `split` or `test_split`; it names the part.

        Raises UserError where the images are missing, damaged or ambiguous.
        """
        path = Path(data.dir)
        self.test_part = ""
        if path.is_file():
            own = IdxFile.of(path)
            files = [file for file in map(IdxFile.of, path.parent.iterdir()) if file]
            found = [f for f in files if own and f[1:] == (*own[1:3], "labels")]
            images, labels = path, min((f.path for f in found), default=None)
        else:
            files = _named(data, idx_files(path))
            part = getattr(data, field)
            images, labels = _of_part(data, files, field, part)
            known = {file.part for file in files if file.kind == "images"} - {part}
            found = [part for part in TEST_PARTS if part in known]
            self.test_part = data.test_split or (found[0] if found else "")
        super().__init__(data, f"the array of {images}", read_idx(images))
        if labels:
            self.labels, self.label_problem = whole_labels(
                read_idx(labels), len(self), f"the array of {labels}"
            )
            self.classes = 0 if self.labels is None else len(np.unique(self.labels))
        else:
            self.label_problem = f"{images} has no file of labels next to it"
        remarks = self.test_remarks(self.test_part) if field == "split" else []
        if images.name.startswith("emnist"):
            remarks.append(
                f"warning: EMNIST's files exchange rows and columns, and the "
                f"images are used as they are in {images}"
            )
        self.remarks = remarks

    def test_reader(self) -> Reader | None:
        """Reader of the part data.test_split, or of a test part in the same folder."""
        return self.reader_of(self.test_part)


def idx_files(folder: Path) -> list[IdxFile]:
    """Files of a folder, at any depth, that are named as those of MNIST are.

    Of a file that is there both compressed and not, the latter. Raises UserError where
    there are none, and where two folders have the same ones.
    """
    if not folder.is_dir():
        raise UserError(f"data.dir={folder} is neither an IDX file nor a folder")
    paths, _ = find_files(folder, lambda path: IdxFile.of(path) is not None)
    if not paths:
        raise UserError(
            f"data.dir={folder} has no IDX files: it must hold files named as "
            "train-images-idx3-ubyte.gz or train-images-idx3-ubyte, or be one file"
        )
    chosen: dict[tuple, IdxFile] = {}
    for path in sorted(paths, key=lambda path: (path.suffix == ".gz", path)):
        file = IdxFile.of(path)
        assert file
        other = chosen.setdefault(file[1:], file)
        if other.path.parent != path.parent:
            raise UserError(
                f"data.dir={folder} has the same files twice, {other.path} and {path}: "
                "name one of the two folders"
            )
    return list(chosen.values())


def _named(data, files):
    """The files whose names begin with data.name, which may be empty for one set."""
    names = sorted({file.name for file in files})
    if data.name in names or (len(names) == 1 and not data.name):
        return [file for file in files if file.name == (data.name or names[0])]
    raise UserError(
        f"data.name={data.name!r} is not the beginning of the IDX files in data.dir="
        f"{data.dir}, which has {', '.join(names)}: name one of them with --data.name"
    )


def _of_part(data, files, field, part):
    """(path of the images, path of the labels or None) of a part."""
    images = {file.part: file.path for file in files if file.kind == "images"}
    labels = {file.part: file.path for file in files if file.kind == "labels"}
    if part not in images:
        parts = ", ".join(sorted(images)) or "labels only"
        raise UserError(
            f"data.{field}={part} is not a part of the IDX files in data.dir="
            f"{data.dir}, which has {parts}: name one of them with "
            f"--data.{field.replace('_', '-')}"
        )
    return images[part], labels.get(part)


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, which may be compressed by gzip.

    Format: two zero bytes, type, number of axes, their lengths (big-endian uint32),
    values (big-endian). Raises UserError for any other file.
    """
    try:
        with path.open("rb") as file:
            is_compressed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_compressed else path.open("rb") as file:
            return _read_array(file)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is not a readable IDX file ({reason}): download it again"
        ) from error


def _read_array(file):
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES or not head[3]:
        raise ValueError(f"it begins with the bytes {head.hex(' ') or 'of no content'}")
    lengths = file.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise ValueError("it ends within its header")
    dtype = np.dtype(DTYPES[head[2]])
    shape = tuple(np.frombuffer(lengths, ">u4").tolist())
    wanted, pieces, size = math.prod(shape) * dtype.itemsize, [], 0
    # One byte more, to see one that is too many.
    while size <= wanted and (piece := file.read(min(PIECE, wanted + 1 - size))):
        pieces.append(piece)
        size += len(piece)
    if size != wanted:
        found = f"has {size:,}" if size < wanted else "has more"
        raise ValueError(
            f"its header describes {list(shape)} values, {wanted:,} bytes, and it "
            f"{found}"
        )
    values = np.frombuffer(b"".join(pieces), dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="))
