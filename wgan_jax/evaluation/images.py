"""Images of a run, or any two sets of them, measured as a network sees them."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from rich.progress import Progress

from wgan_jax import pictures
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import Spec
from wgan_jax.config import Config
from wgan_jax.data import image_sets, stream
from wgan_jax.data.batches import to_float
from wgan_jax.data.dataset import Dataset, load_dataset
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.table import Measure
from wgan_jax.metrics import scores, transport
from wgan_jax.metrics.features import (
    BATCH,
    classifier_extractor,
    extract,
    extract_array,
    inception_extractor,
)
from wgan_jax.metrics.image_scores import (
    LEAST,
    compare,
    labels,
    names,
    rank_correlation,
    sizes,
)
from wgan_jax.metrics.transport import MeanStd
from wgan_jax.runs import restore, sampling

ProgressFactory = Callable[[str, int], Callable[[int], None]]
"""bar(what, total) begins to show progress; what it returns is told of each advance."""


def make_extractor(config: Config, dataset: Dataset, features: str, typed: str):
    """The `Extractor` called `features` for a run's data; typed: as the user did."""
    if features == "inception":
        return inception_extractor()
    name = config.data.name or config.data.dir or f"data.source={config.data.source}"
    return classifier_extractor(dataset, name, typed)


# ------------------------------------------------------------------- images of a run


def make_generated_batches(config: Config, spec: Spec, batch_stats: bool = False):
    """stream(weights, seed, count): batches of uint8 images that a generator draws.

    weights: parameters and statistics. batch_stats: norms take the statistics of each
    batch of 100, as the code of both papers samples, and not the running ones.
    """
    sampler = sampling.make_sampler(config, spec)

    # In turn, so that a batch has all classes, as many samples of each.
    labels = np.arange(BATCH, dtype=np.int32) % spec.classes if spec.classes else None

    @jax.jit
    def generate(params, stats, z):
        return steps.generate(spec, params, stats, z, labels)[0]

    def by_batch(params, stats, z):
        return pictures.to_uint8(generate(params, stats, z), config.data.scale)

    draw = by_batch if batch_stats else sampler

    def stream(weights, seed: int, count: int) -> Iterator[np.ndarray]:
        # Whole batches, so that none has statistics of its own kind.
        z = sampling.noise(seed, -(-count // BATCH) * BATCH, spec.z_dim)
        for start in range(0, count, BATCH):
            yield draw(*weights, z[start : start + BATCH])[: count - start]

    return stream


def heldout_estimates(spec, state, real, seeds, raw: bool = False) -> MeanStd:
    """`steps.heldout_estimate` of a state on real float [n, ...], over noise seeds."""
    params, stats = sampling.weights(state, raw)
    generator = dataclasses.replace(state.generator, params=params, stats=stats)
    state = dataclasses.replace(state, generator=generator)
    estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))
    return transport.mean_std(
        [float(estimate(state, real, jax.random.key(s))) for s in seeds]
    )


@dataclasses.dataclass(frozen=True)
class EvaluationProtocol:
    """How a run is measured, the same for each of its checkpoints."""

    metrics: tuple[str, ...]
    num: int
    repeats: int
    seed: int
    batch_stats: bool
    raw: bool
    reference: str
    """train or heldout: the images the samples are compared with."""


