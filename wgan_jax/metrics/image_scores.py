"""Metrics of images from their features: the table of metrics, and their comparison."""

import math
from collections.abc import Mapping

import numpy as np

from wgan_jax.errors import UserError
from wgan_jax.metrics import frechet, inception_score, kernel_distance, neighbours
from wgan_jax.metrics.features import Extractor, Features
from wgan_jax.metrics.metric import Metric, Number
from wgan_jax.references import lookup

METRICS = {
    "fid": frechet.METRIC,
    "is": inception_score.METRIC,
    "kid": kernel_distance.METRIC,
    "prdc": neighbours.METRIC,
}
# Fewest images of a set: ten parts for the Inception score, and neighbours for prdc.
LEAST = 10


def find_metrics(options: tuple[str, ...]) -> dict[str, Metric]:
    """The metrics of --metrics by name, or by reference FILE.py:NAME or MODULE:NAME.

    Raises UserError for an unknown name and for a reference to anything but a `Metric`.
    """
    metrics = {option: lookup(METRICS, option, "--metrics") for option in options}
    for option, metric in metrics.items():
        if not isinstance(metric, Metric):
            raise UserError(
                f"--metrics={option} is of type {type(metric).__name__}: it must be a "
                "wgan_jax.metrics.metric.Metric"
            )
    return metrics


def needs_rows(metrics: Mapping[str, Metric]) -> bool:
    """True where a metric reads the features of every image."""
    return any(metric.needs_rows for metric in metrics.values())


def compare(
    generated: Features,
    real: Features,
    extractor: Extractor,
    metrics: Mapping[str, Metric],
    seed: int = 0,
) -> dict[str, float]:
    """The numbers of the metrics of generated against real images, by JSON key.

    Metrics that need more images are left out. seed: of the random subsets. Raises
    UserError where a metric needs logits and the extractor has none.
    """
    numbers = {}
    for name, metric in metrics.items():
        if metric.shortage(generated.count, real.count):
            continue
        if metric.needs_logits and generated.score is None:
            raise UserError(
                f"--metrics {name} needs logits, which {extractor.name} does not have: "
                f"remove {name} from --metrics"
            )
        values = metric.compute(generated, real, seed)
        keys = map(extractor.metric_key, metric.numbers)
        numbers |= dict(zip(keys, values, strict=True))
    return numbers


def few_images(extractor: Extractor, metric: Metric, number: Number, count: int) -> str:
    """A warning about a number of `count` images; empty where they are enough."""
    advised = metric.advised(extractor.dimension)
    if count >= advised:
        return ""
    return (
        f"{extractor.metric_label(number)} of {count} images and {extractor.dimension} "
        f"features depends mostly on the number of images: take {advised} or more"
    )


def rank_correlation(x, y) -> float:
    """Spearman's rank correlation of x and y [n]; NaN where either is constant."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(x), rankdata(y)])
    ranks -= ranks.mean(1, keepdims=True)
    norm = math.prod(np.linalg.norm(ranks, axis=1))
    return float(ranks[0] @ ranks[1] / norm) if norm else math.nan
