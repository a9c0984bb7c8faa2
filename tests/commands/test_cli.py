"""Command lines: positional arguments, and the sentences about wrong ones."""

import numpy as np
import pytest
from helpers import in_process

from wgan_jax import anomaly, cli, convert, evaluate, prepare, sample, sweep, train
from wgan_jax.errors import UserError


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (sample, [], "RUN is missing: give it, or see --help"),
        (anomaly, ["--seed", 1], "RUN is missing: give it, or see --help"),
        (prepare, ["pack"], "FOLDER is missing: give it, or see --help"),
        (prepare, ["tfds"], "NAME is missing: give it, or see --help"),
        (
            prepare,
            ["pack", "a", "b"],
            "--image-size is missing: give it, or see --help",
        ),
        # A positional argument is not an option, so that no hint names --run.
        (sample, ["--nun", 3], "--nun is not an option: did you mean --num?"),
        (sample, ["r", "--NUM", 3], "--NUM is not an option: did you mean --num?"),
        (sample, ["r", "--num"], "--num has no value: give one after it"),
        (sample, ["r", "--out", "--raw"], "--out has no value: give one after it"),
        (sample, ["r", "x"], "x is not an option or its value: see --help"),
        (
            sample,
            ["r", "--num", "1" * 5000],
            f"--num {'1' * 77}... cannot be read: it must be a whole number",
        ),
        (
            prepare,
            ["pack", "--image-size", 64, "a", "b", "--channels", 3],
            "FOLDER is missing: give it before --image-size, or see --help",
        ),
        (
            prepare,
            ["pack", "a", "b", "--channels", 3, "--image-size", 64, "x"],
            "--image-size 64 x cannot be read: it must be a whole number, or a height "
            "and a width",
        ),
        (
            anomaly,
            ["r", "--method", "gan"],
            "--method gan must be one of anogan, f-anogan",
        ),
        (
            evaluate,
            ["--metrics", "fid", "r"],
            "give either a run directory or --images PATH, RUN before --metrics",
        ),
        (sample, ["r", "--seed", -1], "--seed -1 must be from 0 to 4294967295"),
        (
            sample,
            ["r", "--num", 10**30],
            f"--num {10**30} must be from 1 to {2**31 - 1}",
        ),
        (
            anomaly,
            ["r", "--encoder-lr", "1e-50"],
            "--encoder-lr 1e-50 must be a finite number greater than 0",
        ),
    ],
)
def test_a_missing_or_unknown_argument_is_named(command, arguments, sentence):
    assert in_process(command, *arguments) == (2, f"error: {sentence}\n")


DIGITS = ["--config", "configs/digits.py"]


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (
            train,
            [*DIGITS, "--seed", 1, "--run.seed", 2],
            "--seed is short for --run.seed: give one of them",
        ),
        (
            train,
            [*DIGITS, "--fresh", "--extend"],
            "--fresh and --extend cannot be combined: give one of them",
        ),
        (
            sweep,
            [*DIGITS, "--fresh", "--extend"],
            "--fresh and --extend cannot be combined: give one of them",
        ),
        (
            sweep,
            [*DIGITS, "--vary", "optimizer.critic_lr=1,2"]
            + ["--optimizer.critic-lr", 3],
            "--optimizer.critic-lr is also varied: give its values by --vary only",
        ),
        (
            sweep,
            [*DIGITS, "--seeds", 6000, "--vary", "objective.clip=1,2"],
            "--seeds 6000 makes 12,000 runs at 2 settings: take at most 10,000 runs",
        ),
        (
            sample,
            ["r", "--raw", "--average"],
            "--raw and --average cannot be combined: give one of them",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(command, arguments, sentence):
    assert in_process(command, *arguments) == (2, f"error: {sentence}\n")


@pytest.mark.parametrize("option", [["--data.source", "npz"], ["--data.source=npz"]])
def test_another_source_takes_no_field_of_the_old_one(option, tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 28, 28), np.uint8))
    words = ["--config", "configs/mnist_wgan_gp.py", *option]
    words += ["--data.dir", str(tmp_path / "x.npz"), "--data.array=x"]
    config, _ = cli.parse_config(train.Options, words, "train")
    assert config.data.name == config.data.test_split == ""
    assert (config.data.array, config.data.image_size) == ("x", 28)
    assert capsys.readouterr().out == (
        "data.source=npz replaces tfds: data.name=mnist, data.test_split=test of the "
        "configuration are not used\n"
    )


@pytest.mark.parametrize("name", ["mnist_wgan_gp", "custom_folder", "digits"])
def test_the_source_is_that_which_reads_the_path(name, tmp_path, capsys):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((3, 28, 28), np.uint8))
    words = ["--config", f"configs/{name}.py", "--data.dir", str(path)]
    config, _ = cli.parse_config(train.Options, words, "train")
    assert (config.data.source, config.data.dir) == ("npz", str(path))
    assert f"data.source=npz: {path} is of this kind\n" in capsys.readouterr().out


def test_a_path_that_nothing_reads_is_refused_where_it_would_not_be_used(tmp_path):
    words = ["--config", "configs/mnist_wgan_gp.py", "--data.dir", str(tmp_path / "x")]
    with pytest.raises(
        UserError, match=r"^--data.dir .* does not exist: give a folder"
    ):
        cli.parse_config(train.Options, words, "train")
    # The source of the configuration explains its own paths.
    words[1] = "configs/custom_folder.py"
    config, _ = cli.parse_config(train.Options, words, "train")
    assert config.data.source == "folder"


@pytest.mark.parametrize("words", [["--num", "3", "--num=4"], ["--raw", "--raw"]])
def test_an_option_is_given_once(words):
    with pytest.raises(UserError, match=r"^--(num|raw) is given twice: give it once$"):
        sample.main(["run", *words])


def test_help_fills_its_lines(capsys, monkeypatch):
    # A line of the docstring ends after "Datasets),".
    monkeypatch.setenv("COLUMNS", "100")
    assert in_process(train, "--help")[0] == 0
    assert "Datasets), folder (image files), zip (of" in capsys.readouterr().out


def test_help_of_train_begins_with_its_own_options(capsys):
    assert in_process(train, "--help")[0] == 0
    text = capsys.readouterr().out
    assert text.index("--config") < text.index("--out") < text.index("--coordinator")


@pytest.mark.parametrize(
    ("command", "arguments", "usage"),
    [
        (sample, [], "[OPTIONS] RUN"),
        (evaluate, [], "[OPTIONS] RUN"),
        (convert, [], "[OPTIONS] FILE"),
        (prepare, ["pack"], "[OPTIONS] FOLDER OUT"),
    ],
)
def test_help_names_the_positional_arguments(command, arguments, usage, capsys):
    assert in_process(command, *arguments, "--help") == (0, "")
    assert usage in capsys.readouterr().out
