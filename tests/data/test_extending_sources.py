"""The example of a data source in docs/extending.md."""

import dataclasses

import numpy as np
import pytest
from helpers import TINY, extending_example, in_process, records

from wgan_jax import train
from wgan_jax.config import Config, Data
from wgan_jax.data.dataset import load, load_in_memory
from wgan_jax.data.sources import SOURCES
from wgan_jax.data.stream import read_batches
from wgan_jax.errors import UserError
from wgan_jax.references import execute
from wgan_jax.runs.directory import read_config
from wgan_jax.validation import validate


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Words of the example's command, its file in tmp_path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return extending_example("A data source", tmp_path)


def data_config(words, **fields):
    return Data(source=words[-1], image_size=(16, 24), heldout=100, **fields)


def test_the_example_trains_and_its_run_names_the_file(words, tmp_path):
    code, error = in_process(
        train, *words, *TINY[2:], "--run.steps", 5, "--out", tmp_path / "run"
    )
    assert code == 0, error
    assert np.isfinite(records(tmp_path / "run")[-1]["wasserstein"])
    assert read_config(tmp_path / "run").data.source == words[-1]


@pytest.mark.stream
@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_of_the_example_has_the_images_in_memory(words, workers, new_key):
    config = Config(data_config(words, stream="always", workers=workers))
    streamed, resident = load(config), load_in_memory(config.data)
    assert len(resident.train) == 900
    np.testing.assert_array_equal(streamed.train[:900], resident.train)
    np.testing.assert_array_equal(streamed.heldout_labels, resident.heldout_labels)
    batch = next(read_batches(streamed.stream, new_key(), range(2)))
    images = {image.tobytes() for image in resident.train}
    assert {image.tobytes() for image in batch} <= images


def test_a_line_of_sources_gives_the_example_a_name(words, tmp_path, monkeypatch):
    reader = execute(tmp_path / "discs.py").Discs
    by_reference = load_in_memory(data_config(words))
    monkeypatch.setitem(SOURCES, "discs", reader)
    for source in ("discs", reader):
        config = Config(dataclasses.replace(data_config(words), source=source))
        validate(config)
        np.testing.assert_array_equal(load(config).train, by_reference.train)


def test_a_reader_of_points_may_say_so(tmp_path):
    (tmp_path / "line.py").write_text(
        "import numpy as np\n"
        "from wgan_jax.data.readers import Reader, Samples\n"
        "class Line(Reader):\n"
        "    points = True\n"
        "    def __len__(self):\n"
        "        return 80\n"
        "    def read(self, numbers):\n"
        "        return Samples(np.stack([numbers] * 3, 1).astype(np.float32))\n"
    )
    data = Data(source=f"{tmp_path / 'line.py'}:Line", dimensions=3, heldout=10)
    assert load_in_memory(data).train.shape == (70, 3)
    wrong = dataclasses.replace(data, dimensions=2)
    with pytest.raises(UserError, match=r"returned float32\[32, 3\] where .*, 2\] was"):
        load_in_memory(wrong)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("8gausians", "data.source=8gausians is not known: did you mean 8gaussians?"),
        ("none.py:Reader", "data.source=none.py:Reader cannot be imported"),
        ("math:sqrt", "data.source=math:sqrt is not a subclass of wgan_jax.data.rea"),
    ],
)
def test_a_wrong_source_is_one_sentence(source, expected):
    with pytest.raises(UserError) as error:
        validate(Config(Data(source=source)))
    assert str(error.value).startswith(expected)
