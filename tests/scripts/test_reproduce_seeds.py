"""The five systems: trained as their documents do, resumed, measured."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import CACHE, ROOT, TINY, in_process

import reproduce
from figures import seeds
from wgan_jax import anomaly, cli, config, train
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.validation import validate

pytestmark = pytest.mark.figures


def options(**more):
    names = ("images", "epochs", "width", "seeds", "tfds_dir")
    flags = {"tiny": False, "no_train": False, "seed": 0}
    return SimpleNamespace(**dict.fromkeys(names) | flags | more)


def configured(words):
    """The configuration that the train command makes of options."""
    made, _ = cli.parse_config(train.Options, words, "train")
    validate(made)
    return made


@pytest.mark.parametrize("name", reproduce.SYSTEMS)
def test_a_new_run_is_that_of_the_document(name, tmp_path):
    base = config.load(ROOT / "configs" / f"{name}.py")
    document = seeds.DOCUMENTS[name]
    given = options(images=tmp_path)
    made = configured(seeds.new_run(name, 3, "full", given))
    assert made.model == base.model
    assert made.run.seed == 3
    assert made.run.steps == base.run.steps
    assert document.epochs * document.updates == pytest.approx(made.run.steps)
    assert 10 <= made.run.steps // made.run.keep_every <= 20
    quick = configured(seeds.new_run(name, 0, "quick", given))
    assert quick.model.features == document.width or base.model.features
    assert quick.objective == base.objective
    few = options(images=tmp_path, epochs=2, width=8)
    few = configured(seeds.new_run(name, 0, "quick", few))
    assert few.run.steps == round(2 * document.updates)
    assert few.model.features == 8
    assert made.data.classes == (tuple(range(1, 10)) if name == seeds.ANOGAN else ())


def test_a_run_that_exists_keeps_its_configuration(tmp_path):
    run = tmp_path / "mnist_wgan_gp-seed0"
    base = config.load(ROOT / "configs" / "mnist_wgan_gp.py")
    model = dataclasses.replace(base.model, features=32)
    run.mkdir()
    directory.initialise(run, dataclasses.replace(base, model=model))
    longer = seeds._longer("mnist_wgan_gp", run, options(epochs=200, width=32))
    assert longer == ["--run.steps", "18720", "--extend"]
    assert seeds._longer("mnist_wgan_gp", run, options(epochs=100)) == []
    for given, sentence in (
        ({"width": 64}, f"--width 64: the run in {run} has width 32; remove --width"),
        ({"epochs": 50}, f"--epochs 50: the run in {run} is one of 100 epochs"),
    ):
        with pytest.raises(UserError) as error:
            seeds._longer("mnist_wgan_gp", run, options(**given))
        assert str(error.value).startswith(sentence)


def test_a_run_that_stops_early_is_not_measured(tmp_path, monkeypatch):
    run, calls = tmp_path / "mnist_wgan_gp-seed0", []
    base = config.load(ROOT / "configs" / "mnist_wgan_gp.py")

    def stopped(words):
        calls.append(words)
        run.mkdir(exist_ok=True)
        directory.initialise(run, base)
        (run / "checkpoints" / "500").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(train, "main", stopped)
    for _ in range(2):
        with pytest.raises(UserError, match="stopped at step 500 of 9360: the same"):
            seeds.train_run("mnist_wgan_gp", run, 0, "full", options())
    # The second call resumes the run by its own configuration.
    assert calls[0][1] == str(ROOT / "configs" / "mnist_wgan_gp.py")
    assert calls[1][1] == str(run / "config.json")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cat_faces_2"], "cat_faces_2 needs images of cat faces: give their folder"),
        (["mnist"], "seeds mnist is not known: did you mean mnist_dcgan"),
        (["mnist_dcgan", "mnist_dcgan"], "mnist_dcgan is given twice: give it once"),
        (["mnist_dcgan", "--no-train", "--epochs", "3"], "--epochs applies to trai"),
        (["mnist_dcgan", "--no-train"], "runs/mnist_dcgan-seed0 has no run: train it"),
        (["mnist_dcgan", "--images", "/"], "--images / is the folder of cat faces, wh"),
        (["mnist_dcgan", "--text", "x"], "--text x does not apply to seeds: it is a"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        reproduce.main(["seeds", *words, "--runs", "runs"])
    assert str(error.value).startswith(sentence)
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a small run under the names of four systems."""
    place = tmp_path_factory.mktemp("runs")
    first = place / "mnist_dcgan_anogan-tiny-seed0"
    rhythm = "--run.steps 20 --run.checkpoint-every 5 --run.keep-every 5"
    classes = map(str, range(1, 10))
    code, error = in_process(
        train, *TINY, *rhythm.split(), "--data.classes", *classes, "--out", first
    )
    assert code == 0, error
    for name in seeds.CATS:
        shutil.copytree(first, place / f"{name}-tiny-seed0")
    return place


def measured(name, runs, out):
    words = ["seeds", name, "--tiny", "--no-train", "--runs", runs, "--out", out]
    results = out / "results.md"
    assert reproduce.main([*map(str, words), "--results", str(results)]) == 0
    assert (out / f"{name}.png").stat().st_size > 5_000
    numbers = json.loads((out / f"{name}.json").read_text())["numbers"]
    (line,) = (x for x in results.read_text().splitlines() if f"[{name}]" in x)
    assert line.count("|") == 4
    assert "<!-- systems -->" in results.read_text()
    return numbers, line


@pytest.mark.slow
def test_a_system_is_measured_and_detects_anomalies(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE.name)
    numbers, line = measured("mnist_dcgan_anogan", runs, tmp_path)
    (run,) = numbers["seeds"]
    assert run["steps"] == [5, 10, 15, 20]
    assert run["quality_is"] == "classifier_frechet"
    assert np.isfinite(run["quality"]).all()
    assert min(run["quality"]) > run["floor"]
    assert run["records"]["step"] == [5, 10, 15, 20]
    for method, count in (("f-anogan", 60), ("anogan", 20)):
        assert 0 <= run["auroc"][method]["auroc"] <= 1
        assert run["auroc"][method]["images"] == count
    assert "0.1067 of 106.7 epochs (20 generator updates), base width 2" in line
    assert "AUROC of the digits 0: " in line
    assert f"{run['auroc']['anogan']['auroc']:.3f} (anogan, 20 images)" in line
    # Scores of the same state are not computed again.
    monkeypatch.delattr(anomaly, "main")
    place = runs / "mnist_dcgan_anogan-tiny-seed0"
    assert seeds.detect(place, 20, "tiny", 0) == run["auroc"]


@pytest.mark.slow
def test_the_models_of_the_cat_faces_are_compared(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE.name)
    numbers, line = measured("cat_faces_3", runs, tmp_path)
    assert [model["name"] for model in numbers["models"]] == list(seeds.CATS)
    # One state under three names.
    assert len({model["quality"] for model in numbers["models"]}) == 1
    assert numbers["seeds"][0]["quality_is"] == "patches_kid"
    assert numbers["models"][2]["quality"] == numbers["seeds"][0]["quality"][-1]
    assert "patches_kid of 100 samples" in line
    assert "the order is unlike in the document" in line
    assert seeds._models(numbers["models"][:1]).startswith(
        "not compared with cat_faces_2 and cat_faces_3, which are not trained"
    )
