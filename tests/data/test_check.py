"""The survey of images and its report: every oddity of a messy folder is named."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import messy_folder, photo
from PIL import Image

from wgan_jax.config import Data
from wgan_jax.data import survey as module
from wgan_jax.data.check import SHEET_SIDE, contact_sheet, lines, make_report
from wgan_jax.data.decoding import header
from wgan_jax.data.memory import load_parts
from wgan_jax.data.readers import Reader, Samples
from wgan_jax.data.survey import survey
from wgan_jax.errors import UserError
from wgan_jax.references import reference

SQUARE = Data(source="folder", image_size=64, channels=3)


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("messy") / "photos"
    messy_folder(folder)
    return dataclasses.replace(SQUARE, dir=str(folder))


@pytest.fixture(scope="module")
def surveyed(messy, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return survey(messy)


@pytest.fixture(scope="module")
def report(messy, surveyed):
    return make_report(surveyed, messy)


def test_a_messy_folder_is_reported_as_it_is(report):
    assert report["images"] == 38
    assert report["most_frequent_sizes"][0] == [80, 80, 7]
    assert (report["width"]["largest"], report["height"]["smallest"]) == (1000, 10)
    assert report["aspect_ratio"]["largest"] == 12.5
    assert report["modes"] == {
        "RGB 8-bit": 33,
        "P 8-bit": 1,
        "RGBA 8-bit": 1,
        "I;16 16-bit": 1,
        "CMYK 8-bit": 1,
        "L 8-bit": 1,
    }
    assert report["formats"] == {"JPEG": 28, "PNG": 9, "GIF": 1}
    assert (report["turned_by_exif"], report["several_frames"]) == (7, 1)
    assert report["grey"] == 2
    assert report["classes"] == {"cats": 23, "dogs": 10, "icons": 5}
    # 5 icons of 10 pixels, 7 turned images of 60 and one of 40.
    assert report["enlarged"] == 13
    assert report["cropped"] == 22


def test_unreadable_files_are_named_with_the_reason(report, messy):
    named = [text.removeprefix(f"{messy.dir}/cats/") for text in report["unreadable"]]
    assert [text.split(" (")[0] for text in named] == [
        "empty.jpg",
        "text.jpg",
        "truncated.jpg",
    ]
    assert "truncated" in named[2].split(" (")[1]


def test_skipped_files_are_counted_with_the_reason(report):
    (line,) = report["remarks"]
    assert line.startswith("skipped 4 files: ")
    for part in ("2 hidden (.DS_Store)", "1 not an image (readme.txt)", "gone.jpg"):
        assert part in line


def test_equal_files_and_near_copies_are_grouped(report):
    assert report["copies"] == [["cats/0.jpg", "dogs/small/copy.jpg"]]
    assert report["near_copies"] == [["cats/1.jpg", "cats/half.png"]]


def test_the_lines_have_every_name_on_one_line(report):
    text = "\n".join(lines(report))
    assert "cats/0.jpg = dogs/small/copy.jpg" in text
    assert "cats/1.jpg ~ cats/half.png" in text
    assert "cats: 23, dogs: 10, icons: 5" in text
    assert all(line[13] == " " for line in text.split("\n"))
    json.dumps(report)


def test_the_survey_accepts_what_training_accepts(messy, surveyed):
    skipping = dataclasses.replace(messy, skip_corrupt=True)
    part, _ = load_parts(skipping)
    assert len(part.samples) == len(surveyed.rows)


def test_the_contact_sheet_shows_the_images_of_training(surveyed, monkeypatch):
    monkeypatch.setattr("wgan_jax.data.check.SHEET", 10)
    sheet = contact_sheet(surveyed, seed=0)
    rows = 2 * (SHEET_SIDE + 2) + 2
    assert sheet.shape[1] == 10 * (SHEET_SIDE + 2) + 2
    assert sheet.shape[0] > rows
    np.testing.assert_array_equal(sheet, contact_sheet(surveyed, seed=0))
    assert (sheet != contact_sheet(surveyed, seed=1)).any()
    place = np.sort(np.random.default_rng(0).choice(38, 10, replace=False))[3]
    shown = sheet[2 : 2 + SHEET_SIDE, 2 + 3 * (SHEET_SIDE + 2) :][:, :SHEET_SIDE]
    np.testing.assert_array_equal(shown, surveyed.pictures([place], SHEET_SIDE)[0])


def test_the_most_unusual_image_is_first(tmp_path):
    for i in range(20):
        image = Image.blend(photo(i, 32, 32), Image.new("RGB", (32, 32), "grey"), 0.9)
        image.save(tmp_path / f"{i:02}.png")
    Image.new("RGB", (32, 32), (255, 0, 0)).save(tmp_path / "07.png")
    found = survey(dataclasses.replace(SQUARE, dir=str(tmp_path)))
    assert found.names(found.unusual()[:1]) == ["07.png"]


def test_images_of_one_colour_are_named(tmp_path):
    photo(0, 32, 32).save(tmp_path / "a.png")
    Image.new("RGB", (40, 30), "white").save(tmp_path / "blank.jpg")
    data = dataclasses.replace(SQUARE, dir=str(tmp_path))
    report = make_report(survey(data), data)
    assert report["one_colour"] == ["blank.jpg"]
    assert "one colour    1 of 2 images are blank: blank.jpg" in lines(report)


def test_a_survey_is_cached_until_a_file_changes(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        photo(i, 20, 20).save(folder / f"{i}.png")
    data = dataclasses.replace(SQUARE, dir=str(folder))
    first = survey(data)
    read = module._read
    monkeypatch.setattr(module, "_read", None)
    np.testing.assert_array_equal(survey(data).rows, first.rows)
    monkeypatch.setattr(module, "_read", read)
    photo(9, 24, 24).save(folder / "0.png")
    assert survey(data).rows["height"].tolist() == [24, 20, 20]


def test_a_folder_without_a_readable_image_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(
        UserError, match=r"no image of data.dir=\S* can be read: \S*a.jpg \(not an"
    ):
        survey(dataclasses.replace(SQUARE, dir=str(tmp_path)))


def test_arrays_have_labels_as_classes(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 12, 10), np.uint8)
    images[8] = images[0]
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(9) % 3)
    data = dataclasses.replace(SQUARE, source="npz", dir=str(tmp_path / "a.npz"))
    found = survey(data)
    report = make_report(found, data)
    assert report["classes"] == {"0": 3, "1": 3, "2": 3}
    assert (report["width"]["median"], report["height"]["median"]) == (10, 12)
    assert report["copies"] == [["number 0", "number 8"]]
    assert report["grey"] == 9


def test_near_copies_are_searched_among_a_sample_of_many(tmp_path, monkeypatch):
    for i in range(6):
        photo(i % 3, 40 + 2 * i, 40 + 2 * i).save(tmp_path / f"{i}.png")
    found = survey(dataclasses.replace(SQUARE, dir=str(tmp_path)))
    assert [len(group) for group in found.near_copies()] == [2, 2, 2]
    monkeypatch.setattr(module, "COMPARED", 2)
    assert sum(len(group) for group in found.near_copies()) in (0, 2)


class Unknown(Reader):
    """A reader of the user that only gives images of the size that is asked for."""

    def __len__(self):
        return 2

    def read(self, numbers):
        return Samples(np.zeros((len(numbers), *self.data.sample_shape), np.uint8))


def test_a_source_of_the_user_needs_originals_for_a_survey():
    data = Data(source=reference(Unknown))
    with pytest.raises(UserError, match=r"define originals\(numbers\) in its class"):
        survey(data)
    Unknown.originals = lambda self, numbers: np.zeros(
        (len(numbers), 9, 7, 1), np.uint8
    )
    assert survey(data).rows[["height", "width"]].tolist() == [(9, 7)] * 2


@pytest.mark.parametrize(
    ("mode", "bits"), [("1", 1), ("L", 8), ("RGBA", 8), ("I;16", 16), ("CMYK", 8)]
)
def test_a_header_has_the_depth_of_the_file(tmp_path, mode, bits):
    image = photo(0, 9, 7)
    if mode == "I;16":
        image = Image.fromarray(np.full((7, 9), 40_000, np.uint16))
    image = image if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    found = header(path)
    assert (found.mode, found.bits, found.width, found.height) == (mode, bits, 9, 7)
    assert header(path.read_bytes()) == found
