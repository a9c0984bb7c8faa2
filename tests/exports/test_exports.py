"""Exported files compute what the networks of a run compute, without the package."""

import dataclasses
import re
import runpy
import subprocess
import sys

import jax
import numpy as np
import pytest
from helpers import ROOT, environment
from jax import export

from wgan_jax import exports
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.config import Config, Data, Model, Objective, load
from wgan_jax.data.record import DataRecord
from wgan_jax.errors import UserError
from wgan_jax.exports import program
from wgan_jax.runs.sampling import weights

POINTS = load(ROOT / "configs" / "toy_8gaussians.py")
POINTS = dataclasses.replace(
    POINTS, model=dataclasses.replace(POINTS.model, features=4)
)
CLIP = Objective(constraint="clip")
UNIT = Data(image_size=12, channels=3, scale="unit")
DCGAN = Model(z_dim=3, features=2, generator_widths=(2, 1), critic_widths=(1, 2))
NETS = {
    "odd kernels, dense ends": Config(
        data=UNIT,
        model=dataclasses.replace(
            DCGAN,
            kernel=5,
            padding="same",
            ends="dense",
            output="sigmoid",
            critic_norm="layer",
        ),
    ),
    "gates": Config(
        data=dataclasses.replace(UNIT, image_size=8),
        model=dataclasses.replace(
            DCGAN,
            ends="dense_channels",
            generator_activation="gated",
            critic_activation="softplus",
            generator_extra_depth=1,
            critic_extra_depth=1,
            output="sigmoid",
        ),
    ),
    "odd kernels, rectangles": Config(
        data=dataclasses.replace(UNIT, image_size=(8, 12), channels=1),
        model=dataclasses.replace(DCGAN, kernel=3, critic_norm="instance"),
    ),
    "dense layers": Config(
        data=dataclasses.replace(UNIT, image_size=4),
        model=dataclasses.replace(DCGAN, kind="mlp", critic_norm="batch"),
        objective=CLIP,
    ),
    "bottlenecks": Config(
        data=UNIT,
        model=dataclasses.replace(
            DCGAN, kind="bottleneck", kernel=3, critic_norm="layer", output="sigmoid"
        ),
    ),
    "residual blocks of text": Config(
        data=Data(source="text", dir="lines.txt", length=6, vocabulary=5),
        model=dataclasses.replace(
            DCGAN,
            kind="resnet1d",
            kernel=3,
            generator_widths=(1,),
            critic_widths=(1, 1),
            output="softmax",
        ),
    ),
    "residual blocks with classes": Config(
        data=UNIT,
        model=dataclasses.replace(
            DCGAN, kind="resnet", kernel=3, classes=5, critic_halvings=1
        ),
    ),
}


def untrained(config):
    """(config, spec, state) with random weights, statistics and averages."""
    spec = make_spec(config)
    state = jax.eval_shape(lambda: init_state(jax.random.key(0), spec))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        numbers = 0.2 * rng.normal(size=leaf.shape).astype(np.float32)
        is_variance = str(path[-1]) == "['variance']"
        return np.abs(numbers) + 0.1 if is_variance else numbers

    nets = {}
    for name in ("generator", "critic", "ema"):
        if (net := getattr(state, name)) is not None:
            drawn = jax.tree_util.tree_map_with_path(draw, (net.params, net.stats))
            nets[name] = dataclasses.replace(net, params=drawn[0], stats=drawn[1])
    return config, spec, dataclasses.replace(state, step=np.int32(7), **nets)


@pytest.fixture(scope="module")
def points():
    return untrained(POINTS)


