"""Samples of a trained generator."""

import zipfile
import zlib
from pathlib import Path

import jax
import numpy as np

from wgan_jax import pictures
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config
from wgan_jax.data.record import undo_standardise
from wgan_jax.errors import UserError


def make_sampler(config: Config, spec: Spec):
    """sampler(params, stats, z, labels=None): uint8 images [n, h, w, c], points [n, d].

    Of text, numbers of the most probable characters, [n, length].

    BatchNorm uses its running statistics, so that a sample depends on its noise only.
    z: noise [n, z_dim]. labels: classes, int32 [n], for a run with classes; None takes
    the classes in turn.
    """

    @jax.jit
    def generate(params, stats, z, labels):
        samples = steps.generate(spec, params, stats, z, labels, train=False)[0]
        return samples.argmax(-1) if config.data.is_text else samples

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
        if config.data.is_text:
            return samples
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


def noise(seed: int, count: int, z_dim: int, truncation: float = 0.0) -> np.ndarray:
    """Standard normal noise [count, z_dim], a function of the seed only.

    truncation: a positive number bounds the magnitude of each coordinate; its
    distribution is that of a normal number that is drawn again while it is larger
    (Brock et al. 2019). Noise of one seed changes continuously with it.
    """
    key, shape = jax.random.key(seed), (count, z_dim)
    if truncation:
        bounded = jax.random.truncated_normal(key, -truncation, truncation, shape)
        return np.asarray(bounded)
    return np.asarray(jax.random.normal(key, shape))


def read_latents(
    path, spec: Spec, names: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """(noise [n, z_dim], classes [n] or None) of an .npz or .npy file.

    names: label in the data of each class. An .npz file has the array `latents` and may
    have `labels`. Raises UserError for another file, and for arrays that do not fit.
    """
    where = f"--latents {path}"
    if not Path(path).is_file():
        raise UserError(f"{where} is not a file: name one that sample wrote")
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"latents": loaded}
        if not isinstance(loaded, np.ndarray):
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy's messages recommend to execute the code in a file.
        raise UserError(f"{where} is not an .npz or .npy file") from error
    if "latents" not in arrays:
        known = ", ".join(arrays) or "nothing"
        raise UserError(f"{where} has {known}: it needs an array named latents")
    return check_latents(arrays["latents"], arrays.get("labels"), spec, names, where)


def check_latents(
    latents, labels, spec: Spec, names: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """(noise float32 [n, z_dim], classes int32 [n] or None) of given arrays.

    labels: as in the data, or None. where: the beginning of the message of the
    UserError for arrays that do not fit.
    """
    z = np.asarray(latents)
    if z.dtype.kind != "f":
        raise UserError(f"{where} has latents of {z.dtype}: they must be float32")
    if z.ndim != 2 or z.shape[1] != spec.z_dim or not len(z):
        raise UserError(
            f"{where} has latents of shape {list(z.shape)}: this run needs "
            f"[n, {spec.z_dim}] (model.z_dim)"
        )
    if not np.isfinite(z).all():
        raise UserError(f"{where} has latents that are not finite")
    z = z.astype(np.float32)
    if labels is None:
        return z, None
    if not spec.classes:
        raise UserError(f"{where} has labels and this run has none (model.classes=0)")
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != z.shape[:1]:
        raise UserError(
            f"{where} has labels of {labels.dtype} and shape {list(labels.shape)}: "
            f"they must be whole numbers of shape [{len(z)}]"
        )
    unknown = labels[~np.isin(labels, names)]
    if len(unknown):
        known = ", ".join(map(str, names[:20])) + ", ..." * (len(names) > 20)
        raise UserError(f"{where} has label {unknown[0]}, and this run has {known}")
    order = np.argsort(names)
    classes = order[np.searchsorted(names, labels, sorter=order)]
    return z, classes.astype(np.int32)


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
