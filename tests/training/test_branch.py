"""Runs that start from the weights of another run."""

import dataclasses
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from helpers import TOY, final_arrays, in_process, records

from wgan_jax import evaluate, train
from wgan_jax.algorithm.constraints import Constraint
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.cli import parse_config
from wgan_jax.distributed.sharding import ONE_DEVICE
from wgan_jax.errors import UserError
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.directory import initialise, read_parent
from wgan_jax.runs.restore import restore_run
from wgan_jax.training import setup
from wgan_jax.training.branch import InitFrom, fingerprint, open_parent

EMA = ("--optimizer.ema-decay", "0.5")


@pytest.fixture(scope="module")
def config():
    words = [*TOY, *EMA]
    return parse_config(train.Options, words, "train")[0]


@pytest.fixture(scope="module")
def initial(config):
    """The state of another seed before its first step."""
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, seed=3))
    dataset = setup.load_dataset(config, ONE_DEVICE)
    return setup.Setup(config, ONE_DEVICE, dataset).initial_state()


@pytest.fixture(scope="module")
def parent(config, tmp_path_factory):
    """A run with checkpoints of steps 5 and 10, of which every number is different."""
    out = tmp_path_factory.mktemp("parent") / "run"
    out.mkdir()
    initialise(out, config)
    spec = make_spec(config)
    state = jax.jit(partial(init_state, spec=spec))(jax.random.key(0))
    with Checkpoints(out / "checkpoints", 2) as checkpoints:
        for step in (5, 10):
            key = jax.random.key(step)
            leaves, structure = jax.tree.flatten(dataclasses.replace(state, key=0))
            leaves = [
                leaf + np.asarray(0.01 * (i + step), leaf.dtype)
                if np.issubdtype(np.asarray(leaf).dtype, np.floating)
                else leaf
                for i, leaf in enumerate(leaves)
            ]
            changed = dataclasses.replace(
                structure.unflatten(leaves), step=np.int32(step), key=key
            )
            checkpoints.save(changed)
        checkpoints.wait()
    return out


def arrays(*trees):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trees)])


@pytest.fixture(scope="module")
def opened(config, parent):
    """The newest checkpoint of the parent."""
    return open_parent(config, InitFrom(str(parent)))


def branched(opened, initial, **fields):
    """(state of the parent, initial state of a run with its weights)."""
    origin = dataclasses.replace(opened.origin, **fields)
    opened = dataclasses.replace(opened, origin=origin)
    return opened.state, opened.start(initial, Constraint())


def test_weights_are_the_parent_s_and_noise_and_optimizers_are_new(opened, initial):
    theirs, ours = branched(opened, initial)
    for name in ("generator", "critic"):
        old, new, first = (getattr(s, name) for s in (theirs, ours, initial))
        np.testing.assert_array_equal(
            arrays(new.params, new.stats), arrays(old.params, old.stats)
        )
        assert (arrays(new.params) != arrays(first.params)).any()
        np.testing.assert_array_equal(arrays(new.opt_state), arrays(first.opt_state))
    np.testing.assert_array_equal(arrays(ours.ema.params), arrays(theirs.ema.params))
    assert (int(theirs.step), int(ours.step)) == (10, 0)
    keys = [jax.random.key_data(s.key) for s in (theirs, ours, initial)]
    np.testing.assert_array_equal(keys[1], keys[2])
    assert (keys[1] != keys[0]).any()


def test_optimizers_are_kept_and_averaged_weights_are_taken_on_request(opened, initial):
    theirs, ours = branched(opened, initial, keep_optimizers=True)
    kept = arrays(ours.critic.opt_state)
    np.testing.assert_array_equal(kept, arrays(theirs.critic.opt_state))
    assert (kept != arrays(initial.critic.opt_state)).any()
    theirs, ours = branched(opened, initial, averaged=True)
    taken = arrays(ours.generator.params)
    np.testing.assert_array_equal(taken, arrays(theirs.ema.params))
    assert (taken != arrays(theirs.generator.params)).any()


