import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.state import Spec, init_state, make_spec
from wgan_jax.algorithm.steps import (
    critic_gradient,
    critic_step,
    critic_updates,
    critic_updates_before,
    generator_step,
    heldout_estimate,
    metric_names,
    random_labels,
    split_key,
    train_chunk,
)
from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run
from wgan_jax.nn.network import Network

BATCH = 4
# Under TensorFlow's RMSprop the first direction is g / sqrt(.9 + .1 g^2), which shows
# the gradient; that of Adam shows only its sign.
TF1 = Optimizer(kind="rmsprop_tf1", critic_lr=0.3, generator_lr=0.01)
CLIP = Objective(constraint="clip", clip=0.5, n_critic=2)
PENALTY = Objective(gp_weight=3.0, gp_target=0.8, n_critic=2)


# --------------------------------------------- networks that can be done by hand: spies


def _recorder():
    return {"calls": jnp.zeros((), jnp.int32), "seen": jnp.zeros((64, BATCH, 2))}


def _record(stats, x):
    calls = stats["calls"]
    return {"calls": calls + 1, "seen": stats["seen"].at[calls].set(x)}


def _generate(params, stats, z, train):
    return z * params["w"][None] + params["b"][None], _record(stats, z)


def _score(params, stats, x, train):
    score = 0.5 * params["q"] * jnp.square(x).sum(1) + x @ params["v"]
    return score, _record(stats, x)


# w z + b, and q |x|^2 / 2 + v.x, whose gradient is q x + v. Both record their inputs.
GENERATOR = Network(
    lambda key: (
        {"w": jnp.array([1.0, -2.0]), "b": jnp.array([0.5, 0.0])},
        _recorder(),
    ),
    _generate,
    [],
)
CRITIC = Network(
    lambda key: ({"q": jnp.array(0.3), "v": jnp.array([0.4, -0.7])}, _recorder()),
    _score,
    [],
)


def spy_spec(objective, optimizer=TF1, steps=100):
    return Spec(
        generator=GENERATOR,
        critic=CRITIC,
        objective=objective,
        optimizer=optimizer,
        batch_size=BATCH,
        generator_batch=BATCH,
        classes=0,
        z_dim=2,
        steps=steps,
        get_batch=lambda samples, key, index: samples[index],
    )


@pytest.fixture(scope="session")
def batches():
    """Batch number i is near 3 i, so the critic's input shows the number."""
    noise = np.random.default_rng(0).uniform(-1, 1, (12, BATCH, 2))
    return jnp.asarray(noise + 3 * np.arange(12)[:, None, None], jnp.float32)


@pytest.fixture(scope="session")
def clip_run(batches):
    """Three steps of clipping on the spies, with the states before and after."""
    spec = spy_spec(CLIP)
    before = init_state(jax.random.key(3), spec)
    run = jax.jit(partial(train_chunk, spec=spec))
    after, metrics = run(before, batches, 3)
    last, last_metrics = run(after, batches, 1)
    return SimpleNamespace(
        before=before,
        after=after,
        metrics=metrics,
        last=last,
        last_metrics=last_metrics,
    )


def tf1_direction(gradient, mean_square):
    mean_square = 0.9 * mean_square + 0.1 * gradient**2
    return gradient / np.sqrt(mean_square + 1e-10), mean_square


def numbers(tree):
    return jax.tree.map(np.asarray, tree)


def bits(state):
    """The state as arrays that can be compared and outlive donation."""
    return numbers(replace(state, key=jax.random.key_data(state.key)))


# -------------------------------------------------------------------------- algorithm 1


def test_counts_of_forward_passes_are_those_of_algorithm_1(clip_run):
    steps, n_critic = 3, CLIP.n_critic
    # A pass in each critic update and in each generator update: the running statistics
    # of its BatchNorms move in all of them.
    assert clip_run.after.generator.stats["calls"] == steps * (n_critic + 1)
    # A pass over real and one over fake, and one in the generator's update.
    assert clip_run.after.critic.stats["calls"] == steps * (n_critic * 2 + 1)
    assert clip_run.after.step == steps


def test_each_critic_update_draws_the_next_real_batch_once(clip_run, batches):
    # Each of the four steps shows the critic real, fake, real, fake, fake.
    seen = clip_run.last.critic.stats["seen"][:20].reshape(4, 5, BATCH, 2)
    np.testing.assert_array_equal(seen[:, [0, 2]].reshape(8, BATCH, 2), batches[:8])


def test_each_update_of_either_net_draws_fresh_noise(clip_run):
    calls = int(clip_run.last.generator.stats["calls"])
    z = np.asarray(clip_run.last.generator.stats["seen"][:calls])
    assert calls == 12
    assert len(np.unique(z.reshape(-1))) == z.size


