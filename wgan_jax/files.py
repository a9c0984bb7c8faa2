"""Files on disk: atomic writes, free names and the cache directory.

At no moment is half a file visible under its final name.
"""

import contextlib
import contextvars
import errno
import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from wgan_jax.errors import UserError

_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EROFS: "make the file system writable",
    errno.EACCES: "change its permissions",
    errno.EPERM: "change its permissions",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs, which have all files open that are allowed",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "check the disk",
}


def refusal(error: BaseException) -> int:
    """The errno of an operating system's refusal that an error is due to; 0 if none.

    Libraries also report one as text, in an exception of another type.
    """
    cause = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _REMEDIES:
            return cause.errno
        cause = cause.__cause__ or cause.__context__
    return next((n for n in _REMEDIES if os.strerror(n) in str(error)), 0)


def explain(number: int, otherwise: str) -> str:
    """An errno as "reason; remedy, or OTHERWISE"; without a remedy the reason alone."""
    reason, remedy = os.strerror(number), _REMEDIES.get(number)
    return f"{reason}; {remedy}, or {otherwise}" if remedy else reason


_caching = contextvars.ContextVar("caching", default=True)


@contextlib.contextmanager
def without_caching():
    """Context in which this thread writes nothing to the cache directory."""
    token = _caching.set(False)
    try:
        yield
    finally:
        _caching.reset(token)


def is_caching() -> bool:
    """True where this thread may write to the cache directory."""
    return _caching.get()


def cache_directory() -> Path:
    """Directory of cached data: $XDG_CACHE_HOME/wgan_jax or ~/.cache/wgan_jax."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "wgan_jax"


def enable_compilation_cache() -> None:
    """Makes JAX cache every program that takes more than a second to compile.

    The cache is the folder `programs` of `cache_directory` and may be deleted at any
    time. JAX_COMPILATION_CACHE_DIR names another folder;
    JAX_ENABLE_COMPILATION_CACHE=false disables the cache. A program that cannot be
    cached or read back is compiled again without a warning.
    """
    import jax

    failed = "Error (reading|writing) persistent compilation cache"
    warnings.filterwarnings("ignore", message=failed)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        folder = str(cache_directory() / "programs")
        jax.config.update("jax_compilation_cache_dir", folder)


def check_new(path: Path, option: str, overwrite: bool = False) -> None:
    """Raises UserError where `path`, which `option` named, has content of the user.

    That is a file, or a folder that is not empty. overwrite: --overwrite was given.
    """
    path = Path(path)
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if overwrite or not taken:
        return
    found = "is not empty" if path.is_dir() else "already exists"
    raise UserError(
        f"{option} {path} {found}: give another place, or add --overwrite to replace it"
    )


@contextlib.contextmanager
def replacing(path: Path):
    """Path of a temporary file next to `path`, which replaces `path` on success.

    After an error the temporary file is deleted and `path` is unchanged.
    """
    path = Path(path)
    # The suffix stays last: numpy and Pillow choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno:
            # A refused write does not name its file.
            error.filename = str(path)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def free_path(path: Path) -> Path:
    """The first of PATH, PATH.1, PATH.2 and so on that does not exist."""
    free, number = Path(path), 0
    while free.exists():
        number += 1
        free = free.with_name(f"{Path(path).name}.{number}")
    return free


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value, indent: int | None = 2) -> None:
    """Writes a value as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def read_json(path: Path, remedy: str):
    """The value in a JSON file; UserError, which ends in `remedy`, if it is damaged."""
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}") from None


def save_npz(path: Path, **arrays: np.ndarray) -> None:
    """Writes arrays as an uncompressed .npz file, whole or not at all."""
    with replacing(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def cached_npz(
    name: str,
    keys: Sequence[str],
    compute: Callable[[], dict],
    report: Callable[[str], None] = print,
) -> dict[str, np.ndarray]:
    """The arrays `keys` of the file `name` in the cache directory.

    Where the file is missing, damaged or without one of them, compute() gives all
    arrays and they replace the file, see `is_caching`. `report` gets a sentence where
    that fails.
    """
    path = cache_directory() / name
    with contextlib.suppress(Exception), path.open("rb") as opened:
        file = np.load(opened, allow_pickle=False)
        return {key: file[key] for key in keys}
    arrays = compute()
    if not is_caching():
        return arrays
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_npz(path, **arrays)
    except OSError as error:
        report(f"{path} cannot be written: {error}")
    return arrays
