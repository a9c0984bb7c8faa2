"""Frechet distance of a run during training, and the best state so far."""

import math
import sys
from pathlib import Path

from rich.progress import Progress

from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config
from wgan_jax.data.dataset import Dataset
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding
from wgan_jax.evaluation.images import make_generated_batches
from wgan_jax.metrics import frechet
from wgan_jax.metrics.features import extract, extract_array, make_extractor
from wgan_jax.metrics.image_scores import few_images
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.directory import BEST_CHECKPOINTS, read_best, write_best
from wgan_jax.runs.sampling import weights

# Seed of the noise: the same for all evaluations, so that they are comparable.
SEED = 0


class BestCheckpoint:
    """Frechet distances of states to the training images, and the best of them."""

    def __init__(self, config: Config, spec: Spec, dataset: Dataset):
        """Raises UserError if run.evaluate_features are not available."""
        run = config.run
        option = f"run.evaluate_features={run.evaluate_features}"
        self.sharding = spec.sharding
        self.extractor = make_extractor(config, dataset, run.evaluate_features, option)
        self.metric = self.extractor.metric_key(frechet.DISTANCE)
        self.num = run.evaluate_num
        self.generated_batches = make_generated_batches(config, spec)
        facts = {"resize": config.data.resize}
        with Progress(transient=True) as progress:
            task = progress.add_task("training images", total=len(dataset.train))
            self.real = extract_array(
                self.extractor,
                dataset.train,
                facts=facts,
                advance=lambda done: progress.advance(task, done),
            ).moments
        count = min(self.num, self.real.count)
        warning = few_images(self.extractor, frechet.METRIC, frechet.DISTANCE, count)
        if warning and processes.is_main_process():
            print(f"warning: {warning}")

    def evaluate(self, state: TrainState, out: Path | None = None) -> dict[str, float]:
        """The distance as a metric; saves the best state so far in the run `out`."""
        value = self.measure(state)
        if out is None:
            return {self.metric: value}
        save_if_best(out, state, self.metric, value, self.sharding)
        return {self.metric: value}

    def measure(self, state: TrainState) -> float:
        """The distance of run.evaluate_num samples, of the averaged weights if any."""
        # If the output is not a terminal, each display would leave an empty line.
        silent = not sys.stdout.isatty()
        with Progress(transient=True, disable=silent) as progress:
            task = progress.add_task(self.metric, total=self.num)
            fake = extract(
                self.extractor,
                self.generated_batches(weights(state), SEED, self.num),
                self.num,
                advance=lambda done: progress.advance(task, done),
            )
            return frechet.frechet_distance(fake.moments, self.real)


def save_if_best(
    out: Path,
    state: TrainState,
    metric: str,
    value: float,
    sharding: BatchSharding = ONE_DEVICE,
) -> None:
    """Saves a state in the run `out` if its value is finite and the lowest so far.

    sharding: see `Checkpoints`.
    """
    best = read_best(out)
    better = math.isfinite(value) and (best is None or value < best["value"])
    if not processes.broadcast_from_main(better):
        return
    step = int(state.step)
    with Checkpoints(
        out / BEST_CHECKPOINTS, max_to_keep=1, sharding=sharding
    ) as checkpoints:
        # A run killed before `write_best` has saved this step already.
        if step not in checkpoints.steps():
            checkpoints.save(state)
    if processes.is_main_process():
        write_best(out, step, metric, value)
