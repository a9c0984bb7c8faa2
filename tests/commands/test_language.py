"""Runs on text: what does not apply is refused, and every command knows the rest."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import ROOT
from test_config import config_with

import wgan_jax
from wgan_jax import config as configs
from wgan_jax import evaluate, export, report, sample, train
from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.interface.arguments import configuration
from wgan_jax.suggest import automatic
from wgan_jax.validation import validate

PATH = ROOT / "configs" / "language_model.py"
TINY = {
    "data.length": 6,
    "data.batch_size": 8,
    "data.heldout": 20,
    "model.z_dim": 4,
    "model.features": 4,
    "model.generator_widths": (1,),
    "model.critic_widths": (1,),
    "objective.n_critic": 1,
    "run.steps": 2,
    "run.chunk": 1,
    "run.log_every": 1,
    "run.sample_every": 1,
    "run.checkpoint_every": 1,
    "run.grid_size": 8,
    "run.tensorboard": False,
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"run.evaluate_every": 100}, "run.evaluate_every=100 needs images"),
        ({"model.classes": 3}, "model.classes=3 needs labels"),
        ({"data.flip": True}, "data.flip=True applies to images"),
        ({"data.image_size": 64}, "data.image_size=64 applies to images"),
        ({"data.test_split": "test"}, "data.test_split=test applies to images"),
        ({"model.kind": "dcgan"}, "model.kind=dcgan does not read text"),
        ({"model.critic_kind": "mlp"}, "model.critic_kind=mlp does not read text"),
        ({"model.output": "tanh"}, "take model.output=softmax"),
        ({"model.generator_norm": "batch"}, "take model.generator_norm=none"),
        ({"model.critic_norm": "layer"}, "take model.critic_norm=none"),
        ({"model.generator_activation": "gated"}, "take another activation$"),
        ({"model.kernel": 4}, "model.kernel=4 must be odd"),
        ({"model.critic_widths": (1, 2)}, r"must be ones.* take \(1, 1\)"),
        ({"data.vocabulary": 2}, "data.vocabulary=2 must be from 3"),
        ({"data.length": 0}, "data.length=0 must be greater than 0"),
        ({"data.dir": ""}, "data.dir is empty: data.source=text needs it"),
    ],
)
def test_what_does_not_apply_to_text_is_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        validate(config_with(changes, configs.load(PATH)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data.length": 16}, "data.length=16 applies to data.source=text"),
        ({"data.vocabulary": 64}, "data.vocabulary=64 applies to data.source=text"),
        ({"model.kind": "resnet1d"}, "model.kind=resnet1d needs lines of text"),
        ({"model.critic_kind": "resnet1d"}, "model.critic_kind=resnet1d needs lines"),
        ({"model.output": "softmax"}, "model.output=softmax does not match"),
    ],
)
def test_what_applies_to_text_only_is_refused_elsewhere(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        validate(config_with(changes))


def test_another_source_takes_no_field_of_text():
    data = configs.load(PATH).data
    changed, line = configs.switch_source(data, "digits")
    assert (changed.length, changed.vocabulary) == (32, Config().data.vocabulary)
    assert "data.dir=data/lines.txt" in line


def test_no_configuration_is_chosen_for_text(tmp_path):
    path = write_text(tmp_path)
    data = dataclasses.replace(Config().data, dir=str(path))
    with pytest.raises(UserError, match=r"take configs/language_model\.py"):
        automatic(data, {})


@pytest.mark.slow
def test_every_command_of_a_run_on_text(tmp_path, capsys):
    path, run = write_text(tmp_path), tmp_path / "run"
    command = ["--config", str(PATH), "--data.dir", str(path), "--out", str(run)]
    for name, value in TINY.items():
        words = map(str, value) if isinstance(value, tuple) else [str(value)]
        if value is False:
            command.append(f"--{name.replace('run.', 'run.no-')}")
        else:
            command += [f"--{name.replace('_', '-')}", *words]
    assert train.main(command) == 0
    text = capsys.readouterr().out
    assert f"data.vocabulary=6: the characters of {path}, and two marks" in text
    assert "97 lines repeat another one" in text
    names = [f"{kind}-000000{i}.txt" for kind in ("fixed", "fresh") for i in (1, 2)]
    saved = {file.name: file for file in (run / "samples").iterdir()}
    assert sorted(saved) == sorted([*names, "real.txt"])
    lines = saved[names[1]].read_text("utf-8").split("\n")
    assert len(lines) == 9
    assert max(map(len, lines)) <= 6
    vocabulary = json.loads((run / "data.json").read_text())["vocabulary"]
    assert set("".join(lines)) <= set(vocabulary)
    assert len(vocabulary) == 6
    assert set(saved["real.txt"].read_text().split()) <= {"abc", "cab", "bcd"}

    assert sample.main([str(run), "--num", "5"]) == 0
    written = (run / "samples.txt").read_text("utf-8").split("\n")
    array = tmp_path / "samples.npz"
    assert sample.main([str(run), "--num", "5", "--out", str(array)]) == 0
    loaded = wgan_jax.load(run)
    with np.load(array) as file:
        assert file["lines"].tolist() == written[:-1] == loaded.sample(5).tolist()
    ways = tmp_path / "ways.txt"
    assert sample.main([str(run), "--interpolate", "--out", str(ways)]) == 0
    # Eight rows of eight lines and an empty line between them, which lines may be too.
    assert ways.read_text("utf-8").count("\n") == 8 * 8 + 7

    capsys.readouterr()
    assert evaluate.main([str(run), "--num", "10", "--repeats", "2"]) == 0
    text = capsys.readouterr().out
    assert "JS of 4-grams, bits" in text
    assert "held-out lines" in text
    scores = loaded.evaluate(num=10, repeats=2)
    results = json.loads((run / "evaluation.json").read_text())["results"]
    (found,) = (r for r in results if r["measure"] == "js_4")
    assert found["value"]["mean"] == pytest.approx(scores["js_4"][0])
    assert found["samples"] == [10, 80]
    assert report.main([str(run)]) == 0
    page = (run / "report.html").read_text("utf-8")
    assert "step 1</figcaption><pre" in page
    assert written[0] in page or "&" in written[0]

    for words, sentence in (
        (["--film", "film.gif"], "--film shows grids of images or points"),
        (["--out", "grid.png"], "--out grid.png must end in .txt or .npz"),
        (["--scale", "2"], "--scale 2 applies to a grid of images"),
    ):
        with pytest.raises(UserError, match=sentence):
            sample.main([str(run), *words])
    with pytest.raises(UserError, match="--metrics fid needs images"):
        evaluate.main([str(run), "--metrics", "fid"])
    # Weights know characters by number: a child has the vocabulary of its parent.
    other, child = tmp_path / "other.txt", tmp_path / "child"
    other.write_text("\n".join((["dddd", "zy d"] * 50)[:100]))
    start = ["--data.dir", str(other), "--out", str(child), "--init-from", str(run)]
    assert train.main([*command[:2], *start, *command[6:], "--no-report"]) == 0
    inherited = json.loads((child / "data.json").read_text())["vocabulary"]
    assert inherited == vocabulary
    real = (child / "samples" / "real.txt").read_text("utf-8").split()
    assert set(real) <= {"dddd", f"{vocabulary[0] * 2}", "d", vocabulary[0] * 3 + "d"}
    assert export.main([str(run), "--out", str(tmp_path / "g.safetensors")]) == 0
    assert "vocabulary[argmax(x)]" in capsys.readouterr().out


def test_fit_takes_a_path_of_text(tmp_path):
    base = configs.load(PATH)
    made = configuration(str(write_text(tmp_path)), base, None, 3, 0)
    assert made.data.vocabulary == 4 + 2
    assert (made.data.source, made.data.length, made.run.steps) == ("text", 32, 3)
    with pytest.raises(UserError, match=r"take configs/language_model\.py"):
        configuration(str(write_text(tmp_path)), None, None, None, 0)


def write_text(folder):
    path = folder / "lines.txt"
    path.write_text("\n".join((["abc", "cab", "bcd"] * 34)[:100]))
    return path
