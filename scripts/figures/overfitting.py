"""Critics of 1,000 MNIST images on these and on other images (WGAN-GP, Fig. 5b).

Claim of the paper: a large critic without norms memorises few images, under clipping as
well as under the penalty, and its negative loss shows it: losses on training and on
held-out images diverge, and under the penalty the first rises while the second falls.
The loss of the paper includes the penalty; the figure shows both forms.

The paper does not specify the large networks. Here the generator is DCGAN's with
BatchNorm. Critics are MLPs, which memorise sooner than convolutions of the same cost:
four layers of ReLUs without norms under the penalty, two of leaky ReLUs under clipping,
the second with BatchNorm, which the released gan_mnist.py has under clipping only.
Without it, weights at the bound add up common features such as brightness to hundreds
of times the memorised differences, and both curves swing together about zero by far
more than their difference. Adam(0.5, 0.9) and weight 10 for the penalty, RMSprop and
0.01 for clipping, batches of 50 as released; both curves are of 1,000 images and the
same noise. full: 32x32, base width 64, layers of 2048, rates 1e-4 (penalty) and 5e-5
(clipping), 20,000 generator updates as in the paper's plot. quick: 16x16, 16, 256, 2e-4
for both, 2,000 updates. The axes ignore the first fifth.
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

SIZES = training.sizes(
    tiny={"steps": 8, "every": 2, "images": 64, "faster": (1, 1)},
    quick={"steps": 2000, "every": 50, "images": 1000, "faster": (2, 4)}
    | {"image_size": 16, "batch_size": 50},
    full={"steps": 20_000, "every": 100, "images": 1000, "faster": (1, 1)}
    | {"image_size": 32, "units": 2048, "batch_size": 50},
)
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
# Critics: (hidden layers, norm, activation).
CRITICS = {"penalty": (4, "none", "relu"), "clip": (2, "batch", "leaky_relu")}
SETS = {"training": ("C0-", "training"), "heldout": ("C1--", "held-out")}
# Panels: (constraint, curve, title).
PANELS = (
    ("penalty", "loss", "gradient penalty: negative critic loss"),
    ("penalty", "estimate", "gradient penalty: estimate, without the penalty"),
    ("clip", "loss", "weight clipping: negative critic loss = estimate"),
)


def compute(size, seed, options):
    """Estimate and negative critic loss on both sets of images, by constraint."""
    form = SIZES[size]
    data_config, dataset = training.load("mnist", size, options, form, form["images"])
    *keys, key_costs = training.seed_keys(seed, form["seeds"])
    order = np.random.default_rng(seed).permutation(len(dataset.train))
    subset = dataset.train[order[: form["images"]]]
    sets = {
        name: to_float(jnp.asarray(images), data_config, key_costs)
        for name, images in zip(SETS, (subset, dataset.heldout))
    }
    runs = {}
    for constraint in OBJECTIVES:
        spec, train = training.make_trainer(
            make_config(constraint, data_config, form), subset
        )
        measure = jax.jit(partial(costs, spec=spec))
        runs[constraint] = []
        for i, key in enumerate(keys):
            curves = {f"{s}_{kind}": [] for s in sets for kind in ("estimate", "loss")}
            label = f"{constraint} {i}"
            for _, state, _ in train(key, form["steps"], form["every"], label):
                for name, images in sets.items():
                    estimate, loss = measure(state, images, key_costs)
                    curves[f"{name}_estimate"].append(float(estimate))
                    curves[f"{name}_loss"].append(float(loss))
            runs[constraint].append(curves)
    gaps = {name: [relative_gap(r) for r in rows] for name, rows in runs.items()}
    return {"form": form, "runs": runs, "relative_gap": gaps}


def make_config(constraint, data_config, form) -> Config:
    """The configuration of one of OBJECTIVES."""
    objective, optimizer = OBJECTIVES[constraint]
    rate = optimizer.critic_lr * form["faster"][constraint == "clip"]
    optimizer = dataclasses.replace(optimizer, critic_lr=rate, generator_lr=rate)
    model = training.image_model("dcgan", "mlp", form)
    depth, norm, activation = CRITICS[constraint]
    model = dataclasses.replace(
        model,
        critic_widths=model.critic_widths[:depth],
        critic_norm=norm,
        critic_activation=activation,
    )
    return Config(
        data=data_config, model=model, objective=objective, optimizer=optimizer
    )


def costs(state, images, key, *, spec):
    """(estimate, negative critic loss) on images [n, ...], in whole batches."""
    size = spec.batch_size
    batches = images[: len(images) // size * size].reshape(-1, size, *images.shape[1:])

    def score(batch_and_key):
        metrics = critic_gradient(state, *batch_and_key, spec=spec)[3]
        return metrics["wasserstein"], -metrics["critic_loss"]

    keys = jax.random.split(key, len(batches))
    return tuple(values.mean() for values in jax.lax.map(score, (batches, keys)))


def relative_gap(curves) -> float:
    """(training - held-out) / training, of the mean losses of the second half."""
    half = len(curves["training_loss"]) // 2
    training_loss, heldout_loss = (
        np.mean(curves[f"{name}_loss"][half:]) for name in SETS
    )
    return float((training_loss - heldout_loss) / training_loss)


def draw(numbers):
    """One panel per curve, training against held-out images, one line per seed."""
    form = numbers["form"]
    figure, panels = plt.subplots(
        1, len(PANELS), figsize=(14, 4.2), layout="constrained"
    )
    steps = form["every"] * (1 + np.arange(form["steps"] // form["every"]))
    for axes, (constraint, kind, title) in zip(panels, PANELS):
        runs = numbers["runs"][constraint]
        for i, curves in enumerate(runs):
            emphasis = {"alpha": 1.0 if i == 0 else 0.35, "lw": 1.6 if i == 0 else 1.0}
            for name, (style, title_of_set) in SETS.items():
                label = f"{title_of_set} images" if i == 0 else None
                axes.plot(
                    steps, curves[f"{name}_{kind}"], style, label=label, **emphasis
                )
        # The range of the first updates would flatten all that follows.
        shown = [c[f"{name}_{kind}"][len(steps) // 5 :] for c in runs for name in SETS]
        low, high = np.min(shown), np.max(shown)
        axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("generator updates")
        axes.legend(fontsize=8, framealpha=0.6)
    figure.suptitle(f"Critics of {form['images']:,} MNIST images")
    return figure


def finding(numbers):
    """Sentence for the table."""
    parts, text = [], training.mean_std_text
    for constraint, title, digits in (
        ("penalty", "penalty", 2),
        ("clip", "clipping", 4),
    ):
        losses = []
        for name, (_, title_of_set) in SETS.items():
            curves = [run[f"{name}_loss"] for run in numbers["runs"][constraint]]
            middle = text([curve[len(curve) // 2] for curve in curves], digits)
            end = text([curve[-1] for curve in curves], digits)
            losses.append(f"{middle} to {end} on {title_of_set} images")
        gap = text(numbers["relative_gap"][constraint])
        parts.append(f"{title} {' and '.join(losses)}, relative gap {gap}")
    return (
        "negative critic loss at the middle and at the end of training, "
        f"{numbers['form']['seeds']} seeds, and its gap relative to that on training "
        f"images, over the second half: {'; '.join(parts)}"
    )
