"""Runs from Python: `fit`, `load` and their result."""

import contextlib
import dataclasses
import functools
import io
import os
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from helpers import environment, in_process

import wgan_jax
from wgan_jax import (
    Config,
    Data,
    Model,
    Objective,
    Optimizer,
    Run,
    UserError,
    evaluate,
    sample,
    train,
)
from wgan_jax.interface import arrays, run
from wgan_jax.interface.arguments import configuration
from wgan_jax.nn import layers

POINTS = np.random.default_rng(0).normal(size=(80, 2)) * [1, 100] + [0, 1000]
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)
SMALL = Config(
    data=Data(batch_size=8, heldout=16),
    model=Model(
        kind="mlp",
        z_dim=2,
        features=4,
        generator_widths=(1,),
        critic_widths=(1,),
        output="linear",
        generator_norm="none",
    ),
    objective=Objective(n_critic=1),
    run=Run(steps=4, chunk=2, log_every=2, sample_every=2, checkpoint_every=2),
)


def small(section, **fields):
    values = dataclasses.replace(getattr(SMALL, section), **fields)
    return dataclasses.replace(SMALL, **{section: values})


@pytest.fixture(scope="module")
def points():
    return wgan_jax.fit(POINTS, SMALL, progress=False)


@pytest.fixture(scope="module")
def saved(points, tmp_path_factory):
    return points.save(tmp_path_factory.mktemp("saved") / "run")


def arrays_of(run):
    return jax.tree.leaves((run.state.generator, run.state.critic, run.state.step))


