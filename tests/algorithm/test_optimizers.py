import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wgan_jax.algorithm.optimizers import make_optimizer
from wgan_jax.config import Optimizer

# Large, tiny and changing signs: an epsilon in another place shows at the tiny ones.
GRADIENTS = np.random.default_rng(0).normal(size=(30, 4)) * [10.0, 1e-2, 1e-5, 1e-8]


def directions(optimizer, gradients):
    """The direction at each of the gradients [steps, ...], in one program."""
    transform = make_optimizer(optimizer)

    @jax.jit
    def run(gradients):
        def step(state, gradient):
            direction, state = transform.update(gradient, state)
            return state, direction

        return jax.lax.scan(step, transform.init(gradients[0]), gradients)[1]

    return np.asarray(run(jnp.asarray(gradients)))


@pytest.mark.parametrize(
    ("kind", "first", "steady"),
    [("rmsprop", 9.999, 0.999), ("rmsprop_tf1", 0.00105, 0.7071)],
)
def test_rmsprop_flavours_move_as_their_originals(kind, first, steady):
    optimizer = Optimizer(kind=kind)
    first_step = directions(optimizer, np.full((1, 1), 1e-3))[0, 0]
    assert first_step == pytest.approx(first, rel=5e-3)
    # A clipped critic lives at gradients this small; optax's default would give .0995.
    tiny = directions(optimizer, np.full((3000, 1), 1e-5))[-1, 0]
    assert tiny == pytest.approx(steady, rel=1e-3)


def test_rmsprop_tf1_is_its_recursion(x64):
    mean_square, expected = np.ones(4), []
    for gradient in GRADIENTS:
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        expected.append(gradient / np.sqrt(mean_square + 1e-10))
    got = directions(Optimizer(kind="rmsprop_tf1"), GRADIENTS)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_rmsprop_is_its_recursion(x64):
    mean_square, expected = np.zeros(4), []
    for gradient in GRADIENTS:
        mean_square = 0.99 * mean_square + 0.01 * gradient**2
        expected.append(gradient / (np.sqrt(mean_square) + 1e-8))
    got = directions(Optimizer(kind="rmsprop"), GRADIENTS)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_first_step_of_adam_is_the_sign_for_every_beta(x64):
    for beta1, beta2 in ((0.0, 0.9), (0.5, 0.999)):
        got = directions(Optimizer(beta1=beta1, beta2=beta2), GRADIENTS[:1])
        expected = GRADIENTS[:1] / (np.abs(GRADIENTS[:1]) + 1e-8)
        np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("optimizer", "name", "options"),
    [
        (Optimizer(kind="rmsprop"), "RMSprop", {}),
        (Optimizer(), "Adam", {"betas": (0.0, 0.9)}),
        (Optimizer(beta1=0.5, beta2=0.999), "Adam", {"betas": (0.5, 0.999)}),
    ],
    ids=["rmsprop", "adam", "adam with momentum"],
)
def test_optimizer_follows_torch(optimizer, name, options, x64):
    import torch

    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    theirs = getattr(torch.optim, name)([weight], lr=1e-2, **options)
    path = []
    for gradient in GRADIENTS:
        weight.grad = torch.tensor(gradient)
        theirs.step()
        path.append(weight.detach().numpy().copy())
    ours = -1e-2 * directions(optimizer, GRADIENTS).cumsum(0)
    np.testing.assert_allclose(ours, path, rtol=1e-9)
