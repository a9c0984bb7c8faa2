"""Commands that write a run: one at a time, nothing left of one that fails."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import jax
import pytest
from helpers import ROOT, TOY, environment, in_process, last_of_each, launch, records

from wgan_jax import convert, sweep, train
from wgan_jax.errors import UserError
from wgan_jax.runs.lock import DirectoryLock
from wgan_jax.sweeps import training as sweeps_training
from wgan_jax.training import setup

# ------------------------------------------------------------------------- one writer


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (train, [*TOY, "--out"]),
        (train, [*TOY, "--fresh", "--out"]),
        (sweep, [*TOY, "--seeds", "1", "--out"]),
        (sweep, [*TOY, "--seeds", "1", "--fresh", "--out"]),
    ],
)
def test_a_directory_in_use_is_refused_with_one_sentence(command, words, tmp_path):
    out = tmp_path / "out"
    with DirectoryLock(out):
        (out / "seed-0").mkdir()
        before = sorted(out.rglob("*"))
        code, error = in_process(command, *words, out)
        assert code == 2
        assert error.startswith(f"error: {out} is in use by process {os.getpid()} on ")
        assert error.count("\n") == 1
        assert sorted(out.rglob("*")) == before
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("words", [[], ["--fresh"]])
def test_a_sweep_is_refused_while_one_of_its_runs_is_trained(words, tmp_path):
    out = tmp_path / "out"
    with DirectoryLock(out / "seed-1"):
        command = [*TOY, "--seeds", "2", *words, "--out", out]
        code, error = in_process(sweep, *command)
        assert (code, f"{out / 'seed-1'} is in use" in error) == (2, True)
        assert os.listdir(out) == ["seed-1"]


@pytest.mark.torch
def test_weights_are_not_converted_into_a_directory_in_use(tmp_path):
    import torch

    shapes = [(8, 2), (8,), (2, 8), (2,)]
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    weights = {n: torch.zeros(s) for n, s in zip(names, shapes, strict=True)}
    torch.save(weights, tmp_path / "netG.pth")
    words = [*TOY, "--model.z-dim", "2", "--model.generator-widths", "1"]
    out = tmp_path / "out"
    with DirectoryLock(out):
        code, error = in_process(convert, tmp_path / "netG.pth", *words, "--out", out)
        assert (code, f"{out} is in use" in error) == (2, True), error


@pytest.mark.slow
def test_a_second_train_does_not_disturb_the_first(tmp_path):
    out = tmp_path / "out"
    words = [*TOY, "--run.steps", "1000000", "--out", out]
    first = launch("train", *words)
    while not records(out):
        assert first.poll() is None
        time.sleep(0.05)
    for more in ([], ["--fresh"]):
        code, error = in_process(train, *words, *more)
        assert (code, f"in use by process {first.pid} on" in error) == (2, True), error
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 0
    steps = [record["step"] for record in records(out)]
    assert steps == list(range(5, steps[-1] + 1, 5))
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.slow
def test_of_two_simultaneous_starts_one_trains(tmp_path):
    words = [*TOY, "--run.steps", "20", "--out", tmp_path / "out"]
    for more in ([], ["--fresh"]):
        both = [launch("train", *words, *more) for _ in range(2)]
        results = [process.communicate(timeout=120) for process in both]
        codes = sorted(process.returncode for process in both)
        # One may start after the other has ended.
        assert codes in ([0, 0], [0, 2]), results
        assert [r["step"] for r in records(tmp_path / "out")] == [5, 10, 15, 20]


# -------------------------------------------------------------------- nothing is left


def failing(*_, **__):
    raise UserError("it does not work")


@pytest.mark.parametrize(
    ("step", "fresh"), [("prepare", []), ("compile_chunk", ["--fresh"])]
)
def test_a_train_that_fails_before_training_leaves_all_as_it_was(
    step, fresh, tmp_path, monkeypatch
):
    monkeypatch.setattr(setup, step, failing)
    command = [*TOY, *fresh, "--out", tmp_path / "runs" / "out"]
    assert in_process(train, *command) == (2, "error: it does not work\n")
    assert os.listdir(tmp_path) == []
    if fresh:
        old = tmp_path / "runs" / "out"
        old.mkdir(parents=True)
        (old / "config.json").write_text("{}")
        assert in_process(train, *command)[0] == 2
        assert [p.name for p in tmp_path.rglob("*")] == ["runs", "out", "config.json"]


@pytest.mark.parametrize(
    ("step", "fresh"), [("prepare", []), ("_how_many_fit", ["--fresh"])]
)
def test_a_sweep_that_fails_before_training_leaves_all_as_it_was(
    step, fresh, tmp_path, monkeypatch
):
    monkeypatch.setattr(sweeps_training, step, failing)
    vary = ["--vary", "optimizer.critic_lr=1e-3,1e-2", "--seeds", "3"]
    command = [*TOY, *vary, *fresh, "--out", tmp_path / "runs" / "out"]
    assert in_process(sweep, *command) == (2, "error: it does not work\n")
    assert os.listdir(tmp_path) == []


# --------------------------------------------------------- use inside another process


def test_a_command_in_a_thread_trains_and_changes_nothing_of_the_process(tmp_path):
    def facts():
        numbers = signal.SIGINT, signal.SIGTERM
        return (
            [signal.getsignal(number) for number in numbers],
            sys.stdout,
            sys.stderr,
            sys.unraisablehook,
            dict(jax.config.values),
        )

    before, codes = facts(), []
    command = [*TOY, "--no-report", "--out", str(tmp_path / "a")]
    thread = threading.Thread(target=lambda: codes.append(train.main(command)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert facts() == before
    # In the main thread, where it handles signals.
    longer = last_of_each([*command, "--run.steps", "20", "--extend"])
    assert train.main(longer) == 0
    assert facts() == before
    assert [r["step"] for r in records(tmp_path / "a")] == [5, 10, 15, 20]
    with pytest.raises(UserError, match="holds a run that differs"):
        train.main(last_of_each([*command, "--model.features", "4"]))
    assert facts() == before


# ------------------------------------------------------------------ signals and pipes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [["train"], [""], ["", "sweep"]])
def test_a_signal_during_the_imports_gets_one_line(tmp_path, number, words):
    (tmp_path / "jax.py").write_text("print(flush=True)\nimport time\ntime.sleep(60)\n")
    module = f"wgan_jax.{words[0]}".rstrip(".")
    if words == [""]:
        words = ["", "train"]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    process.stdout.readline()
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert (process.returncode, error) == (2, f"error: {word}\n")


def test_importing_the_package_changes_no_signal_handler():
    code = "import signal, wgan_jax; print(signal.getsignal(signal.SIGTERM).name)"
    command = [sys.executable, "-c", code, "-m", "wgan_jax.train"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.stdout == "SIG_DFL\n", done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_training_ends_with_one_sentence(tmp_path, monkeypatch, number):
    monkeypatch.setattr(setup, "prepare", lambda *_: signal.raise_signal(number))
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    code, error = in_process(train, *TOY, "--out", tmp_path / "out")
    assert (code, error) == (2, f"error: {word}\n")
    assert os.listdir(tmp_path) == []


def test_a_reader_of_the_help_that_ends_early_gets_no_message():
    command = (
        f"{sys.executable} -m wgan_jax.train --help | true; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("141\n", "")


# ------------------------------------------------------------------------ end of a run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decay", "part"),
    [("constant", "--run.steps N --extend"), ("linear", "another --out")],
)
def test_a_finished_run_suggests_what_is_possible(decay, part, tmp_path, capsys):
    words = [*TOY, "--optimizer.decay", decay, "--run.steps", "5", "--out", tmp_path]
    assert in_process(train, *words)[0] == 0
    config = json.loads((tmp_path / "config.json").read_text())
    capsys.readouterr()
    assert in_process(train, *words)[0] == 0
    output = capsys.readouterr().out
    assert "is trained to the end, step 5" in output
    assert part in output
    assert ("--extend" in output) == (decay == "constant")
    assert json.loads((tmp_path / "config.json").read_text()) == config
