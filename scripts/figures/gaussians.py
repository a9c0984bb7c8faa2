"""Two Gaussians on a line: the best discriminator against critics (WGAN, Fig. 2).

Claim of the paper: a discriminator trained to the optimum saturates and gives the
generator no gradient, while a critic converges to a nearly linear function. The paper
gives no other details. Here real is N(-2, 1) and fake is N(2, 1), the networks have two
hidden layers of 64 ReLUs, batches are 256, and learning rates are 1e-3: Adam for the
discriminator and the penalty (lambda 10), RMSprop for clipping (at 0.1). D and log(1 -
D), the loss of the minimax game, saturate. For equal deviations the log odds are
linear: log D keeps its slope at the fakes and loses it where the generator is right.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.tree_util import Partial
from rich.progress import track
from scipy.special import expit
from scipy.stats import norm

from figures.critics import (
    ON_A_LINE,
    PENALTY,
    fixed_generator,
    nth,
    points_config,
    scorer,
    train_critic,
)
from wgan_jax.algorithm.objectives import gan
from wgan_jax.algorithm.state import make_spec
from wgan_jax.config import Objective
from wgan_jax.metrics.critic import measure
from wgan_jax.metrics.divergences import Gaussian, gaussian_jensen_shannon
from wgan_jax.metrics.transport import mean_std
from wgan_jax.nn.models import build

REAL, FAKE = Gaussian(-2.0, 1.0), Gaussian(2.0, 1.0)
# (seeds, critic updates).
SIZES = {"tiny": (2, 20), "quick": (5, 3000), "full": (10, 20000)}
TRAINED = {
    "discriminator": (
        Objective(kind="gan", constraint="none"),
        dataclasses.replace(PENALTY, critic_lr=1e-3),
    ),
    **ON_A_LINE,
}
FUNCTIONS = {"D": "D", "log_D": "log D", "log_1_D": "log(1 - D)"}


def compute(size, seed, options):
    """Curves of the first seed on a grid, and estimates by all seeds."""
    seeds, updates = SIZES[size]
    x = np.linspace(-8, 8, 161)
    odds, slope = log_odds(REAL, FAKE, x)
    numbers = {
        "real": dataclasses.asdict(REAL),
        "fake": dataclasses.asdict(FAKE),
        "updates": updates,
        "seeds": seeds,
        "x": x.tolist(),
        "wasserstein": abs(REAL.mean - FAKE.mean),
        "jensen_shannon": gaussian_jensen_shannon(REAL, FAKE),
        "optimal": curves(odds, slope),
        "optimal_at_fake": slopes_at_fake(),
    }
    keys = jax.random.split(jax.random.key(seed), seeds)
    for name, (objective, optimizer) in track(TRAINED.items(), description="training"):
        spec = line_spec(objective, optimizer)
        critics = jax.jit(jax.vmap(lambda key, s=spec: train(s, key, updates)))(keys)
        score = scorer(spec)
        rows = [estimates(score, nth(critics, i), objective.kind) for i in range(seeds)]
        numbers[name] = {
            field: dataclasses.asdict(mean_std([row[field] for row in rows]))
            for field in rows[0]
        }
        points = jnp.asarray(x[:, None], jnp.float32)
        first = nth(critics, 0)
        values, slopes = (
            np.asarray(v, np.float64) for v in profile(score, first, points)
        )
        if objective.kind == "gan":
            numbers[name] |= curves(values, slopes)
        else:
            numbers[name] |= {"score": values.tolist(), "slope": slopes.tolist()}
    return numbers


def line_spec(objective, optimizer):
    """Specification of a critic of numbers [n, 1] against FAKE."""
    config = points_config(objective, optimizer, (1, 1), z_dim=1)
    return dataclasses.replace(
        make_spec(config, get_batch=None),
        generator=fixed_generator(lambda z: FAKE.mean + FAKE.std * z),
        critic=build(config.model, (1,))[1],
    )


def train(spec, key, updates):
    """The critic after `updates` updates."""

    def real(key):
        return REAL.mean + REAL.std * jax.random.normal(key, (spec.batch_size, 1))

    return train_critic(spec, real, key, updates).critic


def profile(score, critic, points):
    """Values and slopes of the critic at points [n, 1]."""

    @jax.jit
    def both(critic):
        values, pull = jax.vjp(partial(score, critic), points)
        return values, pull(jnp.ones_like(values))[0][:, 0]

    return both(critic)


def estimates(score, critic, kind) -> dict:
    """Estimates at 4,096 evenly spaced quantiles, free of sampling noise."""
    levels = (np.arange(4096) + 0.5) / 4096
    real, fake = (
        jnp.asarray(norm.ppf(levels, g.mean, g.std), jnp.float32)[:, None]
        for g in (REAL, FAKE)
    )
    if kind == "gan":
        loss = gan.critic_loss(score(critic, real), score(critic, fake))
        return {"bound": float(gan.estimate(loss))}
    # Paired as in training, at random.
    fake = fake[np.random.default_rng(0).permutation(len(fake))]
    estimate = measure(Partial(score, critic), real, fake, size=4096)
    return {
        "estimate": estimate.estimate,
        "calibrated": estimate.calibrated,
        "mean_slope": estimate.mean_norm,
        "largest_slope": estimate.largest_norm,
    }


def log_odds(p, q, x):
    """(log p(x) / q(x), its slope): log odds of the best discriminator."""
    slope = (x - q.mean) / q.std**2 - (x - p.mean) / p.std**2
    return p.log_density(x) - q.log_density(x), slope


def curves(odds, slope) -> dict:
    """D, and absolute slopes of D, log D and log(1 - D), from log odds.

    With D the sigmoid of the odds, of slope s: D' = D (1 - D) s, (log D)' = (1 - D) s
    and (log(1 - D))' = -D s.
    """
    d, not_d = expit(odds), expit(-odds)
    sizes = {"D": d * not_d * slope, "log_D": not_d * slope, "log_1_D": d * slope}
    return {"probability": d.tolist()} | {
        f"slope_{name}": np.abs(v).tolist() for name, v in sizes.items()
    }


def slopes_at_fake() -> dict:
    """Slopes of the best discriminator at the mean of the fake distribution."""
    slopes = curves(*log_odds(REAL, FAKE, np.array([FAKE.mean])))
    return {name: slopes[f"slope_{name}"][0] for name in FUNCTIONS}


def draw(numbers):
    """Discriminators, critics, and the slopes of both."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    left, middle, right = axes
    x = np.array(numbers["x"])
    best, trained = numbers["optimal"], numbers["discriminator"]
    for panel, scale in ((left, 1), (middle, 8)):
        for name, colour in (("real", "C0"), ("fake", "C2")):
            density = np.exp(Gaussian(**numbers[name]).log_density(x))
            label = f"density of {name}" if panel is left else None
            base = 0 if panel is left else -9
            top = base + scale * density
            panel.fill_between(
                x, base, top, color=colour, alpha=0.25, lw=0, label=label
            )
    left.plot(x, best["probability"], "k-", lw=3, alpha=0.3, label="D = p / (p + q)")
    left.plot(x, trained["probability"], "C3--", label="D, trained")
    left.set(title="Discriminator", xlabel="x", ylim=(0, 1.05))
    left.legend(fontsize=8, loc="center right")
    centre = (numbers["real"]["mean"] + numbers["fake"]["mean"]) / 2
    middle.plot(x, centre - x, "k-", lw=3, alpha=0.3, label="optimal potential, -x")
    slopes = {}
    for name, colour in (("penalty", "C1"), ("clip", "C4")):
        score = np.array(numbers[name]["score"])
        slopes[name] = np.abs(numbers[name]["slope"])
        mean = numbers[name]["mean_slope"]["mean"]
        score = (score - np.interp(centre, x, score)) / mean
        middle.plot(x, score, colour, label=f"{name}, divided by {mean:.2g}")
        right.plot(x, slopes[name], colour, label=f"critic, {name}")
    middle.set(title="Critics, scaled to mean slope 1", xlabel="x", ylim=(-9, 9))
    middle.legend(fontsize=8, loc="upper right")
    for (name, label), colour in zip(
        FUNCTIONS.items(), ("C3", "C5", "C7"), strict=True
    ):
        right.plot(x, best[f"slope_{name}"], colour, lw=3, alpha=0.35)
        right.plot(x, trained[f"slope_{name}"], f"{colour}--", label=label)
    right.set(title="Absolute slope (wide lines: best D)", xlabel="x")
    right.set(yscale="log", ylim=(1e-6, 1e4))
    right.legend(fontsize=8, loc="upper center", ncols=2)
    for panel in axes:
        panel.set_xlim(-8, 8)
    return figure


def finding(numbers):
    """Sentence for the table."""
    calibrated = [
        f"{numbers[name]['calibrated']['mean']:.3f} +- "
        f"{numbers[name]['calibrated']['std']:.3f} ({name})"
        for name in ("penalty", "clip")
    ]
    bound, at_fake = numbers["discriminator"]["bound"], numbers["optimal_at_fake"]
    return (
        f"W1 = {numbers['wasserstein']:.4g}, calibrated estimates "
        f"{' and '.join(calibrated)} over {numbers['seeds']} seeds; JS = "
        f"{numbers['jensen_shannon']:.4f}, the discriminator's bound "
        f"{bound['mean']:.4f} +- {bound['std']:.4f}; at the mean of the "
        f"fake distribution log(1 - D) has slope {at_fake['log_1_D']:.1e}; the mean "
        f"slope of the critic with penalty is "
        f"{numbers['penalty']['mean_slope']['mean']:.2f}"
    )
