"""The benchmark runs, and all of its sides train the same networks in the same way."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import split_key, train_step
from wgan_jax.nn.models import build
from wgan_jax.validation import validate

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "benchmark.py"

ROWS = {
    "fashion_mnist_mlp": (128,),
    "mnist_dcgan": (64,),
    "cat_faces": (16, 64),
    "cifar10_resnet": (16, 64),
}
FULL = [(name, width) for name, widths in ROWS.items() for width in widths]


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def run_script(*arguments, before=(), script=SCRIPT):
    paths = [*map(str, before), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )


def ours_and_torch(benchmark, name, features):
    """Pairs (our network, the torch module), generator first."""
    config = benchmark.make_config(name, features)
    ours = build(config.model, config.data.sample_shape)
    return list(zip(ours, benchmark.torch_loops.nets(config), strict=True))


def randomise(params):
    """Every number drawn, so that no scale is 1 and no bias 0 by birth."""
    draw = np.random.default_rng(0)
    return jax.tree.map(
        lambda p: np.asarray(p) + draw.normal(0, 0.1, p.shape).astype(np.float32),
        params,
    )


def tensors_and_arrays(modules, stack):
    """Pairs (tensor, array of ours in PyTorch's axes): torch modules, our layers."""
    shapes = [m.unflattened_size for m in modules if isinstance(m, torch.nn.Unflatten)]
    c, h, w = shapes[0] if shapes else (0, 0, 0)
    owned = [stack[i] for i in sorted(stack, key=int) if stack[i]]
    modules = [m for m in modules if list(m.parameters())]
    pairs = []
    for ours, module in zip(owned, modules, strict=True):
        if "main" in ours:
            pairs += tensors_and_arrays(module.main, ours["main"])
            pairs += tensors_and_arrays(module.shortcut, ours.get("shortcut", {}))
            continue
        weight = np.asarray(ours["scale"] if "scale" in ours else ours["kernel"])
        weight = weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T
        found = [weight]
        if ours.get("bias") is not None:
            found.append(np.asarray(ours["bias"]))
        if not pairs and len(weight) == c * h * w:
            # Units that become an image lie in another order there.
            order = np.arange(len(weight)).reshape(h, w, c).transpose(2, 0, 1).ravel()
            found = [array[order] for array in found]
        pairs += zip(module.parameters(), found, strict=True)
    assert all(tensor.shape == array.shape for tensor, array in pairs)
    return pairs


def copy_into(module, params):
    """Our params into the torch module that has the same layers in the same order."""
    with torch.no_grad():
        for tensor, array in tensors_and_arrays(module, params["layers"]):
            # Owned by NumPy and contiguous: torch warns about read-only memory.
            tensor.copy_(torch.from_numpy(np.array(array, order="C")))


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


def penalised_mlp(benchmark):
    """A penalty without the minutes that torch.compile takes for convolutions."""
    config = benchmark.make_config("cifar10_resnet", 2, batch_size=4, n_critic=2)
    model = benchmark.make_config("fashion_mnist_mlp", 4).model
    data = replace(config.data, image_size=8, channels=1)
    return replace(config, model=model, data=data)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", [*ROWS, "penalised mlp"])
def test_a_cycle_of_every_side_is_the_same(benchmark, name, x64):
    forms = ["eager", "tuned"]
    if name == "penalised mlp":
        config = penalised_mlp(benchmark)
    else:
        config = benchmark.make_config(name, 2, batch_size=4, n_critic=2)
    if config.model.kind == "mlp":
        forms.append("compiled")
    loops, objective = benchmark.torch_loops, config.objective
    size, _, channels = config.data.sample_shape
    draw = np.random.default_rng(2)
    reals = draw.uniform(-1, 1, (2, 4, size, size, channels))

    spec = make_spec(config, get_batch=None)
    state = init_state(jax.random.key(3), spec)
    before = jax.tree.map(
        lambda a: a.astype("float64") if a.dtype == "float32" else a, state
    )
    state, metrics = jax.jit(
        lambda state: train_step(state, lambda i: jnp.asarray(reals)[i], spec=spec)
    )(before)
    key = jax.random.fold_in(split_key(before)[0], before.step)
    key_critic, key_generator = jax.random.split(key)
    chance = []
    for i in range(2):
        key_z, key_epsilon = jax.random.split(jax.random.fold_in(key_critic, i))
        z = jax.random.normal(key_z, (4, config.model.z_dim))
        chance.append((z, jax.random.uniform(key_epsilon, (4,))))
    size = objective.generator_batch or 4
    last_z = jax.random.normal(key_generator, (size, config.model.z_dim))

    for form in forms:
        torch.manual_seed(0)
        pair = [net.double() for net in loops.nets(config)]
        for module, net in zip(pair, (before.generator, before.critic), strict=True):
            copy_into(module, net.params)
        if form == "eager":
            updates = loops.eager_updates(config, *pair)
        else:
            updates = loops.tuned_updates(config, *pair, form == "compiled")
        critic_update, generator_update = updates
        for real, drawn in zip(reals, chance, strict=True):
            drawn = (torch.tensor(np.asarray(a)) for a in drawn)
            real = torch.tensor(real.transpose(0, 3, 1, 2).copy())
            loss = critic_update(real, *drawn)
        generator_loss = generator_update(torch.tensor(np.asarray(last_z)))

        found = {"critic_loss": loss, "generator_loss": generator_loss}
        for what, value in found.items():
            assert value.item() == pytest.approx(float(metrics[what]), rel=1e-9), form
        for module, net, start in (
            (pair[0], state.generator, before.generator),
            (pair[1], state.critic, before.critic),
        ):
            pairs = tensors_and_arrays(module, net.params["layers"])
            starts = tensors_and_arrays(module, start.params["layers"])
            for (tensor, array), (_, at_first) in zip(pairs, starts, strict=True):
                # A bias before a norm, and the critic's last, has a gradient of
                # rounding errors, which the optimizers blow up to whole steps.
                if array.ndim > 1:
                    assert np.any(array != at_first)
                    reach = np.abs(array).max()
                    np.testing.assert_allclose(
                        tensor.detach().numpy(), array, 1e-9, 1e-9 * reach, err_msg=form
                    )
        if objective.constraint == "clip":
            largest = max(p.abs().max().item() for p in pair[1].parameters())
            assert largest == pytest.approx(objective.clip)


@pytest.mark.parametrize("form", ["eager", "tuned"])
def test_the_loops_of_pytorch_train_on_the_images(benchmark, monkeypatch, form):
    loops, made = benchmark.torch_loops, []
    nets = loops.nets
    monkeypatch.setattr(loops, "nets", lambda c: made.extend(nets(c)) or made)
    config = benchmark.make_config("fashion_mnist_mlp", 4, batch_size=4)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8)
    if form == "eager":
        run = loops.eager_loop(config, images, "cpu")
    else:
        run = loops.tuned_loop(config, images, "cpu", False)
    before = [p.detach().clone() for net in made for p in net.parameters()]
    assert math.isfinite(run(2))
    after = [p for net in made for p in net.parameters()]
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.ndim > 1]
    assert not any(torch.equal(a, b) for a, b in pairs)


