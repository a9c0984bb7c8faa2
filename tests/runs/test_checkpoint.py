import dataclasses
import errno
import gc
import json
import os
import shutil
import sys
import threading
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import array_file, truncate
from orbax.checkpoint import CheckpointManager

from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import train_chunk
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data.batches import make_get_batch
from wgan_jax.errors import UserError
from wgan_jax.runs.checkpoint import FORMAT, Checkpoints

# A failed read leaves other reads, which TensorStore finishes after Orbax has
# closed the event loop they report to.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

CONFIG = Config(
    data=Data(source="8gaussians", batch_size=4),
    model=Model(
        kind="mlp",
        z_dim=2,
        features=3,
        generator_widths=(1, 1),
        critic_widths=(1,),
        output="linear",
    ),
    objective=Objective(n_critic=1),
    optimizer=Optimizer(ema_decay=0.9),
)


def spec_of(config):
    return make_spec(config, make_get_batch(config.data, 0))


def state_of(config=CONFIG, step=7, seed=0):
    """A state of random numbers: the initial ones are mostly 0 or 1."""
    abstract = jax.eval_shape(
        partial(init_state, spec=spec_of(config)), jax.random.key(0)
    )
    rng = np.random.default_rng(seed)

    def fill(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(seed + 5)
        if leaf.dtype == jnp.int32:
            return jnp.int32(rng.integers(0, 1000))
        return jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)

    state = jax.tree.map(fill, abstract)
    return dataclasses.replace(state, step=jnp.int32(step))


