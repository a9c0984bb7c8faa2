import pytest

from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.config import Config
from wgan_jax.evaluation.units import estimate_unit
from wgan_jax.sweeps.settings import replace_field


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({}, {"objective.clip": 0.5}, True),
        ({}, {"model.features": 8}, True),
        ({}, {"optimizer.critic_lr": 0.5}, True),
        ({}, {"objective.gp_weight": 0.5}, True),
        ({}, {"objective.gp_target": 0.5}, False),
        ({}, {"objective.constraint": "clip"}, False),
        ({}, {"data.source": "folder"}, False),
        (
            {"objective.constraint": "clip"},
            {"objective.constraint": "clip", "objective.clip": 0.5},
            False,
        ),
        (
            {"objective.constraint": "clip"},
            {"objective.constraint": "clip", "model.features": 8},
            False,
        ),
        (
            {"objective.kind": "gan"},
            {"objective.kind": "gan", "objective.constraint": "clip"},
            True,
        ),
    ],
)
def test_the_unit_of_an_estimate_is_that_of_the_critic_s_slope(one, other, equal):
    units = []
    for fields in (one, other):
        config = Config()
        for name, value in fields.items():
            config = replace_field(config, name, value)
        losses = make_losses(config.objective)
        units.append(estimate_unit(config, losses.metric, losses.bounded).identity)
    assert (units[0] == units[1]) == equal
