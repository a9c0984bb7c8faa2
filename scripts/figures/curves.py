"""Estimates during training and sample quality, WGAN and GAN (WGAN, Figs. 3 and 4).

Claim of the paper: the estimate of a WGAN falls as its samples improve, and stays where
training fails; the Jensen-Shannon estimate of a GAN does not follow its samples.
Networks in both: an MLP and a DCGAN generator with a DCGAN critic, and MLPs on both
sides, which the WGAN trains at 100 times its normal rate, the paper's failure.

Choices of this figure: Fashion-MNIST at 32x32 instead of LSUN at 64x64. quick: base
width 16, MLPs of 4x256, RMSprop at 5e-4, ten times the paper's rate, because 5e-5 has
no effect in so few updates; full: 64, 4x512, 5e-5 and 600,000 generator updates as in
Fig. 3. The paper does not give the GAN's rates: Adam as in DCGAN (2e-4, 0.5), one
critic update per step. The median filter spans a twentieth of the curve. Quality is the
Frechet distance of `training.make_quality`; the paper judges by eye.

With --runs FOLDER, pairs of networks that are finished are read from there.
"""

from functools import partial

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from scipy.signal import medfilt
from scipy.stats import spearmanr

from figures import training
from wgan_jax import pictures
from wgan_jax.algorithm.steps import heldout_estimate
from wgan_jax.data.batches import to_float
from wgan_jax.runs.sampling import make_sampler, noise, weights

SIZES = training.sizes(
    tiny={"steps": 8, "records": 8, "evaluations": 4, "count": 32}
    | {"rate": 5e-4, "failing_rate": 5e-3},
    quick={"steps": 480, "records": 160, "evaluations": 16, "count": 1000}
    | {"rate": 5e-4, "failing_rate": 5e-3},
    full={"steps": 600_000, "records": 2000, "evaluations": 40, "count": 5000}
    | {"image_size": 32, "rate": 5e-5, "failing_rate": 5e-3},
)
# (generator, critic, True if the WGAN is trained at the rate at which it fails).
NETS = {
    "MLP generator, DCGAN critic": ("mlp", "dcgan", False),
    "DCGAN generator, DCGAN critic": ("dcgan", "dcgan", False),
    "MLP generator, MLP critic": ("mlp", "mlp", True),
}
OBJECTIVES = {"wgan": "Wasserstein", "gan": "Jensen-Shannon"}
GRIDS, SIDE = 4, 4


def compute(size, seed, options):
    """Estimates, quality and samples by objective, networks and seed."""
    form = training.chosen(SIZES, size, options, "records")
    data_config, dataset = training.load(
        "fashion_mnist", size, options, form, form["count"]
    )
    quality, real = training.make_quality(dataset, form["count"])
    *keys, key_measure = training.seed_keys(seed, form["seeds"])
    folder = None
    if options.typed_runs:
        length = f"{form['steps']}-w{form['features']}-{form['seeds']}x{seed}"
        folder = options.typed_runs / f"curves-{size}-{length}"
    runs = []
    for kind in OBJECTIVES:
        for nets, (generator, critic, fails) in NETS.items():
            fails = fails and kind == "wgan"
            rate = form["failing_rate" if fails else "rate"]
            model = training.image_model(generator, critic, form)
            config = training.image_config(kind, data_config, model, rate)
            run = {
                "objective": kind,
                "nets": nets,
                "failure": fails,
                "learning_rate": config.optimizer.critic_lr,
            }
            compute_run = partial(
                measure, config, dataset, quality, keys, key_measure, form, seed
            )
            name = f"{kind}-{generator}-{critic}.json"
            run |= training.stored(folder and folder / name, compute_run)
            runs.append(run)
    return {"form": form, "real": real, "runs": runs}


def measure(config, dataset, quality, keys, key_measure, form, seed):
    """Curves of one configuration by seed, and grids of samples of the first seed."""
    spec, train = training.make_trainer(config, dataset.train)
    sampler = make_sampler(config, spec)
    estimate = jax.jit(partial(heldout_estimate, spec=spec))
    key_noise, key_estimate = jax.random.split(key_measure)
    heldout = to_float(jax.device_put(dataset.heldout), config.data, key_noise)
    z = noise(seed, form["count"], spec.z_dim)
    every = form["steps"] // form["records"]
    interval = form["steps"] // form["evaluations"]
    shown = np.linspace(interval, form["steps"], GRIDS) // interval * interval
    name = {"wgan": "wasserstein", "gan": "jensen_shannon"}[config.objective.kind]
    label = f"{config.objective.kind} {config.model.kind}/{config.model.critic_is}"
    grids, seeds = [], []
    for i, key in enumerate(keys):
        curves = {"training": [], "heldout": [], "frechet": [], "sliced": []}
        for step, state, metrics in train(key, form["steps"], every, f"{label} {i}"):
            curves["training"].append(metrics[name])
            if step % interval:
                continue
            samples = sampler(*weights(state), z)
            measures = quality(samples)
            curves["heldout"].append(float(estimate(state, heldout, key_estimate)))
            for which in ("frechet", "sliced"):
                curves[which].append(measures[which])
            if i == 0 and step in shown:
                grid = pictures.grid(samples[: SIDE * SIDE], SIDE)
                grids.append({"step": step, "png": training.to_text(grid)})
        filtered = smooth(curves["training"])
        curves["filtered"] = filtered.tolist()
        stride = interval // every
        at_evaluations = filtered[stride - 1 :: stride]
        series = ("training", at_evaluations), ("heldout", curves["heldout"])
        for against in ("frechet", "sliced"):
            for which, values in series:
                rank = rank_correlation(values, curves[against])
                curves[f"rank_{which}_{against}"] = rank
        seeds.append(curves)
    intervals = {"every": every, "evaluate_every": interval}
    return intervals | {"seeds": seeds, "grids": grids}