def numbers(state):
    """Copies of the leaves of a state, by name."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {
        jax.tree_util.keystr(path): np.array(
            jax.random.key_data(leaf)
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else leaf
        )
        for path, leaf in leaves
    }


def assert_same(restored, expected):
    """found: a state; expected: the `numbers` of another."""
    restored = numbers(restored)
    assert restored.keys() == expected.keys()
    for name in restored:
        assert restored[name].dtype == expected[name].dtype, name
        assert restored[name].tobytes() == expected[name].tobytes(), name


@pytest.fixture
def open_run(tmp_path):
    """A function that opens the checkpoints again, as a new process does."""
    opened = []

    def open_it(max_to_keep=5, keep_every=0):
        if opened:
            opened.pop().manager.close()
        opened.append(Checkpoints(tmp_path / "checkpoints", max_to_keep, keep_every))
        return opened[-1]

    yield open_it
    opened.pop().manager.close()


@pytest.fixture(scope="module")
def all_saved(tmp_path_factory):
    """Checkpoints whose states differ: the seed is the step."""
    directory = tmp_path_factory.mktemp("saved")
    with Checkpoints(directory, max_to_keep=9) as checkpoints:
        for step in (1, 2, 3, 7, 10):
            checkpoints.save(state_of(step=step, seed=step))
        checkpoints.wait()
    return directory


@pytest.fixture
def saved(all_saved, tmp_path):
    """A function that copies checkpoints of these steps into the run."""

    def put(*steps):
        for step in steps:
            name = str(step)
            shutil.copytree(all_saved / name, tmp_path / "checkpoints" / name)

    return put


# -------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "rmsprop_tf1"])
@pytest.mark.parametrize("average", [0.0, 0.99])
def test_a_state_is_restored_bit_for_bit(open_run, kind, average):
    config = dataclasses.replace(
        CONFIG, optimizer=Optimizer(kind=kind, ema_decay=average)
    )
    state = state_of(config)
    assert (state.ema is None) == (average == 0)
    checkpoints = open_run()
    checkpoints.save(state)
    checkpoints.wait()
    like = state_of(config, step=0, seed=1)
    restored = open_run().restore(like, 7)
    assert_same(restored, numbers(state))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert jnp.issubdtype(restored.key.dtype, jax.dtypes.prng_key)
    # A key of the same kind: it draws the same numbers.
    np.testing.assert_array_equal(
        jax.random.bits(restored.key), jax.random.bits(state.key)
    )


def test_special_floats_are_restored(open_run):
    state = state_of()
    odd = jnp.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], jnp.float32)
    kernel = jax.tree.leaves(state.generator.params)[0]
    odd = jnp.resize(odd, kernel.shape)
    params = jax.tree.map(lambda p: odd if p is kernel else p, state.generator.params)
    state = dataclasses.replace(
        state, generator=dataclasses.replace(state.generator, params=params)
    )
    checkpoints = open_run()
    checkpoints.save(state)
    checkpoints.wait()
    assert_same(open_run().restore(state_of(), 7), numbers(state))


def test_restore_newest_of_a_new_run_is_none(open_run):
    checkpoints = open_run()
    assert checkpoints.steps() == []
    assert checkpoints.restore_newest(state_of(), pytest.fail, move=True) is None


def test_restore_newest_takes_the_last_step(open_run, saved):
    # 10 sorts before 7 as a name.
    saved(3, 7, 10)
    checkpoints = open_run()
    assert checkpoints.steps() == [3, 7, 10]
    restored = checkpoints.restore_newest(state_of(), pytest.fail, move=True)
    assert_same(restored, numbers(state_of(step=10, seed=10)))
    assert_same(checkpoints.restore(state_of(), 3), numbers(state_of(step=3, seed=3)))


# ------------------------------------------------------------------------- copied first


def test_training_continues_while_a_checkpoint_is_written(open_run):
    spec = spec_of(CONFIG)
    chunk = jax.jit(partial(train_chunk, spec=spec), donate_argnums=0)
    state = state_of(step=0)
    samples = jnp.zeros((0, 2), jnp.uint8)
    chunk = chunk.lower(state, samples, jnp.int32(1)).compile()
    expected = numbers(state)
    checkpoints = open_run()
    checkpoints.save(state)
    later, _ = chunk(state, samples, jnp.int32(3))
    jax.block_until_ready(later)
    assert any(leaf.is_deleted() for leaf in jax.tree.leaves(state.critic.params))
    checkpoints.wait()
    assert_same(open_run().restore(later, 0), expected)


def test_the_state_at_the_time_of_save_is_written(open_run):
    # Arrays that are changed in place, as donated memory is.
    state = jax.tree.map(
        lambda leaf: leaf if leaf.dtype == state_key_dtype() else np.array(leaf),
        state_of(),
    )
    expected = numbers(state)
    checkpoints = open_run()
    checkpoints.save(state)
    for leaf in jax.tree.leaves((state.generator, state.critic, state.ema)):
        leaf[...] = 77
    checkpoints.wait()
    assert_same(open_run().restore(state_of(seed=2), 7), expected)


def state_key_dtype():
    return jax.random.key(0).dtype


# --------------------------------------------------------------------- what is deleted


def test_the_newest_and_the_multiples_stay(open_run):
    checkpoints = open_run(max_to_keep=2, keep_every=2)
    for step in range(1, 7):
        checkpoints.save(state_of(step=step))
    checkpoints.wait()
    assert checkpoints.steps() == [2, 4, 5, 6]
    assert open_run(max_to_keep=2, keep_every=2).steps() == [2, 4, 5, 6]


def test_without_keep_every_only_the_newest_stay(open_run):
    checkpoints = open_run(max_to_keep=2)
    for step in (1, 2, 3):
        checkpoints.save(state_of(step=step))
    checkpoints.wait()
    assert checkpoints.steps() == [2, 3]


# ------------------------------------------------------------------------------ damage


def overwrite(folder):
    file = array_file(folder)
    file.write_bytes(b"\xff" * file.stat().st_size)


def remove_arrays(folder):
    array_file(folder).unlink()


def remove_metadata(folder):
    (folder / "state" / "_METADATA").unlink()


def remove_checksum(folder):
    (folder / "meta" / "metadata").unlink()


def change_checksum(folder):
    # As if a bit of the arrays had turned over where no format notices.
    file = folder / "meta" / "metadata"
    meta = json.loads(file.read_text())
    file.write_text(json.dumps(meta | {"crc32": meta["crc32"] ^ 1}))


def remove_state(folder):
    shutil.rmtree(folder / "state")


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = [
    truncate,
    overwrite,
    remove_arrays,
    remove_metadata,
    remove_checksum,
    change_checksum,
    remove_state,
    empty,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_and_moved(open_run, saved, tmp_path, damage):
    saved(1, 2)
    damage(tmp_path / "checkpoints" / "2")
    checkpoints, reports = open_run(), []
    restored = checkpoints.restore_newest(state_of(), reports.append, move=True)
    assert_same(restored, numbers(state_of(step=1, seed=1)))
    assert reports[0].startswith("checkpoint 2 is damaged (")
    assert reports[1:] == ["resuming from checkpoint 1, the newest intact one"]
    assert (tmp_path / "damaged-2").is_dir()
    assert checkpoints.steps() == [1]


def test_the_step_of_a_damaged_checkpoint_can_be_saved_again(open_run, saved, tmp_path):
    saved(1, 2)
    truncate(tmp_path / "checkpoints" / "2")
    checkpoints, reports = open_run(), []
    checkpoints.restore_newest(state_of(), reports.append, move=True)
    checkpoints.save(state_of(step=2, seed=3))
    checkpoints.wait()
    restored = open_run().restore_newest(state_of(), pytest.fail, move=True)
    assert_same(restored, numbers(state_of(step=2, seed=3)))


def test_without_move_a_damaged_checkpoint_stays(open_run, saved, tmp_path):
    saved(1, 2)
    truncate(tmp_path / "checkpoints" / "2")
    reports = []
    restored = open_run().restore_newest(state_of(), reports.append, move=False)
    assert_same(restored, numbers(state_of(step=1, seed=1)))
    assert len(reports) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]
    assert open_run().steps() == [1, 2]


def test_damaged_checkpoints_do_not_replace_each_other(open_run, saved, tmp_path):
    (tmp_path / "damaged-3").mkdir()
    saved(1, 2, 3)
    truncate(tmp_path / "checkpoints" / "2")
    truncate(tmp_path / "checkpoints" / "3")
    checkpoints, reports = open_run(), []
    restored = checkpoints.restore_newest(state_of(), reports.append, move=True)
    assert int(restored.step) == 1
    assert len(reports) == 3
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["checkpoints", "damaged-2", "damaged-3", "damaged-3.1"]
    assert checkpoints.steps() == [1]


def test_if_all_are_damaged_nothing_is_moved_and_the_error_names_fresh(
    open_run, saved, tmp_path
):
    saved(1, 2)
    for step in (1, 2):
        truncate(tmp_path / "checkpoints" / str(step))
    reports = []
    with pytest.raises(UserError, match="can be read: start again with --fresh"):
        open_run().restore_newest(state_of(), reports.append, move=True)
    assert len(reports) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def test_the_temporary_files_of_a_killed_process_are_ignored(open_run, saved, tmp_path):
    saved(1)
    whole = tmp_path / "checkpoints" / "1"
    left = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    shutil.copytree(whole, left)
    truncate(left)
    checkpoints = open_run()
    assert checkpoints.steps() == [1]
    restored = checkpoints.restore_newest(state_of(), pytest.fail, move=True)
    assert int(restored.step) == 1
    checkpoints.save(state_of(step=2, seed=2))
    checkpoints.wait()
    assert open_run().steps() == [1, 2]


# ---------------------------------------------------- another format, another network


@pytest.mark.parametrize("meta", [{"crc32": 1}, {"crc32": 1, "format": FORMAT + 1}])
def test_another_format_is_refused_and_nothing_is_moved(
    open_run, saved, tmp_path, meta
):
    saved(1, 2)
    path = tmp_path / "checkpoints" / "2"
    (path / "meta" / "metadata").write_text(json.dumps(meta))
    message = f"{path} has format {meta.get('format', 0)}, .* reads format {FORMAT}: "
    with pytest.raises(UserError, match=message):
        open_run().restore_newest(state_of(), pytest.fail, move=True)
    assert path.is_dir()


def message_for(open_run, config):
    """The error of restoring step 7 with the networks of `config`."""
    with pytest.raises(UserError) as error:
        open_run().restore_newest(state_of(config), pytest.fail, move=True)
    return str(error.value)


def test_a_wider_network_is_named_with_both_shapes(open_run, saved, tmp_path):
    saved(7)
    model = dataclasses.replace(CONFIG.model, z_dim=5)
    message = message_for(open_run, dataclasses.replace(CONFIG, model=model))
    # The first name in the order of the state's fields.
    assert (
        f"checkpoint {tmp_path / 'checkpoints' / '7'} is of another network" in message
    )
    assert "generator/params/layers/0/kernel is [2, 3]" in message
    assert message.endswith("but this configuration needs [5, 3]")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"optimizer": Optimizer(ema_decay=0.0)},
            "this configuration has no ema/",
        ),
        (
            {"optimizer": Optimizer(kind="rmsprop", ema_decay=0.9)},
            "this configuration has no ",
        ),
    ],
)
def test_a_part_too_many_is_named(open_run, saved, changes, expected):
    saved(7)
    assert expected in message_for(open_run, dataclasses.replace(CONFIG, **changes))


def test_a_part_that_is_missing_is_named(open_run, saved):
    saved(7)
    model = dataclasses.replace(CONFIG.model, critic_widths=(1, 1))
    message = message_for(open_run, dataclasses.replace(CONFIG, model=model))
    assert "critic/" in message
    assert "but this configuration needs [" in message


def test_restore_of_a_step_that_is_not_saved_fails(open_run, saved):
    saved(7)
    with pytest.raises(Exception, match="8"):
        open_run().restore(state_of(), 8)


# -------------------------------------------------------------------------- not finite


def diverged(step):
    """A state in which one number of the optimizer's is not a number."""
    state = state_of(step=step)
    leaves, structure = jax.tree.flatten(state.critic.opt_state)
    leaves[-1] = leaves[-1].at[0].set(jnp.nan)
    opt_state = structure.unflatten(leaves)
    critic = dataclasses.replace(state.critic, opt_state=opt_state)
    return dataclasses.replace(state, critic=critic)


