"""Distances."""

import dataclasses
import functools
import math
from functools import partial

import jax
import numpy as np
from jax.tree_util import Partial
from rich.progress import Progress

from wgan_jax.algorithm import steps
from wgan_jax.data import stream
from wgan_jax.data.batches import to_float
from wgan_jax.data.toys import toy_sample
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.images import (
    check_finite,
    heldout_estimates,
    run_facts,
)
from wgan_jax.evaluation.table import Measure
from wgan_jax.metrics import critic, mixtures, transport
from wgan_jax.metrics.transport import mean_std
from wgan_jax.runs import restore, sampling

PIXELS = "pixel distances are no measure of sample quality"


ITSELF = "truth"


LABELS = {
    "wasserstein": "exact W1",
    "sliced_wasserstein": "sliced W1",
    "modes": "modes covered",
    "high_quality": "share within 3 deviations",
    "smallest_mode": "of the rarest mode",
    "largest_mode": "of the commonest mode",
    "heldout_estimate": "held-out estimate",
    "critic_estimate": "critic's estimate",
    "critic_mean_norm": "mean slope",
    "critic_largest_norm": "largest slope",
    "critic_calibrated": "estimate / mean slope",
    "critic_lower_bound_on_points": "estimate / largest slope",
}


def evaluate_points(config, spec, state, arguments, advance) -> dict[str, Measure]:
    """The measures of a run on a 2-D distribution; advance() after each distance."""
    name, num, repeats = config.data.source, arguments.num, arguments.repeats
    generate = _generator(config, spec, state, arguments.raw)

    def draw(seed, n):
        return np.asarray(toy_sample(name, jax.random.key(seed), n))

    sliced = partial(transport.sliced_wasserstein, seed=arguments.seed)
    found = {}
    for key, distance in (
        ("wasserstein", transport.wasserstein_1),
        ("sliced_wasserstein", sliced),
    ):
        distance = _counted(distance, advance)
        there = transport.distance_to_truth(
            generate, draw, num, repeats, arguments.seed, distance
        )
        found[key] = Measure(there.distance, there.floor, ITSELF, there.ratio)
    seeds = transport.pair_seeds(arguments.seed, repeats).tolist()
    pairs = [(draw(b, num), generate(a, num)) for a, b in seeds]
    if name in mixtures.MIXTURES:
        found |= _modes(name, pairs)
    if _has_critic(config):
        told = _critic(spec, state, pairs, arguments.seed, advance)
        exact = found["wasserstein"].value
        for key in ("critic_calibrated", "critic_lower_bound_on_points"):
            value = told[key].value
            told[key] = Measure(value, exact, "exact W1", value.mean / exact.mean)
        found |= told
    return found


def evaluate_data(
    config, spec, state, arguments, samples, advance
) -> dict[str, Measure]:
    """The measures of a run on images or vectors; advance() after each distance.

    Always on the same held-out samples, so that the spread is that of the noise, and of
    the training samples drawn for the reference.
    """
    num, repeats = arguments.num, arguments.repeats
    heldout = samples.heldout[:num]
    generate = _generator(config, spec, state, arguments.raw)

    def draw_train(seed, n):
        order = np.random.default_rng(seed).permutation(len(samples.train))
        return samples.train[order[:n]]

    def sliced(x, y):
        if not config.data.is_points:
            x, y = (v.reshape(len(v), -1) / 255 for v in (x, y))
        return transport.sliced_wasserstein(x, y, arguments.seed)

    found, measures = {}, {"sliced_wasserstein": sliced}
    if config.data.is_points:
        measures = {"wasserstein": transport.wasserstein_1} | measures
    for name, distance in measures.items():
        value, floor = (
            transport.distances(
                draw,
                lambda seed, n: heldout,
                *(num, repeats, arguments.seed, _counted(distance, advance)),
            )
            for draw in (generate, draw_train)
        )
        ratio = value.mean / floor.mean if floor.mean else math.inf
        found[name] = Measure(value, floor, "training set", ratio)
    if not _has_critic(config):
        return found
    key = jax.random.key(arguments.seed)
    real = np.asarray(to_float(heldout, config.data, key))
    seeds = transport.pair_seeds(arguments.seed, repeats)[:, 0].tolist()
    estimates = heldout_estimates(spec, state, real, seeds, arguments.raw)
    found["heldout_estimate"] = Measure(estimates)
    params, stats = sampling.weights(state, arguments.raw)
    floats = _floats(spec, params, stats)
    pairs = ((real, floats(sampling.noise(seed, num, spec.z_dim))) for seed in seeds)
    return found | _critic(spec, state, pairs, arguments.seed, advance)


