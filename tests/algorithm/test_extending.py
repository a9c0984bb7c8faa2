"""The examples of docs/extending.md for constraint, objective and optimizer."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import extending_example, in_process, records

from wgan_jax import train
from wgan_jax.algorithm.constraints import CONSTRAINTS, make_constraint
from wgan_jax.algorithm.objectives import OBJECTIVES, make_losses
from wgan_jax.algorithm.optimizers import OPTIMIZERS, make_optimizer
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import critic_step
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.errors import UserError
from wgan_jax.references import execute
from wgan_jax.runs.restore import restore_run
from wgan_jax.validation import validate

# A toy in place of the digits: the examples compile in seconds.
SMALL = """--data.source 8gaussians --data.heldout 32 --data.batch-size 8
--model.kind mlp --model.output linear --model.features 4 --model.generator-widths 1
--model.critic-widths 1 --run.steps 5 --run.chunk 5 --run.log-every 5
--run.sample-every 5 --run.checkpoint-every 5""".split()  # noqa: SIM905
TOY = Config(
    data=Data(source="8gaussians", batch_size=8),
    model=Model(kind="mlp", output="linear", features=4),
)


@pytest.mark.parametrize(
    ("heading", "field", "function", "metrics"),
    [
        ("A Lipschitz constraint", "objective.constraint", "r1", {"r1"}),
        (
            "An objective",
            "objective.kind",
            "hinge",
            {"total_variation", "heldout_total_variation"},
        ),
        ("An optimizer", "optimizer.kind", "optimistic_adam", {"wasserstein"}),
    ],
)
def test_example_trains_and_its_run_restores(
    heading, field, function, metrics, tmp_path
):
    words = extending_example(heading, tmp_path)
    out = tmp_path / "run"
    code, error = in_process(train, *words, *SMALL, "--out", out)
    assert code == 0, error
    last = records(out)[-1]
    assert metrics <= set(last)
    assert all(np.isfinite(value) for value in last.values())
    section, name = field.split(".")
    saved = json.loads((out / "config.json").read_text())[section][name]
    (file,) = tmp_path.glob("*.py")
    assert saved == f"{file}:{function}"
    config, _, state = restore_run(out)
    assert getattr(getattr(config, section), name) == saved
    assert state.step == 5


@pytest.fixture
def examples(tmp_path):
    """The functions of the three examples."""
    for heading in ("A Lipschitz constraint", "An objective", "An optimizer"):
        extending_example(heading, tmp_path)
    return {
        name: getattr(execute(tmp_path / f"{file}.py"), name)
        for file, name in (
            ("r1", "r1"),
            ("hinge", "hinge"),
            ("optimistic", "optimistic_adam"),
        )
    }


def test_one_line_adds_a_function_to_the_package(examples, monkeypatch):
    monkeypatch.setitem(CONSTRAINTS, "r1", examples["r1"])
    monkeypatch.setitem(OBJECTIVES, "hinge", examples["hinge"])
    monkeypatch.setitem(OPTIMIZERS, "optimistic", examples["optimistic_adam"])
    objective = Objective(kind="hinge", constraint="r1")
    optimizer = Optimizer(kind="optimistic")
    validate(dataclasses.replace(TOY, objective=objective, optimizer=optimizer))
    assert make_constraint(objective).metrics == ("r1",)
    assert make_losses(objective).metric == "total_variation"
    assert make_optimizer(optimizer).init(jnp.zeros(2))


def test_python_passes_the_function_itself(examples):
    objective = Objective(kind=examples["hinge"], constraint=examples["r1"])
    config = dataclasses.replace(TOY, objective=objective)
    validate(config)
    spec = make_spec(config)
    state = init_state(jax.random.key(0), spec)
    real = jax.random.normal(jax.random.key(1), (8, 2))
    step = jax.jit(partial(critic_step, spec=spec))
    _, metrics = step(state, real, jax.random.key(2))
    assert set(metrics) == {"total_variation", "r1", "critic_loss"}
    penalty = objective.gp_weight / 2 * metrics["r1"]
    hinge = 2 * (1 - metrics["total_variation"])
    np.testing.assert_allclose(metrics["critic_loss"], hinge + penalty, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"constraint": "penalti"},
            "objective.constraint=penalti is not known: did you mean penalty?; a "
            "function of your own is FILE.py:NAME or MODULE:NAME",
        ),
        ({"kind": "x"}, "objective.kind=x is not known: take wgan, gan, lsgan"),
        (
            {"constraint": "no/such.py:r1"},
            "objective.constraint=no/such.py:r1 cannot be imported (FileNotFoundError",
        ),
        (
            {"constraint": "math:no_such"},
            "objective.constraint=math:no_such cannot be imported (AttributeError",
        ),
        (
            {"constraint": "math:pi"},
            "objective.constraint=math:pi must be a function that returns a "
            "Constraint, not float",
        ),
        (
            {"kind": "builtins:str"},
            "objective.kind=builtins:str must be a function that returns a Losses, "
            "not str",
        ),
    ],
)
def test_a_wrong_name_is_one_sentence(changes, expected):
    objective = Objective(**changes)
    with pytest.raises(UserError) as error:
        validate(dataclasses.replace(TOY, objective=objective))
    assert str(error.value).startswith(expected)
