"""Disks: a run on a full or read-only disk gets one sentence and can be resumed."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import threading
import time
from pathlib import Path

from PIL import Image

from tortures.runs import (
    Tally,
    difference_of_runs,
    finish,
    records,
    small_run,
    start,
    unclear_error,
    undisturbed,
)

DISK = 32 * 2**20
"""Bytes of the disk."""


def run(folder: Path, seed: int, rounds: int):
    """Yields a tally for each way in which a disk fails."""
    words = small_run("memory", folder)
    whole = folder / "memory"
    seconds = undisturbed(words, whole)
    for failing in WAYS:
        random_ = random.Random(f"{seed} {failing.__name__}")
        tally = Tally(f"disks, {failing.__doc__.split(':')[0].lower()}")
        for number in range(rounds):
            place = folder / f"{failing.__name__}-{number}"
            place.mkdir()
            try:
                tally.record(failing(words, place, whole, seconds, random_))
            except Unavailable as reason:
                tally.skipped = str(reason)
                break
        yield tally


class Unavailable(Exception):
    """A way to fail that this machine does not allow."""


def full(words, place: Path, whole: Path, seconds: float, random_) -> str | None:
    """A full disk: another file takes all but some bytes at a random moment."""
    out, filler = place / "run", place / "filler"
    with disk(place):
        process = start([*words, "--out", out])
        time.sleep(random_.uniform(0, 0.8 * seconds))
        left, stop = random_.choice((0, 0, 4096, 20_000, 60_000)), threading.Event()
        thread = threading.Thread(target=fill, args=(filler, left, stop, process))
        thread.start()
        _, stderr = process.communicate(timeout=300)
        stop.set()
        thread.join()
        failure = None
        if process.returncode:
            failure = unclear_error(process.returncode, stderr) or half_written(out)
        filler.unlink()
        return failure or resume(words, out, whole)


def fill(filler: Path, left: int, stop, process) -> None:
    """Fills the disk, and fills it again where the run frees space."""
    with filler.open("wb", buffering=0) as file:
        while not stop.is_set() and process.poll() is None:
            free = (
                os.statvfs(filler.parent).f_bavail * os.statvfs(filler.parent).f_frsize
            )
            with contextlib.suppress(OSError):
                if free > left:
                    file.write(b"x" * (free - left))
            time.sleep(0.01)


def read_only(words, place: Path, whole: Path, seconds: float, random_) -> str | None:
    """A read-only disk: from the start, or from a kill on."""
    out = place / "run"
    with disk(place):
        if random_.random() < 0.7:
            process = start([*words, "--out", out])
            time.sleep(random_.uniform(0.5, 0.8) * seconds)
            process.kill()
            process.communicate()
        mount("-o", "remount,ro", str(place))
        try:
            code, _, stderr = finish([*words, "--out", out])
        finally:
            mount("-o", "remount,rw", str(place))
        finished = code == 0 and records(out) == records(whole)
        failure = None if finished else unclear_error(code, stderr)
        if failure is None and not finished and "free some" in stderr:
            failure = f"the wrong remedy: {stderr}"
        return failure or half_written(out) or resume(words, out, whole)


def immutable(words, place: Path, whole: Path, seconds: float, random_) -> str | None:
    """A folder that nobody may change: from a random moment of the training on."""
    out = place / "run"
    folder = out / random_.choice(("checkpoints", "samples", "."))
    process = start([*words, "--out", out])
    while not folder.exists() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(random_.uniform(0, 0.3 * seconds))
    try:
        done = subprocess.run(["chattr", "+i", folder], capture_output=True, text=True)
        _, stderr = process.communicate(timeout=300)
    finally:
        subprocess.run(["chattr", "-i", folder], capture_output=True)
    if done.returncode:
        raise Unavailable(f"chattr: {done.stderr.strip()}")
    failure = None
    if process.returncode:
        failure = unclear_error(process.returncode, stderr) or half_written(out)
        if failure is None and "free some" in stderr:
            failure = f"the wrong remedy: {stderr}"
    return failure or resume(words, out, whole)


def small_files(words, place: Path, whole: Path, seconds: float, random_) -> str | None:
    """A limit on the size of files: at a random size, which a quota resembles."""
    out = place / "run"
    sizes = [p.stat().st_size for p in whole.rglob("*") if p.is_file()]
    limit = random_.randint(1, max(sizes))
    code, _, stderr = finish([*words, "--out", out], limit=limit)
    failure = None
    if code:
        failure = unclear_error(code, stderr) or half_written(out)
    return failure or resume(words, out, whole)


def resume(words, out: Path, whole: Path) -> str | None:
    """The same command again: None if its end equals the undisturbed run."""
    code, _, stderr = finish([*words, "--out", out])
    if code:
        return f"the run is not resumed: {stderr[-300:]}"
    failure = difference_of_runs(whole, out)
    if failure is None:
        shutil.rmtree(out)
    return failure


def half_written(out: Path) -> str | None:
    """The first file with a final name and half of its content, or None."""
    for path in out.rglob("*"):
        if any("tmp" in part for part in path.relative_to(out).parts):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".png":
                Image.open(path).load()
        except (OSError, ValueError) as error:
            return f"{path} is half written: {error}"
    return None


WAYS = (full, read_only, immutable, small_files)
"""Ways in which a disk fails."""


@contextlib.contextmanager
def disk(place: Path):
    """A small disk at `place`. Raises Unavailable where none can be mounted."""
    mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], capture_output=True)


def mount(*words) -> None:
    """Runs mount. Raises Unavailable where it fails."""
    try:
        done = subprocess.run(["mount", *words], capture_output=True, text=True)
    except OSError as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        raise Unavailable(done.stderr.strip())
