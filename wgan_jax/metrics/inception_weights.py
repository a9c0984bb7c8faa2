"""The published FID Inception's weights: finding the file, fetching it, reading it.

It is a state dict that PyTorch saved, and is read without PyTorch.
"""

import collections
import contextlib
import dataclasses
import hashlib
import http.client
import io
import os
import pickle
import urllib.request
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.progress import wrap_file

from wgan_jax.errors import UserError
from wgan_jax.files import cache_directory

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
# torch-fidelity publishes pytorch-fid's file, byte for byte, under a name of its own.
ADDRESS = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "WGAN_JAX_INCEPTION"
# By the classes whose names in a file tell what its numbers are.
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
    """The file at path, else at $WGAN_JAX_INCEPTION, else in the cache, else fetched.

    A file that is named may be another than the published one, which `report` is told;
    one in the cache may not. Raises UserError.
    """
    named = path or os.environ.get(VARIABLE, "")
    if named:
        typed = named if path else f"{VARIABLE}={named}"
        named = Path(named)
        if not named.is_file():
            raise UserError(f"{typed} is no file: name {WEIGHTS}, sha256 {SHA256}")
        if _sha256(named) != SHA256:
            report(
                f"{typed} is not the published {WEIGHTS}: its scores compare with "
                "those of no other file"
            )
        return named
    kept = cache_directory() / WEIGHTS
    if not kept.is_file():
        report(f"downloading {WEIGHTS} (96 MB) to {kept.parent}")
        _download(kept)
    elif _sha256(kept) != SHA256:
        raise UserError(
            f"{kept} is not the published file, whose sha256 is {SHA256}: delete it, "
            "and it is downloaded again"
        )
    return kept


def read(path) -> dict[str, np.ndarray]:
    """The tensors of a state dict {name: tensor} that torch.save wrote, read-only.

    Both its formats are read: the zip of PyTorch 1.6, and what it wrote before, as the
    published file is. No class or function is taken from a file. Raises UserError.
    """
    remedy = "it must be a state dict as torch.save(net.state_dict(), FILE) writes it"
    try:
        with open(path, "rb") as file:
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            held, storages = (_read_zip if zipped else _read_legacy)(file)
        if not isinstance(held, dict):
            raise ValueError(f"it holds a {type(held).__name__}")
        tensors = {
            name: value.array(storages)
            for name, value in held.items()
            if isinstance(value, _Tensor)
        }
    except _Refused as error:
        raise UserError(
            f"{path} holds more than tensors ({error}), and code in a file is never "
            f"run: {remedy}"
        ) from error
    except Exception as error:
        # A damaged pickle raises nearly anything.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path} cannot be read ({reason}): {remedy}") from error
    return tensors


# ------------------------------------------------------------------------------ pieces


def _download(kept):
    remedy = (
        f"put it, sha256 {SHA256}, into {kept.parent}, or name it in the environment "
        f"variable {VARIABLE}"
    )
    temporary = kept.with_name(f"{WEIGHTS}.{os.getpid()}.tmp")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(ADDRESS, timeout=60) as response:
            size = int(response.headers["Content-Length"] or 0)
            shown = wrap_file(response, size, description=WEIGHTS, transient=True)
            with shown as arriving, temporary.open("wb") as file:
                while piece := arriving.read(2**20):
                    file.write(piece)
        found = _sha256(temporary)
        if found != SHA256:
            raise UserError(
                f"{WEIGHTS} arrived from {ADDRESS} with the wrong sha256 {found}: "
                f"{remedy}"
            )
        temporary.replace(kept)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"{WEIGHTS} cannot be downloaded from {ADDRESS} ({error}): {remedy}"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Refused(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """What a pickle tells of a tensor, whose numbers are elsewhere in the file."""

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
            raise ValueError("a tensor reaches beyond its numbers")
        strides = [numbers.itemsize * s for s in self.strides]
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.shape, strides, writeable=False
        )


class _Unpickler(pickle.Unpickler):
    """Unpickles containers, numbers and what is told of tensors; refuses all else."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        # Made anew each time, for a pickle may set attributes of what it is given.
        known = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch._utils._rebuild_tensor_v2": lambda *given: _Tensor(*given[:4]),
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        }
        known |= {f"torch.{name}": np.dtype(dtype) for name, dtype in DTYPES.items()}
        if f"{module}.{name}" not in known:
            raise _Refused(f"{module}.{name}")
        return known[f"{module}.{name}"]

    def persistent_load(self, storage):
        _, dtype, key, _, count, *view = storage
        if any(view):
            raise ValueError("numbers are shared in a form that is not read")
        self.storages[key] = (dtype, count)
        return storage


def _read_zip(file):
    """(the pickled object, {key: its numbers}) of a file of PyTorch 1.6 or later."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        root = next(n for n in names if n.endswith("/data.pkl")).removesuffix(
            "data.pkl"
        )
        order = f"{root}byteorder"
        _require_little_endian(order not in names or archive.read(order) == b"little")
        unpickler = _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl")))
        held = unpickler.load()
        storages = {
            key: np.frombuffer(archive.read(f"{root}data/{key}"), dtype, count)
            for key, (dtype, count) in unpickler.storages.items()
        }
    return held, storages


def _read_legacy(file):
    """The same of an earlier one: pickles, one after another, and then the numbers."""
    magic, version = _Unpickler(file).load(), _Unpickler(file).load()
    if (magic, version) != (0x1950A86A20F9469CFC6C, 1001):
        raise ValueError("no file of PyTorch's")
    _require_little_endian(_Unpickler(file).load()["little_endian"])
    unpickler = _Unpickler(file)
    held = unpickler.load()
    storages = {}
    for key in _Unpickler(file).load():
        dtype, count = unpickler.storages[key]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError("numbers of another length than announced")
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return held, storages


def _require_little_endian(little):
    if not little:
        raise ValueError("written by a big-endian machine")
