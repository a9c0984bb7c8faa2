"""The language model runs every part, resumes its run, and names its text."""

import numpy as np
import pytest
from helpers import CACHE

import reproduce
from figures import language_model
from wgan_jax import config
from wgan_jax.errors import UserError

pytestmark = pytest.mark.figures


@pytest.mark.slow
def test_the_tiny_form(reproduce_tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE.name)
    options = "--runs", tmp_path / "runs"
    numbers, line = reproduce_tiny("language-model", *options)
    (run,) = numbers["runs"]
    assert run["steps"] == [2, 4]
    assert sorted(run["samples"]) == ["2", "4"]
    assert (run["num"], run["train"], len(run["real"])) == (20, 240, 12)
    for n in range(1, 7):
        values, floor = np.array(run[f"js_{n}"])[:, 0], run["floor"][f"js_{n}"][0]
        assert (0 < floor < values).all()
        assert (values <= 1).all()
        assert f"JS-{n} {values[-1]:.3f} ({floor:.3f})" in line
    # Longer n-grams are harder, and those of few lines have a higher floor.
    assert np.all(np.diff([run["floor"][f"js_{n}"][0] for n in range(1, 7)]) > 0)
    capsys.readouterr()
    again, _ = reproduce_tiny("language-model", *options)
    assert "is trained to the end" in capsys.readouterr().out
    assert again == numbers


@pytest.mark.parametrize("size", language_model.SIZES)
def test_forms_fit_the_configuration(size):
    form = language_model.SIZES[size]
    assert form["steps"] % form["evaluations"] == 0
    made = config.load(language_model.CONFIG)
    if size == "full":
        assert (form["steps"], form["features"]) == (
            made.run.steps,
            made.model.features,
        )
        # Five disjoint sets of held-out lines.
        assert made.data.heldout == 5 * form["num"]


def test_a_text_is_needed(tmp_path):
    with pytest.raises(UserError, match="language-model needs a text: add --text FILE"):
        reproduce.main(["language-model", "--out", str(tmp_path)])
