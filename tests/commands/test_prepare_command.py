"""`prepare`: folders packed into array_record files, TFDS data sets prepared."""

import numpy as np
import pytest
from helpers import in_process
from PIL import Image

from wgan_jax import prepare
from wgan_jax.config import Data
from wgan_jax.data.dataset import load_in_memory

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)


def pack(folder, out, *more, size=8, channels=3):
    shape = ("--image-size", size, "--channels", channels)
    return in_process(prepare, "pack", folder, out, *shape, *more)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for i, image in enumerate(IMAGES):
        place = folder / "deep" if i > 3 else folder
        Image.fromarray(image).save(place / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("file_format", "channels"), [("png", 3), ("ppm", 1), ("ppm", 3)]
)
def test_a_packed_folder_has_the_images_of_the_folder(
    folder, tmp_path, file_format, channels, capsys
):
    out = tmp_path / "records"
    more = ("--format", file_format)
    assert pack(folder, out, *more, size=4, channels=channels) == (0, "")
    grey = "7 of 7 images have three channels and are converted to grey\n"
    expected = f"{grey * (channels == 1)}7 images of {folder} are in {out}\n"
    assert capsys.readouterr().out == expected
    assert [p.name for p in out.iterdir()] == ["images.array_record-00000-of-00001"]
    same = {"image_size": 4, "channels": channels, "batch_size": 1, "heldout": 2}
    packed = load_in_memory(Data(source="array_record", dir=str(out), **same))
    loose = load_in_memory(Data(source="folder", dir=str(folder), **same))
    np.testing.assert_array_equal(packed.train, loose.train)
    np.testing.assert_array_equal(packed.heldout, loose.heldout)


def test_a_mistake_is_one_sentence_and_leaves_no_files(folder, tmp_path):
    out = tmp_path / "records"
    (folder / "6.png").write_bytes(b"no image")
    for (status, error), expected in (
        (pack(folder, out), f"{folder / '6.png'} cannot be read (not an image"),
        (pack(tmp_path / "none", out), f"{tmp_path / 'none'} is not a folder"),
        (pack(folder, folder), f"{folder} already exists: give a new folder"),
        (pack(folder, out, size=0), "--image-size 0 must be 1 or more"),
        (in_process(prepare, "pak"), "pak is not a command of prepare: take pack or"),
        (in_process(prepare, "tfds", "mnistt"), "mnistt is not a TFDS data set: did"),
    ):
        assert status == 2
        assert error.startswith(f"error: {expected}")
        assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_help_lists_the_commands(capsys):
    assert in_process(prepare, "--help") == (0, "")
    assert "pack  Writes a folder of images" in capsys.readouterr().out
