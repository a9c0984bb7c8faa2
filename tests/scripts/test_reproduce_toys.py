"""The toy figures of the papers, and their formulas."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from figures import critics, gaussians, gradients, surfaces
from wgan_jax.config import TOYS
from wgan_jax.data.toys import toy_sample
from wgan_jax.metrics.divergences import Gaussian

pytestmark = pytest.mark.figures


@pytest.mark.slow
def test_lines(reproduce_tiny):
    numbers, line = reproduce_tiny("lines")
    assert numbers["theta"] == [-1, 0, 1]
    assert numbers["wasserstein"] == [1, 0, 1]
    np.testing.assert_allclose(numbers["samples"], [1, 0, 1], atol=0.05)
    assert numbers["kullback_leibler"] == ["inf", 0, "inf"]
    assert "W1 is abs(theta)" in line


@pytest.mark.slow
def test_gaussians(reproduce_tiny):
    numbers, line = reproduce_tiny("gaussians")
    assert "W1 = 4," in line
    discriminator = numbers["discriminator"]
    assert discriminator["bound"]["mean"] < numbers["jensen_shannon"] < np.log(2)
    # Closed form: 1 / 2 between the means, 4 exp(-8) / (1 + exp(-8)) at the fake mean.
    assert numbers["optimal"]["probability"][80] == 0.5
    at_fake = numbers["optimal_at_fake"]
    np.testing.assert_allclose(at_fake["log_1_D"], 4 / (1 + np.exp(8)), rtol=1e-12)
    np.testing.assert_allclose(at_fake["log_D"], 4 / (1 + np.exp(-8)), rtol=1e-12)
    for name in ("penalty", "clip"):
        critic = numbers[name]
        assert critic["largest_slope"]["mean"] >= critic["mean_slope"]["mean"] > 0
        # The slopes integrate to the scores.
        x, score = np.array(numbers["x"]), np.array(critic["score"])
        rise = np.trapezoid(critic["slope"], x)
        np.testing.assert_allclose(rise, score[-1] - score[0], rtol=0.05, atol=0.05)


@pytest.mark.slow
def test_surfaces(reproduce_tiny):
    numbers, line = reproduce_tiny("surfaces")
    toy = numbers["8gaussians"]
    for kind in ("fixed_clip", "fixed_penalty", "trained_clip", "trained_penalty"):
        values = np.array(toy[kind]["surface"])
        assert values.shape == (12, 12)
        assert (values.min(), values.max()) == (0, 1000)
    # A coupling of x with x + noise costs E|N(0, I)| = sqrt(pi / 2); 60 points and
    # three pairs leave an error of a few tenths.
    assert 0.3 < toy["fixed_distance"]["mean"] < np.sqrt(np.pi / 2) + 0.3
    assert f"W1 {toy['fixed_distance']['mean']:.2f}" in line
    for kind in ("clip", "penalty"):
        critic = toy[f"fixed_{kind}"]
        assert critic["lower_bound"]["mean"] <= critic["calibrated"]["mean"]
        assert len(toy[f"trained_{kind}"]["points"]) == 400


@pytest.mark.slow
def test_gradients(reproduce_tiny):
    numbers, line = reproduce_tiny("gradients")
    assert numbers["layers"] == [3, 2, 1]
    for name in gradients.BOUNDS:
        logs = np.array(numbers[name]["log10_norms"])
        assert logs.shape == (2, 3)
        # d / d score of a mean over n is 1 / n: of two batches the norm is sqrt(2 / n).
        np.testing.assert_allclose(logs[:, 0], np.log10(np.sqrt(2 / 1024)), rtol=1e-9)
        assert f"({name})" in line
    gains = [numbers[name]["gain"]["mean"] for name in gradients.BOUNDS]
    # Weights ten times smaller, nearly all at the bound: gains ten times smaller.
    assert gains[2] == pytest.approx(gains[1] / 10, rel=0.2)
    names = list(gradients.BOUNDS)[:3]
    at_bound = [numbers[name]["trained"]["at_bound"]["mean"] for name in names]
    assert 0 < at_bound[0] < at_bound[1] < at_bound[2] <= 1
    clipped, penalised = (numbers[n]["weights"] for n in gradients.SHOWN)
    np.testing.assert_allclose(sum(clipped["trained"]["share"]), 1, rtol=1e-6)
    # Initially uniform; a small bound moves most to one of two values.
    assert penalised["initial"]["kurtosis"]["mean"] == pytest.approx(1.8, abs=0.3)
    assert 1 <= clipped["initial"]["kurtosis"]["mean"] < 1.2
    assert f"{penalised['trained']['kurtosis']['mean']:.2f} +- " in line


def test_log_odds_are_those_of_unequal_gaussians():
    p, q = Gaussian(-1.0, 0.5), Gaussian(2.0, 3.0)
    x = np.linspace(-4, 4, 9)
    odds, slope = gaussians.log_odds(p, q, x)
    densities = [
        np.exp(-(((x - m) / s) ** 2) / 2) / s for m, s in ((-1.0, 0.5), (2.0, 3.0))
    ]
    np.testing.assert_allclose(odds, np.log(densities[0] / densities[1]), rtol=1e-9)
    step = 1e-6
    either = [gaussians.log_odds(p, q, x + d)[0] for d in (step, -step)]
    difference = (either[0] - either[1]) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-6)


def test_curves_are_derivatives(x64):
    odds, slope = np.array([-3.0, 0.5, 2.0]), np.array([1.0, -2.0, 4.0])
    curves = gaussians.curves(odds, slope)
    losses = {
        "D": jax.nn.sigmoid,
        "log_D": lambda a: jnp.log(jax.nn.sigmoid(a)),
        "log_1_D": lambda a: jnp.log(1 - jax.nn.sigmoid(a)),
    }
    for name, function in losses.items():
        expected = np.abs(jax.vmap(jax.grad(function))(odds) * slope)
        np.testing.assert_allclose(curves[f"slope_{name}"], expected, rtol=1e-9)


def test_critics_of_gaussians_have_inputs_on_the_line():
    spec = gaussians.line_spec(*gaussians.TRAINED["penalty"])
    assert spec.critic.summary[1].parameters == 2 * 64
    fake, _ = spec.generator.apply({}, {}, jnp.array([[0.0], [1.0]]), True)
    np.testing.assert_allclose(fake, [[2.0], [3.0]])


def test_a_linear_critic_is_calibrated_to_the_exact_distance():
    estimates = gaussians.estimates(lambda slope, x: slope * x[:, 0], -3.0, "wgan")
    np.testing.assert_allclose(estimates["estimate"], 12, rtol=1e-5)
    np.testing.assert_allclose(estimates["calibrated"], 4, rtol=1e-5)


def test_the_best_discriminator_reaches_the_divergence():
    # Log odds of N(-2, 1) and N(2, 1) are -4 x. The quantiles omit tails of 1e-4.
    estimates = gaussians.estimates(lambda slope, x: slope * x[:, 0], -4.0, "gan")
    exact = gaussians.gaussian_jensen_shannon(gaussians.REAL, gaussians.FAKE)
    np.testing.assert_allclose(estimates["bound"], exact, rtol=1e-3)


@pytest.mark.parametrize("name", TOYS)
def test_points_from_noise_are_those_of_the_toy(name):
    count = 20_000
    z = jax.random.normal(jax.random.key(0), (count, 3))
    points = np.asarray(critics.toy_from_noise(name, z), np.float64)
    reference = np.asarray(toy_sample(name, jax.random.key(1), count), np.float64)
    # Means of cos and sin of k x distinguish distributions, here up to all modes of the
    # lattice; each has a standard deviation below sqrt(1 / count).
    for k in ((1, 0), (0, 1), (2, 1), (1, -3), (9, 0), (0, 9), (40, 7)):
        a, b = (np.exp(1j * p @ np.array(k)).mean() for p in (points, reference))
        assert abs(a - b) < 5 * np.sqrt(2 / count)


def test_extreme_noise_stays_on_a_mode():
    z = jnp.array([[-40.0, 0.0, 0.0], [40.0, 0.0, 0.0]])
    points = critics.toy_from_noise("8gaussians", z)
    np.testing.assert_allclose(points, [[2 / 1.414, 0], [1, -1]], rtol=1e-3)


def test_fixed_generator_adds_unit_noise():
    z = jax.random.normal(jax.random.key(0), (4000, 5))
    truth = critics.toy_from_noise("swiss_roll", z[:, :3])
    noise = surfaces.noisy("swiss_roll", z) - truth
    np.testing.assert_allclose(noise, z[:, 3:], atol=1e-6)


def test_he_weights_preserve_the_mean_square():
    spec = critics.toy_spec("8gaussians", *surfaces.CONSTRAINTS["penalty"], 256, 3)
    params, _ = jax.jit(spec.critic.init)(jax.random.key(0))
    arrays = jax.tree.leaves(params)
    assert all((a == 0).all() for a in arrays if a.ndim == 1)
    kernels = [a for a in arrays if a.ndim == 2]
    assert [k.shape for k in kernels] == [(2, 256), (256, 256), (256, 256), (256, 1)]
    for kernel in kernels[1:3]:
        # 65,536 uniform numbers: 5 standard deviations of their mean square.
        expected = pytest.approx(2 / 256, rel=5 * np.sqrt(0.8 / kernel.size))
        assert float(jnp.square(kernel).mean()) == expected
        bound = np.sqrt(6 / 256)
        assert 0.99 * bound < jnp.abs(kernel).max() <= bound * (1 + 1e-6)


def test_toy_networks_have_the_given_depth():
    spec = critics.toy_spec("swiss_roll", *surfaces.CONSTRAINTS["clip"], 4, 12)
    for network, ends in ((spec.generator, 2 * 4), (spec.critic, 2 * 4)):
        dense = [row for row in network.summary if str(row.layer) == "dense"]
        assert len(dense) == 13
        assert dense[0].parameters == ends + 4
    points = spec.get_batch(None, jax.random.key(0), 0)
    assert points.shape == (256, 2)


def test_peaks_are_counted_away_from_the_margin():
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, 101)])
    # Maxima at all multiples of 1/2, of which -1 and 1 are on the margin.
    assert surfaces.peaks(np.cos(4 * np.pi * x) + np.cos(4 * np.pi * y)) == 9
    assert surfaces.peaks(-np.hypot(x, y)) == 1
    assert surfaces.peaks(x + 2 * y) == 0
    noise = 1e-4 * np.random.default_rng(0).uniform(size=x.shape)
    assert surfaces.peaks(np.minimum(x, 0) + noise) == 0


def test_levels_range_over_a_thousand():
    assert surfaces.levels(np.array([[-1.0, 3.0], [1.0, 0.0]])) == [
        [0, 1000],
        [500, 250],
    ]


def test_gain_is_the_ratio_of_a_geometric_sequence():
    logs = np.log10(0.01 * 0.25 ** np.arange(13))
    assert gradients.gain(logs) == pytest.approx(0.25, rel=1e-12)


def test_shares_exclude_entries_beyond_the_edges():
    arrays = [np.array([0.1, 0.9]), np.array([[2.0, 0.2]])]
    assert gradients.shares(arrays, [0, 0.5, 1]) == [0.5, 0.25]


def test_kurtosis_of_known_distributions():
    rng = np.random.default_rng(7)
    assert gradients.kurtosis([3, -1, 3, -1]) == 1
    assert gradients.kurtosis(np.linspace(2, 5, 10_001)) == pytest.approx(1.8, rel=1e-3)
    # 5 standard deviations of the estimate, sqrt(24 / n) each.
    bell = rng.normal(7, 0.1, 100_000).astype(np.float32)
    assert gradients.kurtosis(bell) == pytest.approx(3, abs=5 * np.sqrt(24e-5))


def test_kurtosis_is_that_of_layers_between_hidden_layers():
    square = np.array([[1.0, 2.0], [2.0, 1.0]])
    mixed = [np.ones((3, 2)), square, 10 * square, np.ones((2, 1))]
    weights = gradients.weights([mixed, mixed], [0, 5, 10])
    assert weights["kurtosis"]["mean"] == pytest.approx(1)
    assert weights["share"] == [12 / 16, 2 / 16]


@pytest.mark.slow
def test_seeds_are_trained_as_if_alone():
    size = gradients.Size(depth=2, features=4, seeds=2, steps=1)
    spec = gradients.make(0.1, size, gradients.Long(4, 1, 10.0, 8))
    assert spec.batch_size == 8
    np.testing.assert_allclose(spec.optimizer.critic_lr, 5e-4, rtol=1e-12)
    keys = jax.random.split(jax.random.key(0), 2)
    both = gradients.train(spec, keys, 1)[1]
    for i in range(2):
        alone = gradients.train(spec, keys[i : i + 1], 1)[1]
        for a, b in zip(
            jax.tree.leaves(both.critic.params),
            jax.tree.leaves(alone.critic.params),
            strict=True,
        ):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_norms_do_not_underflow():
    """A chain of layers with one positive weight w each: layer l has w^(L - l)."""
    size = gradients.Size(depth=3, features=1, seeds=1, steps=1)
    spec = gradients.make(None, size)
    _, state = gradients.train(spec, jax.random.split(jax.random.key(0), 1), 0)
    tiny = jax.tree.map(lambda a: jnp.full_like(a, 1e-10), state.critic.params)
    # These biases keep every unit active.
    layers = {
        i: {"kernel": row["kernel"], "bias": jnp.ones_like(row["bias"])} if row else row
        for i, row in tiny["layers"].items()
    }
    critic = replace(state.critic, params={"layers": layers})
    state = replace(state, critic=critic)
    (norms,) = gradients.make_norms(spec, 0)(state)
    expected = np.sqrt(2 / 1024) * 1e-10 ** np.arange(4)
    np.testing.assert_allclose(norms, expected, rtol=1e-6)
