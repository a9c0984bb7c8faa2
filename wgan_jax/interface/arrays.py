"""Arrays of the user as a data source, in memory or as a file of a run directory."""

import dataclasses
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from wgan_jax.config import Config, Data, switch_source
from wgan_jax.data.readers import Reader, Samples
from wgan_jax.data.sources.arrays import ArrayImages
from wgan_jax.data.sources.npz import IMAGES, array_shapes, default_array
from wgan_jax.data.sources.vectors import check_columns, check_finite
from wgan_jax.errors import UserError
from wgan_jax.files import save_npz

FILE = "array.npz"
"""Name of the file of a run directory with the array that it was trained on."""


class _Named(type):
    def __repr__(cls):
        return "array"


class ArraySource(Reader, metaclass=_Named):
    """Base class of the sources that `source_of` makes, one for each array."""

    array: np.ndarray
    class_labels: np.ndarray | None = None
    required_field = ""
    streamable = False


class _Images(ArraySource, ArrayImages):
    def __init__(self, data: Data):
        ArrayImages.__init__(self, data, "data", self.array, self.class_labels)


class _Vectors(ArraySource):
    points = True

    def __init__(self, data: Data):
        super().__init__(data)
        self.vectors = self.array.astype(np.float64)

    def __len__(self):
        return len(self.vectors)

    def read(self, numbers: np.ndarray) -> Samples:
        return Samples(self.vectors[numbers])


def source_of(array: np.ndarray, labels: np.ndarray | None) -> type[ArraySource]:
    """Data source of checked samples and labels [n], integers or strings."""
    names: tuple[str, ...] = ()
    if labels is not None and labels.dtype.kind == "U":
        unique, labels = np.unique(labels, return_inverse=True)
        names = tuple(unique.tolist())
    base = _Vectors if array.ndim == 2 else _Images
    fields = {"array": array, "class_labels": labels, "label_names": names}
    source: Any = _Named("Array", (base,), fields)
    return source


def data_section(data: Data, source: type[ArraySource]) -> Data:
    """The section with the fields that an array determines: source, shape, channels."""
    shape = source.array.shape[1:]
    if source.points:
        return switch_source(data, source, dimensions=shape[0])[0]
    height, width = shape[:2]
    size: Any = height if height == width else (height, width)
    channels = shape[2] if len(shape) == 3 else 1
    return switch_source(data, source, image_size=size, channels=channels)[0]


def in_directory(config: Config, out: Path) -> Config:
    """The configuration of a run whose array is in its directory.

    Another source stays as it is.
    """
    source: Any = config.data.source
    if not is_array(source):
        return config
    data = dataclasses.replace(
        config.data,
        source="vectors" if source.points else "npz",
        dir=str(Path(out).resolve() / FILE),
        array="vectors" if source.points else "images",
    )
    return dataclasses.replace(config, data=data)


def write_array(source, out: Path) -> None:
    """Writes the array of a source into a run directory, unless it is there."""
    path = Path(out) / FILE
    if not is_array(source) or path.exists():
        return
    if source.points:
        return save_npz(path, vectors=source.array)
    arrays = {"images": source.array}
    if source.class_labels is not None:
        arrays["labels"] = source.class_labels
    if source.label_names:
        arrays["label_names"] = np.array(source.label_names)
    return save_npz(path, **arrays)


def is_array(source) -> bool:
    """True for the source of an array in memory."""
    return isinstance(source, type) and issubclass(source, ArraySource)


def has_channels(data: Data) -> bool:
    """False where samples are images [height, width], without an axis of channels."""
    if data.noun != "images":
        return True
    source: Any = data.source
    if is_array(source):
        return source.array.ndim == 4
    if source != "npz":
        return True
    try:
        shapes = array_shapes(Path(data.dir))
        name = data.array or default_array(shapes, IMAGES) or ""
        return len(shapes[name][0]) == 4
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        # The file is gone, and samples need no data.
        return True


