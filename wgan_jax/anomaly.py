"""Images that a run's generator cannot reproduce: `python -m wgan_jax.anomaly RUN`."""

import dataclasses
import functools
import math
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from wgan_jax import cli
from wgan_jax.anogan import maps, report
from wgan_jax.anogan.calibration import check_count
from wgan_jax.anogan.detection import OF_METHOD, Options, check_run, detect
from wgan_jax.anogan.images import load_calibration, load_images, take_calibration
from wgan_jax.data.content import digests
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.files import check_new
from wgan_jax.runs import restore
from wgan_jax.runs.directory import read_data_record, with_contents
from wgan_jax.runs.lock import DirectoryLock


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Scores images by the distance from their reconstruction by a run's generator."""

    run: Annotated[cli.Positional[str], cli.metavar("RUN")]
    """Directory of the run, trained on normal images."""
    images: str = ""
    """A folder, an .npz file or NAME:SPLIT of a TFDS data set; empty takes the run's
    test split, or else its held-out images and those of the classes it left out. A
    folder in the layout of MVTec AD (train/good, test/DEFECT) has its own truth."""
    normal_class: tuple[str, ...] = ()
    """Labels of normal images, as in the data, or their names; empty takes the run's
    data.classes."""
    labels: str = ""
    """File with the anomalous images: NAME.csv with the columns name,anomalous for a
    folder, NAME.npy or .npz for arrays; 0 is normal, 1 anomalous."""
    false_alarm_rate: float = 0.05
    """Probability that a normal image is above the threshold, at most; 0 gives scores
    without a threshold."""
    calibration: str = ""
    """Normal images that decide the threshold: a folder, an .npz file or NAME:SPLIT;
    empty takes images of the run that it did not train on and that are not scored."""
    calibration_num: int = 500
    """Images to calibrate on at most, drawn at random."""
    heat_maps: str = ""
    """New folder for a picture of each image: image, reconstruction, difference."""
    method: Literal["anogan", "f-anogan"] = "f-anogan"
    """Search for the latent point of each image, or train an encoder that predicts
    it."""
    num: int = 0
    """Images to score, drawn at random; 0 scores all."""
    seed: int = 0
    """Seed of the draw, of the starting points and of the encoder."""
    checkpoint: str = ""
    """Step of the checkpoint; empty takes the newest, best the best one of training
    (with run.evaluate_every)."""
    raw: bool = False
    """Use the weights of the last step even where the run has averaged ones."""
    out: str = ""
    """Folder for scores, curves and the grid; empty is anomaly/METHOD in the run."""
    accept_changed_data: bool = False
    """Use the run's images although they have changed, and record the change."""
    batch: int = 100
    """Images in a batch."""
    steps: int = 300
    """Steps of a search (anogan)."""
    lr: float = 0.1
    """Learning rate of a search, falling linearly to 0 (anogan)."""
    restarts: int = 2
    """Searches for each image; the best one counts (anogan)."""
    feature_weight: float = 0.1
    """Weight of the critic's features; that of the pixels is 1 minus it (anogan)."""
    encoder_steps: int = 1000
    """Updates of the encoder, each on data.batch_size training images (f-anogan)."""
    encoder_lr: float = 1e-3
    """Learning rate of the encoder, falling linearly to 0 (f-anogan)."""
    kappa: float = 1.0
    """Weight of the critic's features relative to the pixels (f-anogan)."""
    overwrite: bool = False
    """Replace the scores of an earlier command in --out."""


