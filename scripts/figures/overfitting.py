"""Critics of 1,000 MNIST images on these and on others (WGAN-GP, Fig. 5b).

The paper: a large critic without norm learns the few images by heart, by clipping as
with the penalty, and its negative loss tells so: on training and on held-out images it
diverges, and with the penalty it rises on the ones while it falls on the others. The
paper's loss has the penalty in it; both forms are here.

Left open there: which nets are large. The generator is DCGAN's with BatchNorm; critics
are MLPs, which learn by heart sooner than convolutions of the same cost: four layers of
ReLUs without norm under the penalty, two of leaky ReLUs by clipping, the second with
BatchNorm, which the released gan_mnist.py has by clipping alone. Without it, weights at
the bound add up what they agree on, such as brightness, to hundreds of times what they
learn by heart, and both curves swing together about zero by far more than they are
apart. Adam(0.5, 0.9) and weight 10 for the penalty, RMSprop and 0.01 for clipping,
batches of 50 as released; both curves are of 1,000 images and the same noise.
full: 32x32, base width 64, layers of 2048, the rates 1e-4 (penalty) and 5e-5
(clipping), 20,000 generator updates as plotted there. quick: 16x16, 16, 256, 2e-4 for
both, 2,000 updates. Axes leave out the first fifth.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from figures import training
from wgan_jax.algorithm.steps import critic_gradient
from wgan_jax.config import Config, Objective, Optimizer
from wgan_jax.data.batches import to_float

SIZES = {
    "tiny": {
        "seeds": 2, "steps": 8, "every": 2, "images": 64, "image_size": 8,
        "features": 4, "units": 8, "faster": (1, 1), "batch_size": 16,
    },
    "quick": {
        "seeds": 3, "steps": 2000, "every": 50, "images": 1000, "image_size": 16,
        "features": 16, "units": 256, "faster": (2, 4), "batch_size": 50,
    },
    "full": {
        "seeds": 3, "steps": 20_000, "every": 100, "images": 1000, "image_size": 32,
        "features": 64, "units": 2048, "faster": (1, 1), "batch_size": 50,
    },
}  # fmt: skip
OBJECTIVES = {
    "penalty": (
        Objective(gp_weight=10.0),
        Optimizer(critic_lr=1e-4, generator_lr=1e-4, beta1=0.5, beta2=0.9),
    ),
    "clip": (
        Objective(constraint="clip", clip=0.01),
        Optimizer(kind="rmsprop", critic_lr=5e-5, generator_lr=5e-5),
    ),
}
# Hidden layers, norm and activation of the critics.
CRITICS = {"penalty": (4, "none", "relu"), "clip": (2, "batch", "leaky_relu")}
SETS = {"training": ("C0-", "training"), "heldout": ("C1--", "held-out")}
# Panel: constraint, curve, title.
PANELS = (
    ("penalty", "loss", "gradient penalty: negative critic loss"),
    ("penalty", "estimate", "gradient penalty: estimate, no penalty in it"),
    ("clip", "loss", "weight clipping: negative critic loss, the estimate"),
)


def compute(size, seed, options):
    """Estimate and negative critic loss on both kinds of images, by constraint."""
    form = SIZES[size]
    source, dataset = training.load("mnist", size, options, form, form["images"])
    *keys, key_look = training.seed_keys(seed, form["seeds"])
    order = np.random.default_rng(seed).permutation(len(dataset.train))
    subset = dataset.train[order[: form["images"]]]
    sets = {
        which: to_float(jnp.asarray(images), source, key_look)
        for which, images in zip(SETS, (subset, dataset.heldout))
    }
    runs = {}
    for constraint in OBJECTIVES:
        spec, train = training.make_trainer(
            make_config(constraint, source, form), subset
        )
        monitor = jax.jit(partial(costs, spec=spec))
        runs[constraint] = []
        for i, key in enumerate(keys):
            curves = {f"{w}_{what}": [] for w in sets for what in ("estimate", "loss")}
            label = f"{constraint} {i}"
            for _, state, _ in train(key, form["steps"], form["every"], label):
                for which, images in sets.items():
                    estimate, loss = monitor(state, images, key_look)
                    curves[f"{which}_estimate"].append(float(estimate))
                    curves[f"{which}_loss"].append(float(loss))
            runs[constraint].append(curves)
    gaps = {name: [relative_gap(r) for r in rows] for name, rows in runs.items()}
    return {"form": form, "runs": runs, "relative_gap": gaps}


def make_config(constraint, source, form) -> Config:
    """The configuration of one of OBJECTIVES."""
    objective, optimizer = OBJECTIVES[constraint]
    rate = optimizer.critic_lr * form["faster"][constraint == "clip"]
    optimizer = dataclasses.replace(optimizer, critic_lr=rate, generator_lr=rate)
    model = training.image_model(
        "dcgan", "mlp", form["features"], form["units"], form["image_size"]
    )
    depth, norm, activation = CRITICS[constraint]
    model = dataclasses.replace(
        model,
        critic_widths=model.critic_widths[:depth],
        critic_norm=norm,
        critic_activation=activation,
    )
    return Config(data=source, model=model, objective=objective, optimizer=optimizer)


def costs(state, images, key, *, spec):
    """(estimate, minus the critic's loss) on images [n, ...], in whole batches."""
    size = spec.batch_size
    batches = images[: len(images) // size * size].reshape(-1, size, *images.shape[1:])

    def score(batch_and_key):
        metrics = critic_gradient(state, *batch_and_key, spec=spec)[3]
        return metrics["wasserstein"], -metrics["critic_loss"]

    keys = jax.random.split(key, len(batches))
    return tuple(values.mean() for values in jax.lax.map(score, (batches, keys)))


def relative_gap(curves) -> float:
    """(training - held-out) over training, of the mean losses of the second half."""
    half = len(curves["training_loss"]) // 2
    training_loss, heldout_loss = (np.mean(curves[f"{w}_loss"][half:]) for w in SETS)
    return float((training_loss - heldout_loss) / training_loss)


def draw(numbers):
    """A panel a kind of loss, training against held-out images, a line a seed."""
    form = numbers["form"]
    figure, panels = plt.subplots(
        1, len(PANELS), figsize=(14, 4.2), layout="constrained"
    )
    steps = form["every"] * (1 + np.arange(form["steps"] // form["every"]))
    for axes, (constraint, what, title) in zip(panels, PANELS):
        runs = numbers["runs"][constraint]
        for i, curves in enumerate(runs):
            more = {"alpha": 1.0 if i == 0 else 0.35, "lw": 1.6 if i == 0 else 1.0}
            for which, (style, label) in SETS.items():
                axes.plot(
                    steps, curves[f"{which}_{what}"], style, **more,
                    label=f"{label} images" if i == 0 else None,
                )  # fmt: skip
        # What comes before the generator has learnt anything would press it all flat.
        shown = [c[f"{w}_{what}"][len(steps) // 5 :] for c in runs for w in SETS]
        low, high = np.min(shown), np.max(shown)
        axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("generator updates")
        axes.legend(fontsize=8, framealpha=0.6)
    figure.suptitle(f"Critics of {form['images']:,} MNIST images")
    return figure


def finding(numbers):
    """One line for the table."""
    parts, said = [], training.mean_and_deviation
    for constraint, name, digits in (
        ("penalty", "penalty", 2),
        ("clip", "clipping", 4),
    ):
        told = []
        for which, (_, label) in SETS.items():
            curves = [run[f"{which}_loss"] for run in numbers["runs"][constraint]]
            middle = said([curve[len(curve) // 2] for curve in curves], digits)
            end = said([curve[-1] for curve in curves], digits)
            told.append(f"{middle} to {end} on {label} images")
        gap = said(numbers["relative_gap"][constraint])
        parts.append(f"{name} {' and '.join(told)}, relative gap {gap}")
    return (
        f"negative critic loss from the middle to the end, {numbers['form']['seeds']} "
        f"seeds, and the gap over that on training images, of the second half: "
        + "; ".join(parts)
    )
