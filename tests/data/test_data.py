import dataclasses
import os
from functools import cache
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_digits, make_swiss_roll

from wgan_jax import files
from wgan_jax.config import Data
from wgan_jax.data.batches import make_get_batch, permute, to_float
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.sources import folder as folder_source
from wgan_jax.data.toys import toy_sample
from wgan_jax.errors import UserError
from wgan_jax.files import cache_directory


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    """The folder of decoded images, away from that of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "wgan_jax"


@pytest.fixture
def reports(capsys):
    """A function that returns the lines printed since its last call."""
    return lambda: capsys.readouterr().out.splitlines()


def rows(images):
    """Images as a sorted list of bytes: equal for equal sets in any order."""
    return sorted(image.tobytes() for image in images)


def complaint(data_config):
    with pytest.raises(UserError) as error:
        load_in_memory(data_config)
    return str(error.value)


def chi_square(counts):
    expected = counts.mean()
    return ((counts - expected) ** 2 / expected).sum()


# ----------------------------------------------------------------------------- permute

# Counts are traced here, so that each of these is compiled once.
permute_counts = jax.jit(jax.vmap(permute, (None, 0, 0)))
permute_keys = jax.jit(jax.vmap(permute, (None, None, 0)))


def test_permute_is_a_bijection_of_every_small_count():
    keys = jax.random.split(jax.random.key(0), 70)
    counts = jnp.arange(1, 71)
    # Positions beyond a count are not in its domain and are cut off below.
    table = np.asarray(permute_counts(jnp.arange(70), counts, keys))
    assert table.dtype == np.int32
    for row, count in zip(table, range(1, 71)):
        np.testing.assert_array_equal(np.sort(row[:count]), np.arange(count))
    # Where a position goes does not depend on what else is asked for.
    turned = permute_counts(jnp.arange(70)[::-1], counts, keys)
    np.testing.assert_array_equal(turned[-1], table[-1, ::-1])


def test_permute_is_a_bijection_of_large_counts():
    counts = [97, 1009, 4096, 60000, 60000]
    keys = jax.random.split(jax.random.key(1), len(counts))
    table = permute_counts(jnp.arange(60000), jnp.array(counts), keys)
    table = np.asarray(table)
    for row, count in zip(table, counts):
        np.testing.assert_array_equal(np.sort(row[:count]), np.arange(count))
        # A shuffle leaves one number in its place on average, and one neighbour.
        assert (row[:count] == np.arange(count)).sum() < 10
        assert (np.diff(row[:count]) == 1).sum() < 10
    assert (table[3] == table[4]).sum() < 10


def orders(count, draws):
    keys = jax.random.split(jax.random.key(count), 20000)
    return np.asarray(permute_keys(jnp.arange(30), count, keys))[:draws, :count]


def test_permute_sends_each_position_everywhere_equally_often():
    result = orders(7, 7000)
    for position in range(7):
        counts = np.bincount(result[:, position], minlength=7)
        # Six degrees of freedom: 35 is passed by chance once in 200,000.
        assert chi_square(counts) < 35


def test_permute_draws_all_orders_of_four_equally_often():
    result = orders(4, 4800)
    names = {order: i for i, order in enumerate(permutations(range(4)))}
    counts = np.bincount([names[tuple(row)] for row in result.tolist()], minlength=24)
    # 23 degrees of freedom: 68 is passed by chance once in 400,000.
    assert chi_square(counts) < 68


def test_permute_sends_pairs_everywhere_equally_often():
    result = orders(30, 20000)
    for a, b in ((0, 1), (0, 15), (3, 29)):
        distance = (result[:, a] - result[:, b]) % 30
        counts = np.bincount(distance, minlength=30)
        assert counts[0] == 0
        # 28 degrees of freedom: 76 is passed by chance once in 400,000.
        assert chi_square(counts[1:]) < 76


# --------------------------------------------------------------------------- make_draw


def numbered(count):
    """Images that differ in their only pixel."""
    return np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)


@cache
def drawer(data_config, count):
    return jax.jit(jax.vmap(make_get_batch(data_config, count), (None, None, 0)))


def drawn(data_config, count, key, indices):
    """Numbers of the images in batches `indices`: [len(indices), batch]."""
    # Filled up to one length, for which the program is compiled once.
    full = np.zeros(160, np.int32)
    full[: len(indices)] = indices
    batches = drawer(data_config, count)(numbered(count), key, full)
    assert batches.dtype == jnp.float32
    assert batches.shape == (160, data_config.batch_size, 1, 1, 1)
    result = np.round(np.asarray(batches) * 255).astype(int)[..., 0, 0, 0]
    return result[: len(indices)]


PIXEL = Data(image_size=1, scale="unit", batch_size=5)


def test_an_epoch_visits_an_image_at_most_once_and_its_remainder_varies(new_key):
    epochs = 40
    result = drawn(PIXEL, 23, new_key(), range(4 * epochs)).reshape(epochs, 20)
    left_out = []
    for epoch in result:
        assert len(set(epoch.tolist())) == 20
        left_out.append(frozenset(range(23)) - set(epoch.tolist()))
    assert all(len(tail) == 3 for tail in left_out)
    # No image is left out for good, nor always the same ones.
    assert frozenset().union(*left_out) == frozenset(range(23))
    assert len(set(left_out)) > epochs // 2
    assert len({tuple(epoch) for epoch in result.tolist()}) == epochs


def test_a_batch_as_large_as_the_data_holds_every_image(new_key):
    result = drawn(PIXEL, 5, new_key(), range(6)).tolist()
    assert all(sorted(batch) == list(range(5)) for batch in result)
    assert len({tuple(batch) for batch in result}) > 1


def test_a_batch_is_a_function_of_key_and_index(new_key):
    key = new_key()
    in_order = drawn(PIXEL, 23, key, range(12))
    # As a resumed run asks for them: not from the first on.
    some = drawn(PIXEL, 23, key, [7, 3, 11])
    np.testing.assert_array_equal(some, in_order[[7, 3, 11]])
    assert not np.array_equal(drawn(PIXEL, 23, new_key(), range(12)), in_order)


def test_batches_after_many_epochs(new_key):
    first = 4 * 123_456_789
    result = drawn(PIXEL, 23, new_key(), range(first, first + 8)).reshape(2, 20)
    for epoch in result.tolist():
        assert len(set(epoch)) == 20
        assert set(epoch) <= set(range(23))
    assert not np.array_equal(*result)


def test_batches_of_a_toy_need_no_samples(new_key):
    data_config = Data(source="swiss_roll", batch_size=6)
    draw, key = jax.jit(make_get_batch(data_config, 0)), new_key()
    first, second, again = (draw(np.zeros((0, 2), "u1"), key, i) for i in (0, 1, 0))
    assert first.shape == (6, 2)
    assert not np.isin(first, second).any()
    np.testing.assert_array_equal(first, again)


# ---------------------------------------------------------------------------- to_float


@pytest.mark.parametrize(("scale", "low"), [("symmetric", -1.0), ("unit", 0.0)])
def test_scaling_is_exact_at_its_ends_and_even_between(scale, low, new_key):
    levels = np.arange(256, dtype=np.uint8)
    x = np.asarray(to_float(levels, Data(scale=scale), new_key()))
    assert x.dtype == np.float32
    assert x[0] == low
    assert x[255] == 1.0
    np.testing.assert_allclose(np.diff(x), (1 - low) / 255, rtol=1e-4)


@pytest.mark.parametrize(("scale", "low"), [("symmetric", -1.0), ("unit", 0.0)])
def test_dequantize_fills_each_level_evenly(scale, low, new_key):
    levels = np.repeat(np.arange(256, dtype=np.uint8), 400).reshape(256, 400)
    data_config = Data(scale=scale, dequantize=True)
    x = np.asarray(to_float(levels, data_config, new_key()), np.float64)
    within = (x - low) / (1 - low) * 256 - levels
    # Rounding to float32 may reach the upper end.
    assert within.min() >= 0
    assert within.max() <= 1
    # Standard errors over 102,400 draws: 0.0009 of the mean, 0.018 of a level's.
    assert abs(within.mean() - 0.5) < 0.005
    assert abs(within.mean(1) - 0.5).max() < 0.08
    assert abs(within.std() - 12**-0.5) < 0.005


def test_dequantize_differs_from_batch_to_batch_and_from_pixel_to_pixel(new_key):
    data_config = Data(image_size=4, batch_size=2, dequantize=True)
    draw, key = jax.jit(make_get_batch(data_config, 2)), new_key()
    samples = np.full((2, 4, 4, 1), 100, np.uint8)
    first, second = (np.asarray(draw(samples, key, i)) for i in (0, 1))
    assert len(np.unique(np.stack([first, second]))) == 64
    np.testing.assert_array_equal(draw(samples, key, 0), first)


def test_flip_mirrors_half_of_the_images_and_nothing_else(new_key):
    data_config = Data(image_size=4, batch_size=50, flip=True)
    draw, key = jax.jit(make_get_batch(data_config, 50)), new_key()
    samples = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1), np.uint8)
    plain = jax.jit(make_get_batch(Data(image_size=4, batch_size=50), 50))
    flipped = 0
    for index in range(20):
        expected, result = (np.asarray(d(samples, key, index)) for d in (plain, draw))
        as_is = (result == expected).all((1, 2, 3))
        mirrored = (result == expected[:, :, ::-1]).all((1, 2, 3))
        assert (as_is ^ mirrored).all()
        flipped += mirrored.sum()
    # A standard error of 16.
    assert abs(flipped - 500) < 80


# ------------------------------------------------------------------------------ labels


def by_image(images, labels):
    return {image.tobytes(): label for image, label in zip(images, labels, strict=True)}


def test_labels_stay_with_their_images():
    digits = load_digits()
    scans = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    expected = by_image(scans, digits.target)
    dataset = load_in_memory(Data(image_size=8, heldout=100))
    for images, labels in (
        (dataset.train, dataset.train_labels),
        (dataset.heldout, dataset.heldout_labels),
    ):
        assert labels.dtype == np.int32
        assert [expected[image.tobytes()] for image in images] == labels.tolist()


def test_batches_keep_labels_with_their_images(new_key):
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1) * 20
    data_config = Data(image_size=1, batch_size=4)
    draw = jax.jit(make_get_batch(data_config, 12, labelled=True))
    plain = jax.jit(make_get_batch(data_config, 12))
    key = new_key()
    for index in range(3):
        real, labels = draw((images, jnp.arange(12)), key, index)
        np.testing.assert_allclose(real.ravel(), labels * 20 / 127.5 - 1, atol=1e-6)
        np.testing.assert_array_equal(real, plain(images, key, index))


def test_classes_choose_images_for_training_and_held_out():
    wanted = load_digits().target
    dataset = load_in_memory(Data(image_size=8, heldout=50, classes=(1, 7)))
    assert len(dataset.heldout) == 50
    assert len(dataset.train) == np.isin(wanted, (1, 7)).sum() - 50
    assert dataset.record.labels == (1, 7)
    assert set(dataset.train_labels.tolist()) == {0, 1}
    assert set(dataset.heldout_labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("data_config", "expected"),
    [
        (
            Data(image_size=8, classes=(1, 10)),
            "data.classes=(1, 10) has 10, a label that no image has: the labels go "
            "from 0 to 9",
        ),
        (
            Data(source="npz", image_size=8, heldout=0, batch_size=2, classes=(1,)),
            "data.classes=(1,) needs labels, and data.source=npz has none here: leave "
            "data.classes empty",
        ),
    ],
)
def test_classes_that_do_not_exist_are_refused(data_config, expected, npz):
    path = npz(images=GREY)
    assert complaint(dataclasses.replace(data_config, dir=str(path))) == expected


def test_npz_labels_travel_with_images(npz):
    path = npz(images=GREY, labels=np.arange(6))
    dataset = load_in_memory(npz_of(path))
    expected = by_image(GREY, np.arange(6))
    result = [expected[image.tobytes()] for image in dataset.train]
    assert dataset.train_labels.tolist() == result


def test_each_npz_split_has_its_labels(npz):
    arrays = {"train_images": GREY[:4], "train_labels": np.arange(4)}
    arrays |= {"test_images": GREY[4:], "test_labels": np.array([3, 1])}
    named = {"array": "train_images", "test_split": "test_images", "heldout": 2}
    dataset = load_in_memory(npz_of(npz(**arrays), **named))
    expected = by_image(GREY, [0, 1, 2, 3, 3, 1])
    for images, labels, count in (
        (dataset.train, dataset.train_labels, 4),
        (dataset.heldout, dataset.heldout_labels, 2),
    ):
        assert len(images) == count
        assert [expected[image.tobytes()] for image in images] == labels.tolist()
    message = complaint(npz_of(npz.path, **(named | {"test_split": "valid"})))
    assert message.startswith("data.test_split='valid' is not in data.dir=")
    assert message.endswith("name one of them with --data.test-split")


# -------------------------------------------------------------------------------- toys


@pytest.fixture(scope="module")
def toys():
    sample = jax.jit(toy_sample, static_argnums=(0, 2))
    keys = jax.random.split(jax.random.key(8), 3)
    names = ("8gaussians", "25gaussians", "swiss_roll")
    return {
        name: np.asarray(sample(name, key, 20000))
        for name, key in zip(names, keys, strict=True)
    }


def assert_gaussians(points, centres, deviation):
    offsets = points[:, None] - centres
    nearest = np.linalg.norm(offsets, axis=-1).argmin(1)
    rest = offsets[np.arange(len(points)), nearest]
    assert np.abs(rest).max() < 6 * deviation
    np.testing.assert_allclose(rest.std(0), deviation, rtol=0.03)
    assert np.abs(rest.mean(0)).max() < 5 * deviation / len(points) ** 0.5
    counts = np.bincount(nearest, minlength=len(centres))
    # At most 24 degrees of freedom.
    assert chi_square(counts) < 70


def test_8gaussians_are_on_a_circle_of_radius_root_two(toys):
    angles = np.arange(8) * np.pi / 4
    centres = 2 / 1.414 * np.stack([np.cos(angles), np.sin(angles)], 1)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 2**0.5, rtol=1e-3)
    assert_gaussians(toys["8gaussians"], centres, 0.02 / 1.414)


def test_25gaussians_are_on_a_lattice(toys):
    line = np.array([-4.0, -2.0, 0.0, 2.0, 4.0]) / 2.828
    centres = np.stack(np.meshgrid(line, line), -1).reshape(25, 2)
    assert_gaussians(toys["25gaussians"], centres, 0.05 / 2.828)


def test_swiss_roll_equals_the_one_of_scikit_learn(toys):
    roll, _ = make_swiss_roll(20000, noise=0.25, random_state=0)
    theirs = roll[:, [0, 2]] / 7.5
    ours = toys["swiss_roll"]
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.03)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.02)
    levels = np.linspace(0.02, 0.98, 25)
    lengths = [np.linalg.norm(points, axis=1) for points in (ours, theirs)]
    for a, b in zip([*ours.T, lengths[0]], [*theirs.T, lengths[1]], strict=True):
        # Where the density is low a quantile moves by 0.04 from draw to draw.
        difference = np.quantile(a, levels) - np.quantile(b, levels)
        assert np.abs(difference).max() < 0.08
        assert np.abs(difference).mean() < 0.02


def test_toys_load_only_points_held_out():
    data_config = Data(source="swiss_roll", heldout=50)
    first, again = load_in_memory(data_config), load_in_memory(data_config)
    assert first.train.shape == (0, 2)
    assert first.heldout.shape == (50, 2)
    assert first.heldout.dtype == np.float32
    np.testing.assert_array_equal(first.heldout, again.heldout)


# ------------------------------------------------------------------------------ digits


def test_digits_at_their_own_size_are_the_scans():
    scans = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    dataset = load_in_memory(Data(image_size=8, heldout=100))
    assert len(dataset.heldout) == 100
    together = np.concatenate([dataset.train, dataset.heldout])
    assert rows(together) == rows(scans)


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (28, 3), (32, 1)])
def test_digits_are_resized_and_converted(size, channels):
    dataset = load_in_memory(Data(image_size=size, channels=channels, heldout=192))
    assert dataset.train.shape == (1605, size, size, channels)
    assert dataset.heldout.shape == (192, size, size, channels)
    assert dataset.train.dtype == dataset.heldout.dtype == np.uint8
    # A digit is bright on black, and grey has equal channels.
    assert dataset.train.min() == 0
    assert dataset.train.max() == 255
    assert (dataset.train == dataset.train[..., :1]).all()


def test_heldout_digits_are_never_trained_on_and_always_the_same():
    first = load_in_memory(Data(image_size=8, heldout=192, batch_size=8))
    assert not set(rows(first.train)) & set(rows(first.heldout))
    again = load_in_memory(
        Data(image_size=8, heldout=192, batch_size=64, dequantize=True)
    )
    np.testing.assert_array_equal(first.heldout, again.heldout)
    np.testing.assert_array_equal(first.train, again.train)


def test_nothing_held_out():
    dataset = load_in_memory(Data(image_size=8, heldout=0))
    assert dataset.heldout.shape == (0, 8, 8, 1)
    assert len(dataset.train) == 1797


@pytest.mark.parametrize("heldout", [1790, 1797, 5000])
def test_a_batch_larger_than_the_data_is_refused(heldout):
    left = max(1797 - heldout, 0)
    message = complaint(Data(image_size=8, heldout=heldout, batch_size=8))
    assert message == (
        f"data.batch_size=8 is larger than the {left} images left to train on besides "
        f"data.heldout={heldout}: lower one of them"
    )


# ------------------------------------------------------------------------------ folder


def noise_image(seed, width, height, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def folder_of(path, **changes):
    fields = {"image_size": 8, "channels": 3, "batch_size": 1, "heldout": 0}
    return Data(source="folder", dir=str(path), **(fields | changes))


@pytest.fixture
def tree(tmp_path):
    """A tree of images of many kinds and sizes: its folder and its files."""
    folder = tmp_path / "images"
    (folder / "deep" / "er").mkdir(parents=True)
    colour = Image.fromarray(noise_image(0, 8, 8))
    colour.save(folder / "exact.png")
    Image.fromarray(noise_image(1, 8, 8, 1)).save(folder / "exact_grey.png")
    Image.fromarray(noise_image(2, 16, 16)).save(folder / "deep" / "double.PNG")
    Image.fromarray(noise_image(3, 30, 11)).save(folder / "deep" / "wide.jpg")
    Image.fromarray(noise_image(4, 5, 9)).save(folder / "deep" / "er" / "tall.jpeg")
    Image.fromarray(noise_image(5, 12, 12, 4)).save(folder / "alpha.png")
    Image.fromarray(noise_image(6, 12, 9)).quantize(16).save(folder / "palette.png")
    Image.fromarray(noise_image(7, 8, 8, 1)).save(folder / "exact.bmp")
    (folder / "notes.txt").write_text("no image")
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".txt"]
    assert len(files) == 8
    return folder, files


@pytest.mark.parametrize("resize", ["box", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("channels", [1, 3])
def test_folder_images_are_converted_cropped_and_resized(tree, channels, resize):
    folder, files = tree
    mode = {1: "L", 3: "RGB"}[channels]
    method = Image.Resampling[resize.upper()]

    def opaque(file):
        image = Image.open(file)
        if image.mode != "RGBA":
            return image.convert(mode)
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white.convert(mode)

    expected = [ImageOps.fit(opaque(file), (8, 8), method) for file in files]
    images = load_in_memory(folder_of(folder, channels=channels, resize=resize)).train
    assert images.shape == (8, 8, 8, channels)
    assert images.dtype == np.uint8
    assert rows(images) == rows([np.asarray(image) for image in expected])


@pytest.fixture
def folder(tmp_path):
    """A folder of one colour image of 8 x 8 pixels, and that image."""
    folder = tmp_path / "images"
    folder.mkdir()
    image = noise_image(9, 8, 8)
    Image.fromarray(image).save(folder / "a.png")
    return folder, image


def test_images_of_the_right_size_keep_every_bit(folder):
    images = load_in_memory(folder_of(folder[0])).train
    np.testing.assert_array_equal(images, folder[1][None])


@pytest.mark.parametrize("wide", [True, False])
def test_images_are_cropped_to_the_square_at_the_centre(folder, wide):
    path, image = folder
    # As blue as nothing in the middle: one pixel of it would be seen.
    framed = np.zeros((8, 20, 3), np.uint8) + np.array([0, 0, 255], np.uint8)
    framed[:, 6:14] = image
    framed = framed if wide else framed.swapaxes(0, 1)
    Image.fromarray(framed).save(path / "a.png")
    expected = image if wide else image.swapaxes(0, 1)
    np.testing.assert_array_equal(load_in_memory(folder_of(path)).train, expected[None])


def test_box_filter_takes_the_mean_of_what_a_pixel_covers(folder):
    image = noise_image(10, 16, 16)
    Image.fromarray(image).save(folder[0] / "a.png")
    images = load_in_memory(folder_of(folder[0], resize="box")).train[0]
    means = image.reshape(8, 2, 8, 2, 3).mean((1, 3))
    # Pillow rounds after each of the two directions.
    assert np.abs(images - means).max() <= 1


def test_photographs_are_turned_as_their_exif_says(folder):
    path, image = folder
    exif = Image.Exif()
    exif[0x0112] = 6  # Shown turned to the right.
    Image.fromarray(image).save(path / "a.png", exif=exif)
    images = load_in_memory(folder_of(path)).train
    np.testing.assert_array_equal(images[0], np.rot90(image, -1))


def test_16_bit_grey_keeps_its_contrast(folder):
    levels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024
    Image.fromarray(levels).save(folder[0] / "a.png")
    images = load_in_memory(folder_of(folder[0], channels=1)).train[0, ..., 0]
    assert np.abs(images - levels / 257).max() <= 1


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path):
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no image")
    assert complaint(folder_of(missing)) == f"data.dir={missing} is not a folder"
    message = complaint(folder_of(empty))
    assert message.startswith(f"data.dir={empty} has no image files")
    assert ".jpeg .jpg .pbm .pgm .png" in message
    assert message.endswith("; skipped 1 file: 1 not an image (notes.txt)")


def corrupt(folder, count):
    for i in range(count):
        (folder / f"broken{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")


def test_unreadable_files_are_counted_and_named(folder):
    path, _ = folder
    whole = (path / "a.png").read_bytes()
    (path / "half.png").write_bytes(whole[: len(whole) // 2])
    (path / "empty.jpg").touch()
    message = complaint(folder_of(path))
    assert message.startswith("2 of 3 images cannot be read: ")
    assert str(path / "half.png") in message
    assert str(path / "empty.jpg") in message
    assert "--data.skip-corrupt" in message


def test_of_many_unreadable_files_three_are_named(folder):
    corrupt(folder[0], 5)
    message = complaint(folder_of(folder[0]))
    assert message.startswith("5 of 6 images")
    assert message.count("broken") == 3
    assert "; ...;" in message


def test_unreadable_files_can_be_skipped_and_are_reported_each_time(
    folder, reports, monkeypatch
):
    path, image = folder
    corrupt(path, 2)
    data_config = folder_of(path, skip_corrupt=True)
    first, (report,) = load_in_memory(data_config), reports()
    monkeypatch.delattr(folder_source, "decode")
    again = load_in_memory(data_config)
    np.testing.assert_array_equal(first.train, image[None])
    np.testing.assert_array_equal(again.train, image[None])
    assert reports() == [report]
    assert report.startswith("2 of 3 images cannot be read: ")
    assert "broken0.png" in report
    assert report.endswith("training without them")
    # The cached list stops a run that does not skip.
    assert complaint(folder_of(path)).startswith("2 of 3 images")


def test_nothing_but_unreadable_files(tmp_path, reports):
    corrupt(tmp_path, 2)
    data_config = folder_of(tmp_path, skip_corrupt=True)
    assert "larger than the 0 images" in complaint(data_config)
    assert len(reports()) == 1


# ------------------------------------------------------------------------------- cache


def test_images_are_decoded_once(folder, monkeypatch, reports):
    first = load_in_memory(folder_of(folder[0]))
    monkeypatch.delattr(folder_source, "decode")
    # Nothing of these shapes an image.
    data_config = folder_of(folder[0], batch_size=1, scale="unit", dequantize=True)
    again = load_in_memory(data_config)
    np.testing.assert_array_equal(first.train, again.train)
    assert reports() == []


@pytest.mark.parametrize(
    "changes", [{"image_size": 4}, {"channels": 1}, {"resize": "box"}], ids=str
)
def test_a_change_of_shape_or_filter_decodes_again(
    folder, monkeypatch, reports, changes
):
    load_in_memory(folder_of(folder[0]))
    monkeypatch.delattr(folder_source, "decode")
    data_config = folder_of(folder[0], skip_corrupt=True, **changes)
    with pytest.raises(UserError):
        load_in_memory(data_config)
    assert "name 'decode' is not defined" in reports()[0]


def test_a_changed_file_is_decoded_again(folder):
    path, _ = folder
    load_in_memory(folder_of(path))
    before = (path / "a.png").stat()
    other = noise_image(11, 8, 8)
    Image.fromarray(other).save(path / "a.png")
    os.utime(path / "a.png", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    np.testing.assert_array_equal(load_in_memory(folder_of(path)).train, other[None])


def test_new_and_missing_files_are_noticed(folder):
    path, _ = folder
    load_in_memory(folder_of(path))
    Image.fromarray(noise_image(12, 8, 8)).save(path / "b.png")
    assert len(load_in_memory(folder_of(path)).train) == 2
    (path / "a.png").unlink()
    assert len(load_in_memory(folder_of(path)).train) == 1


# NumPy leaves the file open when its archive is cut off.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("left", [0, 10, 200])
def test_a_truncated_cache_entry_is_decoded_again(folder, cached, left, monkeypatch):
    path, image = folder
    load_in_memory(folder_of(path))
    (file,) = cached.iterdir()
    whole = file.read_bytes()
    assert len(whole) > 200
    file.write_bytes(whole[:left])
    np.testing.assert_array_equal(load_in_memory(folder_of(path)).train, image[None])
    monkeypatch.delattr(folder_source, "decode")
    np.testing.assert_array_equal(load_in_memory(folder_of(path)).train, image[None])
    assert [p.name for p in cached.iterdir()] == [file.name]


def test_a_full_disk_costs_the_cache_only(folder, cached, reports, monkeypatch):
    def savez(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.np, "savez", savez)
    dataset = load_in_memory(folder_of(folder[0]))
    np.testing.assert_array_equal(dataset.train, folder[1][None])
    (report,) = reports()
    assert report.startswith("decoded images are not cached: ")
    assert "No space left" in report
    assert list(cached.iterdir()) == []


def test_a_cache_that_cannot_be_made_costs_the_cache_only(
    folder, reports, monkeypatch, tmp_path
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    dataset = load_in_memory(folder_of(folder[0]))
    np.testing.assert_array_equal(dataset.train, folder[1][None])
    assert len(reports()) == 1


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("XDG_CACHE_HOME")
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache_directory() == tmp_path / ".cache" / "wgan_jax"


# --------------------------------------------------------------------------------- npz

GREY = np.random.default_rng(20).integers(0, 256, (6, 8, 8), np.uint8)
COLOUR = np.random.default_rng(21).integers(0, 256, (6, 8, 8, 3), np.uint8)


def npz_of(path, **changes):
    fields = {"image_size": 8, "batch_size": 1, "heldout": 0}
    return Data(source="npz", dir=str(path), **(fields | changes))


@pytest.fixture
def npz(tmp_path):
    """A function that writes arrays and returns the file's path."""

    def write(**arrays):
        np.savez(write.path, **arrays)
        return write.path

    write.path = tmp_path / "x.npz"
    return write