def main(argv=None) -> int:
    """Scores the images and writes the results."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.anomaly"
    )
    _check(arguments)
    return _score(arguments.run, arguments)


@restore.at_run_precision
def _score(run, arguments):
    config, spec, state = restore.restore_run(run, arguments.checkpoint)
    check_run(run, config, spec)
    out = Path(arguments.out or Path(run) / "anomaly" / arguments.method)
    report.check_out(out)
    if arguments.out:
        check_new(out / "anomaly.json", "--out", arguments.overwrite)
    heat_maps = Path(arguments.heat_maps) if arguments.heat_maps else None
    if heat_maps:
        check_new(heat_maps, "--heat-maps", arguments.overwrite)
    accept = arguments.accept_changed_data
    load_data = functools.cache(
        partial(restore.load_data, run, config, accept, in_memory=True)
    )
    source, normal_class = arguments.images, arguments.normal_class
    shown = load_images(config.data, source, normal_class, arguments.labels, load_data)
    shown, normal = _calibration(arguments, config, shown, load_data)
    if 0 < arguments.num < len(shown.samples):
        rng = np.random.default_rng(arguments.seed)
        order = rng.permutation(len(shown.samples))[: arguments.num]
        shown = shown.rows(np.sort(order))
    if heat_maps:
        maps.names(shown)
    if arguments.method == "anogan":
        images = arguments.restarts * min(arguments.batch, len(shown.samples))
        size = 4 * math.prod(config.data.sample_shape)
        arithmetic = f"{images:,} images of a batch x {size:,} bytes"
        restarts = f"--restarts {arguments.restarts}"
        require_memory(restarts, images * size, arithmetic)
    # Before the search, because a folder that is not writable must fail at once.
    with DirectoryLock(out):
        options = Options(
            **{f.name: getattr(arguments, f.name) for f in dataclasses.fields(Options)}
        )
        rate = arguments.false_alarm_rate
        detection, nets = detect(
            config, spec, state, shown, normal, rate, options, load_data, out
        )
        facts = report.write_report(
            out,
            config.data,
            nets.generate,
            shown,
            detection,
            _facts(arguments, config.data, state, shown),
            heat_maps,
        )
    lines = report.summary(facts, shown, detection)
    print(*lines, f"written to {out}", sep="\n")
    if heat_maps:
        print(f"{len(shown.samples)} heat maps: {heat_maps}")
    return 0


def _calibration(arguments, config, shown, load_data):
    """(images to score, normal images to calibrate on, or None for scores only).

    Warns of images to score that the run was trained on.
    """
    run, rate, source = arguments.run, arguments.false_alarm_rate, arguments.calibration
    record = with_contents(run, read_data_record(run))
    if record.contents is None:
        record = load_data().record
    trained = np.asarray(record.contents)[: record.train]
    seen = int(np.isin(digests(shown.samples), trained).sum())
    if seen:
        print(
            f"warning: the run was trained on {seen} of the {len(shown.samples)} images"
            " to score: their scores are too low"
        )
    if not rate:
        return shown, None
    num, seed = arguments.calibration_num, arguments.seed
    if not source and not arguments.images:
        where = f"the half of the normal images that {run} did not train on"
        shown, normal = take_calibration(shown, trained, num, seed)
    else:
        held_out = f"the held-out set of {run} (data.heldout={config.data.heldout})"
        where = f"--calibration {source}" if source else held_out
        normal = load_calibration(
            config.data,
            source,
            shown,
            arguments.normal_class,
            load_data,
            trained,
            num,
            seed,
        )
    check_count(len(normal.samples), rate, where)
    if not len(shown.samples):
        raise UserError(
            f"{run} has no image left to score besides those that calibrate: give "
            "--images"
        )
    return shown, normal


def _check(arguments):
    cli.require(arguments, "num", 0)
    cli.require(arguments, "seed", 0, cli.SEEDS)
    for name in ("batch", "steps", "restarts", "encoder_steps", "calibration_num"):
        cli.require(arguments, name, 1)
    # In float32, where 1e-50 is 0 and 1e50 is infinite.
    least, most = (float(v) for v in (np.finfo("f4").tiny, np.finfo("f4").max))
    rate = (lambda v: least <= v <= most, "a finite number greater than 0")
    checks = {
        "feature_weight": (lambda v: 0 <= v <= 1, "from 0 to 1"),
        "false_alarm_rate": (lambda v: 0 <= v < 1, "0 or more and below 1"),
        "kappa": (lambda v: 0 <= v <= most, "a finite number of 0 or more"),
    }
    checks |= dict.fromkeys(("lr", "encoder_lr"), rate)
    for name, (test, requirement) in checks.items():
        value = getattr(arguments, name)
        if not test(value):
            raise UserError(f"{_option(name)} {value} must be {requirement}")
    if arguments.calibration and not arguments.false_alarm_rate:
        raise UserError(
            f"--calibration {arguments.calibration} needs a threshold: remove "
            "--false-alarm-rate 0"
        )
    if arguments.labels and arguments.normal_class:
        raise UserError("--labels and --normal-class cannot be combined: give one")
    defaults = {f.name: f.default for f in dataclasses.fields(Arguments)}
    for method, names in OF_METHOD.items():
        for name in names:
            value = getattr(arguments, name)
            if method != arguments.method and value != defaults[name]:
                raise UserError(
                    f"{_option(name)} {value} applies to --method {method} only: "
                    f"remove it, or add --method {method}"
                )


def _option(name):
    return f"--{name.replace('_', '-')}"


def _facts(arguments, data_config, state, shown):
    by_class = shown.labels is not None and not arguments.labels
    by_class = by_class and shown.anomalous is not None
    options = {name: getattr(arguments, name) for name in OF_METHOD[arguments.method]}
    name, test_split = data_config.name, data_config.test_split
    averaged = state.ema is not None and not arguments.raw
    return {
        "run": arguments.run,
        "step": int(state.step),
        "weights": "averaged" if averaged else "raw",
        "method": arguments.method,
        **options,
        "seed": arguments.seed,
        "batch": arguments.batch,
        "source": arguments.images
        or (f"{name}:{test_split}" if test_split else "held out"),
        "normal_class": (
            arguments.normal_class or list(map(str, data_config.classes))
            if by_class
            else None
        ),
        "labels": arguments.labels or None,
    }


if __name__ == "__main__":
    cli.run(main)
