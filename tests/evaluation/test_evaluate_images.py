"""Metrics of images, during training and after it, through the commands."""

import functools
import json
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TINY, final_arrays, in_process, records
from PIL import Image

from wgan_jax import evaluate, metrics, pictures, sample, train
from wgan_jax.data.content import content_order
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.errors import UserError
from wgan_jax.evaluation.images import make_generated_batches
from wgan_jax.metrics import (
    classifier,
    frechet,
    image_scores,
    inception_score,
    transport,
)
from wgan_jax.metrics.features import (
    Extractor,
    extract,
    extract_array,
    make_extractor,
)
from wgan_jax.metrics.frechet import Moments
from wgan_jax.metrics.image_scores import METRICS, rank_correlation
from wgan_jax.runs import restore, sampling
from wgan_jax.training import loop
from wgan_jax.training.best import SEED, BestCheckpoint, save_if_best

CLASSIFIER = ("--features", "classifier")
WATCHED = """--run.evaluate-every 5 --run.evaluate-num 150 --run.max-to-keep 9
--run.evaluate-features classifier --run.checkpoint-every 5""".split()  # noqa: SIM905


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A separate cache for this file, and a classifier that trains in seconds."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(classifier, "STEPS", 20)
        yield folder / "wgan_jax"


def trained(out, *more):
    code, error = in_process(train, *TINY, *WATCHED, *more, "--out", out)
    assert code == 0, error
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 15 steps, evaluated every 5 steps."""
    out = tmp_path_factory.mktemp("images") / "run"
    return trained(out, "--run.steps", "15", "--optimizer.ema-decay", "0.9")


@pytest.fixture(autouse=True, scope="module")
def restore_each_once():
    """Each checkpoint is read once: reading dominates the time of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "restore_run", functools.cache(restore.restore_run))
        yield


@pytest.fixture(scope="module")
def dataset(run):
    return load_in_memory(restore.restore_run(run)[0].data)


@pytest.fixture(scope="module")
def extractor(run, dataset):
    config = restore.restore_run(run)[0]
    return make_extractor(config, dataset, "classifier", "")


def measured(run, *more, classified=True):
    """{measure: result} of one evaluation; of the last step, where it has several."""
    more = [*(CLASSIFIER if classified else ()), *more]
    out = run / "evaluation.json"
    out.unlink(missing_ok=True)
    code, error = in_process(evaluate, run, *more)
    assert code == 0, error
    return results_of(out)


def results_of(out):
    content = json.loads(out.read_text())
    assert content["format"] == 2
    return {result["measure"]: result for result in content["results"]}


def moments_of(extractor, images):
    return Moments.of(np.asarray(extractor.apply(images)[0]))


# ------------------------------------------------------------------------- extraction


