"""Films of the grids of a run."""

import numpy as np
import pytest
from helpers import in_process
from PIL import Image

from wgan_jax import pictures, sample
from wgan_jax.config import Config, to_json
from wgan_jax.runs import film


@pytest.fixture
def run(tmp_path):
    """A run with grids of one grey level each, of which the last ones are wider."""
    (tmp_path / "run" / "samples").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(to_json(Config()))
    for step, level in ((250, 0), (500, 60), (1000, 120), (10_000_000, 180)):
        grid = np.full((6, 10 + 4 * (step >= 1000), 1), level, np.uint8)
        pictures.save_png(tmp_path / f"run/samples/fixed-{step:07}.png", grid)
    pictures.save_png(tmp_path / "run/samples/fresh-0000250.png", grid)
    pictures.save_png(tmp_path / "run/samples/real.png", grid)
    return tmp_path / "run"


def frames(path):
    """[(pixels [h, w, 3], milliseconds)] of a film that repeats."""
    with Image.open(path) as opened:
        assert opened.info["loop"] == 0
        shown = []
        for i in range(opened.n_frames):
            opened.seek(i)
            pixels = np.asarray(opened.convert("RGB"))
            shown.append((pixels, opened.info["duration"]))
        return shown


@pytest.mark.parametrize("suffix", film.FORMATS)
def test_a_film_has_every_grid_in_the_order_of_training(run, tmp_path, suffix, capsys):
    path = tmp_path / "new" / f"film{suffix}"
    assert in_process(sample, run, "--film", path, "--film-seconds", 2) == (0, "")
    assert capsys.readouterr().out == f"4 grids of steps 250 to 10000000: {path}\n"
    shown = frames(path)
    assert [time for _, time in shown] == [500, 500, 500, 1500]
    for (pixels, _), level in zip(shown, (0, 60, 120, 180), strict=True):
        assert pixels.shape == (6, 14, 3)
        np.testing.assert_allclose(pixels[:, 3:11], level, atol=6)
    # The narrow ones are in the middle.
    np.testing.assert_allclose(shown[0][0][:, [0, 13]], 255, atol=16)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_film_of_more_grids_than_it_can_show_has_the_first_and_the_last(
    run, tmp_path, monkeypatch
):
    assert film.write_film(run, tmp_path / "a.gif", 0.1) == [250, 10_000_000]
    monkeypatch.setattr(film, "MOST_FRAMES", 3)
    assert film.write_film(run, tmp_path / "b.gif", 60)[::2] == [250, 10_000_000]


def test_a_mistake_is_one_sentence_and_leaves_no_file(run, tmp_path):
    path = tmp_path / "film.gif"

    def complaint(*words):
        status, error = in_process(sample, *words)
        assert status == 2
        assert error.count("\n") == 1
        return error

    assert "must end in .webp or .gif" in complaint(run, "--film", "film.mp4")
    assert "from 0.1 to 600" in complaint(run, "--film", path, "--film-seconds=0")
    assert "--num cannot be combined" in complaint(run, "--film", path, "--num", 64)
    assert "add --film FILE" in complaint(run, "--film-seconds", 3)
    assert "is not a run directory" in complaint(tmp_path, "--film", path)
    for file in sorted((run / "samples").glob("fixed-*"))[1:]:
        file.unlink()
    assert complaint(run, "--film", tmp_path / "new" / "film.gif") == (
        f"error: --film needs two grids of fixed noise or more and {run}/samples has "
        "1: train with a smaller run.sample_every than 250\n"
    )
    (run / "samples" / "fixed-0000300.png").write_bytes(b"\x89PNG cut")
    assert "fixed-0000300.png cannot be read" in complaint(run, "--film", path)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    path.touch()
    assert "already exists" in complaint(run, "--film", path)
