"""Samples for a page: from the newest checkpoint, next to the data of the run."""

import numpy as np
import pytest
from helpers import TINY, TOY, in_process

from wgan_jax import train
from wgan_jax.metrics.neighbours import BLOCK, nearest
from wgan_jax.pages.drawn import draw_samples


def test_nearest_rows_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(BLOCK + 50, 3)).astype(np.float32)
    x[2] = y[BLOCK + 3]
    numbers, distances = nearest(x, y)
    wanted = np.linalg.norm(x[:, None] - y[None], axis=-1)
    np.testing.assert_array_equal(numbers, wanted.argmin(1))
    np.testing.assert_allclose(distances, wanted.min(1), rtol=1e-12)
    assert (numbers[2], distances[2]) == (BLOCK + 3, 0)


def test_a_copy_among_bytes_has_distance_zero():
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), np.uint8)
    numbers, distances = nearest(images[4:6].reshape(2, -1), images)
    assert (numbers.tolist(), distances.tolist()) == ([4, 5], [0, 0])


@pytest.mark.slow
def test_images_are_compared_with_the_training_images(tmp_path):
    words = [*TINY, "--run.steps", "5", "--out", tmp_path]
    assert in_process(train, *words) == (0, "")
    drawn = draw_samples(tmp_path)
    assert (drawn.step, drawn.problem) == (5, "")
    found = drawn.neighbours
    assert found.compared == found.total == 1797 - 32
    assert len(found.heldout) == len(drawn.real) == 32
    assert len(found.generated) == len(drawn.generated) == 256
    for name in ("generated", "heldout"):
        samples, training = (a.astype(float) / 255 for a in found.pairs[name])
        distances = np.sqrt(np.square(samples - training).sum((1, 2, 3)))
        np.testing.assert_allclose(distances, getattr(found, name)[:8])


@pytest.mark.slow
def test_training_on_vectors_ends_with_a_page_of_exact_distances(tmp_path, capsys):
    rng = np.random.default_rng(0)
    vectors = rng.normal(3, 2, (200, 3)).astype(np.float32)
    np.savez(tmp_path / "v.npz", vectors=vectors)
    words = ["--data.source", "vectors", "--data.dir", tmp_path / "v.npz", "--report"]
    words += ["--data.dimensions", "3", "--out", tmp_path / "run"]
    assert in_process(train, *TOY, *words) == (0, "")
    page = tmp_path / "run" / "report.html"
    assert f"page of the run: {page}" in capsys.readouterr().out
    assert "Exact W1 over its floor" in page.read_text()
    drawn = draw_samples(tmp_path / "run")
    assert drawn.distances["points"] == len(drawn.real) == 32
    assert drawn.distances["w1"] > drawn.distances["floor"] > 0
    # In the units of the file.
    assert abs(drawn.real.mean() - 3) < 1
    assert drawn.neighbours.total == 168
    (tmp_path / "v.npz").unlink()
    assert "v.npz" in draw_samples(tmp_path / "run").problem