def flat(images):
    """A feature function without weights: pixels, and logits of two of them."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    return rows, rows[:, :2] / 50


PIXELS = Extractor("pixels", 48, flat, "1")


def batches(images, *cuts):
    return np.split(images, cuts)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (230, 4, 4, 3), np.uint8)


def test_features_in_batches_equal_features_of_all_images(images):
    seen, done = [], []

    def apply(batch):
        seen.append(len(batch))
        return flat(batch)

    result = extract(
        Extractor("pixels", 48, apply),
        batches(images, 100, 200),
        230,
        keep_rows=True,
        first=130,
        advance=done.append,
    )
    rows, logits = flat(images)
    # The last batch is padded, and the padding does not affect the result.
    assert (seen, done) == ([100, 100, 100], [100, 100, 30])
    for moments, part in ((result.moments, rows), (result.first, rows[:130])):
        assert moments.count == len(part)
        np.testing.assert_allclose(moments.mean, part.mean(0, np.float64))
        np.testing.assert_allclose(moments.scatter, Moments.of(part).scatter)
    np.testing.assert_array_equal(result.rows, rows)
    score = inception_score.SplitScore(230)
    score.update(logits)
    assert result.score == pytest.approx(score.result())
    assert extract(PIXELS, batches(images), 230).rows is None


def test_logits_are_optional_and_counts_must_match(images):
    without = Extractor("mine", 48, lambda batch: (flat(batch)[0], None))
    assert extract(without, batches(images), 230).score is None
    with pytest.raises(ValueError, match="230 images were given, expected 231"):
        extract(PIXELS, batches(images), 231)


def test_features_are_cached_by_images_and_extractor(images, cache):
    calls = []

    def apply(batch):
        calls.append(len(batch))
        return flat(batch)

    def again(images=images, name="cached", identity="1", **more):
        calls.clear()
        result = extract_array(Extractor(name, 48, apply, identity), images, **more)
        return result, bool(calls)

    first, fresh = again(facts={"resize": "bicubic"})
    assert fresh
    files = list(cache.glob("features-*.npz"))
    facts = [json.loads(str(np.load(path)["facts"])) for path in files]
    assert {"extractor": "cached", "identity": "1", "resize": "bicubic"} in facts
    second, fresh = again()
    assert not fresh
    assert second.score == first.score
    np.testing.assert_array_equal(first.moments.scatter, second.moments.scatter)
    # A file without the features themselves does not serve KID.
    assert again(keep_rows=True)[1]
    rows, fresh = again(keep_rows=True)
    assert not fresh
    np.testing.assert_array_equal(rows.rows, flat(images)[0][content_order(images)])
    assert not again()[1]
    assert not again(images=images[::-1])[1]
    assert again(images=255 - images)[1]
    assert again(images=images.reshape(230, 2, 8, 3))[1]
    assert again(name="other")[1]
    assert again(identity="2")[1]
    # Without an identity nothing is cached.
    assert again(identity="")[1]
    assert again(identity="")[1]


def test_only_inception_s_features_have_the_published_names(images):
    result = extract_array(PIXELS, images, keep_rows=True)
    names = {
        "inception": {
            "fid",
            "is",
            "is_split_std",
            "kid",
            "kid_subset_std",
            "precision",
            "recall",
            "density",
            "coverage",
        },
        "classifier": {
            "classifier_frechet",
            "classifier_kid",
            "classifier_score",
            "classifier_score_split_std",
            "classifier_kid_subset_std",
            "classifier_precision",
            "classifier_recall",
            "classifier_density",
            "classifier_coverage",
        },
    }
    for name, expected in names.items():
        extractor = Extractor(name, 48, flat)
        values = image_scores.compare(result, result, extractor, METRICS)
        assert set(values) == expected
        labels = extractor.metric_labels(METRICS)
        assert set(values) == set(labels)
        if name != "inception":
            published = ("FID", "IS", "KID", "Inception score")
            assert not set(labels.values()) & set(published)
    without = Extractor("mine", 48, lambda batch: (flat(batch)[0], None))
    result = extract(without, batches(images), 230)
    with pytest.raises(UserError, match="mine does not have: remove is from"):
        image_scores.compare(result, result, without, {"is": METRICS["is"]})


def test_rank_correlation_is_spearman_s():
    from scipy.stats import spearmanr

    x, y = np.random.default_rng(1).integers(0, 5, (2, 20))
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation([1, 2, 9], [5, 6, 7]) == pytest.approx(1)
    assert rank_correlation([1, 2, 9], [7, 6, 5]) == pytest.approx(-1)
    assert math.isnan(rank_correlation([1, 1, 1], [7, 6, 5]))


# -------------------------------------------------------------------------- the command


def test_a_run_is_evaluated_next_to_its_floor(run, dataset, extractor, capsys):
    measures = measured(
        run, "--metrics", "fid", "is", "kid", "prdc", "--num", "32", "--repeats", "2"
    )
    facts = measures["classifier_frechet"]
    assert (facts["samples"], facts["real"]) == ([32, 1765], "train")
    assert facts["reference_is"] == "32 real, heldout"
    assert (facts["features"], facts["weights"]) == ("classifier", "averaged")
    assert (facts["resize"], facts["background"]) == ("bicubic", 255)
    assert measures["classifier_kid"]["samples"] == [32, 32]
    table = capsys.readouterr().out
    rows = {line.split("  ")[0]: line for line in table.split("\n")}
    assert "  32 / 1765  " in rows["classifier Frechet distance"]
    assert "  32 / 32  " in rows["classifier recall"]
    assert "32 samples against 1765 real images (train), 2 times" in table
    assert "classifier Frechet distance" in table
    assert "FID" not in table
    # The same from the public functions.
    config, spec, state = restore.restore_run(run)
    real = moments_of(extractor, dataset.train)
    floor = frechet.frechet_distance(moments_of(extractor, dataset.heldout), real)
    generated_batches = make_generated_batches(config, spec)
    weights, values = sampling.weights(state), []
    for seed in transport.pair_seeds(0, 2)[:, 0].tolist():
        fake = np.concatenate(list(generated_batches(weights, seed, 32)))
        assert fake.shape == (32, 16, 16, 1)
        values.append(frechet.frechet_distance(moments_of(extractor, fake), real))
    measure = measures["classifier_frechet"]
    expected = {"mean": np.mean(values), "std": np.std(values, ddof=1)}
    assert measure["value"] == pytest.approx(expected, rel=1e-3)
    assert measure["reference"]["mean"] == pytest.approx(floor, rel=1e-3)
    assert measure["ratio"] == pytest.approx(np.mean(values) / floor, rel=1e-3)
    # Held-out images cover the training images.
    assert measures["classifier_coverage"]["reference"]["mean"] == 1
    # Fewer than ten images for each split.
    score = measures["classifier_score"]
    reason = "100 images or more are needed, and there are 32"
    assert (score["value"], score["withheld"]) == (None, reason)
    assert f"- classifier score: {reason}" in table
    assert rows["classifier score"].split() == ["classifier", "score", "32", "-"]
    warning = "classifier Frechet distance of 32 images and 64 features depends mostly"
    assert warning in measures["classifier_frechet"]["warning"]
    assert f"warning: {warning}" in table
    assert measures["heldout_estimate"]["value"]["std"] > 0


def test_inception_s_numbers_have_the_published_names(run, monkeypatch, capsys):
    # A stand-in with the interface of the module and without weights.
    def features(params, images):
        rows = images[:, 4:8, 4:8, 0].reshape(len(images), 16).astype(np.float32)
        return rows * params["scale"], rows[:, :3]

    inception = types.SimpleNamespace(
        load=lambda path, report: {"scale": np.float32(2)}, features=features
    )
    monkeypatch.setattr(metrics, "inception", inception, raising=False)
    options = ("--metrics", "fid", "is", "kid", "--num", "32")
    measures = measured(run, *options, classified=False)
    assert measures["fid"]["features"] == "inception"
    assert set(measures) == {
        "fid",
        "is",
        "is_split_std",
        "kid",
        "kid_subset_std",
        "heldout_estimate",
    }
    table = capsys.readouterr().out
    assert all(word in table for word in ("\nFID", "\nInception score", "\nKID"))


def test_frechet_distances_of_unequal_counts_have_no_ratio(run):
    measures = measured(run, "--metrics", "fid", "--num", "70")
    whole = measures["classifier_frechet"]
    part = measures["classifier_frechet_at_floor"]
    assert not {"reference", "ratio"} & set(whole)
    assert (whole["samples"], part["samples"]) == ([70, 1765], [32, 1765])
    assert part["ratio"] == pytest.approx(
        part["value"]["mean"] / part["reference"]["mean"]
    )
    # One repeat has no standard deviation: null in the file.
    assert whole["value"]["std"] is None


def test_the_reference_can_be_the_held_out_images(run, dataset, extractor):
    measures = measured(
        run, "--metrics", "fid", "--num", "64", "--reference", "heldout", "--raw"
    )
    measure = measures["classifier_frechet"]
    assert (measure["samples"], measure["reference_is"]) == ([64, 32], "64 real, train")
    assert measure["weights"] == "raw"
    order = content_order(dataset.train)
    sides = dataset.train[order[:64]], dataset.heldout
    floor = frechet.frechet_distance(*(moments_of(extractor, s) for s in sides))
    assert measure["reference"]["mean"] == pytest.approx(floor, rel=1e-3)


def test_batch_statistics_are_those_of_each_batch_of_100(run):
    config, spec, state = restore.restore_run(run)
    weights = sampling.weights(state)
    by_batch = list(make_generated_batches(config, spec, True)(weights, 3, 130))
    running = list(make_generated_batches(config, spec)(weights, 3, 130))
    assert [len(part) for part in by_batch] == [len(part) for part in running]
    assert [len(part) for part in by_batch] == [100, 30]
    assert any((a != b).any() for a, b in zip(by_batch, running, strict=True))
    # The last batch is generated whole, for its statistics.
    z = jnp.asarray(sampling.noise(3, 200, spec.z_dim)[100:])
    float_images = spec.generator.apply(*weights, z, True)[0]
    last = pictures.to_uint8(float_images, config.data.scale)[:30]
    assert np.abs(last.astype(int) - by_batch[1]).max() <= 1
    measures = measured(run, "--metrics", "fid", "--num", "32", "--batch-stats")
    statistics = measures["classifier_frechet"]["statistics"]
    assert statistics == "of each batch of 100"


def test_every_checkpoint_is_evaluated_and_ranked(run, capsys):
    ranked = measured(run, "--metrics", "fid", "--num", "32", "--checkpoint", "all")
    results = json.loads((run / "evaluation.json").read_text())["results"]
    values = {
        (r["step"], r["measure"]): r["value"]["mean"]
        for r in results
        if r["step"] != "all"
    }
    columns = [
        [values[step, key] for step in (5, 10, 15)]
        for key in ("heldout_estimate", "classifier_frechet")
    ]
    correlation = ranked["rank_correlation"]
    expected = pytest.approx(rank_correlation(*columns))
    assert (correlation["step"], correlation["value"]["mean"]) == ("all", expected)
    table = capsys.readouterr().out
    assert "rank correlation (Spearman) of the held-out estimate" in table
    alone = measured(run, "--metrics", "fid", "--num", "32", "--checkpoint", "10")
    key = "classifier_frechet"
    (same,) = (r for r in results if (r["step"], r["measure"]) == (10, key))
    assert alone[key] == same


@pytest.mark.slow
@pytest.mark.slow
def test_every_checkpoint_is_evaluated_without_fid(run):
    for named, key in ((["--metrics", "prdc"], "classifier_recall"), ([], "sliced")):
        more = ["--num", "16", "--checkpoint", "all", *named]
        measured(run, *more, classified=bool(named))
        results = json.loads((run / "evaluation.json").read_text())["results"]
        steps = [r["step"] for r in results if r["measure"].startswith(key)]
        assert steps == [5, 10, 15]


def test_a_checkpoint_that_diverged_does_not_end_the_evaluation_of_all(
    run, monkeypatch, capsys
):
    original = restore.restore_run

    def diverge(run, step=""):
        if step == 10:
            raise UserError("its weights are not all finite")
        return original(run, step)

    monkeypatch.setattr(restore, "restore_run", diverge)
    measured(run, "--num", "16", "--checkpoint", "all", classified=False)
    results = json.loads((run / "evaluation.json").read_text())["results"]
    assert {r["step"] for r in results} == {5, 15}
    assert "warning: step 10 is left out: its weights are" in capsys.readouterr().out


@pytest.fixture(scope="module")
def sets(tmp_path_factory, dataset):
    """A labelled reference of 300 images, and a folder of 32 others."""
    folder = tmp_path_factory.mktemp("sets")
    images, labels = dataset.train[:300], dataset.train_labels[:300]
    np.savez(folder / "real.npz", images=images, labels=labels)
    (folder / "images").mkdir()
    for i, image in enumerate(dataset.heldout):
        Image.fromarray(image[..., 0]).save(folder / "images" / f"{i}.png")
    return folder


def compared(images, reference, *more):
    """{measure: result} of two sets, without the paths."""
    out = reference.parent / "sets.json"
    out.unlink(missing_ok=True)
    code, error = in_process(
        *(evaluate, "--images", images, "--reference", reference, *CLASSIFIER),
        *("--json", out, "--metrics", *more),
    )
    assert code == 0, error
    results = results_of(out)
    return {
        key: {name: v for name, v in result.items() if name not in ("images", "real")}
        for key, result in results.items()
    }


def test_two_sets_of_images_need_no_run(sets, capsys):
    reference, folder = sets / "real.npz", sets / "images"
    same = compared(reference, reference, "fid", "prdc")
    other = compared(folder, reference, "fid", "prdc")
    assert same["classifier_frechet"]["value"]["mean"] < 1e-6
    for name in ("precision", "recall", "coverage"):
        assert same[f"classifier_{name}"]["value"]["mean"] == 1
    assert other["classifier_frechet"]["samples"] == [32, 300]
    assert other["classifier_frechet"]["value"]["mean"] > 1
    assert (
        f"32 images of {folder} against 300 of {reference}" in capsys.readouterr().out
    )


def test_every_order_of_the_images_gives_identical_numbers(sets, tmp_path, dataset):
    images, labels = dataset.train[:300], dataset.train_labels[:300]
    fake, fake_labels = dataset.train[300:550], dataset.train_labels[300:550]
    by_class = [np.argsort(v, kind="stable") for v in (fake_labels, labels)]
    orders = [
        [np.random.default_rng(seed).permutation(n) for n in (250, 300)]
        for seed in range(3)
    ]
    found = []
    for order, real_order in [by_class, *orders]:
        np.savez(tmp_path / "fake.npz", images=fake[order])
        np.savez(
            tmp_path / "real.npz", images=images[real_order], labels=labels[real_order]
        )
        paths = tmp_path / "fake.npz", tmp_path / "real.npz"
        found.append(compared(*paths, "fid", "is", "kid", "prdc"))
    assert len(found[0]) == 9
    for other in found[1:]:
        assert other == found[0]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--metrics", "fid", "--num", "9"], "--num 9 must be 10 or more"),
        (
            ["--metrics", "fid", "--reference", "all"],
            "--reference all must be train or",
        ),
        (["--batch-stats"], "--batch-stats applies to --metrics: add --metrics fid"),
        (["--images", "x"], "give either a run directory or --images PATH"),
        (
            ["--metrics", "prdc", "--num", "2000000000", *CLASSIFIER],
            "2,000,000,000 x 72 numbers of noise and features x 4 bytes",
        ),
        (["--metrics", "fids"], "--metrics=fids is not known: did you mean fid?"),
        (["--metrics", "json:dumps"], "is of type function: it must be a wgan_jax."),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(run, arguments, part):
    code, error = in_process(evaluate, run, *arguments)
    assert code == 2
    assert part in error
    assert error.count("\n") == 1


def test_images_that_cannot_be_compared_are_refused(tmp_path, dataset):
    for name, array in (
        ("small", dataset.train[:20, :8]),
        ("few", dataset.train[:9]),
        ("floats", dataset.train[:20] / 1.0),
        ("good", dataset.train[:20]),
    ):
        np.savez(tmp_path / f"{name}.npz", images=array)
    (tmp_path / "bad.npz").write_text("no archive")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for size in (8, 16):
        Image.new("L", (size, size)).save(mixed / f"{size}.png")
    (tmp_path / "empty").mkdir()
    good = tmp_path / "good.npz"
    for name, part in (
        ("small.npz", "bring both to one size and number of channels"),
        ("few.npz", "has 9 images: give 10 or more"),
        ("floats.npz", "floats.npz cannot be used: its values are from 0 to 255"),
        ("bad.npz", "is not a readable .npz file"),
        ("mixed", "has images of different sizes, 16.png and 8.png"),
        ("empty", "has no image files"),
        ("nowhere", "is neither a folder of images nor an .npz file"),
    ):
        path = tmp_path / name
        code, error = in_process(evaluate, "--images", path, "--reference", good)
        assert (code, error.count("\n")) == (2, 1)
        assert f"--images {path}" in error
        assert part in error
    for more, part in (
        (["--reference", good, *CLASSIFIER], "needs labels and --reference"),
        ([], f"--images {good} needs --reference"),
        (["--reference", good, "--num", "9"], "--num applies to runs only"),
    ):
        code, error = in_process(evaluate, "--images", good, *more)
        assert (code, error.count("\n"), part in error) == (2, 1, True), error


# ------------------------------------------------------------------------- in training


def test_a_run_is_evaluated_during_training(run, dataset, extractor):
    lines = [r for r in records(run) if "classifier_frechet" in r]
    assert [r["step"] for r in lines] == [5, 10, 15]
    config, spec, _ = restore.restore_run(run)
    real = moments_of(extractor, dataset.train)
    for line in lines:
        weights = sampling.weights(restore.restore_run(run, line["step"])[2])
        batches = make_generated_batches(config, spec)(weights, SEED, 150)
        fake = np.concatenate(list(batches))
        expected = frechet.frechet_distance(moments_of(extractor, fake), real)
        assert line["classifier_frechet"] == pytest.approx(expected, rel=1e-3)


def test_the_best_state_is_saved_and_restored(run, tmp_path):
    lines = {r["step"]: r.get("classifier_frechet") for r in records(run)}
    step = min(lines, key=lines.get)
    best = json.loads((run / "best.json").read_text())
    assert best == {
        "step": step,
        "metric": "classifier_frechet",
        "value": lines[step],
    }
    best, same = (restore.restore_run(run, which)[2] for which in ("best", step))
    for a, b in zip(*map(jax.tree.leaves, (best.generator, same.generator))):
        np.testing.assert_array_equal(a, b)
    out = tmp_path / "best.npz"
    code, error = in_process(
        sample, run, "--checkpoint", "best", "--num", "4", "--out", out
    )
    assert (code, error) == (0, "")
    for more in (["--metrics", "fid", "prdc", "--num", "32"], ["--num", "16"]):
        measures = measured(
            run, *more, "--checkpoint", "best", classified="--metrics" in more
        )
        assert {measure["step"] for measure in measures.values()} == {step}


def test_a_worse_state_later_does_not_replace_the_best(run, tmp_path):
    states = [restore.restore_run(run, step)[2] for step in (5, 10, 15)]
    save_if_best(tmp_path, states[0], "fid", float("nan"))
    assert not any(tmp_path.iterdir())
    for state, value in zip(states, (3.0, 1.0, 2.0), strict=True):
        save_if_best(tmp_path, state, "fid", value)
    best = {"step": 10, "metric": "fid", "value": 1.0}
    assert json.loads((tmp_path / "best.json").read_text()) == best
    assert [p.name for p in (tmp_path / "checkpoints-best").iterdir()] == ["10"]
    # After a kill between the two files, the same step writes best.json again.
    (tmp_path / "best.json").unlink()
    save_if_best(tmp_path, states[1], "fid", 1.0)
    assert json.loads((tmp_path / "best.json").read_text()) == best


@pytest.mark.slow
def test_evaluation_does_not_affect_training_or_a_resumed_run(run, tmp_path):
    plain = tmp_path / "plain"
    average = ("--optimizer.ema-decay", "0.9", "--run.steps", "15")
    never = ("--run.evaluate-every", "0")
    trained(plain, *average, *never)
    stopped = trained(tmp_path / "stopped", *average[:2], "--run.steps", "10")
    trained(stopped, *average, "--extend")
    expected = final_arrays(run)
    for other in (plain, stopped):
        for name, array in final_arrays(other).items():
            np.testing.assert_array_equal(array, expected[name], name)
    assert json.loads((stopped / "best.json").read_text()) == json.loads(
        (run / "best.json").read_text()
    )
    assert not (plain / "best.json").exists()
    code, error = in_process(evaluate, plain, "--checkpoint", "best")
    assert (code, "has none (run.evaluate_every=0)" in error) == (2, True)


def test_the_training_rate_excludes_the_time_of_evaluation(monkeypatch):
    moments = iter((0.0, 10.0, 40.0, 50.0))
    clock = types.SimpleNamespace(perf_counter=lambda: next(moments))
    monkeypatch.setattr(loop, "time", clock)
    clock = loop.Clock(0)
    assert clock.exclude(lambda: {"fid": 3.0}) == {"fid": 3.0}
    # 20 steps in 50 s, less 30 s of evaluation.
    assert clock.rate(20) == 1


def test_a_state_that_is_not_finite_is_not_evaluated(tmp_path, monkeypatch):
    def measure(*_):
        raise AssertionError

    monkeypatch.setattr(BestCheckpoint, "measure", measure)
    out, rate = tmp_path / "run", ("--optimizer.critic-lr", "1e30")
    code, error = in_process(train, *TINY, *WATCHED, *rate, "--out", out)
    assert (code, "training diverged" in error) == (2, True), error


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--run.evaluate-every", "7"], "between chunks, and --run.chunk 1 has"),
        (["--run.evaluate-num", "1"], "run.evaluate_num=1 must be 2 or more"),
        (["--data.source", "8gaussians"], "run.evaluate_every=5 needs images"),
    ],
)
def test_a_configuration_that_cannot_be_evaluated_is_refused(tmp_path, arguments, part):
    out = tmp_path / "run"
    code, error = in_process(train, *TINY, *WATCHED, *arguments, "--out", out)
    assert (code, part in error, error.count("\n")) == (2, True, 1), error


def test_data_without_labels_leave_no_directory(tmp_path):
    path, out = tmp_path / "images.npz", tmp_path / "run"
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.integers(0, 256, (64, 16, 16, 1), np.uint8))
    source = ("--data.source", "npz", "--data.dir", path)
    code, error = in_process(train, *TINY, *WATCHED, *source, "--out", out)
    assert code == 2
    expected = f"run.evaluate_features=classifier needs labels and {path} has none"
    assert expected in error
    assert not out.exists()
