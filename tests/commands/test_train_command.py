"""`python -m wgan_jax.train` as users run it."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import (
    ROOT,
    TINY,
    configuration_names,
    environment,
    final_arrays,
    in_process,
    launch,
    python_m,
    records,
)

from wgan_jax import train
from wgan_jax.config import Config, Optimizer, Run, from_json
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.training import setup


def options(steps, *more):
    return [*TINY, "--run.steps", str(steps), *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 60 steps, across the end of the critic's warm-up, never disturbed."""
    out = tmp_path_factory.mktemp("finished") / "run"
    done = python_m("train", *options(60), "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_a_run_directory_has_the_documented_content(finished):
    out, stdout = finished
    names = {p.name for p in out.iterdir()} - {"tensorboard"}
    assert names == {
        "config.json",
        "data.json",
        "data.npz",
        "versions.json",
        "metrics.jsonl",
        "samples",
        "checkpoints",
    }
    assert from_json((out / "config.json").read_text()).run.steps == 60
    versions = json.loads((out / "versions.json").read_text())
    assert versions["packages"]["jax"]
    assert versions["precision"] == "float32"
    assert [r["step"] for r in records(out)] == list(range(5, 65, 5))
    wanted = {
        "wasserstein",
        "heldout_wasserstein",
        "gradient_penalty",
        "generator_loss",
    }
    assert all(wanted <= r.keys() for r in records(out))
    assert sorted(p.name for p in (out / "samples").iterdir()) == [
        "fixed-0000040.png",
        "fixed-0000060.png",
        "fresh-0000040.png",
        "fresh-0000060.png",
        "real.png",
    ]
    assert stdout.splitlines()[-1].endswith(f"{out}/samples/fixed-0000060.png")
    for part in ("cycles/s", "images/s", "wasserstein", "penalty", "generator", "left"):
        assert part in stdout


@pytest.mark.slow
def test_the_seed_determines_every_bit(finished, tmp_path):
    for name, seed in (("same", "0"), ("other", "1")):
        done = python_m("train", *options(60), "--out", tmp_path / name, "--seed", seed)
        assert done.returncode == 0, done.stderr
    first, same, other = map(
        final_arrays, (finished[0], tmp_path / "same", tmp_path / "other")
    )
    assert all(np.array_equal(first[k], same[k]) for k in first)
    assert not np.array_equal(first["generator/params"], other["generator/params"])


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 25])
def test_the_chunk_length_changes_no_bit(finished, tmp_path, chunk):
    rhythm = [f"--run.{name}-every" for name in ("log", "sample", "checkpoint")]
    rhythm = [word for name in rhythm for word in (name, "100")]
    rhythm += ["--run.chunk", chunk]
    done = python_m("train", *options(60), *rhythm, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    first, other = final_arrays(finished[0]), final_arrays(tmp_path / "run")
    assert all(np.array_equal(first[k], other[k]) for k in first)


@pytest.mark.slow
def test_a_run_killed_and_resumed_has_the_same_bits(finished, tmp_path):
    out = tmp_path / "run"
    # In the warm-up of the critic, while a checkpoint is being written, and after.
    for sign in (
        lambda: len(records(out)) >= 3,
        lambda: any("tmp" in p.name for p in (out / "checkpoints").iterdir()),
        lambda: len(records(out)) >= 7,
    ):
        process = launch("train", *options(60), "--out", out)
        while not (out / "checkpoints").is_dir() or not sign():
            if process.poll() is not None:
                break
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = python_m("train", *options(60), "--out", out)
    assert done.returncode == 0, done.stderr
    first, resumed = final_arrays(finished[0]), final_arrays(out)
    assert all(np.array_equal(first[k], resumed[k]) for k in first)
    assert _without_times(records(out)) == _without_times(records(finished[0]))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_request_saves_the_run_and_exits_0(finished, tmp_path, number):
    out = tmp_path / "run"
    process = launch("train", *options(60), "--out", out)
    while not (out / "metrics.jsonl").exists() or not records(out):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    last = stdout.splitlines()[-1]
    assert last.startswith("stopped at step")
    assert "the same command resumes it" in last
    step = records(out)[-1]["step"]
    assert step < 60
    done = python_m("train", *options(60), "--out", out)
    assert f"from step {step}" in done.stdout
    first, resumed = final_arrays(finished[0]), final_arrays(out)
    assert all(np.array_equal(first[k], resumed[k]) for k in first)


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_reported_and_the_previous_one_used(
    finished, tmp_path
):
    out = tmp_path / "run"
    assert python_m("train", *options(40), "--out", out).returncode == 0
    files = [p for p in (out / "checkpoints" / "40").rglob("*") if p.is_file()]
    largest = max(files, key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    done = python_m("train", *options(60), "--out", out, "--extend")
    assert done.returncode == 0, done.stderr
    assert "checkpoint 40 is damaged" in done.stdout
    assert "resuming from checkpoint 30" in done.stdout
    assert (out / "damaged-40").is_dir()
    first, resumed = final_arrays(finished[0]), final_arrays(out)
    assert all(np.array_equal(first[k], resumed[k]) for k in first)


@pytest.mark.slow
def test_a_finished_run_is_reported_and_can_be_extended(finished, tmp_path):
    out = tmp_path / "run"
    assert python_m("train", *options(30), "--out", out).returncode == 0
    done = python_m("train", *options(30), "--out", out)
    assert done.returncode == 0
    assert "trained to the end" in done.stdout
    longer = python_m("train", *options(60), "--out", out, "--extend")
    assert "from step 30" in longer.stdout
    first, resumed = final_arrays(finished[0]), final_arrays(out)
    assert all(np.array_equal(first[k], resumed[k]) for k in first)


def test_another_configuration_in_the_directory_is_refused_by_name(finished):
    changes = ["--optimizer.critic-lr", "0.5", "--objective.n-critic", "4"]
    code, error = in_process(train, *options(60, "--out", finished[0], *changes))
    assert code == 2
    assert "optimizer.critic_lr: 0.0005 and 0.5" in error
    assert "objective.n_critic: 2 and 4" in error
    assert "another --out" in error
    assert "--fresh" in error


@pytest.mark.parametrize(
    ("steps", "more", "remedy"),
    [(50, [], False), (50, ["--extend"], False), (70, [], True)],
)
def test_another_number_of_steps_is_refused_without_extend(
    finished, steps, more, remedy
):
    code, error = in_process(train, *options(steps, "--out", finished[0], *more))
    assert (code, f"run.steps: 60 and {steps}" in error) == (2, True)
    assert ("--extend" in error) == remedy


def test_a_linear_decay_cannot_be_extended(tmp_path):
    short = Config(run=Run(steps=100), optimizer=Optimizer(decay="linear"))
    longer = dataclasses.replace(short, run=Run(steps=200))
    with directory.claimed(tmp_path / "run", short) as begin:
        begin()
    with (
        pytest.raises(UserError, match=r"run\.steps: 100 and 200"),
        directory.claimed(tmp_path / "run", longer, extend=True),
    ):
        pass


def test_fresh_moves_the_old_run_and_deletes_nothing(finished, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    old = (finished[0] / "config.json").read_bytes()
    (out / "config.json").write_bytes(old)
    done = python_m("train", *options(5, "--seed", "9", "--fresh"), "--out", out)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run.1" / "config.json").read_bytes() == old
    assert f"moved the old {out} to {out}.1" in done.stdout
    assert records(out)[-1]["step"] == 5


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    out = tmp_path / "run"
    done = python_m("train", *options(60), "--dry-run", "--out", out)
    assert done.returncode == 0, done.stderr
    assert not out.exists()
    for part in (
        '"critic_lr": 0.0005',
        "transposed conv 4x4 stride 2",
        "conv 4x4 stride 2",
        "total",
        "GFLOP",
        "device: cpu",
        "precision: float32",
    ):
        assert part in done.stdout
    assert "compiling" not in done.stdout


def test_help_lists_every_field_with_its_docstring(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for section, fields in _fields().items():
        for field, value in fields.items():
            # What is on can only be turned off.
            no = "no-" if value is True else ""
            assert f"--{section}.{no}{field.replace('_', '-')}" in text
    assert "Weight of the gradient penalty, lambda" in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--optimizer.critic-lrr", "1"], ["did you mean --optimizer.critic-lr?"]),
        (["--critic-lr", "1"], ["did you mean --optimizer.critic-lr?"]),
        (["--nonsense"], ["--nonsense is not an option"]),
        (["--run.steps", "many"], ["--run.steps many", "whole number"]),
        (["--run.steps", "1.5"], ["--run.steps 1.5", "whole number"]),
        (["--optimizer.critic-lr", "fast"], ["--optimizer.critic-lr fast", "a number"]),
        (["--model.kind", "unet"], ["model.kind=unet", "did you mean resnet?"]),
        (["--compile"], ["--compile applies to --dry-run only"]),
        (["--run.steps", "0"], ["run.steps=0 must be greater than 0"]),
        (["--run.log-every", "7"], ["run.log_every=7", "multiple of run.chunk=5"]),
        (["--data.batch-size", "99999"], ["data.batch_size=99999", "larger than"]),
        (["--data.image-size", "30"], ["data.image_size=30", "generator_widths"]),
        (["--data.image-size", "1", "2", "3"], ["--data.image-size 1 2 3", "a width"]),
        (["--data.image-size"], ["--data.image-size has no value"]),
        (["--model.critic-norm", "batch"], ["model.critic_norm=batch", "BatchNorm"]),
        (["--data.source", "folder"], ["data.dir is empty"]),
        (
            ["--data.source", "folder", "--data.dir", "/no"],
            ["data.dir=/no is not a folder"],
        ),
        (["--data.source", "npz", "--data.dir", "/no.npz"], ["/no.npz", ".npz"]),
        (
            ["--config", "configs/digit.py"],
            ["configs/digit.py is not a file", "digits.py"],
        ),
        (["--out", "/dev/null/run"], ["/dev/null"]),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(tmp_path, arguments, parts):
    command = [*options(10), "--out", str(tmp_path / "run"), *arguments]
    code, error = in_process(train, *command)
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert all(part in error for part in parts), error
    # A mistake must not stand in the way of the corrected command.
    assert list(tmp_path.iterdir()) == []


def test_a_missing_configuration_gets_one_sentence():
    code, error = in_process(train)
    assert (code, "--config is missing" in error) == (2, True)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    code, error = in_process(train, *options(10, "--out", tmp_path))
    assert code == 2
    assert "is not a run directory" in error
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "left", [[], [".lock"], [".config.7.tmp.json"], ["config.json"]]
)
def test_a_run_killed_before_its_first_step_starts_again(finished, tmp_path, left):
    for name in left:
        text = (finished[0] / "config.json").read_text()
        (tmp_path / name).write_text(text[:20] if "tmp" in name else text)
    config = from_json((finished[0] / "config.json").read_text())
    with directory.claimed(tmp_path, config) as begin:
        begin()
    assert from_json((tmp_path / "config.json").read_text()) == config


def test_divergence_stops_the_run_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    compile_chunk = setup.compile_chunk

    def compile_diverging_chunk(*arguments):
        chunk = compile_chunk(*arguments)

        def diverging(state, samples, count):
            state, metrics = chunk(state, samples, count)
            factor = float("nan") if int(state.step) > 12 else 1.0
            return state, {k: v * factor for k, v in metrics.items()}

        return diverging

    monkeypatch.setattr(setup, "compile_chunk", compile_diverging_chunk)
    out = tmp_path / "run"
    code, error = in_process(train, *options(60, "--out", out))
    assert code == 2
    assert "not finite between steps 10 and 15" in error
    assert "The checkpoint of step 10 is intact" in error
    *before, last = records(out)
    assert [r["step"] for r in before] == [5, 10]
    # The reason alone, for the page of the run.
    assert set(last) == {"step", "warnings"}
    assert set(last["warnings"]) == {"diverged"}
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["10"]


def test_a_huge_learning_rate_diverges(tmp_path):
    out = tmp_path / "run"
    lr = ["--optimizer.critic-lr", "1e38", "--optimizer.generator-lr", "1e38"]
    code, error = in_process(train, *options(60, *lr, "--out", out))
    assert code == 2
    assert "is not finite between steps 0 and 5" in error
    assert "No checkpoint is saved yet" in error


@pytest.mark.slow
def test_a_full_disk_gets_one_sentence(tmp_path):
    done = python_m(
        "train",
        *options(60, "--run.no-tensorboard", "--out", tmp_path / "run"),
        before=["sh", "-c", 'ulimit -f 16; exec "$@"', "sh"],
        cached=False,
    )
    assert done.returncode == 2
    assert "data.npz: File too large; allow larger files (ulimit -f)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_reported_before_any_work(tmp_path):
    tmp_path.chmod(0o500)
    code, error = in_process(train, *options(10, "--out", tmp_path / "run"))
    assert (code, "change its permissions" in error) == (2, True)


@pytest.mark.parametrize("name", configuration_names())
def test_the_command_accepts_every_configuration(name, tmp_path):
    # Up to the data, which most of them need: that is the first thing refused.
    nowhere = ["--data.name", "mnisst", "--run.steps", "0"]
    code, error = in_process(train, "--config", f"configs/{name}.py", *nowhere)
    assert (code, "run.steps=0" in error) == (2, True)


@pytest.mark.tensorboard
def test_tensorboard_files_are_written_if_the_extra_is_installed(finished):
    assert list((finished[0] / "tensorboard").glob("events.*"))


def _fields():
    config = Config()
    return {name: vars(getattr(config, name)) for name in vars(config)}


def _without_times(lines):
    timed = {"cycles_per_second", "seconds"}
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


@pytest.mark.slow
def test_compiled_programs_are_cached_for_the_next_run(tmp_path):
    programs = tmp_path / "cache" / "wgan_jax" / "programs"
    env = environment() | {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    # The folder that the tests share.
    del env["JAX_COMPILATION_CACHE_DIR"]
    toy = ["--config", "configs/toy_8gaussians.py", "--dry-run", "--compile"]
    command = [sys.executable, "-m", "wgan_jax.train", *toy]

    def run(**more):
        done = subprocess.run(
            command, env=env | more, cwd=ROOT, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return {path.name: path.read_bytes() for path in programs.glob("*-cache")}

    assert run(JAX_ENABLE_COMPILATION_CACHE="false") == {}
    first = run()
    assert any(name.startswith("jit_train_chunk") for name in first)
    # Found again, so nothing is added.
    assert run() == first
    elsewhere = tmp_path / "elsewhere"
    assert run(JAX_COMPILATION_CACHE_DIR=str(elsewhere)) == first
    assert any(elsewhere.iterdir())