def test_training_does_not_resume_from_weights_that_are_not_finite(open_run, tmp_path):
    checkpoints = open_run()
    assert checkpoints.resume(state_of(), pytest.fail) is None
    checkpoints.save(diverged(1))
    alone = r"checkpoints/1 has weights that are not finite: train again with a lower"
    checkpoints.wait()
    with pytest.raises(UserError, match=alone):
        checkpoints.resume(state_of(), pytest.fail)
    for state in (state_of(step=2, seed=2), diverged(3), diverged(4)):
        checkpoints.save(state)
    checkpoints.wait()
    folder = tmp_path.resolve() / "checkpoints"
    remedy = f"remove {folder / '4'}, {folder / '3'} to resume from step 2, or train"
    with pytest.raises(UserError, match=remedy):
        checkpoints.resume(state_of(), pytest.fail)
    for step in (3, 4):
        shutil.rmtree(folder / str(step))
    restored = open_run().resume(state_of(), pytest.fail)
    assert_same(restored, numbers(state_of(step=2, seed=2)))


# --------------------------------------------------------- reading a run in training


def test_a_reader_takes_what_is_newest_when_training_has_deleted_the_rest(
    saved, tmp_path
):
    saved(1, 2)
    with Checkpoints(tmp_path / "checkpoints", 2) as reader:
        assert reader.steps() == [1, 2]
        saved(7, 10)
        for step in (1, 2):
            shutil.rmtree(tmp_path / "checkpoints" / str(step))
        state = reader.restore_newest(state_of(), pytest.fail, move=False)
        assert_same(state, numbers(state_of(step=10, seed=10)))
        assert reader.reload() == [7, 10]