def check_array(data) -> np.ndarray:
    """Samples of the user as uint8 images [n, h, w(, 1 or 3)] or floats [n, d].

    data: an array of NumPy, JAX or PyTorch. Raises UserError, with the conversion, for
    another type, shape or range of values.
    """
    if isinstance(data, list | tuple):
        raise UserError(
            f"data is a {type(data).__name__}: convert it to an array, as by "
            "numpy.asarray(data), of uint8 for images and float for vectors"
        )
    try:
        array = np.asarray(data)
    except Exception as error:
        raise UserError(
            f"data of type {type(data).__name__} is not an array ({error}): give a "
            "NumPy array, such as data.detach().cpu().numpy() of a tensor"
        ) from error
    shape = f"{array.dtype}{list(array.shape)}"
    kind = array.dtype.kind
    if kind not in "uifb" or array.ndim not in (2, 3, 4):
        column = "; data[:, None] makes it vectors [n, 1]" if array.ndim == 1 else ""
        raise UserError(
            f"data is {shape if array.ndim else type(data).__name__}: give images "
            "uint8 [n, height, width(, 1 or 3)], vectors float [n, d], or a path"
            f"{column}"
        )
    if len(array) < 2 or not array.size:
        raise UserError(f"data is {shape}: training needs 2 samples or more")
    if array.ndim == 2:
        return _check_vectors(array, shape)
    if array.dtype != np.uint8:
        raise UserError(
            f"data is {shape}: images are uint8, from 0 to 255; convert them with "
            f"{_conversion(array)}"
        )
    if array.ndim == 4 and array.shape[3] not in (1, 3):
        remedy = "give 1 channel (grey) or 3 (RGB), as the last axis"
        if array.shape[1] in (1, 3):
            remedy = "channels come last: take data.transpose(0, 2, 3, 1)"
        elif array.shape[3] == 4:
            remedy = "images have 1 or 3 channels: drop the fourth with data[..., :3]"
        raise UserError(f"data is {shape}: {remedy}")
    if (array == array[:1]).all():
        raise UserError(f"all {len(array)} images of data are the same")
    return array


def _check_vectors(array, shape):
    if array.dtype.kind == "f":
        check_finite(array.astype(np.float64), "data")
        check_columns(array, "data")
        return array
    side = math.isqrt(array.shape[1])
    if array.dtype == np.uint8 and side > 1 and side**2 == array.shape[1]:
        raise UserError(
            f"data is {shape}: images are [n, height, width], as by "
            f"data.reshape(-1, {side}, {side}), and vectors are float"
        )
    raise UserError(f"data is {shape}: vectors are float; take data.astype(float)")


def _conversion(array):
    """The expression that converts images of another type to uint8."""
    if array.dtype.kind == "b":
        return "255 * data.astype('uint8')"
    low, high = array.min(), array.max()
    if not np.isfinite([low, high]).all():
        return "(255 * data).round().astype('uint8') once no value is NaN or infinite"
    if low >= 0 and high <= 1:
        return "(255 * data).round().astype('uint8')"
    if low >= -1 and high <= 1:
        return "(127.5 * (data + 1)).round().astype('uint8')"
    if low >= 0 and high <= 255:
        return (
            "data.round().astype('uint8')"
            if array.dtype.kind == "f"
            else ("data.astype('uint8')")
        )
    return (
        "numpy.interp(data, (data.min(), data.max()), (0, 255)).round()"
        f".astype('uint8') (they are from {low:.4g} to {high:.4g})"
    )


def check_labels(labels, count: int) -> np.ndarray:
    """Labels [count] as int64, or as strings. Raises UserError for any other value."""
    array = np.asarray(labels)
    if array.dtype.kind == "O" and all(isinstance(name, str) for name in array.flat):
        array = array.astype(str)
    if array.shape != (count,) or array.dtype.kind not in "uibU":
        raise UserError(
            f"labels are {array.dtype}{list(array.shape)}: give one whole number or "
            f"string for each of the {count} samples"
        )
    if array.dtype.kind == "U":
        return array
    if array.astype(np.int64).min() < 0:
        raise UserError(f"labels have {array.min()}: give whole numbers of 0 or more")
    return array.astype(np.int64)
