"""CIFAR-10 by four methods on one pair of nets (WGAN-GP, Fig. 3).

The paper: by Inception score against generator updates, WGAN-GP with Adam comes as far
as DCGAN (about 6), WGAN-GP with RMSprop stays below, weight clipping lowest. quick: an
eighth of the width and far fewer updates, at the paper's rates; full: the paper's size,
200,000 updates. Of the updates a DCGAN makes one of the critic each, the others five.
"""

import matplotlib.pyplot as plt

from figures import cifar, training

SIZES = cifar.sizes(
    quick={"steps": 900, "looks": 3, "chunk": 50},
    full={"steps": 200_000, "looks": 20},
)
METHODS = {
    "cifar10_dcgan_gp_adam": "penalty, Adam",
    "cifar10_dcgan_gp_rmsprop": "penalty, RMSprop",
    "cifar10_dcgan_clip": "clipping",
    "cifar10_dcgan_gan": "DCGAN",
}


def compute(size, seed, options):
    """Trains or goes on with each method and seed, then measures every checkpoint."""
    form = SIZES[size] | {"seed": seed}
    return cifar.compute(list(METHODS), form, size, options)


def draw(numbers):
    """Score and distance against generator updates, and each method's last samples."""
    figure = plt.figure(figsize=(13, 7), layout="constrained")
    grid = figure.add_gridspec(2, 4, height_ratios=(1.8, 1))
    axes = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:])
    real = numbers["real"]
    for i, (name, curves) in enumerate(numbers["curves"].items()):
        for j, curve in enumerate(curves):
            label = METHODS[name] if j == 0 else None
            more = {"color": f"C{i}", "marker": "o", "ms": 3, "alpha": 1 - 0.3 * j}
            axes[0].plot(curve["steps"], curve["score"], label=label, **more)
            axes[1].plot(curve["steps"], curve["frechet"], **more)
        below = figure.add_subplot(grid[1, i])
        training.show(below, curves[0]["sheet"])
        below.set_title(f"{METHODS[name]}, update {curves[0]['steps'][-1]:,}")
    for panel, what in zip(axes, ("score", "frechet"), strict=True):
        panel.axhline(real[what], color="0.5", lw=0.9, ls=":")
        panel.set(xlabel="generator updates", ylabel=real[f"{what}_is"])
    held = f"real, {real['heldout']:,} held-out images"
    axes[0].annotate(
        held, (0, real["score"]), (4, -10), xycoords=("axes fraction", "data"),
        textcoords="offset points", fontsize=8, color="0.4",
    )  # fmt: skip
    axes[0].legend(fontsize=9)
    axes[1].set_yscale("log")
    return figure


def finding(numbers):
    """One line for the table."""
    real, form = numbers["real"], numbers["form"]
    ranked = sorted(
        numbers["curves"].items(),
        key=lambda item: cifar.mean_over(item[1], "frechet")[0],
    )
    parts = [
        f"{METHODS[name]} {cifar.told(curves, 'frechet', 1)} "
        f"({cifar.told(curves, 'score')})"
        for name, curves in ranked
    ]
    width = f"base width {form['features']}, " if form["features"] else ""
    return (
        f"{real['frechet_is']} ({real['score_is']}) after {form['steps']:,} "
        f"generator updates, {width}{form['count']:,} samples, {form['seeds']} "
        "seed(s): "
        f"{'; '.join(parts)}; real images {real['frechet']:.2f} ({real['score']:.2f}). "
        "Paper, Inception score at 200,000: Adam and DCGAN about 6, RMSprop below, "
        "clipping lowest"
    )