@pytest.mark.parametrize(
    ("arrays", "changes", "expected"),
    [
        ({"any": GREY}, {}, GREY),
        ({"any": GREY[..., None]}, {}, GREY),
        ({"images": GREY, "labels": np.arange(6)}, {}, GREY),
        ({"a": COLOUR[..., 0], "b": GREY}, {"array": "b"}, GREY),
        ({"images": COLOUR[..., 0], "b": GREY}, {"array": "b"}, GREY),
        ({"any": COLOUR}, {"channels": 3}, COLOUR),
        ({"any": GREY}, {"channels": 3}, np.stack([GREY] * 3, -1)),
        ({"any": GREY[..., None]}, {"channels": 3}, np.stack([GREY] * 3, -1)),
    ],
    ids=[
        "grey",
        "grey with an axis",
        "named images",
        "named by array",
        "array before images",
        "colour",
        "grey to colour",
        "grey with an axis to colour",
    ],
)
def test_npz_arrays_are_taken_as_they_are(npz, arrays, changes, expected):
    images = load_in_memory(npz_of(npz(**arrays), **changes)).train
    assert images.shape[1:] == (8, 8, changes.get("channels", 1))
    assert rows(images) == rows(expected)


def test_npz_colour_becomes_grey_by_luminance(npz):
    images = load_in_memory(npz_of(npz(any=COLOUR[:1]))).train[0, ..., 0]
    luminance = COLOUR[0] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(images - luminance).max() <= 1


