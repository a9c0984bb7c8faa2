"""`python -m wgan_jax.sample` as users run it."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TINY, in_process, python_m, records
from PIL import Image

from wgan_jax import anomaly, evaluate, sample, train
from wgan_jax.data.record import DataRecord
from wgan_jax.runs.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    # No square: height and width are never exchanged.
    size = ("--data.image-size", 16, 24)
    code, error = in_process(train, *TINY, *size, "--run.steps", "20", "--out", out)
    assert code == 0, error
    return out


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "run"
    tiny = "--model.features 8 --data.batch-size 16 --data.heldout 64 --run.steps 5"
    rhythm = "--run.chunk 5 --run.log-every 5 --run.sample-every 5"
    checkpoints = "--run.checkpoint-every 5 --optimizer.ema-decay 0"
    code, error = in_process(
        train,
        *f"--config configs/toy_8gaussians.py {tiny} {rhythm} {checkpoints}".split(),
        "--out",
        out,
    )
    assert code == 0, error
    return out


def draw(run, out, *more):
    code, error = in_process(sample, run, "--out", out, *more)
    assert code == 0, error


def arrays(path, name="images"):
    with np.load(path) as file:
        return file[name]


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def without_caption(picture, rows, columns):
    """The grid of 16x24 images above a caption, which may be wider."""
    height, width = 18 * rows + 2, 26 * columns + 2
    left = (picture.shape[1] - width) // 2
    return picture[:height, left : left + width]


def test_npz_contains_the_requested_number_of_uint8_images(run, tmp_path):
    draw(run, tmp_path / "a.npz", "--num", "300")
    images = arrays(tmp_path / "a.npz")
    assert images.shape == (300, 16, 24, 1)
    assert images.dtype == np.uint8
    assert len(np.unique(images.reshape(300, -1), axis=0)) == 300


def test_samples_depend_on_the_seed_only(run, tmp_path):
    draw(run, tmp_path / "a.npz", "--num", "8", "--seed", "3")
    draw(run, tmp_path / "b.npz", "--num", "8", "--seed", "3")
    draw(run, tmp_path / "c.npz", "--num", "8", "--seed", "4")
    a, b, c = (arrays(tmp_path / f"{n}.npz") for n in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_grid_and_a_folder_contain_the_images_of_the_array(run, tmp_path):
    for out in ("a.npz", "grid.png", "many"):
        draw(run, tmp_path / out, "--num", "12")
    images = arrays(tmp_path / "a.npz")
    grid = without_caption(pixels(tmp_path / "grid.png"), 3, 4)
    assert np.array_equal(grid[2:18, 28:52], images[1, ..., 0])
    files = sorted((tmp_path / "many").iterdir())
    assert [f.name for f in files] == [f"{i:02}.png" for i in range(12)]
    assert np.array_equal(pixels(files[7]), images[7, ..., 0])


def test_latents_of_an_array_reproduce_its_samples(run, tmp_path, capsys):
    draw(run, tmp_path / "a.npz", "--num", "5", "--truncation", "0.5")
    assert "weights, noise within 0.5: " in capsys.readouterr().out
    latents = arrays(tmp_path / "a.npz", "latents")
    assert (latents.shape, latents.dtype) == ((5, 8), np.float32)
    assert 0.3 < np.abs(latents).max() <= 0.5
    np.save(tmp_path / "z.npy", latents.astype(np.float64))
    for name in ("a.npz", "z.npy"):
        again = tmp_path / f"again-{name}.npz"
        draw(run, again, "--latents", tmp_path / name)
        for array in ("images", "latents"):
            np.testing.assert_array_equal(
                arrays(again, array), arrays(tmp_path / "a.npz", array)
            )


def test_latents_of_an_enlarged_grid_are_written_on_request(run, tmp_path):
    side = tmp_path / "z.npz"
    more = ("--num", "4", "--scale", "3", "--save-latents", side)
    draw(run, tmp_path / "grid.png", *more)
    draw(run, tmp_path / "a.npz", "--latents", side)
    images = arrays(tmp_path / "a.npz")
    picture = pixels(tmp_path / "grid.png")
    # Two images of 72 columns in a row, and a gap of 2 around each.
    left = (picture.shape[1] - (2 * 74 + 2)) // 2
    corner = picture[2:50, left + 76 : left + 148]
    expected = np.kron(images[1, ..., 0], np.ones((3, 3), np.uint8))
    np.testing.assert_array_equal(corner, expected)
    code, error = in_process(sample, run, *more, "--out", tmp_path / "other.png")
    assert (code, "--save-latents" in error, "already exists" in error) == (2, 1, 1)
    assert not (tmp_path / "other.png").exists()


GOOD = np.zeros((2, 8), np.float32)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"latents": GOOD[:, :5]}, "latents of shape [2, 5]: this run needs [n, 8]"),
        ({"latents": GOOD[:0]}, "latents of shape [0, 8]: this run needs [n, 8]"),
        ({"latents": GOOD.astype(int)}, "latents of int64: they must be float32"),
        ({"latents": GOOD + np.inf}, "latents that are not finite"),
        ({"noise": GOOD}, "has noise: it needs an array named latents"),
        ({"latents": GOOD, "labels": [0, 1]}, "labels and this run has none"),
        (b"PK", "is not an .npz or .npy file"),
        (None, "is not a file: name one that sample wrote"),
    ],
)
def test_latents_that_do_not_fit_get_one_sentence(run, tmp_path, content, part):
    path = tmp_path / "z.npz"
    if isinstance(content, dict):
        np.savez(path, **content)
    elif content:
        path.write_bytes(content)
    code, error = in_process(
        sample, run, "--latents", path, "--out", tmp_path / "a.npz"
    )
    assert code == 2
    assert error.startswith(f"error: --latents {path} ")
    assert part in error
    assert error.count("\n") == 1
    assert not (tmp_path / "a.npz").exists()


def test_interpolation_rows_move_smoothly(run, tmp_path):
    draw(run, tmp_path / "a.npz", "--num", "16", "--interpolate")
    rows = arrays(tmp_path / "a.npz").reshape(2, 8, -1).astype(float)
    steps = np.abs(np.diff(rows, axis=1)).mean((0, 2))
    ends = np.abs(rows[:, 0] - rows[:, -1]).mean()
    assert steps.max() < ends


def test_averaged_weights_are_the_default_and_raw_ones_an_option(run, tmp_path):
    for out, flags in (("a", []), ("b", ["--average"]), ("c", ["--raw"])):
        draw(run, tmp_path / f"{out}.npz", "--num", "4", *flags)
    default, averaged, raw = (arrays(tmp_path / f"{n}.npz") for n in "abc")
    assert np.array_equal(default, averaged)
    assert not np.array_equal(default, raw)


def test_an_older_checkpoint_gives_other_samples(run, tmp_path):
    draw(run, tmp_path / "new.npz", "--num", "4", "--raw")
    draw(run, tmp_path / "old.npz", "--num", "4", "--raw", "--checkpoint", "10")
    assert not np.array_equal(
        arrays(tmp_path / "new.npz"), arrays(tmp_path / "old.npz")
    )


def test_the_default_output_is_a_grid_in_the_run(run):
    code, error = in_process(sample, run, "--num", "4")
    assert code == 0, error
    picture = pixels(run / "samples.png")
    grid = without_caption(picture, 2, 2)
    assert grid[2:18, 2:18].std() > 0
    # The caption.
    assert picture.shape[0] > 38
    assert picture[38:].min() < 50


def test_points_are_drawn_over_real_ones_or_written_as_an_array(toy_run, tmp_path):
    draw(toy_run, tmp_path / "a.npz", "--num", "50")
    assert arrays(tmp_path / "a.npz", "points").shape == (50, 2)
    draw(toy_run, tmp_path / "a.png", "--num", "50")
    colours = set(map(tuple, pixels(tmp_path / "a.png").reshape(-1, 3).tolist()))
    assert {(255, 255, 255), (170, 170, 170), (200, 30, 30)} <= colours


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--num", "0"], "--num 0 must be 1 or more"),
        (["--num", "many"], "--num many cannot be read"),
        (["--checkpoint", "7"], "--checkpoint 7 is not saved"),
        (["--raw", "--average"], "cannot be combined"),
        (["--out", "grid.jpg"], "must end in .png or .npz"),
        (["--sed", "1"], "did you mean --seed?"),
        (["--truncation", "-1"], "--truncation -1 must be positive, as 0.7, or 0"),
        (["--truncation", "inf"], "--truncation inf must be positive"),
        (["--latents", "z.npz", "--seed", "0"], "--seed cannot be combined with --lat"),
        (["--scale", "0"], "--scale 0 must be from 1 to 64"),
        (["--scale", "2", "--out", "a.npz"], "--scale 2 applies to a grid of images"),
        (["--save-latents", "z.npy"], "--save-latents z.npy must end in .npz and"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(run, arguments, part):
    code, error = in_process(sample, run, *arguments)
    assert code == 2
    assert part in error
    assert error.count("\n") == 1


def test_average_of_a_run_without_one_is_refused(toy_run):
    code, error = in_process(sample, toy_run, "--average")
    assert (code, "has no averaged weights" in error) == (2, True)


def test_a_folder_per_point_is_refused(toy_run, tmp_path):
    code, error = in_process(sample, toy_run, "--out", tmp_path / "folder")
    assert (code, "points need a name that ends in .png or .npz" in error) == (2, True)


def test_a_folder_that_is_not_a_run_is_refused_by_the_real_command(tmp_path):
    done = python_m("sample", tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {tmp_path} is not a run directory: it has no config.json\n"
    )


# ----------------------------------------------------------------------------- classes


@pytest.fixture(scope="module")
def class_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("classes") / "run"
    nets = """--model.kind resnet --model.kernel 3 --model.classes 10
        --model.generator-widths 1 1 --model.critic-widths 1 1
        --model.critic-halvings 1 --model.norm-groups 2 --objective.n-critic 1
        --objective.generator-batch 16 --run.diagnostics --optimizer.generator-lr .05"""
    # Without the 2,500 critic updates of the warm-up, which take most of the time.
    tiny = [word for word in TINY if word != "--objective.warmup"]
    code, error = in_process(
        train, *tiny, *nets.split(), "--run.steps", "10", "--out", out
    )
    assert code == 0, error
    return out


@pytest.mark.slow
def test_a_run_with_classes_logs_the_metrics_of_its_classifier(class_run):
    last = records(class_run)[-1]
    assert 0 <= last["class_accuracy"] <= 1
    assert last["class_loss"] > 0
    assert last["generator_class_loss"] > 0
    assert (class_run / "samples" / "fixed-0000010.png").is_file()


@pytest.mark.slow
def test_samples_have_the_classes_of_their_labels(class_run, tmp_path):
    draw(class_run, tmp_path / "a.npz", "--num", "100")
    draw(class_run, tmp_path / "all.npz", "--num", "100", "--label", "1")
    images, labels = (arrays(tmp_path / "a.npz", name) for name in ("images", "labels"))
    # The digits are nearly balanced.
    assert np.abs(np.bincount(labels) - 10).max() <= 1
    same = arrays(tmp_path / "all.npz")
    ones = labels == 1
    np.testing.assert_array_equal(images[ones], same[ones])
    assert (images[~ones] != same[~ones]).any((1, 2, 3)).all()


@pytest.fixture
def shaded(run, monkeypatch):
    """A run whose generator draws class c in grey level 100 c; labels 1, 3 and 7."""
    config, spec, state = sample.restore_run(run)

    def apply(params, stats, z, train, labels):
        grey = 100 / 127.5 * labels - 1
        return jnp.broadcast_to(grey[:, None, None, None], (len(z), 16, 24, 1)), stats

    generator = dataclasses.replace(spec.generator, apply=apply)
    shares = (0.25, 0.5, 0.25)
    spec = dataclasses.replace(
        spec, generator=generator, classes=3, label_shares=shares
    )
    monkeypatch.setattr(sample, "restore_run", lambda *_: (config, spec, state))
    record = DataRecord(labels=(1, 3, 7), label_shares=shares)
    monkeypatch.setattr(sample, "read_data_record", lambda _: record)
    return run


def test_an_array_has_the_shares_and_the_labels_of_the_data(shaded, tmp_path):
    draw(shaded, tmp_path / "a.npz", "--num", "40")
    images, labels = (arrays(tmp_path / "a.npz", name) for name in ("images", "labels"))
    assert [(labels == label).sum() for label in (1, 3, 7)] == [10, 20, 10]
    np.testing.assert_array_equal(
        images[:, 0, 0, 0], (labels > 1) * 100 * (labels // 3)
    )
    draw(shaded, tmp_path / "many", "--num", "8")
    levels = sorted(pixels(f)[0, 0] for f in (tmp_path / "many").iterdir())
    assert levels == [0, 0, 100, 100, 100, 100, 200, 200]


def test_labels_are_those_of_the_latents(shaded, tmp_path):
    draw(shaded, tmp_path / "a.npz", "--num", "9")
    draw(shaded, tmp_path / "b.npz", "--latents", tmp_path / "a.npz")
    for name in ("images", "labels", "latents"):
        np.testing.assert_array_equal(
            arrays(tmp_path / "a.npz", name), arrays(tmp_path / "b.npz", name)
        )
    for labels, part in (
        ([7, 1, 2], "has label 2, and this run has 1, 3, 7"),
        (
            [7, 1],
            "labels of int64 and shape [2]: they must be whole numbers of shape [3",
        ),
        ([7.0, 1, 3], "labels of float64 and shape [3]"),
    ):
        np.savez(tmp_path / "c.npz", latents=np.zeros((3, 8)), labels=labels)
        code, error = in_process(sample, shaded, "--latents", tmp_path / "c.npz")
        assert code == 2
        assert part in error
    code, error = in_process(
        sample, shaded, "--latents", tmp_path / "a.npz", "--label", "1"
    )
    assert (code, "cannot be combined with the labels in --latents" in error) == (2, 1)


def test_a_grid_and_an_interpolation_show_the_classes_in_turn(shaded, tmp_path):
    draw(shaded, tmp_path / "a.png", "--num", "4")
    grid = without_caption(pixels(tmp_path / "a.png"), 2, 2)
    assert grid[3::18, 3::26].ravel().tolist()[:4] == [0, 100, 200, 0]
    draw(shaded, tmp_path / "a.npz", "--num", "16", "--interpolate")
    assert arrays(tmp_path / "a.npz", "labels").tolist() == [1] * 8 + [3] * 8


def test_a_label_is_one_of_the_data(shaded, tmp_path):
    draw(shaded, tmp_path / "a.npz", "--num", "5", "--label", "7")
    assert arrays(tmp_path / "a.npz", "labels").tolist() == [7] * 5
    assert (arrays(tmp_path / "a.npz") == 200).all()
    for label in ("0", "2", "-2"):
        code, error = in_process(sample, shaded, "--label", label)
        assert code == 2
        assert error == (
            f"error: --label {label} is not a label of {shaded}, which has 1, 3, 7: "
            "omit --label, or give one of them\n"
        )


def test_a_label_may_be_given_by_its_name(shaded, tmp_path, monkeypatch):
    record = sample.read_data_record(shaded)
    named = dataclasses.replace(record, label_names=("ant", "bee", "3"))
    monkeypatch.setattr(sample, "read_data_record", lambda _: named)
    # A name comes before a number.
    for name, label in (("bee", 3), ("1", 1), ("3", 7)):
        draw(shaded, tmp_path / f"{name}.npz", "--num", "2", "--label", name)
        assert arrays(tmp_path / f"{name}.npz", "labels").tolist() == [label] * 2
    code, error = in_process(sample, shaded, "--label", "be")
    assert code == 2
    assert "--label be is not a label of" in error
    assert "which has ant, bee, 3: omit" in error


def test_a_label_for_a_run_without_classes_is_refused(run):
    code, error = in_process(sample, run, "--label", "1")
    assert code == 2
    assert "which has none: omit --label" in error


def test_weights_that_are_not_finite_are_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    *_, state = sample.restore_run(copy)
    nans = jax.tree.map(lambda a: a * np.nan, state.critic.params)
    critic = dataclasses.replace(state.critic, params=nans)
    with Checkpoints(copy / "checkpoints", 9) as checkpoints:
        step = jnp.int32(30)
        checkpoints.save(dataclasses.replace(state, step=step, critic=critic))
        checkpoints.wait()
    code, error = in_process(sample, copy)
    assert (code, error) == (
        2,
        f"error: {copy} has diverged: its weights of step 30 are not all finite; take "
        "an earlier checkpoint with --checkpoint\n",
    )


def test_what_out_names_is_replaced_with_overwrite_only(run, tmp_path):
    folder = tmp_path / "many"
    draw(run, folder, "--num", "12")
    code, error = in_process(sample, run, "--out", folder, "--num", "3")
    assert code == 2
    assert error == (
        f"error: --out {folder} is not empty: give another place, or add --overwrite "
        "to replace it\n"
    )
    # Samples of the first command do not remain among those of the second.
    draw(run, folder, "--num", "3", "--overwrite")
    assert sorted(p.name for p in folder.iterdir()) == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            ("--model.classes", "9"),
            "model.classes=9 is too few: the training images have 10 different labels; "
            "take model.classes=10",
        ),
        (
            ("--model.classes", "9", "--data.source", "folder"),
            "model.classes=9 needs labels, and data.source=folder has none here",
        ),
    ],
)
def test_classes_that_the_data_lacks_are_refused(tmp_path, more, expected):
    for i in range(40):
        Image.new("L", (16, 16), i).save(tmp_path / f"{i}.png")
    nets = ("--model.kind", "resnet", "--model.kernel", 3, "--model.critic-halvings", 1)
    place = ("--out", tmp_path / "run")
    if "folder" in more:
        place += ("--data.dir", tmp_path)
    code, error = in_process(train, *TINY, *nets, *place, *more)
    assert code == 2
    assert expected in error


@pytest.mark.slow
def test_a_run_of_classes_is_evaluated_and_scores_no_anomalies(class_run):
    few = ("--num", "20", "--repeats", "2")
    code, error = in_process(evaluate, class_run, *few)
    assert code == 0, error
    more = ("--metrics", "fid", "--features", "classifier", "--batch-stats")
    code, error = in_process(evaluate, class_run, *few, *more)
    assert code == 0, error
    code, error = in_process(anomaly, class_run)
    assert code == 2
    assert "is conditioned on labels (model.classes=10)" in error
