"""Distances of a run's samples: Wasserstein-1, modes, and the critic's estimate."""

import dataclasses
import functools
from collections.abc import Mapping
from functools import partial

import jax
import numpy as np
from jax.tree_util import Partial
from rich.progress import Progress

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.data.batches import to_float
from wgan_jax.data.dataset import load
from wgan_jax.data.toys import toy_sample
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.table import Evaluation, Measure
from wgan_jax.metrics import critic, mixtures, transport
from wgan_jax.metrics.metric import Metric
from wgan_jax.metrics.transport import MeanStd, mean_std
from wgan_jax.runs import restore, sampling

# Keys of measures, and the fields of `critic.CriticEstimate`.
CRITIC = {
    "critic_estimate": "estimate",
    "critic_mean_norm": "mean_norm",
    "critic_largest_norm": "largest_norm",
    "critic_calibrated": "calibrated",
    "critic_lower_bound_on_points": "lower_bound_on_points",
}
PIXELS = "pixel distances do not measure sample quality"

LABELS = {
    "wasserstein": "exact W1",
    "sliced_wasserstein": "sliced W1",
    "modes": "modes covered",
    "high_quality": "share within 3 standard deviations",
    "smallest_mode": "share of the rarest mode",
    "largest_mode": "share of the most frequent mode",
    "heldout_estimate": "held-out estimate",
    "critic_estimate": "critic's estimate",
    "critic_mean_norm": "mean slope",
    "critic_largest_norm": "largest slope",
    "critic_calibrated": "estimate / mean slope",
    "critic_lower_bound_on_points": "estimate / largest slope",
}


@dataclasses.dataclass(frozen=True)
class EvaluationProtocol:
    """The measurement of a run, the same for each of its checkpoints."""

    num: int
    """Samples on each side of a distance."""
    repeats: int
    """Independent sets of samples."""
    seed: int
    raw: bool
    """Use the weights of the last step even where the run has averaged ones."""
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)
    """Metrics of images by name; this field and those below apply to images only."""
    batch_stats: bool = False
    """Sample by the statistics of each batch; see `images.make_generated_batches`."""
    reference: str = "train"
    """train or heldout: the images that the samples are compared with."""


def evaluate_distances(run, checkpoint, protocol: EvaluationProtocol) -> Evaluation:
    """The distances of a run's samples from the truth or from held-out samples.

    Raises UserError where there is no such run or checkpoint, or nothing held out.
    """
    config, spec, state = restore.restore_run(run, checkpoint)
    restore.check_finite(run, state)
    measure = _measure_toy
    if not config.data.is_toy:
        dataset = load(config)
        if not len(dataset.heldout):
            raise UserError(
                f"{run} was trained with data.heldout={config.data.heldout} and has no "
                "held-out samples to evaluate on: train a run with data.heldout above 0"
            )
        num = min(protocol.num, len(dataset.heldout), len(dataset.train))
        protocol = dataclasses.replace(protocol, num=num)
        measure = partial(_measure_data, dataset=dataset)
    functions = _distance_functions(config.data, protocol.seed)
    total = (2 * len(functions) + _has_critic(config)) * protocol.repeats
    with Progress(transient=True) as progress:
        advance = partial(progress.advance, progress.add_task("measuring", total=total))
        functions = {k: _counted(f, advance) for k, f in functions.items()}
        measures = measure(config, spec, state, protocol, functions, advance=advance)
    facts = run_facts(run, config, state, protocol) | {
        "samples": protocol.num,
        "repeats": protocol.repeats,
    }
    lines = [
        f"{run}, step {facts['step']}, {facts['weights']} weights",
        f"{protocol.repeats} x {protocol.num} samples, mean +- standard deviation",
        *table.format_table(measures, LABELS),
    ]
    if not config.data.is_points:
        facts["note"] = PIXELS
        lines.append(PIXELS)
    return Evaluation(facts, measures, lines)


def run_facts(run, config, state, protocol: EvaluationProtocol) -> dict:
    """The run, its step and weights, and the seeds, for JSON."""
    averaged = state.ema is not None and not protocol.raw
    return {
        "run": str(run),
        "source": config.data.name or config.data.source,
        "step": int(state.step),
        "weights": "averaged" if averaged else "raw",
        "seed": protocol.seed,
        "training_seed": config.run.seed,
    }


def heldout_estimates(spec, state, real, seeds, raw: bool = False) -> MeanStd:
    """`steps.heldout_estimate` of a state on real float [n, ...], over noise seeds."""
    params, stats = sampling.weights(state, raw)
    generator = dataclasses.replace(state.generator, params=params, stats=stats)
    state = dataclasses.replace(state, generator=generator)
    estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))
    return mean_std([float(estimate(state, real, jax.random.key(s))) for s in seeds])


