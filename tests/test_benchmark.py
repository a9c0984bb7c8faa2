"""The benchmark runs, and both of its sides are the same networks."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from wgan_jax.models import build
from wgan_jax.validation import validate

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "benchmark.py"

ROWS = {
    "fashion_mnist_mlp": (128,),
    "mnist_dcgan": (64,),
    "cat_faces": (16, 64),
}
FULL = [(name, width) for name, widths in ROWS.items() for width in widths]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(*arguments, before=()):
    paths = [*map(str, before), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )


def ours_and_torch(benchmark, name, features):
    """Pairs (our network, the torch module), generator first."""
    config = benchmark.make_config(name, features)
    ours = build(config.model, config.data.sample_shape)
    return list(zip(ours, benchmark.torch_nets(config), strict=True))


def randomise(params):
    """Every number drawn, so that no scale is 1 and no bias 0 by birth."""
    draw = np.random.default_rng(0)
    return jax.tree.map(
        lambda p: np.asarray(p) + draw.normal(0, 0.1, p.shape).astype(np.float32),
        params,
    )


def copy_into(module, params):
    """Our params into the torch module that has the same layers in the same order."""
    stack = params["layers"]
    owned = [stack[i] for i in sorted(stack, key=int) if stack[i]]
    layers = [m for m in module if list(m.parameters())]
    for ours, layer in zip(owned, layers, strict=True):
        weight = ours["scale"] if "scale" in ours else ours["kernel"]
        weight = weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T
        # Owned by NumPy and contiguous: torch warns about read-only memory.
        values = {"weight": np.array(weight, order="C")}
        if ours.get("bias") is not None:
            values["bias"] = np.array(ours["bias"])
        own = dict(layer.named_parameters())
        assert own.keys() == values.keys()
        with torch.no_grad():
            for key, value in values.items():
                assert own[key].shape == value.shape
                own[key].copy_(torch.from_numpy(value))


@pytest.mark.parametrize(("name", "features"), FULL)
def test_both_sides_have_the_same_number_of_parameters(benchmark, name, features):
    assert features in benchmark.FEATURES[name]
    validate(benchmark.make_config(name, features))
    for ours, module in ours_and_torch(benchmark, name, features):
        assert ours.parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", list(ROWS))
def test_both_sides_give_equal_outputs_on_the_same_weights(benchmark, name):
    features, batch = 4, 3
    config = benchmark.make_config(name, features)
    size, _, channels = config.data.sample_shape
    draw = np.random.default_rng(1)
    noise = draw.normal(size=(batch, config.model.z_dim)).astype(np.float32)
    images = draw.uniform(-1, 1, (batch, size, size, channels)).astype(np.float32)
    inputs = (noise, noise), (images, images.transpose(0, 3, 1, 2).copy())
    for (ours, module), (x, torch_x) in zip(
        ours_and_torch(benchmark, name, features), inputs, strict=True
    ):
        params, stats = ours.init(jax.random.key(0))
        params = randomise(params)
        copy_into(module, params)
        y = np.asarray(jax.jit(ours.apply, static_argnums=3)(params, stats, x, True)[0])
        with torch.no_grad():
            torch_y = module(torch.from_numpy(torch_x)).numpy()
        if torch_y.ndim == 4:
            torch_y = torch_y.transpose(0, 2, 3, 1)
        assert y.shape == torch_y.shape
        assert np.std(y) > 1e-3
        np.testing.assert_allclose(y, torch_y, rtol=1e-4, atol=1e-5)


def test_torch_side_trains_and_clips(benchmark, monkeypatch):
    made = []
    nets = benchmark.torch_nets
    monkeypatch.setattr(benchmark, "torch_nets", lambda c: made.extend(nets(c)) or made)
    config = benchmark.make_config("fashion_mnist_mlp", 4, batch_size=4)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8)
    run = benchmark.torch_side(config, images, "cpu")
    before = [p.detach().clone() for net in made for p in net.parameters()]
    assert math.isfinite(run(2))
    after = [p for net in made for p in net.parameters()]
    # Not the biases: those before a norm and the critic's last have gradient zero.
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.ndim > 1]
    assert not any(torch.equal(a, b) for a, b in pairs)
    largest = max(p.abs().max().item() for p in made[1].parameters())
    assert largest == pytest.approx(config.objective.clip)


def test_the_script_writes_every_row_with_both_sides(tmp_path):
    out, table = tmp_path / "out.json", tmp_path / "table.md"
    done = run_script("--tiny", "--out", out, "--markdown", table)
    assert done.returncode == 0, done.stderr
    assert done.stdout == table.read_text()
    report = json.loads(out.read_text())
    assert [row["config"] for row in report["rows"]] == [name for name, _ in FULL]
    assert report["versions"].keys() == {"jax", "torch", "python", "numpy"}
    assert all(
        report[k] for k in ("device", "cpu", "cores", "threads", "commit", "date")
    )
    for row in report["rows"]:
        figures = [row["gflop_per_cycle"], row["compile_s"], row["ratio"]]
        for side in ("pytorch", "ours"):
            rates = row[side]
            figures += [*rates.pop("min_max"), *rates.values()]
            updates = rates["cycles_per_s"] * row["n_critic"]
            assert rates["critic_updates_per_s"] == pytest.approx(updates)
            assert rates["images_per_s"] == pytest.approx(updates * row["batch"])
        assert all(math.isfinite(f) and f > 0 for f in figures)
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in lines}) == 1
    sides = [line.split(" | ")[6] for line in lines[1:]]
    assert sides == ["PyTorch eager", "ours"] * len(FULL)


def test_without_torch_one_sentence_and_exit_2(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    done = run_script("--tiny", before=[tmp_path])
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "pip install torch" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--config", "mnist"), "cat_faces"), (("--features", "0"), "--features 0 must")],
)
def test_wrong_arguments_are_named(benchmark, capsys, arguments, said):
    with pytest.raises(SystemExit) as error:
        benchmark.main(arguments)
    assert error.value.code == 2
    assert said in capsys.readouterr().err