def test_the_script_writes_every_row_with_its_sides(tmp_path):
    out, table = tmp_path / "out.json", tmp_path / "table.md"
    rows = ["fashion_mnist_mlp", "mnist_dcgan"]
    # eager and compiled are run by the tests of updates: each side is a process.
    which = ("--side", "tuned", "ours", "--config", *rows)
    done = run_script("--tiny", *which, "--out", out, "--markdown", table)
    assert done.returncode == 0, done.stderr
    assert done.stdout == table.read_text()
    report = json.loads(out.read_text())
    assert [row["config"] for row in report["rows"]] == rows
    assert report["versions"].keys() == {"jax", "torch", "python", "numpy"}
    assert all(
        report[k] for k in ("device", "cpu", "cores", "threads", "commit", "date")
    )
    assert report["matrix_gflop_per_s"] > 0
    for row in report["rows"]:
        figures = [row["gflop_per_cycle"]]
        for side in ("tuned", "ours"):
            rates = row[side]
            figures += [*rates.pop("min_max"), *rates.values()]
            updates = rates["cycles_per_s"] * row["n_critic"]
            assert rates["critic_updates_per_s"] == pytest.approx(updates)
            assert rates["images_per_s"] == pytest.approx(updates * row["batch"])
        assert all(math.isfinite(f) and f > 0 for f in figures)
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in lines}) == 1
    sides = [line.split(" | ")[6] for line in lines[1:]]
    assert sides == ["PyTorch tuned", "ours"] * len(rows)


