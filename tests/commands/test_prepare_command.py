"""`prepare`: data checked, folders packed into array_record files, TFDS prepared."""

import json

import numpy as np
import pytest
from helpers import in_process, messy_folder
from PIL import Image

from wgan_jax import prepare
from wgan_jax.config import Data, load
from wgan_jax.data.dataset import load_in_memory

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)


def pack(folder, out, *more, size=8, channels=3):
    shape = ("--image-size", *np.ravel(size), "--channels", channels)
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
    ("file_format", "size", "channels"),
    [("png", 4, 3), ("ppm", 4, 1), ("ppm", (4, 6), 3)],
)
def test_a_packed_folder_has_the_images_of_the_folder(
    folder, tmp_path, file_format, size, channels, capsys
):
    out = tmp_path / "records"
    more = ("--format", file_format)
    assert pack(folder, out, *more, size=size, channels=channels) == (0, "")
    grey = "7 of 7 images have three channels and are converted to grey\n"
    cropped = "7 of 7 images are of another aspect ratio and are cropped at the centre"
    assert capsys.readouterr().out == (
        grey * (channels == 1)
        + f"{cropped}\n" * (size != 4)
        + f"7 images of {folder} are in {out}\n"
    )
    assert [p.name for p in out.iterdir()] == ["images.array_record-00000-of-00001"]
    same = {"image_size": size, "channels": channels, "batch_size": 1, "heldout": 2}
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
        (pack(folder, out, size=(4, 0)), "--image-size 4 0 must be 1 or more"),
        (pack(folder, out, size=("4", "6px")), "--image-size 4 6px cannot be read: it"),
        (
            in_process(prepare, "pak"),
            "pak is not a command of prepare: take check, pack",
        ),
        (in_process(prepare, "tfds", "mnistt"), "mnistt is not a TFDS data set: did"),
    ):
        assert status == 2
        assert error.startswith(f"error: {expected}")
        assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_help_lists_the_commands(capsys):
    assert in_process(prepare, "--help") == (0, "")
    assert "pack  Writes a folder of images" in capsys.readouterr().out


def test_check_reports_a_folder_and_writes_what_it_is_asked_for(tmp_path, capsys):
    folder, sheet, report, config = (
        tmp_path / name for name in ("photos", "sheet.png", "report.json", "photos.py")
    )
    messy_folder(folder, cats=2, dogs=2)
    files = ("--sheet", sheet, "--json", report, "--write-config", config)
    assert in_process(prepare, "check", folder, *files) == (0, "")
    out = capsys.readouterr().out
    assert "26 readable, 3 unreadable" in out
    assert "warning: 26 samples are few" in out
    command = f"python -m wgan_jax.train --config auto --data.dir {folder}"
    assert f"to train it: {command}\n" in out
    with Image.open(sheet) as image:
        assert image.width > 900
    assert json.loads(report.read_text())["command"] == command
    suggested = load(config)
    assert (suggested.data.dir, suggested.data.skip_corrupt) == (str(folder), True)
    assert f"data.image_size={suggested.data.image_size}: " in out
    before = [path.read_bytes() for path in (sheet, report, config)]
    status, error = in_process(prepare, "check", folder, *files)
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith(f"error: --sheet {sheet} already exists")
    assert before == [path.read_bytes() for path in (sheet, report, config)]
    capsys.readouterr()
    assert in_process(prepare, "check", folder, *files, "--overwrite") == (0, "")
    assert capsys.readouterr().out == out


def test_check_of_useless_data_is_one_sentence(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.jpg").write_bytes(b"no image")
    for path, more, expected in (
        (empty, (), f"no image of {empty} can be read: {empty / 'a.jpg'} (not an"),
        (tmp_path / "none", (), f"{tmp_path / 'none'} does not exist"),
        (empty, ("--sheet", "a.jpg"), "--sheet a.jpg must end in .png"),
        (empty, ("--seed", "-1"), "--seed -1 must be from 0"),
        (empty, ("--source", "foldr"), "--source foldr is not known: did you mean"),
    ):
        status, error = in_process(prepare, "check", path, *more)
        assert (status, error.count("\n")) == (2, 1)
        assert error.startswith(f"error: {expected}")


def test_check_reports_vectors(tmp_path, capsys):
    path = tmp_path / "vectors.npz"
    vectors = np.random.default_rng(0).normal(size=(600, 3))
    vectors[599] = vectors[0]
    np.savez(path, vectors=vectors)
    assert in_process(prepare, "check", path) == (0, "")
    out = capsys.readouterr().out
    assert "600 of 3 numbers" in out
    assert "1 group of equal vectors" in out
    assert "model.kind=mlp" in out
