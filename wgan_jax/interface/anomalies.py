"""Anomaly scores of images of the user, by a trained run."""

import contextlib
import dataclasses
import os
from collections import Counter
from pathlib import Path

import numpy as np

from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.anogan import maps
from wgan_jax.anogan.calibration import check_count
from wgan_jax.anogan.detection import OF_METHOD, Options, check_run, detect
from wgan_jax.anogan.images import Images, check_untrained, choose, load_images
from wgan_jax.config import Config
from wgan_jax.data.dataset import Dataset
from wgan_jax.data.decoding import fit_arrays
from wgan_jax.errors import UserError
from wgan_jax.runs.lock import DirectoryLock


@dataclasses.dataclass(frozen=True, repr=False)
class AnomalyScores:
    """Scores and verdicts of n images, in their order."""

    scores: np.ndarray
    """float32 [n], the higher the more anomalous."""
    p_values: np.ndarray | None
    """float64 [n]; None where false_alarm_rate is 0."""
    anomalous: np.ndarray | None
    """bool [n], scores above the threshold; None where false_alarm_rate is 0."""
    threshold: float | None
    """Threshold of the scores; None where false_alarm_rate is 0."""
    reconstructions: np.ndarray
    """uint8 [n, height, width, channels]: what the generator makes of each image."""
    differences: np.ndarray
    """float32 [n, height, width] in [0, 1]: the heat maps."""
    names: list[str] | None
    """Names of the files, where the images are those of a folder."""

    def __repr__(self):
        count = len(self.scores)
        if self.anomalous is None:
            return f"<anomaly scores of {count} images>"
        return f"<anomaly scores of {count} images: {self.anomalous.sum()} anomalous>"


def anomaly_scores(
    config: Config,
    spec: Spec,
    state: TrainState,
    dataset: Dataset,
    images,
    calibration,
    false_alarm_rate: float,
    out: Path | None,
    num: int,
    options: dict,
) -> AnomalyScores:
    """Scores of images by a run; see `TrainedRun.anomaly_scores`.

    out: run directory, which keeps the encoder; None does not save it. num: images to
    calibrate on at most. options: fields of `detection.Options`.
    """
    check_run(out or "the run", config, spec)
    known = [field.name for field in dataclasses.fields(Options)]
    for name in options:
        if name not in known:
            raise UserError(f"anomaly_scores has no {name}: it has {', '.join(known)}")
    chosen = Options(**options)
    if chosen.method not in OF_METHOD:
        methods = " or ".join(OF_METHOD)
        raise UserError(f"method={chosen.method!r} must be {methods}")
    rate = false_alarm_rate
    if not 0 <= rate < 1:
        raise UserError(f"false_alarm_rate={rate} must be 0 or more and below 1")
    shown = _images(config, images, "images")
    normal = None
    if rate:
        normal = _calibration(config, dataset, shown, calibration, num, chosen.seed)
        check_count(len(normal.samples), rate, "the calibration", "false_alarm_rate=")
    folder = None if out is None else out / "anomaly" / chosen.method
    with DirectoryLock(folder) if folder else contextlib.nullcontext():
        detection, nets = detect(
            config,
            spec,
            state,
            shown,
            normal,
            rate,
            chosen,
            lambda: dataset,
            folder,
        )
    fake = maps.reconstruct(nets.generate, detection.result.z, config.data.scale)
    return AnomalyScores(
        scores=detection.result.scores,
        p_values=detection.p_values,
        anomalous=detection.anomalous,
        threshold=detection.threshold and detection.threshold.value,
        reconstructions=fake,
        differences=maps.differences(shown.samples, fake),
        names=shown.names,
    )


def _calibration(config, dataset, shown, calibration, num, seed):
    """Normal images: those of the argument, or the held-out ones of the run."""
    samples = dataset.heldout
    if calibration is not None:
        samples = _images(config, calibration, "calibration").samples
        record = dataset.record
        if record.contents is not None:
            check_untrained(samples, record.contents[: record.train], "calibration")
    return choose(samples, shown, num, seed)


def _images(config, images, name):
    if isinstance(images, str | os.PathLike):
        return load_images(config.data, str(images), (), "")
    array = np.asarray(images)
    array = array[..., None] if array.ndim == 3 else array
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
        raise UserError(
            f"{name} is {array.dtype}{list(np.shape(images))}: give uint8 [n, height, "
            "width(, 1 or 3)], or a path"
        )
    if not len(array):
        raise UserError(f"{name} has no image")
    samples = fit_arrays(array, config.data, Counter())
    return Images(samples, np.arange(len(samples)))
