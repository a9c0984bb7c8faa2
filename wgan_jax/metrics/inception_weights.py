"""Weights of the published FID Inception: their file, its download, its reader.

The file is a state dict saved by PyTorch and is read without PyTorch.
"""

import collections
import dataclasses
import hashlib
import http.client
import io
import os
import pickle
import shutil
import urllib.request
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.progress import wrap_file

from wgan_jax.errors import UserError
from wgan_jax.files import cache_directory, replacing

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
# torch-fidelity publishes pytorch-fid's file, byte for byte, under another name.
ADDRESS = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "WGAN_JAX_INCEPTION"
# Number formats by the names of their storage classes in a file.
DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def find(path: str = "", report=print) -> Path:
    """The weights' file: path, $WGAN_JAX_INCEPTION, or the cached file, in this order.

    The cached file is downloaded where it is missing. `report` gets a warning where a
    named file is not the published one. Raises UserError where a named file is missing,
    the download fails, or the cached file is not the published one.
    """
    named = path or os.environ.get(VARIABLE, "")
    if named:
        option = named if path else f"{VARIABLE}={named}"
        named = Path(named)
        if not named.is_file():
            raise UserError(
                f"{option} is not a file: it must be {WEIGHTS}, sha256 {SHA256}"
            )
        if _sha256(named) != SHA256:
            report(
                f"{option} is not the published {WEIGHTS}: its scores are comparable "
                "with those of the same file only"
            )
        return named
    cached = cache_directory() / WEIGHTS
    if not cached.is_file():
        report(f"downloading {WEIGHTS} (96 MB) to {cached.parent}")
        _download(cached)
    elif _sha256(cached) != SHA256:
        raise UserError(
            f"{cached} is not the published file, whose sha256 is {SHA256}: delete it "
            "to download it again"
        )
    return cached


def read(path) -> dict[str, np.ndarray]:
    """The tensors of a state dict {name: tensor} saved by torch.save, read-only arrays.

    Reads both formats: the zip of PyTorch 1.6 and the older one, which the published
    file has. No class or function is loaded from a file. Raises UserError where the
    file is damaged or holds anything but tensors.
    """
    remedy = "it must be a state dict saved by torch.save(net.state_dict(), FILE)"
    try:
        with open(path, "rb") as file:
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            content, storages = (_read_zip if zipped else _read_legacy)(file)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        tensors = {
            name: value.array(storages)
            for name, value in content.items()
            if isinstance(value, _Tensor)
        }
    except _Refused as error:
        raise UserError(
            f"{path} holds more than tensors ({error}), and code in a file is never "
            f"run: {remedy}"
        ) from error
    except Exception as error:
        # A damaged pickle can raise nearly every exception.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path} cannot be read ({reason}): {remedy}") from error
    return tensors


# ------------------------------------------------------------------------------ pieces


def _download(path):
    remedy = (
        f"copy it (sha256 {SHA256}) to {path.parent}, or set the environment variable "
        f"{VARIABLE} to its path"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            _fetch(temporary)
            digest = _sha256(temporary)
            if digest != SHA256:
                raise UserError(
                    f"{WEIGHTS} from {ADDRESS} has the wrong sha256 {digest}: {remedy}"
                )
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"{WEIGHTS} cannot be downloaded from {ADDRESS} ({error}): {remedy}"
        ) from error


def _fetch(path):
    with urllib.request.urlopen(ADDRESS, timeout=60) as response:
        size = int(response.headers["Content-Length"] or 0)
        shown = wrap_file(response, size, description=WEIGHTS, transient=True)
        with shown as source, path.open("wb") as file:
            shutil.copyfileobj(source, file, 2**20)


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Refused(Exception):
    """A pickle that asks for more than tensors."""


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A pickled tensor; its numbers are elsewhere in the file."""

    storage: tuple
    """("storage", dtype, key, device, number of elements, ...)."""
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In elements, like the offset."""

    def array(self, storages):
        numbers = storages[self.storage[2]]
        last = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        inside = 0 in self.shape or self.offset + last < len(numbers)
        if not inside or min(self.offset, *self.shape, *self.strides, 0) < 0:
            raise ValueError("a tensor extends beyond its numbers")
        strides = [numbers.itemsize * s for s in self.strides]
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.shape, strides, writeable=False
        )


class _Unpickler(pickle.Unpickler):
    """Unpickles containers, numbers and tensors, and refuses everything else."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        # New objects on each call, because a pickle can set their attributes.
        known = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch._utils._rebuild_tensor_v2": lambda *fields: _Tensor(*fields[:4]),
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        }
        known |= {f"torch.{name}": np.dtype(dtype) for name, dtype in DTYPES.items()}
        if f"{module}.{name}" not in known:
            raise _Refused(f"{module}.{name}")
        return known[f"{module}.{name}"]

    def persistent_load(self, storage):
        _, dtype, key, _, count, *view = storage
        if any(view):
            raise ValueError("a storage is a view of another")
        self.storages[key] = (dtype, count)
        return storage


def _read_zip(file):
    """(pickled object, {key: numbers}) of a file of PyTorch 1.6 or later."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        root = next(n for n in names if n.endswith("/data.pkl")).removesuffix(
            "data.pkl"
        )
        order = f"{root}byteorder"
        _require_little_endian(order not in names or archive.read(order) == b"little")
        unpickler = _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl")))
        content = unpickler.load()
        storages = {
            key: np.frombuffer(archive.read(f"{root}data/{key}"), dtype, count)
            for key, (dtype, count) in unpickler.storages.items()
        }
    return content, storages


def _read_legacy(file):
    """(pickled object, {key: numbers}) of an older file: pickles, then the numbers."""
    magic, version = _Unpickler(file).load(), _Unpickler(file).load()
    if (magic, version) != (0x1950A86A20F9469CFC6C, 1001):
        raise ValueError("not a file of PyTorch")
    _require_little_endian(_Unpickler(file).load()["little_endian"])
    unpickler = _Unpickler(file)
    content = unpickler.load()
    storages = {}
    for key in _Unpickler(file).load():
        dtype, count = unpickler.storages[key]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError("a storage has an unexpected length")
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return content, storages


def _require_little_endian(little):
    if not little:
        raise ValueError("written by a big-endian machine")
