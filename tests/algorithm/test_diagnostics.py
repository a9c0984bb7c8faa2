from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TINY, in_process, records

from wgan_jax import train
from wgan_jax.algorithm import diagnostics
from wgan_jax.algorithm.constraints.clip import share_at_bound
from wgan_jax.algorithm.diagnostics import (
    QUANTILES,
    critic_diagnostics,
    layer_gradients,
)
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import critic_gradient
from wgan_jax.config import Config, Data, Model, Objective, Optimizer

CLIP = Config(
    data=Data(source="8gaussians", batch_size=16),
    model=Model(
        kind="mlp",
        z_dim=2,
        features=4,
        generator_widths=(1,),
        critic_widths=(1, 2),
        generator_norm="none",
        critic_activation="relu",
        output="linear",
    ),
    objective=Objective(constraint="clip", clip=0.05),
    optimizer=Optimizer(kind="rmsprop"),
)


def initialised(config):
    spec = make_spec(config, get_batch=None)
    return spec, jax.jit(partial(init_state, spec=spec))(jax.random.key(0))


@pytest.fixture(scope="module")
def clipped():
    spec, state = initialised(CLIP)
    real = jax.random.normal(jax.random.key(1), (16, 2))
    diagnose = jax.jit(partial(critic_diagnostics, spec=spec))
    return spec, state, real, diagnose(state, real, jax.random.key(2))


def test_share_at_bound_counts_entries_over_all_leaves():
    params = {"a": jnp.array([0.1, -0.1, 0.05]), "b": jnp.array([[0.0]])}
    assert share_at_bound(params, 0.1) == 0.5


def test_share_at_bound_is_that_of_the_clipped_critic(clipped):
    _, state, _, metrics = clipped
    flat = np.concatenate([np.ravel(a) for a in jax.tree.leaves(state.critic.params)])
    expected = (np.abs(flat) == np.float32(0.05)).mean()
    assert 0 < expected < 1
    np.testing.assert_allclose(metrics["weights_at_bound"], expected, rtol=1e-6)


def test_cosine_of_rmsprops_first_step_is_that_of_signs_with_the_gradient(clipped):
    spec, state, real, metrics = clipped
    key_step = jax.random.split(jax.random.key(2), 3)[0]
    gradient = critic_gradient(state, real, key_step, spec=spec)[0]
    g = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])
    # PyTorch's RMSprop starts with 10 sign(g), but for gradients near its epsilon.
    expected = np.abs(g).sum() / np.linalg.norm(g) / np.sqrt((np.abs(g) > 0).sum())
    np.testing.assert_allclose(metrics["step_gradient_cosine"], expected, rtol=1e-3)


def test_cosine_of_a_step_against_the_gradient_is_negative():
    # Momentum of an earlier gradient of the other sign outweighs the new one.
    config = replace(CLIP, optimizer=Optimizer(kind="adam", beta1=0.9, beta2=0.9))
    spec, state = initialised(config)
    real = jax.random.normal(jax.random.key(1), (16, 2))
    key = jax.random.key(2)
    diagnose = jax.jit(partial(critic_diagnostics, spec=spec))
    first = diagnose(state, real, key)["step_gradient_cosine"]
    assert first > 0
    adam = state.critic.opt_state
    far = jax.tree.map(lambda m, p: m + 100 * jnp.ones_like(p), adam.mu, adam.mu)
    one = replace(state, critic=replace(state.critic, opt_state=adam._replace(mu=far)))
    other = jax.tree.map(jnp.negative, far)
    two = replace(
        state, critic=replace(state.critic, opt_state=adam._replace(mu=other))
    )
    cosines = [diagnose(s, real, key)["step_gradient_cosine"] for s in (one, two)]
    # The momentum outweighs the gradient, so opposite momenta give opposite steps.
    np.testing.assert_allclose(cosines[0], -cosines[1], rtol=1e-2)
    assert min(cosines) < 0


def test_layer_gradients_are_the_chain_rule_in_numpy(clipped):
    spec, state, real, _ = clipped
    fake = jax.random.normal(jax.random.key(5), (16, 2))
    norms = jax.jit(partial(layer_gradients, spec=spec))(state.critic, real, fake)
    layers = state.critic.params["layers"]
    dense = sorted(norms)
    weights = [np.asarray(layers[i]["kernel"], "f8") for i in dense]
    biases = [np.asarray(layers[i]["bias"], "f8") for i in dense]
    totals = dict.fromkeys(dense, 0.0)
    for x, sign in ((real, -1.0), (fake, 1.0)):
        h, before = np.asarray(x, "f8"), []
        for w, b in zip(weights, biases, strict=True):
            before.append(h @ w + b)
            h = np.maximum(before[-1], 0)
        gradient = np.full((16, 1), sign / 16)
        for i in reversed(range(len(dense))):
            totals[dense[i]] += np.square(gradient).sum()
            if i:
                gradient = gradient @ weights[i].T * (before[i - 1] > 0)
    expected = [np.sqrt(totals[i]) for i in dense]
    np.testing.assert_allclose([norms[i] for i in dense], expected, rtol=1e-4)