def assert_equal(one, two):
    for a, b in zip(arrays_of(one), arrays_of(two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_in_memory_writes_nothing_and_prints_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        done = wgan_jax.fit(POINTS, SMALL, steps=2, progress=False)
        done.evaluate(num=8, repeats=2)
    assert printed.getvalue() == ""
    assert os.listdir(tmp_path) == []
    assert repr(done) == "<wgan_jax run in memory: 2 of 2 steps>"


@pytest.mark.slow
def test_training_in_parts_equals_training_in_one_go(points, tmp_path):
    parts = wgan_jax.fit(POINTS, SMALL, steps=1, progress=False).train(3)
    assert_equal(parts, points)
    assert parts.history["step"].tolist() == [1, 2, 4]
    kept = wgan_jax.fit(POINTS, SMALL, steps=2, out=tmp_path / "run", progress=False)
    assert_equal(wgan_jax.load(tmp_path / "run").train(2), points)
    # The run that was in use meanwhile.
    assert_equal(kept.train(2), points)


@pytest.mark.slow
def test_a_saved_run_is_that_of_the_same_fit_with_a_directory(points, saved, tmp_path):
    out = tmp_path / "run"
    kept = wgan_jax.fit(POINTS, SMALL, out=out, progress=False)
    assert_equal(kept, points)
    assert_equal(wgan_jax.load(saved), points)
    names = {p.name for p in out.iterdir()}
    assert names == {p.name for p in saved.iterdir()}
    for name in ("config.json", "data.json"):
        assert (out / name).read_text() == (saved / name).read_text()
    np.testing.assert_array_equal(
        kept.history["wasserstein"], points.history["wasserstein"]
    )
    with pytest.raises(UserError, match="is not empty"):
        points.save(saved)


@pytest.mark.slow
def test_commands_accept_a_run_of_python_that_was_moved(saved, points, tmp_path):
    moved = tmp_path / "moved"
    saved.rename(moved)
    try:
        assert in_process(evaluate, moved, "--num", 8, "--repeats", 2)[0] == 0
        file = tmp_path / "samples.npz"
        assert in_process(sample, moved, "--num", 3, "--out", file)[0] == 0
        drawn = np.load(file)["points"]
        np.testing.assert_allclose(points.sample(3), drawn, rtol=1e-6)
        words = ["--config", moved / "config.json", "--out", moved, "--extend"]
        assert in_process(train, *words, "--run.steps", 6) == (0, "")
        assert wgan_jax.load(moved).step == 6
    finally:
        moved.rename(saved)


@pytest.mark.slow
def test_samples_are_in_the_units_and_the_shape_of_the_data(points):
    assert abs(points.sample(50).mean(0) - [0, 1000]).max() < 200
    config = dataclasses.replace(
        SMALL, model=dataclasses.replace(SMALL.model, output="tanh")
    )
    grey = wgan_jax.fit(IMAGES, config, steps=2, progress=False)
    assert (grey.sample(3).shape, grey.sample(3).dtype) == ((3, 8, 8), np.uint8)
    assert grey.interpolate(2, steps=5).shape == (2, 5, 8, 8)
    assert grey.config.data.image_size == 8


@pytest.mark.slow
def test_latents_determine_samples(points):
    z = np.random.default_rng(1).normal(size=(3, 2))
    np.testing.assert_array_equal(points.sample(latents=z), points.sample(latents=z))
    ways = points.interpolate(latents=np.stack([z, -z], 1), steps=4)
    np.testing.assert_allclose(ways[:, 0], points.sample(latents=z), rtol=1e-5)
    np.testing.assert_allclose(ways[:, -1], points.sample(latents=-z), rtol=1e-5)
    with pytest.raises(UserError, match=r"latents are \[3, 5\]: this run needs"):
        points.sample(latents=np.ones((3, 5)))
    with pytest.raises(UserError, match="labels are given, and the run has none"):
        points.sample(2, labels=[0, 1])


@pytest.mark.slow
def test_history_has_a_column_for_each_metric_and_plots_show_it(points, tmp_path):
    history = points.history
    assert history["step"].tolist() == [2, 4]
    assert np.isfinite(history["heldout_wasserstein"]).all()
    assert "<svg" in points.plot()._repr_html_()
    assert points.plot("critic_loss").save(tmp_path / "a.svg").read_text()
    assert points.plot().save(tmp_path / "a.png").stat().st_size
    with pytest.raises(UserError, match="plot has no column loss: history has step"):
        points.plot("loss")


@pytest.mark.slow
def test_columns_of_the_history_are_nan_where_a_record_has_no_value(points):
    other = wgan_jax.interface.run.TrainedRun(SMALL, points.state, points.spec)
    other._log.write(1, {"wasserstein": 2.0})
    other._log.write(2, {"wasserstein": 3.0, "fid": 4.0}, {"estimate": "too large"})
    np.testing.assert_array_equal(other.history["fid"], [np.nan, 4.0])
    assert other.warnings == ["too large"]
    assert repr(other).endswith("4 of 4 steps, 1 warning>")


@pytest.mark.slow
def test_evaluation_is_a_dictionary_that_prints_as_a_table(points):
    scores = points.evaluate(num=10, repeats=2)
    mean, std = scores["wasserstein"]
    assert mean > 0
    assert std >= 0
    assert "exact W1" in repr(scores)
    assert "<pre>" in scores._repr_html_()
    assert scores.measures["wasserstein"].reference is not None
    with pytest.raises(UserError, match="fid needs images"):
        points.evaluate("fid")
    with pytest.raises(UserError, match="features=vgg is not known: take one of"):
        points.evaluate("fid", features="vgg")


# ------------------------------------------------------------------------ interruption


@pytest.mark.slow
def test_a_callback_ends_training(capsys):
    seen = []

    def callback(step, metrics):
        seen.append((step, metrics["wasserstein"]))
        return step == 2

    stopped = wgan_jax.fit(POINTS, SMALL, steps=10, callback=callback)
    assert [step for step, _ in seen] == [2]
    output = capsys.readouterr().out
    assert "compiling ..." in output
    assert "step 2/10" in output
    assert "ended at step 2 of 10: run.train() continues" in output
    assert stopped.train().step == 10


def interrupting(number):
    def callback(step, metrics):
        if step == 4:
            for _ in range(number):
                signal.raise_signal(signal.SIGINT)

    return callback


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "directory"), [(1, False), (2, False), (1, True)])
def test_an_interrupt_keeps_what_was_trained(signals, directory, tmp_path, capsys):
    out = tmp_path / "run" if directory else None
    handler = signal.getsignal(signal.SIGINT)
    stopped = wgan_jax.fit(
        POINTS, small("run", steps=20), out=out, callback=interrupting(signals)
    )
    # The chunk that the device computes is finished, or discarded by the second signal.
    assert 0 < stopped.step < 20 or (signals == 2)
    assert "interrupted at step" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) == handler
    assert stopped.history["step"].max() <= stopped.step
    assert stopped.train().step == 20


@pytest.mark.slow
def test_fit_runs_in_a_thread_and_silences_that_thread_only(capsys):
    results = []

    def callback(step, metrics):
        done.wait(10)

    def work():
        results.append(
            wgan_jax.fit(POINTS, SMALL, progress=False, callback=callback).step
        )

    done, thread = threading.Event(), threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    print("main thread")
    done.set()
    thread.join()
    assert results == [4]
    assert capsys.readouterr().out == "main thread\n"


