"""Vectors of the user's own: data.source=vectors, from file to evaluation."""

import json

import jax
import numpy as np
import pytest
from helpers import in_process, records

from wgan_jax import evaluate, sample, train
from wgan_jax.config import Data
from wgan_jax.data.batches import make_get_batch
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.errors import UserError

COMMAND = """--config configs/toy_8gaussians.py --data.source vectors
--data.dimensions 3 --data.batch-size 16 --data.heldout 40 --model.features 8
--model.z-dim 3 --run.steps 10 --run.chunk 5 --run.log-every 5 --run.sample-every 5
--run.checkpoint-every 5""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "vectors.npz"
    vectors = np.random.default_rng(0).normal(5, 1, (200, 3))
    np.savez(path, vectors=vectors, others=np.full((4, 3), np.nan), whole=np.eye(3))
    return path


def make_data(file, **more):
    chosen = {"dimensions": 3, "heldout": 40, "array": "vectors"} | more
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
        ({"array": "others"}, ["'others'", "not finite"]),
        ({"array": "none"}, ["data.array='none'", "vectors, others, whole"]),
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
    np.savez(path, images=np.zeros((9, 4), np.uint8))
    with pytest.raises(UserError, match=r"uint8\[9, 4\].*floating point"):
        load_in_memory(
            Data(source="vectors", dir=str(path), dimensions=4, batch_size=2)
        )


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
    # Untrained points lie near zero and the vectors near (5, 5, 5).
    assert result["value"]["mean"] > 5 > result["reference"]["mean"] > 0
    assert "modes" not in measures
