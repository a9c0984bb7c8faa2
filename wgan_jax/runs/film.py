"""A film of a run: its grids of fixed noise, in the order of training."""

from pathlib import Path

import numpy as np
from PIL import Image

from wgan_jax import pictures
from wgan_jax.errors import UserError
from wgan_jax.runs.directory import read_config

FORMATS = (".webp", ".gif")
MOST_FRAMES = 400
"""Frames of a film, which are in memory together."""
MOST_PER_SECOND = 25
"""Frames in a second: browsers slow faster GIF files down."""


def write_film(run, path: Path, seconds: float) -> list[int]:
    """The film of a run as a .webp or .gif file; returns the steps of its frames.

    The frames last `seconds` together and the last one a second longer; then the film
    begins again. Where there are more grids than MOST_FRAMES or MOST_PER_SECOND allow,
    evenly chosen ones are shown. Raises UserError where the run has fewer than two, and
    for text.
    """
    if read_config(run).data.is_text:
        raise UserError(
            f"--film shows grids of images or points, and {run} is a run on text: read "
            f"its samples in {run}/samples"
        )
    grids = {}
    for file in Path(run, "samples").glob("fixed-*.png"):
        step = file.stem.removeprefix("fixed-")
        if step.isdecimal():
            grids[int(step)] = file
    if len(grids) < 2:
        every = read_config(run).run.sample_every
        raise UserError(
            f"--film needs two grids of fixed noise or more and {run}/samples has "
            f"{len(grids)}: train with a smaller run.sample_every than {every}"
        )
    most = min(len(grids), MOST_FRAMES, max(int(seconds * MOST_PER_SECOND), 2))
    chosen = np.linspace(0, len(grids) - 1, most).round().astype(int)
    steps = [sorted(grids)[i] for i in chosen]
    frames = [_read(grids[step]) for step in steps]
    times = [round(1000 * seconds / most)] * most
    times[-1] += 1000
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.save_film(path, frames, times)
    return steps


def _read(file):
    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise UserError(f"{file} cannot be read ({error}): delete it") from error
