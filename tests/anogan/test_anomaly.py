"""Anomaly scores against generators whose nearest images are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from wgan_jax import pictures
from wgan_jax.anogan import scoring
from wgan_jax.anogan.images import Images
from wgan_jax.config import Data
from wgan_jax.errors import UserError


@Partial
def pad(z):
    """An image [4, 1, 1] whose first two pixels are the latent point."""
    return jnp.pad(z, ((0, 0), (0, 2))).reshape(-1, 4, 1, 1)


@Partial
def double(x):
    return 2 * x.reshape(len(x), -1)


@pytest.fixture(scope="module")
def curved():
    """A generator with many local minima and features to go with it, in float64."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=s) for s in ((3, 16), (16, 12), (12, 7)))
    generate = Partial(lambda a, b, z: jnp.sin(2 * z @ a) @ b, a, b)
    return generate, Partial(lambda c, x: jnp.tanh(x @ c), c), rng.normal(size=(6, 12))


def searched(nets, x, key, images=None, restarts=1, weight=0.1, steps=60, lr=0.1):
    """(latent points, scores) of a search."""
    numbers = np.arange(len(x)) if images is None else np.array(images)
    starts = scoring.starting_points(key, numbers, restarts, 3)
    z = scoring.search(*nets, x, starts, steps, lr, weight)
    parts = scoring.distances(*nets, x, z, 1)
    return np.asarray(z), np.asarray(scoring.anogan_score(parts, weight))


def test_scores_that_are_not_finite_are_refused():
    images = Images(np.zeros((3, 4, 1, 1), np.uint8), np.arange(3))

    def score(latents):
        nets = scoring.Nets(pad, double)
        weighted = Partial(scoring.anogan_score, weight=0.1)
        options = (weighted, 1, images, Data(image_size=4), 2)
        return scoring.score_images(nets, lambda x, i: latents[i], *options)

    latents = jnp.zeros((3, 2))
    assert score(latents).scores.shape == (3,)
    with pytest.raises(UserError) as error:
        score(latents.at[1].set(jnp.nan))
    assert str(error.value) == (
        "1 of 3 images have scores that are not finite: give a smaller learning rate"
    )


# --------------------------------------------------------------------------- distances


@pytest.mark.parametrize("power", [1, 2])
def test_distances_are_means_over_pixels_and_over_features(power, new_key):
    x = jax.random.normal(new_key(), (5, 4, 1, 1))
    z = jax.random.normal(new_key(), (5, 2))
    parts = scoring.distances(pad, double, x, z, power)
    flat = np.asarray(x).reshape(5, 4)
    off = np.abs(flat - np.pad(z, ((0, 0), (0, 2)))) ** power
    np.testing.assert_allclose(parts.residual, off.mean(1), rtol=1e-5)
    np.testing.assert_allclose(parts.feature, 2**power * off.mean(1), rtol=1e-5)


def test_scores_weight_the_two_parts_as_in_the_papers():
    parts = scoring.Parts(np.array([1.0, 2.0]), np.array([10.0, 0.0]))
    assert scoring.anogan_score(parts, 0.1).tolist() == pytest.approx([1.9, 1.8])
    assert scoring.f_anogan_score(parts, 0.5).tolist() == [6.0, 2.0]


# ------------------------------------------------------------------------------ search


def test_search_finds_the_nearest_image_of_the_generator(new_key):
    rest = np.array([[0.0, 0.0], [0.0, 0.8], [-0.4, 1.2]])
    x = np.concatenate([[[0.3, -1.5]] * 3, rest], 1).reshape(3, 4, 1, 1)
    starts = scoring.starting_points(new_key(), np.arange(3), 2, 2)
    z = scoring.search(pad, double, x.astype("f4"), starts, 400, 0.1, 0.1)
    # Steps along the sign of an L1 distance vanish with the learning rate.
    np.testing.assert_allclose(z, [[0.3, -1.5]] * 3, atol=1e-3)
    parts = scoring.distances(pad, double, x, z, 1)
    nearest = np.abs(rest).sum(1) / 4
    np.testing.assert_allclose(parts.residual, nearest, atol=1e-3)
    np.testing.assert_allclose(
        scoring.anogan_score(parts, 0.1), (0.9 + 0.1 * 2) * nearest, atol=2e-3
    )


@pytest.mark.parametrize(("weight", "nearest"), [(0.0, 1.0), (0.3, 1.0), (1.0, 1.5)])
def test_the_weight_trades_pixels_against_features(weight, nearest, new_key):
    # Pixels (z, 0) come nearest to (1, 1/2) at z = 1, their sum at z = 3/2; the pixels
    # win as long as (1 - weight) / 2 > weight.
    generate = Partial(lambda z: jnp.pad(z, ((0, 0), (0, 1))))
    features = Partial(lambda x: x.sum(1, keepdims=True))
    starts = scoring.starting_points(new_key(), np.arange(1), 1, 1)
    x = np.array([[1.0, 0.5]], "f4")
    z = scoring.search(generate, features, x, starts, 400, 0.1, weight)
    np.testing.assert_allclose(z, [[nearest]], atol=1e-3)


