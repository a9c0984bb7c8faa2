"""The PyTorch loops of the speed benchmark train the same networks in the same way."""

import functools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmarks import speed, torch_loops
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import split_key, train_step
from wgan_jax.nn.models import build

pytestmark = pytest.mark.torch

CONVOLUTIONAL = [name for name in speed.FEATURES if name != "fashion_mnist_mlp"]
MLPS = ["fashion_mnist_mlp", "penalised_mlp"]
QUICK = [("penalised_mlp", form) for form in ("eager", "tuned")]
SLOW = [(name, "compiled") for name in MLPS]
SLOW += [(n, form) for n in speed.FEATURES for form in ("eager", "tuned")]


def slow(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def pairs_of_networks(config):
    """Pairs (our network, the torch module), generator first."""
    ours = build(config.model, config.data.sample_shape)
    return list(zip(ours, torch_loops.nets(config), strict=True))


def random_params(network):
    """Parameters without a scale of 1 or a bias of 0, and the initial statistics."""
    rng = np.random.default_rng(0)
    params, stats = jax.eval_shape(network.init, jax.random.key(0))
    params = jax.tree.map(
        lambda p: rng.normal(0.1, 0.1, p.shape).astype(np.float32), params
    )
    return params, jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), stats)


def tensors_and_arrays(modules, stack):
    """Pairs (tensor, array of ours in PyTorch's axes): torch modules, our layers."""
    shapes = [m.unflattened_size for m in modules if isinstance(m, torch.nn.Unflatten)]
    c, h, w = shapes[0] if shapes else (0, 0, 0)
    layers = [stack[i] for i in sorted(stack, key=int) if stack[i]]
    modules = [m for m in modules if list(m.parameters())]
    pairs = []
    for layer, module in zip(layers, modules, strict=True):
        if "main" in layer:
            pairs += tensors_and_arrays(module.main, layer["main"])
            pairs += tensors_and_arrays(module.shortcut, layer.get("shortcut", {}))
            continue
        weight = np.asarray(layer["scale"] if "scale" in layer else layer["kernel"])
        weight = weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T
        arrays = [weight]
        if layer.get("bias") is not None:
            arrays.append(np.asarray(layer["bias"]))
        if not pairs and len(weight) == c * h * w:
            # PyTorch orders the units that become an image by channel first.
            order = np.arange(len(weight)).reshape(h, w, c).transpose(2, 0, 1).ravel()
            arrays = [array[order] for array in arrays]
        pairs += zip(module.parameters(), arrays, strict=True)
    assert all(tensor.shape == array.shape for tensor, array in pairs)
    return pairs


def copy_into(module, params):
    """Copies our params into the torch module with the same layers."""
    with torch.no_grad():
        for tensor, array in tensors_and_arrays(module, params["layers"]):
            # Owned by NumPy and contiguous: torch warns about read-only memory.
            tensor.copy_(torch.from_numpy(np.array(array, order="C")))


@pytest.mark.parametrize("name", speed.FEATURES)
def test_both_sides_have_the_same_number_of_parameters(name):
    with torch.device("meta"):
        pairs = pairs_of_networks(speed.make_config(name, speed.FEATURES[name][0]))
    for ours, module in pairs:
        assert ours.parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    "name",
    ["fashion_mnist_mlp", *slow((name,) for name in CONVOLUTIONAL)],
)
def test_both_sides_give_equal_outputs_on_the_same_weights(name):
    batch = 3
    config = speed.make_config(name, 4)
    size, _, channels = config.data.sample_shape
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(batch, config.model.z_dim)).astype(np.float32)
    images = rng.uniform(-1, 1, (batch, size, size, channels)).astype(np.float32)
    inputs = (noise, noise), (images, images.transpose(0, 3, 1, 2).copy())
    for (ours, module), (x, torch_x) in zip(
        pairs_of_networks(config), inputs, strict=True
    ):
        params, stats = random_params(ours)
        copy_into(module, params)
        y = np.asarray(jax.jit(ours.apply, static_argnums=3)(params, stats, x, True)[0])
        with torch.no_grad():
            torch_y = module(torch.from_numpy(torch_x)).numpy()
        if torch_y.ndim == 4:
            torch_y = torch_y.transpose(0, 2, 3, 1)
        assert y.shape == torch_y.shape
        assert np.std(y) > 1e-3
        np.testing.assert_allclose(y, torch_y, rtol=1e-4, atol=1e-5)


