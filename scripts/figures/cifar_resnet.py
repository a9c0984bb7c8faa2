"""CIFAR-10 by the ResNets, without and with labels (WGAN-GP, Table 3).

The paper reports Inception scores of 7.86 +- 0.07 without and 8.42 +- 0.10 with labels,
for 50,000 samples in 10 parts. quick: an eighth of the width and few updates; full:
100,000 updates.
"""

import matplotlib.pyplot as plt

from figures import cifar, training

SIZES = cifar.sizes(
    quick={"steps": 400, "evaluations": 4, "chunk": 25},
    full={"steps": 100_000, "evaluations": 10},
)
NETS = {
    "cifar10_resnet": ("without labels", "7.86 +- 0.07"),
    "cifar10_resnet_acgan": ("with labels", "8.42 +- 0.10"),
}


def compute(size, seed, options):
    """Trains or resumes both, then measures every checkpoint."""
    form = training.chosen(SIZES, size, options) | {"seed": seed}
    return cifar.compute(list(NETS), form, size, options)


def draw(numbers):
    """Scores against generator updates, and grids of samples of both."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
    real = numbers["real"]
    for i, (name, curves) in enumerate(numbers["curves"].items()):
        for j, curve in enumerate(curves):
            label = NETS[name][0] if j == 0 else None
            style = {"color": f"C{i}", "marker": "o", "ms": 3, "capsize": 2}
            series = curve["steps"], curve["score"], curve["score_deviation"]
            axes[0].errorbar(*series, label=label, **style)
        training.show(axes[1 + i], curves[0]["grid"])
        by_class = ", one class per column" if "acgan" in name else ""
        axes[1 + i].set_title(f"{NETS[name][0]}{by_class}")
    axes[0].axhline(real["score"], color="0.5", lw=0.9, ls=":")
    axes[0].set(xlabel="generator updates", ylabel=real["score_is"])
    title = "bars: standard deviation over 10 parts; dotted: real images"
    axes[0].set_title(title, fontsize=9)
    axes[0].legend(fontsize=9)
    return figure


def finding(numbers):
    """Sentence for the table."""
    real = numbers["real"]
    parts = [
        f"{NETS[name][0]} {cifar.summary(curves, 'score')} "
        f"({cifar.summary(curves, 'frechet', 3)}; paper's Inception score "
        f"{NETS[name][1]})"
        for name, curves in numbers["curves"].items()
    ]
    return (
        f"{real['score_is']} and {real['frechet_is']} "
        f"{cifar.protocol(numbers['form'])}: {', '.join(parts)}; real images "
        f"{real['score']:.2f} ({real['frechet']:.3f})"
    )
