import jax
import numpy as np
import pytest
from PIL import Image

from wgan_jax import pictures
from wgan_jax.config import Data
from wgan_jax.data.batches import to_float

# ---------------------------------------------------------------------------- to_uint8


@pytest.mark.parametrize("scale", ["symmetric", "unit"])
def test_to_uint8_undoes_to_float_for_every_grey_level(scale, new_key):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    x = to_float(levels, Data(scale=scale), new_key())
    np.testing.assert_array_equal(pictures.to_uint8(x, scale), levels)


@pytest.mark.parametrize(
    ("scale", "low", "high"), [("symmetric", -1, 1), ("unit", 0, 1)]
)
def test_to_uint8_takes_the_closest_grey_level(scale, low, high):
    # Away from the middle between two levels, where either is as close.
    offsets = np.array([-0.49, -0.25, 0.25, 0.49])
    levels = np.arange(256)[:, None] + offsets
    x = low + (high - low) * levels / 255
    actual = pictures.to_uint8(x.reshape(-1, 1, 1, 1), scale).reshape(levels.shape)
    np.testing.assert_array_equal(actual, np.tile(np.arange(256)[:, None], 4))


@pytest.mark.parametrize("scale", ["symmetric", "unit"])
def test_to_uint8_clips_what_no_level_can_show(scale):
    x = np.array([-1e9, -1.01, 1.01, 300.0, 1e9]).reshape(-1, 1, 1, 1)
    actual = pictures.to_uint8(x, scale)
    assert actual.dtype == np.uint8
    assert actual.ravel().tolist() == [0, 0, 255, 255, 255]


# -------------------------------------------------------------------------------- grid


def cells(grid, height, width, rows, columns):
    """Images cut back out of a grid, by the layout its docstring promises."""
    return [
        grid[
            2 + r * (height + 2) : (r + 1) * (height + 2),
            2 + c * (width + 2) : (c + 1) * (width + 2),
        ]
        for r in range(rows)
        for c in range(columns)
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("count", "columns", "rows", "wide"),
    [
        (9, 0, 3, 3),
        (7, 0, 3, 3),
        (5, 0, 2, 3),
        (1, 0, 1, 1),
        (8, 8, 1, 8),
        (5, 2, 3, 2),
    ],
)
def test_grid_is_pixel_exact(count, columns, rows, wide, channels):
    height, width = 3, 4
    rng = np.random.default_rng(0)
    # Below 255, so that an image cannot pass for the white around it.
    batch = rng.integers(0, 255, (count, height, width, channels), np.uint8)
    grid = pictures.grid(batch, columns)
    assert grid.dtype == np.uint8
    assert grid.shape == (rows * 5 + 2, wide * 6 + 2, channels)
    actual = cells(grid, height, width, rows, wide)
    np.testing.assert_array_equal(actual[:count], batch)
    assert all((cell == 255).all() for cell in actual[count:])
    # Nothing but the images is not white.
    assert (grid != 255).sum() == batch.size


# ----------------------------------------------------------------------------- scatter

WHITE, GREY, RED = [255] * 3, [170] * 3, [200, 30, 30]


def test_scatter_places_points_by_their_coordinates():
    nothing = np.zeros((0, 2))
    # One pixel is 0.05 wide; y points up and rows count down.
    grid = pictures.scatter(np.array([[1.1, 0.55]]), nothing, size=89)
    assert grid.shape == (89, 89, 3)
    assert grid[33, 66].tolist() == RED
    rows, columns = np.nonzero((grid != 255).any(-1))
    assert abs(rows - 33).max() <= 1
    assert abs(columns - 66).max() <= 1
    grid = pictures.scatter(nothing, np.array([[-2.2, 2.2]]), size=89)
    assert grid[0, 0].tolist() == GREY
    assert grid[-1, -1].tolist() == grid[-1, 0].tolist() == WHITE


def test_scatter_draws_generated_points_over_real_ones():
    point = np.array([[0.0, 0.0]])
    grid = pictures.scatter(point, point, size=45)
    assert grid[22, 22].tolist() == RED
    # The larger grey dot shows around the red one.
    assert (grid == GREY).all(-1).any()


def test_scatter_keeps_far_points_at_its_edge():
    grid = pictures.scatter(np.array([[9.0, -9.0]]), np.zeros((0, 2)), size=45)
    assert grid[44, 44].tolist() == RED


def test_limits_fit_points_of_any_units():
    rng = np.random.default_rng(0)
    income, age = rng.normal(4e4, 1e3, 2000), rng.uniform(20, 60, 2000)
    x, y = pictures.point_limits(np.stack([income, age], 1))
    # 99 % of a normal distribution are within 2.58 standard deviations.
    np.testing.assert_allclose(x, [4e4 - 3100, 4e4 + 3100], rtol=0.01)
    np.testing.assert_allclose(y, [16, 64], atol=0.5)
    # One scale where units are comparable, so that a circle is round.
    x, y = pictures.point_limits(rng.uniform(0, 1, (2000, 2)) * [1, 2])
    assert x[1] - x[0] == pytest.approx(y[1] - y[0])
    # One outlier of a thousand does not change the scale.
    far = np.vstack([rng.uniform(0, 1, (999, 2)), [1e9, 0]])
    assert pictures.point_limits(far)[0, 1] < 1.2


