"""Random architectures trained by WGAN-GP and by the GAN (WGAN-GP, Tables 1, 2 and 5).

Claim of the paper: of 200 architectures around the DCGAN, WGAN-GP trains more than the
GAN does, by every threshold of the Inception score at 32x32 ImageNet.

`architectures(seed, count)` is the table of architectures, and `configuration` gives
the `Config` of one under one method. The settings of Table 1 are drawn independently
for generator and critic; the first architectures of a seed are the same for every
count. Each run has a directory in RUNS/random-architectures-..., next to its
configuration as a JSON file, which the train command takes. A run that diverges has no
score and counts as a failure.

full: 200 architectures on TFDS's downsampled_imagenet/32x32, 100,000 generator updates
each, 50,000 samples by Inception features. quick: 20 architectures on CIFAR-10 at an
eighth of the filters and far fewer updates, by the features of a classifier, whose
score of real images is about 3.7. The paper does not state where its depths of 4, 8, 12
and 20 add layers: here 0, 4, 8 and 16 3x3 convolutions at 8x8, the place in
wgan_imagenet32_stab.py of igul222/nn. Under the penalty, that code has twice as many
samples in a generator update; here 64, as in the paper's algorithm.
"""

import dataclasses
import math
import time
from itertools import islice, product

import jax
import matplotlib.pyplot as plt
import numpy as np

from figures import bedrooms, cifar, training
from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run
from wgan_jax.data.dataset import load
from wgan_jax.errors import UserError
from wgan_jax.files import read_json, write_json
from wgan_jax.metrics import inception_score
from wgan_jax.metrics.features import (
    extract_array,
    inception_extractor,
    make_extractor,
)
from wgan_jax.runs.log import duration

# Table 1 of the paper; filters as multiples of the smallest base number.
SET = {
    "activation": ("relu", "leaky_relu", "softplus", "tanh"),
    "depth": (4, 8, 12, 20),
    "norm": (True, False),
    "filters": (1, 2, 4),
}
METHODS = {"wgan_gp": "WGAN-GP", "gan": "GAN"}
SIZES = {
    "tiny": {"architectures": 1, "steps": 4, "features": 1, "count": 100, "depth": 4},
    "quick": {"architectures": 20, "steps": 500, "features": 4, "count": 5000},
    "full": {"architectures": 200, "steps": 100_000, "features": 32, "count": 50_000},
}
CHUNK = 100
# Table 2 of the paper: {threshold: only GAN, only WGAN-GP, both, neither}.
PAPER = {
    1.0: (0, 8, 192, 0),
    1.5: (0, 50, 150, 0),
    2.0: (0, 60, 140, 0),
    2.5: (0, 74, 125, 1),
    3.0: (1, 88, 110, 1),
    3.5: (0, 111, 86, 3),
    4.0: (1, 126, 67, 6),
    4.5: (0, 136, 55, 9),
    5.0: (0, 147, 42, 11),
    5.5: (0, 148, 32, 20),
    6.0: (0, 145, 21, 34),
    6.5: (1, 131, 11, 57),
    7.0: (1, 104, 5, 90),
    7.5: (2, 67, 3, 128),
    8.0: (1, 34, 0, 165),
    8.5: (0, 6, 0, 194),
    9.0: (0, 0, 0, 200),
}
COLUMNS = ("only GAN", "only WGAN-GP", "both", "neither")


