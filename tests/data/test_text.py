"""Lines of text as samples."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from wgan_jax.config import Data
from wgan_jax.data.batches import to_float
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.sources import detect, open_reader
from wgan_jax.data.sources.text import vocabulary_size
from wgan_jax.data.text import PADDING, UNKNOWN, decode, encode, make_vocabulary
from wgan_jax.errors import UserError

TEXT = "bab\n\nacab long\r\n   \nbé"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(TEXT.encode("utf-8-sig"))
    return Data(
        source="text",
        dir=str(path),
        length=4,
        vocabulary=6,
        batch_size=1,
        heldout=1,
    )


def test_lines_are_cut_and_padded(data):
    reader = open_reader(data)
    lines = ["".join(map(chr, row)) for row in reader.read(np.arange(3)).samples]
    assert lines == [f"bab{PADDING}", "acab", f"bé{PADDING * 2}"]
    assert reader.remarks == [f"2 empty lines of {data.dir} are left out"]
    assert vocabulary_size(data) == 6


def test_the_vocabulary_is_the_most_frequent_characters(data):
    codes = open_reader(data).read(np.arange(3)).samples
    vocabulary = make_vocabulary(codes, 5, "it")
    assert vocabulary == f"{UNKNOWN}{PADDING}bac"
    numbers = encode(codes, vocabulary)
    assert numbers.dtype == np.uint8
    assert numbers.tolist() == [[2, 3, 2, 1], [3, 4, 3, 2], [2, 0, 1, 1]]
    assert decode(numbers, vocabulary) == ["bab", "acab", f"b{UNKNOWN}"]
    # Only the padding after the end of a line is not shown.
    assert decode(np.array([[1, 2, 1, 2]]), vocabulary) == [f"{PADDING}b{PADDING}b"]


def test_a_vocabulary_larger_than_that_of_the_text_is_refused(data):
    with pytest.raises(
        UserError, match=r"which has 4 different .* --data.vocabulary 6"
    ):
        load_in_memory(dataclasses.replace(data, vocabulary=7))


def test_a_run_keeps_its_vocabulary_where_the_text_changes(data, tmp_path):
    dataset = load_in_memory(data)
    vocabulary = dataset.record.vocabulary
    assert sorted(vocabulary) == sorted(f"{UNKNOWN}{PADDING}abcé")
    other = tmp_path / "other.txt"
    other.write_text("zz\nzb\nzzzz\nxyzw\n")
    changed = dataclasses.replace(data, dir=str(other))
    again = load_in_memory(changed, dataset.record)
    assert again.record.vocabulary == vocabulary
    lines = decode(np.concatenate([again.train, again.heldout]), vocabulary)
    assert sorted(lines) == sorted(
        [UNKNOWN * 2, f"{UNKNOWN}b", UNKNOWN * 4, UNKNOWN * 4]
    )


def test_networks_see_one_hot_lines(data):
    dataset = load_in_memory(data)
    x = to_float(jnp.asarray(dataset.train), data, None)
    assert x.shape == (2, *data.sample_shape) == (2, 4, 6)
    np.testing.assert_array_equal(x.argmax(-1), dataset.train)
    np.testing.assert_array_equal(x.sum(-1), np.ones((2, 4)))


def test_copies_of_a_line_may_be_on_both_sides(data, tmp_path):
    path = tmp_path / "same.txt"
    path.write_text("ab\n" * 10)
    data = dataclasses.replace(data, dir=str(path), vocabulary=4, heldout=4)
    dataset = load_in_memory(data)
    assert (len(dataset.train), len(dataset.heldout)) == (6, 4)
    assert dataset.record.duplicates == 9


def test_a_folder_is_read_file_by_file(data, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "news-2").write_text("bb\n")
    (folder / "news-1").write_text("aa\n")
    reader = open_reader(dataclasses.replace(data, dir=str(folder)))
    assert chr(reader.read(np.array([0])).samples[0, 0]) == "a"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfe\xff", "it is not UTF-8"), (b"\n \n", "has no line of text")],
)
def test_a_file_without_text_is_refused_in_one_sentence(data, content, reason):
    with open(data.dir, "wb") as file:
        file.write(content)
    with pytest.raises(UserError, match=reason):
        open_reader(data)


def test_a_missing_file_is_refused(data):
    with pytest.raises(UserError, match="nowhere cannot be read"):
        open_reader(dataclasses.replace(data, dir="nowhere"))


def test_a_txt_file_is_detected(data):
    assert detect(data.dir) == "text"
