"""Vectors of the user's own: data.source=vectors, from file to evaluation."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from helpers import in_process, records

from wgan_jax import evaluate, sample, train
from wgan_jax.config import Data
from wgan_jax.data.batches import make_get_batch
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.record import undo_standardise
from wgan_jax.errors import UserError
from wgan_jax.runs import directory

COMMAND = """--config configs/toy_8gaussians.py --data.source vectors
--data.dimensions 3 --data.batch-size 16 --data.heldout 40 --model.features 8
--model.z-dim 3 --run.steps 10 --run.chunk 5 --run.log-every 5 --run.sample-every 5
--run.checkpoint-every 5""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "vectors.npz"
    vectors = np.random.default_rng(0).normal(5, 1, (200, 3))
    nan, constant = np.full((4, 3), np.nan), np.eye(3)
    constant[:, 1] = 7
    np.savez(path, vectors=vectors, others=nan, constant=constant)
    return path


def make_data(file, **more):
    chosen = {"dimensions": 3, "heldout": 40, "array": "vectors"} | more
    chosen = {"standardise": False} | chosen
    return Data(source="vectors", dir=str(file), batch_size=16, **chosen)


def test_every_vector_is_trained_on_or_held_out_unchanged(file):
    loaded = load_in_memory(make_data(file))
    assert loaded.train.shape == (160, 3)
    assert loaded.heldout.shape == (40, 3)
    assert loaded.train.dtype == np.float32
    whole = np.concatenate([loaded.train, loaded.heldout])
    with np.load(file) as saved:
        expected = saved["vectors"].astype(np.float32)
    np.testing.assert_array_equal(np.sort(whole, 0), np.sort(expected, 0))


def test_an_epoch_draws_every_vector_once_and_not_as_pixels(file):
    data_config = make_data(file)
    vectors = load_in_memory(data_config).train
    draw = jax.jit(make_get_batch(data_config, len(vectors)))
    batches = [draw(vectors, jax.random.key(0), i) for i in range(10)]
    epoch = np.concatenate(batches)
    np.testing.assert_array_equal(np.sort(epoch, 0), np.sort(vectors, 0))


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ({"dimensions": 4}, ["data.dimensions=4", "--data.dimensions 3"]),
        ({"array": "others"}, ["column 0 of array 'others'", "nan in row 0", "finite"]),
        ({"array": "constant"}, ["column 1 of array 'constant'", "is constant, 7.0"]),
        ({"array": "none"}, ["data.array='none'", "vectors, others, constant"]),
        ({"heldout": 190}, ["data.batch_size=16", "10 vectors"]),
    ],
    ids=str,
)
def test_wrong_vectors_are_one_sentence(file, more, parts):
    with pytest.raises(UserError) as error:
        load_in_memory(make_data(file, **more))
    for part in parts:
        assert part in str(error.value)


def test_images_are_refused_as_vectors(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, images=np.zeros((9, 4, 4), np.uint8))
    with pytest.raises(UserError, match=r"uint8\[9, 4, 4\]: it must be numbers \[n,"):
        load_in_memory(
            Data(source="vectors", dir=str(path), dimensions=4, batch_size=2)
        )


TABLE = np.random.default_rng(1).normal(0, 1, (400, 3)) * [3e4, 20, 1e-3] + [2e5, 40, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, bool])
def test_columns_are_standardised_by_the_training_part(tmp_path, dtype):
    table = (TABLE > [2e5, 40, 1]) if dtype is bool else TABLE.clip(0, 255).round(3)
    table = (table + np.arange(400)[:, None] % 3).astype(dtype)
    np.savez(tmp_path / "table.npz", table=table)
    data = make_data(tmp_path / "table.npz", array="", standardise=True)
    data = dataclasses.replace(data, dir=str(tmp_path / "table.npz"))
    loaded = load_in_memory(data)
    assert loaded.train.dtype == np.float32
    np.testing.assert_allclose(loaded.train.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(loaded.train.std(0), 1, atol=1e-4)
    parts = [
        undo_standardise(part, loaded.record.scales)
        for part in (loaded.train, loaded.heldout)
    ]
    plain = load_in_memory(dataclasses.replace(data, standardise=False))
    np.testing.assert_allclose(parts[0], plain.train, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(parts[1], plain.heldout, rtol=1e-4, atol=1e-4)


def test_vectors_train_sample_and_are_measured_by_the_commands(file, tmp_path):
    out = tmp_path / "run"
    where = ["--data.dir", file, "--data.array", "vectors", "--out", out]
    code, error = in_process(train, *COMMAND, *where)
    assert code == 0, error
    assert np.isfinite(records(out)[-1]["heldout_wasserstein"])
    code, error = in_process(
        sample, out, "--num", "30", "--out", tmp_path / "points.npz"
    )
    assert code == 0, error
    with np.load(tmp_path / "points.npz") as saved:
        assert saved["points"].shape == (30, 3)
    assert in_process(sample, out, "--out", tmp_path / "points.png")[0] == 0
    code, error = in_process(evaluate, out, "--repeats", "2")
    assert code == 0, error
    results = json.loads((out / "evaluation.json").read_text())["results"]
    measures = {result["measure"]: result for result in results}
    result = measures["wasserstein"]
    # Untrained points are near zero in standardised columns: near (5, 5, 5).
    assert 0.5 < result["value"]["mean"] < 4
    assert result["reference"]["mean"] > 0
    assert "modes" not in measures
    with np.load(tmp_path / "points.npz") as saved:
        points = saved["points"]
    assert np.abs(points - 5).max() < 5
    record = directory.read_data_record(out)
    dataset = load_in_memory(directory.read_config(out).data)
    assert dataset.record == record
    for column in range(3):
        assert 0 < measures[f"wasserstein_{column}"]["value"]["mean"] < 4
