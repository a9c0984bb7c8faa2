"""Distances, divergences, modes and critic estimates against closed forms."""

import itertools
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import environment
from jax.tree_util import Partial
from scipy import integrate, optimize, stats
from scipy.spatial.distance import cdist

from wgan_jax.data.toys import toy_sample
from wgan_jax.metrics import critic, mixtures, transport
from wgan_jax.metrics import divergences as div


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# ---------------------------------------------------------------------------- transport


@pytest.mark.parametrize("d", [1, 2, 5])
def test_w1_of_a_translation_is_the_norm_of_the_shift(d):
    x, shift = normal(60, d), normal(d, seed=1)
    result = transport.wasserstein_1(x, x + shift)
    np.testing.assert_allclose(result, np.linalg.norm(shift), rtol=1e-12)


def test_w1_of_points_known_by_hand():
    # One point at 0; a quarter of the mass at 4, the rest at (3, 4).
    x, y = [[0.0, 0.0]], [[4.0, 0.0], [3.0, 4.0], [3.0, 4.0], [3.0, 4.0]]
    np.testing.assert_allclose(transport.wasserstein_1(x, y), 4.75, rtol=1e-14)
    # The corners of a square against its centre, and against themselves.
    square = np.array([[0, 0], [0, 2], [2, 0], [2, 2]])
    result = transport.wasserstein_1(square, np.ones((4, 2)))
    np.testing.assert_allclose(result, math.sqrt(2), rtol=1e-14)
    assert transport.wasserstein_1(square, square[::-1]) == 0.0


def test_w1_of_equal_sizes_is_the_best_assignment():
    x, y = normal(80, 3), normal(80, 3, seed=1) * 2
    costs = cdist(x, y)
    expected = costs[optimize.linear_sum_assignment(costs)].mean()
    np.testing.assert_allclose(transport.wasserstein_1(x, y), expected, rtol=1e-12)


def test_w1_of_unequal_sizes_equals_w1_of_repeated_samples():
    x, y = normal(20, 2), normal(30, 2, seed=1) + 1
    repeated = transport.wasserstein_1(np.repeat(x, 3, 0), np.repeat(y, 2, 0))
    np.testing.assert_allclose(transport.wasserstein_1(x, y), repeated, rtol=1e-12)


@pytest.mark.parametrize("sizes", [(50, 50), (30, 47), (12, 36)])
def test_w1_on_the_line_equals_scipy_s_and_w1_in_the_plane(sizes):
    x, y = normal(sizes[0]), normal(sizes[1], seed=1) * 2
    result = transport.wasserstein_1(x, y)
    np.testing.assert_allclose(result, stats.wasserstein_distance(x, y), rtol=1e-12)
    # The network simplex, on the same points of a line in the plane.
    line = np.array([[0.6, 0.8]])
    planar = transport.wasserstein_1(x[:, None] * line, y[:, None] * line)
    np.testing.assert_allclose(result, planar, rtol=1e-12)


@pytest.mark.parametrize(
    "distance", [transport.wasserstein_1, transport.sliced_wasserstein]
)
def test_distances_are_symmetric_and_independent_of_order(distance):
    x, y = normal(40, 2), normal(33, 2, seed=1)
    order = np.random.default_rng(2).permutation(40)
    np.testing.assert_allclose(distance(x[order], y), distance(x, y), rtol=1e-12)
    np.testing.assert_allclose(distance(y, x), distance(x, y), rtol=1e-12)


def test_sliced_on_the_line_is_w1():
    x, y = normal(50, 1), normal(31, 1, seed=1)
    result = transport.sliced_wasserstein(x, y, projections=3)
    expected = stats.wasserstein_distance(x[:, 0], y[:, 0])
    np.testing.assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize("d", [2, 3, 64])
def test_sliced_of_a_translation_is_the_mean_length_of_a_projection(d):
    x, shift, count = normal(5, d), normal(d, seed=1), 20_000
    result = transport.sliced_wasserstein(x, x + shift, projections=count)
    mean = math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))
    # Var |<u, e>| = 1/d - mean^2; four standard errors.
    error = 4 * math.sqrt((1 / d - mean**2) / count)
    np.testing.assert_allclose(result / np.linalg.norm(shift), mean, atol=error)
    assert mean == pytest.approx({2: 2 / math.pi, 3: 1 / 2}.get(d, mean), rel=1e-14)


