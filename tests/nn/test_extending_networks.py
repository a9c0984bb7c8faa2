"""Networks of a user's file, among them the example of docs/extending.md."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest
from helpers import ROOT, in_process

from wgan_jax import config, train
from wgan_jax.config import Config, Data, Model
from wgan_jax.errors import UserError
from wgan_jax.nn import layers
from wgan_jax.nn.models import build, build_encoder
from wgan_jax.validation import validate


class Points:
    """Networks of one dense layer each."""

    @staticmethod
    def generator(model, sample_shape, rngs):
        return [layers.Dense(model.z_dim, 2, rngs=rngs)]

    @staticmethod
    def critic(model, sample_shape, rngs, outputs=1):
        return [layers.Dense(2, outputs, rngs=rngs)]


@pytest.fixture
def example(tmp_path):
    """The file of the section on networks, and its command."""
    text = (ROOT / "docs" / "extending.md").read_text()
    section = text.split("\n## A network\n")[1].split("\n## ")[0]
    path = tmp_path / "sine_nets.py"
    path.write_text(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1])
    return path, re.search(r"python -m wgan_jax.train (.*)", section)[1].split()


def test_the_example_trains(example, tmp_path):
    path, arguments = example
    arguments = [argument.replace(path.name, str(path)) for argument in arguments]
    small = "--run.steps 2 --run.chunk 1 --run.log-every 1 --data.batch-size 4"
    small += " --model.features 4 --data.heldout 8 --objective.n-critic 1"
    small += " --run.sample-every 0 --run.checkpoint-every 2 --run.grid-size 4"
    code, error = in_process(
        train, *arguments, *small.split(), "--out", tmp_path / "run"
    )
    assert code == 0, error
    saved = (tmp_path / "run" / "config.json").read_text()
    assert f'"kind": "{path}:SineNets"' in saved


def test_a_class_defines_both_networks_and_the_encoder():
    model = Model(kind=Points, z_dim=3)
    validate(dataclasses.replace(config.load(ROOT / "configs/digits.py"), model=model))
    generator, critic = build(model, (2,))
    assert [network.parameters for network in (generator, critic)] == [8, 3]
    assert critic.summary[-1].shape == ()
    assert build_encoder(model, (2,)).summary[-1].shape == (3,)


def test_a_network_of_the_user_has_a_last_activation_of_its_own():
    for data in (Data(source="8gaussians"), Data(scale="unit")):
        validate(Config(data=data, model=Model(kind=f"{__file__}:Points")))


def test_the_critic_may_be_of_another_architecture():
    reference = f"{__file__}:Points"
    model = Model(kind="mlp", critic_kind=reference, output="linear")
    generator, critic = build(model, (2,))
    assert len(generator.summary) > 1
    params, stats = critic.init(jax.random.key(0))
    y, _ = critic.apply(params, stats, jnp.ones((5, 2)), True)
    kernel, bias = (params["layers"][0][name] for name in ("kernel", "bias"))
    assert y.shape == (5,)
    assert jnp.allclose(y, kernel.sum() + bias)


def test_a_configuration_file_may_name_the_class_itself(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from wgan_jax.config import Config, Model\n"
        "class Nets:\n    pass\n"
        "def get_config():\n    return Config(model=Model(kind=Nets))\n"
    )
    assert config.load(path).model.kind == f"{path}:Nets"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "dcgn"}, "model.kind=dcgn is not known: did you mean dcgan"),
        ({"critic_kind": "x"}, "model.critic_kind=x is not known: take mlp, dcgan"),
        ({"kind": "absent.py:Nets"}, "model.kind=absent.py:Nets cannot be imported"),
        ({"kind": Points}, r"samples of shape \(2,\) and the data have \(8, 8, 1\)"),
        (
            {"kind": "resnet", "critic_kind": "dcgan", "kernel": 3, "classes": 3},
            "Heads",
        ),
    ],
)
def test_a_wrong_network_gets_one_sentence(changes, message):
    model = Model(features=2, generator_widths=(1,), critic_widths=(1,))
    with pytest.raises(UserError, match=message):
        build(dataclasses.replace(model, **changes), (8, 8, 1))
