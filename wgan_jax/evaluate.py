"""How far a run's samples are from the truth: `python -m wgan_jax.evaluate RUN`."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from wgan_jax import cli
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.distances import measure
from wgan_jax.evaluation.images import (
    measure_run,
    measure_sets,
)
from wgan_jax.metrics.image_scores import LEAST, Metric


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures a run against the truth: a table here and a JSON file in the run."""

    run: cli.Positional[str] = ""
    """Directory of the run; left out with --images."""
    metrics: tuple[Metric, ...] = ()
    """Of images, as a network sees them: Frechet distance (fid), Inception score (is),
    kernel distance (kid), precision, recall, density and coverage (prdc). Empty
    measures pixels, or points, and the critic."""
    features: Literal["inception", "classifier"] = "inception"
    """Network behind --metrics: that of the published FID, or one that is trained once
    on the data set's own labels."""
    checkpoint: str = ""
    """Step of the checkpoint; empty takes the newest, best the one that was best in
    training, all (with fid among --metrics) every one that is kept."""
    raw: bool = False
    """Take the weights of the last step even where the run keeps averaged ones."""
    batch_stats: bool = False
    """Sample with the statistics of each batch of 100, as the papers' code does,
    instead of the running ones (with --metrics)."""
    num: int = 0
    """Samples on each side of a distance; 0 is 2000, or 50000 with --metrics. Exact W1
    takes about 30 num^2 bytes. At most as many as there are held-out images without
    --metrics."""
    repeats: int = 0
    """Independent samples, for the spread; 0 is 5, or 1 with --metrics."""
    seed: int = 0
    """Seed of the noise, the true samples and the projections."""
    images: str = ""
    """Folder of images or .npz file to measure in place of a run."""
    reference: str = "train"
    """What --metrics compare with: the run's images of training (train) or those held
    out (heldout); with --images the other folder or .npz file."""
    json: str = ""
    """NAME.json; empty writes evaluation.json into the run directory, where there is
    one."""


def main(argv=None) -> int:
    """Measures the run, prints the table and writes the JSON file."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.evaluate"
    )
    _check(arguments)
    standard = (50_000, 1) if arguments.metrics else (2000, 5)
    arguments = dataclasses.replace(
        arguments,
        num=arguments.num or standard[0],
        repeats=arguments.repeats or standard[1],
    )
    out = Path(arguments.json or Path(arguments.run) / "evaluation.json")
    if arguments.json or arguments.run:
        table.check_out(out)
    if arguments.images:
        facts, found, more = measure_sets(arguments)
    elif arguments.metrics:
        facts, found, more = measure_run(arguments)
    else:
        facts, found, more = measure(arguments)
    if arguments.json or arguments.run:
        table.write_evaluation(out, facts, found, **more)
        print(f"written to {out}")
    return 0


def _check(arguments):
    metrics = arguments.metrics
    for name, least in (
        ("num", LEAST if metrics else 1),
        ("repeats", 2 - bool(metrics)),
    ):
        value = getattr(arguments, name)
        if value and value < least:
            raise UserError(f"--{name} {value} must be {least} or more")
    if not 0 <= arguments.seed < 2**32:
        raise UserError(f"--seed {arguments.seed} must be from 0 to 4294967295")
    if bool(arguments.run) == bool(arguments.images):
        raise UserError("one of a run directory and --images PATH must be given")
    if arguments.images:
        if arguments.reference == "train":
            raise UserError(
                f"--images {arguments.images} needs --reference with a folder or an "
                ".npz file to compare it with"
            )
        for name in ("checkpoint", "raw", "batch_stats", "num", "repeats"):
            if getattr(arguments, name):
                option = name.replace("_", "-")
                raise UserError(
                    f"--{option} is of runs: leave it out with --images, which takes "
                    "every image once"
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
                raise UserError(f"--{name} is of --metrics: add --metrics fid")
    if arguments.checkpoint == "all" and "fid" not in metrics:
        raise UserError(
            "--checkpoint all compares Frechet distances: add --metrics fid"
        )


if __name__ == "__main__":
    cli.run(main)
