"""Exported files compute what the networks of a run compute."""

import dataclasses

import jax
import pytest

from wgan_jax import exports
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.config import Config, Data, Model
from wgan_jax.errors import UserError

POINTS = Config(data=Data(source="8gaussians"), model=Model(kind="mlp", features=4))


@pytest.fixture(scope="module")
def points():
    spec = make_spec(POINTS)
    return POINTS, spec, init_state(jax.random.key(0), spec)


@pytest.mark.parametrize("name", ["x.safetensors", "x.stablehlo"])
def test_a_file_is_checked_before_it_replaces_another(points, tmp_path, name):
    export = exports.write(*points, tmp_path / name)
    assert export.difference < 1e-5
    assert all(file.is_file() for file in export.files)
    with pytest.raises(UserError, match="already exists"):
        exports.write(*points, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    config, spec, state = points
    wrong = dataclasses.replace(spec.generator, apply=lambda *a, **k: (a[2] * 2, {}))
    other = dataclasses.replace(spec, generator=wrong)
    exports.write(config, other, state, tmp_path / name, overwrite=True)
    if name == "x.stablehlo":
        assert (tmp_path / name).read_bytes() != before
    assert set(tmp_path.iterdir()) == set(export.files)
