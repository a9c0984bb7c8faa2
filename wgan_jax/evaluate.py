"""How far a run's samples are from the truth: `python -m wgan_jax.evaluate RUN`."""

import dataclasses
import functools
import json
import math
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax.tree_util import Partial
from rich.progress import Progress

from wgan_jax import cli, data, sample, steps
from wgan_jax.config import UserError
from wgan_jax.metrics import critic, mixtures, transport
from wgan_jax.metrics.transport import Spread, spread

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

    run: cli.Positional[str]
    """Directory of the run."""
    checkpoint: int = -1
    """Step of the checkpoint; -1 takes the newest."""
    raw: bool = False
    """Take the weights of the last step even where the run keeps averaged ones."""
    num: int = 2000
    """Samples on each side of a distance; exact W1 takes about 30 num^2 bytes. At most
    as many as there are held-out images."""
    repeats: int = 5
    """Independent pairs of samples, for the spread."""
    seed: int = 0
    """Seed of the noise, the true samples and the projections."""
    out: str = ""
    """NAME.json; empty writes evaluation.json into the run directory."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number about the samples, beside the one it is to be read against."""

    value: Spread
    reference: Spread | None = None
    reference_is: str = ""
    ratio: float | None = None
    """Mean value over mean reference, where both are distances."""


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
    params, stats = sample.weights(state, arguments.raw)
    generator = dataclasses.replace(state.generator, params=params, stats=stats)
    state = dataclasses.replace(state, generator=generator)
    seeds = transport.pair_seeds(arguments.seed, repeats)[:, 0].tolist()
    estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))
    estimates = [estimate(state, real, jax.random.key(seed)) for seed in seeds]
    found["heldout_estimate"] = Measure(spread(estimates))
    floats = _floats(spec, generator)
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


def _floats(spec, generator, size=250):
    """floats(z): images as the critic sees them, not rounded to 8 bits."""

    @jax.jit
    def apply(params, stats, z):
        return spec.generator.apply(params, stats, z, train=False)[0]

    def floats(z):
        parts = np.split(z, range(size, len(z), size))
        return np.concatenate(
            [apply(generator.params, generator.stats, part) for part in parts]
        )

    return floats


def main(argv=None) -> int:
    """Measures the run, prints the table and writes the JSON file."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.evaluate"
    )
    for name, least in (("num", 1), ("repeats", 2)):
        value = getattr(arguments, name)
        if value < least:
            raise UserError(f"--{name} {value} must be {least} or more")
    if not 0 <= arguments.seed < 2**32:
        raise UserError(f"--seed {arguments.seed} must be from 0 to 4294967295")
    out = Path(arguments.out or Path(arguments.run) / "evaluation.json")
    _check_out(out)
    config, spec, state = sample.restore(arguments.run, arguments.checkpoint)
    _check_finite(arguments.run, state)
    evaluate, distances = evaluate_points, 4
    if not config.data.is_toy:
        samples = data.load(config.data)
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
    facts = _facts(config, state, arguments)
    _print(facts, found)
    _write(out, facts, found)
    print(f"written to {out}")
    return 0


def _check_out(out):
    if out.suffix != ".json":
        raise UserError(f"--out {out} must end in .json")
    if not out.exists():
        return
    try:
        known = {"evaluation", "measures"} <= set(json.loads(out.read_text()))
    except (OSError, ValueError, TypeError):
        known = False
    if not known:
        raise UserError(f"--out {out} is there and is no evaluation: give another name")


def _check_finite(run, state):
    nets = (state.generator.params, state.critic.params)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(nets)):
        raise UserError(
            f"{run} has diverged: its weights of step {int(state.step)} are not all "
            "finite; take an earlier one with --checkpoint"
        )


def _facts(config, state, arguments):
    averaged = state.average is not None and not arguments.raw
    return {
        "run": arguments.run,
        "source": config.data.name or config.data.source,
        "step": int(state.step),
        "weights": "averaged" if averaged else "raw",
        "samples": arguments.num,
        "repeats": arguments.repeats,
        "seed": arguments.seed,
        "training_seed": config.run.seed,
    } | ({} if config.data.is_points else {"note": PIXELS})


def _print(facts, found):
    print(f"{facts['run']}, step {facts['step']}, {facts['weights']} weights")
    print(f"{facts['repeats']} x {facts['samples']} samples, mean +- deviation")
    print(_row("measure", "value", "reference", "ratio", "which is"))
    for name, measure in found.items():
        ratio = "" if measure.ratio is None else f"{measure.ratio:.3g}"
        cells = (_plain(measure.value), _plain(measure.reference), ratio)
        print(_row(LABELS[name], *cells, measure.reference_is))
    if "note" in facts:
        print(facts["note"])


def _row(label, value, reference, ratio, reference_is):
    return f"{label:26}{value:>17}{reference:>18}{ratio:>8}  {reference_is}".rstrip()


def _plain(spread):
    return f"{spread.mean:.3g} +- {spread.deviation:.2g}" if spread else ""


def _write(out, facts, found):
    measures = {name: dataclasses.asdict(measure) for name, measure in found.items()}
    whole = _finite({"evaluation": facts, "measures": measures})
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f"{out.name}.tmp")
    temporary.write_text(json.dumps(whole, indent=2) + "\n")
    temporary.replace(out)


def _finite(value):
    # JSON has neither infinity nor NaN.
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    cli.run(main)
