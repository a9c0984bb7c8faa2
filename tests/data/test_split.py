"""Copies, labels and changes of the data, from a file to the refusal of a run."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from helpers import TINY, in_process
from PIL import Image

from wgan_jax import evaluate, train
from wgan_jax.config import Config, Data, Model
from wgan_jax.data.dataset import load, load_in_memory
from wgan_jax.errors import UserError
from wgan_jax.runs import directory

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    """The folder of decoded images, away from that of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rows(images):
    return {image.tobytes() for image in images}


def saved(path, **arrays):
    """Section of an .npz file of these arrays."""
    np.savez(path / "images.npz", **arrays)
    fields = {"image_size": 8, "batch_size": 4, "heldout": 10}
    return Data(source="npz", dir=str(path / "images.npz"), **fields)


def complaint(config):
    with pytest.raises(UserError) as error:
        load(config)
    return str(error.value)


# ------------------------------------------------------------------------------ copies


def test_without_copies_the_split_is_the_permutation_of_seed_0(tmp_path):
    dataset = load_in_memory(saved(tmp_path, images=IMAGES))
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(dataset.train[..., 0], IMAGES[order[:50]])
    np.testing.assert_array_equal(dataset.heldout[..., 0], IMAGES[order[50:]])
    assert dataset.record.duplicates == 0


@pytest.mark.parametrize("heldout", [10, 11])
def test_copies_are_on_one_side_of_the_split(tmp_path, heldout):
    data = saved(tmp_path, images=np.concatenate([IMAGES, IMAGES]))
    dataset = load_in_memory(dataclasses.replace(data, heldout=heldout))
    assert not rows(dataset.train) & rows(dataset.heldout)
    # Pairs: an odd number of places leaves one free.
    assert (len(dataset.train), len(dataset.heldout)) == (110, 10)
    assert dataset.record.duplicates == 60


def test_one_content_in_most_samples_is_trained_on(tmp_path):
    images = np.concatenate([IMAGES[:20], *[IMAGES[20:21]] * 100])
    dataset = load_in_memory(saved(tmp_path, images=images))
    assert len(dataset.heldout) == 10
    assert not rows(dataset.train) & rows(dataset.heldout)
    with pytest.raises(UserError, match="heldout=10 holds nothing out: all copies"):
        load_in_memory(saved(tmp_path, images=images[20:]))


def test_a_sample_of_the_test_part_that_is_trained_on_is_not_held_out(tmp_path):
    arrays = {"train_images": IMAGES[:40], "test_images": IMAGES[30:]}
    data = saved(tmp_path, **arrays)
    data = dataclasses.replace(
        data, array="train_images", test_split="test_images", heldout=100
    )
    dataset = load_in_memory(data)
    np.testing.assert_array_equal(dataset.train[..., 0], IMAGES[:40])
    assert rows(dataset.heldout) == rows(IMAGES[40:])
    assert dataset.record.duplicates == 10


@pytest.mark.stream
def test_a_stream_has_the_split_of_memory(tmp_path):
    for i, image in enumerate(IMAGES):
        for copy in ("a", "b"):
            (tmp_path / copy).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / copy / f"{i}.png")
    fields = {"image_size": 8, "batch_size": 4, "heldout": 10, "stream": "always"}
    data = Data(source="folder", dir=str(tmp_path), **fields)
    streamed, resident = load(Config(data)), load_in_memory(data)
    np.testing.assert_array_equal(streamed.train[: len(resident.train)], resident.train)
    np.testing.assert_array_equal(streamed.heldout, resident.heldout)
    assert streamed.record == resident.record


# ------------------------------------------------------------------------------ labels

CONDITIONAL = Model(kind="resnet", kernel=3, critic_halvings=1, classes=3)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(60)[:, None] % 3,
        1 + np.arange(60, dtype=np.uint64) % 3,
        np.array([7, 900, 12_000_000_000])[np.arange(60) % 3],
    ],
    ids=["column", "from 1", "gaps"],
)
def test_any_integers_are_classes_from_0(tmp_path, labels):
    data = saved(tmp_path, images=IMAGES, labels=labels)
    dataset = load(Config(data, CONDITIONAL))
    assert dataset.record.labels == tuple(np.unique(labels).tolist())
    assert np.isclose(sum(dataset.record.label_shares), 1)
    expected = dict(zip(map(bytes, IMAGES), labels.ravel().tolist(), strict=True))
    for images, classes in (
        (dataset.train, dataset.train_labels),
        (dataset.heldout, dataset.heldout_labels),
    ):
        original = np.array(dataset.record.labels)[classes]
        assert [expected[image.tobytes()] for image in images] == original.tolist()


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (np.arange(60) % 3 - 1, "the negative label -1"),
        (np.arange(60) % 3 / 1, "is float64[60], not one whole number for each of the"),
        (np.arange(59) % 3, "is int64[59], not one whole number"),
        (np.array(list("abc") * 20), "is <U1[60], not one whole number"),
        (np.array([None] * 60), "has Python objects"),
        (np.full(60, 2**64 - 1, np.uint64), "is uint64[60], not one whole number"),
        (np.arange(60) % 4, "model.classes=3 is too few: the training images have 4"),
        (np.arange(60) % 2, "model.classes=3 is too many"),
    ],
    ids=str,
)
def test_labels_that_cannot_be_used_stop_a_run_that_needs_them_only(
    tmp_path, labels, problem
):
    np.savez(tmp_path / "images.npz", images=IMAGES, labels=labels)
    data = saved(tmp_path, images=IMAGES)
    np.savez(tmp_path / "images.npz", images=IMAGES, labels=labels)
    message = complaint(Config(data, CONDITIONAL))
    assert problem in message
    assert "take model.classes=" in message
    assert len(load(Config(data)).train) == 50


