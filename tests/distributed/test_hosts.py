"""Training in several real processes equals training in one."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    ROOT,
    TINY,
    TOY,
    assert_same_run,
    encode_image,
    environment,
    in_process,
    last_of_each,
    records,
    truncate,
    write_array_record,
)

from wgan_jax import train
from wgan_jax.distributed import launcher
from wgan_jax.distributed.launcher import DistributedOptions
from wgan_jax.errors import UserError

TWO = ["--num-processes", 2]


def coordinator():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@contextlib.contextmanager
def pair(*words, differ=((), ()), env=({}, {})):
    """Two processes of one command; whatever of them is left at the end is killed.

    differ, env: words and environment of each.
    """
    variables = environment(optimised=False)
    started = []
    try:
        for extra, more in zip(differ, env):
            started.append(
                subprocess.Popen(
                    [sys.executable, *last_of_each([*words, *extra])],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                    env=variables | more,
                )
            )
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ends(process):
    """(exit status, stdout, stderr) of a process, once it has ended."""
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error


def training(out, *more, **options):
    words = ["-m", "wgan_jax.train", *SLOW, "--out", out, "--run.steps", STEPS]
    words += ["--coordinator", coordinator(), *TWO, *more]
    ids = [("--process-id", i) for i in (0, 1)]
    return pair(*words, differ=ids, **options)


STEPS = 160
# Pictures take most of the time, so that a signal finds a run at work.
SLOW = [*TOY, "--run.checkpoint-every", 40, "--run.sample-every", 5]


@pytest.mark.slow
def test_two_processes_train_as_one_device():
    script, name = Path(__file__).parents[1] / "sharded.py", "clip, batch norm"
    with pair(script, name, 1, coordinator(), 2, differ=[(0,), (1,)]) as both:
        (code, out, error), (other, _, other_error) = map(ends, both)
    assert (code, other) == (0, 0), error + other_error
    report = json.loads(out.splitlines()[-1])["2"]
    assert report["sums"]
    assert max(report["worst"].values()) < 1e-5, report["worst"]


def until(out, step, processes):
    """Waits for a record of this step."""
    for _ in range(3000):
        if any(record["step"] >= step for record in records(out)):
            return
        assert all(p.poll() is None for p in processes), "ended before its time"
        time.sleep(0.02)
    raise AssertionError("no record in time")


def saved(out):
    """The steps of the checkpoints that were written to their end."""
    names = [p.name for p in (out / "checkpoints").iterdir()]
    return sorted(int(name) for name in names if name.isdigit())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two processes from its first step to its last."""
    out = tmp_path_factory.mktemp("hosts") / "whole"
    with training(out) as both:
        (code, output, error), (other, other_output, _) = map(ends, both)
    assert (code, other) == (0, 0), error
    assert "2 devices of 2 processes share each batch of 16" in output
    assert f"done: {STEPS} steps" in output
    assert "process 1 of 2: process 0 shows the progress" in other_output
    assert "step" not in other_output
    return out


def assert_equal_runs(short, long, but=frozenset()):
    """What the shorter run recorded is the beginning of the longer one, in float32."""
    for ours, theirs in zip(records(short), records(long)):
        for name in theirs.keys() - {"seconds", "cycles_per_second", *but}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_the_run_equals_that_of_one_process(whole, tmp_path):
    short = ["--run.steps", 10]
    code, error = in_process(train, *TOY, *short, "--out", tmp_path / "one")
    assert code == 0, error
    assert_equal_runs(tmp_path / "one", whole)


@pytest.mark.slow
def test_both_write_the_checkpoints(whole):
    state = whole / "checkpoints" / str(STEPS) / "state"
    assert {p.name for p in state.glob("ocdbt.process_*")} == {
        "ocdbt.process_0",
        "ocdbt.process_1",
    }


@pytest.mark.slow
def test_stopped_killed_damaged_and_resumed_the_run_is_the_same(whole, tmp_path):
    out = tmp_path / "run"
    with training(out) as both:
        until(out, 5, both)
        both[1].send_signal(signal.SIGTERM)
        (code, output, error), (other, _, _) = map(ends, both)
    assert (code, other) == (0, 0), error
    assert "all saved; the same command resumes it" in output
    stopped = saved(out)[-1]
    assert 5 <= stopped < STEPS

    with training(out) as both:
        until(out, stopped + 45, both)
        os.kill(both[1].pid, signal.SIGKILL)
        start = time.monotonic()
        code, output, error = ends(both[0])
        assert time.monotonic() - start < launcher.LOST_AFTER + 5
    assert f"from step {stopped}" in output
    assert code == launcher.LOST, error
    assert error.count("\n") == 1, error
    assert "another process of this run exited or was lost" in error

    newest, last = saved(out)[-1], records(out)[-1]["step"]
    truncate(out / "checkpoints" / str(newest))
    with training(out) as both:
        until(out, last + 10, both)
        os.kill(both[0].pid, signal.SIGKILL)
        code, _, error = ends(both[1])
    assert code == launcher.LOST, error
    assert error.count("\n") == 1, error
    assert (out / f"damaged-{newest}").is_dir()

    with training(out) as both:
        (code, _, error), (other, _, _) = map(ends, both)
    assert (code, other) == (0, 0), error
    assert_same_run(out, whole, 0)


