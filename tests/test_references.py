import functools
import math

import pytest

from wgan_jax import config
from wgan_jax.config import Config, Objective
from wgan_jax.errors import UserError
from wgan_jax.references import execute, lookup, reference

FILE = """
import math

def mine(objective):
    return math.pi
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_a_name_a_reference_and_a_function_resolve(file):
    assert lookup({"pi": math.pi}, "pi", "field") == math.pi
    assert lookup({}, "math:pi", "field") == math.pi
    assert lookup({}, math.sqrt, "field") is math.sqrt
    function = lookup({}, f"{file}:mine", "field")
    assert function(None) == math.pi
    assert lookup({}, f"{file}:mine", "field") is function


def test_a_reference_resolves_to_its_function(file):
    function = execute(file).mine
    assert reference(function) == f"{file}:mine"
    assert lookup({}, reference(function), "field") is function
    assert reference(math.sqrt) == "math:sqrt"


def nested():
    def inner():
        pass

    return inner


@pytest.mark.parametrize(
    "function",
    [lambda: None, nested(), functools.partial(math.sqrt)],
    ids=["lambda", "nested", "partial"],
)
def test_a_function_without_a_name_is_refused(function):
    with pytest.raises(UserError, match="define it at the top level of a file"):
        reference(function)


def test_a_configuration_file_gives_a_function(tmp_path):
    path = tmp_path / "experiment.py"
    path.write_text(
        "from wgan_jax.config import Config, Objective\n"
        "def mine(objective): ...\n"
        "def get_config(): return Config(objective=Objective(constraint=mine))\n"
    )
    loaded = config.load(path)
    assert loaded.objective.constraint == f"{path}:mine"
    assert config.from_json(config.to_json(loaded)) == loaded


def test_relative_and_absolute_paths_are_equal(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    relative, absolute = (
        Config(objective=Objective(constraint=f"{path}:mine"))
        for path in ("mine.py", file)
    )
    assert config.differences(relative, absolute) == []
    assert config.to_json(relative) == config.to_json(absolute)


def test_a_file_that_fails_is_executed_again(file):
    file.write_text("1 / 0")
    with pytest.raises(UserError, match=r"cannot be imported \(ZeroDivisionError"):
        lookup({}, f"{file}:mine", "field")
    file.write_text(FILE)
    assert lookup({}, f"{file}:mine", "field")(None) == math.pi
