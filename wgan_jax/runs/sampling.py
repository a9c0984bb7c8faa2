"""Samples of a trained generator."""

import jax
import numpy as np

from wgan_jax import pictures
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config
from wgan_jax.data.record import undo_standardise


def make_sampler(config: Config, spec: Spec):
    """sampler(params, stats, z, labels=None): uint8 images [n, h, w, c], points [n, d].

    BatchNorm uses its running statistics, so that a sample depends on its noise only.
    z: noise [n, z_dim]. labels: classes, int32 [n], for a run with classes; None takes
    the classes in turn.
    """

    @jax.jit
    def generate(params, stats, z, labels):
        return steps.generate(spec, params, stats, z, labels, train=False)[0]

    def sampler(params, stats, z, labels=None):
        size = min(len(z), 256)
        if labels is None:
            labels = np.arange(len(z)) % max(spec.classes, 1)
        parts = []
        for start in range(0, len(z), size):
            part = z[start : start + size]
            # Padded to the size of the others: only one shape is compiled.
            missing = size - len(part)
            padded = np.pad(part, ((0, missing), (0, 0)))
            classes = np.pad(labels[start : start + size], (0, missing))
            batch = generate(params, stats, padded, classes.astype(np.int32))
            parts.append(np.asarray(batch)[: len(part)])
        samples = np.concatenate(parts)
        if config.data.is_points:
            return undo_standardise(samples, spec.scales)
        return pictures.to_uint8(samples, config.data.scale)

    return sampler


def weights(state: TrainState, raw: bool = False):
    """(params, stats) of the generator: the averaged ones, if any, unless `raw`."""
    net = state.generator if raw or state.ema is None else state.ema
    return net.params, net.stats


def caption(step: int, state: TrainState, raw: bool = False) -> str:
    """Text under a picture of samples: the step and the `weights` that it shows."""
    name = "current" if raw or state.ema is None else "averaged"
    return f"step {step}, {name} weights"


def noise(seed: int, count: int, z_dim: int) -> np.ndarray:
    """Standard normal noise [count, z_dim], a function of the seed only."""
    return np.asarray(jax.random.normal(jax.random.key(seed), (count, z_dim)))


def labels(spec: Spec, seed: int, count: int) -> np.ndarray:
    """Classes of `count` samples, int32, in an order drawn by the seed.

    Systematic sampling: a class of share p (spec.label_shares) has count p samples,
    rounded up or down at random, so that none is missing by chance. Zeros for a run
    without classes.
    """
    rng = np.random.default_rng(seed)
    shares = spec.label_shares or (1,) * max(spec.classes, 1)
    bounds = np.cumsum((0, *shares))
    edges = np.floor(count * (bounds / bounds[-1]) + rng.random()).astype(int)
    drawn = np.repeat(np.arange(len(shares), dtype=np.int32), np.diff(edges))
    return rng.permutation(drawn)


def picture(samples: np.ndarray, real: np.ndarray, columns: int = 0) -> np.ndarray:
    """Samples as one picture: a grid of images, or points drawn over the real ones."""
    if samples.ndim == 2:
        limits = pictures.point_limits(real)
        plot = pictures.scatter(samples, real, limits=limits)
        (left, right), (bottom, top) = limits
        text = f"x {left:.4g} to {right:.4g}, y {bottom:.4g} to {top:.4g}"
        return pictures.caption(plot, text)
    return pictures.grid(samples, columns)
