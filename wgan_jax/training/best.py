"""How good a run's images are while it trains, and the best state so far."""

import sys

from rich.progress import Progress

from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config
from wgan_jax.data.dataset import Dataset
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding
from wgan_jax.evaluation.images import make_generated_batches
from wgan_jax.metrics import frechet
from wgan_jax.metrics.features import extract, extract_array, make_extractor
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.directory import BEST_CHECKPOINTS, read_best, write_best
from wgan_jax.runs.sampling import weights

# Of the noise: one for all evaluations, so that chance is the same in each.
SEED = 0


class BestCheckpoint:
    """The Frechet distance of a run's states to its training images."""

    def __init__(self, config: Config, spec: Spec, dataset: Dataset):
        """Raises UserError where run.evaluate_features cannot be had."""
        run = config.run
        typed = f"run.evaluate_features={run.evaluate_features}"
        self.extractor = make_extractor(config, dataset, run.evaluate_features, typed)
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

    def measure(self, state: TrainState) -> float:
        """The distance of run.evaluate_num samples, of the averaged weights if kept."""
        # Elsewhere than on a terminal it would leave an empty line each time.
        silent = not sys.stdout.isatty()
        with Progress(transient=True, disable=silent) as progress:
            task = progress.add_task(self.metric, total=self.num)
            found = extract(
                self.extractor,
                self.generated_batches(weights(state), SEED, self.num),
                self.num,
                advance=lambda done: progress.advance(task, done),
            )
            return frechet.frechet_distance(found.moments, self.real)


def keep_best(
    out,
    state: TrainState,
    metric: str,
    value: float,
    sharding: BatchSharding = ONE_DEVICE,
) -> None:
    """Keeps a state beside the run's checkpoints if its value is the lowest so far.

    share: see `Checkpoints`.
    """
    best = read_best(out)
    if not processes.broadcast_from_main(best is None or value < best["value"]):
        return
    step = int(state.step)
    with Checkpoints(
        out / BEST_CHECKPOINTS, max_to_keep=1, sharding=sharding
    ) as checkpoints:
        # There is one already where a run was killed before the next line.
        if step not in checkpoints.steps():
            checkpoints.save(state)
    if processes.is_main_process():
        write_best(out, step, metric, value)
