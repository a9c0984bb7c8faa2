"""The five systems, each trained as its document does.

Each configuration has run directories NAME-seedS below --runs, which are resumed. A
directory that is there keeps its configuration, so that runs of the train command can
be measured too; --no-train measures them as they are. quick: the widths that a CPU can
train (`DOCUMENTS`) and all epochs; full: the widths of the configurations.

Quality over training is a Frechet distance of classifier features, or for the cat
faces, which have no labels, a kernel distance of patch features. The estimate is drawn
with a median filter, as in Figs. 3 and 4 of Arjovsky et al. The WGAN of AnoGAN trains
on the digits 1 to 9 and detects the digit 0, by three seeds.
"""

import dataclasses
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from figures import training
from figures.curves import smooth
from wgan_jax import anomaly, pictures, train
from wgan_jax import config as configs
from wgan_jax.errors import UserError
from wgan_jax.evaluation.distances import EvaluationProtocol
from wgan_jax.evaluation.images import evaluate_images
from wgan_jax.metrics.image_scores import find_metrics, rank_correlation
from wgan_jax.pages.facts import read_facts
from wgan_jax.runs import directory, restore, sampling
from wgan_jax.runs.log import duration

ROOT = Path(__file__).parents[2]
ANOGAN = "mnist_dcgan_anogan"
CATS = ("cat_faces_1", "cat_faces_2", "cat_faces_3")
# Checkpoints that are measured, about.
EVALUATIONS = 15
GRID = 64


@dataclasses.dataclass(frozen=True)
class Document:
    """The length of a system's training in its document, and its width on a CPU."""

    epochs: float
    updates: float
    """Generator updates in an epoch."""
    width: int = 0
    """Base width of the quick form; 0 is that of the configuration."""


DOCUMENTS = {
    "fashion_mnist_mlp": Document(epochs=200, updates=38),
    "mnist_dcgan": Document(epochs=30, updates=94, width=64),
    "cat_faces_1": Document(epochs=15, updates=493, width=32),
    "cat_faces_2": Document(epochs=15, updates=493, width=32),
    "cat_faces_3": Document(epochs=30, updates=493, width=32),
    # Its document gives no length: that of the configuration, at 64 x 5 images each.
    ANOGAN: Document(epochs=20_000 / 187.5, updates=187.5),
    "mnist_wgan_gp": Document(epochs=100, updates=93.6),
}


def check(options, systems) -> None:
    """Raises UserError for options that do not fit the systems, before any training."""
    cats = [system for system in systems if system in CATS]
    if options.images and not cats:
        raise UserError(
            f"--images {options.images} is the folder of cat faces, which "
            f"{', '.join(systems)} does not use: remove it"
        )
    if options.no_train:
        for name in ("epochs", "width", "images", "tfds_dir"):
            if getattr(options, name):
                raise UserError(
                    f"--{name.replace('_', '-')} applies to training and cannot be "
                    "combined with --no-train: give one of them"
                )
    for system in systems:
        run = run_directory(options, system, options.seed)
        if (run / "config.json").exists():
            continue
        if options.no_train:
            raise UserError(
                f"{run} has no run: train it without --no-train, or give other --runs"
            )
        if system in cats and not (options.images or options.tiny):
            raise UserError(
                f"{system} needs images of cat faces: give their folder with --images"
            )


def run_directory(options, system, seed) -> Path:
    """Directory of a system's run."""
    tiny = "-tiny" if options.tiny else ""
    return options.runs / f"{system}{tiny}-seed{seed}"


def compute(size, seed, options) -> dict:
    """Trains or resumes the runs of `options.system`, then measures their checkpoints.

    Returns {system, size, seeds: measures of each run, models: see `compare_models`}.
    """
    system = options.system
    count = options.seeds or (3 if system == ANOGAN and not options.tiny else 1)
    runs = []
    for number in range(seed, seed + count):
        run = run_directory(options, system, number)
        if not options.no_train:
            train_run(system, run, number, size, options)
        runs.append(measure(system, run, size, seed))
    models = compare_models(system, size, seed, options) if system in CATS else []
    return {"system": system, "size": size, "seeds": runs, "models": models}


# --------------------------------------------------------------------------- training


def train_run(system, run, seed, size, options) -> None:
    """Trains a run to its end, or resumes it.

    Raises UserError where it stops before, and where its directory holds a run of other
    epochs or width than those of the options.
    """
    if (run / "config.json").exists():
        words = ["--config", str(run / "config.json")]
        words += _longer(system, run, options)
    else:
        words = new_run(system, seed, size, options)
    train.main([*words, "--out", str(run), "--no-report"])
    training.check_finished(run)


