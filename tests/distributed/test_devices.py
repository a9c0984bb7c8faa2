"""Training on several devices equals training on one."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import ROOT, TOY, environment, last_of_each, records
from sharded import NETS

from wgan_jax.config import Config, Data, Objective
from wgan_jax.distributed import sharding as devices
from wgan_jax.distributed.sharding import ONE_DEVICE, make_sharding
from wgan_jax.errors import UserError


def on_devices(count, *words):
    """Runs Python with `count` virtual CPU devices."""
    variables = environment(optimised=False)
    variables["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={count}"
    done = subprocess.run(
        [sys.executable, *last_of_each(words)],
        env=variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done


QUICK = "penalty, no norm"


@pytest.mark.parametrize(
    "name",
    [QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in NETS if n != QUICK)],
)
def test_one_two_and_eight_devices_train_equally(name):
    # A program for each number is compiled: two devices for the net with all norms.
    counts = "2,8" if name == "clip, batch norm" else "8"
    done = on_devices(8, Path(__file__).parents[1] / "sharded.py", name, counts)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert ",".join(report) == counts
    for count, result in report.items():
        assert result["sums"], f"no sum over {count} devices"
        # Images and noise are float32, which a program may round elsewhere.
        assert max(result["worst"].values()) < 1e-5, result["worst"]
        assert "['metrics']['heldout']" in result["worst"]


@pytest.mark.slow
def test_a_run_resumes_with_another_number_of_devices(tmp_path):
    def train(count, out, *more):
        words = ["-m", "wgan_jax.train", *TOY, "--no-report"]
        words += ["--out", tmp_path / out, *more]
        done = on_devices(count, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "devices share" not in train(1, "alone", "--run.steps", 20)
    assert "2 devices share each batch of 16" in train(2, "moved", "--devices", 2)
    output = train(8, "moved", "--run.steps", 20, "--extend")
    assert "8 devices share each batch of 16" in output
    assert "from step 10" in output
    pairs = zip(records(tmp_path / "moved"), records(tmp_path / "alone"), strict=True)
    for moved, alone in pairs:
        for name in alone.keys() - {"seconds", "cycles_per_second"}:
            assert moved[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_a_sweep_on_many_devices(tmp_path):
    words = ["-m", "wgan_jax.sweep", *TOY, "--seeds", 2, "--mode", "together"]
    words += ["--features", "none"]
    done = on_devices(4, *words, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 devices share each batch of 16" in done.stdout
    assert [records(tmp_path / f"seed-{i}")[-1]["step"] for i in (0, 1)] == [10, 10]


# -------------------------------------------------------------------- how many devices


@pytest.fixture
def eight(monkeypatch):
    """As if this process had eight devices."""
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices() * 8)
    monkeypatch.setattr(devices, "Mesh", lambda given, _: np.array(given))


@pytest.mark.parametrize(
    ("batch", "generator_batch", "count"),
    [(64, 0, 8), (64, 12, 4), (50, 0, 5), (7, 0, 7), (11, 0, 1), (4, 0, 4)],
)
def test_the_default_is_the_largest_number_that_divides_both_batches(
    eight, batch, generator_batch, count
):
    objective = Objective(generator_batch=generator_batch)
    config = Config(data=Data(batch_size=batch), objective=objective)
    assert make_sharding(config).count == count


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (9, "--devices 9 must be from 1 to 8, the devices of this machine"),
        (-1, "--devices -1 must be from 1 to 8"),
        (3, "--devices 3 cannot share data.batch_size=64 evenly"),
        (4, "--devices 4 cannot share objective.generator_batch=30 evenly"),
    ],
)
def test_an_invalid_number_of_devices_gets_one_sentence(eight, count, said):
    config = Config(objective=replace(Config().objective, generator_batch=30))
    with pytest.raises(UserError) as error:
        make_sharding(config, count)
    assert said in str(error.value)


def test_one_device_needs_no_sharding():
    sharding = make_sharding(Config(), 1)
    assert sharding == ONE_DEVICE
    batch = np.zeros(3)
    assert sharding.shard(batch) is batch
