"""Metrics of a run's images or of two image sets, on the features of a network."""

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import jax
import numpy as np
from rich.progress import Progress

from wgan_jax import pictures
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import Spec
from wgan_jax.config import Config
from wgan_jax.data import image_sets
from wgan_jax.data.batches import to_float
from wgan_jax.data.content import content_order
from wgan_jax.data.decoding import pixel_fields
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.distances import (
    EvaluationProtocol,
    make_heldout_estimates,
    restored_states,
    run_facts,
)
from wgan_jax.evaluation.table import Evaluation, Measure
from wgan_jax.metrics import frechet, transport
from wgan_jax.metrics.features import (
    BATCH,
    EXTRACTORS,
    Extractor,
    extract,
    extract_array,
    make_extractor,
)
from wgan_jax.metrics.image_scores import (
    LEAST,
    compare,
    few_images,
    needs_rows,
    rank_correlation,
)
from wgan_jax.metrics.metric import Metric
from wgan_jax.runs import restore, sampling

ProgressFactory = Callable[[str, int], Callable[[int], None]]
"""progress(description, total) -> advance(n): a new progress bar."""


def make_generated_batches(config: Config, spec: Spec, batch_stats: bool = False):
    """generated_batches(weights, seed, count): batches of generated uint8 images.

    weights: parameters and statistics of the generator. batch_stats: norms use the
    statistics of each batch of 100, as the code of both papers samples, instead of the
    running statistics.
    """
    sampler = sampling.make_sampler(config, spec)

    @jax.jit
    def generate(params, stats, z, labels):
        return steps.generate(spec, params, stats, z, labels)[0]

    def sample_by_batch(params, stats, z, labels):
        samples = generate(params, stats, z, labels)
        return pictures.to_uint8(samples, config.data.scale)

    sample = sample_by_batch if batch_stats else sampler

    def generated_batches(weights, seed: int, count: int) -> Iterator[np.ndarray]:
        params, stats = weights
        # Whole batches: a smaller last batch would have other statistics.
        whole = -(-count // BATCH) * BATCH
        z = sampling.noise(seed, whole, spec.z_dim)
        labels = sampling.labels(spec, seed, whole)
        for start in range(0, count, BATCH):
            rows = slice(start, start + BATCH)
            yield sample(params, stats, z[rows], labels[rows])[: count - start]

    return generated_batches


class ImageEvaluation:
    """Measures of a run's states, with those of real images as their floor."""

    def __init__(
        self,
        config: Config,
        spec: Spec,
        dataset,
        extractor,
        protocol: EvaluationProtocol,
        progress: ProgressFactory,
    ):
        """Computes the features of the real images and the floor."""
        self.config = config
        self.extractor = extractor
        self.protocol = protocol
        self.progress = progress
        self.generated_batches = make_generated_batches(
            config, spec, protocol.batch_stats
        )
        self.heldout_estimates = make_heldout_estimates(spec)
        self.real = self._real_features(getattr(dataset, protocol.reference))
        self.heldout = np.zeros(0)
        if len(dataset.heldout):
            key = jax.random.key(protocol.seed)
            self.heldout = np.asarray(to_float(dataset.heldout, config.data, key))
        self.floor_set = "train" if protocol.reference == "heldout" else "heldout"
        images = getattr(dataset, self.floor_set)
        self.floor_count = min(len(images), protocol.num)
        self.floor = {}
        if self.floor_count >= LEAST:
            order = content_order(images, protocol.seed)
            features = self._real_features(images[order[: self.floor_count]])
            self.floor = compare(
                features, self.real, extractor, protocol.metrics, protocol.seed
            )
        # A Frechet distance falls with the number of images: compare equal counts only.
        self.frechet = extractor.metric_key(frechet.DISTANCE)
        self.at_floor = f"{self.frechet}_at_floor"
        if self.frechet in self.floor and self.floor_count < protocol.num:
            self.floor[self.at_floor] = self.floor.pop(self.frechet)

    def measure(self, state) -> dict[str, Measure]:
        """The measures of a state of the run, over noise seeds."""
        protocol, count = self.protocol, self.real.count
        weights = sampling.weights(state, protocol.raw)
        seeds = transport.pair_seeds(protocol.seed, protocol.repeats)[:, 0].tolist()
        repeats = []
        for i, seed in enumerate(seeds):
            generated = extract(
                self.extractor,
                self.generated_batches(weights, seed, protocol.num),
                protocol.num,
                keep_rows=needs_rows(protocol.metrics),
                first=self.floor_count if self.at_floor in self.floor else 0,
                advance=self.progress(f"samples {i + 1} of {len(seeds)}", protocol.num),
            )
            repeats.append(
                compare(
                    generated,
                    self.real,
                    self.extractor,
                    protocol.metrics,
                    protocol.seed,
                )
            )
            if self.at_floor in self.floor:
                distance = frechet.frechet_distance(generated.first, self.real.moments)
                repeats[-1][self.at_floor] = distance
        metrics = protocol.metrics
        measures = image_measures(self.extractor, metrics, repeats, protocol.num, count)
        if self.at_floor in self.floor:
            values = [values[self.at_floor] for values in repeats]
            measures[self.at_floor] = Measure.of(values, (self.floor_count, count))
        floor_is = f"{self.floor_count} real, {self.floor_set}"
        for key in measures.keys() & self.floor.keys():
            ratio = key in (self.frechet, self.at_floor)
            measures[key] = measures[key].against(self.floor[key], floor_is, ratio)
        if count := len(self.heldout):
            values = self.heldout_estimates(state, self.heldout, seeds, protocol.raw)
            measures["heldout_estimate"] = Measure.of(values, (count, count))
        return measures

    def labels(self) -> dict[str, str]:
        """{key: label} of the measures."""
        label = self.extractor.metric_label(frechet.DISTANCE)
        return self.extractor.metric_labels(self.protocol.metrics) | {
            self.at_floor: f"{label}, as many as the floor",
            "heldout_estimate": "held-out estimate",
        }

    def facts(self) -> dict:
        """The settings that affect the numbers, for JSON."""
        batch, data_config = self.protocol.batch_stats, self.config.data
        return {
            "features": self.extractor.name,
            "features_identity": self.extractor.identity,
            "real": self.protocol.reference,
            "statistics": f"of each batch of {BATCH}" if batch else "running",
            **pixel_fields(data_config),
        }

    def _real_features(self, images):
        return extract_array(
            self.extractor,
            images,
            keep_rows=needs_rows(self.protocol.metrics),
            facts={"resize": self.config.data.resize},
            advance=self.progress("real images", len(images)),
        )


def image_measures(
    extractor: Extractor,
    metrics: Mapping[str, Metric],
    repeats: list[dict[str, float]],
    generated: int,
    real: int,
) -> dict[str, Measure]:
    """The measures of the numbers that `compare` gave, once or several times.

    generated, real: counts of images. Measures of too few images are withheld or have a
    warning.
    """
    measures = {}
    for metric in metrics.values():
        samples = metric.sizes(generated, real)
        for number in metric.numbers:
            key = extractor.metric_key(number)
            measures[key] = Measure.of(
                [values[key] for values in repeats if key in values],
                samples,
                withheld=metric.shortage(generated, real),
                warning=few_images(extractor, metric, number, min(samples)),
            )
    return measures


@restore.at_run_precision
def evaluate_images(
    run, checkpoint, features: str, protocol: EvaluationProtocol
) -> Evaluation:
    """The metrics of a run's images. features: one of `EXTRACTORS`.

    checkpoint: see `restored_states`. Raises UserError if the run, the checkpoint or
    the extractor does not exist, or has too few images to compare with.
    """
    states = restored_states(run, checkpoint)
    config, spec, state = next(states)
    if config.data.noun != "images":
        raise UserError(
            f"--metrics {next(iter(protocol.metrics))} needs images and {run} is a run "
            f"on {'points' if config.data.is_points else 'text'}: remove --metrics"
        )
    # The classifier is trained on images in memory.
    in_memory = features == "classifier"
    accept = protocol.accept_changed_data
    dataset = restore.load_data(run, config, accept, in_memory)
    if protocol.reference == "heldout" and len(dataset.heldout) < LEAST:
        raise UserError(
            f"--reference heldout needs {LEAST} held-out images or more and {run} has "
            f"{len(dataset.heldout)}: take --reference train"
        )
    extractor = make_extractor(config, dataset, features, f"--features {features}")
    stored = spec.z_dim + needs_rows(protocol.metrics) * extractor.dimension
    size = 4 * protocol.num * stored
    arithmetic = f"{protocol.num:,} x {stored} numbers of noise and features x 4 bytes"
    require_memory(f"--num {protocol.num}", size, arithmetic)
    with progress_bars() as progress:
        evaluation = ImageEvaluation(
            config, spec, dataset, extractor, protocol, progress
        )
        measures = {
            int(state.step): evaluation.measure(state)
            for _, _, state in itertools.chain([(config, spec, state)], states)
        }
    facts = run_facts(run, config, state, protocol) | evaluation.facts()
    labels = evaluation.labels()
    lines = [
        f"{run}, {facts['weights']} weights, statistics {facts['statistics']}, "
        f"seed {protocol.seed}",
        f"{protocol.num} samples against {evaluation.real.count} real images "
        f"({protocol.reference}), {protocol.repeats} times",
        *table.format_steps(measures, labels),
    ]
    pairs = [
        (by_key["heldout_estimate"].value, by_key[evaluation.frechet].value)
        for by_key in measures.values()
        if {"heldout_estimate", evaluation.frechet} <= set(by_key)
    ]
    means = [(a.mean, b.mean) for a, b in pairs if a and b]
    if len(means) < 3:
        return Evaluation(facts, measures, lines)
    correlation = rank_correlation(*zip(*means, strict=True))
    lines.append(
        "rank correlation (Spearman) of the held-out estimate with "
        f"{labels[evaluation.frechet]}: {correlation:.3g}"
    )
    measure = Measure.of([correlation], (len(means),))
    ranked = {"all": {"rank_correlation": measure}}
    return Evaluation(facts, measures | ranked, lines)


def evaluate_sets(images, reference, features: str, metrics, seed: int) -> Evaluation:
    """The metrics of the images at one path against those at another, without a floor.

    A floor would need both sets to be of one source. Raises UserError where images or
    extractor cannot be loaded.
    """
    generated, dataset = image_sets.load_pair(images, reference)
    extractor = EXTRACTORS[features](
        dataset, f"--reference {reference}", f"--features {features}"
    )
    real = np.concatenate([np.asarray(dataset.train), dataset.heldout])
    with progress_bars() as progress:
        generated_features, real_features = (
            extract_array(
                extractor,
                array,
                keep_rows=needs_rows(metrics),
                advance=progress(f"{name} images", len(array)),
            )
            for name, array in (("compared", generated), ("reference", real))
        )
    values = compare(generated_features, real_features, extractor, metrics, seed)
    facts = {
        "images": images,
        "real": reference,
        "features": extractor.name,
        "features_identity": extractor.identity,
        "shape": list(generated.shape[1:]),
        "seed": seed,
    }
    counts = len(generated), len(real)
    measures = image_measures(extractor, metrics, [values], *counts)
    lines = [
        f"{counts[0]} images of {images} against {counts[1]} of {reference}, "
        f"seed {seed}",
        *table.format_table(measures, extractor.metric_labels(metrics)),
    ]
    return Evaluation(facts, {None: measures}, lines)


@contextlib.contextmanager
def progress_bars():
    """Context of a `ProgressFactory` that shows its bars on a terminal."""
    # If the output is not a terminal, each display would leave an empty line.
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bars:
        yield lambda description, total: partial(
            bars.advance, bars.add_task(description, total=total)
        )
