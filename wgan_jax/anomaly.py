"""Images that a run's generator cannot reproduce: `python -m wgan_jax.anomaly RUN`."""

import dataclasses
import math
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from wgan_jax import cli
from wgan_jax.anogan import encoder, report, scoring
from wgan_jax.anogan.images import load_images
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.files import check_new
from wgan_jax.runs import restore
from wgan_jax.runs.lock import DirectoryLock


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Scores images by the distance from their reconstruction by a run's generator."""

    run: Annotated[cli.Positional[str], cli.metavar("RUN")]
    """Directory of the run, trained on normal images."""
    images: str = ""
    """A folder, an .npz file or NAME:SPLIT of a TFDS data set; empty takes the run's
    test split, or else its held-out images and those of the classes it left out."""
    normal_class: tuple[int, ...] = ()
    """Labels of normal images, as in the data; empty takes the run's data.classes."""
    labels: str = ""
    """File with the anomalous images: NAME.csv with the columns name,anomalous for a
    folder, NAME.npy or .npz for arrays; 0 is normal, 1 anomalous."""
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


OF_METHOD = {
    "anogan": ("steps", "lr", "restarts", "feature_weight"),
    "f-anogan": ("encoder_steps", "encoder_lr", "kappa"),
}


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
    if config.data.is_points:
        raise UserError(
            f"{run} is a run on points (data.source={config.data.source}) and anomaly "
            "detection needs images: give a run on images"
        )
    if spec.classes:
        raise UserError(
            f"{run} is conditioned on labels (model.classes={spec.classes}) and the "
            "label of an anomaly is unknown: give a run with model.classes=0"
        )
    out = Path(arguments.out or Path(run) / "anomaly" / arguments.method)
    report.check_out(out)
    if arguments.out:
        check_new(out / "anomaly.json", "--out", arguments.overwrite)
    accept = arguments.accept_changed_data
    load_data = partial(restore.load_data, run, config, accept, in_memory=True)
    source, normal_class = arguments.images, arguments.normal_class
    shown = load_images(config.data, source, normal_class, arguments.labels, load_data)
    if 0 < arguments.num < len(shown.samples):
        rng = np.random.default_rng(arguments.seed)
        order = rng.permutation(len(shown.samples))[: arguments.num]
        shown = shown.rows(np.sort(order))
    if arguments.method == "anogan":
        images = arguments.restarts * min(arguments.batch, len(shown.samples))
        size = 4 * math.prod(config.data.sample_shape)
        arithmetic = f"{images:,} images of a batch x {size:,} bytes"
        restarts = f"--restarts {arguments.restarts}"
        require_memory(restarts, images * size, arithmetic)
    # Before the search, because a folder that is not writable must fail at once.
    with DirectoryLock(out):
        return _score_into(out, arguments, config, spec, state, shown, load_data)


def _score_into(out, arguments, config, spec, state, shown, load_data):
    """Scores the images and writes the results into the folder `out`."""
    nets = scoring.make_nets(spec, state, arguments.raw)
    seed, weight = arguments.seed, arguments.feature_weight
    options = {name: getattr(arguments, name) for name in OF_METHOD[arguments.method]}
    if arguments.method == "anogan":
        infer_latents = scoring.make_search(
            nets,
            spec.z_dim,
            seed,
            arguments.restarts,
            steps=arguments.steps,
            lr=arguments.lr,
            weight=weight,
        )
        score, power = partial(scoring.anogan_score, weight=weight), 1
    else:
        infer_latents = encoder.load_or_train(
            out, config, nets, load_data, **options, seed=seed
        )
        score, power = partial(scoring.f_anogan_score, kappa=arguments.kappa), 2
    result = scoring.score_images(
        nets, infer_latents, score, power, shown, config.data, arguments.batch
    )
    facts = _facts(arguments, options, config.data, state, shown)
    facts = report.write_report(out, config.data, nets.generate, shown, result, facts)
    print(*report.summary(facts), f"written to {out}", sep="\n")
    return 0


def _check(arguments):
    cli.require(arguments, "num", 0)
    cli.require(arguments, "seed", 0, cli.SEEDS)
    for name in ("batch", "steps", "restarts", "encoder_steps"):
        cli.require(arguments, name, 1)
    # In float32, where 1e-50 is 0 and 1e50 is infinite.
    least, most = (float(v) for v in (np.finfo("f4").tiny, np.finfo("f4").max))
    rate = (lambda v: least <= v <= most, "a finite number greater than 0")
    checks = {
        "feature_weight": (lambda v: 0 <= v <= 1, "from 0 to 1"),
        "kappa": (lambda v: 0 <= v <= most, "a finite number of 0 or more"),
    }
    checks |= dict.fromkeys(("lr", "encoder_lr"), rate)
    for name, (test, requirement) in checks.items():
        value = getattr(arguments, name)
        if not test(value):
            raise UserError(f"{_option(name)} {value} must be {requirement}")
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


def _facts(arguments, options, data_config, state, shown):
    by_class = shown.anomalous is not None and not arguments.labels
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
            arguments.normal_class or data_config.classes if by_class else None
        ),
        "labels": arguments.labels or None,
    }


if __name__ == "__main__":
    cli.run(main)