def new_run(system, seed, size, options) -> list[str]:
    """Options of the train command for a run that does not exist yet."""
    path, document = ROOT / "configs" / f"{system}.py", DOCUMENTS[system]
    base = configs.load(path)
    steps = base.run.steps
    if options.epochs:
        steps = round(options.epochs * document.updates)
    every = base.run.checkpoint_every
    fields = {
        "run.seed": seed,
        "run.steps": steps,
        "run.keep-every": every * max(1, round(steps / every / EVALUATIONS)),
    }
    width = options.width or (document.width if size == "quick" else 0)
    fields |= {"model.features": width} if width else {}
    if system == ANOGAN:
        fields["data.classes"] = "1 2 3 4 5 6 7 8 9"
    if size == "tiny":
        rhythm = dict.fromkeys(("checkpoint", "log", "sample", "keep"), 2)
        fields |= {f"run.{name}-every": every for name, every in rhythm.items()}
        fields |= {"run.chunk": 2, "run.steps": 8, "model.features": 2}
        fields |= {"data.source": "digits", "data.heldout": 100, "data.batch-size": 16}
        fields["objective.n-critic"] = 1
    elif system in CATS:
        fields["data.dir"] = options.images.resolve()
    elif options.tfds_dir:
        fields["data.tfds-dir"] = options.tfds_dir
    pairs = ((f"--{name}", *str(value).split(" ")) for name, value in fields.items())
    return ["--config", str(path), *(word for pair in pairs for word in pair)]


def _longer(system, run, options):
    """Options that extend an existing run to --epochs."""
    config = directory.read_config(run)
    width, steps = config.model.features, config.run.steps
    if options.width and options.width != width:
        raise UserError(
            f"--width {options.width}: the run in {run} has width {width}; remove "
            "--width, or give other --runs"
        )
    wanted = round((options.epochs or 0) * DOCUMENTS[system].updates)
    if not wanted or wanted == steps:
        return []
    if wanted < steps:
        epochs = steps / DOCUMENTS[system].updates
        raise UserError(
            f"--epochs {options.epochs}: the run in {run} is one of {epochs:.4g} "
            "epochs; remove --epochs, give other --runs, or measure it with --no-train"
        )
    return ["--run.steps", str(wanted), "--extend"]


# ------------------------------------------------------------------------ measurement


def measure(system, run, size, seed) -> dict:
    """Estimate, quality and samples of a run over its training."""
    config, facts = directory.read_config(run), read_facts(run)
    result = evaluate(system, run, "all", size, seed)
    records = facts.records
    step = result["steps"][-1]
    environment = facts.environment
    measures = result | {
        "seed": config.run.seed,
        "step": step,
        "of_steps": config.run.steps,
        "features": config.model.features,
        "learning_rate": config.optimizer.critic_lr,
        "commit": environment.get("git_commit"),
        "device": environment.get("device"),
        "cores": environment.get("cpu_cores"),
        "training_seconds": facts.seconds,
        "classes": list(config.data.classes),
        "records": {
            name: [record[name] for record in records]
            for name in ("step", "wasserstein", "heldout_wasserstein")
        },
        "grid": samples(run, seed),
        "auroc": {},
    }
    if system == ANOGAN and config.data.classes:
        measures["auroc"] = detect(run, step, size, seed)
    return measures


def evaluate(system, run, checkpoint, size, seed) -> dict:
    """Quality at the steps of a run's checkpoints, and that of real images.

    checkpoint: "all" or "" for the newest.
    """
    metric, features = ("kid", "patches") if system in CATS else ("fid", "classifier")
    num = 100 if size == "tiny" else 10_000 if features == "classifier" else 5000
    protocol = EvaluationProtocol(
        num=num, repeats=1, seed=seed, raw=False, metrics=find_metrics((metric,))
    )
    evaluation = evaluate_images(run, checkpoint, features, protocol)
    key = "patches_kid" if system in CATS else "classifier_frechet"
    steps = [step for step in evaluation.measures if step != "all"]
    tables = [evaluation.measures[step] for step in steps]
    # A Frechet distance falls with the number of images: the floor has its own.
    equal = f"{key}_at_floor" if f"{key}_at_floor" in tables[-1] else key
    floor = tables[-1][equal]
    values = [table[key].value.mean for table in tables]
    heldout = [table["heldout_estimate"].value.mean for table in tables]
    correlation = rank_correlation(heldout, values) if len(steps) > 2 else None
    return {
        "quality_is": key,
        "samples": num,
        "steps": steps,
        "quality": values,
        "heldout": heldout,
        "rank_correlation": correlation if correlation == correlation else None,
        "floor_samples": num if equal == key else floor.samples[0],
        "at_floor": floor.value.mean,
        "floor": floor.reference.mean if floor.reference else None,
    }


