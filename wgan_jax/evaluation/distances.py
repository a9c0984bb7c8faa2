"""Distances of a run's samples: Wasserstein-1, modes, and the critic's estimate."""

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from functools import partial

import jax
import numpy as np
from jax.tree_util import Partial
from rich.progress import Progress

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config
from wgan_jax.data.batches import to_float
from wgan_jax.data.record import undo_standardise
from wgan_jax.data.toys import toy_sample
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.table import Evaluation, Measure
from wgan_jax.metrics import critic, mixtures, transport
from wgan_jax.metrics.metric import Metric
from wgan_jax.runs import restore, sampling

# Keys of measures, and functions (points, mixture) -> number.
MODES = {
    "modes": mixtures.modes_covered,
    "high_quality": mixtures.high_quality,
    "smallest_mode": lambda points, name: mixtures.mode_shares(points, name).min(),
    "largest_mode": lambda points, name: mixtures.mode_shares(points, name).max(),
}
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
    accept_changed_data: bool = False
    """Measure although the run's data have changed, and record the change."""


@restore.at_run_precision
def evaluate_distances(run, checkpoint, protocol: EvaluationProtocol) -> Evaluation:
    """The distances of a run's samples from the truth or from held-out samples.

    checkpoint: see `restored_states`. Raises UserError if the run or the checkpoint
    does not exist, if nothing is held out, or if samples are not finite.
    """
    states = restored_states(run, checkpoint)
    config, spec, state = next(states)
    dataset = None
    if not config.data.is_toy:
        dataset = restore.load_data(run, config, protocol.accept_changed_data)
        if not len(dataset.heldout):
            raise UserError(
                f"{run} was trained with data.heldout={config.data.heldout} and has no "
                "held-out samples to evaluate on: train a run with data.heldout above 0"
            )
        num = min(protocol.num, len(dataset.heldout), len(dataset.train))
        protocol = dataclasses.replace(protocol, num=num)
    if config.data.is_points:
        arithmetic = f"exact W1 takes 30 x {protocol.num:,}^2 bytes"
        require_memory(f"--num {protocol.num}", 30 * protocol.num**2, arithmetic)
    measures = {
        int(state.step): _measure(config, spec, state, protocol, dataset)
        for _, _, state in itertools.chain([(config, spec, state)], states)
    }
    facts = run_facts(run, config, state, protocol)
    columns = {
        f"wasserstein_{column}": f"W1 of column {column}"
        for column in range(config.data.dimensions)
    }
    lines = [
        f"{run}, {facts['weights']} weights, seed {protocol.seed}",
        f"{protocol.repeats} x {protocol.num} samples, mean +- standard deviation",
        *table.format_steps(measures, LABELS | columns),
    ]
    if not config.data.is_points:
        facts["note"] = PIXELS
        lines.append(PIXELS)
    return Evaluation(facts, measures, lines)


def restored_states(run, checkpoint) -> Iterator[tuple[Config, Spec, TrainState]]:
    """Configuration, specification and state of a run at a checkpoint.

    checkpoint: see `restore.restore_run`; "all" gives every one in turn, oldest first,
    without those that are damaged or no longer on disk. Raises UserError where weights
    are not finite, or nothing is left.
    """
    every = checkpoint == "all"
    found = False
    for step in restore.checkpoint_steps(run) if every else [checkpoint]:
        try:
            restored = restore.restore_run(run, step)
        except UserError as error:
            if not every:
                raise
            print(f"warning: step {step} is left out: {error}")
            continue
        found = True
        yield restored
    if not found:
        raise UserError(f"{run} has no checkpoint that can be evaluated")


def run_facts(run, config, state, protocol: EvaluationProtocol) -> dict:
    """The run, its weights, the settings and the seeds, for JSON."""
    averaged = state.ema is not None and not protocol.raw
    return {
        "run": str(run),
        "source": config.data.name or config.data.source,
        "weights": "averaged" if averaged else "raw",
        "num": protocol.num,
        "repeats": protocol.repeats,
        "seed": protocol.seed,
        "training_seed": config.run.seed,
    }


def heldout_estimates(spec, state, real, seeds, raw: bool = False) -> list[float]:
    """`steps.heldout_estimate` of a state on real float [n, ...], over noise seeds."""
    params, stats = sampling.weights(state, raw)
    generator = dataclasses.replace(state.generator, params=params, stats=stats)
    state = dataclasses.replace(state, generator=generator)
    estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))
    return [float(estimate(state, real, jax.random.key(s))) for s in seeds]


