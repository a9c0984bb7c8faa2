"""Runs of the torture tests: small configurations, their commands, their comparison."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from wgan_jax.runs.restore import restore_run

ROOT = Path(__file__).parents[2]
# Differ between two runs of one configuration.
TIMES = {"seconds", "cycles_per_second", "data_wait_fraction"}

SMALL = """--config configs/digits.py --model.kind mlp --model.features 8
--data.image-size 8 --data.batch-size 8 --data.heldout 32 --model.z-dim 4
--objective.n-critic 2 --objective.warmup --run.chunk 2
--run.log-every 2 --run.sample-every 20 --run.checkpoint-every 4 --run.grid-size 4
--run.no-tensorboard --optimizer.decay constant""".split()  # noqa: SIM905

# Runs the command that follows a number, whose files have at most that many bytes.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclasses.dataclass
class Tally:
    """Number of trials of one test, and a sentence for each that failed."""

    name: str
    count: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    skipped: str = ""
    """Reason why the test was not made here."""

    def record(self, failure: str | None) -> None:
        """Counts a trial; `failure` is None for one that passed."""
        self.count += 1
        if failure:
            self.failures.append(failure)
            progress(f"FAILED {self.name}: {failure}")

    def __str__(self):
        if self.skipped:
            return f"{self.name}: skipped, {self.skipped}"
        return f"{self.name}: {self.count - len(self.failures)} of {self.count}"


def progress(line: str) -> None:
    """Prints a line to stderr at once."""
    print(line, file=sys.stderr, flush=True)


def small_run(kind: str, folder: Path) -> list[str]:
    """Words of a command, without --out.

    kind: memory, stream, sweep, or member, the first run of the sweep. folder: for the
    images of a stream.
    """
    if kind == "memory":
        return ["train", *SMALL, "--run.steps", "60", "--data.flip"]
    short = [*SMALL, "--run.steps", "40"]
    if kind == "member":
        return ["train", *short]
    if kind == "sweep":
        # Ranking the members would train a classifier first.
        words = ["--seeds", "2", "--mode", "in-turn", "--features", "none"]
        return ["sweep", *short, *words]
    images = folder / "images"
    if not images.exists():
        images.mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(images / f"{number}.png")
    streamed = ["--data.source", "folder", "--data.dir", str(images)]
    streamed += ["--data.stream", "always", "--data.workers", "1"]
    return ["train", *short, *streamed]


def start(words, limit: int | None = None) -> subprocess.Popen:
    """Starts `python -m wgan_jax.WORD ...`, with compiled programs shared by all.

    limit: bytes that a file may have.
    """
    limited = [sys.executable, "-c", LIMITED, str(limit)] if limit else []
    # Programs that compile in less than a second are cached as well.
    cache = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.Popen(
        [*limited, sys.executable, "-m", f"wgan_jax.{words[0]}", *map(str, words[1:])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | cache,
    )


def finish(words, **more) -> tuple[int, str, str]:
    """Runs a command to its end: (exit status, stdout, stderr)."""
    process = start(words, **more)
    stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr


def undisturbed(words, out: Path) -> float:
    """Makes the run that others must equal; returns the seconds of a second one.

    Raises RuntimeError where the two differ.
    """
    for place in (out, out.with_name(out.name + "-again")):
        begin = time.perf_counter()
        code, _, stderr = finish([*words, "--out", place])
        seconds = time.perf_counter() - begin
        if code:
            raise RuntimeError(f"the undisturbed run failed: {stderr}")
    if difference := difference_of_runs(out, place):
        raise RuntimeError(f"two undisturbed runs differ: {difference}")
    return seconds


def members(out: Path) -> list[Path]:
    """The run directories at or below `out`, relative to it."""
    return sorted(p.parent.relative_to(out) for p in out.rglob("config.json"))


def difference_of_runs(expected: Path, got: Path) -> str | None:
    """The first difference of two finished runs or sweeps, None if they are equal.

    Compares the bits of the final state, the records but for times, and the pictures.
    """
    if members(expected) != members(got):
        return f"{members(got)} instead of {members(expected)}"
    for member in members(expected):
        ours, theirs = expected / member, got / member
        if records(ours) != records(theirs):
            return f"metrics.jsonl of {theirs} differs"
        if bits(restore_run(ours)[2]) != bits(restore_run(theirs)[2]):
            return f"the final state of {theirs} differs"
        for picture in (ours / "samples").iterdir():
            other = theirs / "samples" / picture.name
            if not other.exists() or other.read_bytes() != picture.read_bytes():
                return f"{other} differs"
    return None


def records(run: Path) -> list[dict]:
    """Records of metrics.jsonl without times."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for line in lines
    ]


def bits(state) -> list[bytes]:
    """Bytes of every array of a state."""
    state = dataclasses.replace(state, key=jax.random.key_data(state.key))
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def unclear_error(code: int, stderr: str) -> str | None:
    """Description of an end that is not one sentence and exit status 2, or None."""
    lines = [line for line in stderr.splitlines() if not line.startswith("warning: ")]
    if "Traceback" in stderr:
        return f"a traceback: {lines[-1]}"
    if code != 2:
        return f"exit status {code}: {' / '.join(lines)[-300:]}"
    if len(lines) != 1 or not lines[0].startswith("error: "):
        return f"not one sentence: {' / '.join(lines)[-300:]}"
    return None