class ImageEvaluation:
    """The measures of a run's states, beside those of real images in their place."""

    def __init__(
        self, config, spec, dataset, extractor, protocol, bar: ProgressFactory
    ):
        self.config, self.spec, self.extractor = config, spec, extractor
        self.protocol, self.bar, self.heldout = protocol, bar, dataset.heldout
        self.keep = bool({"kid", "prdc"} & set(protocol.metrics))
        self.stream = make_generated_batches(config, spec, protocol.batch_stats)
        self.other = "train" if protocol.reference == "heldout" else "heldout"
        self.real = self._known(getattr(dataset, protocol.reference))
        rest = getattr(dataset, self.other)
        self.floor_count, self.floor = min(len(rest), protocol.num), {}
        if self.floor_count >= LEAST:
            order = np.random.default_rng(protocol.seed).permutation(len(rest))
            self.floor = self._compare(self._known(rest[order[: self.floor_count]]))

    def measure(self, state) -> dict[str, Measure]:
        """The measures of a state of the run, over noise seeds."""
        protocol, fid = self.protocol, names(self.extractor)["fid"]
        weights = sampling.weights(state, protocol.raw)
        seeds = transport.pair_seeds(protocol.seed, protocol.repeats)[:, 0].tolist()
        lower = self.floor_count < protocol.num and fid in self.floor
        told = []
        for i, seed in enumerate(seeds):
            found = extract(
                self.extractor,
                self.stream(weights, seed, protocol.num),
                protocol.num,
                keep=self.keep,
                first=self.floor_count if lower else 0,
                advance=self.bar(f"samples {i + 1} of {len(seeds)}", protocol.num),
            )
            values = self._compare(found)
            if lower:
                distance = scores.frechet_distance(found.first, self.real.moments)
                values[f"{fid}_at_floor"] = distance
            told.append(values)
        measures = {}
        for key in told[0]:
            value = transport.mean_std([values[key] for values in told])
            measures[key] = self._beside(key, fid, value, lower)
        if len(self.heldout):
            key = jax.random.key(protocol.seed)
            real = np.asarray(to_float(self.heldout, self.config.data, key))
            value = heldout_estimates(self.spec, state, real, seeds, protocol.raw)
            measures["heldout_estimate"] = Measure(value)
        return measures

    def facts(self) -> dict:
        """Counts of both sides, and what shapes the numbers, for JSON."""
        protocol, shape = self.protocol, self.config.data
        return {
            "features": self.extractor.name,
            "features_identity": self.extractor.identity,
            "samples": protocol.num,
            "reference": protocol.reference,
            "reference_samples": self.real.count,
            "floor": self.other if self.floor else None,
            "floor_samples": self.floor_count if self.floor else 0,
            "repeats": protocol.repeats,
            "seed": protocol.seed,
            "statistics": f"of each batch of {BATCH}"
            if protocol.batch_stats
            else "running",
            "image_size": shape.image_size,
            "channels": shape.channels,
            "resize": shape.resize,
        } | sizes(protocol.metrics, protocol.num, self.real.count)

    def _known(self, array):
        return extract_array(
            self.extractor,
            array,
            keep=self.keep,
            facts={"resize": self.config.data.resize},
            advance=self.bar("real images", len(array)),
        )

    def _compare(self, found):
        done = self.bar("distances", 1)
        told = compare(
            found, self.real, self.extractor, self.protocol.metrics, self.protocol.seed
        )
        done(1)
        return told

    def _beside(self, key, fid, value, lower):
        # A Frechet distance falls with the count: only equal counts stand side by side.
        source = fid if key == f"{fid}_at_floor" else key
        if source not in self.floor or (lower and key == fid):
            return Measure(value)
        floor = self.floor[source]
        ratio = value.mean / floor if source == fid and floor else None
        told = f"{self.floor_count} real, {self.other}"
        return Measure(value, transport.mean_std([floor]), told, ratio)


# ------------------------------------------------------------------ behind the command


def measure_run(arguments) -> tuple[dict, dict, dict]:
    """Facts, measures and what is more for JSON, of a run's images; prints a table.

    arguments: those of `evaluate`. With --checkpoint all the measures are by step.
    """
    run, every = arguments.run, arguments.checkpoint == "all"
    kept = restore.checkpoint_steps(run) if every else [arguments.checkpoint]
    config, spec, state = restore.restore_run(run, kept[-1])
    if config.data.is_points:
        raise UserError(
            f"--metrics {arguments.metrics[0]} needs images, and {run} is of points: "
            "leave --metrics out"
        )
    check_finite(run, state)
    if arguments.features == "classifier":
        # It is trained on images in memory.
        dataset = load_dataset(config.data)
    else:
        dataset = stream.load(config)
    if arguments.reference == "heldout" and len(dataset.heldout) < LEAST:
        raise UserError(
            f"--reference heldout: {run} holds back {len(dataset.heldout)} images, "
            f"and {LEAST} are needed: take --reference train"
        )
    typed = f"--features {arguments.features}"
    extractor = make_extractor(config, dataset, arguments.features, typed)
    protocol = EvaluationProtocol(
        **{
            f.name: getattr(arguments, f.name)
            for f in dataclasses.fields(EvaluationProtocol)
        }
    )
    found = {}
    with _bars() as bar:
        evaluation = ImageEvaluation(config, spec, dataset, extractor, protocol, bar)
        for step in kept:
            if every:
                state = restore.restore_run(run, step)[2]
                check_finite(run, state)
            found[int(state.step)] = evaluation.measure(state)
    facts = run_facts(config, state, arguments) | evaluation.facts()
    shown = labels(extractor, evaluation.floor_count)
    print(f"{run}, {facts['weights']} weights, statistics {facts['statistics']}")
    print(
        f"{facts['samples']} samples against {facts['reference_samples']} real images "
        f"({facts['reference']}), {facts['repeats']} times"
    )
    if every:
        more = _print_checkpoints(found, shown, names(extractor)["fid"])
        return facts, found, more
    print(f"step {facts['step']}")
    print(*table.format_table(found[facts["step"]], shown), sep="\n")
    return facts, found[facts["step"]], {}


