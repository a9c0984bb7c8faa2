"""Anomaly scores of images by a trained WGAN: AnoGAN and f-AnoGAN.

Throughout, generate(z) maps latent points [n, d] to images [n, ...], and features(x)
maps images to the critic's hidden features [n, k]; `Nets` is the pair of both. They
treat samples independently. As jax.tree_util.Partial over their weights they are
compiled once for all batches.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from rich.progress import Progress, TimeElapsedColumn
from sklearn import metrics

from wgan_jax.anogan.images import Images
from wgan_jax.config import Data
from wgan_jax.data.batches import to_float
from wgan_jax.errors import UserError
from wgan_jax.runs import sampling


class Nets(NamedTuple):
    """Generator and critic of a run, both by running statistics."""

    generate: Callable
    features: Callable


class Parts(NamedTuple):
    """The two parts of a score, [n] each."""

    residual: jax.Array
    """Distance of an image from its reconstruction, mean over pixels and channels."""
    feature: jax.Array
    """Distance of their hidden features, mean over features."""


@partial(jax.jit, static_argnames="power")
def distances(generate, features, x, z, power: int) -> Parts:
    """Mean |x - G(z)|^power over pixels, and mean |f(x) - f(G(z))|^power over features.

    x: images [n, ...]; z: latent points [n, d]. The papers take sums. With means, a
    weight between the two parts has the same meaning for every image size and network.
    """
    return _distances(generate, features, (x, features(x)), z, power)


def _distances(generate, features, target, z, power):
    fake = generate(z)
    differences = (a - b for a, b in zip(target, (fake, features(fake)), strict=True))
    return Parts(
        *((jnp.abs(d) ** power).reshape(len(d), -1).mean(1) for d in differences)
    )


# ------------------------------------------------------------------------------ AnoGAN


def anogan_score(parts: Parts, weight: float):
    """(1 - weight) residual + weight feature: A(x) of Schlegl et al. 2017, AnoGAN."""
    return (1 - weight) * parts.residual + weight * parts.feature


def starting_points(key, images, restarts: int, z_dim: int):
    """Latent points [restarts, n, z_dim] at which the searches for n images start.

    images: int [n], the number of each image. A point depends on the key, the number of
    its image and the number of its restart only, not on the batch or on the number of
    restarts.
    """

    def point(restart, image):
        key_image = jax.random.fold_in(key, image)
        return jax.random.normal(jax.random.fold_in(key_image, restart), (z_dim,))

    over_images = jax.vmap(point, (None, 0))
    return jax.vmap(over_images, (0, None))(jnp.arange(restarts), images)


@jax.jit
def search(generate, features, x, starts, steps, lr, weight):
    """Latent points [n, d] whose images approximate x [n, ...], by gradient descent.

    Adam on `anogan_score` of L1 distances; the learning rate falls linearly from lr to
    0. Returns the best search of each image from starts [restarts, n, d]. steps: a
    traced number, so that searches of every length run the same program.
    """
    target = x, features(x)
    adam = optax.scale_by_adam()

    def scores(z):
        parts = _distances(generate, features, target, z, 1)
        return anogan_score(parts, weight)

    def loss(starts):
        # The gradient of a sum keeps the searches independent.
        return jax.lax.map(scores, starts).sum()

    def body(i, carry):
        z, state = carry
        direction, state = adam.update(jax.grad(loss)(z), state)
        return z - lr * (1 - i / steps) * direction, state

    z, _ = jax.lax.fori_loop(0, steps, body, (starts, adam.init(starts)))
    best = jax.lax.map(scores, z).argmin(0)
    return jnp.take_along_axis(z, best[None, :, None], 0)[0]


# ---------------------------------------------------------------------------- f-AnoGAN


def f_anogan_score(parts: Parts, kappa: float):
    """residual + kappa feature, of squares: A(x) of Schlegl et al. 2019, f-AnoGAN.

    Its mean is the loss izi_f of the encoder.
    """
    return parts.residual + kappa * parts.feature


def encoder_step(encode, params, state, optimizer, generate, features, x, kappa):
    """One update of the encoder on the batch x [n, ...]: (params, state, loss).

    encode(params, x) -> latent points [n, d]. optimizer: an optax transformation;
    state: its state. Generator and critic do not change.
    """

    def loss(params):
        parts = distances(generate, features, x, encode(params, x), 2)
        return f_anogan_score(parts, kappa).mean()

    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, value


# ----------------------------------------------------------------- all images of a set


class Result(NamedTuple):
    """Scores of images, in their order."""

    scores: np.ndarray
    parts: Parts
    z: np.ndarray
    """Latent points of the reconstructions, [n, z_dim]."""
    seconds: float
    """Mean time per image; excludes the first batch, which compiles, if there are
    more."""


def make_nets(spec, state, raw: bool) -> Nets:
    """The nets of a run. raw: of the last step's weights, not the averaged ones."""
    generate = _by_running_statistics(spec.generator.apply)
    critic = state.critic
    return Nets(
        Partial(generate, *sampling.weights(state, raw)),
        Partial(spec.critic.hidden, critic.params, critic.stats),
    )