def test_three_steps_of_clipping_are_algorithm_1_in_numpy(clip_run, batches):
    net, lr = numbers(clip_run.before.generator.params), TF1.generator_lr
    critic = numbers(clip_run.before.critic.params)
    squares = {k: np.ones_like(v) for k, v in (net | critic).items()}
    noise = iter(np.asarray(clip_run.after.generator.stats["seen"]))
    reals, metrics = iter(np.asarray(batches)), []
    for _ in range(3):
        for _ in range(CLIP.n_critic):
            real, fake = next(reals), next(noise) * net["w"] + net["b"]
            half = [0.5 * np.square(x).sum(1).mean() for x in (real, fake)]
            gradient = {
                "q": half[1] - half[0],
                "v": fake.mean(0) - real.mean(0),
            }
            estimate = -(gradient["q"] * critic["q"] + gradient["v"] @ critic["v"])
            for name, g in gradient.items():
                direction, squares[name] = tf1_direction(g, squares[name])
                moved = critic[name] - TF1.critic_lr * direction
                critic[name] = np.clip(moved, -CLIP.clip, CLIP.clip)
        z = next(noise)
        fake = z * net["w"] + net["b"]
        slope = critic["q"] * fake + critic["v"]
        score = 0.5 * critic["q"] * np.square(fake).sum(1) + fake @ critic["v"]
        for name, g in {"w": -(slope * z).mean(0), "b": -slope.mean(0)}.items():
            direction, squares[name] = tf1_direction(g, squares[name])
            net[name] = net[name] - lr * direction
        metrics.append((estimate, -estimate, -score.mean()))
    got = clip_run.after
    for ours, expected in ((got.generator, net), (got.critic, critic)):
        for name, value in expected.items():
            np.testing.assert_allclose(ours.params[name], value, rtol=1e-4, atol=1e-6)
    names = ("wasserstein", "critic_loss", "generator_loss")
    for name, value in zip(names, np.mean(metrics, 0), strict=True):
        np.testing.assert_allclose(clip_run.metrics[name], value, rtol=1e-4)
    assert set(clip_run.metrics) == set(metric_names(spy_spec(CLIP)))


def test_clipping_runs_after_the_update_of_the_critic_alone(clip_run):
    for leaf in jax.tree.leaves(clip_run.after.critic.params):
        # Real samples run away from the fake ones, so every weight is driven outside.
        np.testing.assert_allclose(np.abs(leaf), CLIP.clip, rtol=1e-6)
    # The second moments of these large gradients, and the generator, keep their size.
    assert max(map(np.max, jax.tree.leaves(clip_run.after.critic.opt_state))) > 10
    assert np.abs(clip_run.after.generator.params["w"]).max() > 1


def test_critic_is_within_its_bounds_before_the_first_update():
    state = init_state(jax.random.key(0), spy_spec(CLIP))
    np.testing.assert_allclose(state.critic.params["v"], [0.4, -0.5])
    np.testing.assert_allclose(state.generator.params["w"], [1.0, -2.0])
    state = init_state(jax.random.key(0), spy_spec(PENALTY))
    np.testing.assert_allclose(state.critic.params["v"], [0.4, -0.7])


@pytest.mark.parametrize("one_sided", [False, True])
def test_penalty_enters_loss_and_update_with_weight_and_target(
    one_sided, batches, monkeypatch
):
    objective = replace(PENALTY, one_sided=one_sided)
    spec = spy_spec(objective)
    state, real = init_state(jax.random.key(4), spec), np.asarray(batches[1]) / 3
    epsilons = []
    interpolate = losses.interpolate

    def spy(real, fake, epsilon):
        epsilons.append(np.asarray(epsilon))
        return interpolate(real, fake, epsilon)

    monkeypatch.setattr(losses, "interpolate", spy)
    new, metrics = critic_step(state, jnp.asarray(real), jax.random.key(5), spec=spec)

    (epsilon,) = epsilons
    q, v = (np.asarray(state.critic.params[n]) for n in "qv")
    fake = np.asarray(new.critic.stats["seen"][1])
    x = epsilon[:, None] * real + (1 - epsilon[:, None]) * fake
    slope = q * x + v
    norms = np.sqrt(np.square(slope).sum(1))
    excess = norms - objective.gp_target
    # Both branches must differ, or the parametrisation proves nothing.
    assert (excess < 0).any()
    assert (excess > 0).any()
    if one_sided:
        excess = np.maximum(excess, 0)
    scores = [0.5 * q * np.square(a).sum(1) + a @ v for a in (real, fake)]
    expected = {
        "wasserstein": scores[0].mean() - scores[1].mean(),
        "gradient_penalty": np.square(excess).mean(),
        "gradient_norm": norms.mean(),
    }
    expected["critic_loss"] = (
        objective.gp_weight * expected["gradient_penalty"] - expected["wasserstein"]
    )
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
    factor = objective.gp_weight * 2 * (excess / norms)[:, None]
    half = [0.5 * np.square(a).sum(1).mean() for a in (real, fake)]
    gradient = {
        "q": half[1] - half[0] + (factor * slope * x).sum(1).mean(),
        "v": fake.mean(0) - real.mean(0) + (factor * slope).mean(0),
    }
    for name, g in gradient.items():
        moved = state.critic.params[name] - TF1.critic_lr * tf1_direction(g, 1.0)[0]
        np.testing.assert_allclose(new.critic.params[name], moved, rtol=1e-4, atol=1e-6)