def test_sliced_is_the_mean_over_directions_and_at_most_w1():
    x, y = normal(40, 2), normal(40, 2, seed=1) * [2, 0.5]
    result = transport.sliced_wasserstein(x, y, seed=3, projections=20_000)
    angles = np.linspace(0, np.pi, 200, endpoint=False)
    projected = [
        stats.wasserstein_distance(x @ u, y @ u)
        for u in np.stack([np.cos(angles), np.sin(angles)], 1)
    ]
    error = 4 * np.std(projected) / math.sqrt(20_000)
    np.testing.assert_allclose(result, np.mean(projected), atol=error)
    assert result < transport.wasserstein_1(x, y)


def test_the_seed_determines_the_directions():
    x, y = normal(20, 3), normal(20, 3, seed=1)
    a, b, c = (transport.sliced_wasserstein(x, y, s, projections=4) for s in (0, 0, 1))
    assert a == b != c


def test_std_is_the_sample_standard_deviation():
    assert transport.mean_std([1.0, 2.0, 6.0]) == transport.MeanStd(3.0, math.sqrt(7))


def draw_plane(seed, n):
    return normal(n, 2, seed=seed)


def test_the_floor_is_above_zero_and_falls_as_samples_grow():
    small, large = (
        transport.distances(draw_plane, draw_plane, n, repeats=4, seed=0)
        for n in (20, 320)
    )
    assert small.mean > large.mean > 0
    # About n^-1/2 in the plane, up to a logarithm: 16 times the points, a quarter.
    assert 0.15 < large.mean / small.mean < 0.5
    assert small.std > 0


def test_the_floor_of_uniform_points_on_the_line_is_the_closed_form():
    def draw(seed, n):
        return np.random.default_rng(seed).uniform(size=n)

    result = transport.distances(draw, draw, 400, repeats=200, seed=0)
    # sqrt(n) (F_n - G_n) is nearly normal with variance 2 t (1 - t): the mean absolute
    # value integrates to sqrt(2) sqrt(2 / pi) pi / 8.
    expected = math.sqrt(math.pi) / 4 / math.sqrt(400)
    error = 4 * result.std / math.sqrt(200)
    np.testing.assert_allclose(result.mean, expected, atol=error)


def test_distance_to_truth_is_the_shift_or_the_floor():
    shifted = transport.distance_to_truth(
        lambda seed, n: draw_plane(seed, n) + [3.0, 4.0], draw_plane, 50, 3, seed=0
    )
    # W1 is between the distance of the means and that plus the floor.
    assert abs(shifted.distance.mean - 5) < 4 * shifted.floor.mean
    assert shifted.ratio == shifted.distance.mean / shifted.floor.mean > 5
    same = transport.distance_to_truth(draw_plane, draw_plane, 50, 3, seed=0)
    assert (same.distance, same.ratio) == (same.floor, 1.0)


def test_a_floor_of_zero_makes_the_ratio_infinite():
    def zeros(seed, n):
        return np.zeros((n, 2))

    result = transport.distance_to_truth(draw_plane, zeros, 5, 2, seed=0)
    assert (result.floor.mean, result.ratio) == (0.0, math.inf)


def test_all_draws_have_separate_seeds():
    seeds = transport.pair_seeds(0, 50)
    assert len(np.unique(seeds)) == 100
    assert not np.isin(transport.pair_seeds(1, 50), seeds).any()
    # More repeats extend the same sequence.
    np.testing.assert_array_equal(transport.pair_seeds(0, 3), seeds[:3])


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        (np.ones((3, 2)), np.ones((3, 3)), "must be"),
        (np.ones((3, 2)), np.ones((0, 2)), "must be"),
        (np.ones((3, 2, 2)), np.ones((3, 2, 2)), "must be"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), "finite"),
    ],
)
def test_invalid_samples_are_refused(x, y, part):
    for distance in (transport.wasserstein_1, transport.sliced_wasserstein):
        with pytest.raises(ValueError, match=part):
            distance(x, y)


