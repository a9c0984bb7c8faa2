"""Scores of images from their features, under names that tell the network.

With Inception's features the numbers are FID, IS and KID; with another network's they
have other names, for they compare with no published one.
"""

import math
from typing import Literal

import numpy as np

from wgan_jax.errors import UserError
from wgan_jax.metrics import scores
from wgan_jax.metrics.features import Extractor, Features

Metric = Literal["fid", "is", "kid", "prdc"]
PRDC = ("precision", "recall", "density", "coverage")
# Of each side, as in the papers: the work grows with the square.
PRDC_LIMIT = 10_000
# Images that scores need: ten parts, and neighbours for prdc.
LEAST = 10


def names(extractor: Extractor) -> dict[str, str]:
    """{fid, is, kid: what they are called} in JSON with this extractor's features."""
    if extractor.name == "inception":
        return {"fid": "fid", "is": "is", "kid": "kid"}
    whole = {"fid": "frechet", "is": "score", "kid": "kid"}
    return {metric: f"{extractor.name}_{word}" for metric, word in whole.items()}


def labels(extractor: Extractor, floor: int) -> dict[str, str]:
    """{key in JSON: label in a table}; floor: images behind the floor."""
    own = names(extractor)
    words = {"fid": "FID", "is": "Inception score", "kid": "KID"}
    prefix = ""
    if extractor.name != "inception":
        words = {"fid": "Frechet distance", "is": "score", "kid": "KID"}
        words = {metric: f"{extractor.name} {word}" for metric, word in words.items()}
        prefix = f"{extractor.name} "
    told = {own[metric]: word for metric, word in words.items()}
    told[f"{own['fid']}_at_floor"] = f"{words['fid']}, {floor} samples"
    told[f"{own['is']}_split_deviation"] = "  its deviation over splits"
    told[f"{own['kid']}_subset_deviation"] = "  its deviation over subsets"
    told |= {_prdc_key(extractor, word): prefix + word for word in PRDC}
    return told | {"heldout_estimate": "held-out estimate"}


def _prdc_key(extractor, word):
    return word if extractor.name == "inception" else f"{extractor.name}_{word}"


def compare(
    found: Features, real: Features, extractor: Extractor, metrics, seed: int = 0
) -> dict[str, float]:
    """The metrics of found images against real ones, by their keys in JSON.

    metrics: some of fid, is, kid, prdc; the last two need the features to have been
    kept, is logits. seed: of KID's subsets and of the real images for prdc, which takes
    as many of each side and at most 10,000.
    """
    own, told = names(extractor), {}
    if "fid" in metrics:
        distance = scores.frechet_distance(found.moments, real.moments)
        told[own["fid"]] = distance
    if "is" in metrics:
        if found.score is None:
            raise UserError(
                f"--metrics is needs logits of 10 images or more, and {extractor.name} "
                f"gave none for {found.count}: leave it out"
            )
        told[own["is"]], told[f"{own['is']}_split_deviation"] = found.score
    if "kid" in metrics:
        kernel = scores.kernel_distance(found.rows, real.rows, seed=seed)
        told[own["kid"]] = kernel.mean
        told[f"{own['kid']}_subset_deviation"] = kernel.std
    if "prdc" in metrics:
        size = min(found.count, real.count, PRDC_LIMIT)
        which = np.random.default_rng(seed).choice(real.count, size, replace=False)
        sides = real.rows[which], found.rows[:size]
        values = *scores.precision_recall(*sides), *scores.density_coverage(*sides)
        told |= {_prdc_key(extractor, w): v for w, v in zip(PRDC, values, strict=True)}
    return told


def sizes(metrics, num, real):
    """Sizes of what KID and prdc compare, where they were asked for."""
    kid, prdc = min(1000, num, real), min(PRDC_LIMIT, num, real)
    found = {"kid_subset_samples": kid} if "kid" in metrics else {}
    return found | ({"prdc_samples": prdc} if "prdc" in metrics else {})


def rank_correlation(x, y) -> float:
    """Spearman's: that of the ranks of x and y; NaN where one of them is constant."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(x), rankdata(y)])
    ranks -= ranks.mean(1, keepdims=True)
    norm = math.prod(np.linalg.norm(ranks, axis=1))
    return float(ranks[0] @ ranks[1] / norm) if norm else math.nan
