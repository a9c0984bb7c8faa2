"""How badly a trained WGAN explains an image: AnoGAN and f-AnoGAN.

Everywhere here generate(z) maps latent points [n, d] to images [n, ...] and
features(x) images to the critic's hidden features [n, k], both one sample at a time. As
jax.tree_util.Partial over their weights they are compiled once for all batches.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import metrics


class Parts(NamedTuple):
    """What a score is made of, [n] each."""

    residual: jax.Array
    """Distance of the image and its reconstruction, a mean over pixels and channels."""
    feature: jax.Array
    """Distance of their hidden features, a mean over features."""


@partial(jax.jit, static_argnames="power")
def distances(generate, features, x, z, power: int) -> Parts:
    """Mean |x - G(z)|^power over pixels, and mean |f(x) - f(G(z))|^power over features.

    x: images [n, ...]; z: latent points [n, d]. Means rather than the papers' sums keep
    the meaning of a weight between the two for every size of image and net.
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
    """Latent points [restarts, n, z_dim] from which the searches for n images begin.

    images: int [n], a number for each. A point is a function of the key, its image's
    number and its own number alone: not of the batch, nor of how many restarts follow.
    """

    def point(restart, image):
        key_image = jax.random.fold_in(key, image)
        return jax.random.normal(jax.random.fold_in(key_image, restart), (z_dim,))

    over_images = jax.vmap(point, (None, 0))
    return jax.vmap(over_images, (0, None))(jnp.arange(restarts), images)


@jax.jit
def search(generate, features, x, starts, steps, lr, weight):
    """Latent points [n, d] whose images come near x [n, ...], by gradient descent.

    Adam on `anogan_score` of L1 distances, its rate falling linearly from lr to 0. For
    each image the best of the searches from starts [restarts, n, d] is kept. steps: a
    traced number, so that searches of every length run one program.
    """
    target = x, features(x)
    adam = optax.scale_by_adam()

    def scores(z):
        parts = _distances(generate, features, target, z, 1)
        return anogan_score(parts, weight)

    def loss(starts):
        # A sum, in which no search feels another.
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

    Its mean is the loss izi_f, by which the encoder is trained.
    """
    return parts.residual + kappa * parts.feature


def encoder_step(encode, params, state, optimizer, generate, features, x, kappa):
    """One update of the encoder on the batch x [n, ...]: (params, state, loss).

    encode(params, x) -> latent points [n, d]. optimizer: an optax transformation, with
    its state. Generator and critic stay as they are.
    """

    def loss(params):
        parts = distances(generate, features, x, encode(params, x), 2)
        return f_anogan_score(parts, kappa).mean()

    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, value


# ------------------------------------------------------------------------------ curves


class DetectionCurves(NamedTuple):
    """How well scores tell anomalous images from normal ones, at every threshold."""

    auroc: float
    """Area under the ROC curve: the chance that an anomalous image scores higher than
    a normal one."""
    average_precision: float
    """Mean precision over the anomalous images, from the highest score down."""
    roc: tuple[np.ndarray, np.ndarray]
    """Shares of normal and of anomalous images above each threshold."""
    precision_recall: tuple[np.ndarray, np.ndarray]
    """Recall, and precision at it."""


def detection_curves(scores, anomalous) -> DetectionCurves:
    """Curves and areas of scores [n] against the truth, bool [n], which needs both."""
    false_rate, true_rate, _ = metrics.roc_curve(anomalous, scores)
    precision, recall, _ = metrics.precision_recall_curve(anomalous, scores)
    return DetectionCurves(
        auroc=float(metrics.roc_auc_score(anomalous, scores)),
        average_precision=float(metrics.average_precision_score(anomalous, scores)),
        roc=(false_rate, true_rate),
        precision_recall=(recall, precision),
    )
