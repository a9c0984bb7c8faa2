"""Runs of the CIFAR-10 configurations, measured as in the code of WGAN-GP.

Each run has a directory under --runs, is trained by the train command, and is resumed
where it stopped. Samples are drawn in batches of 100 with the statistics of each batch.
Their score and Frechet distance are those of Inception features if its weights are
available (full form), otherwise those of a classifier trained on CIFAR-10's labels, and
are named accordingly.
"""

from pathlib import Path

from figures import training
from wgan_jax import pictures, train
from wgan_jax.data.dataset import load_in_memory
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


def data_fields(size, options) -> dict:
    """Fields of the images: TFDS, an .npz file, or digits in the tiny form."""
    if size == "tiny":
        digits = {"source": "digits", "name": "", "test_split": "", "channels": 1}
        return digits | {"heldout": 100, "batch_size": 16}
    if options.npz:
        arrays = {"array": "train_images", "test_split": "test_images"}
        return {"source": "npz", "name": "", "dir": str(options.npz)} | arrays
    return {"tfds_dir": options.tfds_dir} if options.tfds_dir else {}


def train_run(name, form, seed, size, options) -> Path:
    """Directory of a run of a configuration, trained for the steps of the form.

    Raises UserError where it is stopped before.
    """
    # A run of another length or width is another run.
    typed = [("steps", options.steps), ("width", options.width)]
    more = "".join(f"-{name}{value}" for name, value in typed if value)
    run = options.runs / f"{name}-{size}{more}-{seed}"
    fields = training.run_fields(form, seed, form["chunk"])
    if form["features"]:
        fields["model.features"] = form["features"]
    for field, value in data_fields(size, options).items():
        fields[f"data.{field.replace('_', '-')}"] = value
    words = [word for k, v in fields.items() for word in (f"--{k}", str(v))]
    train.main(
        ["--config", str(ROOT / "configs" / f"{name}.py"), "--out", str(run)]
        + ["--no-report", *words]
    )
    training.check_finished(run)
    return run


def sizes(quick, full):
    """The three forms of a figure; features 0 stands for the configuration's width."""
    common = {"seeds": 1, "seed": 0}
    tiny = {"steps": 4, "evaluations": 2, "chunk": 2, "features": 2, "count": 100}
    quick = {"features": 16, "count": 5000} | quick
    full = {"chunk": 100, "features": 0, "count": 50_000, "seeds": 3} | full
    forms = {"tiny": tiny, "quick": quick, "full": full}
    return {name: common | form for name, form in forms.items()}


def compute(names_of_runs, form, size, options) -> dict:
    """Trains or resumes each configuration and seed, then measures the checkpoints.

    Returns the form, measures of real images, and {configuration: curves by seed}.
    """
    seeds = range(form["seed"], form["seed"] + form["seeds"])
    runs = {
        name: [train_run(name, form, seed, size, options) for seed in seeds]
        for name in names_of_runs
    }
    config, _, _ = restore.restore_run(runs[names_of_runs[0]][0])
    dataset = load_in_memory(config.data)
    extractor = _extractor(config, dataset, size)
    reference = extract_array(extractor, dataset.train).moments
    heldout = extract_array(extractor, dataset.heldout[: form["count"]])
    real = {
        "score_is": extractor.metric_key(inception_score.SCORE),
        "frechet_is": extractor.metric_key(frechet.DISTANCE),
        "heldout": heldout.count,
        "score": heldout.score[0],
        "frechet": frechet.frechet_distance(heldout.moments, reference),
    }
    curves = {
        name: [measure(run, extractor, reference, form) for run in directories]
        for name, directories in runs.items()
    }
    return {"form": form, "real": real, "curves": curves}


def measure(run, extractor, reference, form) -> dict:
    """Score and Frechet distance of a run's checkpoints, and a grid of last samples."""
    curve = {"steps": [], "score": [], "score_deviation": [], "frechet": []}
    for step in restore.checkpoint_steps(run):
        config, spec, state, features = sample_features(run, step, extractor, form)
        score, deviation = features.score
        distance = frechet.frechet_distance(features.moments, reference)
        curve["steps"].append(step)
        curve["score"].append(score)
        curve["score_deviation"].append(deviation)
        curve["frechet"].append(distance)
        text = f"score {score:.3f}, Frechet distance {distance:.4g}"
        print(f"{run.name}, step {step}: {text}", flush=True)
    z = sampling.noise(form["seed"], 40, spec.z_dim)
    sampler = sampling.make_sampler(config, spec)
    grid = pictures.grid(sampler(*sampling.weights(state), z), 10)
    return curve | {"grid": training.to_text(grid)}


def sample_features(run, step, extractor, form) -> tuple:
    """(config, spec, state, features of samples) of a run at a checkpoint.

    form: with the seed and the count of the samples.
    """
    config, spec, state = restore.restore_run(run, step)
    stream = make_generated_batches(config, spec, batch_stats=True)
    batches = stream(sampling.weights(state), form["seed"], form["count"])
    return config, spec, state, extract(extractor, batches, form["count"])


def _extractor(config, dataset, size):
    if size == "full":
        try:
            return inception_extractor()
        except UserError as error:
            print(f"{error}; measuring with a classifier instead")
    return make_extractor(config, dataset, "classifier", "scripts/reproduce.py")


def last(curves, name) -> list:
    """Last values of the curves of all seeds."""
    return [curve[name][-1] for curve in curves]


def summary(curves, name, digits=2) -> str:
    """`3.21 +- 0.05` of the last values over the seeds."""
    return training.mean_std_text(last(curves, name), digits)


def protocol(form) -> str:
    """Training length, width, number of samples and seeds of a form, as text."""
    width = f"base width {form['features']}, " if form["features"] else ""
    return (
        f"after {form['steps']:,} generator updates, {width}{form['count']:,} samples, "
        f"{form['seeds']} seed(s)"
    )