@pytest.mark.parametrize("method", ["__init__", "reload"])
def test_a_checkpoint_that_is_deleted_while_they_are_listed(
    saved, tmp_path, monkeypatch, method
):
    saved(1, 2)
    with Checkpoints(tmp_path / "checkpoints", 2) as reader:
        if method == "reload":
            assert reader.steps() == [1, 2]
        deleted = tmp_path / "checkpoints" / "1"
        original = getattr(CheckpointManager, method)

        def disturbed(*arguments, **options):
            if deleted.exists():
                shutil.rmtree(deleted)
                # As Orbax does when it looks for the time of a checkpoint.
                deleted.stat()
            return original(*arguments, **options)

        monkeypatch.setattr(CheckpointManager, method, disturbed)
        assert reader.reload() == [2]


def test_reading_changes_no_file_of_a_run(saved, tmp_path):
    saved(1, 2, 3)
    directory = tmp_path / "checkpoints"
    # A checkpoint that training is writing.
    (directory / "7.orbax-checkpoint-tmp-0" / "state").mkdir(parents=True)

    def files():
        return {p: p.stat().st_mtime_ns for p in [directory, *directory.rglob("*")]}

    before = files()
    with Checkpoints(directory, 1) as reader:
        assert reader.steps() == [1, 2, 3]
        assert reader.restore_newest(state_of(), pytest.fail, move=False) is not None
        assert reader.reload() == [1, 2, 3]
    assert files() == before


