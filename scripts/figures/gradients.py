"""Gradients by layer and weights of deep critics (WGAN-GP, Fig. 1b).

The statement: on the Swiss roll, with twelve ReLU layers on both sides and no norms,
the critic's gradients explode or vanish with the bound of the clipping, and do neither
under the penalty; clipping drives the weights to the bound. The paper leaves the rest
open; here layers have 128 units (--full: 512), initial weights are those of
`critics.he` (most of which a small bound clips at once: the figure shows them too),
batches 256, five critic updates a step, Adam 1e-4 (0.5, 0.9) for the penalty with
lambda 10, RMSprop 5e-5 (TensorFlow's) for clipping. Layer 13 is the score, whose own
gradient is that of a mean. The gain of a layer is 10 to the slope of log10 of the norm
against the layer, going back, so that above 1 gradients explode.

The weights are of other runs: narrower, longer, and at thirty times the rates (--full:
as the others). At 1e-4 and in few steps they would still be the uniform draw of birth.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track

from figures.critics import CLIP, PENALTY, toy_spec
from wgan_jax.algorithm.diagnostics import layer_gradients, share_at_bound
from wgan_jax.algorithm.state import init_state
from wgan_jax.algorithm.steps import train_chunk
from wgan_jax.config import Objective
from wgan_jax.data.toys import toy_sample
from wgan_jax.metrics.transport import mean_std


class Size(NamedTuple):
    """What the forms differ in."""

    depth: int
    """Hidden layers of each net."""
    features: int
    seeds: int
    steps: int


class Long(NamedTuple):
    """The runs whose weights are shown, long enough for them to leave their birth."""

    features: int
    steps: int
    rate: float
    """Learning rates over those of the gradients' runs."""
    batch_size: int


SIZES = {
    "tiny": (Size(2, 16, 2, 2), Long(8, 2, 1.0, 32)),
    "quick": (Size(12, 128, 3, 200), Long(32, 3000, 30.0, 64)),
    "full": (Size(12, 512, 3, 10_000), Long(512, 50_000, 1.0, 256)),
}
TOY, BINS = "swiss_roll", 81
BOUNDS = {"clip 0.1": 0.1, "clip 0.01": 0.01, "clip 0.001": 0.001, "penalty": None}
# The histograms and their ranges.
SHOWN = {"clip 0.01": 0.02, "penalty": 0.5}


def compute(size, seed, options):
    """Norms by layer of every critic and seed, and histograms of the weights."""
    size, long = SIZES[size]
    numbers = {
        "size": size._asdict(),
        "long": long._asdict(),
        "layers": list(range(size.depth + 1, 0, -1)),
    }
    keys = jax.random.split(jax.random.key(seed), size.seeds)
    norms = make_norms(make(None, size), seed)
    for name, bound in track(BOUNDS.items(), description="training critics"):
        born, states = train(make(bound, size), keys, size.steps)
        logs = np.log10(norms(states))
        if not np.isfinite(logs).all():
            raise RuntimeError(f"{name}: a gradient is zero or not finite: {logs}")
        numbers[name] = {
            "log10_norms": logs.tolist(),
            "gain": dataclasses.asdict(mean_std([gain(row) for row in logs])),
        }
        if bound is not None:
            for when, params in (("born", born), ("trained", states.critic.params)):
                held = mean_std([share_at_bound(k, bound) for k in kernels(params)])
                numbers[name][when] = {"at_bound": dataclasses.asdict(held)}
    for name, reach in track(SHOWN.items(), description="training for long"):
        born, states = train(make(BOUNDS[name], size, long), keys, long.steps)
        edges = np.linspace(-reach, reach, BINS + 1)
        numbers[name]["weights"] = {"edges": edges.tolist()} | {
            when: weights(kernels(params), edges)
            for when, params in (("born", born), ("trained", states.critic.params))
        }
    return numbers


def kernels(params) -> list:
    """Lists of weights [in, out] without biases, one a seed, of params of all seeds."""
    arrays = [np.asarray(a) for a in jax.tree.leaves(params) if a.ndim == 3]
    return [[a[i] for a in arrays] for i in range(len(arrays[0]))]


def weights(seeds, edges) -> dict:
    """Histogram of all weights, and kurtosis of those between hidden layers by seed.

    The other two layers have bounds of their own at birth, which would mix.
    """
    told = [
        np.mean([kurtosis(a) for a in arrays if a.shape[0] == a.shape[1]])
        for arrays in seeds
    ]
    return {
        "share": shares([a for arrays in seeds for a in arrays], edges),
        "kurtosis": dataclasses.asdict(mean_std(told)),
    }


def kurtosis(array) -> float:
    """E[(x - m)^4] / E[(x - m)^2]^2: 1 at two values, 1.8 uniform, 3 Gaussian."""
    squares = np.square(np.asarray(array, np.float64) - np.mean(array, dtype=float))
    return float(np.square(squares).mean() / squares.mean() ** 2)


