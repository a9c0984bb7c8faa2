"""Value surfaces of toy critics, clipped and penalised (WGAN-GP, Fig. 1a).

Claim of the paper: with the generator fixed at the truth plus N(0, I), critics trained
to the optimum under clipping ignore higher moments of the data and are too simple;
under the penalty they are not. The figure counts the local maxima of a critic, of which
Gaussians require one per mode. It also shows critics of generators that were trained
with them. As in gan_toy.py: three hidden layers of 512 ReLUs on both sides, uniform He
weights, batches of 256, five critic updates per step, Adam 1e-4 (0.5, 0.9) for the
penalty, RMSprop 5e-5 (TensorFlow's) and c = 0.01 for clipping. The window [-2, 2]^2 is
that of the printed figure. The quick form has layers of 128 and ten times the rates.

Lambda is the paper's 10 where the generator is fixed, because the estimate is
calibrated where slopes are near 1. With this lambda a critic that starts upside down,
low on the data, stays so for long: where W1 < 2 lambda the objective has a second
maximum, of slope 1 - W1 / (2 lambda), and the generator moves away from the data
meanwhile. Trained generators therefore have the 0.1 of gan_toy.py.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.tree_util import Partial
from rich.progress import track

from figures.critics import (
    CLIP,
    PENALTY,
    fixed_generator,
    nth,
    scorer,
    toy_from_noise,
    toy_spec,
    train_critic,
)
from wgan_jax.algorithm.state import init_state
from wgan_jax.algorithm.steps import train_chunk
from wgan_jax.config import TOYS, Objective
from wgan_jax.data.toys import toy_sample
from wgan_jax.metrics.critic import measure
from wgan_jax.metrics.transport import distance_to_truth, distances, mean_std


class Size(NamedTuple):
    """Settings of a form."""

    toys: tuple[str, ...]
    features: int
    rate: float
    """Factor on the learning rates of the paper."""
    seeds: int
    """Critics of a fixed generator; one additional run trains a generator."""
    updates: int
    """Critic updates against the fixed generator."""
    steps: int
    """Steps of the trained generators."""
    grid: int
    points: int
    """Points per optimal transport, of which there are three."""


SIZES = {
    "tiny": Size(("8gaussians",), 8, 1.0, 2, 5, 2, 12, 60),
    "quick": Size(TOYS, 128, 10.0, 3, 3000, 1000, 128, 1000),
    "full": Size(TOYS, 512, 1.0, 3, 100_000, 100_000, 128, 2000),
}
CONSTRAINTS = {
    "clip": (Objective(constraint="clip", clip=0.01), CLIP),
    "penalty": (Objective(gp_weight=10.0), PENALTY),
}
TITLES = {
    "8gaussians": "8 Gaussians",
    "25gaussians": "25 Gaussians",
    "swiss_roll": "Swiss roll",
}
REACH = 2.0
# Lambda for trained generators.
TRAINED_WEIGHT = 0.1


def compute(size, seed, options):
    """Surfaces of the first seed, and errors of critics and generators."""
    size = SIZES[size]
    numbers = {"size": size._asdict(), "reach": REACH}
    for toy in size.toys:
        distance = distances(fixed_points(toy), truth(toy), size.points, 3, seed)
        numbers[toy] = {
            "truth": truth(toy)(seed, 400).tolist(),
            "fixed_distance": dataclasses.asdict(distance),
        }
    jobs = [(t, c, k) for k in (fixed, trained) for t in size.toys for c in CONSTRAINTS]
    for toy, constraint, kind in track(jobs, description="training critics"):
        objective, optimizer = CONSTRAINTS[constraint]
        if kind is trained:
            objective = dataclasses.replace(objective, gp_weight=TRAINED_WEIGHT)
        optimizer = dataclasses.replace(
            optimizer,
            critic_lr=size.rate * optimizer.critic_lr,
            generator_lr=size.rate * optimizer.critic_lr,
        )
        spec = toy_spec(toy, objective, optimizer, size.features, 3)
        numbers[toy][f"{kind.__name__}_{constraint}"] = kind(toy, spec, size, seed)
    return numbers


def fixed(toy, spec, size, seed) -> dict:
    """Critics of the fixed generator: estimates of all, surface of the first."""
    spec = dataclasses.replace(
        spec, generator=fixed_generator(lambda z: noisy(toy, z)), z_dim=5
    )

    def train(key):
        def real(key):
            return toy_sample(toy, key, spec.batch_size)

        return train_critic(spec, real, key, size.updates).critic

    keys = jax.random.split(jax.random.key(seed), size.seeds)
    critics = jax.jit(jax.vmap(train))(keys)
    score = scorer(spec)
    real, fake = truth(toy)(seed + 1, 4000), fixed_points(toy)(seed + 2, 4000)
    rows = []
    for i in range(size.seeds):
        critic = nth(critics, i)
        estimate = measure(Partial(score, critic), real, fake, size=4000)
        values = surface(score, critic, size.grid)
        row = {
            "estimate": estimate.estimate,
            "calibrated": estimate.calibrated,
            "lower_bound": estimate.lower_bound_on_points,
            "peaks": peaks(values),
        }
        rows.append((row, values))
    statistics = {
        name: dataclasses.asdict(mean_std([row[name] for row, _ in rows]))
        for name in rows[0][0]
    }
    return statistics | {"surface": levels(rows[0][1])}


def trained(toy, spec, size, seed) -> dict:
    """Generator trained with its critic: surface, points, distance to the truth."""

    @jax.jit
    def train(key, steps):
        return train_chunk(init_state(key, spec), None, steps, spec=spec)[0]

    state = train(jax.random.key(seed), jnp.int32(size.steps))
    net = state.generator

    @jax.jit
    def generate(z):
        return spec.generator.apply(net.params, net.stats, z, train=False)[0]

    def points(seed, count):
        z = np.random.default_rng(seed).normal(size=(count, spec.z_dim))
        return np.asarray(generate(jnp.asarray(z, jnp.float32)))

    values = surface(scorer(spec), state.critic, size.grid)
    compared = distance_to_truth(points, truth(toy), size.points, 3, seed)
    return {
        "distance": dataclasses.asdict(compared.distance),
        "floor": dataclasses.asdict(compared.floor),
        "peaks": peaks(values),
        "points": np.round(points(seed, 400), 4).tolist(),
        "surface": levels(values),
    }


def noisy(toy, z):
    """The fixed generator: a point of the toy from z[:, :3], plus z[:, 3:]."""
    return toy_from_noise(toy, z[:, :3]) + z[:, 3:]


def fixed_points(toy):
    """draw(seed, count) of the fixed generator."""

    @jax.jit
    def make(z):
        return noisy(toy, z)

    def draw(seed, count):
        z = np.random.default_rng(seed).normal(size=(count, 5))
        return np.asarray(make(jnp.asarray(z, jnp.float32)))

    return draw


def truth(toy):
    """draw(seed, count) of the toy."""

    sample = jax.jit(toy_sample, static_argnums=(0, 2))

    def draw(seed, count):
        return np.asarray(sample(toy, jax.random.key(seed), count))

    return draw


def axis(count):
    """Coordinates of the grid on each axis."""
    return np.linspace(-REACH, REACH, count, dtype=np.float32)


def surface(score, critic, count):
    """The critic's values [count, count] on the window, the first axis upwards."""
    x, y = np.meshgrid(axis(count), axis(count))
    grid = np.stack([x.ravel(), y.ravel()], 1)
    values = jax.jit(score)(critic, grid)
    return np.asarray(values, np.float64).reshape(count, count)


