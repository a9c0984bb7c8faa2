"""Runs of the CIFAR-10 configurations, measured as the WGAN-GP code measures them.

Each is a run directory under --runs, trained by the public command and gone on with
where it was left. Samples are drawn in batches of 100 by each batch's own statistics;
their score and Frechet distance are of Inception features where its weights can be had
(full form), else of a classifier trained on CIFAR-10's own labels, and called so.
"""

from pathlib import Path

import numpy as np

from figures import training
from wgan_jax import pictures, train
from wgan_jax.data.dataset import load_dataset
from wgan_jax.errors import UserError
from wgan_jax.evaluation.images import make_generated_batches
from wgan_jax.metrics import frechet, inception_score
from wgan_jax.metrics.features import (
    extract,
    extract_array,
    inception_extractor,
    make_extractor,
)
from wgan_jax.runs import restore, sampling

ROOT = Path(__file__).parents[2]


def data_fields(size, options) -> list[str]:
    """Command line of the images: TFDS, an .npz file, or digits in the tiny form."""
    if size == "tiny":
        digits = ["--data.source", "digits", "--data.channels", "1"]
        return [*digits, "--data.heldout", "100", "--data.batch-size", "16"]
    if options.npz:
        arrays = ["--data.array", "train_images", "--data.test-split", "test_images"]
        return ["--data.source", "npz", "--data.dir", str(options.npz), *arrays]
    return ["--data.tfds-dir", options.tfds_dir] if options.tfds_dir else []


def trained(name, form, seed, size, options) -> Path:
    """The run directory of a configuration, trained to the end of the form."""
    run = options.runs / f"{name}-{size}-{seed}"
    every = form["steps"] // form["looks"]
    chunk = min(every, form["chunk"])
    fields = {
        "run.seed": seed,
        "run.steps": form["steps"],
        "run.chunk": chunk,
        "run.log-every": chunk,
        "run.sample-every": every,
        "run.checkpoint-every": every,
        "run.keep-every": every,
    }
    if form["features"]:
        fields["model.features"] = form["features"]
    words = [word for k, v in fields.items() for word in (f"--{k}", str(v))]
    train.main(
        ["--config", str(ROOT / "configs" / f"{name}.py"), "--out", str(run)]
        + [*words, *data_fields(size, options)]
    )
    return run


def sizes(quick, full):
    """The three forms of a figure; features 0 is the configuration's own width."""
    common = {"seeds": 1, "seed": 0}
    tiny = {"steps": 4, "looks": 2, "chunk": 2, "features": 2, "count": 100}
    quick = {"features": 16, "count": 5000} | quick
    full = {"chunk": 100, "features": 0, "count": 50_000, "seeds": 3} | full
    forms = {"tiny": tiny, "quick": quick, "full": full}
    return {name: common | form for name, form in forms.items()}


def compute(names_of_runs, form, size, options) -> dict:
    """Trains or goes on with each configuration and seed, then measures checkpoints.

    Returns the form, the numbers of real images, and {configuration: curves by seed}.
    """
    seeds = range(form["seed"], form["seed"] + form["seeds"])
    runs = {
        name: [trained(name, form, seed, size, options) for seed in seeds]
        for name in names_of_runs
    }
    config, _, _ = restore.restore_run(runs[names_of_runs[0]][0])
    dataset = load_dataset(config.data)
    extractor = _extractor(config, dataset, size)
    reference = extract_array(extractor, dataset.train).moments
    held = extract_array(extractor, dataset.heldout[: form["count"]])
    real = {
        "score_is": extractor.metric_key(inception_score.SCORE),
        "frechet_is": extractor.metric_key(frechet.DISTANCE),
        "heldout": held.count,
        "score": held.score[0],
        "frechet": frechet.frechet_distance(held.moments, reference),
    }
    curves = {
        name: [measured(run, extractor, reference, form) for run in of_name]
        for name, of_name in runs.items()
    }
    return {"form": form, "real": real, "curves": curves}


def measured(run, extractor, reference, form) -> dict:
    """Steps of a run's checkpoints, score, its deviation over splits, Frechet distance,
    and a sheet of the last samples."""
    curve = {"steps": [], "score": [], "score_deviation": [], "frechet": []}
    for step in restore.checkpoint_steps(run):
        config, spec, state = restore.restore_run(run, step)
        stream = make_generated_batches(config, spec, batch_stats=True)
        drawn = stream(sampling.weights(state), form["seed"], form["count"])
        found = extract(extractor, drawn, form["count"])
        curve["steps"].append(step)
        curve["score"].append(found.score[0])
        curve["score_deviation"].append(found.score[1])
        distance = frechet.frechet_distance(found.moments, reference)
        curve["frechet"].append(distance)
        print(f"{run.name}, step {step}: score {found.score[0]:.3f}, Frechet distance "
              f"{distance:.4g}", flush=True)  # fmt: skip
    z = sampling.noise(form["seed"], 40, spec.z_dim)
    sampler = sampling.make_sampler(config, spec)
    sheet = pictures.grid(sampler(*sampling.weights(state), z), 10)
    return curve | {"sheet": training.to_text(sheet)}


def _extractor(config, dataset, size):
    if size == "full":
        try:
            return inception_extractor()
        except UserError as error:
            print(f"{error}; measuring by a classifier instead")
    typed = "scripts/reproduce.py"
    return make_extractor(config, dataset, "classifier", typed)


def mean_over(curves, name):
    """Mean and deviation over seeds of the last value; deviation None of one."""
    last = np.array([curve[name][-1] for curve in curves])
    return last.mean(), last.std(ddof=1) if len(last) > 1 else None


def told(curves, name, digits=2) -> str:
    """`3.21 +- 0.05` of the last values over seeds."""
    mean, deviation = mean_over(curves, name)
    text = f"{mean:.{digits}f}"
    return text if deviation is None else f"{text} +- {deviation:.{digits}f}"
