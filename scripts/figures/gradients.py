"""Gradients by layer and weights of deep critics (WGAN-GP, Fig. 1b).

Claim of the paper: on the Swiss roll, with twelve ReLU layers on both sides and no
norms, the critic's gradients explode or vanish depending on the clipping bound, and
stay stable under the penalty; clipping drives the weights to the bound. The paper gives
no other details. Here layers have 128 units (--full: 512), initial weights are those of
`critics.he` (a small bound clips most of them at once: the figure shows them too),
batches are 256, with five critic updates per step, Adam 1e-4 (0.5, 0.9) for the penalty
with lambda 10, and RMSprop 5e-5 (TensorFlow's) for clipping. Layer 13 is the score,
whose gradient is that of a mean. The gain of a layer is 10 to the slope of log10 of the
norm against the layer, backwards: above 1 gradients explode.

The weights are those of separate runs: narrower, longer, and at thirty times the rates
(--full: the same rates). At 1e-4 and in few steps they would keep the uniform
distribution of their initialisation.
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
from wgan_jax.algorithm.constraints.clip import share_at_bound
from wgan_jax.algorithm.diagnostics import layer_gradients
from wgan_jax.algorithm.state import init_state
from wgan_jax.algorithm.steps import train_chunk
from wgan_jax.config import Objective
from wgan_jax.data.toys import toy_sample
from wgan_jax.metrics.transport import mean_std


class Size(NamedTuple):
    """Settings of a form."""

    depth: int
    """Hidden layers of each network."""
    features: int
    seeds: int
    steps: int


class Long(NamedTuple):
    """Settings of the runs whose weights are shown, long enough to change them."""

    features: int
    steps: int
    rate: float
    """Factor on the learning rates of the runs whose gradients are shown."""
    batch_size: int


SIZES = {
    "tiny": (Size(2, 16, 2, 2), Long(8, 2, 1.0, 32)),
    "quick": (Size(12, 128, 3, 200), Long(32, 3000, 30.0, 64)),
    "full": (Size(12, 512, 3, 10_000), Long(512, 50_000, 1.0, 256)),
}
TOY, BINS = "swiss_roll", 81
BOUNDS = {"clip 0.1": 0.1, "clip 0.01": 0.01, "clip 0.001": 0.001, "penalty": None}
# Runs with histograms of the weights, and the ranges.
SHOWN = {"clip 0.01": 0.02, "penalty": 0.5}


def compute(size, seed, options):
    """Norms by layer for every critic and seed, and histograms of the weights."""
    size, long = SIZES[size]
    numbers = {
        "size": size._asdict(),
        "long": long._asdict(),
        "layers": list(range(size.depth + 1, 0, -1)),
    }
    keys = jax.random.split(jax.random.key(seed), size.seeds)
    norms = make_norms(make(None, size), seed)
    for name, bound in track(BOUNDS.items(), description="training critics"):
        initial, states = train(make(bound, size), keys, size.steps)
        logs = np.log10(norms(states))
        if not np.isfinite(logs).all():
            raise RuntimeError(f"{name}: a gradient is zero or not finite: {logs}")
        numbers[name] = {
            "log10_norms": logs.tolist(),
            "gain": dataclasses.asdict(mean_std([gain(row) for row in logs])),
        }
        if bound is not None:
            for stage, params in _stages(initial, states):
                at_bound = mean_std([share_at_bound(k, bound) for k in kernels(params)])
                numbers[name][stage] = {"at_bound": dataclasses.asdict(at_bound)}
    for name, reach in track(SHOWN.items(), description="training longer"):
        initial, states = train(make(BOUNDS[name], size, long), keys, long.steps)
        edges = np.linspace(-reach, reach, BINS + 1)
        numbers[name]["weights"] = {"edges": edges.tolist()} | {
            stage: weights(kernels(params), edges)
            for stage, params in _stages(initial, states)
        }
    return numbers


def _stages(initial, states):
    return ("initial", initial), ("trained", states.critic.params)


def kernels(params) -> list:
    """Weights [in, out] without biases, one list per seed, of stacked params."""
    arrays = [np.asarray(a) for a in jax.tree.leaves(params) if a.ndim == 3]
    return [[a[i] for a in arrays] for i in range(len(arrays[0]))]


def weights(seeds, edges) -> dict:
    """Histogram of all weights, and kurtosis of those between hidden layers by seed.

    The first and the last layer have other initial ranges, which would mix.
    """
    kurtoses = [
        np.mean([kurtosis(a) for a in arrays if a.shape[0] == a.shape[1]])
        for arrays in seeds
    ]
    return {
        "share": shares([a for arrays in seeds for a in arrays], edges),
        "kurtosis": dataclasses.asdict(mean_std(kurtoses)),
    }


def kurtosis(array) -> float:
    """E[(x - m)^4] / E[(x - m)^2]^2: 1 at two values, 1.8 uniform, 3 Gaussian."""
    squares = np.square(np.asarray(array, np.float64) - np.mean(array, dtype=float))
    return float(np.square(squares).mean() / squares.mean() ** 2)


def make(bound, size, long=None):
    """Specification of a run clipped at `bound`, or with the penalty for None."""
    objective, optimizer = Objective(gp_weight=10.0), PENALTY
    if bound is not None:
        objective, optimizer = Objective(constraint="clip", clip=bound), CLIP
    features, _, factor, batch_size = long or (size.features, 0, 1.0, 256)
    rate = factor * optimizer.critic_lr
    optimizer = dataclasses.replace(optimizer, critic_lr=rate, generator_lr=rate)
    return toy_spec(TOY, objective, optimizer, features, size.depth, batch_size)


def train(spec, keys, steps):
    """(critics' initial parameters, states after the last step) of all keys."""

    def one(key, steps):
        state = init_state(key, spec)
        return state.critic.params, train_chunk(state, None, steps, spec=spec)[0]

    # Not vmap: batched small products take several times as long on a CPU.
    run = jax.jit(lambda keys, steps: jax.lax.map(lambda key: one(key, steps), keys))
    return run(keys, jnp.int32(steps))


def make_norms(spec, seed):
    """norms(states) -> [seeds, layers]: norms of gradients, the last layer first.

    states: of any run with the networks of `spec`. The gradients are those of 1,024
    samples, in float64: squares of vanishing gradients underflow in float32.
    """
    z = np.random.default_rng(seed).normal(size=(1024, spec.z_dim))
    real = np.asarray(toy_sample(TOY, jax.random.key(seed), 1024), np.float64)

    @jax.jit
    @partial(jax.vmap, in_axes=(0, 0, None, None))
    def norms_of_one(critic, generator, z, real):
        fake, _ = spec.generator.apply(generator.params, generator.stats, z, True)
        layers = layer_gradients(critic, real, fake, spec=spec)
        return jnp.stack([layers[i] for i in sorted(layers, reverse=True)])

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
            return np.asarray(norms_of_one(critic, generator, z, real))

    return norms


def gain(logs) -> float:
    """Factor per layer, from a least-squares line through logs to base 10."""
    return float(10 ** np.polyfit(np.arange(len(logs)), logs, 1)[0])


def shares(arrays, edges) -> list:
    """Share of all entries in each bin; entries beyond the edges are in none."""
    flat = np.concatenate([np.ravel(a) for a in arrays])
    return (np.histogram(flat, edges)[0] / len(flat)).tolist()


def draw(numbers):
    """Norms by layer, and weights of a clipped and of a penalised critic."""
    figure, axes = plt.subplots(
        1, 3, figsize=(14, 4), layout="constrained", width_ratios=(1.5, 1, 1)
    )
    layers = numbers["layers"]
    for name, marker in zip(BOUNDS, "osv^", strict=True):
        logs = np.array(numbers[name]["log10_norms"])
        label = f"{name}: {numbers[name]['gain']['mean']:.2g} per layer"
        axes[0].plot(layers, logs.mean(0), f"{marker}-", ms=4, label=label)
        axes[0].fill_between(layers, logs.min(0), logs.max(0), alpha=0.2, lw=0)
    axes[0].set(
        title="Gradient of the critic loss by layer (band: range of seeds)",
        xlabel="layer, from the score back to the input",
        ylabel="log10 of the gradient norm",
        xlim=(layers[0] + 0.4, 0.6),
        xticks=layers[::3],
    )
    axes[0].legend(fontsize=8)
    for panel, name in zip(axes[1:], SHOWN, strict=True):
        histograms = numbers[name]["weights"]
        styles = {"trained": {"fill": True, "alpha": 0.5}, "initial": {"color": "k"}}
        for stage, style in styles.items():
            shares = histograms[stage]["share"]
            label = f"{stage}: kurtosis {histograms[stage]['kurtosis']['mean']:.2f}"
            panel.stairs(shares, histograms["edges"], lw=0.8, label=label, **style)
        panel.set(title=f"Weights, {name}", xlabel="weight", ylabel="share per bin")
        panel.margins(y=0.25)
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=8, loc="upper center")
    return figure


def finding(numbers):
    """Sentence for the table."""
    gains = ", ".join(
        f"{numbers[name]['gain']['mean']:.2g} +- {numbers[name]['gain']['std']:.1g} "
        f"({name})"
        for name in BOUNDS
    )
    at_bound = ", ".join(
        f"{numbers[name]['trained']['at_bound']['mean']:.0%} "
        f"({numbers[name]['initial']['at_bound']['mean']:.0%} before training)"
        for name in BOUNDS
        if BOUNDS[name] is not None
    )
    kurtoses = {name: numbers[name]["weights"]["trained"]["kurtosis"] for name in SHOWN}
    kurtosis = ", ".join(
        f"{value['mean']:.2f} +- {value['std']:.2f} ({name})"
        for name, value in kurtoses.items()
    )
    return (
        f"gain of the gradient per layer backwards, {numbers['size']['seeds']} seeds: "
        f"{gains}; weights at the bound: {at_bound}; kurtosis of the weights after "
        f"{numbers['long']['steps']:,} steps (uniform 1.8, Gaussian 3): {kurtosis}"
    )
