import json
import os
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import in_process
from PIL import Image

from wgan_jax import prepare
from wgan_jax.anogan import report
from wgan_jax.anogan.images import load_images
from wgan_jax.config import Data
from wgan_jax.data import image_sets
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.image_files import image_files, stamps
from wgan_jax.data.memory import load_samples
from wgan_jax.data.sources import folder as folder_source
from wgan_jax.data.sources import open_reader
from wgan_jax.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def reports(capsys):
    """A function that returns the lines printed since its last call."""
    return lambda: capsys.readouterr().out.splitlines()


@pytest.fixture
def folder(tmp_path):
    """A function that makes image files of these names in a folder."""

    def make(*names):
        for number, name in enumerate(names):
            path = make.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(np.full((8, 8), 200 + number, np.uint8))
            image.save(path, "PNG")
        return make.path

    make.path = tmp_path / "images"
    return make


def found(path):
    """(names of the image files of a folder, the line on skipped ones)."""
    files, skipped = image_files(path)
    return [file.relative_to(path).as_posix() for file in files], skipped.line()


def folder_of(path, **changes):
    fields = {"image_size": 8, "batch_size": 1, "heldout": 0}
    return Data(source="folder", dir=str(path), **(fields | changes))


# ------------------------------------------------------------------------------ finding


def test_hidden_files_and_those_of_systems_are_skipped_and_counted(folder):
    path = folder(
        *("a.png", "cat/b.PNG", ".c.png", "._a.png", ".ipynb_checkpoints/a.png"),
        *("__MACOSX/cat/b.png", "cat/@eaDir/b.png/thumb.png", "$RECYCLE.BIN/c.png"),
    )
    for name in ("Thumbs.db", "cat/.DS_Store", "notes.txt", "labels", "b.psd"):
        (path / name).touch()
    names, lines = found(path)
    assert names == ["a.png", "cat/b.PNG"]
    assert lines == [
        "skipped 11 files: 8 hidden ($RECYCLE.BIN), 3 not an image (b.psd)"
    ]


def test_photographs_that_are_not_read_are_not_called_other_files(folder):
    path = folder("a.png")
    (path / "IMG_1.HEIC").touch()
    assert found(path)[1] == [
        "skipped 1 file: 1 to be converted to JPEG or PNG first (IMG_1.HEIC)"
    ]


def test_a_hidden_folder_that_is_named_itself_is_read(folder):
    path = folder(".mine/a.png")
    assert found(path / ".mine") == (["a.png"], [])


def test_nothing_is_printed_where_nothing_is_skipped(folder):
    (folder("a.png") / ".git").mkdir()
    assert found(folder.path) == (["a.png"], [])


def test_links_are_followed_and_loops_end(folder, tmp_path):
    path = folder("a/1.png")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(path / "a", elsewhere / "deep")
    (path / "b").symlink_to(elsewhere)
    (path / "one.png").symlink_to(elsewhere / "deep" / "1.png")
    (path / "a" / "loop").symlink_to(path)
    (path / "gone.png").symlink_to(path / "nowhere.png")
    names, (line,) = found(path)
    assert names == ["a/1.png", "b/deep/1.png", "one.png"]
    assert "1 not a file or a broken link (gone.png)" in line
    assert "in a folder that is read already (a/loop/)" in line


def test_a_folder_that_two_paths_reach_is_read_once(folder):
    path = folder("real/1.png", "real/2.png")
    (path / "again").symlink_to(path / "real")
    names, lines = found(path)
    assert names == ["real/1.png", "real/2.png"]
    assert lines == ["skipped 2 files: 2 in a folder that is read already (again/)"]


@pytest.mark.skipif(
    os.name == "nt" or os.getuid() == 0, reason="root reads every folder"
)
def test_a_folder_without_permission_is_named(folder):
    path = folder("a.png", "closed/b.png")
    (path / "closed").chmod(0)
    with pytest.raises(UserError, match=r"images cannot be read \(.*closed"):
        image_files(path)
    (path / "closed").chmod(0o700)


def test_a_replaced_file_of_the_same_size_and_time_is_noticed(folder):
    path = folder("a.png", "b.png")
    files, _ = image_files(path)
    before = stamps(path, files)
    assert stamps(path, files) == before
    stat = files[0].stat()
    content = files[1].read_bytes()
    assert len(content) == stat.st_size
    files[0].write_bytes(content)
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files[0].stat().st_mtime_ns == stat.st_mtime_ns
    assert stamps(path, files) != before


# -------------------------------------------------------------------------------- bytes

STRANGE = os.fsdecode(b"caf\xe9\nnew\x1b[31m.png")


@pytest.fixture
def strange(folder):
    """A folder with a name that is not UTF-8 and has control characters."""
    path = folder("a.png")
    try:
        (path / "a.png").rename(path / STRANGE)
    except OSError:
        pytest.skip("this file system allows UTF-8 only")
    return path


def test_any_bytes_are_allowed_in_a_name(strange, tmp_path):
    dataset = load_in_memory(folder_of(strange))
    assert dataset.train.tolist() == np.full((1, 8, 8, 1), 200).tolist()
    shown = load_images(Data(image_size=8), str(strange), (), "")
    assert shown.names == [STRANGE]
    json.dumps(shown.names).encode()
    parts = SimpleNamespace(residual=np.ones(1), feature=np.ones(1))
    result = SimpleNamespace(scores=np.ones(1), parts=parts)
    detection = SimpleNamespace(threshold=None, result=result)
    report._write_scores(tmp_path / "scores.csv", shown, detection)
    assert os.fsencode(STRANGE) in (tmp_path / "scores.csv").read_bytes()
    labels = tmp_path / "labels.csv"
    labels.write_bytes(b'name,anomalous\n"' + os.fsencode(STRANGE) + b'",1\n')
    shown = load_images(Data(image_size=8), str(strange), (), str(labels))
    assert shown.anomalous.tolist() == [True]