def make_config(name):
    if name != "penalised_mlp":
        return speed.make_config(name, 2, batch_size=4, n_critic=2)
    # A penalty without the minutes that torch.compile takes for convolutions.
    config = speed.make_config("cifar10_resnet", 2, batch_size=4, n_critic=2)
    model = speed.make_config("fashion_mnist_mlp", 4).model
    model = replace(model, generator_widths=(1, 2), critic_widths=(2, 1))
    data = replace(config.data, image_size=8, channels=1)
    return replace(config, model=model, data=data)


@functools.cache
def our_cycle(name):
    """(real batches, random numbers, states before and after, metrics) of a cycle."""
    config = make_config(name)
    size, _, channels = config.data.sample_shape
    rng = np.random.default_rng(2)
    reals = rng.uniform(-1, 1, (2, 4, size, size, channels))
    spec = make_spec(config, get_batch=None)
    state = jax.jit(functools.partial(init_state, spec=spec))(jax.random.key(3))
    before = jax.tree.map(
        lambda a: a.astype("float64") if a.dtype == "float32" else a, state
    )
    after, metrics = jax.jit(
        lambda state: train_step(state, lambda i: jnp.asarray(reals)[i], spec=spec)
    )(before)
    key = jax.random.fold_in(split_key(before)[0], before.step)
    key_critic, key_generator = jax.random.split(key)
    numbers = []
    for i in range(2):
        key_z, key_epsilon = jax.random.split(jax.random.fold_in(key_critic, i))
        z = jax.random.normal(key_z, (4, config.model.z_dim))
        numbers.append((z, jax.random.uniform(key_epsilon, (4,))))
    size = config.objective.generator_batch or 4
    generator_z = jax.random.normal(key_generator, (size, config.model.z_dim))
    return reals, (numbers, generator_z), (before, after), metrics


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("name", "form"), [*QUICK, *slow(SLOW)])
def test_a_cycle_of_every_side_is_the_same(name, form, x64):
    config = make_config(name)
    reals, (numbers, generator_z), (before, after), metrics = our_cycle(name)
    torch.manual_seed(0)
    generator, critic = (net.double() for net in torch_loops.nets(config))
    copy_into(generator, before.generator.params)
    copy_into(critic, before.critic.params)
    if form == "eager":
        updates = torch_loops.eager_updates(config, generator, critic)
    else:
        compiled = form == "compiled"
        updates = torch_loops.tuned_updates(config, generator, critic, compiled)
    critic_update, generator_update = updates
    for real, z_and_epsilon in zip(reals, numbers, strict=True):
        z, epsilon = (torch.tensor(np.asarray(a)) for a in z_and_epsilon)
        real = torch.tensor(real.transpose(0, 3, 1, 2).copy())
        critic_loss = critic_update(real, z, epsilon)
    generator_loss = generator_update(torch.tensor(np.asarray(generator_z)))

    def near(metric):
        return pytest.approx(float(metrics[metric]), rel=1e-9)

    assert critic_loss.item() == near("critic_loss")
    assert generator_loss.item() == near("generator_loss")
    for module, start, end in (
        (generator, before.generator, after.generator),
        (critic, before.critic, after.critic),
    ):
        ends = tensors_and_arrays(module, end.params["layers"])
        starts = tensors_and_arrays(module, start.params["layers"])
        for (tensor, array), (_, initial) in zip(ends, starts, strict=True):
            # A bias before a norm, and the critic's last, has a gradient of rounding
            # errors, which the optimizers scale up to whole steps.
            if array.ndim > 1:
                assert np.any(array != initial)
                largest = np.abs(array).max()
                np.testing.assert_allclose(
                    tensor.detach().numpy(), array, 1e-9, 1e-9 * largest
                )
    if config.objective.constraint == "clip":
        largest = max(p.abs().max().item() for p in critic.parameters())
        assert largest == pytest.approx(config.objective.clip)


@pytest.mark.parametrize("form", ["eager", "tuned"])
def test_the_loops_of_pytorch_train_on_the_images(monkeypatch, form):
    config = speed.make_config("fashion_mnist_mlp", 4, batch_size=4)
    networks = torch_loops.nets(config)
    monkeypatch.setattr(torch_loops, "nets", lambda _: networks)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8)
    if form == "eager":
        run = torch_loops.eager_loop(config, images, "cpu")
    else:
        run = torch_loops.tuned_loop(config, images, "cpu", False)
    before = [p.detach().clone() for net in networks for p in net.parameters()]
    assert math.isfinite(run(2))
    after = [p for net in networks for p in net.parameters()]
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.ndim > 1]
    assert not any(torch.equal(a, b) for a, b in pairs)