def smooth(values, width=None) -> np.ndarray:
    """Median filter over 2 width + 1 values of a curve, which is extended by its ends.

    width: None takes a fortieth of the curve.
    """
    width = len(values) // 40 if width is None else width
    padded = np.pad(np.asarray(values, float), width, mode="edge")
    return medfilt(padded, 2 * width + 1)[width : width + len(values)]


def rank_correlation(x, y):
    """Spearman's rank correlation; None if a curve is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(spearmanr(x, y).statistic)


def draw(numbers):
    """One row per objective, one column per pair of networks: curves above samples."""
    figure = plt.figure(figsize=(15, 11.5), layout="constrained")
    rows = figure.subfigures(len(OBJECTIVES), 1, hspace=0.03)
    for row, kind in zip(rows, OBJECTIVES):
        row.suptitle(
            f"{kind.upper()}: {OBJECTIVES[kind]} estimate and sample quality",
            weight="bold",
        )
        columns = row.subfigures(1, len(NETS), squeeze=False, wspace=0.02)[0]
        runs = [run for run in numbers["runs"] if run["objective"] == kind]
        for column, run in zip(columns, runs):
            draw_run(column, run, numbers)
    return figure


def draw_run(panel, run, numbers):
    """Estimate, Frechet distance and samples of one configuration."""
    grid = panel.add_gridspec(3, GRIDS, height_ratios=(3, 1.6, 1.9))
    top = panel.add_subplot(grid[0, :])
    middle = panel.add_subplot(grid[1, :], sharex=top)
    records = run["every"] * (1 + np.arange(len(run["seeds"][0]["training"])))
    evaluations = run["evaluate_every"] * (
        1 + np.arange(len(run["seeds"][0]["heldout"]))
    )
    for i, curves in enumerate(run["seeds"]):
        first = i == 0
        style = {"alpha": 1.0 if first else 0.3, "lw": 1.6 if first else 1.0}
        names = ("training images", "held-out images") if first else (None, None)
        top.plot(records, curves["filtered"], "C0-", label=names[0], **style)
        top.plot(evaluations, curves["heldout"], "C1o--", ms=3, label=names[1], **style)
        middle.plot(evaluations, curves["frechet"], "C2s-", ms=3, **style)
    middle.axhline(numbers["real"]["frechet"], color="0.5", lw=0.9, ls=":")
    if run["objective"] == "gan":
        top.axhline(np.log(2), color="0.5", lw=0.9, ls=":")
        position = top.get_yaxis_transform()
        top.text(
            0.99,
            np.log(2),
            "log 2",
            transform=position,
            ha="right",
            va="top",
            fontsize=8,
            color="0.4",
        )
    rate = f", rate {run['learning_rate']:g}" if run["failure"] else ""
    ranks = [curves["rank_training_frechet"] for curves in run["seeds"]]
    top.set_title(
        f"{run['nets']}{rate}\nrank correlation with Frechet distance "
        f"{training.mean_std_text(ranks)}",
        fontsize=10,
    )
    top.set_ylabel("estimate")
    top.tick_params(labelbottom=False)
    top.margins(y=0.12)
    top.legend(fontsize=8, loc="best", framealpha=0.6)
    middle.set(yscale="log", ylabel="Frechet", xlabel="generator updates")
    middle.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    middle.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    middle.yaxis.set_minor_formatter(NullFormatter())
    for i, samples in enumerate(run["grids"]):
        axes = panel.add_subplot(grid[2, i])
        training.show(axes, samples["png"])
        axes.set_title(f"update {samples['step']:,}", fontsize=8)


def finding(numbers):
    """Sentence for the table."""
    parts = {kind: [] for kind in OBJECTIVES}
    for run in numbers["runs"]:
        ranks = [curves["rank_training_frechet"] for curves in run["seeds"]]
        generator, critic, _ = NETS[run["nets"]]
        failure = f" at rate {run['learning_rate']:g}" if run["failure"] else ""
        parts[run["objective"]].append(
            f"{training.mean_std_text(ranks)} ({generator}/{critic}{failure})"
        )
    return (
        "rank correlation of training estimate and Frechet distance over "
        f"{numbers['form']['evaluations']} checkpoints, {numbers['form']['seeds']} "
        f"seeds: WGAN {', '.join(parts['wgan'])}; GAN {', '.join(parts['gan'])}"
    )