@dataclasses.dataclass(frozen=True)
class Part:
    """Generator or critic of an architecture, by values of SET."""

    activation: str
    depth: int
    norm: bool
    filters: int

    def __str__(self):
        norm = "norm" if self.norm else "no norm"
        return f"{self.activation}, depth {self.depth}, {norm}, {self.filters}x"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A pair of networks."""

    generator: Part
    critic: Part


def architectures(seed: int, count: int, depth: int = 20) -> list[Architecture]:
    """The first `count` different pairs of networks of a seed, at most `depth` deep."""
    parts = [Part(*values) for values in product(*SET.values())]
    order = np.random.default_rng(seed).permutation(len(parts) ** 2)
    pairs = (Architecture(*(parts[i] for i in divmod(n, len(parts)))) for n in order)
    shallow = (p for p in pairs if max(p.generator.depth, p.critic.depth) <= depth)
    return list(islice(shallow, count))


def configuration(architecture, method, features, steps, seed, data: Data) -> Config:
    """The run of an architecture by a key of METHODS.

    features: the smallest base number of filters, 32 in the paper.
    """
    generator, critic = architecture.generator, architecture.critic
    gan, chunk = method == "gan", math.gcd(CHUNK, steps)
    model = Model(
        z_dim=128,
        features=features,
        generator_widths=tuple(n * generator.filters for n in (4, 2, 1)),
        critic_widths=tuple(n * critic.filters for n in (1, 2, 4)),
        generator_activation=generator.activation,
        critic_activation=critic.activation,
        generator_extra_depth=generator.depth - 4,
        critic_extra_depth=critic.depth - 4,
        generator_norm="batch" if generator.norm else "none",
        critic_norm=("batch" if gan else "layer") if critic.norm else "none",
        kernel=5,
        padding="same",
        ends="dense_channels",
        bias="all",
        init="tflib",
    )
    objective = Objective(
        kind="gan" if gan else "wgan",
        constraint="none" if gan else "penalty",
        n_critic=1 if gan else 5,
        critic_weight_decay=1e-3 if critic.norm else 0.0,
    )
    if gan:
        adam = Optimizer(critic_lr=2e-4, generator_lr=2e-4, beta1=0.5, beta2=0.999)
    else:
        adam = Optimizer(critic_lr=1e-4, generator_lr=1e-4, beta1=0.0, beta2=0.9)
    run = Run(
        seed=seed,
        steps=steps,
        chunk=chunk,
        log_every=chunk,
        sample_every=0,
        checkpoint_every=chunk * max(1, steps // chunk // 10),
        max_to_keep=1,
        tensorboard=False,
    )
    return Config(data, model, objective, adam, run)


def data_section(size, options) -> Data:
    """32x32 ImageNet in the full form, otherwise the images of `cifar.data_fields`."""
    fields = {"source": "tfds", "name": "cifar10", "test_split": "test", "channels": 3}
    if size == "full":
        fields |= {"name": "downsampled_imagenet/32x32", "test_split": "validation"}
        return Data(**fields, tfds_dir=options.tfds_dir)
    fields |= cifar.data_fields(size, options)
    if options.npz:
        # A run can be resumed from another working directory.
        fields["dir"] = str(options.npz.resolve())
    return Data(**fields)


def compute(size, seed, options):
    """Trains or resumes each architecture by both methods, and scores its samples.

    With options.hours, no run is begun after that time, except those of the first
    architecture, and the table has the architectures with both scores.
    """
    typed = {
        "architectures": options.architectures,
        "steps": options.steps,
        "features": options.width,
    }
    form = SIZES[size] | {k: v for k, v in typed.items() if v} | {"seed": seed}
    if form["architectures"] > (most := math.prod(map(len, SET.values())) ** 2):
        raise UserError(
            f"--architectures {form['architectures']} is more than the {most} of the "
            f"paper's set: give at most {most}"
        )
    if options.npz and (size != "quick" or options.tfds_dir):
        other = "--tfds-dir" if size == "quick" else f"--{size}"
        raise UserError(
            f"--npz {options.npz} and {other} name different images: leave one of them "
            "out"
        )
    extractor = inception_extractor() if size == "full" else None
    data_config = data_section(size, options)
    dataset = load(Config(data=data_config))
    if extractor is None:
        of_data = Config(data=data_config), dataset
        extractor = make_extractor(*of_data, "classifier", "scripts/reproduce.py")
    real = extract_array(extractor, dataset.heldout[: form["count"]])
    folder = options.runs / (
        f"random-architectures-{size}-{form['steps']}x{form['features']}-{seed}"
    )
    rows, seconds = [], 0.0
    drawn = architectures(seed, form["architectures"], form.get("depth", 20))
    start = time.monotonic()
    for i, architecture in enumerate(drawn):
        scores = {}
        for method in METHODS:
            size_and_data = form["features"], form["steps"], seed, data_config
            config = configuration(architecture, method, *size_and_data)
            run = folder / f"{i:03}-{method}"
            late = time.monotonic() - start > 3600 * (options.hours or math.inf)
            of_run = result(run, config, form, extractor, late and i > 0)
            if of_run is None:
                break
            scores[method], seconds = of_run["score"], seconds + of_run["seconds"]
            # The programs of 400 networks do not fit into memory.
            jax.clear_caches()
        if len(scores) == len(METHODS):
            texts = [f"{METHODS[m]} {score_text(v)}" for m, v in scores.items()]
            count = form["architectures"]
            print(f"{i + 1} of {count}: {', '.join(texts)}", flush=True)
            rows.append(dataclasses.asdict(architecture) | scores)
    numbers = {
        "form": form,
        "score_is": extractor.metric_key(inception_score.SCORE),
        "real": real.score[0],
        "seconds": round(seconds),
        "architectures": rows,
    }
    print("\n".join(table(numbers)))
    return numbers


def result(run, config, form, extractor, late=False) -> dict | None:
    """Score of a run's samples after training to its end, None if it diverges.

    The result is saved in the run directory, with the seconds that it took, and read
    from there; None where it is not saved and it is too late to train. Raises UserError
    where training is stopped.
    """
    path, name = run / "score.json", extractor.metric_key(inception_score.SCORE)
    made_by = {"score_is": name, "count": form["count"]}
    if path.exists():
        saved = read_json(path, "remove it")
        if made_by.items() <= saved.items():
            return saved
    if late:
        return None
    start, value = time.perf_counter(), None
    problem = bedrooms.train_run(config, run)
    if not problem:
        try:
            value = cifar.sample_features(run, "", extractor, form)[-1].score[0]
        except UserError as error:
            # The last update gave weights that are not finite.
            problem = str(error)
            if "diverged" not in problem:
                raise
    if problem:
        print(problem, flush=True)
    saved = made_by | {"score": value, "seconds": time.perf_counter() - start}
    write_json(path, saved)
    return saved


def outcomes(rows, threshold) -> tuple[int, ...]:
    """Numbers of architectures as in COLUMNS; a success is a score above it."""
    counts = dict.fromkeys(COLUMNS, 0)
    for row in rows:
        gan, wgan_gp = (
            row[method] is not None and row[method] > threshold
            for method in ("gan", "wgan_gp")
        )
        names = {(True, False): 0, (False, True): 1, (True, True): 2}
        counts[COLUMNS[names.get((gan, wgan_gp), 3)]] += 1
    return tuple(counts.values())


def our_outcomes(numbers) -> dict[float, tuple[int, ...]]:
    """{threshold: outcomes} up to the first that no network passes."""
    rows, result = numbers["architectures"], {}
    step = 0.5 if numbers["score_is"].startswith("inception") else 0.1
    for i in range(1 + round((10 - 1) / step)):
        threshold = round(1 + i * step, 1)
        result[threshold] = outcomes(rows, threshold)
        if result[threshold][-1] == len(rows):
            break
    return result


def table(numbers) -> list[str]:
    """Lines of the paper's Table 2, ours and the paper's."""
    count = len(numbers["architectures"])
    lines = []
    for title, counts in (
        (f"{numbers['score_is']}, {count} architectures", our_outcomes(numbers)),
        ("paper, Inception score, 200 architectures", PAPER),
    ):
        lines += ["", title, "".join(f"{name:>14}" for name in ("above", *COLUMNS))]
        lines += [
            "".join(f"{cell:>14}" for cell in (threshold, *row))
            for threshold, row in counts.items()
        ]
    return lines


def draw(numbers):
    """Outcomes by threshold, ours and the paper's, and the scores of both methods."""
    figure, axes = plt.subplots(
        1, 3, figsize=(16, 5.5), layout="constrained", width_ratios=(1, 1, 0.9)
    )
    count, form = len(numbers["architectures"]), numbers["form"]
    ours = f"{count} architectures, {form['steps']:,} generator updates"
    _bars(axes[0], our_outcomes(numbers), ours, numbers["score_is"])
    _bars(axes[1], PAPER, "Paper: 200 architectures, 100,000", "Inception score")
    axes[0].legend(loc="lower left", fontsize=8)
    pairs = [[row[m] or 1.0 for m in METHODS] for row in numbers["architectures"]]
    values = np.array(pairs)
    panel, ends = axes[2], (0.97, values.max() * 1.02)
    panel.plot(ends, ends, color="0.6", lw=0.9)
    panel.plot(values[:, 1], values[:, 0], "o", ms=5, alpha=0.7)
    panel.set(
        xlabel=f"{numbers['score_is']}, GAN",
        ylabel=f"{numbers['score_is']}, WGAN-GP",
        title="One point per architecture; 1 if it diverged",
        aspect="equal",
    )
    return figure