def test_weight_decay_adds_the_weights_to_the_gradient(batches):
    spec = spy_spec(PENALTY)
    state, key = init_state(jax.random.key(4), spec), jax.random.key(5)
    decayed = replace(spec, objective=replace(PENALTY, critic_weight_decay=0.3))
    plain, with_decay = (
        critic_gradient(state, batches[0], key, spec=s) for s in (spec, decayed)
    )
    for name, weights in state.critic.params.items():
        expected = plain[0][name] + 0.3 * weights
        np.testing.assert_allclose(with_decay[0][name], expected, rtol=1e-5)
    losses = [metrics["critic_loss"] for *_, metrics in (plain, with_decay)]
    squares = 0.3**2 + 0.4**2 + 0.7**2
    np.testing.assert_allclose(losses[1] - losses[0], 0.3 * squares / 2, rtol=1e-4)


def test_epsilon_is_uniform_per_sample_and_independent_of_the_noise(monkeypatch):
    count = 256
    generator = replace(GENERATOR, apply=lambda p, s, z, train: (jnp.tile(z, 2), s))
    critic = replace(CRITIC, apply=lambda p, s, x, train: (x @ p["v"], s))
    spec = replace(spy_spec(PENALTY), generator=generator, critic=critic, z_dim=1)
    seen = {}
    interpolate = losses.interpolate

    def spy(real, fake, epsilon):
        seen.update(z=np.asarray(fake[:, 0]), epsilon=np.asarray(epsilon))
        return interpolate(real, fake, epsilon)

    monkeypatch.setattr(losses, "interpolate", spy)
    state = init_state(jax.random.key(0), spec)
    critic_step(state, jnp.zeros((count, 2)), jax.random.key(6), spec=spec)
    epsilon = seen["epsilon"]
    assert epsilon.shape == (count,)
    assert len(np.unique(epsilon)) == count
    assert epsilon.min() >= 0
    assert epsilon.max() <= 1
    assert epsilon.mean() == pytest.approx(0.5, abs=0.08)
    assert epsilon.std() == pytest.approx(12**-0.5, abs=0.04)
    # One key for both would make epsilon an increasing function of the noise.
    assert abs(np.corrcoef(epsilon, seen["z"])[0, 1]) < 0.25


def test_each_update_changes_its_own_net_only(batches):
    spec = spy_spec(PENALTY)
    state = init_state(jax.random.key(0), spec)
    new, _ = critic_step(state, batches[0], jax.random.key(1), spec=spec)
    chex.assert_trees_all_equal(new.generator.params, state.generator.params)
    chex.assert_trees_all_equal(new.generator.opt_state, state.generator.opt_state)
    assert new.step == state.step
    assert not np.isclose(new.critic.params["v"], state.critic.params["v"]).any()
    newer, _ = generator_step(new, jax.random.key(2), spec=spec)
    chex.assert_trees_all_equal(newer.critic.params, new.critic.params)
    chex.assert_trees_all_equal(newer.critic.opt_state, new.critic.opt_state)
    assert not np.isclose(newer.generator.params["b"], new.generator.params["b"]).any()


def test_generator_climbs_the_critic(batches):
    spec = spy_spec(PENALTY)
    state = init_state(jax.random.key(0), spec)
    flat = {"q": jnp.array(0.0), "v": jnp.array([2.0, -0.5])}
    state = replace(state, critic=replace(state.critic, params=flat))
    new, metrics = generator_step(state, jax.random.key(2), spec=spec)
    climb = TF1.generator_lr * tf1_direction(np.array([2.0, -0.5]), 1.0)[0]
    moved = new.generator.params["b"] - state.generator.params["b"]
    np.testing.assert_allclose(moved, climb, rtol=1e-4)
    z = new.generator.stats["seen"][0]
    fake = z * state.generator.params["w"][None] + state.generator.params["b"][None]
    np.testing.assert_allclose(
        metrics["generator_loss"], -(fake @ flat["v"]).mean(), rtol=1e-5
    )


# ------------------------------------------------------------------------ rhythm, decay


