"""Images and labels of an .npz or .npy file."""

import contextlib
import functools
import zipfile
from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.readers import Reader
from wgan_jax.data.sources.arrays import ArrayImages, Labels, whole_labels
from wgan_jax.errors import UserError

# Names of Keras and MedMNIST: the array to train on, and those to hold out instead of
# some of its images, the first one that exists.
LAYOUTS = {
    "x_train": ("x_val", "x_test"),
    "train_images": ("val_images", "test_images"),
}
# Numbers of axes of images and of vectors.
IMAGES, VECTORS = (3, 4), (2,)
NPY = b"\x93NUMPY"


class NpzImages(ArrayImages):
    """Images of an array, with labels where the file has them.

    Those of a .npy file of uint8 are read from the file while they are needed.
    """

    def __init__(self, data: Data, field: str = "array"):
        """field: of `Data`, `array` or `test_split`; it names the array."""
        name, images, labels, problem = read_array(data, field, IMAGES)
        super().__init__(data, describe(name, f"data.dir={data.dir}"), images, labels)
        self.label_problem = problem
        self.label_names = read_label_names(Path(data.dir))
        self.test_array = test_array(data, name)
        if field == "array":
            self.remarks = self.test_remarks(self.test_array)

    @classmethod
    def can_stream(cls, data: Data) -> bool:
        """Whether the file is an .npy file whose bytes are the images."""
        return _mapped(Path(data.dir)) is not None

    @functools.cached_property
    def images(self) -> np.ndarray:
        """The file as an array, opened once in each process."""
        images = _mapped(Path(self.data.dir))
        assert images is not None
        return images if images.ndim == 4 else images[..., None]

    def __getstate__(self):
        images = {} if self.can_stream(self.data) else {"images": self.images}
        return {k: v for k, v in self.__dict__.items() if k != "images"} | images

    def test_reader(self) -> Reader | None:
        """Reader of the array that `test_array` names."""
        return self.reader_of(self.test_array)


def _mapped(path) -> np.ndarray | None:
    """The array of a .npy file that needs no conversion, on disk; None for others."""
    with contextlib.suppress(OSError, ValueError):
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if array.dtype == np.uint8 and array.flags.c_contiguous:
                return array
    return None


def read_label_names(path: Path) -> tuple[str, ...]:
    """The array `label_names` of an .npz file: a string for each label; or empty."""
    if "label_names" not in array_shapes(path):
        return ()
    with path.open("rb") as opened:
        return tuple(map(str, np.load(opened, allow_pickle=False)["label_names"]))


def describe(name: str, where: str) -> str:
    """An array as the user knows it; a .npy file has one without a name."""
    return f"array {name!r} of {where}" if name else f"the array of {where}"


def test_array(data: Data, name: str) -> str:
    """Array to hold out while `name` is trained on; empty for none.

    data.test_split, or where data.array is empty the array of the same layout.
    """
    if data.test_split or data.array:
        return data.test_split
    known = array_shapes(Path(data.dir))
    return next((n for n in LAYOUTS.get(name, ()) if n in known), "")


def read_array(data: Data, field: str, axes: tuple[int, ...]):
    """As `read_npz`, for the array that a field of `data` names.

    Raises UserError where the file or the array is missing.
    """
    name = getattr(data, field)
    return read_npz(
        Path(data.dir),
        name,
        where=f"data.dir={data.dir}",
        asked=f"data.{field}={name!r}",
        remedy=f"name one of them with --data.{field.replace('_', '-')}",
        axes=axes,
        label_name=data.label_array if field == "array" else "",
    )


