"""Anomaly detection by a run: images in, scores, p-values and verdicts out."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np

from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.anogan import encoder, scoring
from wgan_jax.anogan.calibration import Threshold, p_values
from wgan_jax.anogan.images import Images
from wgan_jax.config import Config
from wgan_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of both methods; each has the name of its command line option."""

    method: str = "f-anogan"
    seed: int = 0
    raw: bool = False
    batch: int = 100
    steps: int = 300
    lr: float = 0.1
    restarts: int = 2
    feature_weight: float = 0.1
    encoder_steps: int = 1000
    encoder_lr: float = 1e-3
    kappa: float = 1.0


OF_METHOD = {
    "anogan": ("steps", "lr", "restarts", "feature_weight"),
    "f-anogan": ("encoder_steps", "encoder_lr", "kappa"),
}


@dataclasses.dataclass(frozen=True)
class Detection:
    """Scores of images and, with a calibration, their verdicts."""

    result: scoring.Result
    """Scores of the images, in their order."""
    threshold: Threshold | None = None
    """The threshold of the calibration; None without one."""
    p_values: np.ndarray | None = None
    """float64 [n], see `calibration.p_values`."""
    anomalous: np.ndarray | None = None
    """bool [n], the verdicts."""


def check_run(run, config: Config, spec: Spec) -> None:
    """Raises UserError for a run on points or text, and for one that is conditioned."""
    if config.data.noun != "images":
        kind = "points" if config.data.is_points else "text"
        raise UserError(
            f"{run} is a run on {kind} (data.source={config.data.source}) and anomaly "
            "detection needs images: give a run on images"
        )
    if spec.classes:
        raise UserError(
            f"{run} is conditioned on labels (model.classes={spec.classes}) and the "
            "label of an anomaly is unknown: give a run with model.classes=0"
        )


def detect(
    config: Config,
    spec: Spec,
    state: TrainState,
    images: Images,
    normal: Images | None,
    rate: float,
    options: Options,
    load_data,
    out: Path | None,
) -> tuple[Detection, scoring.Nets]:
    """Scores of `images` by a run, with verdicts at the false-alarm rate `rate`.

    normal: images to calibrate on; None gives scores only. load_data() -> the run's
    `Dataset`. out: folder of the encoder of f-AnoGAN; None does not save it.
    """
    nets = scoring.make_nets(spec, state, options.raw)
    chosen = {name: getattr(options, name) for name in OF_METHOD[options.method]}
    if options.method == "anogan":
        weight = options.feature_weight
        infer_latents = scoring.make_search(
            nets,
            spec.z_dim,
            options.seed,
            options.restarts,
            steps=options.steps,
            lr=options.lr,
            weight=weight,
        )
        score, power = partial(scoring.anogan_score, weight=weight), 1
    else:
        infer_latents = encoder.load_or_train(
            out, config, nets, load_data, **chosen, seed=options.seed
        )
        score, power = partial(scoring.f_anogan_score, kappa=options.kappa), 2

    def score_images(part):
        return scoring.score_images(
            nets, infer_latents, score, power, part, config.data, options.batch
        )

    result = score_images(images)
    if normal is None:
        return Detection(result), nets
    normal_scores = score_images(normal).scores
    threshold = Threshold.of(normal_scores, rate)
    p = p_values(result.scores, normal_scores)
    return Detection(result, threshold, p, threshold.verdicts(result.scores)), nets