def test_checkpoints_that_are_not_used_create_nothing(tmp_path):
    with Checkpoints(tmp_path / "checkpoints", 1) as checkpoints:
        assert checkpoints.restore_newest(state_of(), pytest.fail, move=True) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "No space left on device; free some space there"),
        (errno.EROFS, "Read-only file system; make the file system writable"),
        (errno.EACCES, "Permission denied; change its permissions"),
        (errno.EMFILE, "Too many open files; allow more open files (ulimit -n)"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_failed_write_names_the_true_remedy(tmp_path, number, remedy, as_text):
    checkpoints = Checkpoints(tmp_path, 1)
    error = OSError(number, os.strerror(number))
    if as_text:
        error = ValueError(f'Error writing "/x": {os.strerror(number)} [source a.cc]')
    with pytest.raises(UserError) as found, checkpoints._writing():
        raise error
    assert remedy in str(found.value)
    assert "The same command resumes from the last checkpoint" in str(found.value)


# Orbax reports to an event loop that is closed by then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failed_write_leaves_no_thread_for_which_the_process_would_wait(tmp_path):
    directory = tmp_path / "checkpoints"
    checkpoints = Checkpoints(directory, 2)
    checkpoints.save(state_of())
    checkpoints.wait()
    shutil.rmtree(directory)
    directory.write_text("not a folder")
    checkpoints.save(state_of(step=2))
    with pytest.raises(UserError, match="cannot be written"):
        checkpoints.wait()
    # Those of executors end with the process.
    deadline = time.monotonic() + 10
    while waiting := [t for t in threading.enumerate() if "Signaling" in repr(t)]:
        assert time.monotonic() < deadline, waiting
        time.sleep(0.05)


def test_a_save_leaves_no_objects(open_run):
    checkpoints, state = open_run(max_to_keep=1), state_of()
    for step in range(1, 21):
        if step == 11:
            gc.collect()
            before = sys.getallocatedblocks()
        checkpoints.save(dataclasses.replace(state, step=jnp.int32(step)))
        checkpoints.wait()
    gc.collect()
    # 200 for each save while every specification was converted to JSON.
    assert (sys.getallocatedblocks() - before) / 10 < 60
