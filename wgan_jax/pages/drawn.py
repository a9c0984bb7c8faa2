"""Samples that are drawn for a page from the newest checkpoint of a run."""

import dataclasses
import functools
import math
from pathlib import Path

import jax
import numpy as np

from wgan_jax import pictures
from wgan_jax.data.record import undo_standardise
from wgan_jax.data.text import decode
from wgan_jax.data.toys import toy_sample
from wgan_jax.errors import UserError
from wgan_jax.metrics import mixtures
from wgan_jax.metrics.neighbours import nearest
from wgan_jax.metrics.transport import wasserstein_1
from wgan_jax.runs.directory import read_data_record
from wgan_jax.runs.restore import load_data, restore_run
from wgan_jax.runs.sampling import labels, make_sampler, noise, weights

COUNT = 256
"""Generated images, and as many held-out ones, whose nearest neighbours are found."""
POINTS = 1000
"""Points on each side of an exact distance, and in a scatter plot."""
ROWS, COLUMNS = 4, 8
"""Rows and columns of an interpolation."""
MOST_VALUES = 300_000_000
"""Values of training images that are compared with; of more, an even part is."""
MOST_READ = 4000
"""Training images that are read for a page from a data set larger than memory."""


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Distances to the nearest training samples, of generated and held-out ones."""

    generated: np.ndarray
    """Euclidean distances, ascending: of pixel values in [0, 1], or of vectors in the
    networks' units."""
    heldout: np.ndarray
    compared: int
    """Training samples that were compared with."""
    total: int
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = dataclasses.field(
        default_factory=dict
    )
    """{generated, heldout: (images, their nearest training images)}, the least distance
    first; empty for vectors."""

    @property
    def ratio(self) -> float:
        """Median distance of generated samples over that of held-out ones."""
        middle = float(np.median(self.heldout))
        return float(np.median(self.generated)) / middle if middle else math.inf


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the newest checkpoint of a run generates, next to real samples."""

    step: int
    averaged: bool
    """Of the averaged weights of the generator."""
    generated: np.ndarray
    """uint8 images [n, h, w, c], points [n, d], or strings [n]."""
    interpolation: np.ndarray
    """[ROWS * COLUMNS, ...]; of points [COUNT, d], whose rows are paths."""
    real: np.ndarray | None = None
    neighbours: Neighbours | None = None
    distances: dict[str, float] = dataclasses.field(default_factory=dict)
    """Of points: exact W1 to the truth, its floor, and modes of a mixture."""
    problem: str = ""
    """Reason why the real samples are missing."""


def draw_samples(run: Path, *, seed: int = 0) -> Drawn:
    """Samples of the newest checkpoint of a run and their real counterparts.

    The noise is a function of `seed`. Raises UserError where no checkpoint can be read;
    real samples that cannot be read are a `problem`.
    """
    config, spec, state = restore_run(run)
    with jax.default_matmul_precision(config.run.precision):
        return _draw(run, seed, config, spec, state)


def _draw(run, seed, config, spec, state):
    sampler = functools.partial(make_sampler(config, spec), *weights(state))
    points = config.data.is_points
    count = POINTS if points else COUNT
    if config.data.is_text:
        vocabulary = read_data_record(run).vocabulary
        draw = sampler

        def sampler(z, classes):
            return np.array(decode(draw(z, classes), vocabulary))

    drawn = Drawn(
        step=int(state.step),
        averaged=state.ema is not None,
        generated=sampler(noise(seed, count, spec.z_dim), labels(spec, seed, count)),
        interpolation=_interpolation(sampler, spec, seed, points),
    )
    if points and not np.isfinite(drawn.generated).all():
        raise UserError(f"samples of step {drawn.step} of {run} are not all finite")
    try:
        dataset = load_data(run, config)
    except (UserError, OSError) as error:
        return dataclasses.replace(drawn, problem=str(error))
    if config.data.is_toy:
        seeds = [jax.random.key(s) for s in (seed + 1, seed + 2)]
        pair = [np.asarray(toy_sample(config.data.source, k, count)) for k in seeds]
        distances = _distances(drawn.generated, *pair)
        if config.data.source in mixtures.MIXTURES:
            modes = mixtures.modes_covered(drawn.generated, config.data.source)
            distances["modes"] = float(modes)
        return dataclasses.replace(drawn, real=pair[0], distances=distances)
    if config.data.is_text:
        real = decode(dataset.heldout[:count], dataset.record.vocabulary)
        return dataclasses.replace(drawn, real=np.array(real))
    scales = dataset.record.scales
    real = dataset.heldout if len(dataset.heldout) else dataset.train[:count]
    real = undo_standardise(np.asarray(real[:count]), scales)
    drawn = dataclasses.replace(drawn, real=real)
    if not len(dataset.heldout):
        problem = "nothing is held out (data.heldout is 0)"
        return dataclasses.replace(drawn, problem=problem)
    distances = {}
    if points:
        n = min(len(real), len(dataset.train))
        train = undo_standardise(dataset.train[_even(len(dataset.train), n)], scales)
        distances = _distances(drawn.generated[:n], real[:n], train)
    found = _neighbours(drawn, dataset, config, scales)
    return dataclasses.replace(drawn, distances=distances, neighbours=found)


def _interpolation(sampler, spec, seed, points):
    rows, columns = (6, COUNT // 6) if points else (ROWS, COLUMNS)
    ends = noise(seed + 1, 2 * rows, spec.z_dim)
    z = pictures.interpolation(ends[:rows], ends[rows:], columns)
    # A row has one class.
    classes = np.arange(len(z), dtype=np.int32) // columns % max(spec.classes, 1)
    samples = sampler(z, classes)
    return samples.reshape(rows, columns, -1) if points else samples


def _distances(generated, real, other):
    """Exact W1 to real points, and that of other real points."""
    n = min(len(generated), len(real), len(other))
    return {
        "w1": wasserstein_1(generated[:n], real[:n]),
        "floor": wasserstein_1(other[:n], real[:n]),
        "points": float(n),
    }


def _neighbours(drawn, dataset, config, scales):
    points = config.data.is_points
    total = len(dataset.train)
    most = MOST_VALUES // math.prod(config.data.sample_shape)
    if dataset.stream:
        most = min(most, MOST_READ)
    chosen = _even(total, most)
    train = dataset.train if len(chosen) == total else dataset.train[chosen]
    generated, heldout = drawn.generated[:COUNT], dataset.heldout[:COUNT]
    if points:
        mean, std = scales or (0.0, 1.0)
        generated = (generated - np.array(mean)) / np.array(std)
    unit = 1 if points else 255
    distances, pairs = {}, {}
    for name, samples in (("generated", generated), ("heldout", heldout)):
        numbers, found = nearest(samples.reshape(len(samples), -1), train)
        order = np.argsort(found, kind="stable")
        distances[name] = found[order] / unit
        if not points:
            few = order[:COLUMNS]
            close = np.concatenate([train[n : n + 1] for n in numbers[few]])
            pairs[name] = samples[few], close
    return Neighbours(**distances, compared=len(chosen), total=total, pairs=pairs)


def _even(total, most):
    """At most `most` of the numbers below `total`, evenly apart."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))
