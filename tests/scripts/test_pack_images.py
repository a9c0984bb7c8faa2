"""The script that packs images to be streamed."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from wgan_jax.config import Data
from wgan_jax.data.dataset import load_dataset

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)


def script(name, *words):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def pack(folder, out, *more, size=8, channels=3):
    shape = ("--image-size", size, "--channels", channels)
    return script("pack_images.py", folder, out, *shape, *more)


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


@pytest.mark.parametrize(("form", "channels"), [("png", 3), ("ppm", 1), ("ppm", 3)])
def test_a_packed_folder_is_the_folder(folder, tmp_path, form, channels):
    out = tmp_path / "records"
    done = pack(folder, out, "--format", form, size=4, channels=channels)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"7 images of {folder} are in {out}\n"
    assert [p.name for p in out.iterdir()] == ["images.array_record-00000-of-00001"]
    same = {"image_size": 4, "channels": channels, "batch_size": 1, "heldout": 2}
    packed = load_dataset(Data(source="array_record", dir=str(out), **same))
    loose = load_dataset(Data(source="folder", dir=str(folder), **same))
    np.testing.assert_array_equal(packed.train, loose.train)
    np.testing.assert_array_equal(packed.heldout, loose.heldout)


def test_mistakes_are_told_in_one_sentence_and_leave_nothing(folder, tmp_path):
    out = tmp_path / "records"
    (folder / "6.png").write_bytes(b"no image")
    for done, said in (
        (pack(folder, out), f"{folder / '6.png'} cannot be read (UnidentifiedImage"),
        (pack(tmp_path / "none", out), f"{tmp_path / 'none'} is no folder"),
        (pack(folder, folder), f"{folder} is there already: give another folder"),
    ):
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {said}")
        assert done.stderr.count("\n") == 1
    done = pack(folder, out, size=0)
    assert done.returncode == 2
    assert "--image-size 0 must be greater than 0" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]