def test_npz_images_are_resized(npz):
    path = npz(any=GREY)
    images = load_in_memory(npz_of(path, image_size=4, resize="box")).train
    means = GREY.reshape(6, 4, 2, 4, 2).mean((2, 4))
    order = np.abs(images[:, None, ..., 0] - means).max((2, 3)).argmin(1)
    assert sorted(order) == list(range(6))
    assert np.abs(images[..., 0] - means[order]).max() <= 1


@pytest.mark.parametrize(
    ("arrays", "changes", "expected"),
    [
        (
            {"a": GREY, "b": GREY},
            {},
            ["data.array='' is not in", "which has a, b", "--data.array"],
        ),
        ({"a": GREY}, {"array": "c"}, ["data.array='c' is not in", "which has a"]),
        (
            {"a": GREY / 1.0},
            {},
            ["array 'a'", "its values are from 1 to 255", "from 0 (black) to 1"],
        ),
        ({"a": GREY.astype(int)}, {}, ["array 'a'", "int64[6, 8, 8]", "of uint8"]),
        ({"a": GREY[0]}, {}, ["array 'a'", "uint8[8, 8]", "of uint8"]),
        ({"a": GREY[None, None]}, {}, ["uint8[1, 1, 6, 8, 8]", "of uint8"]),
        ({"a": np.moveaxis(COLOUR, 3, 1)}, {}, ["uint8[6, 3, 8, 8]", "1 or 3]"]),
        ({"a": np.array([None])}, {}, ["is not a readable .npz file"]),
        ({"a": GREY}, {"batch_size": 7}, ["data.batch_size=7", "the 6 images"]),
        ({"a": GREY}, {"heldout": 6}, ["data.batch_size=1", "the 0 images"]),
    ],
    ids=[
        "ambiguous",
        "no such array",
        "floats",
        "64-bit integers",
        "one image",
        "too many axes",
        "channels first",
        "objects",
        "fewer than a batch",
        "all held out",
    ],
)
def test_wrong_npz_arrays_are_named(npz, arrays, changes, expected):
    path = npz(**arrays)
    message = complaint(npz_of(path, **changes))
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no arrays"),
        lambda p: p.write_bytes(p.read_bytes()[:200]),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["missing", "empty", "text", "half", "folder"],
)
def test_a_file_that_is_not_an_npz_is_named(npz, spoil):
    path = npz(a=GREY)
    spoil(path)
    message = complaint(npz_of(path))
    assert message.startswith(f"data.dir={path} is not a readable .npz file: ")


def test_an_npz_without_images_is_fewer_than_a_batch(npz):
    path = npz(a=np.zeros((0, 9, 9), np.uint8))
    assert "larger than the 0 images" in complaint(npz_of(path))