def make(bound, size, long=None):
    """The spec of a run with this bound, or with the penalty where it is None."""
    objective, optimizer = Objective(gp_weight=10.0), PENALTY
    if bound is not None:
        objective, optimizer = Objective(constraint="clip", clip=bound), CLIP
    features, _, faster, batch_size = long or (size.features, 0, 1.0, 256)
    rate = faster * optimizer.critic_lr
    optimizer = dataclasses.replace(optimizer, critic_lr=rate, generator_lr=rate)
    return toy_spec(TOY, objective, optimizer, features, size.depth, batch_size)


def train(spec, keys, steps):
    """The critics' parameters before the first step, and the states after the last."""

    def one(key, steps):
        state = init_state(key, spec)
        return state.critic.params, train_chunk(state, None, steps, spec=spec)[0]

    # Not by vmap, under which small products take several times as long on a CPU.
    run = jax.jit(lambda keys, steps: jax.lax.map(lambda key: one(key, steps), keys))
    return run(keys, jnp.int32(steps))


def make_norms(spec, seed):
    """norms(states) -> [seeds, layers]: norms of the gradients, last layer first, on
    1,024 samples, for states of any run with the networks of `spec`.

    In float64: the squares of what vanishes are below float32's least number.
    """
    z = np.random.default_rng(seed).normal(size=(1024, spec.z_dim))
    real = np.asarray(toy_sample(TOY, jax.random.key(seed), 1024), np.float64)

    @jax.jit
    @partial(jax.vmap, in_axes=(0, 0, None, None))
    def find(critic, generator, z, real):
        fake, _ = spec.generator.apply(generator.params, generator.stats, z, True)
        found = layer_gradients(critic, real, fake, spec=spec)
        return jnp.stack([found[i] for i in sorted(found, reverse=True)])

    def norms(states):
        critic, generator = (
            dataclasses.replace(
                net,
                params=jax.tree.map(lambda a: np.asarray(a, np.float64), net.params),
                opt_state=None,
            )
            for net in (states.critic, states.generator)
        )
        with jax.enable_x64(True):
            return np.asarray(find(critic, generator, z, real))

    return norms


def gain(logs) -> float:
    """Factor a layer, from a line of least squares through logs to base 10."""
    return float(10 ** np.polyfit(np.arange(len(logs)), logs, 1)[0])


def shares(arrays, edges) -> list:
    """Share of all entries in each bin; those beyond the edges are in none."""
    flat = np.concatenate([np.ravel(a) for a in arrays])
    return (np.histogram(flat, edges)[0] / len(flat)).tolist()


def draw(numbers):
    """Norms by layer, then the weights of a clipped and of a penalised critic."""
    figure, axes = plt.subplots(
        1, 3, figsize=(14, 4), layout="constrained", width_ratios=(1.5, 1, 1)
    )
    layers = numbers["layers"]
    for name, marker in zip(BOUNDS, "osv^", strict=True):
        logs = np.array(numbers[name]["log10_norms"])
        told = numbers[name]["gain"]["mean"]
        axes[0].plot(
            layers,
            logs.mean(0),
            f"{marker}-",
            ms=4,
            label=f"{name}: {told:.2g} a layer",
        )
        axes[0].fill_between(layers, logs.min(0), logs.max(0), alpha=0.2, lw=0)
    axes[0].set(
        title="Gradient of the critic's loss by layer (band: all seeds)",
        xlabel="layer, from the score back to the points",
        ylabel="log10 of the norm",
        xlim=(layers[0] + 0.4, 0.6),
        xticks=layers[::3],
    )
    axes[0].legend(fontsize=8)
    for panel, name in zip(axes[1:], SHOWN, strict=True):
        found = numbers[name]["weights"]
        edges, styles = found["edges"], ({"fill": True, "alpha": 0.5}, {"color": "k"})
        for when, style in zip(("trained", "born"), styles, strict=True):
            told = found[when]["kurtosis"]["mean"]
            label = f"{when}: kurtosis {told:.2f}"
            panel.stairs(found[when]["share"], edges, lw=0.8, label=label, **style)
        panel.set(title=f"Weights, {name}", xlabel="weight", ylabel="share in a bin")
        panel.margins(y=0.25)
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=8, loc="upper center")
    return figure


def finding(numbers):
    """One line for the table."""
    gains = ", ".join(
        f"{numbers[name]['gain']['mean']:.2g} +- "
        f"{numbers[name]['gain']['deviation']:.1g} ({name})"
        for name in BOUNDS
    )
    held = ", ".join(
        f"{numbers[name]['trained']['at_bound']['mean']:.0%} "
        f"({numbers[name]['born']['at_bound']['mean']:.0%} before training)"
        for name in BOUNDS
        if BOUNDS[name] is not None
    )
    told = ", ".join(
        f"{numbers[name]['weights']['trained']['kurtosis']['mean']:.2f} +- "
        f"{numbers[name]['weights']['trained']['kurtosis']['deviation']:.2f} ({name})"
        for name in SHOWN
    )
    return (
        f"gain of the gradient a layer back, {numbers['size']['seeds']} seeds: "
        f"{gains}; weights at the bound: {held}; kurtosis of the weights after "
        f"{numbers['long']['steps']:,} steps (uniform 1.8, Gaussian 3): {told}"
    )