@pytest.mark.slow
def test_a_run_resumes_with_another_number_of_processes(whole, tmp_path):
    """Begun by two that Slurm's variables bring together, ended by one alone."""
    out = tmp_path / "moved"
    words = ["-m", "wgan_jax.train", *SLOW, "--out", out, "--run.steps", 40]
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost"}
    job["SLURM_NTASKS"] = "2"
    env = [job | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} for i in (0, 1)]
    with pair(*words, "--distributed", env=env) as both:
        assert [ends(process)[0] for process in both] == [0, 0]
    words = [*SLOW, "--out", out, "--run.steps", 80, "--extend"]
    code, error = in_process(train, *words)
    assert code == 0, error
    assert int(records(out)[-1]["step"]) == 80
    assert_equal_runs(out, whole)


@pytest.mark.slow
@pytest.mark.stream
def test_a_stream_in_two_processes_equals_the_resident_run_of_one(tmp_path):
    """Each process reads its rows of every batch, in the order of one."""
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    write_array_record(tmp_path / "x.array_record", map(encode_image, images))
    words = [word for word in TINY if word != "--objective.warmup"]
    words += ["--data.source", "array_record", "--data.dir", tmp_path]
    words += ["--data.channels", 3, "--data.image-size", 8, "--data.heldout", 12]
    words += ["--run.steps", 10]
    code, error = in_process(train, *words, "--out", tmp_path / "one")
    assert code == 0, error
    words += ["--data.stream", "always", "--data.workers", 0, "--out", tmp_path / "two"]
    command = ["-m", "wgan_jax.train", *words, "--coordinator", coordinator(), *TWO]
    ids = [("--process-id", i) for i in (0, 1)]
    with pair(*command, differ=ids) as both:
        (code, output, error), (other, _, _) = map(ends, both)
    assert (code, other) == (0, 0), error
    assert "streaming 48 images" in output
    assert len(records(tmp_path / "two")) == 2
    assert_equal_runs(tmp_path / "one", tmp_path / "two", but={"data_wait_fraction"})


def test_processes_of_different_runs_are_refused(tmp_path):
    words = ["-m", "wgan_jax.train", *TOY, "--out", tmp_path / "run"]
    words += ["--coordinator", coordinator(), *TWO]
    differ = [("--process-id", i, "--seed", i) for i in (0, 1)]
    with pair(*words, differ=differ) as both:
        results = [ends(process) for process in both]
    for code, _, error in results:
        assert code == 2
        assert "the 2 processes of this run have different configurations" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_separate_directories_are_refused(tmp_path):
    words = ["-m", "wgan_jax.train", *TOY]
    words += ["--coordinator", coordinator(), *TWO]
    differ = [("--process-id", i, "--out", tmp_path / str(i)) for i in (0, 1)]
    with pair(*words, differ=differ) as both:
        results = [ends(process) for process in both]
    for i, (code, _, error) in enumerate(results):
        assert code == 2
        assert f"--out {tmp_path / str(i)} is not the same directory for all" in error


@pytest.mark.slow
def test_a_missing_process_is_reported(tmp_path):
    words = ["-m", "wgan_jax.train", *TOY, "--out", tmp_path, *TWO, "--join-timeout", 2]
    words += ["--coordinator", coordinator()]
    with pair(*words, differ=[("--process-id", 0)]) as (alone,):
        code, _, error = ends(alone)
    assert code == 2
    assert error.count("\n") == 1, error
    assert "not all processes connected within --join-timeout" in error


# ------------------------------------------------------------------- the command line


def test_one_process_needs_no_options():
    assert not DistributedOptions().enabled()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (DistributedOptions("here", 2, 0), "--coordinator 'here' must be HOST:PORT"),
        (DistributedOptions("", 2, 0), "--coordinator '' must be HOST:PORT"),
        (DistributedOptions("a:1", 0, 0), "--num-processes 0 must be"),
        (DistributedOptions("a:1", 2, 2), "--process-id 2 must be from 0 to 1"),
        (DistributedOptions("a:1", 2), "--process-id -1 must be from 0 to 1"),
        (DistributedOptions("a:1", 2, 0, True), "--distributed reads --coordinator"),
        (
            DistributedOptions("a:1", 2, 0, join_timeout=0),
            "--join-timeout 0 must be from 1 to 86400, a day",
        ),
    ],
)
def test_conflicting_options_get_one_sentence(given, said):
    with pytest.raises(UserError) as error:
        given.enabled()
    assert said in str(error.value)


def test_a_missing_cluster_gets_one_sentence(tmp_path):
    words = [sys.executable, "-m", "wgan_jax.train", *TOY, "--out", tmp_path / "run"]
    done = subprocess.run(
        [*map(str, words), "--distributed"],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--distributed finds no cluster here" in done.stderr