def test_an_optimum_not_reached_raises_an_error():
    with pytest.raises(RuntimeError, match="no optimal transport between 50 and 50"):
        transport.wasserstein_1(normal(50, 2), normal(50, 2, seed=1), iterations=3)


def test_pot_imports_no_other_array_library():
    script = (
        "import sys; from wgan_jax.metrics import transport as t; "
        "assert 'ot' not in sys.modules; "
        "print(t.wasserstein_1([[0, 0]], [[3, 4]])); "
        "print([m for m in ('jax', 'torch', 'tensorflow') if m in sys.modules])"
    )
    variables = {k: v for k, v in environment().items() if not k.startswith("POT_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "5.0\n[]\n", done.stderr


# -------------------------------------------------------------------------- divergences


def test_divergences_of_two_coins():
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    assert div.total_variation(p, q) == pytest.approx(0.4, rel=1e-14)
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert div.kullback_leibler(p, q) == pytest.approx(expected, rel=1e-14)
    # JS is the entropy of the mean minus the mean of the entropies.
    entropies = [stats.entropy(v) for v in ((p + q) / 2, p, q)]
    expected = entropies[0] - (entropies[1] + entropies[2]) / 2
    assert div.jensen_shannon(p, q) == pytest.approx(expected, rel=1e-13)


def test_divergences_of_random_arrays_equal_scipy_s():
    rng = np.random.default_rng(0)
    p, q = (v / v.sum() for v in rng.exponential(size=(2, 4, 5)))
    expected = stats.entropy(p.ravel(), q.ravel())
    assert div.kullback_leibler(p, q) == pytest.approx(expected, rel=1e-12)
    assert div.jensen_shannon(p, q) == pytest.approx(div.jensen_shannon(q, p))
    # Pinsker, and Lin's bounds of JS by TV.
    tv, js = div.total_variation(p, q), div.jensen_shannon(p, q)
    assert 2 * tv**2 < expected
    assert tv**2 / 2 < js < math.log(2) * tv


def test_disjoint_supports_reach_the_largest_values():
    p, q = np.array([0.3, 0.7, 0, 0]), np.array([0, 0, 1.0, 0])
    assert div.total_variation(p, q) == 1.0
    assert div.kullback_leibler(p, q) == math.inf
    assert div.jensen_shannon(p, q) == pytest.approx(math.log(2), rel=1e-15)


def test_kl_is_infinite_only_where_q_is_zero_and_p_is_not():
    p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert div.kullback_leibler(p, q) == pytest.approx(math.log(2), rel=1e-15)
    assert div.kullback_leibler(q, p) == math.inf


def test_equal_distributions_have_divergence_zero():
    p = np.array([0.1, 0.2, 0.7])
    for distance in (div.total_variation, div.kullback_leibler, div.jensen_shannon):
        assert distance(p, p) == pytest.approx(0.0, abs=1e-15)


def test_tiny_probabilities_do_not_overflow():
    p, q = np.array([1e-320, 1.0]), np.array([1.0, 1e-320])
    assert div.kullback_leibler(p, q) == pytest.approx(-math.log(1e-320))
    assert div.jensen_shannon(p, q) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("p", "q"),
    [([0.5, 0.5], [1.0]), ([0.5, 0.6], [0.5, 0.5]), ([1.5, -0.5], [0.5, 0.5])],
)
def test_invalid_probabilities_are_refused(p, q):
    for distance in (div.total_variation, div.kullback_leibler, div.jensen_shannon):
        with pytest.raises(ValueError, match="probabilities"):
            distance(p, q)


def test_a_histogram_has_a_separate_cell_for_the_outside():
    result = div.histogram([0.5, 0.6, 1.5, -1.0, 9.0], [0, 1, 2, 3])
    np.testing.assert_array_equal(result, [0.4, 0.2, 0.0, 0.4])
    points = [[0.5, 0.5], [0.5, 1.5], [1.5, 0.5], [1.5, 7.0]]
    result = div.histogram(points, [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(result, [0.25, 0.25, 0.25, 0, 0.25])


def test_divergence_of_histograms_approximates_that_of_distributions():
    edges = np.linspace(-6, 7, 40)
    cells = [np.diff(stats.norm.cdf(edges, m)) for m in (0, 1)]
    exact = div.total_variation(*(np.append(c, 1 - c.sum()) for c in cells))
    drawn = [div.histogram(normal(200_000, seed=m) + m, edges) for m in (0, 1)]
    assert div.total_variation(*drawn) == pytest.approx(exact, abs=5e-3)
    # The divergence of cells is at most the divergence of densities.
    pair = div.Gaussian(0, 1), div.Gaussian(1, 1)
    assert exact <= div.gaussian_total_variation(*pair) < exact + 2e-2


PAIRS = [
    (0.0, 1.0, 1.0, 1.0),
    (0.0, 1.0, 0.0, 3.0),
    (2.0, 0.5, -1.0, 0.8),
    (0.0, 1.0, 6.0, 1.0),
    (0.3, 0.01, 0.0, 2.0),
    (0.0, 1.0, 1.0, 1.000001),
]


def by_quadrature(integrand, p, q):
    """SciPy's adaptive quadrature, over intervals of two standard deviations."""
    steps = np.arange(-14, 15, 2)
    ends = np.unique([g.mean + steps * g.std for g in (p, q)])
    return sum(
        integrate.quad(integrand, a, b, epsabs=1e-15, limit=200)[0]
        for a, b in itertools.pairwise(ends)
    )


@pytest.mark.parametrize("numbers", PAIRS)
@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_divergences_of_gaussians_are_their_integrals(numbers):
    p, q = div.Gaussian(*numbers[:2]), div.Gaussian(*numbers[2:])
    f, g = (stats.norm(d.mean, d.std) for d in (p, q))

    def js(x):
        middle = np.logaddexp(f.logpdf(x), g.logpdf(x)) - math.log(2)
        return sum(h.pdf(x) * (h.logpdf(x) - middle) for h in (f, g)) / 2

    def kl(x):
        return f.pdf(x) * (f.logpdf(x) - g.logpdf(x))

    expected = by_quadrature(js, p, q)
    assert div.gaussian_jensen_shannon(p, q) == pytest.approx(expected, abs=1e-12)
    expected = by_quadrature(kl, p, q)
    assert div.gaussian_kullback_leibler(p, q) == pytest.approx(
        expected, rel=1e-10, abs=1e-12
    )
    expected = by_quadrature(lambda x: abs(f.pdf(x) - g.pdf(x)), p, q) / 2
    assert div.gaussian_total_variation(p, q) == pytest.approx(expected, abs=1e-8)
    for distance in (div.gaussian_total_variation, div.gaussian_jensen_shannon):
        assert distance(q, p) == pytest.approx(distance(p, q), abs=1e-14)


def test_divergences_of_gaussians_have_known_values():
    unit = div.Gaussian(0, 1)
    # erf(1 / sqrt 2) is the mass within one standard deviation; KL is d^2 / 2.
    assert div.gaussian_total_variation(unit, div.Gaussian(2, 1)) == pytest.approx(
        0.6826894921370859, rel=1e-14
    )
    assert div.gaussian_kullback_leibler(unit, div.Gaussian(3, 1)) == 4.5
    far = div.Gaussian(100, 1)
    assert div.gaussian_total_variation(unit, far) == 1.0
    assert div.gaussian_jensen_shannon(unit, far) == pytest.approx(math.log(2))
    for distance in (
        div.gaussian_total_variation,
        div.gaussian_kullback_leibler,
        div.gaussian_jensen_shannon,
    ):
        assert distance(unit, unit) == pytest.approx(0.0, abs=1e-14)


def test_divergences_of_gaussians_are_independent_of_the_unit():
    p, q = div.Gaussian(0.2, 0.5), div.Gaussian(1, 2)
    wide = [div.Gaussian(1e4 * g.mean, 1e4 * g.std) for g in (p, q)]
    for distance in (
        div.gaussian_total_variation,
        div.gaussian_kullback_leibler,
        div.gaussian_jensen_shannon,
    ):
        assert distance(*wide) == pytest.approx(distance(p, q), rel=1e-11)


def test_a_gaussian_needs_a_positive_std():
    with pytest.raises(ValueError, match="std=0 must be greater than 0"):
        div.Gaussian(1, 0)


@pytest.mark.parametrize("theta", [-0.5, 0.0, 2.0])
def test_only_w1_measures_the_distance_of_parallel_lines(theta):
    z = (np.arange(40) + 0.5) / 40
    lines = [np.stack([np.full(40, t), z], 1) for t in (0.0, theta)]
    expected = div.parallel_lines(theta)
    result = transport.wasserstein_1(*lines)
    np.testing.assert_allclose(expected["wasserstein"], result, rtol=1e-14)
    edges = [np.arange(-2.25, 2.5, 0.5), np.linspace(0, 1, 5)]
    cells = [div.histogram(line, edges) for line in lines]
    for name in ("total_variation", "kullback_leibler", "jensen_shannon"):
        assert getattr(div, name)(*cells) == pytest.approx(expected[name], abs=1e-15)


# ----------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize("name", mixtures.MIXTURES)
def test_centres_and_std_are_those_of_the_toys(name):
    points = np.asarray(toy_sample(name, jax.random.key(0), 20_000), float)
    centres = mixtures.centres(name)
    distance = cdist(points, centres)
    nearest = distance.argmin(1)
    assert len(np.unique(nearest)) == len(centres) == int(name.split("g")[0])
    offsets = (points - centres[nearest]) / mixtures.std(name)
    # Four standard errors of a mean of about 800 and of a std of 40,000 numbers.
    for i in range(len(centres)):
        of_mode = offsets[nearest == i]
        assert np.abs(of_mode.mean(0)).max() < 4 / math.sqrt(len(of_mode))
    assert offsets.std() == pytest.approx(1, abs=4 / math.sqrt(2 * 40_000))


@pytest.mark.parametrize("name", mixtures.MIXTURES)
def test_true_samples_are_high_quality_as_often_as_rayleigh_says(name):
    points = toy_sample(name, jax.random.key(1), 20_000)
    share = 1 - math.exp(-9 / 2)
    error = 4 * math.sqrt(share * (1 - share) / 20_000)
    assert mixtures.high_quality(points, name) == pytest.approx(share, abs=error)
    shares = mixtures.mode_shares(points, name)
    fair = share / len(shares)
    error = 4.5 * math.sqrt(fair / 20_000)
    np.testing.assert_allclose(shares, fair, atol=error)
    assert mixtures.modes_covered(points, name) == len(shares)


@pytest.mark.parametrize("name", mixtures.MIXTURES)
def test_a_mode_extends_to_three_standard_deviations(name):
    centres, step = mixtures.centres(name), mixtures.std(name)
    direction = np.array([0.6, 0.8])
    for distance, good in ((2.999, 1.0), (3.001, 0.0)):
        points = centres + distance * step * direction
        assert mixtures.high_quality(points, name) == good
        assert mixtures.modes_covered(points, name) == good * len(centres)


def test_a_mode_counts_from_a_given_number_of_samples():
    centres = mixtures.centres("8gaussians")
    # Six samples on one mode, one on another, one on none.
    points = np.concatenate([np.repeat(centres[2:3], 6, 0), centres[5:6], [[9, 9]]])
    shares = mixtures.mode_shares(points, "8gaussians")
    np.testing.assert_array_equal(shares * 8, [0, 0, 6, 0, 0, 1, 0, 0])
    assert mixtures.high_quality(points, "8gaussians") == 7 / 8
    counts = [mixtures.modes_covered(points, "8gaussians", n) for n in (1, 2, 6, 7)]
    assert counts == [2, 1, 1, 0]


def test_a_distribution_that_is_not_a_mixture_has_no_modes():
    with pytest.raises(ValueError, match="swiss_roll has no modes"):
        mixtures.modes_covered(np.zeros((3, 2)), "swiss_roll")


# ------------------------------------------------------------------------------- critic


@pytest.mark.parametrize("slope", [1e-3, 1.0, 50.0])
def test_a_linear_critic_is_calibrated_to_the_mean_projection(slope):
    real, fake = normal(70, 3), normal(70, 3, seed=1) + 2
    real, fake = jnp.asarray(real, jnp.float32), jnp.asarray(fake, jnp.float32)
    direction = jnp.array([2.0, -1.0, 2.0]) / 3
    result = critic.measure(lambda x: slope * x @ direction + 7, real, fake, size=32)
    expected = float(((real - fake) @ direction).mean())
    # float32 scores are about 7 for every slope.
    atol = 2e-6 / slope
    np.testing.assert_allclose(result.calibrated, expected, rtol=1e-5, atol=atol)
    np.testing.assert_allclose(result.mean_norm, slope, rtol=1e-5)
    np.testing.assert_allclose(
        result.lower_bound_on_points, result.calibrated, rtol=1e-5
    )


def test_the_critic_of_a_translation_gives_w1():
    shift = np.float32([3.0, -4.0])
    fake = normal(100, 2).astype("f4")
    result = critic.measure(lambda x: 0.1 * x @ shift, fake + shift, fake)
    w1 = transport.wasserstein_1(fake + shift, fake)
    np.testing.assert_allclose(result.calibrated, w1, rtol=1e-5)


def test_the_largest_slope_bounds_w1_from_below_where_the_mean_overshoots():
    # Real at 0 and 10, fake at 1 and 9, all four pairs equally frequent. The best
    # critic may be flat from 1 to 9: half of the pairs cross it, and no mass does.
    real = np.tile(np.float32([[0], [10]]), (1000, 1))
    fake = np.repeat(np.float32([[1], [9]]), 1000, 0)
    result = critic.measure(
        lambda x: jnp.maximum(1 - x, x - 9).clip(0)[:, 0], real, fake
    )
    w1 = transport.wasserstein_1(real, fake)
    assert (w1, result.estimate, result.largest_norm) == (1.0, 1.0, 1.0)
    assert result.lower_bound_on_points == 1.0
    # Slope 1 everywhere between the short pairs, on a ninth between the long ones.
    error = 4 * math.sqrt(1 / 9 * 8 / 9 / 1000) / 2
    assert result.mean_norm == pytest.approx(5 / 9, abs=error)
    assert result.calibrated == pytest.approx(9 / 5, rel=error / (5 / 9) * 1.1)


def test_gradients_are_taken_between_the_samples():
    # Slope |x| along the segment from 0 to 1: uniform on it, mean 1/2, largest below 1.
    real, fake = jnp.ones((4000, 1)), jnp.zeros((4000, 1))
    result = critic.measure(lambda x: jnp.square(x[:, 0]) / 2, real, fake)
    assert result.estimate == 0.5
    assert result.mean_norm == pytest.approx(0.5, abs=4 / math.sqrt(12 * 4000))
    assert 0.99 < result.largest_norm < 1


def test_weights_are_an_argument_of_the_compiled_program():
    real, fake = jnp.ones((6, 2)), jnp.zeros((6, 2))
    traces = []

    def linear(w, x):
        traces.append(1)
        return x @ w

    one, two = (
        critic.measure(Partial(linear, w * jnp.ones(2)), real, fake) for w in (1.0, 3.0)
    )
    first = len(traces)
    critic.measure(Partial(linear, jnp.ones(2)), real, fake)
    assert len(traces) == first
    assert (one.estimate, two.estimate) == (2.0, 6.0)
    np.testing.assert_allclose(one.calibrated, two.calibrated, rtol=1e-6)


def test_a_constant_critic_has_no_calibrated_estimate():
    result = critic.measure(lambda x: 0 * x[:, 0], jnp.ones((3, 2)), jnp.zeros((3, 2)))
    assert result.estimate == 0
    assert math.isnan(result.calibrated)
    assert math.isnan(result.lower_bound_on_points)


def test_samples_of_unequal_number_are_refused():
    with pytest.raises(ValueError, match="3 real and 2 fake samples"):
        critic.measure(lambda x: x[:, 0], jnp.ones((3, 2)), jnp.ones((2, 2)))
