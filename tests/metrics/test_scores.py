"""Metrics of features against closed forms, other algorithms and torch-fidelity."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from wgan_jax.data.content import content_order
from wgan_jax.metrics import (
    critic,
    frechet,
    inception_score,
    kernel_distance,
    neighbours,
    transport,
)
from wgan_jax.metrics.frechet import Moments

RNG = np.random.default_rng


def gaussians(rng, n, d, shift=0.0):
    """Correlated features of unequal scales."""
    mix = rng.normal(size=(d, d)) / np.sqrt(d) * np.geomspace(0.1, 3, d)
    return rng.normal(size=(n, d)) @ mix + shift


def exact_moments(mean, covariance):
    """Moments with exactly this mean and covariance."""
    return Moments(3, np.asarray(mean, float), 2 * np.asarray(covariance, float))


# ---------------------------------------------------------------------------- moments


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3], [50], [10, 11, 99]])
def test_moments_of_batches_equal_moments_of_all(cuts):
    # Far from zero, where sums of squares cancel.
    x = gaussians(RNG(0), 100, 5, shift=1e4)
    result = Moments.none(5)
    for part in np.split(x, cuts):
        result = result.update(part)
    assert result.count == 100
    np.testing.assert_allclose(result.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(
        result.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-10
    )


def test_moments_merge_in_any_order_without_mutation():
    x = gaussians(RNG(1), 30, 4)
    a, b = Moments.of(x[:7]), Moments.of(x[7:])
    before = a.scatter.copy()
    for one, other in ((a, b), (b, a)):
        np.testing.assert_allclose(one.merge(other).scatter, Moments.of(x).scatter)
    np.testing.assert_array_equal(a.scatter, before)
    nothing = Moments.none(4)
    assert nothing.merge(nothing).count == 0
    np.testing.assert_array_equal(nothing.merge(a).scatter, a.scatter)


def test_moments_of_float32_features_are_float64():
    x = (RNG(2).normal(size=(1000, 3)) + 3000).astype(np.float32)
    expected = np.cov(x.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(Moments.of(x).covariance, expected, rtol=1e-10)


# -------------------------------------------------------------------- Frechet distance


def test_frechet_of_commuting_covariances_is_a_sum_of_squares():
    rng = RNG(3)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    scale_a, scale_b = rng.uniform(0.1, 3, (2, 6))
    mean_a, mean_b = rng.normal(size=(2, 6))
    a, b = (
        exact_moments(mean, rotation * scale**2 @ rotation.T)
        for mean, scale in ((mean_a, scale_a), (mean_b, scale_b))
    )
    expected = ((mean_a - mean_b) ** 2).sum() + ((scale_a - scale_b) ** 2).sum()
    assert frechet.frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_frechet_of_general_covariances_in_the_plane():
    # In the plane tr (A B)^(1/2) = sqrt(tr A B + 2 sqrt(det A B)).
    a, b = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[1.0, -0.8], [-0.8, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = 1 + 4 + np.trace(a) + np.trace(b) - 2 * root
    moments = exact_moments([0, 0], a), exact_moments([1, 2], b)
    assert frechet.frechet_distance(*moments) == pytest.approx(expected, rel=1e-12)
    assert frechet.frechet_distance(*moments[::-1]) == pytest.approx(
        expected, rel=1e-12
    )


def test_frechet_of_degenerate_covariances_is_accurate():
    # Two lines at a right angle in 50 dimensions, and two parallel ones.
    e = np.eye(50)
    one, same, other = (
        exact_moments(np.zeros(50), scale**2 * np.outer(v, v))
        for scale, v in ((2.0, e[0]), (3.0, e[0]), (3.0, e[1]))
    )
    assert frechet.frechet_distance(one, same) == pytest.approx(1, abs=1e-12)
    assert frechet.frechet_distance(one, other) == pytest.approx(13, abs=1e-12)


def test_frechet_with_fewer_samples_than_dimensions_is_zero_to_itself():
    x = 1000 * RNG(4).normal(size=(20, 64))
    moments = Moments.of(x)
    scale = np.trace(moments.covariance)
    assert frechet.frechet_distance(moments, moments) < 1e-12 * scale
    shifted = Moments.of(x + 1)
    assert frechet.frechet_distance(moments, shifted) == pytest.approx(
        64, abs=1e-12 * scale
    )


def test_frechet_refuses_features_without_covariance():
    with pytest.raises(ValueError, match="1 features"):
        frechet.frechet_distance(Moments.of(np.ones((1, 2))), Moments.of(np.eye(2)))
    with pytest.raises(ValueError, match="finite"):
        frechet.frechet_distance(
            Moments.of(np.full((3, 2), np.nan)), Moments.of(np.eye(2))
        )


# --------------------------------------------------------------------- Inception score


def test_the_score_of_certain_uniform_classes_is_their_number():
    certain = np.tile(1e4 * np.eye(8), (5, 1))
    assert inception_score.inception_score(certain, 1) == pytest.approx((8, 0))
    assert inception_score.inception_score(np.zeros((40, 8)), 5) == pytest.approx(
        (1, 0)
    )
    # A single class has score 1, however certain.
    assert inception_score.inception_score(
        np.tile(certain[:1], (40, 1)), 5
    ) == pytest.approx((1, 0))


def test_the_score_of_uncertain_classes_is_computed_by_hand():
    # p(y|x) is (3/4, 1/4) or its mirror image; the mean is uniform.
    logits = np.log(np.tile([[3.0, 1.0], [1.0, 3.0]], (10, 1)))
    expected = np.exp(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert inception_score.inception_score(logits, 1) == pytest.approx((expected, 0))


def test_splits_are_random_and_their_variance_is_divided_by_n():
    logits = 1e4 * np.eye(2)[RNG(0).permutation(np.repeat([0, 1], [30, 10]))]
    score = inception_score.SplitScore(40, 2, seed=5)
    score.update(logits)
    parts = [logits[score.part == k].argmax(1).mean() for k in range(2)]
    values = [np.exp(-p * np.log(p) - (1 - p) * np.log(1 - p)) for p in parts]
    assert values[0] != values[1]
    assert score.result() == pytest.approx((np.mean(values), np.std(values)))
    assert inception_score.inception_score(logits, 1)[1] == 0


def test_sorting_by_class_does_not_change_the_score():
    logits = RNG(1).normal(size=(1000, 10)) + 9 * np.eye(10)[np.arange(1000) % 10]
    sorted_logits = logits[np.argsort(np.arange(1000) % 10, kind="stable")]
    result = inception_score.inception_score(logits)
    assert result[0] > 8
    assert inception_score.inception_score(sorted_logits) == result
    # Even without the order by content, no part has the images of one class.
    streamed = inception_score.SplitScore(1000)
    streamed.update(sorted_logits)
    assert streamed.result()[0] == pytest.approx(result[0], rel=0.03)


def test_a_score_of_batches_equals_the_score_of_all():
    logits = RNG(5).normal(size=(103, 7))
    streamed = inception_score.SplitScore(103, 10)
    for part in np.split(logits, [1, 9, 50]):
        streamed.update(part)
    whole = inception_score.SplitScore(103, 10)
    whole.update(logits)
    assert streamed.result() == pytest.approx(whole.result(), rel=1e-12)
    short = inception_score.SplitScore(103, 10)
    short.update(logits[:50])
    with pytest.raises(ValueError, match="50 logits were given, expected 103"):
        short.result()
    with pytest.raises(ValueError, match="cannot be split"):
        inception_score.inception_score(logits[:9], 10)


# --------------------------------------------------------------------- kernel distance


def biased_mmd(x, y):
    kernels = [(a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    return kernels[0].mean() + kernels[1].mean() - 2 * kernels[2].mean()


def test_squared_mmd_is_a_mean_over_pairs():
    x, y = RNG(6).normal(size=(2, 4, 3))
    y = y[:3]

    def kernel(a, b):
        return (sum(a * b) / 3 + 1) ** 3

    def within(v):
        pairs = [(i, j) for i in range(len(v)) for j in range(len(v)) if i != j]
        return np.mean([kernel(v[i], v[j]) for i, j in pairs])

    between = np.mean([kernel(a, b) for a in x for b in y])
    expected = within(x) + within(y) - 2 * between
    assert kernel_distance.squared_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_squared_mmd_is_unbiased_at_five_samples_and_the_biased_one_is_not():
    rng = RNG(7)
    draws = rng.normal(size=(4000, 2, 5, 4))
    values = np.array([kernel_distance.squared_mmd(x, y) for x, y in draws])
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean()) < 4 * error
    biased = np.mean([biased_mmd(x, y) for x, y in draws])
    assert biased > 20 * error


def test_squared_mmd_of_constants_is_the_kernel_s_own_distance():
    # k(0,0) = 1, k(1,1) = 8, k(0,1) = 1 for vectors of ones.
    zeros, ones = np.zeros((4, 6)), np.ones((5, 6))
    assert kernel_distance.squared_mmd(zeros, ones) == pytest.approx(7)


def test_kernel_distance_reports_the_size_of_its_subsets():
    rng = RNG(8)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(60, 3)) + 1
    mean, _ = kernel_distance.kernel_distance(x, y, subsets=7)
    assert kernel_distance.METRIC.sizes(60, 40) == (40, 40)
    # Each subset of x is all of it.
    assert mean == pytest.approx(kernel_distance.squared_mmd(x, y), rel=0.3)
    with pytest.raises(ValueError, match="2 or more"):
        kernel_distance.kernel_distance(x[:1], y)


def test_the_seed_determines_the_kernel_distance():
    x, y = RNG(9).normal(size=(2, 50, 3))
    result = [
        kernel_distance.kernel_distance(x, y, 5, 10, seed)[0] for seed in (0, 0, 1)
    ]
    assert result[0] == result[1] != result[2]


# -------------------------------------------------------------------------- neighbours


def brute_force(real, fake, k_manifold=3, k_balls=5):
    """Precision, recall, density, coverage by loops over pairs."""

    def distance(a, b):
        return np.sqrt(((a - b) ** 2).sum())

    def radius(v, i, k):
        others = sorted(distance(v[i], v[j]) for j in range(len(v)) if j != i)
        return others[k - 1]

    def share_within(points, around, k):
        hits = [
            any(distance(p, a) <= radius(around, i, k) for i, a in enumerate(around))
            for p in points
        ]
        return np.mean(hits)

    radii = [radius(real, i, k_balls) for i in range(len(real))]
    counts = [sum(distance(f, r) < radii[i] for f in fake) for i, r in enumerate(real)]
    return (
        share_within(fake, real, k_manifold),
        share_within(real, fake, k_manifold),
        sum(counts) / (k_balls * len(fake)),
        np.mean([count > 0 for count in counts]),
    )


@pytest.mark.parametrize("block", [4, 1024])
def test_neighbours_agree_with_loops_over_pairs(monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    rng = RNG(10)
    real, fake = rng.normal(size=(18, 3)), rng.normal(size=(13, 3)) * 0.7 + 0.8
    result = (
        *neighbours.precision_recall(real, fake),
        *neighbours.density_coverage(real, fake),
    )
    expected = brute_force(real, fake)
    assert result == pytest.approx(expected, abs=1e-12)
    # Values of 0 or 1 could hide a mistake.
    assert all(0 < value < 1 for value in result)


def test_distant_sets_have_no_neighbours():
    x = RNG(11).normal(size=(20, 2)) + 1e6
    far = x + 100
    assert neighbours.precision_recall(x, far) == (0, 0)
    assert neighbours.density_coverage(x, far) == (0, 0)
    with pytest.raises(ValueError, match="3 features have no 3 neighbours"):
        neighbours.precision_recall(x, far[:3])
    with pytest.raises(ValueError, match="5 features have no 5 neighbours"):
        neighbours.density_coverage(x[:5], far)


def test_a_few_good_samples_are_precise_and_cover_little():
    rng = RNG(12)
    real = rng.normal(size=(200, 2))
    fake = 0.05 * rng.normal(size=(200, 2))
    precision, recall = neighbours.precision_recall(real, fake)
    density, coverage = neighbours.density_coverage(real, fake)
    assert precision > 0.9
    assert recall < 0.1
    assert density > 0.8
    assert coverage < 0.3


# ------------------------------------------------------------ all metrics of images


def test_ten_orders_of_both_sides_give_identical_numbers():
    rng = RNG(17)
    x = np.maximum(gaussians(rng, 150, 12), 0).astype(np.float32)
    y = np.maximum(gaussians(rng, 120, 12, shift=0.3), 0).astype(np.float32)

    def numbers(x, y):
        return (
            frechet.frechet_distance(Moments.of(x), Moments.of(y)),
            *inception_score.inception_score(x),
            *kernel_distance.kernel_distance(x, y, subsets=5, size=50),
            *neighbours.precision_recall(x, y),
            *neighbours.density_coverage(x, y),
            transport.wasserstein_1(x, y),
            transport.sliced_wasserstein(x, y),
            *dataclasses.astuple(critic.measure(_slope, x[:120], y)),
        )

    expected = numbers(x, y)
    for seed in range(10):
        part = RNG(seed).permutation(120)
        order_x = np.concatenate([part, RNG(seed).permutation(np.arange(120, 150))])
        assert numbers(x[order_x], y[RNG(-seed % 7).permutation(120)]) == expected


def _slope(x):
    return (x**2).sum(1)


@pytest.fixture(scope="module")
def digits():
    """Pixels of real digits, in two halves."""
    pixels = load_digits().images.astype(np.float64)
    pixels = pixels[RNG(13).permutation(len(pixels))]
    return pixels[:700], pixels[700:1400]


def everything(real, fake):
    real, fake = (v.reshape(len(v), -1) for v in (real, fake))
    kernel = kernel_distance.kernel_distance(real, fake, subsets=20, size=200)
    return {
        "frechet": frechet.frechet_distance(Moments.of(real), Moments.of(fake)),
        "kernel": kernel[0],
        "coverage": neighbours.density_coverage(real, fake)[1],
    }


def blurred(images, times):
    for _ in range(times):
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
        rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
        images = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16
    return images


def test_a_set_against_itself_is_perfect(digits):
    real = digits[0].reshape(700, -1)
    moments = Moments.of(real)
    assert frechet.frechet_distance(moments, moments) < 1e-9
    assert neighbours.precision_recall(real, real) == (1, 1)
    assert neighbours.density_coverage(real, real)[1] == 1


@pytest.mark.parametrize("spoil", ["noise", "blur"])
def test_scores_grow_with_damage_and_are_least_between_real_halves(digits, spoil):
    real, other = digits
    noise = RNG(14).normal(size=other.shape)
    if spoil == "noise":
        series = [other + amount * noise for amount in (0, 1, 3, 6)]
    else:
        series = [blurred(other, times) for times in (0, 1, 2, 4)]
    results = [everything(real, images) for images in series]
    for key, sign in (("frechet", 1), ("kernel", 1), ("coverage", -1)):
        values = sign * np.array([result[key] for result in results])
        assert (np.diff(values) > 0).all(), (key, values)


def test_frechet_distance_falls_with_the_number_of_samples(digits):
    halves = [v.reshape(len(v), -1) for v in digits]
    result = [
        frechet.frechet_distance(*(Moments.of(half[:n]) for half in halves))
        for n in (80, 160, 320, 640)
    ]
    assert (np.diff(result) < 0).all()
    # The bias goes as 1 / n.
    assert result[0] / result[2] == pytest.approx(4, rel=0.5)


# -------------------------------------------------------------- against torch-fidelity


@pytest.fixture(scope="module")
def features():
    """As Inception's: 0 or more, many near 0, more samples than dimensions."""
    rng = RNG(15)
    real = np.maximum(gaussians(rng, 400, 48), 0)
    fake = np.maximum(gaussians(rng, 300, 48, shift=0.1), 0)
    return real.astype(np.float32), fake.astype(np.float32)