def _measure_toy(config, spec, state, protocol, functions, advance):
    name, num = config.data.source, protocol.num
    generate = _generator(config, spec, state, protocol.raw)

    def draw(seed, n):
        return np.asarray(toy_sample(name, jax.random.key(seed), n))

    measures = _distances(functions, generate, draw, draw, "truth", protocol)
    seeds = transport.pair_seeds(protocol.seed, protocol.repeats).tolist()
    pairs = [(draw(b, num), generate(a, num)) for a, b in seeds]
    if name in mixtures.MIXTURES:
        measures |= _modes(name, pairs)
    if _has_critic(config):
        measures |= _critic_measures(spec, state, pairs, protocol.seed, advance)
        exact = measures["wasserstein"].value
        for key in ("critic_calibrated", "critic_lower_bound_on_points"):
            value = measures[key].value
            ratio = value.mean / exact.mean
            measures[key] = Measure(value, exact, "exact W1", ratio)
    return measures


def _measure_data(config, spec, state, protocol, functions, dataset, advance):
    num, seed = protocol.num, protocol.seed
    # The same held-out samples in each repeat: the standard deviation is that of the
    # noise, and of the training samples drawn for the reference.
    heldout = dataset.heldout[:num]

    def draw_train(seed, n):
        order = np.random.default_rng(seed).permutation(len(dataset.train))
        return dataset.train[order[:n]]

    measures = _distances(
        functions,
        _generator(config, spec, state, protocol.raw),
        draw_train,
        lambda seed, n: heldout,
        "training set",
        protocol,
    )
    if not _has_critic(config):
        return measures
    real = np.asarray(to_float(heldout, config.data, jax.random.key(seed)))
    seeds = transport.pair_seeds(seed, protocol.repeats)[:, 0].tolist()
    estimates = heldout_estimates(spec, state, real, seeds, protocol.raw)
    measures["heldout_estimate"] = Measure(estimates)
    generate = _float_generator(spec, *sampling.weights(state, protocol.raw))
    pairs = ((real, generate(sampling.noise(s, num, spec.z_dim))) for s in seeds)
    return measures | _critic_measures(spec, state, pairs, seed, advance)


def _distance_functions(data_config, seed):
    def sliced(x, y):
        if not data_config.is_points:
            x, y = (v.reshape(len(v), -1) / 255 for v in (x, y))
        return transport.sliced_wasserstein(x, y, seed)

    if not data_config.is_points:
        return {"sliced_wasserstein": sliced}
    return {"wasserstein": transport.wasserstein_1, "sliced_wasserstein": sliced}


def _counted(distance, advance):
    def measure(x, y):
        value = distance(x, y)
        advance()
        return value

    return measure


def _distances(functions, generate, draw_reference, draw_real, reference_is, protocol):
    """Distances of generated and of reference samples from the real ones."""
    num, repeats, seed = protocol.num, protocol.repeats, protocol.seed
    measures = {}
    for key, distance in functions.items():
        comparison = transport.distance_to_truth(
            generate, draw_real, num, repeats, seed, distance, draw_reference
        )
        measures[key] = Measure(
            comparison.distance, comparison.floor, reference_is, comparison.ratio
        )
    return measures


def _modes(name, pairs):
    def both(measure):
        real, fake = (
            mean_std([measure(x, name) for x in side]) for side in zip(*pairs)
        )
        return Measure(fake, real, "truth")

    return {
        "modes": both(mixtures.modes_covered),
        "high_quality": both(mixtures.high_quality),
        "smallest_mode": both(lambda x, name: mixtures.mode_shares(x, name).min()),
        "largest_mode": both(lambda x, name: mixtures.mode_shares(x, name).max()),
    }


def _has_critic(config):
    # Other critics estimate other divergences, which have no slope to calibrate by.
    return make_losses(config.objective).metric == "wasserstein"


def _critic_measures(spec, state, pairs, seed, advance):
    def score(params, stats, x):
        # Running statistics: a slope needs independent samples.
        return spec.critic.apply(params, stats, x, False)[0]

    score = Partial(score, state.critic.params, state.critic.stats)
    estimates = []
    for real, fake in pairs:
        estimates.append(critic.measure(score, real, fake, seed))
        advance()
    return {
        key: Measure(mean_std([getattr(e, name) for e in estimates]))
        for key, name in CRITIC.items()
    }


def _generator(config, spec, state, raw):
    """generate(seed, n) -> the samples of `python -m wgan_jax.sample`, cached."""
    sampler, weights = sampling.make_sampler(config, spec), sampling.weights(state, raw)

    @functools.cache
    def generate(seed, n):
        return sampler(*weights, sampling.noise(seed, n, spec.z_dim))

    return generate


def _float_generator(spec, params, stats, size=250):
    """generate(z) -> samples as the critic sees them, not rounded to 8 bits."""

    @jax.jit
    def apply(params, stats, z, labels):
        return steps.generate(spec, params, stats, z, labels, train=False)[0]

    def generate(z):
        # Cyclic classes, as `sampling.make_sampler` draws them.
        labels = np.arange(len(z), dtype=np.int32) % max(spec.classes, 1)
        cuts = range(size, len(z), size)
        pairs = zip(np.split(z, cuts), np.split(labels, cuts), strict=True)
        return np.concatenate([apply(params, stats, *pair) for pair in pairs])

    return generate