def test_without_an_average_of_the_parent_the_average_starts_from_its_weights(
    opened, initial
):
    state = dataclasses.replace(opened.state, ema=None)
    ours = dataclasses.replace(opened, state=state).start(initial, Constraint())
    np.testing.assert_array_equal(
        arrays(ours.ema.params), arrays(state.generator.params)
    )
    none = dataclasses.replace(initial, ema=None)
    assert opened.start(none, Constraint()).ema is None


def test_a_new_bound_on_weights_is_applied_before_the_first_step(opened, initial):
    half = Constraint(project=lambda params: jax.tree.map(lambda p: p / 2, params))
    state = opened.start(initial, half)
    np.testing.assert_array_equal(
        arrays(state.critic.params), arrays(opened.state.critic.params) / 2
    )


@pytest.mark.slow
def test_a_run_records_its_parent_and_resumes_without_it(parent, tmp_path, capsys):
    moved = tmp_path / "parent"
    shutil.copytree(parent, moved)
    words = [*TOY, *EMA, "--data.source", "25gaussians", "--seed", "1"]
    begin = ["--init-from", moved, "--checkpoint", "5", "--run.steps", "5"]
    out = tmp_path / "new"
    assert in_process(train, *words, *begin, "--out", out) == (0, "")
    printed = capsys.readouterr().out
    assert (
        f"starting from step 5 of {moved}, which differs in data.source: 8g" in printed
    )
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


@pytest.mark.slow
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
    ("field", "value", "options", "said"),
    [
        ("model.features", 4, {}, "model.features: 8 and 4 (there and here)"),
        ("model.z_dim", 3, {}, "has other networks: model.z_dim: 2 and 3"),
        ("model.critic_widths", (1, 1), {}, "model.critic_widths: (1, 1, 1) and (1, "),
        ("data.source", "vectors", {}, "data.dimensions: 2 and 3"),
        (
            "optimizer.kind",
            "rmsprop",
            {"keep_optimizers": True},
            "--keep-optimizers: optimizer.kind is adam there and rmsprop here",
        ),
        ("model.features", 8, {"checkpoint": "7"}, "--checkpoint 7 is not saved"),
    ],
)
def test_a_parent_that_does_not_fit_gets_one_sentence(
    config, parent, field, value, options, said
):
    section, name = field.split(".")
    changed = dataclasses.replace(getattr(config, section), **{name: value})
    if value == "vectors":
        changed = dataclasses.replace(changed, dimensions=3)
    config = dataclasses.replace(config, **{section: changed})
    with pytest.raises(UserError) as error:
        open_parent(config, InitFrom(str(parent), **options))
    assert said in str(error.value)


def test_a_parent_without_an_average_has_none_to_start_from(config, tmp_path):
    optimizer = dataclasses.replace(config.optimizer, ema_decay=0.0)
    initialise(tmp_path, dataclasses.replace(config, optimizer=optimizer))
    with pytest.raises(UserError, match="has no averaged weights"):
        open_parent(config, InitFrom(str(tmp_path), averaged=True))


def test_the_command_that_starts_from_the_same_weights_is_printed(
    config, tmp_path, capsys
):
    record = {"run": "a b", "checkpoint": "", "step": 5, "keep_optimizers": True}
    initialise(tmp_path, config, parent=record)
    # A resumed run keeps its record.
    initialise(tmp_path, config)
    assert read_parent(tmp_path) == record
    words = ["--config", tmp_path / "config.json", "--run.steps", "0"]
    assert in_process(train, *words, "--out", tmp_path / "new")[0] == 2
    start = "--init-from 'a b' --checkpoint 5 --keep-optimizers"
    assert f"started from weights: add {start}" in capsys.readouterr().out


def test_options_of_a_parent_need_one(tmp_path):
    both = ["--init-from", "run", "--keep-optimizers", "--init-averaged"]
    assert "cannot be combined" in in_process(train, *TOY, *both)[1]
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