def samples(run, seed) -> str:
    """A grid of samples of a run's newest checkpoint, as text."""
    config, spec, state = restore.restore_run(run)
    sampler = sampling.make_sampler(config, spec)
    z = sampling.noise(seed, GRID, spec.z_dim)
    return training.to_text(pictures.grid(sampler(*sampling.weights(state), z), 8))


def detect(run, step, size, seed) -> dict:
    """{method: AUROC, images and anomalous ones} of anomaly detection by a run.

    A result of the same step and number of images is read again.
    """
    counts = {
        "tiny": {"f-anogan": 60, "anogan": 20},
        "quick": {"f-anogan": 0, "anogan": 400},
        "full": {"f-anogan": 0, "anogan": 0},
    }
    found = {}
    for method, num in counts[size].items():
        out = run / "anomaly" / f"{method}-{num or 'all'}-{step}"
        if not (out / "anomaly.json").exists():
            words = [str(run), "--method", method, "--num", str(num), "--out", str(out)]
            words += ["--seed", str(seed), "--false-alarm-rate", "0"]
            if size == "tiny":
                name = "--steps" if method == "anogan" else "--encoder-steps"
                words += [name, "3"]
            anomaly.main(words)
        facts = json.loads((out / "anomaly.json").read_text())
        found[method] = {name: facts[name] for name in ("auroc", "images", "anomalous")}
    return found


def compare_models(system, size, seed, options) -> list[dict]:
    """The newest states of the three models of the cat faces that are trained."""
    models = []
    for name in CATS:
        run = run_directory(options, name, seed)
        if name != system and not (run / "checkpoints").is_dir():
            continue
        config = directory.read_config(run)
        result = evaluate(name, run, "", size, seed)
        epochs = result["steps"][-1] / DOCUMENTS[name].updates
        models.append(
            {
                "name": name,
                "epochs": round(epochs, 1),
                "learning_rate": config.optimizer.critic_lr,
                "features": config.model.features,
                "quality": result["quality"][-1],
                "grid": samples(run, seed),
            }
        )
    return models


# -------------------------------------------------------------------- picture and text


def draw(numbers):
    """Estimate and quality over training, next to samples; below the three models."""
    runs, models = numbers["seeds"], numbers["models"]
    figure = plt.figure(figsize=(13, 10 if models else 6), layout="constrained")
    parts = figure.subfigures(1 + bool(models), 1, squeeze=False, hspace=0.03)[:, 0]
    grid = parts[0].add_gridspec(2, 2, width_ratios=(1.2, 1))
    top = parts[0].add_subplot(grid[0, 0])
    below = parts[0].add_subplot(grid[1, 0], sharex=top)
    for i, run in enumerate(runs):
        first, records = i == 0, run["records"]
        steps, estimate = records["step"], records["wasserstein"]
        heldout = smooth(records["heldout_wasserstein"])
        alpha = 1.0 if first else 0.4
        labels = ("each record", "median filter", "held-out, median filter")
        labels = labels if first else (None,) * 3
        top.plot(steps, estimate, "C0", lw=0.4, alpha=0.3, label=labels[0])
        top.plot(steps, smooth(estimate), "C0", label=labels[1], alpha=alpha)
        top.plot(steps, heldout, "C1--", label=labels[2], alpha=alpha)
        below.plot(run["steps"], run["quality"], "C2s-", ms=3, alpha=alpha)
    top.set(ylabel="critic's estimate")
    top.legend(fontsize=9)
    below.set(xlabel="generator updates", ylabel=runs[0]["quality_is"])
    _scale(top, [smooth(run["records"]["wasserstein"]) for run in runs])
    _scale(below, [run["quality"] for run in runs])
    axes = parts[0].add_subplot(grid[:, 1])
    training.show(axes, runs[0]["grid"])
    title = f"samples, update {runs[0]['step']:,}, seed {runs[0]['seed']}"
    axes.set_title(title, fontsize=10)
    for i, model in enumerate(models):
        axes = parts[1].add_subplot(1, len(models), i + 1)
        training.show(axes, model["grid"])
        axes.set_title(
            f"{model['name']}: {model['epochs']:g} epochs, rate "
            f"{model['learning_rate']:g}\nkernel distance {model['quality']:.2f}",
            fontsize=10,
        )
    return figure


