import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, in_process, write_tfds
from helpers import TFDS_TEST as TEST
from helpers import TFDS_TRAIN as TRAIN

from wgan_jax import prepare, train
from wgan_jax.config import Data
from wgan_jax.data import tfds
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.sources import tfds as tfds_reader
from wgan_jax.errors import UserError

# Sizes of a run that trains in seconds.
TINY = """--run.steps 1 --run.chunk 1 --run.log-every 1 --run.sample-every 1
--run.checkpoint-every 1 --run.grid-size 4 --model.features 1 --data.batch-size 4
--data.heldout 8 --objective.n-critic 1""".split()  # noqa: SIM905


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rows(images):
    return sorted(image.tobytes() for image in images)


def tfds_of(folder, **changes):
    fields = {"name": "tiny", "image_size": 6, "batch_size": 1, "heldout": 0}
    return Data(source="tfds", tfds_dir=str(folder), **(fields | changes))


def complaint(data_config):
    with pytest.raises(UserError) as error:
        load_in_memory(data_config)
    return str(error.value)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    write_tfds(folder)
    return folder


# ----------------------------------------------------------------------------- reading


def test_a_data_set_that_is_prepared_again_is_decoded_again(tmp_path):
    write_tfds(tmp_path)
    first = load_in_memory(tfds_of(tmp_path)).train
    shutil.rmtree(tmp_path / "tiny")
    write_tfds(tmp_path, train=255 - TRAIN)
    second = load_in_memory(tfds_of(tmp_path)).train
    assert rows(second) == rows(255 - first)


def test_images_of_a_split_are_read_bit_by_bit(tiny):
    images = load_in_memory(tfds_of(tiny)).train
    assert images.shape == (9, 6, 6, 1)
    assert images.dtype == np.uint8
    assert rows(images) == rows(TRAIN)


def test_labels_are_those_of_the_images(tiny):
    number = {image.tobytes(): i for i, image in enumerate(TRAIN)}
    for _ in ("decoded", "cached"):
        dataset = load_in_memory(tfds_of(tiny, heldout=3))
        for images, labels in (
            (dataset.train, dataset.train_labels),
            (dataset.heldout, dataset.heldout_labels),
        ):
            assert [number[image.tobytes()] for image in images] == labels.tolist()


def test_classes_choose_from_both_splits(tiny):
    dataset = load_in_memory(
        tfds_of(tiny, test_split="test", heldout=9, classes=(0, 2))
    )
    assert rows(dataset.train) == rows(TRAIN[[0, 2]])
    assert rows(dataset.heldout) == rows(TEST[[0, 2]])


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("test", TEST),
        ("train[:5]", TRAIN[:5]),
        ("train[5:]", TRAIN[5:]),
        ("train+test", np.concatenate([TRAIN, TEST])),
    ],
)
def test_splits_and_their_slices(tiny, split, expected):
    assert rows(load_in_memory(tfds_of(tiny, split=split)).train) == rows(expected)


def test_held_out_images_come_from_the_test_split(tiny):
    dataset = load_in_memory(tfds_of(tiny, test_split="test", heldout=3))
    assert rows(dataset.train) == rows(TRAIN)
    assert len(dataset.heldout) == 3
    assert set(rows(dataset.heldout)) < set(rows(TEST))
    again = load_in_memory(tfds_of(tiny, test_split="test", heldout=3))
    np.testing.assert_array_equal(dataset.heldout, again.heldout)


def test_without_a_test_split_part_of_the_train_split_is_held_out(tiny):
    dataset = load_in_memory(tfds_of(tiny, heldout=3))
    assert len(dataset.heldout) == 3
    assert rows([*dataset.train, *dataset.heldout]) == rows(TRAIN)


