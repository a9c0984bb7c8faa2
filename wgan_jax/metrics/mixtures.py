"""Modes of the Gaussian mixtures of `wgan_jax.data.toys`.

A point is of high quality if its Euclidean distance from the nearest centre is below 3
standard deviations, the criterion of the literature. The share of true samples is
1 - exp(-9/2) = 0.9889 in the plane, not 0.9973 as on the line.
"""

import numpy as np

from wgan_jax.data.toys import RADIUS, SCALE, SPACING, STD

MIXTURES = ("8gaussians", "25gaussians")


def centres(name: str) -> np.ndarray:
    """Centres of the modes, [k, 2]."""
    if name == "8gaussians":
        angle = np.pi / 4 * np.arange(8)
        return RADIUS / SCALE[name] * np.stack([np.cos(angle), np.sin(angle)], 1)
    if name == "25gaussians":
        line = SPACING / SCALE[name] * np.arange(-2, 3)
        return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    raise ValueError(f"{name} has no modes: only {' and '.join(MIXTURES)} are mixtures")


def std(name: str) -> float:
    """Standard deviation of every mode, in each coordinate."""
    return STD[name] / SCALE[name]


def mode_shares(points, name: str) -> np.ndarray:
    """Share [k] of the points [n, 2] that are high-quality samples of each mode."""
    points = np.asarray(points, np.float64)
    all_centres = centres(name)
    distance = np.linalg.norm(points[:, None] - all_centres[None], axis=2)
    nearest = distance.argmin(1)
    good = distance.min(1) < 3 * std(name)
    counts = np.bincount(nearest[good], minlength=len(all_centres))
    return counts / len(points)


def high_quality(points, name: str) -> float:
    """Share of the points [n, 2] that are high-quality samples of any mode."""
    return float(mode_shares(points, name).sum())


def modes_covered(points, name: str, least: int = 1) -> int:
    """Modes with at least `least` high-quality samples among the points [n, 2].

    One sample is the usual threshold of the literature, and a weak one: it counts a
    mode that has a thousandth of the points. `mode_shares` measures their balance.
    """
    counts = np.rint(mode_shares(points, name) * len(points))
    return int((counts >= least).sum())