@pytest.mark.parametrize("warmup", [False, True])
def test_critic_update_counts_add_up_at_every_step(warmup):
    objective = Objective(n_critic=7, warmup=warmup)
    steps = jnp.arange(3000)
    counts = [100 if warmup and (s < 25 or s % 500 == 0) else 7 for s in range(3000)]
    got = jax.vmap(lambda s: jnp.asarray(critic_updates(s, objective)))(steps)
    np.testing.assert_array_equal(got, counts)
    before = jax.vmap(lambda s: critic_updates_before(s, objective))(steps)
    np.testing.assert_array_equal(before, np.cumsum(counts) - counts)


def test_warmup_runs_100_critic_updates_then_continues_with_the_next_batch():
    spec = replace(
        spy_spec(replace(CLIP, warmup=True)),
        get_batch=lambda samples, key, index: jnp.full((BATCH, 2), index, jnp.float32),
    )
    run = jax.jit(partial(train_chunk, spec=spec))
    state, _ = run(init_state(jax.random.key(0), spec), None, 1)
    assert state.critic.stats["calls"] == 201
    assert state.generator.stats["calls"] == 101
    # As the 26th step finds it: 25 long steps have gone before.
    critic = replace(state.critic, stats=_recorder())
    state, _ = run(replace(state, step=jnp.int32(25), critic=critic), None, 1)
    assert state.critic.stats["calls"] == 2 * CLIP.n_critic + 1
    np.testing.assert_array_equal(
        state.critic.stats["seen"][[0, 2], 0, 0], [2500, 2501]
    )


def test_linear_decay_counts_generator_updates_for_both_nets():
    optimizer = Optimizer(critic_lr=0.1, generator_lr=1e-5, decay="linear")
    still = replace(GENERATOR, apply=lambda p, s, z, train: (0 * z + p["b"][None], s))
    spec = replace(
        spy_spec(Objective(gp_weight=0.0, n_critic=3), optimizer, steps=4),
        generator=still,
        get_batch=lambda samples, key, index: jnp.array([[9.5, -9.0]] * BATCH),
    )
    before = init_state(jax.random.key(0), spec)
    run = jax.jit(partial(train_chunk, spec=spec))
    after, _ = run(before, None, 4)
    # All but constant gradients, so that every update of Adam is the learning rate;
    # three critic updates in each of four steps.
    moved = after.critic.params["v"] - before.critic.params["v"]
    expected = 0.1 * 3 * (1 + 0.75 + 0.5 + 0.25)
    np.testing.assert_allclose(moved, [expected, -expected], rtol=1e-3)
    late, _ = run(replace(before, step=jnp.int32(3)), None, 1)
    first, _ = run(before, None, 1)
    ratio = (late.generator.params["b"] - 0.5)[0] / (first.generator.params["b"] - 0.5)[
        0
    ]
    np.testing.assert_allclose(ratio, 0.25, rtol=1e-2)
    over, _ = run(replace(before, step=jnp.int32(6)), None, 1)
    chex.assert_trees_all_equal(over.critic.params, before.critic.params)


