"""Difference maps, pixel AUROC and the names of heat maps."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from wgan_jax.anogan import maps
from wgan_jax.anogan.images import Images
from wgan_jax.anogan.mvtec import Masks
from wgan_jax.errors import UserError


def images(names=None, count=2):
    return Images(np.zeros((count, 4, 4, 1), np.uint8), np.arange(count), names)


def test_pixel_auroc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    pixels = rng.random((5, 6, 6)) < 0.2
    values = rng.random((5, 6, 6)) + 0.3 * pixels
    masks = Masks(pixels, np.array([True, True, False, True, True]))
    which = np.array([True, True, True, True, False])
    expected = roc_auc_score(pixels[[0, 1, 3]].ravel(), values[[0, 1, 3]].ravel())
    assert maps.pixel_auroc(values, masks, which) == pytest.approx(expected)
    assert maps.pixel_auroc(values, masks, ~masks.known) is None


def test_differences_are_means_over_channels():
    samples = np.array([[[[10, 200, 0]]]], np.uint8)
    fake = np.array([[[[40, 100, 0]]]], np.uint8)
    assert maps.differences(samples, fake) == pytest.approx(130 / 3 / 255)


def test_reconstructions_do_not_depend_on_batches(monkeypatch):
    z = np.linspace(-1, 1, 7, dtype=np.float32)[:, None]
    whole = maps.reconstruct(lambda z: z[:, :, None, None], z, "symmetric")
    monkeypatch.setattr(maps, "BATCH", 3)
    parts = maps.reconstruct(lambda z: jnp.asarray(z)[:, :, None, None], z, "symmetric")
    np.testing.assert_array_equal(parts, whole)
    assert whole.ravel().tolist() == [0, 42, 85, 128, 170, 213, 255]


def test_heat_maps_have_the_names_of_their_images():
    assert maps.names(images(["a/b.png", "a/b.jpg"])) == ["a/b.png", "a/b.jpg.png"]
    assert maps.names(images(count=12))[2:4] == ["02.png", "03.png"]
    with pytest.raises(UserError, match=r"has one name, b.jpg.png, for two images"):
        maps.names(images(["b.jpg", "b.jpg.png"]))