def test_a_file_replaces_another_only_if_it_computes_the_same(
    points, tmp_path, monkeypatch
):
    path = tmp_path / "x.safetensors"
    export = exports.write(*points, path)
    assert export.files == (path,)
    assert export.difference == 0
    assert export.metadata["weights"] == "averaged"
    with pytest.raises(UserError, match="already exists: give another place, or add"):
        exports.write(*points, path)
    before = path.read_bytes()
    run = exports.FORMATS["safetensors"].run
    monkeypatch.setattr(exports.FORMATS["safetensors"], "run", lambda *a: run(*a) + 1)
    with pytest.raises(UserError, match=r"differ by .* from those of the run"):
        exports.write(*points, path, raw=True, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_have_the_names_and_the_description_of_the_document(points, tmp_path):
    from safetensors import safe_open

    path = tmp_path / "both.safetensors"
    exports.write(*points, path, network="both", raw=True)
    with safe_open(path, "numpy") as file:
        facts, names = file.metadata(), set(file.keys())
        kernel = file.get_tensor("generator.layers.2.kernel")
    expected = {
        f"{net}.layers.{i}.{name}"
        for net, places in (("generator", (0, 2, 4, 6)), ("critic", (1, 3, 5, 7)))
        for i in places
        for name in ("kernel", "bias")
    }
    assert names == expected
    raw = points[2].generator.params["layers"][2]["kernel"]
    np.testing.assert_array_equal(kernel, raw)
    assert (facts["weights"], facts["latent_size"], facts["to_data"]) == (
        "raw",
        "2",
        "x",
    )
    document = (ROOT / "docs" / "export.md").read_text()
    for key in facts:
        assert re.search(rf"^\| .*`{key}`.* \|", document, re.MULTILINE), key


def test_a_program_is_plain_convolutions_on_every_platform(tmp_path):
    config, spec, state = untrained(NETS["odd kernels, rectangles"])
    path = tmp_path / "x.stablehlo"
    with jax.default_matmul_precision(config.run.precision):
        (part,) = exports._parts(config, spec, state, "generator", raw=False)
        program.write(path, [part], {})
    exported = export.deserialize(bytearray(path.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert str(exported.in_avals[0].shape[0]) == "n"
    text = exported.mlir_module()
    lines = [line for line in text.splitlines() if "stablehlo.convolution(" in line]
    # Once, or once for each platform.
    assert len(lines) in (3, 9)
    # Not TensorFloat-32.
    assert all(line.count("HIGHEST") == 2 for line in lines)
    assert set(re.findall(r"custom_call @(\w+)", text)) <= {"shape_assertion"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    "format",
    [
        "stablehlo",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("onnx", marks=pytest.mark.onnx),
    ],
)
def test_every_network_computes_the_same(tmp_path, name, format):
    run = untrained(NETS[name])
    form = exports.FORMATS[format]
    network = "both" if form.SEVERAL else "generator"
    path = tmp_path / f"x{form.SUFFIXES[0]}"
    assert exports.write(*run, path, network=network).difference < 1e-5


@pytest.mark.torch
def test_standardised_columns_get_their_units(tmp_path):
    vectors = dataclasses.replace(POINTS, data=Data(source="vectors", dimensions=2))
    config, spec, state = untrained(vectors)
    spec = dataclasses.replace(spec, scales=((5.0, -1.0), (2.0, 3.0)))
    export = exports.write(config, spec, state, tmp_path / "x.pth")
    assert export.metadata["to_data"] == "x * std + mean"
    assert (export.metadata["mean"], export.metadata["std"]) == ([5, -1], [2, 3])
    to_data = runpy.run_path(str(tmp_path / "x.py"))["to_data"]
    x = pytest.importorskip("torch").ones(4, 2)
    assert to_data(x).tolist() == [[7, 2]] * 4


@pytest.mark.torch
def test_lines_of_text_are_decoded(tmp_path):
    record = DataRecord(vocabulary="?_abc")
    networks = untrained(NETS["residual blocks of text"])
    exports.write(*networks, tmp_path / "x.pth", record=record)
    to_data = runpy.run_path(str(tmp_path / "x.py"))["to_data"]
    # Channels first: the most probable of five characters at each of six places.
    places = pytest.importorskip("torch").tensor([[2, 1, 0, 4, 1, 1]])
    x = (places[:, None] == pytest.importorskip("torch").arange(5)[:, None]).float()
    assert to_data(x) == ["a_?c"]


@pytest.mark.torch
def test_a_layer_of_the_user_has_no_module(tmp_path):
    config, spec, state = untrained(NETS["dense layers"])
    row = spec.generator.summary[1]
    spec.generator.summary[1] = row._replace(layer=lambda x: x)
    with pytest.raises(UserError, match=r"layer 1 .* has no counterpart in PyTorch"):
        exports.write(config, spec, state, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------- the lines of docs/export.md

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""


def outputs_of(lines, blocked, folder):
    """The array x of lines of Python that run in a folder without some packages."""
    code = f"{BLOCKED.format(blocked=blocked)}{lines}\nnp.save('x.npy', x)\n"
    (folder / "lines.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "lines.py"],
        cwd=folder,
        env=environment() | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "x.npy")


@pytest.mark.slow
@pytest.mark.parametrize(
    "format",
    [
        "stablehlo",
        "safetensors",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("onnx", marks=pytest.mark.onnx),
    ],
)
def test_the_documented_lines_need_neither_the_package_nor_flax(
    points, tmp_path, format
):
    _, spec, state = points
    suffix = exports.FORMATS[format].SUFFIXES[0]
    exports.write(*points, tmp_path / f"generator{suffix}")
    z = np.random.default_rng(3).normal(size=(7, 2)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", latents=z)
    section = (ROOT / "docs" / "export.md").read_text().split(f"\n## {format}\n")[1]
    lines = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    assert len(lines.splitlines()) <= 10
    blocked = {"wgan_jax", "flax"} | ({"jax"} if format != "stablehlo" else set())
    expected = spec.generator.apply(*weights(state), z, train=False)[0]
    found = outputs_of(lines, blocked, tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_the_documented_dcgan_of_numpy_computes_the_images(tmp_path):
    unit = dataclasses.replace(UNIT, image_size=(8, 12), scale="symmetric")
    model = dataclasses.replace(DCGAN, generator_norm="batch")
    config, spec, state = untrained(Config(data=unit, model=model))
    exports.write(config, spec, state, tmp_path / "generator.safetensors")
    z = np.random.default_rng(3).normal(size=(7, 3)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", latents=z)
    section = (ROOT / "docs" / "export.md").read_text().split("\n## safetensors\n")[1]
    lines = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[1]
    expected = spec.generator.apply(*weights(state), z, train=False)[0]
    found = outputs_of(lines, {"wgan_jax", "flax", "jax"}, tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-5)
