import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from wgan_jax.algorithm import losses
from wgan_jax.algorithm.constraints.clip import clip_weights
from wgan_jax.algorithm.constraints.penalty import gradient_penalty
from wgan_jax.algorithm.objectives import wgan

SHAPES = [(4,), (4, 3), (4, 5, 6, 2)]


def samples(shape, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def flat_norms(x):
    return np.sqrt(np.square(np.asarray(x).reshape(len(x), -1)).sum(1))


def test_signs_of_the_losses():
    real, fake = jnp.array([3.0, 5.0]), jnp.array([1.0, 2.0, 0.0])
    assert wgan.wasserstein(real, fake) == 3.0
    assert wgan.critic_loss(real, fake) == -3.0
    assert wgan.generator_loss(fake) == -1.0


def test_constant_added_to_the_critic_leaves_the_estimate():
    real, fake = samples((8,)), samples((8,), 1)
    expected = wgan.wasserstein(real, fake)
    shifted = wgan.wasserstein(real + 100.0, fake + 100.0)
    np.testing.assert_allclose(shifted, expected, atol=1e-4)
    # The generator's loss alone does move, and so means nothing by itself.
    difference = wgan.generator_loss(fake + 100.0) - wgan.generator_loss(fake)
    np.testing.assert_allclose(difference, -100.0, rtol=1e-5)


def test_scores_with_a_spare_axis_are_refused():
    with pytest.raises(TypeCheckError):
        wgan.critic_loss(jnp.ones((3, 1)), jnp.ones(3))


def test_weight_decay_is_of_all_parameters_but_biases():
    params = {
        "layers": {
            0: {"kernel": jnp.array([[3.0], [4.0]]), "bias": jnp.array([100.0])},
            1: {"scale": jnp.array([1.0, 2.0])},
        }
    }
    assert losses.half_square_sum(params) == (9 + 16 + 1 + 4) / 2


@pytest.mark.parametrize("shape", SHAPES)
def test_interpolate_has_one_epsilon_a_sample(shape):
    real, fake = samples(shape), samples(shape, 1)
    epsilon = jnp.array([0.0, 0.25, 0.5, 1.0])
    x = losses.interpolate(real, fake, epsilon)
    expected = [
        e * r + (1 - e) * f
        for e, r, f in zip(*map(np.asarray, (epsilon, real, fake)), strict=True)
    ]
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(x[0], fake[0])
    np.testing.assert_array_equal(x[-1], real[-1])


@pytest.mark.parametrize("shape", SHAPES)
def test_penalty_of_a_linear_critic_is_known_in_every_dimension(shape):
    w = samples(shape[1:], 2)
    norms = losses.gradient_norms(
        lambda x: (x * w[None]).reshape(len(x), -1).sum(1), samples(shape)
    )
    length = np.sqrt(np.square(w).sum())
    np.testing.assert_allclose(norms, [length] * 4, rtol=1e-5)
    penalty = gradient_penalty(norms)
    np.testing.assert_allclose(penalty, (length - 1) ** 2, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_penalty_of_a_quadratic_critic_is_known_at_the_interpolates(shape):
    # Its gradient differs from sample to sample and from axis to axis, so neither a
    # norm over the batch nor one over a single axis can pass.
    real, fake, weight = samples(shape), samples(shape, 1), samples(shape[1:], 2)
    epsilon = jnp.array([0.1, 0.9, 0.4, 0.6])
    column = epsilon.reshape(-1, *[1] * (len(shape) - 1))
    x = column * real + (1 - column) * fake
    expected = flat_norms(weight[None] * x)
    norms = losses.gradient_norms(
        lambda x: (0.5 * weight[None] * x**2).reshape(4, -1).sum(1),
        losses.interpolate(real, fake, epsilon),
    )
    np.testing.assert_allclose(norms, expected, rtol=1e-4)
    penalty = gradient_penalty(norms, target=0.7)
    np.testing.assert_allclose(penalty, np.square(expected - 0.7).mean(), rtol=1e-4)


def test_penalty_is_the_mean_of_squares_around_its_target():
    norms = jnp.array([0.0, 0.5, 1.0, 4.0])
    assert gradient_penalty(norms) == (1 + 0.25 + 0 + 9) / 4
    assert gradient_penalty(norms, target=0.5) == (0.25 + 0 + 0.25 + 12.25) / 4
    assert gradient_penalty(norms, target=0.0) == (0.25 + 1 + 16) / 4


def test_one_sided_penalty_spares_small_gradients():
    norms = jnp.array([0.0, 0.5, 1.0, 4.0])
    assert gradient_penalty(norms, one_sided=True) == 9 / 4
    assert gradient_penalty(norms, 0.5, one_sided=True) == (0.25 + 12.25) / 4


def penalty_of_weights(w, x):
    return gradient_penalty(losses.gradient_norms(lambda x: x @ w, x))


def test_penalty_and_its_gradient_are_finite_where_the_critic_is_flat():
    x = samples((4, 3))
    value, gradient = jax.value_and_grad(penalty_of_weights)(jnp.zeros(3), x)
    assert value == 1.0
    np.testing.assert_array_equal(gradient, 0.0)


def test_gradient_of_the_penalty_of_a_linear_critic():
    w = jnp.array([3.0, 4.0, 0.0])
    gradient = jax.grad(penalty_of_weights)(w, samples((4, 3)))
    # d (|w| - 1)^2 / dw = 2 (|w| - 1) w / |w|, and |w| = 5.
    np.testing.assert_allclose(gradient, 2 * 4 * w / 5, rtol=1e-5)


def test_clip_bounds_every_leaf_and_leaves_the_inside():
    params = {
        "a": jnp.array([-3.0, 0.005, 3.0]),
        "b": {"c": jnp.array([[0.02, -0.01]])},
    }
    clipped = clip_weights(params, 0.01)
    np.testing.assert_allclose(clipped["a"], [-0.01, 0.005, 0.01])
    np.testing.assert_allclose(clipped["b"]["c"], [[0.01, -0.01]])