def _measure(config, spec, state, protocol, dataset):
    """The measures of a run; dataset: of samples, None for a toy distribution."""
    num, seed = protocol.num, protocol.seed
    seeds = transport.pair_seeds(seed, protocol.repeats).tolist()
    sampler = sampling.make_sampler(config, spec)
    weights = sampling.weights(state, protocol.raw)
    functions = _distance_functions(config.data, seed)
    modes = MODES if config.data.source in mixtures.MIXTURES else {}
    critic_score = _critic_score(config, spec, state)
    values = collections.defaultdict(list)
    references = collections.defaultdict(list)
    if dataset:
        key = jax.random.key(seed)
        heldout = np.asarray(to_float(dataset.heldout[:num], config.data, key))
        float_generator = _float_generator(spec, *weights)
    total = protocol.repeats * (2 * len(functions) + bool(critic_score))
    with Progress(transient=True) as progress:
        advance = partial(progress.advance, progress.add_task("measuring", total=total))
        for seed_fake, seed_real in seeds:
            z = sampling.noise(seed_fake, num, spec.z_dim)
            labels = sampling.labels(spec, seed_fake, num)
            fake = sampler(*weights, z, labels)
            if not np.isfinite(fake).all():
                raise UserError(
                    f"samples of step {int(state.step)} are not all finite: take an "
                    "earlier checkpoint with --checkpoint"
                )
            real, reference = _real_pair(config, dataset, num, seed_fake, seed_real)
            for key, distance in functions.items():
                values[key].append(distance(fake, real))
                references[key].append(distance(reference, real))
                advance(2)
            for key, measure in modes.items():
                values[key].append(measure(fake, config.data.source))
                references[key].append(measure(real, config.data.source))
            if critic_score:
                if dataset:
                    real, fake = heldout, float_generator(z, labels)
                estimate = critic.measure(critic_score, real, fake, seed)
                for key, name in CRITIC.items():
                    values[key].append(getattr(estimate, name))
                advance(1)
    reference_is = "training set" if dataset else "truth"
    measures = {}
    for key in (*functions, *modes):
        ratio = key in functions
        measure = Measure.of(values[key], (num, num) if ratio else (num,))
        measures[key] = measure.against(references[key], reference_is, ratio)
    if dataset and critic_score:
        noise_seeds = [seed_fake for seed_fake, _ in seeds]
        estimates = heldout_estimates(spec, state, heldout, noise_seeds, protocol.raw)
        measures["heldout_estimate"] = Measure.of(estimates, (num, num))
    for key in CRITIC if critic_score else ():
        measures[key] = Measure.of(values[key], (num, num))
        # The scale of the other fields is that of the critic.
        if key in ("critic_calibrated", "critic_lower_bound_on_points") and not dataset:
            exact = values["wasserstein"]
            measures[key] = measures[key].against(exact, "exact W1", True)
    return measures


def _real_pair(config, dataset, num, seed_reference, seed_real):
    """Real samples, and those whose distance from them is the reference."""
    if not dataset:
        return [
            np.asarray(toy_sample(config.data.source, jax.random.key(seed), num))
            for seed in (seed_real, seed_reference)
        ]
    # The same held-out samples in each repeat: the standard deviation is that of the
    # noise, and of the training samples drawn for the reference.
    order = np.random.default_rng(seed_reference).permutation(len(dataset.train))
    pair = dataset.heldout[:num], dataset.train[order[:num]]
    return [undo_standardise(samples, dataset.record.scales) for samples in pair]


def _distance_functions(data_config, seed):
    def sliced(x, y):
        if not data_config.is_points:
            x, y = (v.reshape(len(v), -1) / 255 for v in (x, y))
        return transport.sliced_wasserstein(x, y, seed)

    if not data_config.is_points:
        return {"sliced_wasserstein": sliced}
    functions = {"wasserstein": transport.wasserstein_1, "sliced_wasserstein": sliced}
    columns = range(0 if data_config.is_toy else data_config.dimensions)
    return functions | {f"wasserstein_{c}": partial(_of_column, c) for c in columns}


def _of_column(column, x, y):
    """W1 of one column of points, in its units."""
    return transport.wasserstein_1(x[:, [column]], y[:, [column]])


def _critic_score(config, spec, state):
    """score(x) of the critic, or None where it does not estimate W1."""
    if make_losses(config.objective).metric != "wasserstein":
        # Other critics estimate other divergences, which have no slope to calibrate by.
        return None

    def score(params, stats, x):
        # Running statistics: a slope needs independent samples.
        return spec.critic.apply(params, stats, x, False)[0]

    return Partial(score, state.critic.params, state.critic.stats)


def _float_generator(spec, params, stats, size=250):
    """generate(z, labels): samples as the critic sees them, not rounded to 8 bits."""

    @jax.jit
    def apply(params, stats, z, labels):
        return steps.generate(spec, params, stats, z, labels, train=False)[0]

    def generate(z, labels):
        cuts = range(size, len(z), size)
        pairs = zip(np.split(z, cuts), np.split(labels, cuts), strict=True)
        return np.concatenate([apply(params, stats, *pair) for pair in pairs])

    return generate