@pytest.mark.parametrize("steps", [10, 200_000, 2**24 - 1])
def test_linear_decay_is_the_exact_share_of_the_steps_that_are_left(steps):
    spec = spy_spec(CLIP, Optimizer(decay="linear"), steps=steps)
    rate = jax.jit(lambda step: spec.learning_rate(1.0, step))
    for step in (0, 1, steps // 3, steps - 3, steps - 1, steps, steps + 1):
        assert rate(jnp.int32(step)) == np.float32(max(0, (steps - step) / steps))


@pytest.mark.parametrize("steps", [2**24 + 3, 2**31 - 1])
def test_linear_decay_is_precise_over_more_steps_than_float32_counts(steps):
    spec = spy_spec(CLIP, Optimizer(decay="linear"), steps=steps)
    for step in (1, steps // 3, steps - 2**24 - 1, steps - 1):
        rate = spec.learning_rate(1.0, jnp.int32(step))
        np.testing.assert_allclose(rate, (steps - step) / steps, rtol=1.8e-7)


def test_constant_learning_rate_stays():
    spec = spy_spec(CLIP, steps=4)
    assert spec.learning_rate(0.3, 4) == 0.3


# ------------------------------------------------------------------------- random keys


def test_no_two_draws_of_a_run_share_a_key(monkeypatch, batches):
    drawn, data_keys = [], []

    def spy_on(name):
        original = getattr(jax.random, name)

        def spy(key, *args, **kwargs):
            drawn.append(tuple(jax.random.key_data(key).tolist()))
            return original(key, *args, **kwargs)

        monkeypatch.setattr(jax.random, name, spy)

    def spy_init(network):
        def init(key):
            drawn.append(tuple(jax.random.key_data(key).tolist()))
            return network.init(key)

        return replace(network, init=init)

    def draw(samples, key, index):
        data_keys.append(key)
        return samples[index]

    spec = replace(
        spy_spec(PENALTY),
        generator=spy_init(GENERATOR),
        critic=spy_init(CRITIC),
        get_batch=draw,
    )
    root = jax.random.key(7)
    state = init_state(root, spec)
    spy_on("normal")
    spy_on("uniform")
    with jax.disable_jit():
        train_chunk(state, batches, 3, spec=spec)
    # Two initialisations; in each of three steps noise and epsilon of two updates, and
    # noise.
    assert len(drawn) == 2 + 3 * (2 * 2 + 1)
    assert len(set(drawn)) == len(drawn)
    # The source of batches gets one key throughout, and however it derives its
    # keys from it, no other draw uses them.
    data_bits = {tuple(jax.random.key_data(k).tolist()) for k in data_keys}
    assert len(data_keys) == 6
    assert len(data_bits) == 1
    key = data_keys[0]
    derived = [
        jax.random.split(key, 50),
        jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(50)),
    ]
    for keys in (*derived, split_key(state), state.key[None], root[None]):
        data_bits |= set(map(tuple, jax.random.key_data(keys).tolist()))
    assert data_bits.isdisjoint(drawn)


# ------------------------------------------------------------------- BatchNorm networks


@pytest.fixture(scope="session")
def batch_normed():
    """A clipped DCGAN with BatchNorm in both nets, and its jitted critic step."""
    config = Config(
        data=Data(image_size=8, batch_size=BATCH),
        model=Model(
            z_dim=3,
            features=2,
            generator_widths=(2, 1),
            critic_widths=(1, 2),
            critic_norm="batch",
        ),
        objective=Objective(constraint="clip", clip=0.1),
        optimizer=Optimizer(kind="rmsprop", critic_lr=0.05, generator_lr=0.05),
    )
    spec = make_spec(config, lambda samples, key, index: samples)
    state = jax.jit(partial(init_state, spec=spec))(jax.random.key(8))
    real = jax.random.normal(jax.random.key(9), (BATCH, 8, 8, 1))
    step = jax.jit(partial(critic_step, spec=spec))
    new, metrics = step(state, real, jax.random.key(10))
    return SimpleNamespace(spec=spec, state=state, real=real, new=new, metrics=metrics)


@pytest.mark.parametrize("when", ["state", "new"], ids=["initial", "updated"])
def test_clip_bounds_every_critic_leaf(batch_normed, when):
    net = getattr(batch_normed, when).critic
    paths = jax.tree_util.tree_leaves_with_path(net.params)
    assert {path[-1].key for path, _ in paths} == {"kernel", "bias", "scale"}
    bound = np.float32(batch_normed.spec.objective.clip)
    for path, leaf in paths:
        assert np.abs(leaf).max() <= bound, path
    # Running statistics are no parameters.
    variance = net.stats["layers"][3]["variance"]
    assert (variance > bound).all()


def test_generator_statistics_move_in_a_critic_step(batch_normed):
    before, after = batch_normed.state.generator, batch_normed.new.generator
    chex.assert_trees_all_equal(before.params, after.params)
    for old, new in zip(jax.tree.leaves(before.stats), jax.tree.leaves(after.stats)):
        assert not np.isclose(old, new).any()


def test_real_and_fake_pass_the_critic_apart(batch_normed):
    spec, state, real = batch_normed.spec, batch_normed.state, batch_normed.real
    key_z, _ = jax.random.split(jax.random.key(10))
    z = jax.random.normal(key_z, (BATCH, 3))

    @jax.jit
    def by_hand(generator, critic):
        fake, _ = spec.generator.apply(generator.params, generator.stats, z, True)
        on_real, stats = spec.critic.apply(critic.params, critic.stats, real, True)
        on_fake, stats = spec.critic.apply(critic.params, stats, fake, True)
        both = jnp.concatenate([real, fake])
        mixed, _ = spec.critic.apply(critic.params, critic.stats, both, True)
        return on_real.mean() - on_fake.mean(), stats, mixed

    apart, stats, mixed = by_hand(state.generator, state.critic)
    got = batch_normed.metrics["wasserstein"]
    np.testing.assert_allclose(got, apart, rtol=1e-4)
    assert abs(mixed[:BATCH].mean() - mixed[BATCH:].mean() - got) > 0.1 * abs(got)
    chex.assert_trees_all_close(
        batch_normed.new.critic.stats, stats, rtol=1e-4, atol=1e-6
    )


# ---------------------------------------------------------------- a real toy, in chunks


@pytest.fixture(scope="session")
def toy():
    """A small penalised MLP run: initial(seed), the jitted chunk, and samples."""
    config = Config(
        data=Data(source="8gaussians", batch_size=8),
        model=Model(
            kind="mlp",
            z_dim=3,
            features=4,
            generator_widths=(1, 2),
            critic_widths=(2, 1),
            critic_norm="layer",
            output="linear",
        ),
        objective=Objective(n_critic=2),
        optimizer=Optimizer(
            critic_lr=1e-2, generator_lr=1e-2, ema_decay=0.75, decay="linear"
        ),
        run=Run(steps=100),
    )

    def draw(samples, key, index):
        key = jax.random.fold_in(jax.random.split(key)[0], index)
        return samples[jax.random.randint(key, (8,), 0, len(samples))]

    spec = make_spec(config, draw)
    samples = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    initial = jax.jit(lambda seed: init_state(jax.random.key(seed), spec))

    # Chunks of every length run one program.
    @chex.assert_max_traces(n=1)
    def train(state, samples, steps):
        return train_chunk(state, samples, steps, spec=spec)

    chunk = jax.jit(train, donate_argnums=0)
    return SimpleNamespace(spec=spec, samples=samples, initial=initial, chunk=chunk)


def run_in_chunks(toy, seed, length, steps=25):
    state, history = toy.initial(seed), []
    for _ in range(steps // length):
        state, metrics = toy.chunk(state, toy.samples, length)
        history.append(numbers(metrics))
    return bits(state), jax.tree.map(lambda *m: np.stack(m), *history)


def test_chunks_of_every_length_run_one_program_and_give_the_same_bits(toy):
    whole, mean = run_in_chunks(toy, 0, 25)
    fives, _ = run_in_chunks(toy, 0, 5)
    ones, each = run_in_chunks(toy, 0, 1)
    assert whole.step == 25
    chex.assert_trees_all_equal(whole, fives)
    chex.assert_trees_all_equal(whole, ones)
    for name in mean:
        np.testing.assert_allclose(mean[name][0], each[name].mean(), rtol=1e-4)


def test_a_seed_gives_the_same_bits_twice_and_another_gives_others(toy):
    first, again, other = (run_in_chunks(toy, seed, 5, 5)[0] for seed in (1, 1, 2))
    chex.assert_trees_all_equal(first, again)
    ours, others = first.critic.params["layers"], other.critic.params["layers"]
    assert not np.isclose(ours[1]["kernel"], others[1]["kernel"]).any()


def test_state_is_donated_to_the_chunk(toy):
    state = toy.initial(0)
    toy.chunk(state, toy.samples, 1)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_every_number_of_the_state_moves_but_key_and_free_constant(toy):
    before, (after, _) = bits(toy.initial(0)), run_in_chunks(toy, 0, 5, 5)
    last = max(before.critic.params["layers"])
    leaves = map(jax.tree_util.tree_leaves_with_path, (before, after))
    for (path, old), (_, new) in zip(*leaves, strict=True):
        name = jax.tree_util.keystr(path)
        # The critic's last bias cancels in its loss.
        free = name.startswith(".critic") and name.endswith(f"[{last}]['bias']")
        assert (old == new).all() == (name == ".key" or free), name


def test_average_forgets_the_initial_generator_at_once(toy):
    state = toy.initial(0)
    generators = [numbers((state.generator.params, state.generator.stats))]
    ema = numbers((state.ema.params, state.ema.stats))
    chex.assert_trees_all_equal(ema, generators[0])
    for _ in range(3):
        state, _ = toy.chunk(state, toy.samples, 1)
        generators.append(numbers((state.generator.params, state.generator.stats)))
    shares = [math.comb(k + 8, 8) / math.comb(3 + 9, 9) for k in range(4)]
    assert sum(shares) == 1
    expected = jax.tree.map(lambda *g: np.tensordot(shares, g, 1), *generators)
    ema = (state.ema.params, state.ema.stats)
    chex.assert_trees_all_close(ema, expected, rtol=1e-5, atol=1e-6)


def test_average_has_the_constant_decay_in_the_end(toy):
    # 1 - 9 / (10 + 26) is the decay of 0.75.
    weights = [toy.spec.ema_weight(jnp.int32(step)) for step in (25, 26, 27, 10**6)]
    np.testing.assert_allclose(weights, [9 / 35, 0.25, 0.25, 0.25])
    varied = toy.spec.with_hyperparameters({"optimizer.ema_decay": jnp.float32(0.5)})
    assert jax.jit(lambda step: varied.ema_weight(step))(100) == 0.5


def test_no_average_without_ema_decay():
    assert init_state(jax.random.key(0), spy_spec(CLIP)).ema is None


def test_seeds_train_together_under_vmap(toy):
    seeds = [3, 4]
    states = jax.tree.map(
        lambda *leaves: np.stack(leaves), *(bits(toy.initial(seed)) for seed in seeds)
    )
    states = replace(states, key=jax.random.wrap_key_data(states.key))
    chunk = partial(train_chunk, spec=toy.spec)
    many = jax.jit(jax.vmap(chunk, in_axes=(0, None, None)))
    states, metrics = many(states, toy.samples, 3)
    for i, seed in enumerate(seeds):
        alone, alone_metrics = toy.chunk(toy.initial(seed), toy.samples, 3)
        together = (states.generator, states.critic, metrics)
        chex.assert_trees_all_close(
            jax.tree.map(lambda a, i=i: a[i], together),
            (alone.generator, alone.critic, alone_metrics),
            rtol=1e-3,
            atol=1e-4,
        )


# -------------------------------------------------------------------- held-out estimate


def test_heldout_estimate_is_the_mean_over_whole_batches():
    # A generator of one point and a critic that looks at its batch: each batch alone
    # then has a known score.
    def score(params, stats, x, train):
        return jnp.square(x - x.mean(0, keepdims=True)) @ params["v"], stats

    spec = replace(
        spy_spec(PENALTY),
        generator=replace(
            GENERATOR, apply=lambda p, s, z, train: (0 * z + p["b"][None], s)
        ),
        critic=replace(CRITIC, apply=score),
    )
    state = init_state(jax.random.key(0), spec)
    heldout = np.random.default_rng(2).normal(size=(11, 2)).astype(np.float32)
    got = heldout_estimate(state, jnp.asarray(heldout), jax.random.key(1), spec=spec)
    variances = [heldout[i : i + BATCH].var(0) for i in (0, 4)]
    expected = np.mean(variances, 0) @ np.asarray(state.critic.params["v"])
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_heldout_estimate_has_the_sign_and_size_of_the_distance():
    generator = replace(GENERATOR, apply=lambda p, s, z, train: (z + p["b"][None], s))
    critic = replace(CRITIC, apply=lambda p, s, x, train: (x @ p["v"], s))
    spec = replace(spy_spec(PENALTY), generator=generator, critic=critic)
    state = init_state(jax.random.key(0), spec)
    v, b = state.critic.params["v"], state.generator.params["b"]
    heldout = jnp.tile(b + jnp.array([30.0, 0.0]), (400, 1))
    got = heldout_estimate(state, heldout, jax.random.key(1), spec=spec)
    # Fresh noise in each batch, so its mean over 400 samples is near zero.
    np.testing.assert_allclose(got, 30 * v[0], atol=0.15)
    # Fewer held-out samples than a batch still give a number.
    few = heldout_estimate(state, heldout[:3], jax.random.key(1), spec=spec)
    assert jnp.isfinite(few)


# ----------------------------------------------------------------------------- classes

CLASSES = 3
WEIGHTS = replace(
    PENALTY, critic_class_weight=2.0, generator_class_weight=0.5, n_critic=2
)


def _generate_labelled(params, stats, z, train, labels):
    return z + params["table"][labels], stats


def _classify(params, stats, x, train):
    scores, stats = _score(params, stats, x, train)
    return (scores, x @ params["c"]), stats


def labelled_spec():
    """Spies with classes: one position per label, logits linear in the sample."""
    table = jnp.arange(2.0 * CLASSES).reshape(CLASSES, 2)
    generator = Network(lambda key: ({"table": table}, {}), _generate_labelled, [])
    c = jnp.array([[0.1, -0.2, 0.3], [0.2, 0.1, -0.1]])
    params = {"q": jnp.array(0.3), "v": jnp.array([0.4, -0.7]), "c": c}
    critic = Network(lambda key: (params, _recorder()), _score, [], _classify)
    return replace(
        spy_spec(WEIGHTS, replace(TF1, decay="constant")),
        generator=generator,
        critic=critic,
        generator_batch=BATCH,
        classes=CLASSES,
    )


def cross_entropy(logits, labels):
    """(the mean over samples, its gradient with respect to the logits)."""
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = np.eye(CLASSES)[labels]
    return -np.log((shares * right).sum(1)).mean(), (shares - right) / len(labels)


def test_the_classifier_learns_from_real_samples_with_their_labels_alone(new_key):
    spec, key = labelled_spec(), new_key()
    state = init_state(new_key(), spec)
    real = jax.random.normal(new_key(), (BATCH, 2))
    labels = jnp.array([0, 2, 1, 2])
    step = jax.jit(partial(critic_step, spec=spec))
    after, metrics = step(state, real, key, labels=labels)
    c = np.asarray(state.critic.params["c"])
    loss, slope = cross_entropy(np.asarray(real) @ c, np.asarray(labels))
    np.testing.assert_allclose(metrics["class_loss"], loss, rtol=1e-5)
    right = (np.asarray(real) @ c).argmax(1) == labels
    assert metrics["class_accuracy"] == right.mean()
    direction, _ = tf1_direction(2.0 * np.asarray(real).T @ slope, np.ones_like(c))
    np.testing.assert_allclose(after.critic.params["c"], c - 0.3 * direction, rtol=1e-4)
    # The critic's loss has the classifier's part in it, at its weight.
    expected = metrics["critic_loss"] - 2.0 * loss - 3.0 * metrics["gradient_penalty"]
    np.testing.assert_allclose(-metrics["wasserstein"], expected, rtol=1e-4, atol=1e-5)


def test_generated_samples_of_a_critic_update_have_the_labels_of_the_real(new_key):
    spec, key = labelled_spec(), new_key()
    state = init_state(new_key(), spec)
    labels = jnp.array([0, 2, 1, 2])
    after, _ = jax.jit(partial(critic_step, spec=spec))(
        state, jnp.zeros((BATCH, 2)), key, labels=labels
    )
    z = jax.random.normal(jax.random.split(key)[0], (BATCH, 2))
    fake = after.critic.stats["seen"][1]
    np.testing.assert_allclose(fake, z + state.generator.params["table"][labels])


def test_the_generator_is_scored_on_classes_of_its_own_drawing(new_key):
    spec, key = labelled_spec(), new_key()
    state = init_state(new_key(), spec)
    after, metrics = jax.jit(partial(generator_step, spec=spec))(state, key)
    key_z, key_labels = jax.random.split(key)
    labels = random_labels(key_labels, BATCH, spec)
    fake = np.asarray(after.critic.stats["seen"][0])
    z = jax.random.normal(key_z, (BATCH, 2))
    np.testing.assert_allclose(fake, z + state.generator.params["table"][labels])
    critic = state.critic.params
    loss, _ = cross_entropy(fake @ np.asarray(critic["c"]), np.asarray(labels))
    np.testing.assert_allclose(metrics["generator_class_loss"], loss, rtol=1e-5)
    score = 0.15 * (fake**2).sum(1) + fake @ np.asarray(critic["v"])
    expected = -score.mean() + 0.5 * loss
    np.testing.assert_allclose(metrics["generator_loss"], expected, rtol=1e-5)


def test_labels_are_drawn_each_as_often(new_key):
    labels = np.asarray(random_labels(new_key(), 30_000, labelled_spec()))
    assert labels.dtype == np.int32
    # A standard error of 82.
    assert np.abs(np.bincount(labels, minlength=CLASSES) - 10_000).max() < 400


def test_labels_are_drawn_in_the_shares_of_the_data(new_key):
    spec = replace(labelled_spec(), label_shares=(0.9, 0.0, 0.1))
    labels = np.asarray(random_labels(new_key(), 30_000, spec))
    assert labels.dtype == np.int32
    counts = np.bincount(labels, minlength=CLASSES)
    # A standard error of 52.
    assert abs(counts[0] - 27_000) < 260
    assert counts[1] == 0


def test_a_run_draws_the_labels_of_its_data_or_uniform_ones():
    model = Model(kind="resnet", features=2, kernel=3, classes=3)

    def shares(*given, **changes):
        changed = Config(model=replace(model, **changes))
        return make_spec(changed, label_shares=given).label_shares

    assert shares(0.9, 0.05, 0.05) == (0.9, 0.05, 0.05)
    # A class that no training sample has.
    assert shares(0.9, 0.1) == (0.9, 0.1, 0.0)
    assert shares(0.9, 0.05, 0.05, label_sampling="uniform") == ()
    assert shares(0.9, 0.1, classes=0) == ()
    assert shares() == ()


def test_a_chunk_of_labelled_batches_reports_all_its_metrics(batches, new_key):
    spec = labelled_spec()
    spec = replace(spec, get_batch=lambda s, key, i: (s[i], jnp.array([0, 1, 2, 0])))
    state = init_state(new_key(), spec)
    run = jax.jit(partial(train_chunk, spec=spec))
    after, metrics = run(state, batches, 2)
    assert set(metrics) == set(metric_names(spec))
    assert after.step == 2
    assert all(np.isfinite(value) for value in metrics.values())


def test_a_generator_update_has_a_batch_of_its_own_size(new_key):
    spec = replace(spy_spec(CLIP), generator_batch=7)
    seen = []

    def record(params, stats, z, train):
        seen.append(z.shape)
        return z, stats

    spec = replace(
        spec,
        generator=replace(GENERATOR, apply=record),
        critic=replace(CRITIC, apply=lambda p, s, x, train: (x @ p["v"], s)),
    )
    state = init_state(new_key(), spec)
    jax.eval_shape(partial(generator_step, spec=spec), state, new_key())
    assert seen == [(7, 2)]
