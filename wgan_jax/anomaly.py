"""Which images a run's generator cannot explain: `python -m wgan_jax.anomaly RUN`."""

import dataclasses
import functools
import math
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from rich.progress import Progress, TimeElapsedColumn

from wgan_jax import cli
from wgan_jax.anogan import encoder, scoring
from wgan_jax.anogan.images import load
from wgan_jax.anogan.report import write_report
from wgan_jax.data.batches import to_float
from wgan_jax.errors import UserError
from wgan_jax.runs import restore, sampling


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Scores images by how badly the generator of a run can make them."""

    run: cli.Positional[str]
    """Directory of the run, trained on normal images."""
    images: str = ""
    """A folder, an .npz file or NAME:SPLIT of a TFDS data set; empty takes the run's
    test split, or else what it held out and the classes it left out."""
    normal_class: tuple[int, ...] = ()
    """Labels that count as normal; empty takes the run's data.classes."""
    labels: str = ""
    """File that says which images are anomalous: for a folder NAME.csv with the columns
    name,anomalous, for arrays NAME.npy or .npz; 0 is normal, 1 anomalous."""
    method: Literal["anogan", "f-anogan"] = "f-anogan"
    """Search each image's latent point, or train an encoder that guesses it."""
    num: int = 0
    """Images to score, drawn at random; 0 scores all."""
    seed: int = 0
    """Seed of the draw, of the starting points and of the encoder."""
    checkpoint: int = -1
    """Step of the checkpoint; -1 takes the newest."""
    raw: bool = False
    """Take the weights of the last step even where the run keeps averaged ones."""
    out: str = ""
    """Folder for scores, curves and the sheet; empty is anomaly/METHOD in the run."""
    batch: int = 100
    """Images scored at a time."""
    steps: int = 300
    """Steps of a search (anogan)."""
    lr: float = 0.1
    """Learning rate of a search, falling linearly to 0 (anogan)."""
    restarts: int = 2
    """Searches for each image, of which the best is kept (anogan)."""
    feature_weight: float = 0.1
    """Weight of the critic's features, and 1 less it that of the pixels (anogan)."""
    encoder_steps: int = 1000
    """Updates of the encoder, each on data.batch_size training images (f-anogan)."""
    encoder_lr: float = 1e-3
    """Learning rate of the encoder, falling linearly to 0 (f-anogan)."""
    kappa: float = 1.0
    """Weight of the critic's features beside the pixels (f-anogan)."""


OF_METHOD = {
    "anogan": ("steps", "lr", "restarts", "feature_weight"),
    "f-anogan": ("encoder_steps", "encoder_lr", "kappa"),
}


class Result(NamedTuple):
    """What scoring gives for each image, in the order of the images."""

    scores: np.ndarray
    parts: scoring.Parts
    z: np.ndarray
    """The latent points of the reconstructions, [n, z_dim]."""
    seconds: float
    """For one image, without the first batch, in which programs are compiled, where
    there are more."""


def score_images(explain, score, samples, places, settings, size) -> Result:
    """Scores uint8 `samples` [n, h, w, c] in batches of `size`.

    explain(x, places) -> latent points; score(x, z) -> (scores, parts).
    """
    settings = dataclasses.replace(settings, dequantize=False)
    count, size, rows = len(samples), min(size, len(samples)), []
    begun = time.perf_counter()
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(f"scoring {count} images", total=count)
        for start in range(0, count, size):
            # One shape is compiled once; the last batch is filled up and cut.
            which = np.arange(start, start + size) % count
            kept = min(size, count - start)
            x = to_float(samples[which], settings, None)
            z = explain(x, places[which])
            found = (*score(x, z), z)
            rows.append(jax.tree.map(lambda a, n=kept: np.asarray(a)[:n], found))
            progress.advance(task, kept)
            if start == 0 and size < count:
                begun = time.perf_counter()
    seconds = time.perf_counter() - begun
    timed = count - size or size
    scores, parts, z = jax.tree.map(lambda *a: np.concatenate(a), *rows)
    return Result(scores, parts, z, seconds / timed)


def make_search(nets, arguments, z_dim: int):
    """explain(x, places) -> z of AnoGAN: a search for each image, apart from others."""
    key = jax.random.key(arguments.seed)
    restarts, weight = arguments.restarts, arguments.feature_weight

    def explain(x, places):
        starts = scoring.starting_points(key, places, restarts, z_dim)
        return scoring.search(*nets, x, starts, arguments.steps, arguments.lr, weight)

    return explain


def make_score(nets, arguments):
    """score(x, z) -> (scores [n], parts) of the method."""
    if arguments.method == "anogan":
        combine = partial(scoring.anogan_score, weight=arguments.feature_weight)
        power = 1
    else:
        combine = partial(scoring.f_anogan_score, kappa=arguments.kappa)
        power = 2

    def score(x, z):
        parts = scoring.distances(*nets, x, z, power)
        return combine(parts), parts

    return score


