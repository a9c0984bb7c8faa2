"""A language model of characters by WGAN-GP: n-grams and samples (WGAN-GP, 5.5).

The paper shows samples of the Google Billion Word benchmark. The figure measures what
its released code logs: Jensen-Shannon divergences between the n-grams of 640 samples
and of all training lines, next to those of 640 held-out lines, the floor. Heusel et
al. give JS-4 0.38 and JS-6 0.77 for the released code on that benchmark; values of
another text compare with its own floor only.

--text FILE: lines of UTF-8 text, or a folder of such files. quick: base width 32
instead of 512, five critic updates instead of ten ("5 should work", says the released
code), 5e-4 instead of 1e-4, because narrow networks need larger steps, and 4,000
generator updates, 3.5 of them in a second on an idle core; full: the configuration of
configs/language_model.py.
"""

import contextlib
import io
from pathlib import Path

import jax
import matplotlib.pyplot as plt

from figures import training
from wgan_jax import train
from wgan_jax.data.text import PADDING, decode
from wgan_jax.errors import UserError
from wgan_jax.evaluation.distances import (
    NGRAMS,
    DistanceEvaluation,
    EvaluationProtocol,
    limit_samples,
)
from wgan_jax.runs import restore, sampling

CONFIG = Path(__file__).parents[2] / "configs" / "language_model.py"
# Lines of the tiny form, which needs no file.
COLOURS = ["red", "green", "blue", "black", "white"]
NOUNS = ["apple", "stone", "river", "house", "tree", "cloud"]
SHOWN = 12
SIZES = {
    "tiny": {"steps": 4, "evaluations": 2, "num": 20, "seeds": 1, "features": 4}
    | {"objective.n-critic": 1, "data.heldout": 60}
    | {"data.batch-size": 16, "data.length": 12}
    | {"model.generator-widths": 1, "model.critic-widths": 1},
    "quick": {"steps": 4000, "evaluations": 10, "num": 640, "seeds": 1, "features": 32}
    | {"objective.n-critic": 5}
    | {"optimizer.critic-lr": 5e-4, "optimizer.generator-lr": 5e-4},
    "full": {"steps": 200_000, "evaluations": 40, "num": 640, "seeds": 1}
    | {"features": 512},
}


def compute(size, seed, options):
    """Divergences at the checkpoints of each seed's run, the floor, and samples."""
    form, text = training.chosen(SIZES, size, options), options.text
    if size == "tiny" and text is None:
        text = write_tiny(options.runs)
    if text is None:
        raise UserError("language-model needs a text: add --text FILE, as in --help")
    runs = [
        measure(train_run(form, s, size, text, options), form, seed)
        for s in range(seed, seed + form["seeds"])
    ]
    return {"form": form, "text": Path(text).name, "runs": runs}


def write_tiny(runs: Path) -> Path:
    """A text of few different lines below the folder of the runs."""
    path = runs / "language-model-tiny.txt"
    lines = [f"a {c} {n} {i}\n" for c in COLOURS for n in NOUNS for i in range(10)]
    runs.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def train_run(form, seed, size, text, options) -> Path:
    """Directory of a run, trained or resumed for the steps of the form."""
    fields = training.run_fields(form, seed, chunk=50) | {
        "model.features": form["features"],
        "data.dir": Path(text).resolve(),
    }
    fields |= {name: value for name, value in form.items() if "." in name}
    # A run of another length, width or text is another run.
    typed = [("steps", options.steps), ("width", options.width)]
    more = "".join(f"-{name}{value}" for name, value in typed if value)
    run = options.runs / f"language-model-{size}{more}-{Path(text).stem}-{seed}"
    words = [word for k, v in fields.items() for word in (f"--{k}", str(v))]
    train.main(["--config", str(CONFIG), "--out", str(run), "--no-report", *words])
    training.check_finished(run)
    return run


