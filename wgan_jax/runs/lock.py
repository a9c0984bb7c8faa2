"""Lock of a directory: one command writes it at a time.

The operating system releases the lock when the process ends, however it ends. The file
.lock names the holder, for messages only.
"""

import contextlib
import errno
import os
import platform
import sys
from pathlib import Path

from wgan_jax.errors import UserError
from wgan_jax.files import free_path

if sys.platform == "win32":
    import msvcrt

    def _flock(descriptor):
        # Past the text, because a locked byte cannot be read.
        os.lseek(descriptor, 1000, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _flock(descriptor):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


NAME = ".lock"
BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""Reasons of the system to refuse a lock that another process holds."""


def holder(directory) -> str:
    """The process that holds the lock of a directory, as text; empty if none does."""
    try:
        descriptor = os.open(Path(directory) / NAME, os.O_RDONLY)
    except OSError:
        return ""
    try:
        _flock(descriptor)
    except OSError as error:
        if error.errno in BUSY:
            return os.read(descriptor, 500).decode(errors="replace") or "a process"
    finally:
        os.close(descriptor)
    return ""


class DirectoryLock(contextlib.AbstractContextManager):
    """Context in which this object alone may write a directory, created if missing.

    Directories that it creates are removed again at exit if they are still empty.
    """

    def __init__(self, out):
        self.out = Path(out)
        self._descriptor = None
        self._created = []

    def __enter__(self):
        """Raises UserError if the directory is in use, OSError if not writable."""
        try:
            self._acquire()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._release(self.out)
        for created in self._created:
            # Not empty: the command has written a result.
            with contextlib.suppress(OSError):
                created.rmdir()

    def check_below(self) -> None:
        """Raises UserError if another command writes a directory inside this one."""
        for path in self.out.rglob(NAME):
            if path.parent != self.out:
                with DirectoryLock(path.parent):
                    pass

    def move_aside(self) -> None:
        """Renames OUT to the first free one of OUT.1, OUT.2 ...; locks an empty OUT.

        An OUT without content stays.
        """
        if all(path.name == NAME for path in self.out.iterdir()):
            return
        moved = free_path(self.out)
        if sys.platform == "win32":
            # A directory with an open file cannot be renamed.
            self._release(self.out)
        self.out.rename(moved)
        print(f"moved the old {self.out} to {moved}")
        # The old lock is held until the new one is.
        descriptor, self._descriptor = self._descriptor, None
        try:
            self._acquire()
        finally:
            _remove(moved / NAME, descriptor)

    def _acquire(self):
        while self._descriptor is None:
            missing = [p for p in (self.out, *self.out.parents) if not p.exists()]
            try:
                self.out.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise UserError(
                    f"{self.out} cannot be a directory, because a part of it is a "
                    "file: give another --out"
                ) from None
            self._created = missing or self._created
            path = self.out / NAME
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                # Another command has just removed the directory that it created.
                continue
            try:
                self._lock(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            if _is_same(path, descriptor):
                self._descriptor = descriptor
                os.ftruncate(descriptor, 0)
                holder = f"process {os.getpid()} on {platform.node()}"
                os.write(descriptor, holder.encode())
            else:
                # The file was removed, or moved with its directory, before the lock.
                os.close(descriptor)

    def _lock(self, descriptor):
        try:
            _flock(descriptor)
        except OSError as error:
            if error.errno not in BUSY:
                print(
                    f"warning: {self.out} cannot be locked on this file system "
                    f"({error.strerror}): start no second command that writes it"
                )
                return
            holder = os.read(descriptor, 500).decode(errors="replace")
            raise UserError(
                f"{self.out} is in use by {holder or 'another process'}: wait until "
                "that has ended, or give another --out"
            ) from None

    def _release(self, directory):
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _remove(directory / NAME, descriptor)


def _remove(path, descriptor):
    """Removes a lock file while it is locked, then releases the lock."""
    if sys.platform == "win32":
        # An open file cannot be removed.
        os.close(descriptor)
    with contextlib.suppress(OSError):
        if sys.platform == "win32" or _is_same(path, descriptor):
            path.unlink()
    if sys.platform != "win32":
        os.close(descriptor)


def _is_same(path, descriptor):
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
