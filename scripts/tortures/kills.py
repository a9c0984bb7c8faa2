"""Kills: a run that is killed at any moment ends like the undisturbed one."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tortures.runs import (
    Tally,
    difference_of_runs,
    finish,
    progress,
    small_run,
    start,
    undisturbed,
)

KINDS = ("memory", "stream", "sweep")
MOMENTS = ("any", "start", "save", "record")
KILLS = 4
"""Kills of a run in one round."""


def run(folder: Path, seed: int, rounds: int):
    """Yields a tally for each kind of run; its trials are kills."""
    for kind in KINDS:
        random_ = random.Random(f"{seed} {kind}")
        words = small_run(kind, folder)
        seconds = undisturbed(words, folder / kind)
        moments = dict.fromkeys(MOMENTS, 0)
        kills = Tally(f"kills, {kind}: runs that end bit for bit")
        for number in range(rounds):
            out = folder / f"{kind}-{number}"
            made = 0
            for _ in range(KILLS):
                moment = random_.choice(MOMENTS)
                if kill(moment, words, out, seconds, random_):
                    made += 1
                    moments[moment] += 1
            code, _, stderr = finish([*words, "--out", out])
            failure = f"{out} ended with {code}: {stderr[-300:]}" if code else None
            failure = failure or difference_of_runs(folder / kind, out)
            for _ in range(made):
                kills.count += 1
            if failure:
                kills.failures.append(failure)
            else:
                shutil.rmtree(out)
            progress(f"{kind} round {number + 1} of {rounds}: {failure or 'exact'}")
        kills.name += f" ({', '.join(f'{n} {m}' for m, n in moments.items())})"
        yield kills


def kill(moment, words, out: Path, seconds: float, random_) -> bool:
    """Starts the command and kills it; False if it ended before."""
    process = start([*words, "--out", out])
    wait(moment, process, out, seconds, random_)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return alive


def wait(moment, process: subprocess.Popen, out: Path, seconds, random_) -> None:
    """Returns at a random moment of this kind, or at the end of the process."""
    if moment in ("any", "start"):
        delay = random_.uniform(0, seconds if moment == "any" else seconds / 2)
        end = time.perf_counter() + delay
        while process.poll() is None and time.perf_counter() < end:
            time.sleep(0.001)
        return
    before, number, seen = saving(out) | logged(out), random_.randint(1, 8), set()
    while process.poll() is None and len(seen) < number:
        seen |= (saving(out) if moment == "save" else logged(out)) - before
        time.sleep(0.0005)


def saving(out: Path) -> set[str]:
    """Names of the checkpoints that are being written."""
    return {
        f"{place}/{name}"
        for place, folders, _ in walk(out)
        for name in folders
        if place.endswith("checkpoints") and "tmp" in name
    }


def logged(out: Path) -> set[str]:
    """Files of records and their sizes."""
    sizes = set()
    for place, _, files in walk(out):
        if "metrics.jsonl" in files:
            path = os.path.join(place, "metrics.jsonl")
            with contextlib.suppress(OSError):
                sizes.add(f"{path} {os.path.getsize(path)}")
    return sizes


def walk(out: Path):
    """`os.walk` of the run or runs in `out`, without the content of checkpoints."""
    # Folders that disappear are left out, unlike by Path.rglob.
    for place, folders, files in os.walk(out):
        yield place, list(folders), files
        if place.endswith("checkpoints"):
            folders.clear()