def test_searches_are_independent(curved, x64, new_key):
    *nets, x = curved
    key = new_key()
    z, _ = searched(nets, x, key)
    for i in (0, 4):
        alone, _ = searched(nets, x[i : i + 1], key, images=[i])
        np.testing.assert_allclose(alone[0], z[i], rtol=1e-9)
    mixed, _ = searched(nets, x[[4, 1]], key, images=[4, 1])
    np.testing.assert_allclose(mixed, z[[4, 1]], rtol=1e-9)
    other, _ = searched(nets, x, new_key())
    assert np.abs(other - z).max() > 0.1


def test_more_restarts_return_the_best(curved, x64, new_key):
    *nets, x = curved
    key = new_key()
    scores = [searched(nets, x, key, restarts=n)[1] for n in (1, 2, 4)]
    assert (np.diff(scores, axis=0) <= 1e-12).all()
    assert (scores[-1] < scores[0] - 1e-3).any()


def test_search_without_a_step_returns_the_better_start(curved, x64, new_key):
    *nets, x = curved
    starts = scoring.starting_points(new_key(), np.arange(6), 3, 3)
    z = scoring.search(*nets, x, starts, 0, 0.1, 0.1)
    scores = [
        scoring.anogan_score(scoring.distances(*nets, x, start, 1), 0.1)
        for start in starts
    ]
    best = np.argmin(scores, 0)
    np.testing.assert_array_equal(z, np.asarray(starts)[best, np.arange(6)])
    assert len(set(best.tolist())) > 1


# ----------------------------------------------------------------------------- encoder


def linear_nets(rng):
    """G(z) = z A with orthonormal rows in five dimensions, f(x) = x B."""
    a = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    b = rng.normal(size=(5, 3))
    return a, b, Partial(jnp.matmul, b=a), Partial(jnp.matmul, b=b)


def encode(w, x):
    return x @ w


def test_an_encoder_step_is_gradient_descent_on_the_loss_izi_f(x64):
    rng = np.random.default_rng(1)
    a, b, generate, features = linear_nets(rng)
    x, w, kappa, rate = rng.normal(size=(7, 5)), rng.normal(size=(5, 2)), 0.7, 0.1
    sgd = optax.sgd(rate)
    new, _, loss = scoring.encoder_step(
        encode, w, sgd.init(w), sgd, generate, features, x, kappa
    )
    off = x @ w @ a - x
    value = (off**2).sum() / 35 + kappa * ((off @ b) ** 2).sum() / 21
    assert float(loss) == pytest.approx(value)
    slope = 2 * x.T @ (off / 35 + kappa * off @ b @ b.T / 21) @ a.T
    np.testing.assert_allclose(new, w - rate * slope, rtol=1e-9)


def test_the_encoder_inverts_a_linear_generator(x64):
    rng = np.random.default_rng(2)
    a, _, generate, features = linear_nets(rng)
    adam = optax.adam(optax.linear_schedule(0.05, 0.0, 400))
    w = jnp.zeros((5, 2))
    z = rng.normal(size=(64, 2))

    @jax.jit
    def train(w):
        def body(_, carry):
            return scoring.encoder_step(
                encode, *carry[:2], adam, generate, features, z @ a, 1.0
            )

        return jax.lax.fori_loop(0, 400, body, (w, adam.init(w), 0.0))

    w, _, loss = train(w)
    assert float(loss) < 1e-6
    np.testing.assert_allclose(a @ w, np.eye(2), atol=1e-3)


# ------------------------------------------------------------------- curves, pictures


def test_detection_curves_of_four_scores_by_hand():
    curves = scoring.detection_curves(
        np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    )
    # Three of four pairs are in order; the anomalous rank first and third.
    assert curves.auroc == pytest.approx(3 / 4)
    assert curves.average_precision == pytest.approx((1 + 2 / 3) / 2)
    x, y = curves.roc
    assert np.trapezoid(y, x) == pytest.approx(curves.auroc)
    recall, precision = curves.precision_recall
    assert precision[recall == 1].max() == pytest.approx(2 / 3)


def test_heat_maps_range_from_black_to_white():
    colours = pictures.heat(np.array([[0.0, 1 / 3, 2 / 3, 1.0]]))
    red, yellow = (255, 0, 0), (255, 255, 0)
    assert colours[0].tolist() == [[0] * 3, list(red), list(yellow), [255] * 3]


def test_curve_passes_through_its_points():
    picture = pictures.curve([0, 0.5, 1], [0, 0.75, 1], "title", "across", "up")
    assert picture.shape == (512, 512, 3)
    # The unit square is from (55, 460) to (455, 60).
    for x, y, red in ((255, 160, True), (155, 310, True), (255, 300, False)):
        assert (picture[y, x].tolist() == [200, 30, 30]) is red
