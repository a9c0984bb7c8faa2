"""Flips: a damaged file of a run is detected, or the run is the same without it."""

import contextlib
import io
import json
import random
import shutil
import sys
from pathlib import Path

from tortures.runs import Tally, bits, finish, progress, small_run
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.log import RunLog
from wgan_jax.runs.restore import checkpoint_steps, restore_run

FLIPS = 50
"""Damages of each kind of file in one round."""
# What a process does to run a program or code of a pickle.
CODE = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "pickle.find_class",
)

executed: list[str] = []
"""Events of CODE while `watching`."""
watching = False


def run(folder: Path, seed: int, rounds: int):
    """Yields a tally for each kind of file."""
    whole = folder / "whole"
    code, _, stderr = finish([*small_run("memory", folder), "--out", whole])
    if code:
        raise RuntimeError(stderr)
    keep_best(whole)
    yield from damage(whole, folder / "damaged", seed, rounds * FLIPS)


def keep_best(run: Path) -> None:
    """Makes the newest checkpoint the best one as well."""
    steps = sorted(int(p.name) for p in (run / "checkpoints").iterdir())
    best = run / directory.BEST_CHECKPOINTS / str(steps[-1])
    shutil.copytree(run / "checkpoints" / str(steps[-1]), best)
    directory.write_best(run, steps[-1], "fid", 1.5)


def damage(whole: Path, copy: Path, seed: int, count: int):
    """Yields tallies of `count` damages for each kind of file of the run `whole`."""
    config, _, like = restore_run(whole)
    saved = {
        step: bits(restore_run(whole, step)[2]) for step in checkpoint_steps(whole)
    }
    newest = max(saved)
    lines = (whole / "metrics.jsonl").read_text().splitlines()

    def read_checkpoint(run, name="checkpoints"):
        reports = []
        with Checkpoints(run / name, max_to_keep=2) as checkpoints:
            state = checkpoints.restore_newest(like, reports.append, move=False)
        if state is None:
            return True, None
        wrong = bits(state) != saved.get(int(state.step))
        return bool(reports), "a state that was never saved" if wrong else None

    def read_best_checkpoint(run):
        return read_checkpoint(run, directory.BEST_CHECKPOINTS)

    def read_best(run):
        best = directory.read_best(run)
        whole = isinstance(best, dict) and best.keys() == {"step", "metric", "value"}
        return False, None if whole else f"a best state of {best}"

    def read_config(run):
        if directory.read_config(run) == config:
            return False, None
        # Another number is another configuration, which training refuses.
        with directory.claimed(run, config):
            return False, "another configuration is accepted"

    def read_record(run):
        directory.read_data_record(run)
        return False, None

    def read_metrics(run):
        damaged = (run / "metrics.jsonl").read_bytes().split(b"\n")
        with RunLog(run, newest, tensorboard=False):
            left = (run / "metrics.jsonl").read_text().splitlines()
        if not all(isinstance(json.loads(line)["step"], int) for line in left):
            return True, "half a record stays"
        lost = {x for x in lines if x.encode() in damaged} - set(left)
        return len(left) < len(
            lines
        ), f"{len(lost)} whole records are lost" if lost else None

    kinds = {
        "checkpoints": ("checkpoints/**/*", read_checkpoint),
        "best checkpoint": ("checkpoints-best/**/*", read_best_checkpoint),
        "best.json": ("best.json", read_best),
        "config.json": ("config.json", read_config),
        "metrics.jsonl": ("metrics.jsonl", read_metrics),
    }
    if (whole / "data.json").exists():
        kinds["data.json"] = ("data.json", read_record)
    sys.addaudithook(_watch)
    for name, (pattern, read) in kinds.items():
        random_, tally = random.Random(f"{seed} {name}"), Tally(f"flips, {name}")
        noticed = 0
        for number in range(count):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(whole, copy)
            files = sorted(p for p in copy.glob(pattern) if p.is_file())
            path = random_.choice(files)
            how = break_file(path, random_)
            detected, failure = outcome(read, copy)
            noticed += detected
            if failure:
                place = path.relative_to(copy)
                failure = f"{failure} (number {number}, {place}, {how})"
            tally.record(failure)
            if (number + 1) % 50 == 0:
                progress(f"{name}: {number + 1} of {count}")
        tally.name += f" ({noticed} detected, the others without effect)"
        yield tally


def break_file(path: Path, random_: random.Random) -> str:
    """Damages a file and describes how."""
    content = bytearray(path.read_bytes())
    size = len(content)
    kind = random_.choice(("flip", "flip", "flip", "cut", "zeros", "empty"))
    if not size:
        content, kind = bytearray(b"\xff"), "grow"
    elif kind == "flip":
        for _ in range(random_.choice((1, 1, 1, 8))):
            content[random_.randrange(size)] ^= 1 << random_.randrange(8)
    elif kind == "cut":
        del content[random_.randrange(size) :]
    elif kind == "zeros":
        first = random_.randrange(size)
        last = min(size, first + random_.choice((1, 16, 512)))
        content[first:last] = bytes(last - first)
    else:
        content.clear()
    path.write_bytes(content)
    return kind


def outcome(read, run: Path) -> tuple[bool, str | None]:
    """(whether the damage was detected, failure or None) of a reader."""
    global watching
    executed.clear()
    watching = True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            detected, failure = read(run)
    except UserError as error:
        return True, "a sentence of two lines" if "\n" in str(error) else None
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
    finally:
        watching = False
    return detected, f"it ran {executed[0]}" if executed else failure


def _watch(event, arguments):
    if watching and event in CODE:
        executed.append(f"{event} {arguments}")