def _scale(axes, curves):
    """A logarithmic axis for curves that are positive and span a factor of 3."""
    least, most = min(map(min, curves)), max(map(max, curves))
    if least > 0 and most > 3 * least:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def finding(numbers):
    """Sentences for the table."""
    runs, first = numbers["seeds"], numbers["seeds"][0]
    parts = [_length(numbers["system"], runs), _estimates(runs), _quality(runs)]
    parts += [_ranks(runs)] if first["rank_correlation"] is not None else []
    if numbers["system"] == ANOGAN:
        parts.append(_auroc(runs))
    parts += [_models(numbers["models"])] if numbers["models"] else []
    times = " and ".join(duration(run["training_seconds"]) for run in runs)
    machine = f"{first['device']} ({first['cores']} cores)"
    parts.append(f"trained in {times} on {machine} at commit {first['commit']}")
    return "; ".join(parts)


def _length(system, runs):
    document, first = DOCUMENTS[system], runs[0]
    base = configs.load(ROOT / "configs" / f"{system}.py").model.features
    width = f"base width {first['features']}"
    width += f" (document: {base})" if first["features"] != base else ""
    done = [f"{run['step'] / document.updates:.4g}" for run in runs]
    epochs = done[0] if len(set(done)) == 1 else " and ".join(done)
    wanted = f" of {document.epochs:.4g}"
    ended = "" if epochs == f"{document.epochs:.4g}" else wanted
    seeds = f", {len(runs)} seeds" if len(runs) > 1 else f", seed {first['seed']}"
    updates = f"{first['step']:,} generator updates"
    return f"{epochs}{ended} epochs ({updates}), {width}{seeds}"


def _estimates(runs):
    heldout = [run["records"]["heldout_wasserstein"] for run in runs]
    highest = _text([max(values) for values in heldout])
    last = _text([np.median(values[-10:]) for values in heldout])
    return f"held-out estimate {highest} at its highest, {last} at the end"


def _text(values):
    """Three digits of a number, or mean and standard deviation of several."""
    text = f"{np.mean(values):.3g}"
    return text if len(values) < 2 else f"{text} +- {np.std(values, ddof=1):.2g}"


def _quality(runs):
    def text(name):
        return _text([run[name] for run in runs])

    first, name = runs[0], runs[0]["quality_is"]
    begin, end = (_text([run["quality"][i] for run in runs]) for i in (0, -1))
    start = f"{begin} at update {first['steps'][0]:,} and "
    start = start if len(first["steps"]) > 1 else ""
    quality = f"{name} of {first['samples']:,} samples {start}{end} at the end"
    if first["floor"] is None:
        return quality
    if first["floor_samples"] == first["samples"]:
        return f"{quality}, real images {text('floor')}"
    few = f"of {first['floor_samples']:,} {text('at_floor')}"
    return f"{quality}, {few}, as many real images {text('floor')}"


def _ranks(runs):
    ranks = training.mean_std_text([run["rank_correlation"] for run in runs])
    return (
        f"rank correlation of held-out estimate and {runs[0]['quality_is']} over "
        f"{len(runs[0]['steps'])} checkpoints {ranks}"
    )


def _auroc(runs):
    if not all(run["auroc"] for run in runs):
        return "no AUROC: a run on all digits has no anomalous one (data.classes)"
    left = sorted(set(range(10)) - set(runs[0]["classes"]))
    parts = [
        training.mean_std_text([run["auroc"][method]["auroc"] for run in runs], 3)
        + f" ({method}, {runs[0]['auroc'][method]['images']:,} images)"
        for method in runs[0]["auroc"]
    ]
    return f"AUROC of the digits {', '.join(map(str, left))}: {', '.join(parts)}"


def _models(models):
    if len(models) < len(CATS):
        missing = sorted(set(CATS) - {model["name"] for model in models})
        return f"not compared with {' and '.join(missing)}, which are not trained"
    best = min(models, key=lambda model: model["quality"])
    rows = [
        f"{m['name']} ({m['epochs']:g} epochs, {m['learning_rate']:g}) "
        f"{m['quality']:.2f}"
        for m in models
    ]
    agree = (
        best["name"] == "cat_faces_3" and models[0]["quality"] < models[1]["quality"]
    )
    order = "as in" if agree else "unlike in"
    return (
        f"kernel distances of the three models: {', '.join(rows)}; the order is "
        f"{order} the document, which finds 30 epochs best and 2e-4 worse than 1e-4"
    )
