"""Runs on photographs of 64x64 and 128x128: data, training and measures.

The papers train on LSUN bedrooms (TFDS lsun/bedroom); --images takes any folder. Each
run has a directory under --runs and is resumed where it stopped. Measures are computed
on features by patches of the training images, since these photographs have no labels,
and stored next to the run.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist, squareform

from figures import training
from wgan_jax import pictures, train
from wgan_jax.config import Config, Data, from_json, to_json
from wgan_jax.data.dataset import load
from wgan_jax.errors import UserError
from wgan_jax.evaluation.images import make_generated_batches
from wgan_jax.files import write_text
from wgan_jax.metrics import frechet
from wgan_jax.metrics.features import extract, extract_array, make_extractor
from wgan_jax.references import execute
from wgan_jax.runs import restore
from wgan_jax.runs.log import read_records
from wgan_jax.runs.sampling import weights
from wgan_jax.training.loop import Diverged

ROOT = Path(__file__).parents[2]
# width: base width, 64 in the papers; reduced: divisor of data.image_size; count:
# samples of a measure; chunk, saved: updates between records and between checkpoints;
# clip_rate: learning rate under clipping, where the papers' has no effect in the few
# updates of the quick form.
FORMS = {
    "tiny": {"width": 2, "reduced": 2, "batch_size": 8, "count": 64, "chunk": 2}
    | {"clip_rate": 5e-4, "saved": 2},
    "quick": {"width": 16, "reduced": 1, "batch_size": 32, "count": 500, "chunk": 5}
    | {"clip_rate": 5e-4, "saved": 100},
    "full": {"width": 64, "reduced": 1, "batch_size": 64, "count": 5000, "chunk": 100}
    | {"clip_rate": 5e-5, "saved": 5000},
}
# Training images that measures compare with.
REFERENCE = 10_000
COLUMNS, ROWS = 8, 2


def sizes(**forms) -> dict:
    """Settings of a figure by form: those of the figure over the common ones."""
    return {name: FORMS[name] | form for name, form in forms.items()}


def given(form, options) -> dict:
    """The settings of a form with those that the options replace."""
    named = {"steps": options.steps, "width": options.width}
    return form | {name: value for name, value in named.items() if value}


def table(name):
    """The module of a configuration, which defines several."""
    return execute(ROOT / "configs" / f"{name}.py")


def resized(config: Config, form, size, seed, options) -> Config:
    """The configuration in the size of a form, on the images of the options."""
    data, model, run = config.data, config.model, config.run
    fields = {"batch_size": form["batch_size"], "heldout": form["count"]}
    fields["image_size"] = data.image_size // form["reduced"]
    if size == "tiny":
        data = Data(source="digits", channels=data.channels, **fields)
    elif options.images:
        folder = str(options.images.resolve())
        shared = {"channels": data.channels, "resize": data.resize}
        data = Data(source="folder", dir=folder, **shared, **fields)
    else:
        data = dataclasses.replace(data, tfds_dir=options.tfds_dir, **fields)
    features = form["width"]
    if model.kind == "bottleneck":
        # Half of the others' base width, as in the paper, and even.
        features = max(features // 4, 1) * 2
    model = dataclasses.replace(model, features=features)
    if model.kind == "bottleneck" and size == "tiny":
        # One block for each size.
        widths = {
            name: tuple(dict.fromkeys(getattr(model, name)))
            for name in ("generator_widths", "critic_widths")
        }
        model = dataclasses.replace(model, **widths)
    optimizer = config.optimizer
    if config.objective.constraint == "clip" and optimizer.critic_lr == 5e-5:
        rates = {"critic_lr": form["clip_rate"], "generator_lr": form["clip_rate"]}
        optimizer = dataclasses.replace(optimizer, **rates)
    objective = config.objective
    if size != "full":
        # The first 25 steps alone would be 2,500 critic updates.
        objective = dataclasses.replace(objective, warmup=False)
    run = dataclasses.replace(
        run,
        seed=seed,
        steps=form["steps"],
        chunk=form["chunk"],
        log_every=form["chunk"],
        sample_every=0,
        checkpoint_every=form["saved"],
    )
    return Config(data, model, objective, optimizer, run)


def train_run(config: Config, run: Path) -> str:
    """Trains or resumes a run. Returns the sentence of its divergence, "" without one.

    Raises UserError where training was stopped before its end.
    """
    file = run.with_name(f"{run.name}.json")
    run.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_json(config))
    try:
        options = ["--out", str(run), "--no-report", "--extend"]
        train.main(["--config", str(file), *options])
    except Diverged as error:
        return str(error)
    saved = restore.checkpoint_steps(run) if (run / "config.json").exists() else []
    if max(saved, default=0) < config.run.steps:
        raise UserError(f"{run} was stopped: the same command resumes it")
    return ""


class Reference:
    """Features of real images and of noise, which the measures of runs refer to."""

    def __init__(self, config: Config, form):
        """Loads the images of a configuration and computes their features.

        Raises UserError where they cannot be read.
        """
        self.form = form
        given = config.data.dir
        try:
            dataset = load(config)
        except UserError as error:
            where = f"--images {given}" if given else "no --images FOLDER is given"
            raise UserError(f"{where}: {error}") from error
        images = dataset.train[np.arange(min(len(dataset.train), REFERENCE))]
        self.extractor = make_extractor(
            config, dataset, "patches", "scripts/reproduce.py"
        )
        self.moments = extract_array(self.extractor, images).moments
        heldout = dataset.heldout[: form["count"]]
        self.real = self._raw(heldout)
        # Each pixel as in the images, without any structure.
        few = images[:1000]
        mean, std = few.mean(0), few.std(0)
        noise = np.random.default_rng(0).normal(mean, std, heldout.shape)
        noise = noise.round().clip(0, 255).astype(np.uint8)
        self.noise = self.measures(noise)

    def measures(self, images) -> dict:
        """Distance, diversity and nearest of uint8 images [n, h, w, c].

        distance: Frechet distance to training images, on features by patches.
        diversity: mean distance of two images' features; nearest: mean distance to the
        nearest other image. Both are relative to held-out images.
        """
        raw = self._raw(images)
        return {
            "distance": raw["distance"],
            "diversity": raw["diversity"] / self.real["diversity"],
            "nearest": raw["nearest"] / self.real["nearest"],
        }

    def _raw(self, images):
        batches = (images[i : i + 100] for i in range(0, len(images), 100))
        found = extract(self.extractor, batches, len(images), keep_rows=True)
        between = pdist(np.asarray(found.rows, float))
        square = squareform(between)
        np.fill_diagonal(square, np.inf)
        return {
            "distance": frechet.frechet_distance(found.moments, self.moments),
            "diversity": float(between.mean()),
            "nearest": float(square.min(1).mean()),
        }


def result(config: Config, run: Path, reference, late=False) -> dict | None:
    """Measures and samples of a run, which is trained first where it has none stored.

    reference() -> `Reference`. late: train nothing, and return None instead. Keys:
    steps, diverged (a sentence or ""), png (a grid, or "" without a finite checkpoint),
    records (step and estimate of metrics.jsonl), and those of `Reference.measures`.
    """
    file = run.with_name(f"{run.name}.result.json")
    if file.exists():
        stored = json.loads(file.read_text())
        # A field that did not exist yet has its default.
        if from_json(stored.pop("config")) == config:
            return stored
    if late:
        return None
    diverged = train_run(config, run)
    records = read_records(run / "metrics.jsonl")
    found = {"diverged": diverged, "png": "", "steps": 0} | curve(records)
    try:
        _, spec, state = restore.restore_run(run)
    except UserError as error:
        found["diverged"] = diverged or str(error)
    else:
        count = reference().form["count"]
        # Norms by the statistics of each batch, as the papers' code samples.
        stream = make_generated_batches(config, spec, batch_stats=True)
        batches = stream(weights(state), config.run.seed, count)
        images = np.concatenate(list(batches))
        found |= reference().measures(images)
        grid = pictures.grid(images[: COLUMNS * ROWS], COLUMNS)
        found |= {"png": training.to_text(grid, "jpeg"), "steps": int(state.step)}
    write_text(file, json.dumps(found | {"config": to_json(config)}) + "\n")
    return found


def curve(records) -> dict:
    """{"records": [[step, estimate], ...]}, by the name of the estimate it has."""
    names = ("wasserstein", "jensen_shannon", "le_cam")
    return {
        "records": [
            [record["step"], record[name]]
            for record in records
            for name in names
            if name in record
        ]
    }