def main(argv=None) -> int:
    """Scores the images and writes what came out."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.anomaly"
    )
    _check(arguments)
    config, spec, state = restore.restore_run(arguments.run, arguments.checkpoint)
    if config.data.is_points:
        raise UserError(
            f"{arguments.run} is a run on points (data.source={config.data.source}), "
            "and anomalies are told in images: give a run on images"
        )
    if spec.classes:
        raise UserError(
            f"{arguments.run} is told classes (model.classes={spec.classes}), and that "
            "of an anomaly is not known: give a run of model.classes=0"
        )
    out = Path(arguments.out or Path(arguments.run) / "anomaly" / arguments.method)
    _check_out(out)
    nets = _nets(arguments, spec, state)
    shown = load(
        config.data, arguments.images, arguments.normal_class, arguments.labels
    )
    if 0 < arguments.num < len(shown.samples):
        rng = np.random.default_rng(arguments.seed)
        order = rng.permutation(len(shown.samples))[: arguments.num]
        shown = shown.rows(np.sort(order))
    out.mkdir(parents=True, exist_ok=True)
    # Rather now than after hours of searches.
    with tempfile.TemporaryFile(dir=out):
        pass
    if arguments.method == "anogan":
        explain = make_search(nets, arguments, spec.z_dim)
    else:
        explain = encoder.load_or_train(out, config, nets, arguments)
    result = score_images(
        explain,
        make_score(nets, arguments),
        shown.samples,
        shown.places,
        config.data,
        arguments.batch,
    )
    facts = _facts(arguments, config.data, state, shown, result)
    curves = None
    if facts["normal"] and facts["anomalous"]:
        curves = scoring.detection_curves(result.scores, shown.anomalous)
        facts |= {"auroc": curves.auroc, "average_precision": curves.average_precision}
    write_report(out, config.data, nets[0], shown, result, curves, facts)
    _print(facts, out)
    return 0


def _check(arguments):
    for name, test, what in (
        ("num", lambda v: v >= 0, "0 or more"),
        ("seed", lambda v: 0 <= v < 2**32, "from 0 to 4294967295"),
        *(
            (name, lambda v: v >= 1, "1 or more")
            for name in ("batch", "steps", "restarts", "encoder_steps")
        ),
        *(
            (name, lambda v: 0 < v < math.inf, "a finite number greater than 0")
            for name in ("lr", "encoder_lr")
        ),
        ("feature_weight", lambda v: 0 <= v <= 1, "from 0 to 1"),
        ("kappa", lambda v: 0 <= v < math.inf, "a finite number of 0 or more"),
    ):
        value = getattr(arguments, name)
        if not test(value):
            raise UserError(f"{_option(name)} {value} must be {what}")
    if arguments.labels and arguments.normal_class:
        raise UserError("--labels and --normal-class exclude each other: give one")
    defaults = {f.name: f.default for f in dataclasses.fields(Arguments)}
    for method, names in OF_METHOD.items():
        for name in names:
            value = getattr(arguments, name)
            if method != arguments.method and value != defaults[name]:
                raise UserError(
                    f"{_option(name)} {value} is of --method {method}, not of "
                    f"{arguments.method}: leave it out, or give --method {method}"
                )


def _option(name):
    return f"--{name.replace('_', '-')}"


def _check_out(out):
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: give a folder")
    there = {p.name for p in out.iterdir()} if out.exists() else set()
    if there and not there & {"anomaly.json", encoder.FILE}:
        raise UserError(
            f"--out {out} is not empty and holds no anomaly scores (no anomaly.json): "
            "give another --out"
        )


def _nets(arguments, spec, state):
    """Generator and features, by running statistics: each sample stands alone."""
    generator, critic = sampling.weights(state, arguments.raw), state.critic
    weights = generator, (critic.params, critic.stats)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights)):
        raise UserError(
            f"{arguments.run} has diverged: its weights of step {int(state.step)} are "
            "not all finite; take an earlier one with --checkpoint"
        )

    generate = _by_running_statistics(spec.generator.apply)
    return Partial(generate, *generator), Partial(spec.critic.hidden, *weights[1])


@functools.cache
def _by_running_statistics(apply):
    # One function for one network: what is compiled with it is found again.
    return lambda params, stats, z: apply(params, stats, z, train=False)[0]


def _facts(arguments, settings, state, shown, result):
    known = shown.anomalous is not None
    by_class = known and not arguments.labels
    own = f"{settings.name}:{settings.test_split}" if settings.test_split else ""
    averaged = state.ema is not None and not arguments.raw
    return {
        "run": arguments.run,
        "step": int(state.step),
        "weights": "averaged" if averaged else "raw",
        "method": arguments.method,
        **{name: getattr(arguments, name) for name in OF_METHOD[arguments.method]},
        "seed": arguments.seed,
        "batch": arguments.batch,
        "source": arguments.images or own or "held out",
        "normal_class": (
            arguments.normal_class or settings.classes if by_class else None
        ),
        "labels": arguments.labels or None,
        "images": len(shown.samples),
        "normal": int((~shown.anomalous).sum()) if known else None,
        "anomalous": int(shown.anomalous.sum()) if known else None,
        "auroc": None,
        "average_precision": None,
        "seconds_an_image": result.seconds,
    }


def _print(facts, out):
    print(f"{facts['run']}, step {facts['step']}, {facts['weights']} weights")
    print(f"{facts['images']} images, {1000 * facts['seconds_an_image']:.3g} ms each")
    if facts["auroc"] is not None:
        counts = f"{facts['anomalous']} anomalous and {facts['normal']} normal images"
        print(f"AUROC {facts['auroc']:.4f} of {counts}")
        print(f"average precision {facts['average_precision']:.4f}")
    elif facts["anomalous"] is None:
        print("no AUROC: --normal-class or --labels would say which are anomalous")
    else:
        kind = "anomalous" if facts["anomalous"] else "normal"
        print(f"no AUROC: all images are {kind}")
    print(f"written to {out}")


if __name__ == "__main__":
    cli.run(main)
