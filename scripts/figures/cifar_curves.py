"""CIFAR-10 by four methods with one pair of networks (WGAN-GP, Fig. 3).

Claim of the paper: by Inception score against generator updates, WGAN-GP with Adam
reaches about 6 as DCGAN does, WGAN-GP with RMSprop stays below, and weight clipping is
lowest. quick: an eighth of the width and far fewer updates, at the paper's rates; full:
the paper's size, 200,000 updates. DCGAN has one critic update per generator update, the
others have five.
"""

import matplotlib.pyplot as plt
import numpy as np

from figures import cifar, training

SIZES = cifar.sizes(
    quick={"steps": 900, "evaluations": 3, "chunk": 50},
    full={"steps": 200_000, "evaluations": 20},
)
METHODS = {
    "cifar10_dcgan_gp_adam": "penalty, Adam",
    "cifar10_dcgan_gp_rmsprop": "penalty, RMSprop",
    "cifar10_dcgan_clip": "clipping",
    "cifar10_dcgan_gan": "DCGAN",
}


def compute(size, seed, options):
    """Trains or resumes each method and seed, then measures every checkpoint."""
    form = training.chosen(SIZES, size, options) | {"seed": seed}
    return cifar.compute(list(METHODS), form, size, options)


def draw(numbers):
    """Score and distance against generator updates, and last samples per method."""
    figure = plt.figure(figsize=(13, 7), layout="constrained")
    grid = figure.add_gridspec(2, 4, height_ratios=(1.8, 1))
    axes = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:])
    real = numbers["real"]
    for i, (name, curves) in enumerate(numbers["curves"].items()):
        for j, curve in enumerate(curves):
            label = METHODS[name] if j == 0 else None
            style = {"color": f"C{i}", "marker": "o", "ms": 3, "alpha": 1 - 0.3 * j}
            axes[0].plot(curve["steps"], curve["score"], label=label, **style)
            axes[1].plot(curve["steps"], curve["frechet"], **style)
        below = figure.add_subplot(grid[1, i])
        training.show(below, curves[0]["grid"])
        below.set_title(f"{METHODS[name]}, update {curves[0]['steps'][-1]:,}")
    for panel, name in zip(axes, ("score", "frechet"), strict=True):
        panel.axhline(real[name], color="0.5", lw=0.9, ls=":")
        panel.set(xlabel="generator updates", ylabel=real[f"{name}_is"])
    label = f"{real['heldout']:,} held-out real images"
    position = axes[0].get_yaxis_transform()
    axes[0].text(
        0.01,
        real["score"],
        label,
        transform=position,
        va="top",
        fontsize=8,
        color="0.4",
    )
    axes[0].legend(fontsize=9)
    axes[1].set_yscale("log")
    return figure


def finding(numbers):
    """Sentence for the table."""
    real = numbers["real"]
    ranked = sorted(
        numbers["curves"].items(),
        key=lambda item: np.mean(cifar.last(item[1], "frechet")),
    )
    parts = [
        f"{METHODS[name]} {cifar.summary(curves, 'frechet', 1)} "
        f"({cifar.summary(curves, 'score')})"
        for name, curves in ranked
    ]
    return (
        f"{real['frechet_is']} ({real['score_is']}) {cifar.protocol(numbers['form'])}: "
        f"{'; '.join(parts)}; real images {real['frechet']:.2f} ({real['score']:.2f}). "
        "Paper, Inception score at 200,000: Adam and DCGAN about 6, RMSprop below, "
        "clipping lowest"
    )
