"""Damaged files of a run directory, and the provenance of a run."""

import shutil
import subprocess
from pathlib import Path

import pytest

import wgan_jax
from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.runs import directory

GARBAGE = [b"", b"\x93\xff\x00\xfe garbage", b'{"step": 5', b"[1, 2]", b"3", b"null"]


@pytest.fixture
def run(tmp_path):
    with directory.claimed(tmp_path / "run", Config()) as begin:
        begin()
    return tmp_path / "run"


@pytest.mark.parametrize("content", GARBAGE)
@pytest.mark.parametrize("name", ["config.json", "best.json"])
def test_a_damaged_file_gets_one_sentence_that_names_it(run, name, content):
    (run / name).write_bytes(content)
    read = {"config.json": directory.read_config, "best.json": directory.read_best}
    with pytest.raises(UserError) as error:
        read[name](run)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", ['{"step": 5}', '{"step": 5, "metric": "fid", "value": NaN}']
)
def test_a_damaged_best_is_reported_before_training(run, content):
    (run / "best.json").write_text(content)
    with (
        pytest.raises(UserError, match=r"best\.json is damaged.*delete it"),
        directory.claimed(run, Config()),
    ):
        pass


def test_a_field_of_a_wrong_type_is_named_with_its_file(run):
    path = run / "config.json"
    path.write_text(path.read_text().replace('"steps": ', '"steps": "many", "old": '))
    with pytest.raises(UserError, match=r"config\.json"):
        directory.read_config(run)


def test_best_is_read_as_it_was_written(run):
    assert directory.read_best(run) is None
    directory.write_best(run, 20, "fid", 3)
    assert directory.read_best(run) == {"step": 20, "metric": "fid", "value": 3.0}


def test_the_versions_are_those_of_the_package_and_its_repository(monkeypatch):
    found = directory.environment(Config())
    assert found["wgan_jax"] == wgan_jax.__version__
    assert found["packages"]["jax"]
    monkeypatch.setattr(directory, "PACKAGES", ("numpy", "not-installed"))
    assert directory.environment(Config())["packages"]["not-installed"] is None


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_package_installed_inside_another_repository_records_no_commit(
    tmp_path, monkeypatch
):
    place = tmp_path / ".venv" / "site-packages" / "wgan_jax" / "runs"
    place.mkdir(parents=True)
    shutil.copy(directory.__file__, place)
    git(tmp_path, "init", "-q")
    (tmp_path / "thesis.tex").touch()
    git(tmp_path, "add", "thesis.tex")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    monkeypatch.setattr(directory, "__file__", str(place / Path("directory.py")))
    assert directory.environment(Config())["git_commit"] is None
    git(tmp_path, "add", "-f", ".venv")
    git(tmp_path, "commit", "-q", "-m", "Add the package")
    commit = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert directory.environment(Config())["git_commit"] == commit
