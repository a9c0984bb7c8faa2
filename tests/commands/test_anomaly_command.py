"""The command `python -m wgan_jax.anomaly`."""

import csv
import dataclasses
import json
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers import in_process, python_m
from PIL import Image

from wgan_jax import anomaly
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.anogan import encoder, mvtec
from wgan_jax.anogan import images as anogan_images
from wgan_jax.anogan.images import load_calibration, load_images, take_calibration
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data.content import digests
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.errors import UserError
from wgan_jax.runs import directory, restore, sampling
from wgan_jax.runs.checkpoint import Checkpoints

pytestmark = pytest.mark.usefixtures("restore_each_once")

ANOGAN = ("--method", "anogan", "--steps", "20", "--lr", "0.2", "--restarts", "1")
ANOGAN += ("--false-alarm-rate", "0.1", "--calibration-num", "12")
ENCODER = ("--encoder-steps", "15")


CONFIG = Config(
    data=Data(classes=(1,), image_size=16, batch_size=8, heldout=80),
    model=Model(z_dim=8, features=2, generator_widths=(2, 1), critic_widths=(1, 2)),
    objective=Objective(constraint="penalty"),
    optimizer=Optimizer(ema_decay=0.5),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run on the digit 1: compiling its training takes long."""
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
    """Six generated images with label 3, then six of noise with label 7."""
    path = tmp_path_factory.mktemp("made") / "made.npz"
    config, spec, state = restore.restore_run(run)
    z = sampling.noise(5, 6, spec.z_dim)
    fake = sampling.make_sampler(config, spec)(*sampling.weights(state), z)
    noise = np.random.default_rng(0).integers(0, 256, fake.shape, np.uint8)
    np.savez(path, images=np.concatenate([fake, noise]), labels=np.repeat([3, 7], 6))
    return path


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """The same images as files in two folders, noise first."""
    out = tmp_path_factory.mktemp("folder")
    with np.load(made) as file:
        for i, image in enumerate(file["images"][..., 0]):
            path = out / ("b_own" if i < 6 else "a_noise") / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(path)
    return out


def scored(run, out, *more):
    """(anomaly.json, the rows of scores.csv) of a command."""
    code, error = in_process(anomaly, run, "--out", out, "--overwrite", *more)
    assert code == 0, error
    with (out / "scores.csv").open(newline="") as file:
        return json.loads((out / "anomaly.json").read_text()), list(
            csv.DictReader(file)
        )


def numbers(rows, column="score"):
    return np.array([float(row[column]) for row in rows])


def refused(*arguments):
    """The one-sentence error of a command that must fail."""
    code, error = in_process(anomaly, *arguments)
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


# ------------------------------------------------------------------------------ scores


@pytest.mark.slow
def test_anogan_separates_generated_images_from_noise(run, made, tmp_path):
    source = ("--images", made, "--normal-class", "3")
    facts, rows = scored(run, tmp_path / "a", *ANOGAN, *source)
    assert facts["auroc"] == facts["average_precision"] == 1.0
    assert (facts["normal"], facts["anomalous"], facts["images"]) == (6, 6, 12)
    assert (facts["step"], facts["steps"], facts["method"]) == (5, 20, "anogan")
    assert (facts["normal_class"], facts["labels"]) == (["3"], None)
    assert facts["seconds_per_image"] > 0
    header = ["index", "score", "threshold", "p_value", "verdict", "residual"]
    assert list(rows[0]) == [*header, "feature", "label", "anomalous"]
    assert [row["index"] for row in rows] == [str(i) for i in range(12)]
    assert [row["label"] + row["anomalous"] for row in rows] == ["30"] * 6 + ["71"] * 6
    parts = 0.9 * numbers(rows, "residual") + 0.1 * numbers(rows, "feature")
    np.testing.assert_allclose(numbers(rows), parts, rtol=1e-5)
    # Noise differs from any smooth image by about half of the range.
    assert numbers(rows, "residual")[:6].max() < 0.1 < 0.4
    assert numbers(rows, "residual")[6:].min() > 0.4

    # With the other class normal the curve is reversed; the scores are the same.
    turned, again = scored(
        run, tmp_path / "b", *ANOGAN, "--images", made, "--normal-class", "7"
    )
    assert turned["auroc"] == 0.0
    assert [row["score"] for row in again] == [row["score"] for row in rows]
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        "scores.csv",
        "anomaly.json",
        "grid.png",
        "roc.png",
        "precision_recall.png",
    }

    # In a random draw each image has the same index and, to rounding, the same score.
    few, some = scored(run, tmp_path / "a", *ANOGAN, *source, "--num", "5")
    assert few["images"] == 5
    indices = [int(row["index"]) for row in some]
    assert indices == sorted(set(indices))
    np.testing.assert_allclose(numbers(some), numbers(rows)[indices], rtol=1e-3)


def test_batch_size_and_padding_do_not_affect_scores(run, made, tmp_path):
    whole = scored(run, tmp_path / "a", *ANOGAN, "--images", made)[1]
    parts = scored(run, tmp_path / "b", *ANOGAN, "--images", made, "--batch", "5")[1]
    np.testing.assert_allclose(numbers(parts), numbers(whole), rtol=1e-3)


@pytest.mark.slow
def test_encoder_is_trained_once_for_the_same_options(run, tmp_path, capsys):
    first, rows = scored(run, tmp_path, *ENCODER)
    # Half of the held-out digits 1, and all images of the other classes.
    assert (first["normal"], first["anomalous"]) == (40, 1797 - 182)
    assert [row["anomalous"] for row in rows] == ["0"] * 40 + ["1"] * 1615
    total = numbers(rows, "residual") + numbers(rows, "feature")
    np.testing.assert_allclose(numbers(rows), total, rtol=1e-5)

    saved = (tmp_path / "encoder.npz").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "_train", None)
        again = scored(run, tmp_path, *ENCODER)[1]
    assert [row["score"] for row in again] == [row["score"] for row in rows]
    assert (tmp_path / "encoder.npz").read_bytes() == saved

    capsys.readouterr()
    longer = scored(run, tmp_path, "--encoder-steps", "100")[1]
    assert "of another run or other options" in capsys.readouterr().out
    assert (tmp_path / "encoder.npz").read_bytes() != saved
    assert numbers(longer)[:40].mean() < numbers(rows)[:40].mean()

    (tmp_path / "encoder.npz").write_bytes(saved[:1000])
    restored = scored(run, tmp_path, *ENCODER)[1]
    assert "cannot be read" in capsys.readouterr().out
    assert [row["score"] for row in restored] == [row["score"] for row in rows]


@pytest.mark.parametrize(
    "damage",
    [
        lambda a: {},
        lambda a: {"0": a["0"] * np.nan},
        lambda a: {"0": a["0"][..., :1]},
        lambda a: {"facts": np.array("{")},
    ],
)
def test_a_damaged_encoder_is_reported(damage, tmp_path, capsys):
    params = {"w": np.ones((2, 3), np.float32)}
    arrays = {"facts": np.array('{"seed": 1}'), "0": params["w"]}
    path = tmp_path / "encoder.npz"
    np.savez(path, **arrays)
    saved = encoder._read(path, {"seed": 1}, params)
    np.testing.assert_array_equal(saved["w"], params["w"])
    assert encoder._read(path, {"seed": 2}, params) is None
    assert "is of another run or other options" in capsys.readouterr().out
    np.savez(path, **(arrays | damage(arrays)))
    if not damage(arrays):
        path.write_bytes(path.read_bytes()[:-40])
    assert encoder._read(path, {"seed": 1}, params) is None
    said = capsys.readouterr().out
    assert said.startswith(f"warning: {path} cannot be read (")
    assert said.endswith("): the encoder is trained again\n")
    assert said.count("\n") == 1


def test_images_of_a_folder_have_names_and_a_file_of_labels(run, folder, tmp_path):
    names = [f"a_noise/{i}.png" for i in (10, 11, 6, 7, 8, 9)]
    names += [f"b_own/{i}.png" for i in range(6)]
    labels = tmp_path / "labels.csv"
    lines = [f"{name},{int(name[0] == 'a')}\n" for name in reversed(names)]
    labels.write_text("name,anomalous\n" + "".join(lines))
    source = ("--images", folder)
    facts, rows = scored(run, tmp_path / "out", *ANOGAN, *source, "--labels", labels)
    assert [row["name"] for row in rows] == names
    assert [row["label"] for row in rows] == ["a_noise"] * 6 + ["b_own"] * 6
    assert [row["anomalous"] for row in rows] == ["1"] * 6 + ["0"] * 6
    assert facts["auroc"] == 1.0
    # Without labels there are scores only, and earlier curves are removed.
    facts, bare = scored(run, tmp_path / "out", *ANOGAN, *source)
    assert [row["score"] for row in bare] == [row["score"] for row in rows]
    assert {row["anomalous"] for row in bare} == {""}
    assert (facts["auroc"], facts["normal"]) == (None, None)
    assert not (tmp_path / "out" / "roc.png").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_an_array_of_labels_overrides_those_of_the_images(run, made, tmp_path, suffix):
    path, values = tmp_path / f"truth{suffix}", np.arange(12) >= 6
    np.save(path, values) if suffix == ".npy" else np.savez(path, values.astype(int))
    more = ("--images", made, "--labels", path)
    assert scored(run, tmp_path / "out", *ANOGAN, *more)[0]["auroc"] == 1.0


def test_images_of_one_kind_have_scores_and_no_curve(run, made, tmp_path, capsys):
    more = ("--images", made, "--normal-class", "3", "7")
    facts, rows = scored(run, tmp_path / "out", *ANOGAN, *more)
    assert facts["auroc"] is None
    assert len(rows) == 12
    assert "no AUROC: all images are normal" in capsys.readouterr().out


def test_the_grid_shows_the_extremes_and_their_reconstructions(run, made, tmp_path):
    rows = scored(run, tmp_path, *ANOGAN, "--images", made)[1]
    order = np.argsort(-numbers(rows), kind="stable")
    with np.load(made) as file, Image.open(tmp_path / "grid.png") as opened:
        real, grid = file["images"][..., 0], np.asarray(opened)
    side = 16 * 6 + 2
    height = 3 * side + 2
    assert grid.shape == (2 * height + 8, 8 * side + 2, 3)

    def cell(block, row, column):
        top, left = block * (height + 8) + row * side + 2, column * side + 2
        return grid[top : top + 96 : 6, left : left + 96 : 6]

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


def test_no_scored_image_is_a_training_image(run):
    data_config = restore.restore_run(run)[0].data
    shown = load_images(data_config, "", (), "")
    trained = {image.tobytes() for image in load_in_memory(data_config).train}
    assert not trained & {image.tobytes() for image in shown.samples}
    assert set(shown.labels[shown.anomalous]) == {0, *range(2, 10)}
    assert set(shown.labels[~shown.anomalous]) == {1}


def test_a_run_on_all_classes_scores_held_out_images_without_truth():
    shown = load_images(Data(image_size=8, heldout=50), "", (), "")
    assert len(shown.samples) == 50
    assert shown.anomalous is None
    shown = load_images(Data(image_size=8, heldout=50), "", ("0", "4"), "")
    assert np.array_equal(shown.anomalous, ~np.isin(shown.labels, (0, 4)))


def test_a_test_split_or_a_named_split_is_scored_whole(monkeypatch):
    part = anogan_images.Samples(np.zeros((4, 8, 8, 1), np.uint8), np.arange(4))
    splits = []

    def open_reader(data_config):
        splits.append((data_config.name, data_config.split, data_config.test_split))
        return SimpleNamespace(samples=part, test_reader=lambda: test)

    test = SimpleNamespace(samples=part.rows([0, 1, 3]))
    monkeypatch.setattr(anogan_images, "open_reader", open_reader)
    monkeypatch.setattr(anogan_images, "load_samples", lambda reader: reader.samples)
    monkeypatch.setattr(
        anogan_images, "load_cached", lambda reader: (reader.samples, [])
    )
    data_config = Data(source="tfds", name="mnist", test_split="test", heldout=1)
    data_config = dataclasses.replace(data_config, classes=(1,), batch_size=1)
    shown = load_images(data_config, "", (), "", load_run=lambda: None)
    assert shown.labels.tolist() == [0, 1, 3]
    assert shown.anomalous.tolist() == [True, False, True]
    shown = load_images(data_config, "other:valid", ("2", "3"), "")
    assert shown.anomalous.tolist() == [True, True, False, False]
    assert splits == [("mnist", "train", "test"), ("other", "valid", "")]


def test_other_images_take_only_the_look_of_pixels_from_the_run(tmp_path):
    white = np.full((3, 8, 8), 255, np.uint8)
    np.savez(tmp_path / "other.npz", images=white)
    of_run = Data(
        source="npz",
        dir="gone.npz",
        array="train_images",
        test_split="test_images",
        classes=(7,),
        skip_corrupt=True,
        image_size=4,
    )
    shown = load_images(of_run, str(tmp_path / "other.npz"), (), "")
    np.testing.assert_array_equal(shown.samples, white[:, :4, :4, None])
    assert shown.anomalous is None


def test_a_source_may_lack_labels_but_not_images(folder):
    data_config = Data(image_size=8, classes=(1,), heldout=8)
    assert load_images(data_config, str(folder), (), "").anomalous is None
    # The numbers of folders of classes are not those of the run: names are needed.
    shown = load_images(data_config, str(folder), ("b_own",), "")
    assert shown.anomalous.tolist() == [True] * 6 + [False] * 6
    with pytest.raises(UserError, match=r"includes c, .* to 1 \(a_noise, b_own\)"):
        load_images(data_config, str(folder), ("c",), "")
    with pytest.raises(UserError, match=r"--normal-class 1 needs labels and --im"):
        load_images(data_config, f"{folder}/b_own", ("1",), "")
    with pytest.raises(UserError, match=r"held-out set .* has no images to score"):
        load_images(Data(image_size=8, heldout=0), "", (), "")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must start with the line name,anomalous; it starts with no line"),
        ("name,label\na.png,1\n", "it starts with name,label"),
        ("name,anomalous\na.png,1\n", "has no line for the image b.png"),
        ("name,anomalous\na.png,1\nb.png,2\n", "has '2' for the image b.png"),
        ("name,anomalous\na.png,1\nb.png,0\nc.png,0\n", "has a line for c.png"),
    ],
)
def test_labels_that_do_not_match_a_folder_are_refused(tmp_path, text, part):
    images = tmp_path / "images"
    images.mkdir()
    for name in "ab":
        Image.new("L", (8, 8)).save(images / f"{name}.png")
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_images(Data(image_size=8), str(images), (), str(path))
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (np.zeros(3, int), "is int64[3]: it must be a 0 or 1 for each of the 12"),
        (np.zeros(12), "is float64[12]"),
        (np.full(12, 2), "has 2: it must be 0"),
    ],
)
def test_labels_that_do_not_match_an_array_are_refused(made, tmp_path, values, part):
    path = tmp_path / "truth.npy"
    np.save(path, values)
    with pytest.raises(UserError) as error:
        load_images(Data(image_size=16), str(made), (), str(path))
    assert part in str(error.value)


# -------------------------------------------------------- calibration and MVTec folders


def test_calibration_images_are_untrained_normal_and_not_scored(run):
    data_config = restore.restore_run(run)[0].data
    dataset = load_in_memory(data_config)
    trained = dataset.record.contents[: dataset.record.train]
    shown = load_images(data_config, "", (), "")
    scored, normal = take_calibration(shown, trained, 500, seed=0)
    assert len(normal.samples) == 40
    assert len(scored.samples) == len(shown.samples) - 40
    assert not normal.anomalous.any()
    kept, used = (set(part.indices.tolist()) for part in (scored, normal))
    assert not kept & used
    held_out = {image.tobytes() for image in dataset.heldout}
    assert {image.tobytes() for image in normal.samples} <= held_out
    again = take_calibration(shown, trained, 500, seed=0)[1]
    assert again.indices.tolist() == normal.indices.tolist()
    other = take_calibration(shown, trained, 500, seed=1)[1]
    assert other.indices.tolist() != normal.indices.tolist()
    # An image that was trained on does not calibrate, wherever it comes from.
    few = take_calibration(shown, digests(dataset.heldout[:70]), 500, seed=0)[1]
    assert len(few.samples) == 5


def test_copies_of_a_calibration_image_are_not_scored():
    samples = np.arange(8, dtype=np.uint8).repeat(2).reshape(16, 1, 1, 1)
    shown = anogan_images.Images(samples, np.arange(16))
    scored, normal = take_calibration(shown, np.zeros(0, np.uint64), 3, seed=0)
    assert len(normal.samples) == 3
    assert not set(scored.samples.ravel()) & set(normal.samples.ravel())


def test_held_out_images_of_the_normal_class_calibrate_other_images():
    data_config = Data(image_size=8, heldout=50)
    dataset = load_in_memory(data_config)
    none = anogan_images.Images(dataset.heldout[:0], np.arange(0))
    trained = dataset.record.contents[: dataset.record.train]

    def calibrating(shown, normal_class, source="", num=500):
        arguments = (normal_class, lambda: dataset, trained, num, 0)
        return load_calibration(data_config, source, shown, *arguments).samples

    assert len(calibrating(none, ())) == 50
    assert len(calibrating(none, (), num=7)) == 7
    fours = dataset.heldout[dataset.heldout_labels == 4]
    assert 0 < len(fours) < 20
    np.testing.assert_array_equal(
        np.sort(calibrating(none, ("4",)), 0), np.sort(fours, 0)
    )
    # Labels of other images say nothing about the held-out ones.
    assert len(calibrating(none, ("4", "77"))) == 50
    shown = anogan_images.Images(dataset.heldout[:20], np.arange(20))
    assert len(calibrating(shown, ())) == 30


def test_a_calibration_image_that_was_trained_on_is_refused(tmp_path):
    data_config = Data(image_size=8, heldout=50)
    dataset = load_in_memory(data_config)
    path = tmp_path / "normal.npz"
    np.savez(path, images=np.concatenate([dataset.train[:3], dataset.heldout]))
    none = anogan_images.Images(dataset.heldout[:0], np.arange(0))
    trained = dataset.record.contents[: dataset.record.train]
    with pytest.raises(UserError, match="has 3 of 53 images that the run was trained"):
        load_calibration(data_config, str(path), none, (), None, trained, 500, 0)


@pytest.fixture(scope="module")
def layout(made, tmp_path_factory):
    """A folder in the layout of MVTec AD: generated images, two kinds of defects."""
    root = tmp_path_factory.mktemp("layout")
    with np.load(made) as file:
        images = file["images"][..., 0]
    changed = images[:3].copy()
    changed[:, 4:8, 4:8] = 255 - changed[:, 4:8, 4:8]
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    for folder, pixels in (
        ("train/good", images[:1]),
        ("test/good", images[:6]),
        ("test/block", changed),
        ("test/noise", images[6:9]),
    ):
        (root / folder).mkdir(parents=True)
        for i, image in enumerate(pixels):
            Image.fromarray(image).save(root / folder / f"{i}.png")
    (root / "ground_truth/block").mkdir(parents=True)
    for i in (0, 1):
        Image.fromarray(mask).save(root / f"ground_truth/block/{i}_mask.png")
    return root


def test_a_folder_in_the_layout_of_mvtec_has_its_truth(run, layout, tmp_path, capsys):
    heat = tmp_path / "heat"
    more = ("--images", layout, "--heat-maps", heat)
    facts, rows = scored(run, tmp_path / "out", *ANOGAN, *more)
    said = capsys.readouterr().out
    names = [f"block/{i}.png" for i in range(3)] + [f"good/{i}.png" for i in range(6)]
    assert [row["name"] for row in rows] == [*names, *(f"noise/{i}.png" for i in "012")]
    assert [row["label"] for row in rows] == ["block"] * 3 + ["good"] * 6 + [
        "noise"
    ] * 3
    assert [row["anomalous"] for row in rows] == ["1"] * 3 + ["0"] * 6 + ["1"] * 3
    assert set(facts["defects"]) == {"block", "noise"}
    block = facts["defects"]["block"]
    assert (block["images"], block["auroc"]) == (3, 1.0)
    assert facts["images_with_masks"] == 2
    assert facts["defects"]["noise"]["pixel_auroc"] is None
    assert 0.95 < block["pixel_auroc"] == facts["pixel_auroc"] <= 1
    assert "pixel AUROC" in said
    # Verdict, threshold and p-value agree in each row, and with the totals.
    for row in rows:
        above = float(row["score"]) > facts["threshold"]
        assert (row["verdict"] == "anomalous") is above
        assert (float(row["p_value"]) <= facts["false_alarm_rate"]) is above
    alarms = [row["verdict"] == "anomalous" for row in rows]
    assert facts["false_alarms"] == sum(alarms[3:9])
    assert facts["detected"] == sum(alarms) - facts["false_alarms"]
    assert facts["calibration_images"] == 12

    found = {path.relative_to(heat).as_posix() for path in heat.rglob("*.png")}
    assert found == {row["name"] for row in rows}
    with Image.open(heat / "block/0.png") as opened:
        picture = np.asarray(opened)
    left = (picture.shape[1] - (3 * 98 + 2)) // 2
    cell = picture[2:98, left + 2 : left + 98]
    with Image.open(layout / "test/block/0.png") as opened:
        original = np.asarray(opened)
    # The outline of the mask is drawn just outside of it.
    assert (cell[23, 30] == (0, 200, 0)).all()
    np.testing.assert_array_equal(cell[24:48:6, 24:48:6, 0], original[4:8, 4:8])
    assert "--heat-maps" in refused(run, *ANOGAN, *more)


def test_mistakes_in_a_layout_of_mvtec_are_refused(layout, tmp_path):
    data_config, root = Data(image_size=16), str(layout)
    with pytest.raises(UserError, match=r"--normal-class 1 cannot be combined"):
        load_images(data_config, root, ("1",), "")
    with pytest.raises(UserError, match=r"--labels x.csv cannot be combined"):
        load_images(data_config, root, (), "x.csv")
    with pytest.raises(UserError, match=r"test/a.png is in no folder: move it"):
        mvtec.defects(["good/0.png", "a.png"])
    for path, size in (("test/a/0.png", 16), ("ground_truth/a/0_mask.png", 8)):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("L", (size, size)).save(tmp_path / path)
    with pytest.raises(UserError, match=r"has 8x8 pixels and its image 16x16"):
        mvtec.read_masks(tmp_path, ["a/0.png"], data_config)


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
        (["--restarts", "5"], "--restarts 5 applies to --method anogan only"),
        (["--false-alarm-rate", "1"], "--false-alarm-rate 1.0 must be 0 or more and"),
        (["--false-alarm-rate", "nan"], "--false-alarm-rate nan must be 0 or more and"),
        (
            ["--false-alarm-rate", "0.01"],
            "--false-alarm-rate 0.01 needs 99 normal images or more to calibrate on, ",
        ),
        (["--calibration", "x", "--false-alarm-rate", "0"], "needs a threshold"),
        (["--calibration", "nowhere", "--images", "."], "--calibration nowhere is nei"),
        (["--calibration-num", "0"], "--calibration-num 0 must be 1 or more"),
        (["--heat-maps", "."], "--heat-maps . is not empty: give another place"),
        ([*ANOGAN, "--kappa", "2"], "--kappa 2.0 applies to --method f-anogan only"),
        (["--normal-class", "1", "--labels", "x.npy"], "cannot be combined"),
        (["--normal-class", "1", "12"], "includes 12, which is not the label of any"),
        (["--images", "nowhere"], "--images nowhere is neither a folder nor an"),
        (["--labels", "x.csv"], "must end in .npy or .npz"),
        (["--labels", "x.npy"], "--labels x.npy is not a file"),
        (["--labels", "README.npz"], "--labels README.npz is not a file"),
        (["--checkpoint", "7"], "--checkpoint 7 is not saved"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(run, tmp_path, arguments, part):
    assert part in refused(run, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_errors_of_images_name_the_option(run, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    error = refused(run, "--images", tmp_path)
    assert f"--images {tmp_path}: 1 of 1 images cannot be read" in error
    assert error.endswith("; remove them\n")
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3)))
    assert "float64[2, 3]: it must be [n, height" in refused(
        run, "--images", tmp_path / "a.npz"
    )
    (tmp_path / "a.npy").write_text("no array")
    labels = ("--labels", tmp_path / "a.npy")
    assert "it must hold one array" in refused(run, *labels)


def test_a_folder_with_other_content_is_not_overwritten(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    error = refused(run, "--out", tmp_path)
    assert f"--out {tmp_path} is not empty and holds no anomaly scores" in error
    assert "is a file: give a folder" in refused(run, "--out", tmp_path / "thesis.tex")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "anomaly.json").write_text("{}")
    error = refused(run, "--out", tmp_path)
    assert f"--out {tmp_path / 'anomaly.json'} already exists: give another" in error


def test_a_search_that_fails_leaves_no_folder(run, made, tmp_path):
    out = tmp_path / "new" / "scores"
    words = [run, "--images", made, "--out", out, "--num", "4", "--method", "anogan"]
    error = refused(*words, "--steps", "2", "--lr", "3e38")
    assert "not finite" in error
    assert not out.parent.exists()


def test_a_run_on_points_is_refused(run):
    config, spec, state = restore.restore_run(run)
    changed = dataclasses.replace(config.data, source="8gaussians", classes=())
    points = dataclasses.replace(config, data=changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "restore_run", lambda *_: (points, spec, state))
        assert "is a run on points (data.source=8gaussians)" in refused(run)


def test_without_out_the_results_are_written_to_the_run(run, made):
    code, error = in_process(anomaly, run, *ANOGAN, "--images", made)
    assert code == 0, error
    assert (run / "anomaly" / "anogan" / "anomaly.json").exists()


def test_a_folder_without_a_run_is_refused_by_the_real_command(tmp_path):
    done = python_m("anomaly", tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {tmp_path} is not a run directory: it has no config.json\n"
    )
