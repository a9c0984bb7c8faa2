"""Command lines: positional arguments, and the sentences about wrong ones."""

import pytest
from helpers import in_process

from wgan_jax import anomaly, convert, evaluate, prepare, sample


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
    ],
)
def test_a_missing_or_unknown_argument_is_named(command, arguments, sentence):
    assert in_process(command, *arguments) == (2, f"error: {sentence}\n")


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
