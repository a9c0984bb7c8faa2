"""Suggested configurations: valid for all data, and functions of the facts."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import in_process, last_of_each, photo

from wgan_jax import cli, prepare, train
from wgan_jax.config import Config, Data, load
from wgan_jax.errors import UserError
from wgan_jax.runs.directory import read_config
from wgan_jax.suggest import Facts, python_file, read_facts, suggest
from wgan_jax.validation import validate

PHOTOS = Facts(
    count=9303,
    shape=(300, 400, 3),
    data=Data(source="folder", dir="photos"),
    shorter_sides=(120, 300, 400),
)
DIGITS = dataclasses.replace(
    PHOTOS, shape=(28, 28, 1), shorter_sides=(28, 28, 28), classes=10, rarest=500
)
VECTORS = Facts(count=1000, shape=(5,), data=Data(source="vectors", dir="v.npz"))


def test_photos_get_a_dcgan_of_64_pixels_on_a_cpu_and_of_128_elsewhere():
    config, reasons = suggest(PHOTOS)
    assert (config.data.image_size, config.data.channels) == (64, 3)
    assert (config.model.kind, config.model.features) == ("dcgan", 16)
    assert config.model.generator_widths == (8, 4, 2, 1)
    assert (config.data.heldout, config.data.batch_size) == (930, 32)
    assert any(r.startswith("data.image_size=64: the largest") for r in reasons)
    sharp = dataclasses.replace(PHOTOS, shorter_sides=(128, 300, 400))
    config, _ = suggest(sharp, accelerator=True)
    assert (config.data.image_size, config.model.features) == (128, 64)


def test_images_of_one_size_keep_it():
    config, _ = suggest(DIGITS)
    assert (config.data.image_size, config.data.channels) == (28, 1)
    assert config.model.critic_widths == (1, 2)


@pytest.mark.parametrize(
    ("aspects", "size"),
    [
        ((1.3, 1.5, 2.0), (64, 96)),
        ((0.4, 0.5, 0.7), (128, 64)),
        ((1.3, 9.0, 12.0), (64, 256)),
        ((0.7, 1.0, 1.4), 64),
        ((1.0, 1.5, 1.6), 64),
    ],
)
def test_images_far_from_squares_become_rectangles(aspects, size):
    config, _ = suggest(dataclasses.replace(PHOTOS, aspects=aspects))
    assert config.data.image_size == size
    validate(config)


def test_labels_are_used_on_an_accelerator_and_named_elsewhere():
    _, reasons = suggest(DIGITS)
    assert any("the 10 labels are not used" in reason for reason in reasons)
    config, _ = suggest(DIGITS, accelerator=True)
    assert (config.model.kind, config.model.classes) == ("resnet", 10)


def test_choices_follow_the_fields_that_are_given():
    given = {"data.image_size": 128, "model.features": 8, "run.steps": 40}
    config, reasons = suggest(PHOTOS, given=given)
    assert config.model.critic_widths == (1, 2, 4, 8, 16)
    assert (config.model.features, config.run.steps) == (8, 40)
    assert config.run.sample_every == 25
    assert not any(reason.startswith(tuple(given)) for reason in reasons)
    validate(config)


def test_the_optimizer_follows_the_objective_that_is_given():
    config, _ = suggest(PHOTOS, given={"objective.constraint": "clip"})
    assert (config.optimizer.kind, config.optimizer.critic_lr) == ("rmsprop", 5e-5)
    assert (config.objective.n_critic, config.model.critic_norm) == (5, "batch")
    validate(config)
    config, reasons = suggest(PHOTOS, given={"objective.kind": "lsgan"})
    assert (config.objective.constraint, config.optimizer.beta1) == ("none", 0.5)
    assert "objective.constraint=none: these losses need no constraint" in reasons
    validate(config)


def test_the_widths_follow_the_network_that_is_given():
    config, _ = suggest(DIGITS, given={"model.kind": "mlp"})
    assert (config.model.generator_widths, config.model.features) == ((1, 2, 4), 128)
    config, _ = suggest(DIGITS, given={"model.classes": 10})
    assert (config.model.kind, config.model.kernel) == ("resnet", 3)
    validate(config)


def test_a_small_memory_halves_the_batch_and_then_the_width():
    config, reasons = suggest(PHOTOS, memory=3e8, accelerator=True)
    assert config.data.batch_size == 8
    assert config.model.features < 64
    assert any(r.startswith("data.batch_size=8: halved to fit 300 MB") for r in reasons)


def test_few_samples_have_a_warning_and_one_is_refused():
    few = dataclasses.replace(PHOTOS, count=40)
    config, reasons = suggest(few)
    assert (config.data.heldout, config.data.batch_size) == (4, 8)
    assert any(reason.startswith("warning: 40 samples are few") for reason in reasons)
    with pytest.raises(UserError, match="1 sample is too few"):
        suggest(dataclasses.replace(PHOTOS, count=1))


SIDES = (1, 2, 7, 8, 9, 12, 16, 18, 28, 31, 33, 48, 63, 64, 65)
SHAPES = [(h, w, 1) for h in SIDES for w in (h, 7, 28, 90)]


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("count", [2, 10, 70_000])
def test_every_suggestion_is_valid(count, accelerator):
    for shape in ((1,), (5,), (300,), *SHAPES):
        data = (VECTORS if len(shape) == 1 else PHOTOS).data
        facts = Facts(data, count, shape)
        config, reasons = suggest(facts, accelerator=accelerator)
        validate(config)
        assert config.data.batch_size + config.data.heldout <= count
        assert suggest(facts, accelerator=accelerator) == (config, reasons)
        assert all(": " in reason for reason in reasons)


def test_facts_of_an_array():
    images = np.zeros((6, 8, 8), np.uint8)
    facts = Facts.of_array(PHOTOS.data, images, np.array([0, 0, 1, 1, 1, 7]))
    assert facts == Facts(PHOTOS.data, 6, (8, 8, 1), classes=3, rarest=1)
    config, _ = suggest(Facts.of_array(VECTORS.data, np.zeros((20, 3))))
    assert config.data.dimensions == 3


def test_the_file_of_a_suggestion_gives_the_same_configuration(tmp_path):
    for facts in (PHOTOS, DIGITS, VECTORS):
        config, reasons = suggest(facts)
        path = tmp_path / "suggested.py"
        path.write_text(python_file(config, reasons, "python -m wgan_jax.train"))
        assert load(path) == config
        assert max(map(len, path.read_text().splitlines())) <= 88


SMALL = """--data.batch-size 4 --model.features 2 --run.chunk 2 --run.steps 4
--objective.n-critic 1 --run.grid-size 4""".split()  # noqa: SIM905


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(16):
        photo(i, 18 + i % 3, 18).save(folder / f"{i}.png")
    return folder


def auto(photos, *more):
    return in_process(
        train, "--config", "auto", "--data.dir", photos, *more, cwd=photos.parent
    )


def parsed(photos, config="auto", *more):
    words = ["--config", str(config), "--data.dir", str(photos), *last_of_each(more)]
    return cli.parse_config(train.Options, words, "train", one_run=True)[0]


def test_the_facts_are_those_of_the_classes_that_are_used(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((9, 8, 8)), labels=np.arange(9) % 3)
    data = Data(source="npz", dir=str(tmp_path / "a.npz"), classes=(0, 2))
    facts = read_facts(data)
    assert (facts.count, facts.classes, facts.rarest) == (6, 2, 3)
    assert (facts.shape, facts.shorter_sides) == ((8, 8, 1), (8, 8, 8))


def test_auto_prints_each_choice_that_is_not_given(photos, capsys):
    config = parsed(photos, "auto", "--model.features", "2")
    assert (config.data.image_size, config.model.features) == (16, 2)
    out = capsys.readouterr().out
    assert out.startswith("--config auto:\n")
    for choice in (
        f"data.source=folder: {photos} is of this kind",
        "data.image_size=16: the largest power of two",
        "model.kind=dcgan: ",
        "warning: 16 samples are few",
    ):
        assert f"  {choice}" in out
    assert "model.features=" not in out
    parsed(photos, "auto", "--log-format", "json")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"event": "message", "text": "--config auto:"} in events


def test_the_run_has_the_name_of_the_data(tmp_path):
    (tmp_path / "my.photos").mkdir()
    for data, name in (
        (Data(dir=f"{tmp_path}/my.photos/"), "my.photos"),
        (Data(dir=str(tmp_path / "digits.npz")), "digits"),
        (Data(source="tfds", name="mnist"), "mnist"),
        (Data(source="8gaussians"), "8gaussians"),
    ):
        assert cli.run_name("auto", Config(data=data)) == name


def test_a_mistake_with_auto_is_one_sentence(tmp_path, photos):
    for words, expected in (
        ((), "--config auto needs data: add --data.dir PATH"),
        (("--data.dir", tmp_path / "no"), f"data.dir={tmp_path / 'no'} does not exist"),
        (
            (
                "--data.dir",
                photos,
                "--num-processes",
                2,
                "--process-id",
                0,
                "--coordinator",
                "localhost:1",
            ),
            "--config auto is for one",
        ),
        (("--data.dir", photos, "--data.image-size", 0), "data.image_size=0 must be"),
        (("--data.dir", photos, "--model.kind", "dcgn"), "model.kind=dcgn is not"),
    ):
        status, error = in_process(train, "--config", "auto", *words, cwd=tmp_path)
        assert (status, error.count("\n")) == (2, 1)
        assert error.startswith(f"error: {expected}"), error
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_same_command_resumes_although_the_choice_would_differ(
    photos, monkeypatch, capsys
):
    run = photos.parent / "runs" / "photos"
    assert auto(photos, *SMALL, "--dry-run") == (0, "")
    assert not run.exists()
    assert auto(photos, *SMALL) == (0, "")
    first = read_config(run)
    assert (first.data.source, first.data.image_size) == ("folder", 16)
    # A machine with an accelerator chooses other optimizers.
    monkeypatch.setattr("wgan_jax.suggest.device", lambda: (1e12, True))
    capsys.readouterr()
    monkeypatch.chdir(photos.parent)
    config = parsed(photos, "auto", *SMALL, "--run.steps", "8")
    assert "that of the run in runs/photos" in capsys.readouterr().out
    assert config == dataclasses.replace(
        first, run=dataclasses.replace(first.run, steps=8)
    )
    config = parsed(photos, "auto", *SMALL, "--fresh")
    assert config.optimizer != first.optimizer
    status, error = auto(photos, *SMALL, "--data.image-size", "8")
    assert status == 2
    assert "holds a run that differs in data.image_size: 16 and 8" in error
    photo(99, 20, 20).save(photos / "0.png")
    status, error = auto(photos, *SMALL)
    assert status == 2
    assert "was trained on other data" in error


def test_the_written_file_and_auto_are_the_same_configuration(photos):
    path = photos.parent / "photos.py"
    assert in_process(prepare, "check", photos, "--write-config", path) == (0, "")
    assert parsed(photos) == parsed(photos, path)
