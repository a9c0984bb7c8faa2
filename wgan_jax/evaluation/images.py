"""Metrics of a run's images or of two image sets, on the features of a network."""

import contextlib
from collections.abc import Callable, Iterator
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
from wgan_jax.data.dataset import load, load_in_memory
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.distances import (
    EvaluationProtocol,
    heldout_estimates,
    run_facts,
)
from wgan_jax.evaluation.table import Evaluation, Measure
from wgan_jax.metrics import frechet, transport
from wgan_jax.metrics.features import (
    BATCH,
    classifier_extractor,
    extract,
    extract_array,
    inception_extractor,
    make_extractor,
)
from wgan_jax.metrics.image_scores import LEAST, compare, rank_correlation, sizes
from wgan_jax.metrics.transport import mean_std
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
        self.spec = spec
        self.extractor = extractor
        self.protocol = protocol
        self.progress = progress
        self.heldout = dataset.heldout
        self.keep_rows = any(m.needs_rows for m in protocol.metrics.values())
        self.generated_batches = make_generated_batches(
            config, spec, protocol.batch_stats
        )
        self.frechet = extractor.metric_key(frechet.DISTANCE)
        self.floor_is = "train" if protocol.reference == "heldout" else "heldout"
        self.real = self._real_features(getattr(dataset, protocol.reference))
        rest = getattr(dataset, self.floor_is)
        self.floor_count = min(len(rest), protocol.num)
        self.floor = {}
        if self.floor_count >= LEAST:
            order = np.random.default_rng(protocol.seed).permutation(len(rest))
            images = rest[order[: self.floor_count]]
            self.floor = self._compare(self._real_features(images))

    def measure(self, state) -> dict[str, Measure]:
        """The measures of a state of the run, over noise seeds."""
        protocol = self.protocol
        weights = sampling.weights(state, protocol.raw)
        seeds = transport.pair_seeds(protocol.seed, protocol.repeats)[:, 0].tolist()
        smaller = self.floor_count < protocol.num and self.frechet in self.floor
        repeats = []
        for i, seed in enumerate(seeds):
            generated = extract(
                self.extractor,
                self.generated_batches(weights, seed, protocol.num),
                protocol.num,
                keep_rows=self.keep_rows,
                first=self.floor_count if smaller else 0,
                advance=self.progress(f"samples {i + 1} of {len(seeds)}", protocol.num),
            )
            values = self._compare(generated)
            if smaller:
                values[f"{self.frechet}_at_floor"] = frechet.frechet_distance(
                    generated.first, self.real.moments
                )
            repeats.append(values)
        measures = {}
        for key in repeats[0]:
            value = mean_std([values[key] for values in repeats])
            measures[key] = self._with_floor(key, value, smaller)
        if len(self.heldout):
            key = jax.random.key(protocol.seed)
            real = np.asarray(to_float(self.heldout, self.config.data, key))
            value = heldout_estimates(self.spec, state, real, seeds, protocol.raw)
            measures["heldout_estimate"] = Measure(value)
        return measures

    def labels(self) -> dict[str, str]:
        """{key: label} of the measures."""
        label = self.extractor.metric_label(frechet.DISTANCE)
        return self.extractor.metric_labels(self.protocol.metrics) | {
            f"{self.frechet}_at_floor": f"{label}, {self.floor_count} samples",
            "heldout_estimate": "held-out estimate",
        }

    def facts(self) -> dict:
        """Counts of both sides and the settings that affect the numbers, for JSON."""
        protocol, data_config = self.protocol, self.config.data
        return {
            "features": self.extractor.name,
            "features_identity": self.extractor.identity,
            "samples": protocol.num,
            "reference": protocol.reference,
            "reference_samples": self.real.count,
            "floor": self.floor_is if self.floor else None,
            "floor_samples": self.floor_count if self.floor else 0,
            "repeats": protocol.repeats,
            "seed": protocol.seed,
            "statistics": f"of each batch of {BATCH}"
            if protocol.batch_stats
            else "running",
            "image_size": data_config.image_size,
            "channels": data_config.channels,
            "resize": data_config.resize,
        } | sizes(protocol.metrics, protocol.num, self.real.count)

    def _real_features(self, images):
        return extract_array(
            self.extractor,
            images,
            keep_rows=self.keep_rows,
            facts={"resize": self.config.data.resize},
            advance=self.progress("real images", len(images)),
        )

    def _compare(self, features):
        advance = self.progress("distances", 1)
        values = compare(
            features,
            self.real,
            self.extractor,
            self.protocol.metrics,
            self.protocol.seed,
        )
        advance(1)
        return values

    def _with_floor(self, key, value, smaller):
        # A Frechet distance falls with the number of images: compare equal counts only.
        source = self.frechet if key == f"{self.frechet}_at_floor" else key
        if source not in self.floor or (smaller and key == self.frechet):
            return Measure(value)
        floor = self.floor[source]
        ratio = value.mean / floor if source == self.frechet and floor else None
        reference_is = f"{self.floor_count} real, {self.floor_is}"
        return Measure(value, mean_std([floor]), reference_is, ratio)