def _counted(distance, advance):
    def measure(x, y):
        value = distance(x, y)
        advance()
        return value

    return measure


def _modes(name, pairs):
    def both(measure):
        real, fake = (
            mean_std([measure(x, name) for x in side]) for side in zip(*pairs)
        )
        return Measure(fake, real, ITSELF)

    return {
        "modes": both(mixtures.modes_covered),
        "high_quality": both(mixtures.high_quality),
        "smallest_mode": both(lambda x, name: mixtures.mode_shares(x, name).min()),
        "largest_mode": both(lambda x, name: mixtures.mode_shares(x, name).max()),
    }


def _has_critic(config):
    # Other critics estimate other divergences, for which a slope means nothing.
    return config.objective.kind == "wgan"


def _critic(spec, state, pairs, seed, advance):
    def score(params, stats, x):
        # By running statistics: a slope needs samples that stand alone.
        return spec.critic.apply(params, stats, x, False)[0]

    score = Partial(score, state.critic.params, state.critic.stats)
    told = []
    for real, fake in pairs:
        told.append(critic.measure(score, real, fake, seed))
        advance()
    names = ("estimate", "mean_norm", "largest_norm", "calibrated")
    return {
        f"critic_{name}": Measure(mean_std([getattr(t, name) for t in told]))
        for name in (*names, "lower_bound_on_points")
    }


def _generator(config, spec, state, raw):
    """generate(seed, n): samples as the sample command draws them, each drawn once."""
    sampler, weights = sampling.make_sampler(config, spec), sampling.weights(state, raw)

    @functools.cache
    def generate(seed, n):
        return sampler(*weights, sampling.noise(seed, n, spec.z_dim))

    return generate


def _floats(spec, params, stats, size=250):
    """floats(z): images as the critic sees them, not rounded to 8 bits."""

    @jax.jit
    def apply(params, stats, z, labels):
        return steps.generate(spec, params, stats, z, labels, train=False)[0]

    def floats(z):
        # Classes in turn, as samples are drawn.
        labels = np.arange(len(z), dtype=np.int32) % max(spec.classes, 1)
        cuts = range(size, len(z), size)
        pairs = zip(np.split(z, cuts), np.split(labels, cuts), strict=True)
        return np.concatenate([apply(params, stats, *pair) for pair in pairs])

    return floats


def measure(arguments) -> tuple[dict, dict, dict]:
    """Facts, measures and additional JSON of a run; prints the table."""
    config, spec, state = restore.restore_run(arguments.run, arguments.checkpoint)
    check_finite(arguments.run, state)
    evaluate, distances = evaluate_points, 4
    if not config.data.is_toy:
        samples = stream.load(config)
        if not len(samples.heldout):
            raise UserError(
                f"data.heldout={config.data.heldout} of {arguments.run} keeps no "
                "samples to evaluate on: train a run that holds some back"
            )
        num = min(arguments.num, len(samples.heldout), len(samples.train))
        arguments = dataclasses.replace(arguments, num=num)
        evaluate = partial(evaluate_data, samples=samples)
        distances = 4 if config.data.is_points else 2
    total = (distances + _has_critic(config)) * arguments.repeats
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=total)
        found = evaluate(
            config, spec, state, arguments, advance=lambda: progress.advance(task)
        )
    facts = run_facts(config, state, arguments) | {
        "samples": arguments.num,
        "repeats": arguments.repeats,
    }
    if not config.data.is_points:
        facts["note"] = PIXELS
    print(f"{facts['run']}, step {facts['step']}, {facts['weights']} weights")
    print(f"{facts['repeats']} x {facts['samples']} samples, mean +- deviation")
    print(*table.format_table(found, LABELS), sep="\n")
    if "note" in facts:
        print(facts["note"])
    return facts, found, {}
