"""The examples of docs/python.md, and its table of public names."""

import re

import numpy as np
import pytest
from helpers import ROOT

import wgan_jax
from wgan_jax import UserError

PAGE = (ROOT / "docs/python.md").read_text()
CODE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))


def test_the_table_lists_each_public_name_and_an_example_uses_it():
    table = PAGE.split("## Public names")[1]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(wgan_jax.__all__)
    for name in listed:
        assert (getattr(wgan_jax, name).__doc__ or "").strip(), name
        imported = re.search(r"from wgan_jax import .*", CODE)
        assert imported
        used = f"wgan_jax.{name}(?!\\w)|[ (=]{name}\\("
        assert re.search(used, CODE), name


@pytest.mark.slow
def test_the_examples_run_and_say_what_is_true(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    code = re.sub(r"steps=\d\d+", "steps=2", CODE)
    code = code.replace("run.train(100)", "run.train(2)").replace(
        "features=64", "features=4"
    )
    code = code.replace(".train(100)", ".train(2)")
    names = {}
    first, rest = code.split("try:", 1)
    exec(first, names)
    assert names["run"].step == 2
    assert names["samples"].shape == (16, 8, 8)
    assert names["samples"].dtype == np.uint8
    exec("try:" + rest, names)
    printed = capsys.readouterr().out
    assert "convert them with (255 * data).round().astype('uint8')" in printed
    assert "<wgan_jax run in memory: 4 of 4 steps>" in printed
    assert names["ways"].shape == (3, 8, 8, 8)
    assert names["again"].step == 4
    assert names["mean"] > 0
    assert names["at_most_exact"] <= names["exact"]
    assert (tmp_path / "losses.svg").is_file()
    assert (tmp_path / "digits.safetensors").is_file()
    assert "<svg" in (tmp_path / "runs/digits_py/report.html").read_text()
    assert {"config.json", "array.npz"} <= {
        path.name for path in (tmp_path / "runs/from_memory").iterdir()
    }
    assert issubclass(UserError, Exception)
