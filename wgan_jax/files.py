"""Files on disk: atomic writes, free names and the cache directory.

At no moment is half a file visible under its final name.
"""

import contextlib
import json
import os
import warnings
from pathlib import Path

import numpy as np

from wgan_jax.errors import UserError


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
    except BaseException:
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
        temporary.write_text(text)


def write_json(path: Path, value, indent: int | None = 2) -> None:
    """Writes a value as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def save_npz(path: Path, **arrays: np.ndarray) -> None:
    """Writes arrays as an uncompressed .npz file, whole or not at all."""
    with replacing(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)
