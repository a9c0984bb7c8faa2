"""Random architectures: the table, their configurations, and the tiny form."""

import json
import math

import pytest
from helpers import CACHE

from figures import random_architectures as random
from wgan_jax import train
from wgan_jax.config import Data
from wgan_jax.errors import UserError
from wgan_jax.nn.models import build
from wgan_jax.training.loop import Diverged
from wgan_jax.validation import validate

pytestmark = pytest.mark.figures

IMAGES = Data(channels=3)


def configuration(architecture, method):
    return random.configuration(architecture, method, 32, 100_000, 0, IMAGES)


def test_the_table_of_a_seed_begins_the_same_for_every_count():
    table = random.architectures(0, 200)
    assert len(set(table)) == 200
    assert random.architectures(0, 20) == table[:20]
    assert random.architectures(1, 20) != table[:20]
    for part in ("generator", "critic"):
        for field, values in random.SET.items():
            drawn = [getattr(getattr(a, part), field) for a in table]
            # Each value is drawn as often as the others, within 4 deviations.
            for value in values:
                share = 1 / len(values)
                deviation = math.sqrt(200 * share * (1 - share))
                assert abs(drawn.count(value) - 200 * share) < 4 * deviation


@pytest.mark.parametrize("method", random.METHODS)
def test_every_architecture_is_a_valid_configuration(method):
    for architecture in random.architectures(0, 200):
        config = configuration(architecture, method)
        validate(config)
        assert config.run.steps % config.run.checkpoint_every == 0
        decay = config.objective.critic_weight_decay
        assert decay == (1e-3 if architecture.critic.norm else 0)


def test_networks_have_the_parameters_of_the_description():
    deep = random.Architecture(
        random.Part("tanh", 20, True, 4), random.Part("softplus", 8, True, 2)
    )
    networks = build(configuration(deep, "wgan_gp").model, (32, 32, 3))
    # Filters 128: 512 at 4x4, 256 at 8x8 with 16 more layers, 128 at 16x16.
    generator = 129 * 8192 + 25 * (512 * 256 + 256 * 128 + 128 * 3) + 387
    generator += 2 * (512 + 256 + 128) + 16 * (9 * 256 + 3) * 256
    # Filters 64: 64 without a norm, 128 with 4 more layers, 256.
    critic = 25 * (3 * 64 + 64 * 128 + 128 * 256) + 64 + 128 + 256
    critic += 2 * (128 + 256) + 4 * (9 * 128 + 3) * 128 + 16 * 256 + 1
    assert [network.parameters for network in networks] == [generator, critic]


def row(gan, wgan_gp):
    return {"gan": gan, "wgan_gp": wgan_gp}


NUMBERS = {
    "form": random.SIZES["quick"] | {"seed": 0},
    "score_is": "classifier_score",
    "real": 3.65,
    "seconds": 100,
    "architectures": [row(1.15, 1.3), row(None, 1.25), row(1.0, None), row(1.2, 1.12)],
}


def test_outcomes_count_scores_above_the_threshold_and_diverged_runs_as_failures():
    rows = NUMBERS["architectures"]
    assert random.outcomes(rows, 1.0) == (0, 1, 2, 1)
    assert random.outcomes(rows, 1.12) == (1, 1, 1, 1)
    assert list(random.our_outcomes(NUMBERS)) == [1.0, 1.1, 1.2, 1.3]
    assert random.our_outcomes(NUMBERS)[1.3] == (0, 0, 0, 4)
    assert all(sum(counts) == 200 for counts in random.PAPER.values())
    text = random.finding(NUMBERS)
    assert "GAN 1.12 +- 0.10" in text
    assert "WGAN-GP higher in 1 of 2, diverged 1 WGAN-GP and 1 GAN" in text
    assert "neither above 1.0: 0/1/2/1; 1.1: 0/1/2/1; 1.2: 0/2/0/2; 1.3" in text


def test_a_diverged_run_has_no_score_and_is_not_trained_again(tmp_path, monkeypatch):
    calls = []

    def diverge(argv):
        calls.append(argv)
        (tmp_path / "run").mkdir()
        raise Diverged("training diverged")

    class Extractor:
        def metric_key(self, name):
            return "classifier_score"

    monkeypatch.setattr(train, "main", diverge)
    (architecture,) = random.architectures(0, 1)
    config = configuration(architecture, "gan")
    for _ in range(2):
        result = random.result(tmp_path / "run", config, {"count": 9}, Extractor())
        assert result["score"] is None
    assert len(calls) == 1
    more = tmp_path / "more", config, {"count": 9}, Extractor()
    assert random.result(*more, late=True) is None
    assert len(calls) == 1
    assert random.score_text(None) == "diverged"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--architectures", "9217"], "--architectures 9217 is more than the 9216 of"),
        (["--full", "--npz", "."], "--npz . and --full name different images: leave"),
        (["--npz", ".", "--tfds-dir", "x"], "--npz . and --tfds-dir name different"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence):
    import reproduce

    with pytest.raises(UserError) as error:
        reproduce.main(["random-architectures", *words])
    assert str(error.value).startswith(sentence)


@pytest.mark.slow
def test_the_tiny_form_trains_what_has_no_score_yet(
    reproduce_tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE.name)
    runs = tmp_path / "runs"
    # Compilation takes most of the time: one method of the two.
    scored = runs / "random-architectures-tiny-4x1-0" / "000-wgan_gp"
    scored.mkdir(parents=True)
    stored = {"score_is": "classifier_score", "count": 100, "score": 1.5, "seconds": 1}
    (scored / "score.json").write_text(json.dumps(stored))
    numbers, line = reproduce_tiny("random-architectures", "--runs", runs)
    (scores,) = numbers["architectures"]
    assert scores["wgan_gp"] == 1.5
    assert 1 <= scores["gan"] < 10
    assert (scored.parent / "000-gan" / "checkpoints" / "4").exists()
    assert "1 architectures of seed 0, filters 1 2 4, 4 generator updates" in line
    assert "paper, Inception score, 200 architectures" in capsys.readouterr().out