@pytest.mark.slow
def test_ctrl_c_in_a_script_returns_the_run():
    script = """
import numpy, wgan_jax
from wgan_jax import Config, Data, Model, Run
config = Config(data=Data(batch_size=8, heldout=16), run=Run(steps=10**7, chunk=25),
    model=Model(kind="mlp", output="linear", generator_norm="none", features=4))
run = wgan_jax.fit(numpy.random.default_rng(0).normal(size=(99, 2)), config)
print("after", 0 < run.step < 10**7, run.sample(2).shape)
"""
    command = [sys.executable, "-u", "-c", script]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        lines = iter(process.stdout or ())
        next(line for line in lines if line.startswith("step "))
        process.send_signal(signal.SIGINT)
        rest = "".join(lines)
    assert process.returncode == 0
    assert "finishing this chunk" in rest
    assert "interrupted at step" in rest
    assert "after True (2, 2)" in rest


# ---------------------------------------------------------- functions, labels, paths


def test_functions_of_the_caller_are_refused_in_a_run_directory(tmp_path):
    """docs/python.md trains with such functions in memory."""

    def nothing(objective):
        return wgan_jax.Constraint()

    config = small("objective", constraint=nothing)
    with pytest.raises(UserError, match=r"cannot be named in config.json.*out=None"):
        wgan_jax.fit(POINTS, config, out=tmp_path / "run")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (optax.adam(1e-3), "climbs the loss"),
        (lambda optimizer: optax.sgd(1.0), "climbs the loss"),
        (optax.scale(1.0), ""),
        (optax.adam, ""),
        (functools.partial(optax.adamw, b1=0.5), ""),
    ],
)
def test_an_optimizer_that_climbs_is_refused(kind, sentence):
    config = small("optimizer", kind=kind)
    allowed = contextlib.nullcontext()
    with pytest.raises(UserError, match=sentence) if sentence else allowed:
        wgan_jax.make_spec(config)


def test_a_function_of_the_rate_takes_the_step_of_optax():
    gradient, params = np.array([0.5, -2.0], np.float32), np.ones(2, np.float32)
    ours = wgan_jax.make_optimizer(Optimizer(kind=optax.adam))
    direction, _ = ours.update(gradient, ours.init(params), params)
    theirs = optax.adam(0.01)
    update, _ = theirs.update(gradient, theirs.init(params), params)
    np.testing.assert_allclose(-0.01 * np.asarray(direction), update, rtol=1e-6)


def test_networks_that_do_not_fit_have_one_sentence():
    def one(model, sample_shape):
        return 5

    def narrow(model, sample_shape):
        pair = (lambda key: {}), (lambda params, x: x[:, :1])
        return pair, pair

    def wide(model, sample_shape):
        pair = (lambda key: {}), (lambda params, x: x)
        return pair, pair

    for kind, sentence in (
        (one, r"must return the pair \(generator, critic\)"),
        (narrow, r"generates samples of shape \(1,\) and the data have \(2,\)"),
        (wide, r"the critic of model.kind must be a pair .* output is \[2\] for each"),
    ):
        config = small("model", kind=kind)
        config = dataclasses.replace(config, data=Data(source="8gaussians"))
        with pytest.raises(UserError, match=sentence):
            wgan_jax.build_networks(config.model, (2,))


class ShiftByLabel(nnx.Module):
    """Adds a multiple of the label."""

    def __call__(self, x, train, labels):
        return x + labels[:, None] / 10


class Conditional:
    """Dense networks for images of 8x8 pixels that use labels."""

    @staticmethod
    def generator(model, sample_shape, rngs):
        dense = layers.Dense(model.z_dim, 64, rngs=rngs)
        return [dense, ShiftByLabel(), layers.reshape(*sample_shape)]

    @staticmethod
    def critic(model, sample_shape, rngs, outputs=1):
        widths = 1, model.classes
        heads = layers.Heads(*(layers.Dense(64, w, rngs=rngs) for w in widths))
        return [layers.reshape(64), heads]


@pytest.mark.slow
def test_labels_make_a_conditional_run(tmp_path):
    names = np.array(["cat", "dog", "owl"])[np.arange(60) % 3]
    config = small("model", kind=Conditional, generator_norm="batch")
    done = wgan_jax.fit(
        IMAGES, config, labels=names, steps=2, out=tmp_path / "run", progress=False
    )
    assert done.config.model.classes == 3
    assert done.labels == ["cat", "dog", "owl"]
    again = wgan_jax.load(tmp_path / "run").train(2)
    assert again.labels == ["cat", "dog", "owl"]
    owls = again.sample(2, labels="owl")
    mixed = again.sample(2, labels=["owl", "cat"])
    np.testing.assert_array_equal(owls[0], mixed[0])
    # 2/10 of half the range of the grey levels.
    brighter = owls[1].astype(float) - mixed[1]
    np.testing.assert_allclose(brighter[owls[1] < 255].mean(), 25.5, atol=1)
    with pytest.raises(UserError, match=r"labels have 'cow', and the run knows 'cat'"):
        again.sample(1, labels="cow")


