"""CIFAR-10 by the ResNets, without and with labels (WGAN-GP, Table 3).

The paper: Inception scores 7.86 +- 0.07 without and 8.42 +- 0.10 with labels, of 50,000
samples in 10 parts. quick: an eighth of the width, few updates; full: 100,000 updates.
"""

import matplotlib.pyplot as plt

from figures import cifar, training

SIZES = cifar.sizes(
    quick={"steps": 400, "looks": 4, "chunk": 25},
    full={"steps": 100_000, "looks": 10},
)
NETS = {
    "cifar10_resnet": ("without labels", "7.86 +- 0.07"),
    "cifar10_resnet_acgan": ("with labels", "8.42 +- 0.10"),
}


def compute(size, seed, options):
    """Trains or goes on with both, then measures every checkpoint."""
    form = SIZES[size] | {"seed": seed}
    return cifar.compute(list(NETS), form, size, options)


def draw(numbers):
    """Scores against generator updates beside both sheets of samples."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
    real = numbers["real"]
    for i, (name, curves) in enumerate(numbers["curves"].items()):
        for j, curve in enumerate(curves):
            axes[0].errorbar(
                curve["steps"], curve["score"], curve["score_deviation"],
                color=f"C{i}", marker="o", ms=3, capsize=2,
                label=NETS[name][0] if j == 0 else None,
            )  # fmt: skip
        training.show(axes[1 + i], curves[0]["sheet"])
        by_class = ", a class a column" if "acgan" in name else ""
        axes[1 + i].set_title(f"{NETS[name][0]}{by_class}")
    axes[0].axhline(real["score"], color="0.5", lw=0.9, ls=":")
    axes[0].set(xlabel="generator updates", ylabel=real["score_is"])
    axes[0].set_title("bars: deviation over 10 parts; dotted: real images", fontsize=9)
    axes[0].legend(fontsize=9)
    return figure


def finding(numbers):
    """One line for the table."""
    real, form = numbers["real"], numbers["form"]
    parts = [
        f"{NETS[name][0]} {cifar.told(curves, 'score')} "
        f"({cifar.told(curves, 'frechet', 3)}; paper's Inception score "
        f"{NETS[name][1]})"
        for name, curves in numbers["curves"].items()
    ]
    width = f"base width {form['features']}, " if form["features"] else ""
    return (
        f"{real['score_is']} and {real['frechet_is']} after {form['steps']:,} "
        f"generator updates, {width}{form['count']:,} samples, {form['seeds']} "
        "seed(s): "
        f"{', '.join(parts)}; real images {real['score']:.2f} ({real['frechet']:.3f})"
    )