def read_npz(
    path: Path,
    name: str,
    *,
    where: str,
    asked: str,
    remedy: str,
    axes: tuple[int, ...] = IMAGES,
    label_name: str = "",
):
    """(name, array, labels, reason why these cannot be used) of an .npz or .npy file.

    labels: int64 [n], or None. An empty name takes `default_array`. where, asked: the
    file and the array as the user named them. label_name: of the labels; empty takes
    `labels_of`. Raises UserError where the file or an array is missing or unreadable.
    """
    try:
        shapes = array_shapes(path)
        chosen = name or default_array(shapes, axes)
        if chosen in shapes:
            if not chosen and (array := _mapped(path)) is not None:
                labels, problem = _labels_next_to(path, len(array))
                return chosen, array, labels, problem
            # numpy does not close a file that it opened itself and could not read.
            with path.open("rb") as opened:
                file = np.load(opened, allow_pickle=False)
                if isinstance(file, np.ndarray):
                    labels, problem = _labels_next_to(path, len(file))
                    return chosen, file, labels, problem
                array = file[chosen]
                labels, problem = _read_labels(file, label_name, chosen, array, where)
                return chosen, array, labels, problem
    except UserError:
        raise
    except Exception as error:
        pickled = "pickle" in str(error)
        reason = "it has Python objects, which are not read" if pickled else error
        kind = ".npy" if path.suffix == ".npy" else ".npz"
        raise UserError(f"{where} is not a readable {kind} file: {reason}") from error
    known = ", ".join(shapes) or "one array without a name"
    raise UserError(f"{asked} is not in {where}, which has {known}: {remedy}")


def array_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """(shape, type) of each array of an .npz file, by name, without its values.

    A .npy file has one array, with an empty name. Raises an exception of the system,
    of NumPy or of zipfile for another file.
    """
    with path.open("rb") as file:
        if file.read(len(NPY)) == NPY:
            file.seek(0)
            return {"": _header(file)}
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    shapes[member.filename.removesuffix(".npy")] = _header(file)
    if not shapes:
        raise ValueError("it has no arrays")
    return shapes


def _header(file):
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        # Only names of fields need a later version.
        raise ValueError("it has records instead of numbers")
    return shape, dtype


def default_array(shapes, axes: tuple[int, ...]) -> str | None:
    """The array that is meant where none is named; None where several may be.

    `images`, the only one, that of a layout of Keras or MedMNIST, or the only one with
    as many axes as images or vectors have.
    """
    if len(shapes) == 1:
        return next(iter(shapes))
    if "images" in shapes and axes == IMAGES:
        return "images"
    labels = {labels_of(name) for name in shapes}
    fits = [name for name, (s, _) in shapes.items() if len(s) in axes]
    fits = [name for name in fits if name not in labels]
    for name in ("images", *LAYOUTS):
        if name in fits:
            return name
    return fits[0] if len(fits) == 1 else None


def _read_labels(file, label_name, name, array, where) -> Labels:
    """(labels int64 [n] or None, reason why the file's labels cannot be used)."""
    chosen = label_name or labels_of(name)
    if chosen not in file.files:
        if label_name:
            raise UserError(
                f"data.label_array={label_name!r} is not in {where}, which has "
                f"{', '.join(file.files)}: name one of them with --data.label-array"
            )
        return None, ""
    try:
        labels = file[chosen]
    except ValueError:
        return None, f"array {chosen!r} of {where} has Python objects"
    count = len(array) if array.ndim else 0
    return whole_labels(labels, count, f"array {chosen!r} of {where}")


def _labels_next_to(path, count) -> Labels:
    """The same of y_train.npy next to x_train.npy."""
    labels = path.with_name(f"{labels_of(path.stem)}.npy")
    if labels.stem == "labels" or not labels.is_file():
        return None, ""
    try:
        with labels.open("rb") as opened:
            array = np.load(opened, allow_pickle=False)
    except (OSError, ValueError) as error:
        return None, f"{labels} cannot be read ({error})"
    return whole_labels(array, count, str(labels))


def labels_of(name: str) -> str:
    """Name of the labels: `train_labels` of `train_images`, `y_train` of `x_train`."""
    if name in ("x", "X") or name.startswith(("x_", "X_")):
        return f"y{name[1:]}"
    return name.replace("images", "labels") if "images" in name else "labels"
