"""Features by patches of the data set's own images."""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from wgan_jax.data.dataset import Dataset
from wgan_jax.errors import UserError
from wgan_jax.metrics import patches
from wgan_jax.metrics.features import EXTRACTORS, extract_array
from wgan_jax.metrics.frechet import DISTANCE, frechet_distance

features_of = jax.jit(patches.features)


@pytest.fixture(scope="module")
def scans():
    """uint8 [1797, 16, 16, 1]."""
    images = (load_digits().images * 15).astype(np.uint8)
    return images.repeat(2, 1).repeat(2, 2)[..., None]


@pytest.fixture(scope="module")
def params(scans):
    return patches.fit(scans[:500])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A separate cache directory, and fewer patches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(patches, "PATCHES", 2000)
    return tmp_path / "wgan_jax"


def test_features_are_mean_responses_in_the_quarters(params, scans):
    images = scans[:3]
    features, logits = features_of(params, images)
    assert logits is None
    assert features.shape == (3, patches.dimension(params)) == (3, 128)
    ((kernel, bias),) = params
    x = images[..., 0] / 255
    windows = np.lib.stride_tricks.sliding_window_view(x, (6, 6), (1, 2))
    responses = np.einsum("nrcij,ijk->nrck", windows, kernel[:, :, 0]) - bias
    both = np.concatenate([responses, -responses], -1)
    both = np.maximum(both - patches.THRESHOLD, 0)
    # 11 places across: the last row and column are in no quarter.
    quarters = both[:, :10, :10].reshape(3, 2, 5, 2, 5, 32).mean((2, 4))
    np.testing.assert_allclose(features, quarters.reshape(3, -1), atol=1e-5)


def test_filters_are_whitened_patches(params, scans):
    # A filter gives its own patch the length of the whitened patch, and a response to
    # patches of the images that is 0 in the mean.
    ((kernel, bias),) = params
    windows = np.lib.stride_tricks.sliding_window_view(
        scans[:500, ..., 0], (6, 6), (1, 2)
    )
    pixels = windows.reshape(-1, 36)[::7] / 255
    responses = pixels @ kernel.reshape(36, -1) - bias
    assert np.abs(responses.mean(0)).max() < 0.05
    assert 0.3 < responses.std(0).min() < responses.std(0).max() < 1.5


def test_parameters_depend_on_content_and_seed_alone(scans, cache):
    images = scans[:200]
    first = patches.load(images)
    assert len(list(cache.glob("patches-*.npz"))) == 1
    mixed = patches.load(images[np.random.default_rng(1).permutation(200)])
    np.testing.assert_array_equal(first[0][0], mixed[0][0])
    assert len(list(cache.glob("patches-*.npz"))) == 1
    np.testing.assert_array_equal(patches.fit(images[::-1])[0][1].shape, (16,))
    assert not np.array_equal(first[0][0], patches.load(images, seed=1)[0][0])
    assert not np.array_equal(first[0][0], patches.load(scans[1:201])[0][0])
    for file in cache.glob("patches-*.npz"):
        file.unlink()
    np.testing.assert_array_equal(first[0][0], patches.load(images)[0][0])


def test_large_images_are_seen_at_two_scales():
    assert patches._reductions(47, 100) == (0,)
    assert patches._reductions(48, 100) == (0, 1)
    assert patches._reductions(128, 128) == (0, 2)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 50, 64, 3), np.uint8)
    params = patches.fit(images)
    features, _ = features_of(params, images)
    assert features.shape == (20, 256)
    # The reduced images are means of 2x2 pixels.
    small = images.reshape(20, 25, 2, 32, 2, 3).mean((2, 4))
    np.testing.assert_allclose(patches._scales(images)[1], small / 255, atol=1e-6)


def test_images_of_one_colour_have_finite_features():
    images = np.full((30, 8, 8, 1), 7, np.uint8)
    assert np.isfinite(features_of(patches.fit(images), images)[0]).all()


def test_small_images_are_refused():
    with pytest.raises(UserError) as error:
        patches.load(np.zeros((9, 7, 20, 1), np.uint8), "scans", "--features patches")
    assert str(error.value) == (
        "--features patches needs images of 8x8 pixels or more and those of scans have "
        "7x20: take inception"
    )


@pytest.mark.slow
def test_the_distance_grows_with_each_disturbance(scans, cache):
    order = np.random.default_rng(0).permutation(len(scans))
    train, other = scans[order[:900]], scans[order[900:]]
    labels = load_digits().target[order[900:]]
    extractor = EXTRACTORS["patches"](Dataset(train, train[:0]), "scans")
    assert extractor.metric_key(DISTANCE) == "patches_frechet"
    noise = np.random.default_rng(1).normal(size=other.shape)

    def distances(sets):
        sets = [np.asarray(images, np.uint8) for images in (train, other, *sets)]
        real, *rest = (extract_array(extractor, images).moments for images in sets)
        return np.array([frechet_distance(moments, real) for moments in rest])

    for changed in (
        [np.clip(other + s * noise, 0, 255) for s in (20, 50)],
        [np.roll(other, s, 2) for s in (1, 3)],
        [other[labels < k] for k in (8, 3)],
        [np.resize(other[:k], other.shape) for k in (300, 30)],
    ):
        floor, *rest = distances(changed)
        assert floor < rest[0] < rest[1]
        assert rest[1] > 5 * floor