def evaluate_images(
    run, checkpoint, features: str, protocol: EvaluationProtocol
) -> Evaluation:
    """The metrics of a run's images. features: inception or classifier.

    checkpoint: see `restore.restore_run`; "all" gives the measures of every checkpoint
    by step. Raises UserError where there is no such run, checkpoint or extractor, or
    too few images to compare with.
    """
    every = checkpoint == "all"
    checkpoints = restore.checkpoint_steps(run) if every else [checkpoint]
    config, spec, state = restore.restore_run(run, checkpoints[-1])
    if config.data.is_points:
        raise UserError(
            f"--metrics {next(iter(protocol.metrics))} needs images and {run} is a run "
            "on points: remove --metrics"
        )
    restore.check_finite(run, state)
    # The classifier is trained on images in memory.
    in_memory = features == "classifier"
    dataset = load_in_memory(config.data) if in_memory else load(config)
    if protocol.reference == "heldout" and len(dataset.heldout) < LEAST:
        raise UserError(
            f"--reference heldout needs {LEAST} held-out images or more and {run} has "
            f"{len(dataset.heldout)}: take --reference train"
        )
    extractor = make_extractor(config, dataset, features, f"--features {features}")
    measures = {}
    with _progress_bars() as progress:
        evaluation = ImageEvaluation(
            config, spec, dataset, extractor, protocol, progress
        )
        for step in checkpoints:
            if every:
                state = restore.restore_run(run, step)[2]
                restore.check_finite(run, state)
            measures[int(state.step)] = evaluation.measure(state)
    facts = run_facts(run, config, state, protocol) | evaluation.facts()
    lines = [
        f"{run}, {facts['weights']} weights, statistics {facts['statistics']}",
        f"{facts['samples']} samples against {facts['reference_samples']} real images "
        f"({facts['reference']}), {facts['repeats']} times",
    ]
    labels = evaluation.labels()
    if not every:
        measures = measures[facts["step"]]
        lines += [f"step {facts['step']}", *table.format_table(measures, labels)]
        return Evaluation(facts, measures, lines)
    lines += table.format_checkpoints(measures, labels)
    columns = [
        [by_key[key].value.mean for by_key in measures.values() if key in by_key]
        for key in ("heldout_estimate", evaluation.frechet)
    ]
    if len(columns[0]) < 3:
        return Evaluation(facts, measures, lines)
    correlation = rank_correlation(*columns)
    lines.append(
        "rank correlation (Spearman) of the held-out estimate with "
        f"{labels[evaluation.frechet]}: {correlation:.3g}"
    )
    return Evaluation(facts, measures, lines, {"rank_correlation": correlation})


def evaluate_sets(images, reference, features: str, metrics, seed: int) -> Evaluation:
    """The metrics of the images at one path against those at another, without a floor.

    A floor would need both sets to be of one source. Raises UserError where images or
    extractor cannot be loaded.
    """
    generated, dataset = image_sets.load_pair(images, reference)
    if features == "classifier":
        extractor = classifier_extractor(dataset, f"--reference {reference}")
    else:
        extractor = inception_extractor()
    real = np.concatenate([np.asarray(dataset.train), dataset.heldout])
    keep_rows = any(metric.needs_rows for metric in metrics.values())
    with _progress_bars() as progress:
        generated_features, real_features = (
            extract_array(
                extractor,
                array,
                keep_rows=keep_rows,
                advance=progress(f"{name} images", len(array)),
            )
            for name, array in (("compared", generated), ("reference", real))
        )
        advance = progress("distances", 1)
        values = compare(generated_features, real_features, extractor, metrics, seed)
        advance(1)
    facts = {
        "images": images,
        "reference": reference,
        "features": extractor.name,
        "features_identity": extractor.identity,
        "samples": len(generated),
        "reference_samples": len(real),
        "shape": list(generated.shape[1:]),
        "seed": seed,
    } | sizes(metrics, len(generated), len(real))
    measures = {key: Measure(mean_std([value])) for key, value in values.items()}
    lines = [
        f"{len(generated)} images of {images} against {len(real)} of {reference}",
        *table.format_table(measures, extractor.metric_labels(metrics)),
    ]
    return Evaluation(facts, measures, lines)


@contextlib.contextmanager
def _progress_bars():
    with Progress(transient=True) as bars:
        yield lambda description, total: partial(
            bars.advance, bars.add_task(description, total=total)
        )
