"""Sampling."""

import jax
import numpy as np

from wgan_jax import pictures
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config


def make_sampler(config: Config, spec: Spec):
    """sampler(params, stats, z, labels=None) -> numpy uint8 images [n, h, w, c], or
    points [n, 2].

    By running statistics, so that a sample depends on its own noise alone. labels:
    int32 [n] of a run with classes; None takes them in turn.
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
            # One shape is compiled once; the last part is filled up and cut.
            missing = size - len(part)
            full = np.pad(part, ((0, missing), (0, 0)))
            told = np.pad(labels[start : start + size], (0, missing)).astype(np.int32)
            parts.append(np.asarray(generate(params, stats, full, told))[: len(part)])
        samples = np.concatenate(parts)
        return (
            samples
            if config.data.is_points
            else pictures.to_uint8(samples, config.data.scale)
        )

    return sampler


def weights(state: TrainState, raw: bool = False):
    """Parameters and statistics to sample by: the averaged ones where they are kept."""
    net = state.generator if raw or state.ema is None else state.ema
    return net.params, net.stats


def noise(seed: int, count: int, z_dim: int) -> np.ndarray:
    """Standard normal noise [count, z_dim], the same for a seed on every device."""
    return np.asarray(jax.random.normal(jax.random.key(seed), (count, z_dim)))


def picture(samples: np.ndarray, real: np.ndarray, columns: int = 0) -> np.ndarray:
    """Samples as one picture: a grid of images, or points before the real ones."""
    if samples.ndim == 2:
        # The toys keep their window, so that their pictures compare.
        reach = max(2.2, 1.1 * float(np.abs(real[:, :2]).max(initial=0)))
        return pictures.scatter(samples, real, reach=reach)
    return pictures.grid(samples, columns)
