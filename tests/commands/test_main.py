"""`python -m wgan_jax` lists the commands and runs them by name."""

import importlib
import subprocess
import sys
import tomllib

import pytest
from helpers import ROOT, environment

import wgan_jax
from wgan_jax import __main__ as commands


def test_the_list_names_every_command_without_importing_jax():
    code = """if True:
        import sys
        from wgan_jax.__main__ import main
        main([])
        assert "jax" not in sys.modules
    """
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name, line in commands.COMMANDS.items():
        assert f"{name:10}{line}\n" in done.stdout


def command_files():
    files = (ROOT / "wgan_jax").glob("[!_]*.py")
    return sorted(p.stem for p in files if "\ndef main(" in p.read_text())


def test_every_command_is_listed():
    assert command_files() == sorted(commands.COMMANDS)


@pytest.mark.parametrize("name", command_files())
def test_each_command_has_a_help_page(name, capsys, monkeypatch):
    # The command replaces it.
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with pytest.raises(SystemExit) as stop:
        commands.main([name, "--help"])
    assert stop.value.code == 0
    assert f"wgan_jax.{name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trian", "did you mean train?"), ("xyz", "choose from train, sample")],
)
def test_an_unknown_command_gets_one_sentence(name, hint, capsys):
    with pytest.raises(SystemExit) as stop:
        commands.main([name])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {name} is not a command: {hint}")
    assert error.count("\n") == 1


def test_the_console_script_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, name = project["scripts"]["wgan-jax"].split(":")
    assert getattr(importlib.import_module(module), name) is commands.main


@pytest.mark.parametrize("name", wgan_jax.__all__)
def test_the_python_interface_is_importable(name):
    value = getattr(wgan_jax, name)
    assert value.__module__.startswith("wgan_jax.")
    assert name in dir(wgan_jax)


def test_other_names_are_not_attributes():
    with pytest.raises(AttributeError, match="has no attribute trainer"):
        wgan_jax.trainer  # noqa: B018
