"""Distances of a run's samples: Wasserstein-1, modes, n-grams, critic's estimate."""

import collections
import dataclasses
import itertools
import sys
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
from wgan_jax.data.dataset import Dataset
from wgan_jax.data.record import undo_standardise
from wgan_jax.data.toys import toy_sample
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.table import Evaluation, Measure
from wgan_jax.metrics import critic, mixtures, ngrams, transport
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
NGRAMS = {f"js_{n}": n for n in ngrams.ORDERS}
"""Keys of measures of text, and the length of their n-grams."""
PIXELS = "pixel distances do not measure sample quality"

LABELS = {
    "wasserstein": "exact W1",
    "sliced_wasserstein": "sliced W1",
    "modes": "modes covered",
    "high_quality": "share within 3 standard deviations",
    "smallest_mode": "share of the rarest mode",
    "largest_mode": "share of the most frequent mode",
    "heldout_estimate": "held-out estimate",
    "real_estimate": "estimate, real against real",
    "critic_estimate": "critic's estimate",
    "critic_mean_norm": "mean slope",
    "critic_largest_norm": "largest slope",
    "critic_calibrated": "estimate / mean slope",
    "critic_lower_bound_on_points": "estimate / largest slope",
} | {key: f"JS of {n}-grams, bits" for key, n in NGRAMS.items()}


def default_num(config: Config) -> int:
    """Samples on each side of a distance: 2000, or 640 lines of text as in papers."""
    return ngrams.LINES if config.data.is_text else 2000


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
    protocol = limit_samples(run, config, protocol, dataset)
    evaluation = DistanceEvaluation(config, spec, dataset, protocol)
    measures = {
        int(state.step): evaluation.measure(state)
        for _, _, state in itertools.chain([(config, spec, state)], states)
    }
    facts = run_facts(run, config, state, protocol) | evaluation.facts()
    lines = [
        f"{run}, {facts['weights']} weights, seed {protocol.seed}",
        f"{protocol.repeats} x {protocol.num} samples, mean +- standard deviation",
        *table.format_steps(measures, evaluation.labels()),
    ]
    lines += [facts["note"]] if "note" in facts else []
    return Evaluation(facts, measures, lines)


def limit_samples(
    run, config: Config, protocol: EvaluationProtocol, dataset: Dataset | None
) -> EvaluationProtocol:
    """The protocol with at most as many samples as are held out.

    dataset: of the run; None for a toy. Raises UserError where nothing is held out, and
    where the distances exceed the memory.
    """
    if dataset:
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
    return protocol


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


def make_heldout_estimates(spec: Spec):
    """estimates(state, real, seeds, raw): `steps.heldout_estimate` over noise seeds.

    real: float [n, ...].
    """
    estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))

    def estimates(state, real, seeds, raw: bool = False) -> list[float]:
        params, stats = sampling.weights(state, raw)
        generator = dataclasses.replace(state.generator, params=params, stats=stats)
        state = dataclasses.replace(state, generator=generator)
        return [float(estimate(state, real, jax.random.key(seed))) for seed in seeds]

    return estimates


