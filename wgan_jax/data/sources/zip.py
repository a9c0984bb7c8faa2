"""A zip file of images, read without unpacking it."""

import functools
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode
from wgan_jax.data.image_files import (
    SUFFIXES,
    Skipped,
    is_hidden,
    stamps,
)
from wgan_jax.data.readers import UnreadableSample
from wgan_jax.data.sources.folder import ImagesInFolders
from wgan_jax.errors import UserError, printable

# Bytes of the largest image that is read: far more than any has, far less than the
# memory.
LARGEST = 2**30


class ZipImages(ImagesInFolders):
    """The images of the zip file data.dir at any depth, in the order of their names."""

    def __init__(self, data: Data):
        """Raises UserError where the file has no images or cannot be read."""
        self.members, skipped = image_members(Path(data.dir))
        paths = [PurePosixPath(member.filename) for member in self.members]
        super().__init__(data, self.members, paths, PurePosixPath(), skipped)

    @functools.cached_property
    def opened(self) -> zipfile.ZipFile:
        """The file, opened once in each process; threads may read it at once."""
        return zipfile.ZipFile(self.data.dir)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "opened"}

    @property
    def identity(self) -> str:
        """Hash of the name, size and time of the file."""
        path = Path(self.data.dir)
        return stamps(path.parent, [path])

    def originals(self, numbers: np.ndarray) -> list[bytes]:
        """Encoded images of these numbers."""
        return [self.opened.read(self.members[number]) for number in numbers]

    def name(self, number: int) -> str:
        """The path of the image in the zip."""
        return printable(self.members[number].filename)

    def decode_one(self, member: zipfile.ZipInfo, notes: Counter) -> np.ndarray:
        """Pixels of one image. Raises UnreadableSample for a damaged one."""
        try:
            if member.file_size > LARGEST:
                raise UserError(f"it has {member.file_size:,} bytes unpacked")
            return decode(self.opened.read(member), self.data, notes)
        except Exception as error:
            raise UnreadableSample.because(
                error, f"{member.filename} in {self.data.dir}", "write the zip again"
            ) from error


def image_members(
    path: Path, option: str = "data.dir="
) -> tuple[list[zipfile.ZipInfo], Skipped]:
    """(images of a zip file, sorted by name; members that are skipped).

    Raises UserError without any image, for a file that is not a zip, for encrypted
    images, and for names that point out of the zip.
    """
    where = f"{option}{path}"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where} is not a readable zip file: {reason}") from error
    images, skipped = [], Skipped()
    for member in members:
        name = PurePosixPath(member.filename)
        if member.is_dir():
            continue
        if name.is_absolute() or ".." in name.parts:
            raise UserError(
                f"{where} has {printable(member.filename)}, a name that points out of "
                "it: write the zip again"
            )
        if any(map(is_hidden, name.parts)):
            skipped.add("hidden", member.filename)
        elif name.suffix.lower() == ".zip":
            skipped.add("zip in the zip", member.filename)
        elif name.suffix.lower() not in SUFFIXES:
            skipped.add_other(member.filename)
        else:
            images.append(member)
    if not images:
        found = "".join(f"; {line}" for line in skipped.line())
        raise UserError(
            f"{where} has no image files: it must hold files ending in "
            f"{' '.join(SUFFIXES)}, at any depth{found}"
        )
    locked = [member for member in images if member.flag_bits & 1]
    if locked:
        raise UserError(
            f"{where} has {len(locked)} encrypted images, such as "
            f"{printable(locked[0].filename)}: write the zip again without a password"
        )
    return sorted(images, key=lambda member: member.filename), skipped