def test_slopes_are_those_at_points_between_the_samples(clipped):
    spec, state, _, metrics = clipped
    slopes = [metrics[f"slope/q{q:03}"] for q in QUANTILES]
    assert np.all(np.diff(slopes) >= 0)

    def linear(params, stats, x, train, offsets=None):
        return 3 * x[:, 0] + 4 * x[:, 1] + sum((offsets or {}).values()), stats

    flat = replace(spec, critic=replace(spec.critic, apply=linear, summary=[]))
    real = jnp.ones((16, 2))
    metrics = critic_diagnostics(state, real, jax.random.key(0), spec=flat)
    np.testing.assert_allclose([metrics[f"slope/q{q:03}"] for q in QUANTILES], 5.0)


def test_gradients_far_below_the_root_of_the_smallest_number_have_their_norms():
    """Clipped to 1e-6, each layer of the critic divides the gradient by a million."""

    def tiny(params, stats, x, train, offsets=None):
        offsets = offsets or {}
        return 3e-30 * (x + offsets.get(0, 0.0)).sum(1) + offsets.get(1, 0.0), stats

    spec, state = initialised(CLIP)
    summary = [("", (2,), 1), ("", (), 1)]
    flat = replace(spec, critic=replace(spec.critic, apply=tiny, summary=summary))
    real = jnp.ones((16, 2))
    norms = layer_gradients(state.critic, real, real, spec=flat)
    # 32 real and fake samples; the gradient of a mean over 16.
    expected = [3e-30 * np.sqrt(64) / 16, np.sqrt(32) / 16]
    np.testing.assert_allclose([norms[0], norms[1]], expected, rtol=1e-6)
    metrics = critic_diagnostics(state, real, jax.random.key(0), spec=flat)
    np.testing.assert_allclose(metrics["slope/q050"], 3e-30 * np.sqrt(2), rtol=1e-6)
    still = replace(
        flat, critic=replace(flat.critic, apply=lambda p, s, x, *_: (0 * x[:, 0], s))
    )
    metrics = critic_diagnostics(state, real, jax.random.key(0), spec=still)
    assert metrics["slope/q050"] == metrics["step_gradient_cosine"] == 0


@pytest.mark.parametrize(("a", "b", "cosine"), [(1e-25, 1e-25, 1.0), (1e-25, 0.0, 0.0)])
def test_cosine_of_tiny_gradients(a, b, cosine):
    trees = ({"w": jnp.full(3, scale)} for scale in (a, b))
    np.testing.assert_allclose(diagnostics._cosine(*trees), cosine, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gan", "lsgan"])
def test_gan_losses_reach_their_divergence_at_the_best_critic(kind, x64):
    """Two known densities on a line of points: the best critic's loss is the distance.

    Goodfellow et al., eq. 4 and Mao et al., eq. 10 with a, b = 0, 1.
    """
    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.1, 0.3, 0.2, 0.4])
    ratio = p / (p + q)
    with np.errstate(divide="ignore"):
        best = ratio if kind == "lsgan" else np.clip(np.log(p) - np.log(q), -40, 40)
    counts = [np.repeat(np.arange(4), (10 * w).astype(int)) for w in (p, q)]
    real, fake = (jnp.asarray(best[c]) for c in counts)
    losses = make_losses(Objective(kind=kind))
    distance = losses.estimate(losses.critic(real, fake))
    if kind == "lsgan":
        expected = (np.square(p - q) / (p + q)).sum() / 2
    else:
        m = (p + q) / 2
        safe = np.where(p > 0, p, 1.0)
        expected = (p * np.log(safe / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2
    np.testing.assert_allclose(distance, expected, rtol=1e-9)
    worse = losses.critic(real + 0.1, fake + 0.1)
    assert losses.estimate(worse) < distance


def test_diagnostics_are_logged_when_asked_for(tmp_path):
    asked = [*TINY, "--run.steps", "10", "--run.diagnostics", "--out", tmp_path / "a"]
    assert in_process(train, *asked)[0] == 0
    names = set(records(tmp_path / "a")[-1])
    assert {"step_gradient_cosine", "slope/q050", "layer_gradient/00"} <= names
    # Under a penalty no weight has a bound.
    assert "weights_at_bound" not in names


@pytest.mark.parametrize("kind", ["gan", "lsgan"])
def test_gan_objectives_train_by_the_command(kind, tmp_path):
    options = [*TINY, "--objective.kind", kind, "--objective.constraint", "none"]
    name = make_losses(Objective(kind=kind)).metric
    out = tmp_path / "run"
    code, error = in_process(train, *options, "--run.steps", "10", "--out", out)
    assert code == 0, error
    last = records(out)[-1]
    assert {name, f"heldout_{name}", "critic_loss", "generator_loss"} <= set(last)
    assert "wasserstein" not in last
    assert "gradient_penalty" not in last
    assert last[name] < 1