def test_limits_without_an_extent():
    assert pictures.point_limits(np.zeros((0, 2))).tolist() == [[-2.2, 2.2]] * 2
    x, y = pictures.point_limits(np.array([[3.0], [5.0]]))
    assert x[1] - x[0] == pytest.approx(2.4, rel=0.01)
    assert y[0] == -y[1] < 0


def test_scatter_draws_each_axis_in_its_limits():
    point = np.array([[4.1e4, 30]])
    limits = np.array([[4e4, 4.4e4], [10, 50]])
    shown = pictures.scatter(point, np.zeros((0, 2)), 89, limits)
    assert shown[44, 22].tolist() == RED


# ----------------------------------------------------------------------------- caption


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [500, 20])
def test_caption_adds_a_strip_and_leaves_every_pixel(width, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, width, channels), np.uint8)
    shown = pictures.caption(image, "step 100, averaged weights")
    assert shown.dtype == np.uint8
    left = (shown.shape[1] - width) // 2
    np.testing.assert_array_equal(shown[:9, left : left + width], image)
    strip = shown[9:]
    # The text is black and touches no side, even under a narrow picture.
    assert strip.min() < 50
    border = [strip[0], strip[-1], strip[:, 0], strip[:, -1]]
    assert all((side == 255).all() for side in border)
    assert (shown[:9, :left] == 255).all()
    other = pictures.caption(image, "step 100, current weights")
    assert shown.shape != other.shape or (shown != other).any()


# ----------------------------------------------------------------------- interpolation


def test_interpolation_starts_and_ends_at_the_given_noise():
    rng = np.random.default_rng(1)
    start, end = rng.normal(size=(2, 3, 16))
    path = pictures.interpolation(start, end, 5)
    assert path.shape == (15, 16)
    assert path.dtype == np.float32
    path = path.reshape(3, 5, 16)
    np.testing.assert_allclose(path[:, 0], start, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(path[:, -1], end, rtol=1e-5, atol=1e-5)


def test_interpolation_goes_along_the_circle_at_constant_speed():
    # From the first axis to the second, both of length 3: a quarter of a circle.
    start, end = np.array([[3.0, 0, 0]]), np.array([[0, 3.0, 0]])
    angles = np.pi / 2 * np.array([0, 1 / 3, 2 / 3, 1])
    expected = 3 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
    path = pictures.interpolation(start, end, 4)
    np.testing.assert_allclose(path, expected, atol=1e-6)


def test_interpolation_keeps_the_length_of_normal_noise():
    start, end = np.asarray(jax.random.normal(jax.random.key(3), (2, 8, 100)))
    lengths = np.linalg.norm(pictures.interpolation(start, end, 9), axis=1).reshape(
        8, 9
    )
    ends = lengths[:, [0, -1]]
    # The middle of a straight line would be at 0.71 of it.
    assert (lengths > 0.9 * ends.min(1, keepdims=True)).all()
    assert (lengths < 1.1 * ends.max(1, keepdims=True)).all()


@pytest.mark.parametrize("factor", [1.0, 2.0, -2.0])
def test_interpolation_between_points_on_one_line(factor):
    # Noise of one dimension knows no others.
    start = np.array([[1.0, 0.0], [0.0, 0.5]])
    path = pictures.interpolation(start, factor * start, 3).reshape(2, 3, 2)
    np.testing.assert_allclose(path[:, 0], start, atol=1e-5)
    np.testing.assert_allclose(path[:, -1], factor * start, atol=1e-5)
    longest = max(1, abs(factor))
    assert np.linalg.norm(path, axis=-1).max() <= longest + 1e-5


# ---------------------------------------------------------------------------- save_png


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_save_png_keeps_every_pixel(tmp_path, channels, mode):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (5, 7, channels), np.uint8)
    pictures.save_png(tmp_path / "x.png", image)
    with Image.open(tmp_path / "x.png") as read:
        assert read.mode == mode
        np.testing.assert_array_equal(np.asarray(read).reshape(image.shape), image)


def test_a_picture_that_cannot_be_written_leaves_no_file(tmp_path, monkeypatch):
    def fail(image, file):
        file.write_bytes(b"half")
        raise OSError("full")

    monkeypatch.setattr(pictures.Image.Image, "save", fail)
    with pytest.raises(OSError, match="full"):
        pictures.save_png(tmp_path / "a.png", np.zeros((2, 2, 1), np.uint8))
    assert list(tmp_path.iterdir()) == []