def measure(run, form, seed) -> dict:
    """The divergences of a run's checkpoints, the floor, and lines of text."""
    config, spec, _ = restore.initial_state(run)
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = restore.load_data(run, config)
    protocol = EvaluationProtocol(form["num"], 5, seed, raw=False)
    protocol = limit_samples(run, config, protocol, dataset)
    evaluation = DistanceEvaluation(config, spec, dataset, protocol)
    names = [key for key in NGRAMS if key in evaluation.functions]
    curve = {"steps": [], "samples": {}} | {name: [] for name in names}
    sampler, floor = sampling.make_sampler(config, spec), {}
    z = sampling.noise(seed, SHOWN, spec.z_dim)
    for step in restore.checkpoint_steps(run):
        state = restore.restore_run(run, step)[2]
        with jax.default_matmul_precision(config.run.precision):
            measures = evaluation.measure(state)
            numbers = sampler(*sampling.weights(state), z)
        curve["steps"].append(step)
        curve["samples"][str(step)] = decode(numbers, dataset.record.vocabulary)
        for name in names:
            value, reference = measures[name].value, measures[name].reference
            curve[name].append([value.mean, value.std])
            floor[name] = [reference.mean, reference.std]
        text = ", ".join(f"{n} {curve[n][-1][0]:.3f}" for n in names)
        print(f"{run.name}, step {step}: {text}", flush=True)
    real = decode(dataset.heldout[:SHOWN], dataset.record.vocabulary)
    facts = {"num": protocol.num, "train": len(dataset.train)}
    facts |= {"vocabulary": len(dataset.record.vocabulary)}
    return curve | facts | {"floor": floor, "real": real}


def draw(numbers):
    """Divergences over training with their floors, and lines of the first run."""
    run = numbers["runs"][0]
    figure, axes = plt.subplots(
        1, 3, figsize=(14, 4.6), layout="constrained", width_ratios=(2.2, 1, 1)
    )
    for i, name in enumerate(run["floor"]):
        for j, one in enumerate(numbers["runs"]):
            means, deviations = zip(*one[name])
            label = f"JS-{NGRAMS[name]}" if j == 0 else None
            style = {"color": f"C{i}", "marker": "o", "ms": 3, "capsize": 2}
            axes[0].errorbar(one["steps"], means, deviations, label=label, **style)
        axes[0].axhline(run["floor"][name][0], color=f"C{i}", lw=0.9, ls=":")
    axes[0].set(xlabel="generator updates", ylabel="bits", ylim=(0, 1.02))
    axes[0].set_title(
        f"{run['num']} samples against {run['train']:,} lines; dotted: held-out lines",
        fontsize=9,
    )
    axes[0].legend(fontsize=8, ncols=2)
    last = str(run["steps"][-1])
    pairs = (f"samples, step {last}", run["samples"][last]), ("real", run["real"])
    for panel, (title, lines) in zip(axes[1:], pairs):
        panel.axis("off")
        panel.set_title(title, fontsize=9)
        # No formulas between dollar signs.
        text = "\n".join(lines).replace("$", r"\$").replace(PADDING, "_")
        style = {"family": "monospace", "va": "top", "fontsize": 7.5}
        panel.text(0, 0.98, text, **style, linespacing=1.7)
    return figure


def finding(numbers):
    """Sentence for the table."""
    runs, form = numbers["runs"], numbers["form"]
    parts = []
    for name in runs[0]["floor"]:
        last = training.mean_std_text([run[name][-1][0] for run in runs], 3)
        parts.append(f"JS-{NGRAMS[name]} {last} ({runs[0]['floor'][name][0]:.3f})")
    return (
        f"n-grams of {runs[0]['num']} samples against {runs[0]['train']:,} lines of "
        f"{numbers['text']} after {form['steps']:,} generator updates, {form['seeds']} "
        f"seed(s), in bits, and of as many held-out lines (the floor): "
        f"{', '.join(parts)}"
    )
