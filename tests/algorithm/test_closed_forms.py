"""Numbers that the mathematics gives: derivations in docs/theory.md."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.stats import norm
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.constraints.clip import clip_weights
from wgan_jax.algorithm.constraints.penalty import gradient_penalty
from wgan_jax.algorithm.optimizers import make_optimizer
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import critic_step, real_estimate
from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run
from wgan_jax.nn.models import build
from wgan_jax.nn.network import Network

ADAM = Optimizer(critic_lr=1e-2, beta1=0.5, beta2=0.99, decay="linear")


def hand_made(params, function):
    """A network of known parameters: function(params, x) -> y."""
    return Network(
        init=lambda key: (params, {}),
        apply=lambda params, stats, x, train: (function(params, x), stats),
        summary=[],
    )


def make_case(fake, objective, critic=None, optimizer=ADAM, updates=1):
    """A run whose generator gives fake(u) for u [n] uniform in (0, 1).

    critic: None is a leaky ReLU network of two hidden layers on points of the plane.
    """
    widths = {"features": 32, "generator_widths": (1,), "critic_widths": (1, 1)}
    config = Config(
        data=Data(source="8gaussians", batch_size=256),
        model=Model(kind="mlp", z_dim=1, output="linear", **widths),
        objective=objective,
        optimizer=optimizer,
        run=Run(steps=updates),
    )
    spec = make_spec(config, lambda samples, key, index: samples)
    generator = hand_made({}, lambda params, z: fake(norm.cdf(z[:, 0])))
    return replace(spec, generator=generator, critic=critic or spec.critic)


def measure(spec, state, real, count):
    """The metrics of one critic step on `count` samples."""
    key_real, key = jax.random.split(state.key)
    samples = real(jax.random.uniform(key_real, (count,)))
    return critic_step(state, samples, key, spec=spec)[1]


def trained_critic(spec, real):
    """Critic updates to the end of the decay: (metrics on 8,192 samples, params)."""

    def update(i, state):
        key_real, key = jax.random.split(jax.random.fold_in(state.key, i))
        samples = real(jax.random.uniform(key_real, (spec.batch_size,)))
        # The learning rate decays by the step.
        return critic_step(replace(state, step=i), samples, key, spec=spec)[0]

    @jax.jit
    def run(key):
        state = jax.lax.fori_loop(0, spec.steps, update, init_state(key, spec))
        return measure(spec, state, real, 8192), state.critic.params

    return jax.tree.map(np.asarray, run(jax.random.key(0)))


def points(*columns):
    return jnp.stack(jnp.broadcast_arrays(*columns), 1)


# ----------------------------------------------------- epsilon and axes of the penalty

COUNT = 16384


def drawn_wrongly(shape):
    """Epsilon as it is also found in published code: name -> [COUNT, ...]."""
    rng = np.random.default_rng(0)
    ones = (1,) * len(shape)
    drawn = {
        "normal": rng.normal(size=(COUNT, *ones)),
        "number": rng.uniform(size=(COUNT, *shape)),
    }
    if len(shape) == 3:
        drawn["pixel"] = rng.uniform(size=(COUNT, *shape[:2], 1))
        drawn["channel"] = rng.uniform(size=(COUNT, 1, 1, shape[2]))
    return drawn


@pytest.mark.parametrize("shape", [(2,), (7,), (3, 4, 2)])
def test_penalty_is_that_of_one_uniform_epsilon_a_sample_and_of_no_other(shape):
    # Real is all ones, fake all zeros and the critic (sum x)^2 / 2: its gradient norm
    # is a |mean of epsilon|, and k independent numbers have mean 1/2, variance 1/12k.
    d = np.prod(shape)
    a, moments = d**1.5, {"normal": (np.sqrt(2 / np.pi), 1 - 2 / np.pi)}
    for name, k in {"number": d, "pixel": d // shape[-1], "channel": shape[-1]}.items():
        moments[name] = (0.5, 1 / 12 / k)
    drawn = drawn_wrongly(shape)
    for name, epsilon in drawn.items():
        each = np.broadcast_to(epsilon, (COUNT, *shape)).reshape(COUNT, -1)
        norms, (mean, variance) = a * np.abs(each.mean(1)), moments[name]
        np.testing.assert_allclose(norms.mean(), a * mean, rtol=0.03)
        np.testing.assert_allclose(norms.var(), a**2 * variance, rtol=0.05)

    critic = hand_made(
        {"q": jnp.array(1.0)},
        lambda p, x: 0.5 * p["q"] * jnp.square(x.reshape(len(x), -1).sum(1)),
    )
    spec = make_case(lambda u: jnp.zeros((len(u), *shape)), Objective(), critic)
    state = init_state(jax.random.key(0), spec)
    got = measure(spec, state, lambda u: jnp.ones((len(u), *shape)), COUNT)

    def expected(mean, variance):
        return a**2 * (mean**2 + variance) - 2 * a * mean + 1

    penalty = expected(1 / 2, 1 / 12)
    fourth = ((a - 1) ** 5 + 1) / (5 * a)
    error = np.sqrt((fourth - penalty**2) / COUNT)
    assert abs(got["gradient_penalty"] - penalty) < 5 * error
    np.testing.assert_allclose(got["gradient_norm"], a / 2, rtol=0.03)
    for name in drawn:
        assert abs(got["gradient_penalty"] - expected(*moments[name])) > 10 * error
    # One epsilon for the batch has the right mean over many batches, but all norms of
    # a batch are equal.
    variance = got["gradient_penalty"] - (got["gradient_norm"] - 1) ** 2
    np.testing.assert_allclose(variance, a**2 / 12, rtol=0.05)


def test_norm_runs_over_all_axes_but_the_batch_and_over_no_others():
    n, h, w, c = shape = 4, 3, 5, 2
    d, length = h * w * c, 3.0

    def score(x):
        return (length / np.sqrt(d) * x).reshape(len(x), -1).sum(1)

    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    ours = gradient_penalty(losses.gradient_norms(score, x))
    np.testing.assert_allclose(ours, (length - 1) ** 2, rtol=1e-4)
    gradient = jax.grad(lambda x: score(x).sum())(x)
    for norms, closed_form in (
        (jnp.abs(gradient), length / np.sqrt(d)),
        (jnp.linalg.norm(gradient, axis=3), length / np.sqrt(h * w)),
        (jnp.linalg.norm(gradient, axis=1), length / np.sqrt(w * c)),
        (jnp.linalg.norm(gradient.reshape(-1)), length * np.sqrt(n)),
        (jax.vmap(jnp.linalg.norm)(jax.grad(lambda x: score(x).mean())(x)), length / n),
    ):
        np.testing.assert_allclose(norms, closed_form, rtol=1e-4)
        assert abs((closed_form - 1) ** 2 - ours) > 3


# ------------------------------------------------------- the optimum of a soft penalty


@pytest.mark.parametrize(
    ("w", "weight", "target", "one_sided"),
    [(1, 10, 1, False), (2, 1, 1, False), (1, 0.25, 1, False), (1, 1, 0.5, True)],
)
def test_critic_of_parallel_lines_has_the_slope_of_the_soft_penalty(
    w, weight, target, one_sided
):
    length = 0.25
    objective = Objective(gp_weight=weight, gp_target=target, one_sided=one_sided)
    fake = points_on_line(w, length)
    got, _ = trained_critic(
        make_case(fake, objective, updates=500), points_on_line(0.0, length)
    )
    slope = target + w / (2 * weight)
    np.testing.assert_allclose(got["gradient_norm"], slope, rtol=0.01)
    np.testing.assert_allclose(got["wasserstein"], slope * w, rtol=0.01)
    np.testing.assert_allclose(got["wasserstein"] / got["gradient_norm"], w, rtol=0.01)
    np.testing.assert_allclose(
        got["gradient_penalty"], (w / (2 * weight)) ** 2, rtol=0.03
    )
    # The pairs are somewhat longer than the lines are apart: no critic passes `above`.
    squares = w**2 + length**2 / 6
    below = target * w + w**2 / (4 * weight)
    above = target * np.sqrt(squares) + squares / (4 * weight)
    assert 0.995 * below < -got["critic_loss"] < 1.002 * above


def points_on_line(x, length):
    return lambda u: points(x, length * u)


def test_critic_on_a_line_has_the_slope_of_the_crowding_of_interpolates():
    # Real at 0 and 2, fake at 2.5: between 0 and 2 lies half of the mass to be moved,
    # but only 2/5 of the interpolates.
    critic = hand_made(
        {"slopes": jnp.ones(2)},
        lambda p, x: (
            -(
                p["slopes"][0] * jnp.minimum(x[:, 0], 2)
                + p["slopes"][1] * jnp.maximum(x[:, 0] - 2, 0)
            )
        ),
    )
    optimizer = replace(ADAM, critic_lr=0.02)
    spec = make_case(
        lambda u: points(2.5 + 0 * u, 0.0),
        Objective(gp_weight=0.5),
        critic,
        optimizer,
        updates=800,
    )
    got, params = trained_critic(
        spec, lambda u: points(2.0 * (jnp.arange(len(u)) % 2), 0.0)
    )
    np.testing.assert_allclose(params["slopes"], [3.5, 11 / 6], rtol=0.02)
    np.testing.assert_allclose(got["gradient_norm"], 2.5, rtol=0.01)
    np.testing.assert_allclose(got["wasserstein"], 53 / 12, rtol=0.01)
    calibrated = got["wasserstein"] / got["gradient_norm"]
    np.testing.assert_allclose(calibrated, 1.77, rtol=0.01)


def test_no_rescaling_of_a_trained_critic_gains():
    # A circle against an arc of a parabola: no closed form but the one of scaling.
    objective = Objective(gp_weight=0.5)
    got, _ = trained_critic(
        make_case(lambda u: points(u, u**2 - 0.5), objective, updates=500),
        lambda u: 2 * points(jnp.cos(2 * jnp.pi * u), jnp.sin(2 * jnp.pi * u)),
    )
    product = got["gradient_penalty"] + got["gradient_norm"] - 1
    np.testing.assert_allclose(got["wasserstein"], 2 * 0.5 * product, rtol=0.03)
    # Norms vary, so that neither a ramp's penalty nor its gap would pass.
    assert got["gradient_penalty"] > 1.02 * (got["gradient_norm"] - 1) ** 2


# ------------------------------------------------------------------- the unit of a clip


@pytest.mark.parametrize("clip", [0.01, 0.05])
def test_clipped_linear_critic_reaches_the_sum_of_mean_differences(clip):
    difference = jnp.array([3.0, -0.02, 0.5, 0.0, -1e-5])
    spread = jnp.array([1.0, 2.0, -1.0, 0.5, 0.25])
    critic = hand_made({"w": jnp.zeros(5)}, lambda p, x: x @ p["w"])
    spec = make_case(
        lambda u: jnp.zeros((len(u), 5)),
        Objective(constraint="clip", clip=clip),
        critic,
        Optimizer(kind="rmsprop", critic_lr=1e-3),
        updates=100,
    )

    def real(u):
        # Pairs around the mean, so that every batch has the same.
        side = jnp.where(jnp.arange(len(u)) % 2 == 0, 1.0, -1.0)[:, None]
        return difference[None] + side * spread[None]

    got, params = trained_critic(spec, real)
    expected = clip * np.abs(difference).sum()
    np.testing.assert_allclose(got["wasserstein"], expected, rtol=1e-4)
    np.testing.assert_allclose(params["w"], clip * np.sign(difference), rtol=1e-6)


@pytest.mark.parametrize(
    ("clip", "steepest"), [(0.01, 1.898), (0.001, 1.898e-4), (0.1, 1.898e4)]
)
def test_steepest_clipped_critic_is_the_product_of_its_layers(clip, steepest):
    model = Model(
        kind="mlp", features=512, critic_widths=(1, 1, 1), critic_activation="relu"
    )
    _, critic = build(replace(model, output="linear"), (2,))
    params, stats = critic.init(jax.random.key(0))
    kernels = [p for p in jax.tree.leaves(params) if p.ndim == 2]
    corner = jax.tree.map(lambda p: jnp.full_like(p, clip), params)

    @jax.jit
    def slope(params):
        return losses.gradient_norms(
            lambda x: critic.apply(params, stats, x, True)[0], jnp.ones((1, 2))
        )[0]

    # A matrix whose entries are at most c has operator norm c sqrt(rows columns).
    bound = np.prod([clip * np.sqrt(kernel.size) for kernel in kernels])
    assert len(kernels) == 4
    np.testing.assert_allclose(bound, steepest, rtol=1e-3)
    np.testing.assert_allclose(slope(corner), bound, rtol=1e-4)
    inside = clip_weights(params, clip)
    assert slope(inside) < 0.1 * bound


# ---------------------------------------------------------------- RMSprop and distances


def test_the_share_of_each_generator_in_the_average():
    case = make_case(lambda u: u[:, None], Objective(), optimizer=Optimizer())
    spec = replace(case, optimizer=Optimizer(ema_decay=0.999))
    average = np.eye(401)[0]
    for step, newest in enumerate(np.eye(401)[1:]):
        weight = spec.ema_weight(np.float64(step))
        average = (1 - weight) * average + weight * newest
        if step + 1 in (3, 100, 400):
            shares = [math.comb(k + 8, 8) for k in range(step + 2)]
            shares = np.array(shares) / math.comb(step + 10, 9)
            np.testing.assert_allclose(average[: step + 2], shares, rtol=1e-4)
    ages = 400 - np.arange(401)
    np.testing.assert_allclose(average @ ages, 40, rtol=1e-4)
    assert 8_989 / 8_998 < 0.999 == 8_991 / 9_000


@pytest.mark.parametrize(
    ("form", "first", "steady"),
    [
        (Optimizer(kind="rmsprop"), 9.999, (0.999, 0.909)),
        (optax.scale_by_rms(), 3.015, (0.0995, 0.001)),
        (Optimizer(kind="rmsprop_tf1"), 0.00105, (0.707, 0.00999)),
    ],
    ids=["torch", "optax", "tensorflow"],
)
def test_three_forms_of_rmsprop_differ_where_gradients_are_tiny(form, first, steady):
    transform = make_optimizer(form) if isinstance(form, Optimizer) else form

    @jax.jit
    def run(gradient, steps):
        def step(_, carry):
            return transform.update(gradient, carry[1])

        start = transform.init(gradient)
        return jax.lax.fori_loop(0, steps, step, (gradient, start))[0]

    assert run(jnp.array(1e-3), 1) == pytest.approx(first, rel=5e-3)
    for gradient, size in zip((1e-5, 1e-7), steady, strict=True):
        assert run(jnp.array(gradient), 3000) == pytest.approx(size, rel=5e-3)


@pytest.mark.parametrize("theta", [0.0, 0.25, -3.0])
def test_divergences_of_parallel_lines_know_only_whether_they_meet(theta):
    heights = np.arange(8) / 8
    lines = [[(x, height) for height in heights] for x in (0.0, theta)]
    places = sorted({*lines[0], *lines[1]})
    p, q = (np.array([line.count(place) / 8 for place in places]) for line in lines)

    def kl(p, q):
        with np.errstate(divide="ignore"):
            return (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()

    apart = theta != 0
    half = (p + q) / 2
    np.testing.assert_allclose((kl(p, half) + kl(q, half)) / 2, apart * np.log(2))
    assert kl(p, q) == (np.inf if apart else 0)
    assert np.abs(p - q).sum() / 2 == apart
    np.testing.assert_allclose(transport(*map(np.array, lines)), abs(theta))


def transport(x, y):
    """The Wasserstein distance of two equally large samples [n, d]."""
    cost = cdist(x, y)
    return cost[linear_sum_assignment(cost)].mean()


def test_the_estimate_between_real_halves_is_near_zero():
    critic = hand_made({"v": jnp.array([3.0, 4.0])}, lambda params, x: x @ params["v"])
    spec = make_case(lambda u: jnp.stack([u, u], 1), Objective(), critic)
    state = init_state(jax.random.key(0), spec)
    real = np.random.default_rng(2).normal(5, 1, (1024, 2)).astype(np.float32)
    estimate = jax.jit(partial(real_estimate, spec=spec))
    got = np.array([estimate(state, real, jax.random.key(i)) for i in range(40)])
    noise = 5 * math.sqrt(2 / 512)
    assert abs(got.mean()) < 3 * noise / math.sqrt(40)
    assert got.std(ddof=1) == pytest.approx(noise, rel=0.3)
    # The halves are disjoint: of two samples each is one, in either order.
    pair = real[:2]
    got = {float(estimate(state, pair, jax.random.key(i))) for i in range(8)}
    difference = float((pair[0] - pair[1]) @ critic.init(0)[0]["v"])
    assert sorted(got) == pytest.approx(sorted((difference, -difference)), rel=1e-4)


@pytest.mark.parametrize(("n", "floor"), [(64, 0.055), (1024, 0.0138)])
def test_two_samples_of_one_distribution_are_apart(n, floor):
    assert np.sqrt(np.pi / n) / 4 == pytest.approx(floor, rel=0.01)
    x, y = np.sort(np.random.default_rng(0).uniform(size=(2, 2000, n)), axis=-1)
    assert np.abs(x - y).mean() == pytest.approx(floor, rel=0.04)
    # A function chosen without the samples, such as the identity, has no such floor.
    assert abs((x - y).mean()) < 5 * np.sqrt(2 / 12 / n / len(x))


def test_samples_of_one_distribution_are_far_apart_in_many_dimensions():
    x, y = np.random.default_rng(0).normal(size=(2, 256, 64))
    assert transport(x, y) == pytest.approx(9.2, abs=0.1)