def _print_checkpoints(found, shown, fid):
    """A line a checkpoint, and how the critic's estimate ranks them beside `fid`."""
    keys = list(found[max(found)])
    widths = [max(len(shown[key].strip()), 16) + 2 for key in keys]
    heads = (f"{shown[k].strip():>{w}}" for k, w in zip(keys, widths, strict=True))
    print(f"{'step':>8}" + "".join(heads))
    for step, told in found.items():
        values = (
            f"{table.plain(told[k].value):>{w}}"
            for k, w in zip(keys, widths, strict=True)
        )
        print(f"{step:>8}" + "".join(values))
    estimate = "heldout_estimate"
    if estimate not in keys or len(found) < 3:
        return {}
    columns = (
        [told[key].value.mean for told in found.values()] for key in (estimate, fid)
    )
    correlation = rank_correlation(*columns)
    print(
        f"rank correlation (Spearman) of the held-out estimate with {shown[fid]}: "
        f"{correlation:.3g}"
    )
    return {"rank_correlation": correlation}


def measure_sets(arguments) -> tuple[dict, dict, dict]:
    """As `measure_run`, of the images at one path against those at another.

    Without a floor, for which both would have to come from one source.
    """
    metrics = arguments.metrics or ("fid",)
    found, dataset = image_sets.load_pair(arguments.images, arguments.reference)
    if arguments.features == "classifier":
        extractor = classifier_extractor(dataset, f"--reference {arguments.reference}")
    else:
        extractor = inception_extractor()
    real = np.concatenate([dataset.train, dataset.heldout])
    keep = bool({"kid", "prdc"} & set(metrics))
    with _bars() as bar:
        sides = [
            extract_array(
                extractor, array, keep=keep, advance=bar(f"{name} images", len(array))
            )
            for name, array in (("compared", found), ("reference", real))
        ]
        done = bar("distances", 1)
        told = compare(*sides, extractor, metrics, arguments.seed)
        done(1)
    facts = {
        "images": arguments.images,
        "reference": arguments.reference,
        "features": extractor.name,
        "features_identity": extractor.identity,
        "samples": len(found),
        "reference_samples": len(real),
        "shape": list(found.shape[1:]),
        "seed": arguments.seed,
    }
    shown = {key: Measure(transport.mean_std([value])) for key, value in told.items()}
    print(
        f"{len(found)} images of {arguments.images} against {len(real)} of "
        f"{arguments.reference}"
    )
    print(*table.format_table(shown, labels(extractor, 0)), sep="\n")
    return facts | sizes(metrics, len(found), len(real)), shown, {}


def check_finite(run, state) -> None:
    """Raises UserError where weights of the run's state are not finite."""
    nets = (state.generator.params, state.critic.params)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(nets)):
        raise UserError(
            f"{run} has diverged: its weights of step {int(state.step)} are not all "
            "finite; take an earlier one with --checkpoint"
        )


def run_facts(config, state, arguments) -> dict:
    """Which weights of which run are measured, for JSON."""
    averaged = state.ema is not None and not arguments.raw
    return {
        "run": arguments.run,
        "source": config.data.name or config.data.source,
        "step": int(state.step),
        "weights": "averaged" if averaged else "raw",
        "seed": arguments.seed,
        "training_seed": config.run.seed,
    }


@contextlib.contextmanager
def _bars():
    """bar(what, total) -> advance(n), each a line while it goes on."""
    with Progress(transient=True) as progress:

        def bar(what, total):
            return partial(progress.advance, progress.add_task(what, total=total))

        yield bar