def test_images_are_converted_and_resized(tiny):
    data_config = tfds_of(tiny, image_size=3, channels=3, resize="box")
    images = load_in_memory(data_config).train
    assert images.shape == (9, 3, 3, 3)
    means = np.sort(TRAIN.reshape(9, 3, 2, 3, 2).mean((2, 4)).ravel())
    # Pillow rounds after each of the two directions.
    assert np.abs(np.sort(images[..., 0].ravel()) - means).max() <= 1


def test_images_are_decoded_once(tiny, monkeypatch):
    first = load_in_memory(tfds_of(tiny))
    monkeypatch.delattr(tfds_reader, "decode")
    np.testing.assert_array_equal(load_in_memory(tfds_of(tiny)).train, first.train)


def load_elsewhere(data_config, tmp_path):
    """Loads in a new process; returns how many images, and whether with TensorFlow."""
    script = (
        "import sys\n"
        "from wgan_jax.data.dataset import load_in_memory\n"
        "from wgan_jax.config import Data\n"
        f"dataset = load_in_memory({data_config!r})\n"
        "print(len(dataset.train), 'tensorflow' in sys.modules)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "elsewhere"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-2:]


def test_images_are_read_without_tensorflow(tiny, tmp_path):
    assert load_elsewhere(tfds_of(tiny), tmp_path) == ["9", "False"]


# ---------------------------------------------------------------------------- mistakes


def test_an_unknown_split_is_named_with_the_known_ones(tiny):
    message = complaint(tfds_of(tiny, split="valid"))
    assert message == "data.split=valid is not in data.name=tiny, which has train, test"


def test_an_unknown_test_split_is_named_by_its_field(tiny):
    message = complaint(tfds_of(tiny, test_split="valid"))
    assert message.startswith("data.test_split=valid is not in data.name=tiny")


@pytest.mark.parametrize(
    "split",
    [
        "train[:100]",
        "train[5:5]",
        "train[",
        "train[6:3]",
    ],
)
def test_slices_that_do_not_exist_are_named(tiny, split):
    message = complaint(tfds_of(tiny, split=split))
    assert message.startswith(f"data.split={split} is not in data.name=tiny")


def test_a_data_set_without_images_is_refused():
    from tensorflow_datasets import features

    labels_only = features.FeaturesDict({"label": np.int64})
    with pytest.raises(UserError, match=r"(?s)name=iris has no images: .*label"):
        tfds.image_features(labels_only, "iris")


def test_the_image_feature_need_not_be_called_image(tmp_path):
    write_tfds(tmp_path, image="scan")
    assert rows(load_in_memory(tfds_of(tmp_path)).train) == rows(TRAIN)


@pytest.mark.parametrize(
    ("name", "near"), [("mnistt", "mnist"), ("cifar_10", "cifar10")]
)
def test_an_unknown_name_brings_near_ones(tmp_path, name, near):
    message = complaint(tfds_of(tmp_path, name=name))
    assert message.startswith(f"data.name={name} is not a TFDS data set: did you mean ")
    assert near in message.split("did you mean ")[1].rstrip("?").split(" or ")


def test_an_unknown_name_that_is_near_to_none(tmp_path):
    message = complaint(tfds_of(tmp_path, name="qqqqqqqqqq"))
    assert message == (
        "data.name=qqqqqqqqqq is not a TFDS data set: see tfds.list_builders()"
    )


@pytest.mark.parametrize("name", ["my cats", "my-cats", "mnist/none", "mnist:9.9.9"])
def test_names_that_tfds_cannot_read_are_refused(tmp_path, name):
    assert f"data.name={name}" in complaint(tfds_of(tmp_path, name=name))


def test_a_data_set_in_another_format_is_refused(tmp_path):
    write_tfds(tmp_path, file_format="tfrecord")
    message = complaint(tfds_of(tmp_path))
    assert message.startswith(f"data.name=tiny in {tmp_path}")
    assert "was prepared as tfrecord, which needs TensorFlow to read" in message
    assert message.endswith("with --data.tfds-dir")


# -------------------------------------------------------------------------- preparation


@pytest.fixture
def tensorflow(monkeypatch):
    """A function that makes TensorFlow seem installed or missing."""
    find = importlib.util.find_spec

    def seem(installed):
        def find_spec(name, *arguments):
            if name == "tensorflow":
                return find("json") if installed else None
            return find(name, *arguments)

        monkeypatch.setattr(tfds.importlib.util, "find_spec", find_spec)

    return seem


def test_preparation_without_tensorflow_says_what_to_install(tmp_path, tensorflow):
    tensorflow(False)
    message = complaint(tfds_of(tmp_path, name="mnist"))
    assert message == (
        "data.name=mnist is not prepared yet, which needs TensorFlow once: "
        "pip install 'wgan-jax[prepare]' and start again"
    )


def finish_with(monkeypatch, returncode=0, stderr="", effect=lambda: None):
    """Puts a finished process in the place of each to come; returns their commands."""
    commands = []

    def run(command, **_):
        commands.append(command)
        effect()
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(tfds.subprocess, "run", run)
    return commands


@pytest.fixture(scope="module")
def wordy():
    """Name of a data set without images, and the sentence that refuses it."""
    import tensorflow_datasets as tfds

    class WordyTexts(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict({"words": np.int64, "id": np.int64})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            raise AssertionError

        _generate_examples = _split_generators

    return WordyTexts.name, (
        "data.name=wordy_texts has no images: its features are words, id"
    )


def test_a_data_set_without_images_is_refused_before_its_preparation(
    tmp_path, tensorflow, monkeypatch, wordy
):
    name, expected = wordy
    tensorflow(False)
    assert complaint(tfds_of(tmp_path, name=name)) == expected
    tensorflow(True)
    finish_with(monkeypatch, tfds.REFUSED, f"noise\n{expected}\n")
    assert complaint(tfds_of(tmp_path, name=name)) == expected


def test_a_description_that_needs_tensorflow_says_what_to_install(
    tmp_path, monkeypatch
):
    import tensorflow_datasets

    def builder(*_, **__):
        raise ImportError("No module named 'tensorflow'")

    monkeypatch.setattr(tensorflow_datasets, "builder", builder)
    assert complaint(tfds_of(tmp_path, name="coco")) == (
        "data.name=coco needs TensorFlow even for its description: "
        "pip install 'wgan-jax[prepare]'"
    )


def test_the_preparing_process_refuses_before_a_download(tmp_path, capsys, wordy):
    name, expected = wordy
    assert tfds.main(name, str(tmp_path), "") == tfds.REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [("noise\nValueError: no network\n", "ValueError: no network"), ("", "no message")],
)
@pytest.mark.parametrize("manual", ["", "originals"])
def test_a_preparation_that_fails_is_one_sentence(
    tmp_path, tensorflow, monkeypatch, stderr, reason, manual
):
    tensorflow(True)
    finish_with(monkeypatch, 2, stderr)
    message = complaint(tfds_of(tmp_path, name="mnist", manual_dir=manual))
    expected = f"preparing data.name=mnist failed: {reason}"
    if not manual:
        expected += (
            "; without network, give the original files by --data.manual-dir FOLDER"
        )
    assert message == expected


def test_a_preparation_is_reported_and_its_result_is_read(
    tmp_path, tensorflow, monkeypatch, capsys
):
    tensorflow(True)
    commands = finish_with(
        monkeypatch, effect=lambda: write_tfds(tmp_path, "mnist", "3.0.1", "image")
    )
    data_config = tfds_of(tmp_path, name="mnist", manual_dir="originals")
    assert rows(load_in_memory(data_config).train) == rows(TRAIN)
    assert capsys.readouterr().out.startswith("preparing mnist")
    (command,) = commands
    assert command[:3] == [sys.executable, "-m", "wgan_jax.data.tfds"]
    # What the command means to the process that it starts.
    called = []
    monkeypatch.setattr(tfds, "prepare", lambda *given: called.append(given))
    assert tfds.main(*command[3:]) == 0
    assert called == [("mnist", str(tmp_path), "originals")]


def test_the_preparing_process_ends_with_one_line_of_reason(monkeypatch, capsys):
    def prepare(*_):
        print("progress")
        raise RuntimeError("first line\nsecond line " + 500 * "x")

    monkeypatch.setattr(tfds, "prepare", prepare)
    assert tfds.main("mnist", "", "") == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("RuntimeError: first line second line xxx")
    assert len(last) < 330


# ----------------------------------------------------------------------- the real thing


def idx(name):
    """Images of an original file of MNIST, read by its published format."""
    content = gzip.decompress((originals() / name).read_bytes())
    magic, count, height, width = np.frombuffer(content[:16], ">i4")
    assert magic == 2051
    pixels = np.frombuffer(content[16:], np.uint8)
    return pixels.reshape(count, height, width, 1)


def originals(name="mnist"):
    return Path(os.environ["WGAN_JAX_DATA"]) / name


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    """MNIST as prepared by a process with TensorFlow: how to load it, and reports."""
    data_config = Data(
        source="tfds",
        name="mnist",
        tfds_dir=str(tmp_path_factory.mktemp("mnist")),
        manual_dir=str(originals()),
        test_split="test",
        image_size=28,
        heldout=10000,
    )
    # Its files have the names of MNIST's, which TFDS once took for the same.
    words = ["--tfds-dir", data_config.tfds_dir]
    manual = ["--manual-dir", originals("fashion_mnist")]
    assert in_process(prepare, "tfds", "fashion_mnist", *words, *manual) == (0, "")
    tfds.open_builder(data_config)
    return data_config


@pytest.mark.data
@pytest.mark.prepare
def test_prepared_mnist_equals_the_original_files(mnist, monkeypatch):
    # Prepared once, and never again.
    monkeypatch.delattr(tfds, "_prepare_in_subprocess")
    dataset = load_in_memory(mnist)
    assert dataset.train.shape == (60000, 28, 28, 1)
    assert dataset.heldout.shape == (10000, 28, 28, 1)
    assert rows(dataset.train) == rows(idx("train-images-idx3-ubyte.gz"))
    assert rows(dataset.heldout) == rows(idx("t10k-images-idx3-ubyte.gz"))
    # Published counts of the digit 1.
    assert (dataset.train_labels == 1).sum() == 6742
    assert (dataset.heldout_labels == 1).sum() == 1135


@pytest.mark.data
@pytest.mark.prepare
@pytest.mark.parametrize("name", ["mnist_wgan_gp", "fashion_mnist_mlp"])
def test_configurations_train_on_prepared_data(mnist, tmp_path, name):
    words = ["--config", ROOT / "configs" / f"{name}.py", "--out", tmp_path]
    words += ["--data.tfds-dir", mnist.tfds_dir, "--data.split", "train[:200]"]
    assert in_process(train, *words, *TINY) == (0, "")
    assert (tmp_path / "checkpoints" / "1").is_dir()


@pytest.mark.data
@pytest.mark.prepare
def test_prepared_mnist_is_read_without_tensorflow(mnist, tmp_path):
    some = replace(mnist, split="train[:100]", test_split="", heldout=20)
    assert load_elsewhere(some, tmp_path) == ["80", "False"]


@pytest.mark.data
@pytest.mark.prepare
def test_slices_of_prepared_mnist(mnist):
    some = replace(mnist, split="train[:100]", test_split="", heldout=20)
    dataset = load_in_memory(some)
    assert dataset.train.shape == (80, 28, 28, 1)
    assert dataset.heldout.shape == (20, 28, 28, 1)
    everything = set(rows(idx("train-images-idx3-ubyte.gz")))
    assert set(rows([*dataset.train, *dataset.heldout])) < everything
    assert "which has train, test" in complaint(replace(some, split="valid"))