def test_two_of_the_labels_are_two_classes(tmp_path):
    data = saved(tmp_path, images=IMAGES, labels=np.arange(60) % 6)
    data = dataclasses.replace(data, classes=(5, 3))
    dataset = load(Config(data, dataclasses.replace(CONDITIONAL, classes=2)))
    assert dataset.record.labels == (3, 5)
    assert set(dataset.train_labels) == {0, 1}


def test_labels_of_the_test_part_are_those_of_training(tmp_path):
    arrays = {"x_train": IMAGES[:40], "y_train": np.arange(40) % 3 + 1}
    named = {"array": "x_train", "test_split": "x_test"}
    for labels, message in (
        (np.arange(20) % 3 + 1, ""),
        (np.full(20, -1), ""),
        (np.arange(20) % 5, "data.test_split=x_test has the label 0, which training"),
    ):
        data = saved(tmp_path, **arrays, x_test=IMAGES[40:], y_test=labels)
        config = Config(dataclasses.replace(data, **named), CONDITIONAL)
        if message:
            assert message in complaint(config)
        else:
            assert load(config).record.labels == (1, 2, 3)


# ------------------------------------------------------------------------ changed data


@pytest.fixture
def run(tmp_path):
    """A run directory of IMAGES[:40] without weights: (directory, function)."""
    data = saved(tmp_path, images=IMAGES[:40], labels=np.arange(40) % 3)
    (tmp_path / "run").mkdir()
    record = load_in_memory(data).record
    config = Config(data, Model(kind="mlp"))
    directory.initialise(tmp_path / "run", config, record)

    def check(images, labels=None, accept=False):
        labels = np.arange(len(images)) % 3 if labels is None else labels
        data = saved(tmp_path, images=images, labels=labels)
        record = load_in_memory(data).record
        directory.check_same_data(tmp_path / "run", record, accept)

    return tmp_path / "run", check


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda i: IMAGES, "20 images more (30 to train on and 10 held out then, 50"),
        (lambda i: i[:37], "3 images fewer (30 to train on and 10 held out then, 27"),
        (lambda i: np.r_[IMAGES[40:43], i[3:]], "3 images changed"),
        (lambda i: np.r_[IMAGES[40:50], i[3:]], "10 images more and 3 images fewer"),
        (lambda i: i[::-1], "images held out now were not before"),
    ],
)
def test_changed_data_are_refused_with_the_change(run, change, expected):
    out, check = run
    with pytest.raises(UserError) as error:
        check(change(IMAGES[:40]))
    assert f"{out} was trained on other data: " in str(error.value)
    assert expected in str(error.value)
    assert "--accept-changed-data" in str(error.value)


def test_changed_labels_are_refused_and_a_change_can_be_accepted(run):
    out, check = run
    check(IMAGES[:40])
    labels = np.arange(40) % 3
    labels[:2] = 2
    with pytest.raises(UserError, match="2 images with another label"):
        check(IMAGES[:40], labels)
    for _ in range(2):
        check(IMAGES[:40], labels, accept=True)
    (accepted,) = directory.read_data_record(out).accepted
    assert accepted == {"step": 0, "change": "2 images with another label"}


def test_a_damaged_record_is_one_sentence(run):
    out, _ = run
    for text in ("{", "[]", '{"format": 9}', '{"format": 1, "colour": 2}'):
        (out / "data.json").write_text(text)
        with pytest.raises(UserError, match=r"data\.json cannot be read .*: delete it"):
            directory.read_data_record(out)


@pytest.mark.slow
@pytest.mark.slow
def test_a_run_continues_on_moved_images_and_not_on_other_ones(tmp_path):
    (tmp_path / "images").mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
    folder = tmp_path / "folder"
    folder.symlink_to("images")
    words = [*TINY, "--data.source", "folder", "--data.dir", folder]
    words += ["--model.kind", "mlp", "--run.checkpoint-every", 5]
    words += ["--out", tmp_path / "run"]
    assert in_process(train, *words, "--run.steps", 5) == (0, "")
    shutil.copytree(tmp_path / "images", tmp_path / "copy")
    folder.unlink()
    folder.symlink_to("copy")
    assert in_process(train, *words, "--run.steps", 10, "--extend") == (0, "")
    Image.fromarray(IMAGES[0] // 2).save(folder / "more.png")
    more = [*words, "--run.steps", 15, "--extend"]
    before = (tmp_path / "run" / "data.json").read_text()
    quick = [tmp_path / "run", "--num", 8, "--repeats", 2]
    for code, error in (in_process(train, *more), in_process(evaluate, *quick)):
        assert (code, error.count("\n")) == (2, 1)
        assert "other data: 1 image more (28 to train on and 32 held out" in error
    assert (tmp_path / "run" / "data.json").read_text() == before
    assert in_process(train, *more, "--accept-changed-data") == (0, "")
    record = json.loads((tmp_path / "run" / "data.json").read_text())
    assert record["train"] == 29
    assert [change["step"] for change in record["accepted"]] == [10]
    assert in_process(evaluate, *quick) == (0, "")