def test_any_bytes_of_a_name_are_printed_in_one_line(strange, reports):
    (strange / STRANGE).write_text("no image")
    with pytest.raises(UserError) as error:
        load_in_memory(folder_of(strange))
    name = "caf\\udce9\\nnew\\x1b[31m.png"
    assert f"{name} (not an image" in str(error.value)
    (strange / STRANGE).rename(strange / STRANGE.replace(".png", ".txt"))
    Image.new("L", (8, 8), 99).save(strange / "b.png")
    load_in_memory(folder_of(strange))
    (line,) = reports()
    assert line == f"skipped 1 file: 1 not an image ({name.replace('.png', '.txt')})"


# ------------------------------------------------------------------------------ reports


def test_reports_also_come_from_the_cache(folder, reports, monkeypatch):
    path = folder("a.png", ".b.png")
    Image.new("L", (7, 4), 99).save(path / "small.png")
    expected = [
        "skipped 1 file: 1 hidden (.b.png)",
        "1 of 2 images are of another aspect ratio and are cropped at the centre",
        "1 of 2 images are smaller than the image size and are enlarged",
    ]
    load_samples(open_reader(folder_of(path)))
    assert reports() == expected
    monkeypatch.delattr(folder_source, "decode")
    load_samples(open_reader(folder_of(path)))
    assert reports() == expected


def test_the_background_is_part_of_the_cache_key(tmp_path):
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "a.png")
    for background in (255, 7):
        images = load_in_memory(folder_of(tmp_path, background=background)).train
        assert (images == background).all()


@pytest.mark.parametrize(("top", "warns"), [(255, False), (64, False), (63, True)])
def test_dark_images_bring_a_warning(folder, reports, top, warns):
    path = folder("a.png")
    Image.new("L", (8, 8), top).save(path / "a.png")
    load_in_memory(folder_of(path))
    expected = (
        "warning: no grey level of the 1 images is above 63 of 255: scale their values "
        "to the whole range"
    )
    assert reports() == [expected] * warns


def test_warnings_of_pillow_are_not_shown(folder, monkeypatch):
    path = folder("a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_in_memory(folder_of(path))
    # Pillow itself refuses twice as many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 31)
    with pytest.raises(UserError, match=r"cannot be read: .*DecompressionB"):
        load_in_memory(folder_of(path, channels=3))


def test_npz_arrays_of_16_bits_and_floats_equal_those_of_8(tmp_path, reports):
    grey = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)
    path = tmp_path / "x.npz"
    data = Data(source="npz", dir=str(path), image_size=8, batch_size=1, heldout=0)
    for images in (
        grey,
        grey.astype(np.uint16) * 257,
        grey / 255,
        grey / np.float32(255),
    ):
        np.savez(path, images=images)
        np.testing.assert_array_equal(
            load_samples(open_reader(data)).samples[..., 0], grey
        )
    assert reports() == []
    np.savez(path, images=grey.astype(np.uint16) * 16)
    load_in_memory(data)
    assert reports()[0].startswith("warning: array 'images' of data.dir=")


# -------------------------------------------------------------------------- one decoder


def test_every_command_has_the_same_pixels(tmp_path, reports):
    rng = np.random.default_rng(0)
    path = tmp_path / "images"
    path.mkdir()
    deep = rng.integers(0, 2**16, (10, 8, 8), np.uint16)
    for i, values in enumerate(deep):
        Image.fromarray(values).save(path / f"{i}.png")
    Image.fromarray(rng.integers(0, 256, (8, 8, 2), np.uint8)).save(path / "la.png")
    Image.fromarray(np.float32(deep[0] / 65535)).save(path / "float.tif")
    Image.new("1", (8, 8)).save(path / "one.bmp")
    options = folder_of(path)
    of_training = load_samples(open_reader(options)).samples
    of_evaluation, _ = image_sets.load_pair(str(path), str(path))
    of_anomaly = load_images(options, str(path), (), "").samples
    packed = ("--image-size", "8", "--channels", "1")
    assert in_process(prepare, "pack", path, tmp_path / "packed", *packed) == (0, "")
    records = Data(source="array_record", dir=str(tmp_path / "packed"), image_size=8)
    of_records = load_samples(open_reader(records)).samples
    np.testing.assert_array_equal(of_training[:10, ..., 0], np.round(deep / 257))
    assert of_evaluation.shape == (13, 8, 8, 1)
    for images in (of_evaluation, of_anomaly, of_records):
        np.testing.assert_array_equal(images, of_training)


def test_sets_of_8_and_16_bits_are_equal(tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (12, 8, 8), np.uint8)
    for name, images in (("8", grey), ("16", grey.astype(np.uint16) * 257)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{i:02}.png")
    first, second = image_sets.load_pair(str(tmp_path / "8"), str(tmp_path / "16"))
    np.testing.assert_array_equal(first, grey[..., None])
    np.testing.assert_array_equal(second.train, first)


def test_packing_has_a_background(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    Image.new("LA", (8, 8), (0, 0)).save(path / "a.png")
    words = ("pack", path, tmp_path / "out", "--image-size", "8", "--channels", "1")
    code, error = in_process(prepare, *words, "--background", "256")
    assert (code, error) == (2, "error: --background 256 must be from 0 to 255\n")
    assert in_process(prepare, *words, "--background", "90") == (0, "")
    data = Data(source="array_record", dir=str(tmp_path / "out"), image_size=8)
    assert (load_samples(open_reader(data)).samples == 90).all()
