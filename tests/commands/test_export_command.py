"""`python -m wgan_jax.export` as users run it."""

import json
from functools import partial

import jax
import pytest
from helpers import in_process

from wgan_jax import export
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.config import Config, Data, Model, Optimizer
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints

POINTS = Config(
    data=Data(source="8gaussians"),
    model=Model(kind="mlp", z_dim=3, features=2, output="linear"),
    optimizer=Optimizer(kind="rmsprop", ema_decay=0.5),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of no steps."""
    out = tmp_path_factory.mktemp("run") / "run"
    state = jax.jit(partial(init_state, spec=make_spec(POINTS)))(jax.random.key(0))
    with directory.claimed(out, POINTS, fresh=False) as begin:
        begin()
        with Checkpoints(out / "checkpoints", 1) as checkpoints:
            checkpoints.save(state)
    return out


def test_a_program_states_what_it_contains(run, capsys):
    code, error = in_process(
        export, run, "--format", "stablehlo", "--checkpoint", "last"
    )
    assert code == 0, error
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "generator of step 0, averaged weights"
    assert lines[1] == ("input: standard normal, float32 [n, 3]")
    assert lines[-2:] == [f"{run / 'generator.stablehlo'}", f"{lines[-2]}.json"]
    metadata = json.loads((run / "generator.stablehlo.json").read_text())
    assert metadata["weights"] == "averaged"
    assert metadata["platforms"] == ["cpu", "cuda", "tpu"]
    assert metadata["config"]["optimizer"]["ema_decay"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--out", "x"], "--format is missing: give one of safetensors, stablehlo"),
        (["--format", "keras"], "--format keras must be one of safetensors"),
        (["--out", "x.png", "--format", "torch"], "x.png must end in .pth or .pt"),
        (["--out", "x.stablehlo", "--network", "both"], "holds one network"),
        (["--out", "x.onnx", "--network", "both"], "holds one network"),
        (["--out", "x.stablehlo", "--checkpoint", "7"], "--checkpoint 7 is not saved"),
        (["--out", "x.stablehlo", "--checkpoint", "new"], "must be a step, best or la"),
        (["--out", "x.stablehlo", "--raw", "--average"], "cannot be combined"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(run, tmp_path, arguments, part):
    code, error = in_process(export, run, *arguments, cwd=tmp_path)
    assert code == 2
    assert part in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
