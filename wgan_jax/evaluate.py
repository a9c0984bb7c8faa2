"""How far a run's samples are from the truth: `python -m wgan_jax.evaluate RUN`."""

import dataclasses
import functools
import math
import sys
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from jax.tree_util import Partial
from rich.progress import Progress

from wgan_jax import cli, data, measures, sample, steps, stream
from wgan_jax.config import UserError
from wgan_jax.evaluate_images import (
    check_finite,
    heldout_estimates,
    measure_run,
    measure_sets,
    run_facts,
)
from wgan_jax.measures import Measure
from wgan_jax.metrics import critic, mixtures, transport
from wgan_jax.metrics.image_scores import LEAST, Metric
from wgan_jax.metrics.transport import spread

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


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures a run against the truth: a table here and a JSON file in the run."""

    run: cli.Positional[str] = ""
    """Directory of the run; left out with --images."""
    metrics: tuple[Metric, ...] = ()
    """Of images, as a network sees them: Frechet distance (fid), Inception score (is),
    kernel distance (kid), precision, recall, density and coverage (prdc). Empty
    measures pixels, or points, and the critic."""
    features: Literal["inception", "classifier"] = "inception"
    """Network behind --metrics: that of the published FID, or one that is trained once
    on the data set's own labels."""
    checkpoint: str = ""
    """Step of the checkpoint; empty takes the newest, best the one that was best in
    training, all (with fid among --metrics) every one that is kept."""
    raw: bool = False
    """Take the weights of the last step even where the run keeps averaged ones."""
    batch_stats: bool = False
    """Sample with the statistics of each batch of 100, as the papers' code does,
    instead of the running ones (with --metrics)."""
    num: int = 0
    """Samples on each side of a distance; 0 is 2000, or 50000 with --metrics. Exact W1
    takes about 30 num^2 bytes. At most as many as there are held-out images without
    --metrics."""
    repeats: int = 0
    """Independent samples, for the spread; 0 is 5, or 1 with --metrics."""
    seed: int = 0
    """Seed of the noise, the true samples and the projections."""
    images: str = ""
    """Folder of images or .npz file to measure in place of a run."""
    reference: str = "train"
    """What --metrics compare with: the run's images of training (train) or those held
    out (heldout); with --images the other folder or .npz file."""
    json: str = ""
    """NAME.json; empty writes evaluation.json into the run directory, where there is
    one."""


def evaluate_points(config, spec, state, arguments, advance) -> dict[str, Measure]:
    """The measures of a run on a 2-D distribution; advance() after each distance."""
    name, num, repeats = config.data.source, arguments.num, arguments.repeats
    generate = _generator(config, spec, state, arguments.raw)

    def draw(seed, n):
        return np.asarray(data.toy_sample(name, jax.random.key(seed), n))

    sliced = partial(transport.sliced_wasserstein, seed=arguments.seed)
    found = {}
    for key, distance in (
        ("wasserstein", transport.earth_mover),
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
        measures = {"wasserstein": transport.earth_mover} | measures
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
    real = np.asarray(data.to_float(heldout, config.data, key))
    seeds = transport.pair_seeds(arguments.seed, repeats)[:, 0].tolist()
    estimates = heldout_estimates(spec, state, real, seeds, arguments.raw)
    found["heldout_estimate"] = Measure(estimates)
    params, stats = sample.weights(state, arguments.raw)
    floats = _floats(spec, params, stats)
    pairs = ((real, floats(sample.noise(seed, num, spec.z_dim))) for seed in seeds)
    return found | _critic(spec, state, pairs, arguments.seed, advance)


def _counted(distance, advance):
    def measure(x, y):
        value = distance(x, y)
        advance()
        return value

    return measure


def _modes(name, pairs):
    def both(measure):
        real, fake = (spread([measure(x, name) for x in side]) for side in zip(*pairs))
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
        f"critic_{name}": Measure(spread([getattr(t, name) for t in told]))
        for name in (*names, "lower_bound_on_points")
    }


def _generator(config, spec, state, raw):
    """generate(seed, n): samples as the sample command draws them, each drawn once."""
    sampler, weights = sample.make_sampler(config, spec), sample.weights(state, raw)

    @functools.cache
    def generate(seed, n):
        return sampler(*weights, sample.noise(seed, n, spec.z_dim))

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


def main(argv=None) -> int:
    """Measures the run, prints the table and writes the JSON file."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.evaluate"
    )
    _check(arguments)
    standard = (50_000, 1) if arguments.metrics else (2000, 5)
    arguments = dataclasses.replace(
        arguments,
        num=arguments.num or standard[0],
        repeats=arguments.repeats or standard[1],
    )
    out = Path(arguments.json or Path(arguments.run) / "evaluation.json")
    if arguments.json or arguments.run:
        measures.check_out(out)
    if arguments.images:
        facts, found, more = measure_sets(arguments)
    elif arguments.metrics:
        facts, found, more = measure_run(arguments)
    else:
        facts, found, more = _measure(arguments)
    if arguments.json or arguments.run:
        measures.write(out, facts, found, **more)
        print(f"written to {out}")
    return 0


def _check(arguments):
    metrics = arguments.metrics
    for name, least in (
        ("num", LEAST if metrics else 1),
        ("repeats", 2 - bool(metrics)),
    ):
        value = getattr(arguments, name)
        if value and value < least:
            raise UserError(f"--{name} {value} must be {least} or more")
    if not 0 <= arguments.seed < 2**32:
        raise UserError(f"--seed {arguments.seed} must be from 0 to 4294967295")
    if bool(arguments.run) == bool(arguments.images):
        raise UserError("one of a run directory and --images PATH must be given")
    if arguments.images:
        if arguments.reference == "train":
            raise UserError(
                f"--images {arguments.images} needs --reference with a folder or an "
                ".npz file to compare it with"
            )
        for name in ("checkpoint", "raw", "batch_stats", "num", "repeats"):
            if getattr(arguments, name):
                option = name.replace("_", "-")
                raise UserError(
                    f"--{option} is of runs: leave it out with --images, which takes "
                    "every image once"
                )
        return
    if arguments.reference not in ("train", "heldout"):
        raise UserError(
            f"--reference {arguments.reference} must be train or heldout for a run"
        )
    if not metrics:
        for name, value in (
            ("features", arguments.features != "inception"),
            ("batch-stats", arguments.batch_stats),
            ("reference", arguments.reference != "train"),
        ):
            if value:
                raise UserError(f"--{name} is of --metrics: add --metrics fid")
    if arguments.checkpoint == "all" and "fid" not in metrics:
        raise UserError(
            "--checkpoint all compares Frechet distances: add --metrics fid"
        )


# ----------------------------------------------------------- pixels, points and critic


def _measure(arguments):
    config, spec, state = sample.restore(arguments.run, arguments.checkpoint)
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
    print(*measures.table(found, LABELS), sep="\n")
    if "note" in facts:
        print(facts["note"])
    return facts, found, {}


if __name__ == "__main__":
    cli.run(main)