class DistanceEvaluation:
    """Measures of a run's states, with those of real samples as their reference."""

    def __init__(self, config: Config, spec: Spec, dataset, protocol):
        """dataset: of samples; None for a toy distribution."""
        self.config, self.spec = config, spec
        self.dataset, self.protocol = dataset, protocol
        seed = protocol.seed
        self.seeds = transport.pair_seeds(seed, protocol.repeats).tolist()
        self.sampler = sampling.make_sampler(config, spec)
        self.ngrams = ngrams.NGrams(dataset.train) if config.data.is_text else None
        self.functions = _distance_functions(config.data, seed)
        if self.ngrams:
            names = {key: n for key, n in NGRAMS.items() if n in self.ngrams.orders}
            self.functions = {k: partial(_of_ngrams, n) for k, n in names.items()}
        self.modes = MODES if config.data.source in mixtures.MIXTURES else {}
        self.critic_score = _critic_score(config, spec)
        self.references = collections.defaultdict(list)
        """By measure; computed with the first state."""
        if dataset:
            key = jax.random.key(seed)
            heldout = dataset.heldout[: protocol.num]
            self.heldout = np.asarray(to_float(heldout, config.data, key))
            self.float_generator = _float_generator(spec)
            self.heldout_estimates = make_heldout_estimates(spec)
            self.real_estimate = jax.jit(partial(steps.real_estimate, spec=spec))

    def measure(self, state: TrainState) -> dict[str, Measure]:
        """The measures of a state of the run, over pairs of seeds."""
        protocol, data_config = self.protocol, self.config.data
        num, weights = protocol.num, sampling.weights(state, protocol.raw)
        values, references = collections.defaultdict(list), self.references
        is_first = not references
        total = protocol.repeats * ((1 + is_first) * len(self.functions) + 1)
        # If the output is not a terminal, each display would leave an empty line.
        silent = not sys.stdout.isatty()
        with Progress(transient=True, disable=silent) as bars:
            advance = partial(bars.advance, bars.add_task("measuring", total=total))
            for i, (seed_fake, seed_real) in enumerate(self.seeds):
                z = sampling.noise(seed_fake, num, self.spec.z_dim)
                labels = sampling.labels(self.spec, seed_fake, num)
                fake = self.sampler(*weights, z, labels)
                if not np.isfinite(fake).all():
                    raise UserError(
                        f"samples of step {int(state.step)} are not all finite: take "
                        "an earlier checkpoint with --checkpoint"
                    )
                if self.ngrams:
                    # Other held-out lines in each repeat, while there are some.
                    rows = (i * num + np.arange(num)) % len(self.dataset.heldout)
                    real, reference = self.ngrams, self.dataset.heldout[rows]
                else:
                    real, reference = _real_pair(
                        self.config, self.dataset, num, seed_fake, seed_real
                    )
                for key, distance in self.functions.items():
                    values[key].append(distance(fake, real))
                    if is_first:
                        references[key].append(distance(reference, real))
                    advance(1 + is_first)
                for key, measure in self.modes.items():
                    values[key].append(measure(fake, data_config.source))
                    if is_first:
                        references[key].append(measure(real, data_config.source))
                if self.critic_score:
                    if self.dataset:
                        real = self.heldout
                        fake = self.float_generator(*weights, z, labels)
                    score = self.critic_score(state)
                    estimate = critic.measure(score, real, fake, protocol.seed)
                    for key, name in CRITIC.items():
                        values[key].append(getattr(estimate, name))
                advance(1)
        return self._measures(state, values)

    def _measures(self, state, values):
        num = self.protocol.num
        reference_is = "training set" if self.dataset else "truth"
        counts = num, num
        if self.ngrams:
            reference_is, counts = "held-out lines", (num, len(self.dataset.train))
        measures = {}
        for key in (*self.functions, *self.modes):
            ratio = key in self.functions
            measure = Measure.of(values[key], counts if ratio else (num,))
            references = self.references[key]
            measures[key] = measure.against(references, reference_is, ratio)
        if self.dataset and self.critic_score:
            seeds, raw = [fake for fake, _ in self.seeds], self.protocol.raw
            estimates = self.heldout_estimates(state, self.heldout, seeds, raw)
            measures["heldout_estimate"] = Measure.of(estimates, (num, num))
            if (half := num // 2) > 0:
                keys = [jax.random.key(real) for _, real in self.seeds]
                estimates = [
                    float(self.real_estimate(state, self.heldout, key)) for key in keys
                ]
                measures["real_estimate"] = Measure.of(estimates, (half, half))
        for key in CRITIC if self.critic_score else ():
            measures[key] = Measure.of(values[key], (num, num))
            # The scale of the other fields is that of the critic.
            calibrated = ("critic_calibrated", "critic_lower_bound_on_points")
            if key in calibrated and not self.dataset:
                exact = values["wasserstein"]
                measures[key] = measures[key].against(exact, "exact W1", True)
        return measures

    def labels(self) -> dict[str, str]:
        """{key: label} of the measures."""
        return LABELS | {
            f"wasserstein_{column}": f"W1 of column {column}"
            for column in range(self.config.data.dimensions)
        }

    def facts(self) -> dict:
        """The note on distances of pixels, for JSON."""
        return {"note": PIXELS} if self.config.data.noun == "images" else {}


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


def _of_ngrams(n, lines, real):
    """JS of the n-grams of lines and of the n-grams `real`."""
    return real.jensen_shannon(lines, n)


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


def _critic_score(config, spec):
    """critic_score(state) -> score(x) of the critic; None where it estimates no W1."""
    if make_losses(config.objective).metric != "wasserstein":
        # Other critics estimate other divergences, which have no slope to calibrate by.
        return None

    def score(params, stats, x):
        # Running statistics: a slope needs independent samples.
        return spec.critic.apply(params, stats, x, False)[0]

    return lambda state: Partial(score, state.critic.params, state.critic.stats)


def _float_generator(spec, size=250):
    """generate(params, stats, z, labels): samples as the critic sees them, not rounded
    to 8 bits."""

    @jax.jit
    def apply(params, stats, z, labels):
        return steps.generate(spec, params, stats, z, labels, train=False)[0]

    def generate(params, stats, z, labels):
        cuts = range(size, len(z), size)
        pairs = zip(np.split(z, cuts), np.split(labels, cuts), strict=True)
        return np.concatenate([apply(params, stats, *pair) for pair in pairs])

    return generate
