"""Writers: two commands in one directory, and readers while a run is trained."""

import random
import shutil
import signal
import time
from pathlib import Path

from tortures.runs import (
    Tally,
    difference_of_runs,
    finish,
    small_run,
    start,
    unclear_error,
    undisturbed,
)
from wgan_jax.errors import UserError
from wgan_jax.runs.restore import restore_run

CONFLICTS = 5
"""Kinds of conflict in one round."""


def run(folder: Path, seed: int, rounds: int):
    """Yields a tally for each kind of conflict."""
    train, sweep, alone = (small_run(k, folder) for k in ("memory", "sweep", "member"))
    conflicts = {
        "a second train": (train, "run", train, "."),
        "--fresh in a directory in use": (train, "run", [*train, "--fresh"], "."),
        "a second sweep": (sweep, "sweep", sweep, "."),
        "a sweep with --fresh": (sweep, "sweep", [*sweep, "--fresh"], "."),
        "train in a member of a sweep": (
            sweep,
            "sweep",
            alone,
            "seed-0",
        ),
    }
    undisturbed(train, folder / "run")
    chosen = list(conflicts.items())[:CONFLICTS]
    if any(first is sweep for _, (first, *_) in chosen):
        undisturbed(sweep, folder / "sweep")
    for name, (first, whole, second, place) in chosen:
        random_, tally = random.Random(f"{seed} {name}"), Tally(f"writers, {name}")
        for number in range(rounds):
            out = folder / f"{name.replace(' ', '-')}-{number}"
            delay = random_.uniform(0, 3)
            tally.record(conflict(first, folder / whole, second, out, place, delay))
        yield tally
    together, readers = Tally("writers, two at one moment"), Tally("reads of a run")
    for number in range(rounds):
        together.record(race(train, folder / "run", folder / f"race-{number}"))
    yield together
    for number in range(rounds):
        read(train, folder / "run", folder / f"read-{number}", readers)
    yield readers


def conflict(first, whole: Path, second, out: Path, place, delay) -> str | None:
    """Starts `second` in `out / place` while `first` works in `out`."""
    process = start([*first, "--out", out])
    while not (out / place / "config.json").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    # It must not end before the second one has started.
    process.send_signal(signal.SIGSTOP)
    working = process.poll() is None
    code, _, stderr = finish([*second, "--out", out / place])
    process.send_signal(signal.SIGCONT)
    _, error = process.communicate(timeout=300)
    if process.returncode:
        return f"the first one failed: {error[-300:]}"
    failure = unclear_error(code, stderr) if working else None
    failure = failure or difference_of_runs(whole, out)
    if working and list(out.parent.glob(f"{out.name}.*")):
        failure = failure or "--fresh moved the directory"
    if failure is None:
        shutil.rmtree(out)
    return failure


def race(words, whole: Path, out: Path) -> str | None:
    """Starts two commands at one moment: one trains, the other one is refused."""
    processes = [start([*words, "--out", out]) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    ends = sorted((p.returncode, e) for p, e in zip(processes, errors, strict=True))
    if ends[0][0]:
        return f"neither of two trained: {ends}"
    # A slow one finds a finished run.
    if ends[1][0] and (failure := unclear_error(*ends[1])):
        return failure
    return difference_of_runs(whole, out)


def read(words, whole: Path, out: Path, tally: Tally) -> None:
    """Reads a run again and again while it is trained and its checkpoints rotate."""
    often = list(words)
    often[words.index("--run.checkpoint-every") + 1] = "2"
    process = start([*often, "--run.max-to-keep", "1", "--out", out])
    steps = set()
    while process.poll() is None:
        if not list(out.glob("checkpoints/[0-9]*[0-9]")):
            time.sleep(0.01)
            continue
        try:
            steps.add(int(restore_run(out)[2].step))
        except UserError as error:
            # Before the first checkpoint there is nothing to read.
            tally.record(str(error) if steps else None)
        except Exception as error:
            tally.record(f"{type(error).__name__}: {error}")
        else:
            tally.record(None)
    _, error = process.communicate()
    if process.returncode:
        tally.record(f"the run that is read failed: {error[-300:]}")
    else:
        tally.record(difference_of_runs(whole, out))
