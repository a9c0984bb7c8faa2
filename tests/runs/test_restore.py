"""Runs that commands read back: precision of products and the best checkpoint."""

import dataclasses

import jax
import pytest
from helpers import in_process

from wgan_jax import anomaly, convert, evaluate, sample
from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.runs import directory, restore


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (sample, ()),
        (evaluate, ()),
        (evaluate, ("--metrics", "fid")),
        (anomaly, ()),
        pytest.param(convert, ("--to-torch", "weights"), marks=pytest.mark.torch),
    ],
)
def test_commands_take_the_best_checkpoint_and_the_precision_of_the_run(
    command, more, tmp_path, monkeypatch
):
    config = Config()
    half = dataclasses.replace(config.run, precision="bfloat16")
    directory.initialise(tmp_path, dataclasses.replace(config, run=half))
    code, error = in_process(command, tmp_path, *more, "--checkpoint", "best")
    assert code == 2
    assert error.startswith(f"error: --checkpoint best: {tmp_path} has none (run.evalu")
    directory.write_best(tmp_path, 5, "fid", 1.0)
    seen = []

    def stop(*arguments, **named):
        seen.append(jax.config.jax_default_matmul_precision)
        raise UserError("reached")

    monkeypatch.setattr(restore, "make_spec", stop)
    before = jax.config.jax_default_matmul_precision
    assert before != "bfloat16"
    code, error = in_process(command, tmp_path, *more, "--checkpoint", "best")
    assert (code, error) == (2, "error: reached\n")
    # A conversion computes no product.
    assert seen == [before if command is convert else "bfloat16"]
    assert jax.config.jax_default_matmul_precision == before