@pytest.mark.torch
@pytest.mark.fidelity
def test_frechet_distance_is_torch_fidelity_s(fidelity, features):
    import torch

    statistics = [
        fidelity.fid.fid_features_to_statistics(torch.tensor(v, dtype=torch.float64))
        for v in features
    ]
    expected = fidelity.fid.fid_statistics_to_metric(*statistics, verbose=False)
    result = frechet.frechet_distance(*(Moments.of(v) for v in features))
    assert result == pytest.approx(expected[fidelity.fid.KEY_METRIC_FID], rel=1e-9)


@pytest.mark.torch
@pytest.mark.fidelity
def test_inception_score_is_torch_fidelity_s(fidelity):
    import torch

    logits = (3 * RNG(16).normal(size=(203, 30))).astype(np.float32)
    # torch-fidelity's parts are consecutive: it gets the logits part by part.
    part = inception_score.SplitScore(203, 10).part
    by_part = logits[content_order(logits)][np.argsort(part, kind="stable")]
    expected = fidelity.isc.isc_features_to_metric(
        torch.tensor(by_part), splits=10, shuffle=False
    )
    result = inception_score.inception_score(logits, 10)
    assert result == pytest.approx(tuple(expected.values()), rel=1e-10)


@pytest.mark.torch
@pytest.mark.fidelity
def test_kernel_distance_is_torch_fidelity_s(fidelity, features):
    import torch

    options = {"kid_subsets": 8, "kid_subset_size": 300, "verbose": False}
    real, fake = (v[:300].astype(np.float64) for v in features)
    # Subsets that are the whole sets have no randomness.
    expected = fidelity.kid.kid_features_to_metric(
        torch.tensor(real), torch.tensor(fake), **options
    )
    result = kernel_distance.kernel_distance(real, fake, subsets=8, size=300)
    mean = expected[fidelity.kid.KEY_METRIC_KID_MEAN]
    assert result[0] == pytest.approx(mean, rel=1e-9)
    # Random subsets agree to within their sampling error.
    options["kid_subset_size"] = 100
    options["kid_subsets"] = 50
    expected = fidelity.kid.kid_features_to_metric(
        torch.tensor(real), torch.tensor(fake), **options
    )
    result = kernel_distance.kernel_distance(real, fake, subsets=50, size=100)
    names = (fidelity.kid.KEY_METRIC_KID_MEAN, fidelity.kid.KEY_METRIC_KID_STD)
    mean, std = (expected[name] for name in names)
    assert result[0] == pytest.approx(mean, abs=4 * std * np.sqrt(2 / 50))
    assert result[1] == pytest.approx(std, rel=0.5)


@pytest.mark.torch
@pytest.mark.fidelity
def test_precision_and_recall_are_torch_fidelity_s(fidelity, features):
    import torch

    real, fake = (torch.tensor(v, dtype=torch.float64) for v in features)
    expected = fidelity.prc.calculate_precision_recall_full(fake, real, 3)
    result = neighbours.precision_recall(*features)
    # torch-fidelity takes a float32 mean.
    assert result == pytest.approx(expected, abs=1e-6)
    assert all(0 < value < 1 for value in result)