def test_ratios_are_of_our_speed(benchmark):
    rates = {"eager": 1.0, "tuned": 2.0, "compiled": 4.0, "ours": 3.0}
    row = {side: {"cycles_per_s": rate} for side, rate in rates.items()}
    assert benchmark.times_as_fast(row, ["eager"]) == 3.0
    assert benchmark.times_as_fast(row, ["tuned", "compiled"]) == 0.75
    del row["compiled"]
    assert benchmark.times_as_fast(row, ["tuned", "compiled"]) == 1.5
    assert benchmark.times_as_fast(row, ["compiled"]) is None


def test_growth_is_measured_point_by_point(tmp_path):
    out = tmp_path / "growth.json"
    done = run_script("--tiny", "--out", out, script=SCRIPT.with_name("growth.py"))
    assert done.returncode == 0, done.stderr
    points = json.loads(out.read_text())["points"]
    assert [(p["axis"], p["value"]) for p in points] == [
        ("batch size", 4),
        ("images", 64),
    ]
    assert all(p["cycles_per_s"] > 0 and p["gflop_per_cycle"] > 0 for p in points)
    assert done.stdout.count("\n| ") == 1 + len(points)


def test_time_is_told_by_operation(tmp_path):
    out = tmp_path / "where.json"
    script = SCRIPT.with_name("where_time_goes.py")
    tiny = ("--tiny", "--config", "fashion_mnist_mlp", "--out", out)
    done = run_script(*tiny, script=script)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["products_s"] > 0
    assert row["others_s"] > 0
    assert row["gb"] > 0
    assert "| fashion_mnist_mlp | 4 |" in done.stdout


def test_what_a_start_takes_is_timed(tmp_path):
    out, script = tmp_path / "start.json", SCRIPT.with_name("start_up.py")
    few = ("--rounds", "1", "--config", "toy_8gaussians")
    done = run_script(*few, "--out", out, script=script)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert report["import_s"][0] > 0
    assert report["compile_s"]["toy_8gaussians"] > 0
    assert done.stdout.count("\n| ") == 2
    done = run_script("--config", "mnist", script=script)
    assert done.returncode == 2
    assert "--config mnist is none of cat_faces_1," in done.stderr


def test_every_form_of_a_convolution_is_timed():
    done = run_script("--tiny", script=SCRIPT.with_name("convolutions.py"))
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if "tiny" in line]
    assert [row[1] for row in rows] == ["winograd", "products", "PyTorch"]
    times = [float(t.strip("| ")) for row in rows for t in row[2:]]
    assert len(times) == 9
    assert min(times) > 0


def test_without_torch_one_sentence_and_exit_2(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    done = run_script("--tiny", before=[tmp_path])
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "pip install torch" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config", "mnist"), "cat_faces"),
        (("--side", "theirs"), "compiled"),
        (("--features", "0"), "--features 0 must"),
        (("--batch-size", "-1"), "--batch-size -1 must"),
    ],
)
def test_wrong_arguments_are_named(benchmark, capsys, arguments, said):
    with pytest.raises(SystemExit) as error:
        benchmark.main(arguments)
    assert error.value.code == 2
    assert said in capsys.readouterr().err
