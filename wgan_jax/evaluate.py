"""Distances of a run's samples from the truth: `python -m wgan_jax.evaluate RUN`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

from wgan_jax import cli
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.distances import (
    EvaluationProtocol,
    default_num,
    evaluate_distances,
)
from wgan_jax.evaluation.images import evaluate_images, evaluate_sets
from wgan_jax.metrics.image_scores import LEAST, find_metrics
from wgan_jax.runs.directory import describe_parent, read_config, read_parent


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures a run, or a set of images, against real samples: a table and a JSON."""

    run: Annotated[cli.Positional[str], cli.metavar("RUN")] = ""
    """Directory of the run; omit it with --images."""
    metrics: tuple[str, ...] = ()
    """Metrics of images on the features of a network: Frechet distance (fid), Inception
    score (is), kernel distance (kid), precision, recall, density and coverage (prdc),
    or your own (FILE.py:NAME). Empty measures distances of pixels or points,
    divergences of the n-grams of text, and the critic's estimate."""
    features: Literal["inception", "classifier", "patches"] = "inception"
    """Network that computes the features for --metrics: that of the published FID
    (inception), a classifier trained once on the data set's own labels, or patches of
    its images, which need no labels."""
    checkpoint: str = ""
    """Step of the checkpoint; empty takes the newest, best the best one of training,
    all every saved one."""
    raw: bool = False
    """Use the weights of the last step even where the run has averaged ones."""
    batch_stats: bool = False
    """Sample with the statistics of each batch of 100, as the papers' code does,
    instead of the running statistics (with --metrics)."""
    num: int = 0
    """Samples on each side of a distance; 0 is 2000, 640 lines of text, or 50000 with
    --metrics. Exact W1 needs about 30 num^2 bytes. Without --metrics, at most the
    number of held-out samples."""
    repeats: int = 0
    """Independent sets of samples, for the standard deviation; 0 is 5, or 1 with
    --metrics."""
    seed: int = 0
    """Seed of the noise, the true samples and the projections."""
    accept_changed_data: bool = False
    """Measure a run although its data have changed, and record the change."""
    images: str = ""
    """Folder of images, .npz or .npy file to measure instead of a run."""
    reference: str = "train"
    """Images that --metrics compare with: the run's training images (train) or held-out
    images (heldout); with --images, another folder or file."""
    json: str = ""
    """NAME.json to add the results to; empty takes evaluation.json of the run
    directory, if there is one. Results of other measures, checkpoints or settings stay
    in the file."""


def main(argv=None) -> int:
    """Evaluates, prints the table and writes the JSON file."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.evaluate"
    )
    _check(arguments)
    default = ("fid",) if arguments.images else ()
    metrics = find_metrics(arguments.metrics or default)
    out = Path(arguments.json or Path(arguments.run) / "evaluation.json")
    write = bool(arguments.json or arguments.run)
    if write:
        table.read_results(out)
    num = 50_000 if metrics else default_num(read_config(arguments.run))
    protocol = EvaluationProtocol(
        num=arguments.num or num,
        repeats=arguments.repeats or (1 if metrics else 5),
        seed=arguments.seed,
        raw=arguments.raw,
        metrics=metrics,
        batch_stats=arguments.batch_stats,
        reference=arguments.reference,
        accept_changed_data=arguments.accept_changed_data,
    )
    run, checkpoint, features = arguments.run, arguments.checkpoint, arguments.features
    if arguments.images:
        evaluation = evaluate_sets(
            arguments.images, arguments.reference, features, metrics, arguments.seed
        )
    elif metrics:
        evaluation = evaluate_images(run, checkpoint, features, protocol)
    else:
        evaluation = evaluate_distances(run, checkpoint, protocol)
    print(*evaluation.lines, sep="\n")
    if run and (parent := read_parent(run)):
        print(f"started from {describe_parent(parent)}")
    if write:
        table.write_results(out, evaluation)
        print(f"added to {out}")
    return 0


def _check(arguments):
    metrics = arguments.metrics
    for name, least in (
        ("num", LEAST if metrics else 1),
        ("repeats", 1 if metrics else 2),
    ):
        if getattr(arguments, name):
            cli.require(arguments, name, least)
    cli.require(arguments, "seed", 0, cli.SEEDS)
    if bool(arguments.run) == bool(arguments.images):
        order = ", RUN before --metrics" * bool(metrics and not arguments.images)
        raise UserError(f"give either a run directory or --images PATH{order}")
    if arguments.images:
        if arguments.reference == "train":
            raise UserError(
                f"--images {arguments.images} needs --reference: give a folder or an "
                ".npz file to compare it with"
            )
        names = "checkpoint raw batch_stats num repeats accept_changed_data"
        for name in names.split():
            if getattr(arguments, name):
                raise UserError(
                    f"--{name.replace('_', '-')} applies to runs only and cannot be "
                    "combined with --images"
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
                raise UserError(f"--{name} applies to --metrics: add --metrics fid")


if __name__ == "__main__":
    cli.run(main)