def test_a_path_or_the_name_of_a_source_is_trained_on(tmp_path):
    np.save(tmp_path / "points.npy", POINTS)
    config = configuration(str(tmp_path / "points.npy"), None, None, 2, 0)
    assert (config.data.source, config.data.dimensions) == ("vectors", 2)
    assert config.run.steps == 2
    np.savez(tmp_path / "images.npz", images=IMAGES)
    config = configuration(tmp_path / "images.npz", SMALL, None, None, 7)
    assert (config.data.source, config.run.seed) == ("npz", 7)
    assert configuration("8gaussians", None, None, None, 0).data.is_toy
    assert configuration("digits", SMALL, None, None, 0).data.source == "digits"
    assert configuration(None, SMALL, None, None, 0) == SMALL


@pytest.mark.slow
def test_the_learning_rate_of_a_longer_run_is_not_guessed(points):
    config = dataclasses.replace(SMALL, optimizer=Optimizer(decay="linear"))
    decayed = run.TrainedRun(config, points.state, points.spec)
    with pytest.raises(UserError, match=r"steps=1 would end at step 5, .* decayed"):
        decayed.train(1)


# -------------------------------------------------------------------------- mistakes


def floats(low, high):
    return np.linspace(low, high, 200).reshape(2, 10, 10)


CONSTANT = np.stack([np.arange(9.0), np.ones(9)], 1)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (POINTS.tolist(), r"data is a list: convert it .* numpy.asarray\(data\)"),
        (object(), r"data is object: give images uint8"),
        (floats(0, 1), r"float64\[2, 10, 10\].*\(255 \* data\).round"),
        (floats(-1, 1), r"\(127.5 \* \(data \+ 1\)\).round"),
        (floats(0, 255), r"with data.round\(\).astype\('uint8'\)"),
        (floats(-7, 255), r"numpy.interp.*from -7 to 255"),
        (floats(0, np.nan), "once no value is NaN"),
        (IMAGES.astype(np.int64), r"data.astype\('uint8'\)"),
        (IMAGES > 9, r"255 \* data.astype\('uint8'\)"),
        (IMAGES.reshape(60, 64), r"data.reshape\(-1, 8, 8\)"),
        (np.arange(12).reshape(6, 2), r"take data.astype\(float\)"),
        (np.arange(6.0), r"data\[:, None\]"),
        (IMAGES[:1], "needs 2 samples or more"),
        (IMAGES[:0], "needs 2 samples or more"),
        (np.zeros_like(IMAGES), "all 60 images of data are the same"),
        (IMAGES.reshape(20, 3, 8, 8), r"data.transpose\(0, 2, 3, 1\)"),
        (IMAGES.reshape(15, 8, 8, 4), r"data\[..., :3\]"),
        (CONSTANT, "column 1 of data is constant, 1.0"),
        (CONSTANT * [1, np.nan], "column 1 of data has nan in row 0"),
    ],
)
def test_mistakes_in_data_have_one_sentence(data, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        wgan_jax.fit(data, progress=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"config": {}}, "config is a dict: give a wgan_jax.Config"),
        ({"steps": 0}, "steps=0 must be 1 or more"),
        ({"steps": 2.5}, "steps=2.5 must be a whole number"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
        ({"labels": [1, 2]}, r"labels are int64\[2\]: give one whole number or string"),
        ({"labels": np.zeros(80, int)}, "labels are all the same"),
        ({"labels": -np.arange(80)}, "labels have -79"),
        ({"labels": np.arange(80) % 2, "config": SMALL}, "labels need networks that"),
    ],
)
def test_mistakes_in_other_arguments_have_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        wgan_jax.fit(POINTS, **arguments, progress=False)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "data is None: give an array, a path, or a config"),
        ("no/such/file", "no/such/file does not exist"),
    ],
)
def test_mistakes_in_paths_have_one_sentence(data, sentence):
    with pytest.raises(UserError, match=sentence):
        wgan_jax.fit(data, progress=False)


@pytest.mark.slow
def test_a_run_in_memory_has_no_page(points):
    with pytest.raises(UserError, match=r"take run.save\(path\), then"):
        points.report()


def test_another_run_in_the_directory_is_refused(saved):
    with pytest.raises(UserError, match=r"out=.* differs in model.features: 4 and 5"):
        wgan_jax.fit(POINTS, small("model", features=5), out=saved, progress=False)
    with pytest.raises(UserError, match="trained on other data: 80 vectors changed"):
        wgan_jax.fit(POINTS + 1, SMALL, steps=6, out=saved, progress=False)
    with pytest.raises(UserError, match="is not a run directory"):
        wgan_jax.load(saved / "samples")


def test_arrays_of_other_libraries_are_accepted():
    np.testing.assert_array_equal(arrays.check_array(jax.numpy.asarray(IMAGES)), IMAGES)
