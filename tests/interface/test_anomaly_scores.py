"""Anomaly scores from Python."""

import dataclasses

import numpy as np
import pytest
from helpers import in_process

import wgan_jax
from wgan_jax import Config, Data, Model, Objective, Optimizer, Run, UserError, anomaly

pytestmark = pytest.mark.slow

IMAGES = np.random.default_rng(0).integers(0, 256, (90, 8, 8)).astype(np.uint8)
CONFIG = Config(
    data=Data(batch_size=8, heldout=25),
    model=Model(
        kind="mlp",
        z_dim=2,
        features=4,
        generator_widths=(1,),
        critic_widths=(1,),
        generator_norm="none",
    ),
    objective=Objective(n_critic=1),
    optimizer=Optimizer(kind="adam"),
    run=Run(steps=2, chunk=2, log_every=2, sample_every=2, checkpoint_every=2),
)
SEARCH = {"method": "anogan", "steps": 2, "restarts": 1}


@pytest.fixture(scope="module")
def run():
    return wgan_jax.fit(IMAGES, CONFIG, progress=False)


def test_images_get_scores_verdicts_and_maps(run, capsys):
    images = np.random.default_rng(1).integers(0, 256, (7, 8, 8)).astype(np.uint8)
    result = run.anomaly_scores(images, **SEARCH)
    assert capsys.readouterr().out == ""
    assert result.scores.shape == result.p_values.shape == (7,)
    assert result.anomalous.tolist() == (result.scores > result.threshold).tolist()
    assert result.anomalous.tolist() == (result.p_values <= 0.05).tolist()
    # Of 25 held-out images.
    np.testing.assert_allclose(result.p_values * 26, np.round(result.p_values * 26))
    assert result.reconstructions.shape == (7, 8, 8, 1)
    off = (
        np.abs(images[..., None] - result.reconstructions.astype(float)).mean(-1) / 255
    )
    np.testing.assert_allclose(result.differences, off, atol=1e-6)
    assert repr(result) == (
        f"<anomaly scores of 7 images: {result.anomalous.sum()} anomalous>"
    )
    alone = run.anomaly_scores(images[..., None], false_alarm_rate=0, **SEARCH)
    np.testing.assert_allclose(alone.scores, result.scores)
    assert (alone.p_values, alone.threshold, alone.anomalous) == (None, None, None)
    assert repr(alone) == "<anomaly scores of 7 images>"


def test_an_array_calibrates_unless_the_run_was_trained_on_it(run):
    images = np.random.default_rng(2).integers(0, 256, (40, 8, 8)).astype(np.uint8)
    options = {"false_alarm_rate": 0.1, "calibration": images[:30], **SEARCH}
    # Images that are scored do not calibrate: 20 are left, then 8.
    p = run.anomaly_scores(images[20:], **options).p_values
    np.testing.assert_allclose(p * 21, np.round(p * 21))
    with pytest.raises(UserError, match=r"false_alarm_rate=0.1 needs 9 .* has 8: give"):
        run.anomaly_scores(images[8:], **options)
    trained = run._loaded().dataset.train
    with pytest.raises(UserError, match=r"calibration has 65 of 65 images that the"):
        run.anomaly_scores(images, **options | {"calibration": trained})


@pytest.mark.parametrize(
    ("images", "options", "part"),
    [
        (IMAGES / 255, {}, r"images is float64\[90, 8, 8\]: give uint8 \[n, height"),
        (IMAGES[:0], {}, "images has no image"),
        (IMAGES, {"method": "other"}, "method='other' must be anogan or f-anogan"),
        (IMAGES, {"step": 3}, "anomaly_scores has no step: it has method, seed"),
        (IMAGES, {"false_alarm_rate": 1}, "false_alarm_rate=1 must be 0 or more and"),
        ("nowhere", {}, "--images nowhere is neither a folder nor"),
    ],
)
def test_mistakes_are_named(run, images, options, part):
    with pytest.raises(UserError, match=part):
        run.anomaly_scores(images, **options)


def test_a_directory_gives_the_scores_of_the_command(tmp_path):
    config = dataclasses.replace(CONFIG, run=dataclasses.replace(CONFIG.run, seed=1))
    run = wgan_jax.fit(IMAGES, config, out=tmp_path / "run", progress=False)
    images = np.random.default_rng(3).integers(0, 256, (9, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=images)
    result = run.anomaly_scores(images, encoder_steps=3)
    saved = tmp_path / "run/anomaly/f-anogan/encoder.npz"
    before = saved.read_bytes()
    words = "--images", tmp_path / "images.npz", "--encoder-steps", 3
    code, error = in_process(anomaly, tmp_path / "run", *words)
    assert code == 0, error
    assert saved.read_bytes() == before
    path = saved.with_name("scores.csv")
    options = {"delimiter": ",", "names": True, "dtype": None, "encoding": None}
    table = np.genfromtxt(path, **options)
    np.testing.assert_allclose(table["score"], result.scores, rtol=1e-5)
    np.testing.assert_allclose(table["p_value"], result.p_values, rtol=1e-6)
