"""Memory that a configuration needs at least."""

import dataclasses
import math

import pytest
from helpers import ROOT

from wgan_jax import config as configurations
from wgan_jax.config import Config
from wgan_jax.distributed import sharding
from wgan_jax.errors import UserError
from wgan_jax.nn.models import build
from wgan_jax.sizes import activations, check_memory, parameters

DEEP = {
    "generator_activation": "gated",
    "critic_activation": "gated",
    "generator_extra_depth": 8,
    "critic_extra_depth": 2,
}


@pytest.mark.parametrize(
    ("name", "size", "fields"),
    [
        ("cat_faces_1", (64, 32), {}),
        ("cifar10_dcgan_gp_adam", 32, DEEP),
        ("cifar10_resnet_acgan", (32, 48), {}),
        ("fashion_mnist_mlp", 32, {}),
        ("language_model", 32, {}),
        ("mnist_dcgan", 32, {}),
    ],
)
def test_sizes_are_lower_bounds_of_those_of_the_networks(name, size, fields):
    config = configurations.load(ROOT / "configs" / f"{name}.py")
    data = dataclasses.replace(config.data, image_size=size)
    model = dataclasses.replace(config.model, **fields)
    config = dataclasses.replace(config, data=data, model=model)
    shape = config.data.sample_shape
    networks = build(config.model, shape)
    exact = sum(network.parameters for network in networks)
    assert 0.45 * exact < parameters(config) <= exact
    outputs = [sum(math.prod(r.shape) for r in network.summary) for network in networks]
    assert activations(config) <= 2 * math.prod(shape) + max(outputs)
    check_memory(config)


@pytest.mark.parametrize(
    ("field", "value", "arithmetic"),
    [
        ("model.features", 10**6, "320,006,432,000,000 parameters x 12 bytes"),
        ("model.z_dim", 2 * 10**9, "parameters x 12 bytes"),
        ("model.kernel", 10**5, "parameters x 12 bytes"),
        ("model.critic_extra_depth", 10**9, "parameters x 12 bytes"),
        ("data.image_size", 2**20, "parameters x 12 bytes"),
        ("data.batch_size", 2**30, "numbers in a batch x 4 bytes"),
        ("objective.generator_batch", 2**30, "numbers in a batch x 4 bytes"),
        ("run.grid_size", 2**30, "1,099,511,627,776 numbers in a grid x 4 bytes"),
    ],
)
def test_an_impossible_size_is_refused_with_the_arithmetic(
    field, value, arithmetic, monkeypatch
):
    monkeypatch.setattr(sharding, "memory_limit", lambda: 24 * 10**9)
    section, name = field.split(".")
    values = dataclasses.replace(getattr(Config(), section), **{name: value})
    with pytest.raises(UserError) as error:
        check_memory(dataclasses.replace(Config(), **{section: values}))
    message = str(error.value)
    assert message.startswith(f"{field}={value} needs at least ")
    assert arithmetic in message
    assert message.endswith("and this machine has 24 GB: lower it")


def test_the_held_out_points_of_a_toy_are_counted(monkeypatch):
    monkeypatch.setattr(sharding, "memory_limit", lambda: 24 * 10**9)
    config = configurations.load(ROOT / "configs" / "toy_8gaussians.py")
    data = dataclasses.replace(config.data, heldout=2**31 - 1)
    with pytest.raises(UserError, match=r"^data.heldout=2147483647 needs at least 34"):
        check_memory(dataclasses.replace(config, data=data))