@functools.cache
def _by_running_statistics(apply):
    # One function per network: a new one for each call would be compiled again.
    return lambda params, stats, z: apply(params, stats, z, train=False)[0]


def make_search(nets: Nets, z_dim: int, seed: int, restarts: int, **options):
    """infer_latents(x, indices) -> z of AnoGAN, by a separate search for each image.

    options: steps, lr and weight of `search`.
    """
    key = jax.random.key(seed)

    def infer_latents(x, indices):
        starts = starting_points(key, indices, restarts, z_dim)
        return search(nets.generate, nets.features, x, starts, **options)

    return infer_latents


def score_images(
    nets: Nets,
    infer_latents: Callable,
    score: Callable,
    power: int,
    images: Images,
    data_config: Data,
    batch: int,
) -> Result:
    """Scores images in batches.

    infer_latents(x, indices) -> latent points. score: `anogan_score` or
    `f_anogan_score` of parts, with its weight bound. power: see `distances`.
    """
    data_config = dataclasses.replace(data_config, dequantize=False)
    count, rows = len(images.samples), []
    size = min(batch, count)
    started = time.perf_counter()
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(f"scoring {count} images", total=count)
        for start in range(0, count, size):
            # The last batch is padded and cut: one shape is compiled once.
            which = np.arange(start, start + size) % count
            length = min(size, count - start)
            x = to_float(images.samples[which], data_config, None)
            z = infer_latents(x, images.indices[which])
            parts = distances(nets.generate, nets.features, x, z, power)
            row = (score(parts), parts, z)
            rows.append(jax.tree.map(lambda a, n=length: np.asarray(a)[:n], row))
            progress.advance(task, length)
            if start == 0 and size < count:
                started = time.perf_counter()
    seconds = time.perf_counter() - started
    timed = count - size or size
    scores, parts, z = jax.tree.map(lambda *a: np.concatenate(a), *rows)
    if not np.isfinite(scores).all():
        broken = (~np.isfinite(scores)).sum()
        raise UserError(
            f"{broken} of {count} images have scores that are not finite: give a "
            "smaller learning rate"
        )
    return Result(scores, parts, z, seconds / timed)


# ------------------------------------------------------------------------------ curves


class DetectionCurves(NamedTuple):
    """Separation of anomalous from normal images at every threshold of the score."""

    auroc: float
    """Area under the ROC curve: the probability that an anomalous image has a higher
    score than a normal one."""
    average_precision: float
    """Mean precision over the anomalous images, from the highest score down."""
    roc: tuple[np.ndarray, np.ndarray]
    """Shares of normal and of anomalous images above each threshold."""
    precision_recall: tuple[np.ndarray, np.ndarray]
    """Recall, and the precision at it."""


def detection_curves(scores, anomalous) -> DetectionCurves:
    """Curves and areas of scores [n] against labels, bool [n] with both values."""
    false_rate, true_rate, _ = metrics.roc_curve(anomalous, scores)
    precision, recall, _ = metrics.precision_recall_curve(anomalous, scores)
    return DetectionCurves(
        auroc=float(metrics.roc_auc_score(anomalous, scores)),
        average_precision=float(metrics.average_precision_score(anomalous, scores)),
        roc=(false_rate, true_rate),
        precision_recall=(recall, precision),
    )