def peaks(values, reach=5) -> int:
    """Number of local maxima of values [n, n], without the margin of the grid.

    A maximum is the largest value within `reach` cells on every side and exceeds all
    values at that distance by a thousandth of the range: planes and noisy plateaus have
    none.
    """
    side = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side))
    centre = windows[..., reach, reach]
    rim = np.ones((side, side), bool)
    rim[1:-1, 1:-1] = False
    above = windows[..., rim].max(-1) < centre - np.ptp(values) / 1000
    return int((above & (centre == windows.max((-1, -2)))).sum())


def levels(values) -> list:
    """The surface in integer thousandths of its range."""
    low, high = values.min(), values.max()
    return np.rint(1000 * (values - low) / (high - low)).astype(int).tolist()


def draw(numbers):
    """Clipping above penalty; fixed generators left, trained generators right."""
    toys = numbers["size"]["toys"]
    figure = plt.figure(figsize=(16, 6.2), layout="constrained")
    halves = figure.subfigures(1, 2, wspace=0.03)
    for half, kind, title in zip(
        halves,
        ("fixed", "trained"),
        (
            "Fixed generator: truth plus N(0, I)",
            "Generator trained with the critic",
        ),
        strict=True,
    ):
        half.suptitle(title, fontsize=13)
        axes = half.subplots(2, len(toys), squeeze=False)
        for row, constraint in zip(axes, CONSTRAINTS, strict=True):
            row[0].set_ylabel(constraint, fontsize=13)
            for panel, toy in zip(row, toys, strict=True):
                run = numbers[toy][f"{kind}_{constraint}"]
                _panel(panel, run, numbers[toy]["truth"])
                if kind == "fixed":
                    exact = numbers[toy]["fixed_distance"]["mean"]
                    calibrated = run["calibrated"]["mean"]
                    text = f"W1 {exact:.2f}, calibrated {calibrated:.2f}"
                else:
                    text = f"W1 to the truth {run['distance']['mean']:.2f}"
                panel.set_title(f"{TITLES[toy]}: {text}", fontsize=9)
    figure.legend(
        handles=[
            plt.Line2D([], [], ls="", marker=".", color="C1", label="truth"),
            plt.Line2D([], [], ls="", marker=".", color="C3", label="generated"),
        ],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _panel(panel, run, true_points):
    values = np.array(run["surface"])
    x = axis(len(values))
    panel.contourf(x, x, values, 20, cmap="Blues_r", alpha=0.6)
    panel.contour(x, x, values, 20, colors="0.25", linewidths=0.5)
    if "points" in run:
        panel.plot(*np.transpose(run["points"]), ".", color="C3", ms=2.5)
    panel.plot(*np.transpose(true_points), ".", color="C1", ms=3)
    panel.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[])
    panel.set_aspect("equal")
    panel.set_xlabel(f"local maxima: {peaks(values)}", fontsize=9)


def finding(numbers):
    """Sentence for the table."""
    parts, toys = [], numbers["size"]["toys"]
    for toy in toys:
        calibrated = [
            f"{_text(numbers[toy][f'fixed_{constraint}']['calibrated'])} ({constraint})"
            for constraint in ("penalty", "clip")
        ]
        parts.append(
            f"{TITLES[toy]} W1 {_text(numbers[toy]['fixed_distance'])}, calibrated "
            f"{', '.join(calibrated)}"
        )
    counts = {
        constraint: ", ".join(
            f"{numbers[toy][f'fixed_{constraint}']['peaks']['mean']:.3g}"
            for toy in toys
        )
        for constraint in CONSTRAINTS
    }
    return (
        f"fixed generator, {numbers['size']['seeds']} seeds: {'; '.join(parts)}; mean "
        f"number of local maxima of the critics: {counts['penalty']} (penalty) and "
        f"{counts['clip']} (clip)"
    )


def _text(statistics):
    return f"{statistics['mean']:.2f} +- {statistics['std']:.2f}"