def _bars(panel, counts, title, name):
    """One stacked bar per threshold, with its numbers."""
    values = np.array(list(counts.values()))
    positions, left = np.arange(len(values)), np.zeros(len(values))
    colours = ("C3", "C0", "C2", "0.85")
    for column, label, colour in zip(values.T, COLUMNS, colours, strict=True):
        bars = panel.barh(positions, column, left=left, color=colour, label=label)
        texts = [str(n) if n else "" for n in column]
        panel.bar_label(bars, texts, label_type="center", fontsize=7)
        left += column
    panel.set_yticks(positions, [f"{threshold:.1f}" for threshold in counts])
    panel.invert_yaxis()
    panel.set(xlabel="architectures", ylabel=f"{name} above", title=title)


def finding(numbers):
    """Sentence for the table."""
    form, rows = numbers["form"], numbers["architectures"]
    both = [r for r in rows if r["gan"] is not None and r["wgan_gp"] is not None]
    better = sum(r["wgan_gp"] > r["gan"] for r in both)
    failed = [f"{sum(r[m] is None for r in rows)} {METHODS[m]}" for m in METHODS]
    means = [f"{METHODS[m]} {_mean(rows, m)}" for m in METHODS]
    ours = "; ".join(f"{t}: {_row(c)}" for t, c in our_outcomes(numbers).items())
    paper = "; ".join(f"{t}: {_row(PAPER[t])}" for t in (1.0, 3.0, 5.0, 7.0))
    widths = " ".join(str(n * form["features"]) for n in SET["filters"])
    return (
        f"{len(rows)} architectures of seed {form['seed']}, filters {widths}, "
        f"{form['steps']:,} generator updates: {numbers['score_is']} of "
        f"{form['count']:,} samples {', '.join(means)} (real images "
        f"{numbers['real']:.2f}), {duration(numbers['seconds'])} of training; WGAN-GP "
        f"higher in {better} of {len(both)}, diverged {' and '.join(failed)}; "
        f"{', '.join(COLUMNS)} above {ours}. Paper, Inception score of 200 on 32x32 "
        f"ImageNet, above {paper}"
    )


def _row(counts):
    return "/".join(map(str, counts))


def _mean(rows, method):
    return training.mean_std_text([row[method] for row in rows])


def score_text(value):
    """A score, or diverged for None."""
    return "diverged" if value is None else f"{value:.3f}"
