"""Image files of a folder: found, skipped and identified. Free of JAX."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from wgan_jax.errors import UserError, printable

SUFFIXES = (
    ".apng",
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tga",
    ".tif",
    ".tiff",
    ".webp",
)
# Photographs that Pillow cannot read alone.
PHOTOS = {".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef"}
# Files and folders of systems and programs, in lower case.
SYSTEM = {
    "$recycle.bin",
    "#recycle",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


class Skipped:
    """Files that are not read, by reason."""

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, reason: str, path: str, count: int = 1) -> None:
        """Counts files; the first path of a reason is an example."""
        if count:
            self.counts[reason] += count
            self.examples.setdefault(reason, path)

    def add_other(self, path: str) -> None:
        """Counts a file whose suffix is not that of an image that is read."""
        photo = PurePath(path).suffix.lower() in PHOTOS
        reason = "to be converted to JPEG or PNG first" if photo else "not an image"
        self.add(reason, path)

    def line(self) -> list[str]:
        """One line for the user; none where nothing is skipped."""
        if not self.counts:
            return []
        reasons = ", ".join(
            f"{count} {reason} ({printable(self.examples[reason])})"
            for reason, count in self.counts.items()
        )
        total = self.counts.total()
        return [f"skipped {total} file{'s' if total > 1 else ''}: {reasons}"]


def image_files(folder: Path, option: str = "data.dir=") -> tuple[list[Path], Skipped]:
    """(sorted image files at any depth, files skipped) of a folder: see `find_files`.

    Raises UserError without any image.
    """
    if not folder.is_dir():
        raise UserError(f"{option}{folder} is not a folder")
    files, skipped = find_files(folder, lambda p: p.suffix.lower() in SUFFIXES, option)
    if not files:
        found = "".join(f"; {line}" for line in skipped.line())
        raise UserError(
            f"{option}{folder} has no image files: it must hold files ending in "
            f"{' '.join(SUFFIXES)}, at any depth{found}"
        )
    return files, skipped


def find_files(
    folder: Path, wanted: Callable[[Path], bool], option: str = "data.dir="
) -> tuple[list[Path], Skipped]:
    """(sorted files at any depth that are wanted, files skipped) of a folder.

    Links to folders are followed, and a folder that several paths reach is read once.
    Names that begin with a dot and those of SYSTEM are hidden. option: prefix of the
    folder in messages, as the user typed it. Raises UserError for a folder that cannot
    be read.
    """
    files, skipped = [], Skipped()
    try:
        _walk(folder, "", wanted, set(), files, skipped)
    except OSError as error:
        raise UserError(
            f"{option}{folder} cannot be read ({error}): correct its permissions"
        ) from error
    return sorted(files), skipped


def _walk(folder, prefix, wanted, seen, files, skipped):
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in seen:
        skipped.add("in a folder that is read already", prefix, len(os.listdir(folder)))
        return
    seen.add((stat.st_dev, stat.st_ino))
    with os.scandir(folder) as opened:
        # Folders before links to them, so that the files have their own paths.
        entries = sorted(opened, key=lambda e: (e.is_symlink(), e.name))
    for entry in entries:
        path, name = Path(entry.path), prefix + entry.name
        if is_hidden(entry.name):
            skipped.add("hidden", name, _count_files(entry))
        elif entry.is_dir():
            _walk(path, f"{name}/", wanted, seen, files, skipped)
        elif not entry.is_file():
            skipped.add("not a file or a broken link", name)
        elif wanted(path):
            files.append(path)
        else:
            skipped.add_other(name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is one of a system or a program."""
    return name.startswith(".") or name.lower() in SYSTEM


def _count_files(entry):
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(files) for _, _, files in os.walk(entry.path))


class ClassFolders(NamedTuple):
    """Labels of images by the folders that they are in."""

    labels: np.ndarray | None = None
    """int32 [n]; None where the folders do not define them."""
    names: tuple[str, ...] = ()
    """Name of each label 0, 1, ...; empty where folders are named by numbers."""
    problem: str = ""
    """Reason why the folders do not define labels, where there are some."""


def class_folders(paths: Sequence[PurePath], root: PurePath) -> ClassFolders:
    """Labels of image files below `root`: the places of their folders in sorted order.

    Folders that hold all images are passed over. Where all others are named by whole
    numbers, these are the labels. Images outside of the folders and folders in folders
    are ambiguous, and one folder makes no classes: then there are no labels.
    """
    parents = [path.parent for path in paths]
    inside = {parent: parent.relative_to(root) for parent in set(parents)}
    shared = len(PurePath(os.path.commonpath(map(str, inside.values()))).parts)
    inside = {parent: path.parts for parent, path in inside.items()}
    depths = {len(parts) - shared for parts in inside.values()}
    if depths == {0}:
        return ClassFolders()
    if depths != {1}:
        deepest = max(paths, key=lambda path: len(inside[path.parent]))
        first = min(paths, key=lambda path: len(inside[path.parent]))
        found = f"{first.relative_to(root)} and {deepest.relative_to(root)}"
        return ClassFolders(
            problem=f"images are at different depths or more than one folder deep, as "
            f"{printable(found)}: each must be in the folder of its class"
        )
    names = sorted({parts[-1] for parts in inside.values()})
    places = {name: place for place, name in enumerate(names)}
    if all(name.isdecimal() and name == str(int(name)) for name in names):
        places, names = {name: int(name) for name in names}, []
    labels = [places[inside[parent][-1]] for parent in parents]
    return ClassFolders(np.array(labels, np.int64), tuple(names))


def stamps(folder: Path, files: list[Path]) -> str:
    """Hash of the names, sizes and times of files, as the identity of a reader.

    The time of the last change of status (ctime) is included, because a file that
    replaces another one may have its size and modification time.
    """
    digest = hashlib.sha256(os.fsencode(folder.resolve()))
    for path in files:
        stat = path.stat()
        facts = stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
        digest.update(os.fsencode(path.relative_to(folder)))
        digest.update(repr(facts).encode())
    return digest.hexdigest()
