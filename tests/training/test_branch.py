"""Runs that start from the weights of another run."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from helpers import TOY, final_arrays, in_process, records

from wgan_jax import evaluate, train
from wgan_jax.algorithm.constraints import Constraint
from wgan_jax.distributed.sharding import ONE_DEVICE
from wgan_jax.runs.directory import read_parent
from wgan_jax.runs.restore import restore_run
from wgan_jax.training import setup
from wgan_jax.training.branch import InitFrom, fingerprint, open_parent

EMA = ("--optimizer.ema-decay", "0.5")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run with averaged weights and checkpoints of steps 5 and 10."""
    out = tmp_path_factory.mktemp("parent") / "run"
    words = [*TOY, *EMA, "--run.checkpoint-every", "5", "--out", out]
    assert in_process(train, *words) == (0, "")
    return out


def arrays(*trees):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trees)])


def branched(parent, **fields):
    """(state of the parent, initial state of a run with its weights)."""
    config = restore_run(parent)[0]
    config = dataclasses.replace(
        config, run=dataclasses.replace(config.run, seed=fields.pop("seed", 0))
    )
    state = setup.Setup(
        config, ONE_DEVICE, setup.load_dataset(config, ONE_DEVICE)
    ).initial_state()
    opened = open_parent(config, InitFrom(str(parent), **fields))
    return opened.state, opened.start(state, Constraint()), state


def test_weights_are_the_parent_s_and_noise_and_optimizers_are_new(parent):
    theirs, ours, initial = branched(parent, seed=3)
    for name in ("generator", "critic"):
        old, new, first = (getattr(s, name) for s in (theirs, ours, initial))
        np.testing.assert_array_equal(
            arrays(new.params, new.stats), arrays(old.params, old.stats)
        )
        np.testing.assert_array_equal(arrays(new.opt_state), arrays(first.opt_state))
    np.testing.assert_array_equal(arrays(ours.ema.params), arrays(theirs.ema.params))
    assert int(ours.step) == 0
    keys = [jax.random.key_data(s.key) for s in (theirs, ours, initial)]
    np.testing.assert_array_equal(keys[1], keys[2])
    assert (keys[1] != keys[0]).any()


def test_optimizers_are_kept_and_averaged_weights_are_taken_on_request(parent):
    theirs, ours, initial = branched(parent, keep_optimizers=True)
    np.testing.assert_array_equal(
        arrays(ours.critic.opt_state), arrays(theirs.critic.opt_state)
    )
    assert (arrays(ours.critic.opt_state) != arrays(initial.critic.opt_state)).any()
    theirs, ours, _ = branched(parent, averaged=True, checkpoint="5")
    np.testing.assert_array_equal(
        arrays(ours.generator.params), arrays(theirs.ema.params)
    )
    assert int(theirs.step) == 5
    assert (arrays(theirs.ema.params) != arrays(theirs.generator.params)).any()


def test_a_new_bound_on_weights_is_applied_before_the_first_step(parent):
    config = restore_run(parent)[0]
    opened = open_parent(config, InitFrom(str(parent)))
    half = Constraint(project=lambda params: jax.tree.map(lambda p: p / 2, params))
    state = opened.start(opened.state, half)
    np.testing.assert_array_equal(
        arrays(state.critic.params), arrays(opened.state.critic.params) / 2
    )


def test_a_run_records_its_parent_and_resumes_without_it(parent, tmp_path, capsys):
    moved = tmp_path / "parent"
    shutil.copytree(parent, moved)
    words = [*TOY, *EMA, "--data.source", "25gaussians", "--seed", "1"]
    begin = ["--init-from", moved, "--checkpoint", "5", "--run.steps", "5"]
    out = tmp_path / "new"
    assert in_process(train, *words, *begin, "--out", out) == (0, "")
    printed = capsys.readouterr().out
    assert f"starting from step 5 of {moved} that differs in data.source: 8g" in printed
    saved = restore_run(out, 0)[2]
    state = restore_run(moved, 5)[2]
    assert fingerprint(saved) == fingerprint(state)
    record = read_parent(out)
    assert record == {
        "run": str(moved),
        "checkpoint": "5",
        "averaged": False,
        "keep_optimizers": False,
        "step": 5,
        "weights": fingerprint(state),
    }
    shutil.rmtree(moved)
    more = ["--extend", "--out", out]
    # With and without the option.
    assert in_process(train, *words, *begin[:4], "--run.steps", "10", *more) == (0, "")
    assert in_process(train, *words, "--run.steps", "15", *more) == (0, "")
    assert [r["step"] for r in records(out)] == [5, 10, 15]
    assert read_parent(out) == record
    capsys.readouterr()
    assert in_process(evaluate, out, "--num", "10", "--repeats", "2")[0] == 0
    line = f"started from weights of {moved}, step 5, with new optimizers"
    assert line in capsys.readouterr().out
    other = ["--init-from", parent, "--run.steps", "15", "--out", out]
    code, error = in_process(train, *words, *other)
    assert code == 2
    assert f"holds a run that started with run {moved}, not {parent}" in error


def test_a_run_without_a_checkpoint_needs_its_parent_again(parent, tmp_path):
    out, words = tmp_path / "new", [*TOY, *EMA, "--run.steps", "5"]
    begin = [*words, "--init-from", parent, "--out"]
    assert in_process(train, *begin, out) == (0, "")
    whole = final_arrays(out)
    # As if it had been killed before its first checkpoint was saved.
    shutil.rmtree(out / "checkpoints")
    code, error = in_process(train, *words, "--out", out)
    assert code == 2
    assert f"starts from {parent} and has no checkpoint yet: add --init-from" in error
    assert in_process(train, *begin, out) == (0, "")
    for name, array in final_arrays(out).items():
        np.testing.assert_array_equal(array, whole[name])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model.features 4", "model.features: 8 and 4 (there and here)"),
        ("--model.z-dim 3", "has other networks: model.z_dim: 2 and 3"),
        ("--model.critic-widths 1 1", "model.critic_widths: (1, 1, 1) and (1, 1)"),
        ("--optimizer.kind rmsprop --keep-optimizers", "optimizer.kind is adam there"),
        ("--checkpoint 7", "--checkpoint 7 is not saved"),
        ("--checkpoint best", "--checkpoint best: "),
        ("--init-averaged --keep-optimizers", "cannot be combined"),
    ],
)
def test_a_parent_that_does_not_fit_gets_one_sentence(parent, tmp_path, words, said):
    out = tmp_path / "new"
    code, error = in_process(
        train, *TOY, "--init-from", parent, *words.split(), "--out", out
    )
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
    assert not out.exists() or not (out / "config.json").exists()


def test_options_of_a_parent_need_one(tmp_path):
    for option in ("--keep-optimizers", "--init-averaged"):
        code, error = in_process(train, *TOY, option, "--out", tmp_path)
        assert code == 2
        assert f"{option} applies to --init-from only: add --init-from RUN" in error
    code, error = in_process(train, *TOY, "--init-from", tmp_path, "--out", tmp_path)
    assert (code, "is --out itself" in error) == (2, True)
    nowhere = tmp_path / "nowhere"
    code, error = in_process(
        train, *TOY, "--init-from", nowhere, "--out", tmp_path / "new"
    )
    assert (code, "is not a run directory" in error) == (2, True)
