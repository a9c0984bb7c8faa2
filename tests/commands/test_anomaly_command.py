"""`python -m wgan_jax.anomaly` as users run it."""

import csv
import dataclasses
import json
from functools import partial

import jax
import numpy as np
import pytest
from helpers import in_process, python_m
from PIL import Image

from wgan_jax import anomaly
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.anogan import encoder
from wgan_jax.anogan import images as anomaly_data
from wgan_jax.anogan.images import load
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data.dataset import load_dataset
from wgan_jax.errors import UserError
from wgan_jax.runs import directory, restore, sampling
from wgan_jax.runs.checkpoint import Checkpoints

pytestmark = pytest.mark.usefixtures("restore_each_once")

ANOGAN = ("--method", "anogan", "--steps", "20", "--lr", "0.2")
ENCODER = ("--encoder-steps", "15")


CONFIG = Config(
    data=Data(classes=(1,), image_size=16, batch_size=8, heldout=32),
    model=Model(z_dim=8, features=2, generator_widths=(2, 1), critic_widths=(1, 2)),
    objective=Objective(constraint="penalty"),
    optimizer=Optimizer(ema_decay=0.5),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on the digit 1, as it is born: compiling its training would take long."""
    out = tmp_path_factory.mktemp("run") / "run"
    out.mkdir()
    directory.initialise(out, CONFIG)
    spec = make_spec(CONFIG, get_batch=None)
    state = jax.jit(partial(init_state, spec=spec))(jax.random.key(0))
    with Checkpoints(out / "checkpoints", max_to_keep=1) as checkpoints:
        checkpoints.save(dataclasses.replace(state, step=np.int32(5)))
        checkpoints.wait()
    return out


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """Six images that the generator makes, labelled 3, before six of noise, 7."""
    path = tmp_path_factory.mktemp("made") / "made.npz"
    config, spec, state = restore.restore_run(run)
    z = sampling.noise(5, 6, spec.z_dim)
    own = sampling.make_sampler(config, spec)(*sampling.weights(state), z)
    noise = np.random.default_rng(0).integers(0, 256, own.shape, np.uint8)
    np.savez(path, images=np.concatenate([own, noise]), labels=np.repeat([3, 7], 6))
    return path


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """The same images as files, in two folders, noise first."""
    out = tmp_path_factory.mktemp("folder")
    with np.load(made) as file:
        for i, image in enumerate(file["images"][..., 0]):
            path = out / ("b_own" if i < 6 else "a_noise") / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(path)
    return out


def told(run, out, *more):
    """(anomaly.json, the rows of scores.csv) of a command."""
    code, error = in_process(anomaly, run, "--out", out, *more)
    assert code == 0, error
    with (out / "scores.csv").open(newline="") as file:
        return json.loads((out / "anomaly.json").read_text()), list(
            csv.DictReader(file)
        )


def numbers(rows, column="score"):
    return np.array([float(row[column]) for row in rows])


def refused(*arguments):
    """The one sentence of a command that must fail."""
    code, error = in_process(anomaly, *arguments)
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


# ------------------------------------------------------------------------------ scores


@pytest.mark.slow
def test_anogan_separates_what_the_generator_makes_from_noise(run, made, tmp_path):
    source = ("--images", made, "--normal-class", "3")
    facts, rows = told(run, tmp_path / "a", *ANOGAN, *source)
    assert facts["auroc"] == facts["average_precision"] == 1.0
    assert (facts["normal"], facts["anomalous"], facts["images"]) == (6, 6, 12)
    assert (facts["step"], facts["steps"], facts["method"]) == (5, 20, "anogan")
    assert (facts["normal_class"], facts["labels"]) == ([3], None)
    assert facts["seconds_an_image"] > 0
    header = ["index", "score", "residual", "feature", "label", "anomalous"]
    assert list(rows[0]) == header
    assert [row["index"] for row in rows] == [str(i) for i in range(12)]
    assert [row["label"] + row["anomalous"] for row in rows] == ["30"] * 6 + ["71"] * 6
    parts = 0.9 * numbers(rows, "residual") + 0.1 * numbers(rows, "feature")
    np.testing.assert_allclose(numbers(rows), parts, rtol=1e-5)
    # Noise is about half of the range away from any smooth image.
    assert numbers(rows, "residual")[:6].max() < 0.1 < 0.4
    assert numbers(rows, "residual")[6:].min() > 0.4

    # Other classes normal turn the curve round; the same scores in another folder.
    turned, again = told(
        run, tmp_path / "b", *ANOGAN, "--images", made, "--normal-class", "7"
    )
    assert turned["auroc"] == 0.0
    assert [row["score"] for row in again] == [row["score"] for row in rows]
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        *("scores.csv", "anomaly.json", "sheet.png"),
        *("roc.png", "precision_recall.png"),
    }

    # Of a draw, each image keeps its number and, to rounding, its score.
    few, some = told(run, tmp_path / "a", *ANOGAN, *source, "--num", "5")
    assert few["images"] == 5
    places = [int(row["index"]) for row in some]
    assert places == sorted(set(places))
    np.testing.assert_allclose(numbers(some), numbers(rows)[places], rtol=1e-3)


def test_batches_and_their_filling_change_no_score(run, made, tmp_path):
    whole = told(run, tmp_path / "a", *ANOGAN, "--images", made)[1]
    parts = told(run, tmp_path / "b", *ANOGAN, "--images", made, "--batch", "5")[1]
    np.testing.assert_allclose(numbers(parts), numbers(whole), rtol=1e-3)


@pytest.mark.slow
def test_encoder_is_trained_once_for_the_same_options(run, tmp_path, capsys):
    first, rows = told(run, tmp_path, *ENCODER)
    # The digits 1 that were held out, and all of the other classes.
    assert (first["normal"], first["anomalous"]) == (32, 1797 - 182)
    assert [row["anomalous"] for row in rows] == ["0"] * 32 + ["1"] * 1615
    total = numbers(rows, "residual") + numbers(rows, "feature")
    np.testing.assert_allclose(numbers(rows), total, rtol=1e-5)

    kept = (tmp_path / "encoder.npz").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "_train", None)
        again = told(run, tmp_path, *ENCODER)[1]
    assert [row["score"] for row in again] == [row["score"] for row in rows]
    assert (tmp_path / "encoder.npz").read_bytes() == kept

    capsys.readouterr()
    longer = told(run, tmp_path, "--encoder-steps", "100")[1]
    assert "of another run or other options" in capsys.readouterr().out
    assert (tmp_path / "encoder.npz").read_bytes() != kept
    assert numbers(longer)[:32].mean() < numbers(rows)[:32].mean()

    (tmp_path / "encoder.npz").write_bytes(kept[:1000])
    restored = told(run, tmp_path, *ENCODER)[1]
    assert "cannot be read" in capsys.readouterr().out
    assert [row["score"] for row in restored] == [row["score"] for row in rows]


def test_files_have_names_and_their_own_labels(run, folder, tmp_path):
    names = [f"a_noise/{i}.png" for i in (10, 11, 6, 7, 8, 9)]
    names += [f"b_own/{i}.png" for i in range(6)]
    labels = tmp_path / "labels.csv"
    lines = [f"{name},{int(name[0] == 'a')}\n" for name in reversed(names)]
    labels.write_text("name,anomalous\n" + "".join(lines))
    source = ("--images", folder)
    facts, rows = told(run, tmp_path / "out", *ANOGAN, *source, "--labels", labels)
    assert [row["name"] for row in rows] == names
    assert {row["label"] for row in rows} == {""}
    assert [row["anomalous"] for row in rows] == ["1"] * 6 + ["0"] * 6
    assert facts["auroc"] == 1.0
    # Without labels there are scores alone, and no curve of earlier ones stays.
    facts, bare = told(run, tmp_path / "out", *ANOGAN, *source)
    assert [row["score"] for row in bare] == [row["score"] for row in rows]
    assert {row["anomalous"] for row in bare} == {""}
    assert (facts["auroc"], facts["normal"]) == (None, None)
    assert not (tmp_path / "out" / "roc.png").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_an_array_of_labels_stands_over_those_of_the_images(
    run, made, tmp_path, suffix
):
    path, values = tmp_path / f"truth{suffix}", np.arange(12) >= 6
    np.save(path, values) if suffix == ".npy" else np.savez(path, values.astype(int))
    more = ("--images", made, "--labels", path)
    assert told(run, tmp_path / "out", *ANOGAN, *more)[0]["auroc"] == 1.0


def test_one_kind_of_image_has_no_curve_but_scores(run, made, tmp_path, capsys):
    more = ("--images", made, "--normal-class", "3", "7")
    facts, rows = told(run, tmp_path / "out", *ANOGAN, *more)
    assert facts["auroc"] is None
    assert len(rows) == 12
    assert "no AUROC: all images are normal" in capsys.readouterr().out


def test_the_sheet_shows_the_extremes_beside_their_reconstructions(run, made, tmp_path):
    rows = told(run, tmp_path, *ANOGAN, "--images", made)[1]
    order = np.argsort(-numbers(rows), kind="stable")
    with np.load(made) as file, Image.open(tmp_path / "sheet.png") as opened:
        real, sheet = file["images"][..., 0], np.asarray(opened)
    side = 16 * 6 + 2
    height = 3 * side + 2
    assert sheet.shape == (2 * height + 8, 8 * side + 2, 3)

    def cell(block, row, column):
        top, left = block * (height + 8) + row * side + 2, column * side + 2
        return sheet[top : top + 96 : 6, left : left + 96 : 6]

    for block, which in ((0, order[:8]), (1, order[::-1][:8])):
        for column, i in enumerate(which):
            assert np.array_equal(cell(block, 0, column)[..., 1], real[i])
            off = np.abs(cell(block, 1, column)[..., 1] - real[i].astype(float)).mean()
            assert off / 127.5 == pytest.approx(
                float(rows[i]["residual"]), abs=1 / 127.5
            )
    heats = [cell(block, 2, 0).astype(float).mean() for block in (0, 1)]
    assert heats[0] > 2 * heats[1]


# ------------------------------------------------------------ images and their labels


def test_no_image_scored_was_trained_on(run):
    settings = restore.restore_run(run)[0].data
    shown = load(settings, "", (), "")
    trained = {image.tobytes() for image in load_dataset(settings).train}
    assert not trained & {image.tobytes() for image in shown.samples}
    assert set(shown.labels[shown.anomalous]) == {0, *range(2, 10)}
    assert set(shown.labels[~shown.anomalous]) == {1}


def test_a_run_on_all_classes_has_its_held_out_images_and_no_normal_ones():
    shown = load(Data(image_size=8, heldout=50), "", (), "")
    assert len(shown.samples) == 50
    assert shown.anomalous is None
    shown = load(Data(image_size=8, heldout=50), "", (0, 4), "")
    assert np.array_equal(shown.anomalous, ~np.isin(shown.labels, (0, 4)))


def test_a_test_split_is_scored_whole_and_a_named_split_as_the_run_has_it(monkeypatch):
    asked = []

    def load(settings, report):
        asked.append((settings.name, settings.split, settings.test_split))
        part = anomaly_data.Samples(np.zeros((4, 8, 8, 1), np.uint8), np.arange(4))
        return part, part.rows([0, 1, 3]) if settings.test_split else None

    monkeypatch.setitem(anomaly_data.sources.LOADERS, "tfds", load)
    settings = Data(source="tfds", name="mnist", test_split="test", heldout=1)
    settings = dataclasses.replace(settings, classes=(1,), batch_size=1)
    shown = anomaly_data.load(settings, "", (), "")
    assert shown.labels.tolist() == [0, 1, 3]
    assert shown.anomalous.tolist() == [True, False, True]
    shown = anomaly_data.load(settings, "other:valid", (2, 3), "")
    assert shown.anomalous.tolist() == [True, True, False, False]
    assert asked == [("mnist", "train", "test"), ("other", "valid", "")]


def test_an_unlabelled_source_has_no_truth_and_an_empty_one_is_refused(folder):
    settings = Data(image_size=8, classes=(1,), heldout=8)
    assert load(settings, str(folder), (), "").anomalous is None
    with pytest.raises(UserError, match=r"--normal-class 1 needs labels, which --im"):
        load(settings, str(folder), (1,), "")
    with pytest.raises(UserError, match=r"held out .* has no images to score"):
        load(Data(image_size=8, heldout=0), "", (), "")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must begin with the line name,anomalous; it has no line"),
        ("name,label\na.png,1\n", "it has name,label"),
        ("name,anomalous\na.png,1\n", "has no line for the image b.png"),
        ("name,anomalous\na.png,1\nb.png,2\n", "has '2' for the image b.png"),
        ("name,anomalous\na.png,1\nb.png,0\nc.png,0\n", "has a line for c.png"),
    ],
)
def test_labels_that_do_not_fit_a_folder_are_refused(tmp_path, text, part):
    images = tmp_path / "images"
    images.mkdir()
    for name in "ab":
        Image.new("L", (8, 8)).save(images / f"{name}.png")
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(Data(image_size=8), str(images), (), str(path))
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (np.zeros(3, int), "is int64[3]: it must be a 0 or 1 for each of the 12"),
        (np.zeros(12), "is float64[12]"),
        (np.full(12, 2), "has 2: it must be 0"),
    ],
)
def test_labels_that_do_not_fit_an_array_are_refused(made, tmp_path, values, part):
    path = tmp_path / "truth.npy"
    np.save(path, values)
    with pytest.raises(UserError) as error:
        load(Data(image_size=16), str(made), (), str(path))
    assert part in str(error.value)


# --------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--num", "-1"], "--num -1 must be 0 or more"),
        (["--batch", "0"], "--batch 0 must be 1 or more"),
        (["--seed", "-1"], "--seed -1 must be from 0 to"),
        (["--lr", "nan", *ANOGAN[:2]], "--lr nan must be a finite number"),
        (["--feature-weight", "2"], "--feature-weight 2.0 must be from 0 to 1"),
        (["--kappa", "-1"], "--kappa -1.0 must be a finite number of 0 or more"),
        (["--method", "ganomaly"], "--method"),
        (["--restarts", "5"], "--restarts 5 is of --method anogan, not of f-anogan"),
        ([*ANOGAN, "--kappa", "2"], "--kappa 2.0 is of --method f-anogan"),
        (["--normal-class", "1", "--labels", "x.npy"], "exclude each other"),
        (["--normal-class", "1", "12"], "has 12, a label that no image has"),
        (["--images", "nowhere"], "--images nowhere is no folder and no .npz file"),
        (["--labels", "x.csv"], "must end in .npy or .npz"),
        (["--labels", "x.npy"], "--labels x.npy is no file"),
        (["--labels", "README.npz"], "--labels README.npz is no file"),
        (["--checkpoint", "7"], "--checkpoint 7 is not saved"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(run, tmp_path, arguments, part):
    assert part in refused(run, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_images_that_cannot_be_read_are_told_by_the_name_of_the_option(run, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    error = refused(run, "--images", tmp_path)
    assert f"--images {tmp_path}: 1 of 1 image files cannot be read" in error
    assert error.endswith("; remove them\n")
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3)))
    assert "must be uint8 [n, height" in refused(run, "--images", tmp_path / "a.npz")
    (tmp_path / "a.npy").write_text("no array")
    labels = ("--labels", tmp_path / "a.npy")
    assert "it must hold one array" in refused(run, *labels)


def test_a_folder_that_holds_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    error = refused(run, "--out", tmp_path)
    assert f"--out {tmp_path} is not empty and holds no anomaly scores" in error
    assert "is a file: give a folder" in refused(run, "--out", tmp_path / "thesis.tex")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_on_points_is_refused(run):
    config, spec, state = restore.restore_run(run)
    changed = dataclasses.replace(config.data, source="8gaussians", classes=())
    points = dataclasses.replace(config, data=changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "restore_run", lambda *_: (points, spec, state))
        assert "is a run on points (data.source=8gaussians)" in refused(run)


def test_a_diverged_run_is_refused(run):
    config, spec, state = restore.restore_run(run)
    average = jax.tree.map(lambda a: a * np.nan, state.ema)
    broken = dataclasses.replace(state, ema=average)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "restore_run", lambda *_: (config, spec, broken))
        assert "has diverged: its weights of step 5" in refused(run)


def test_without_out_all_is_written_into_the_run(run, made):
    code, error = in_process(anomaly, run, *ANOGAN, "--images", made)
    assert code == 0, error
    assert (run / "anomaly" / "anogan" / "anomaly.json").exists()


def test_what_is_no_run_is_refused_by_the_real_command(tmp_path):
    done = python_m("anomaly", tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {tmp_path} is not a run directory: it has no config.json\n"
    )
