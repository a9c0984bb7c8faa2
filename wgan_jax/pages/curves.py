"""Curves of records: which charts a run has, and how to read each of them."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from wgan_jax.pages.charts import Series

PAPER_WINDOW = 101
"""Values in the median filter of the WGAN paper's code."""
STEPS = "generator updates"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One chart of a page."""

    title: str
    reading: str
    """One or two sentences on how to read it."""
    series: tuple[Series, ...]
    y_label: str = ""
    x_label: str = STEPS
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs whose configurations differ in nothing but the seed."""

    name: str
    records: tuple[list[dict], ...]
    """The records of each run that did not diverge."""
    colour: int = 0

    def columns(self, name: str):
        """(steps, values [runs, steps]) of the steps at which every run has a value."""
        by_step = [
            {r["step"]: r[name] for r in records if name in r}
            for records in self.records
        ]
        by_step = [values for values in by_step if values]
        if not by_step:
            return np.zeros(0), np.zeros((0, 0))
        steps = sorted(set.intersection(*map(set, by_step)))
        rows = [[values[s] for s in steps] for values in by_step]
        return np.array(steps, float), np.array(rows, float)

    def names(self) -> list[str]:
        """Names of the metrics of all runs, in the order of the records."""
        every = (name for records in self.records for r in records for name in r)
        return [n for n in dict.fromkeys(every) if n not in ("step", "warnings")]


def window(count: int) -> int:
    """Records in the median filter: 101 as in the paper, or fewer of a short run."""
    return min(PAPER_WINDOW, max(3, count // 12 | 1))


def smooth(values, size: int) -> np.ndarray:
    """Median of `size` values around each, which are mirrored at both ends.

    The paper's scipy.signal.medfilt adds zeros there, which bend the ends to zero.
    """
    return median_filter(np.asarray(values, float), size=size, mode="reflect")


def line(group: Group, metric: str, name: str, *, smoothed: int = 0, **style) -> Series:
    """Mean of the runs of a group, with a band from the least to the largest.

    smoothed: size of the median filter of each run; 0 uses none. style: of `Series`.
    """
    steps, values = group.columns(metric)
    if smoothed:
        values = np.array([smooth(row, smoothed) for row in values])
    look: dict[str, Any] = {"colour": group.colour} | style
    if len(values) < 2:
        return Series(name, steps, values.ravel(), **look)
    mean, low, high = values.mean(0), values.min(0), values.max(0)
    return Series(name, steps, mean, low, high, **look)


# --------------------------------------------------------------------------- one run


def run_figures(records: list[dict], fields: dict) -> list[Figure]:
    """The charts of one run, most important first.

    fields: {section.field: value} of its configuration. No record is left out: a metric
    without a description has a chart of its own.
    """
    group = Group("", (records,))
    names = group.names()
    used = {"seconds"}
    figures = []

    def has(*wanted):
        found = [n for n in wanted if n in names]
        used.update(found)
        return found

    estimate = estimate_name(names)
    if estimate:
        figures.append(_estimate_figure(group, estimate, fields))
        has(estimate, f"heldout_{estimate}")
    if quantiles := has(*[n for n in names if n.startswith("slope/q")]):
        figures.append(_slopes(group, quantiles, has("gradient_norm"), fields))
    elif has("gradient_norm"):
        figures.append(_slopes(group, [], ["gradient_norm"], fields))
    for name in has("gradient_penalty"):
        figures.append(simple(group, name))
    if losses := has("critic_loss", "generator_loss"):
        series = [
            line(group, n, n.replace("_", " "), colour=i) for i, n in enumerate(losses)
        ]
        reading = READINGS["losses"]
        figures.append(Figure("Losses", reading, tuple(series), "loss"))
    for name in has(*filter(is_score, names)):
        figures.append(simple(group, name))
    if layers := has(*[n for n in names if n.startswith("layer_gradient/")]):
        series = [
            line(group, n, f"layer {int(n.split('/')[1])}", colour=i)
            for i, n in enumerate(layers)
        ]
        figures.append(
            Figure(
                "Gradients by layer of the critic",
                READINGS["layers"],
                tuple(series),
                "norm of the loss's gradient",
                log=True,
            )
        )
    rest = [n for n in names if n not in used and n != "cycles_per_second"]
    figures += [simple(group, name) for name in rest]
    figures += [simple(group, name) for name in has("cycles_per_second")]
    return figures


def estimate_name(names: Sequence[str]) -> str:
    """The metric that is the critic's estimate: the one that is also held out."""
    known = [n for n in names if f"heldout_{n}" in names]
    known += [n for n in ("wasserstein", "jensen_shannon", "le_cam") if n in names]
    return known[0] if known else ""


def is_score(name: str) -> bool:
    """Whether a metric is a score of run.evaluate_every."""
    return name == "fid" or "frechet" in name


def _estimate_figure(group, estimate, fields):
    steps, _ = group.columns(estimate)
    size = window(len(steps))
    series = [
        line(group, estimate, "each record", faint=True),
        line(group, estimate, f"median of {size} records", smoothed=size),
    ]
    if f"heldout_{estimate}" in group.names():
        held = f"heldout_{estimate}"
        series.append(line(group, held, "held-out samples", smoothed=size, colour=1))
    note = "The paper's median filter has 101 values"
    note += "." if size == PAPER_WINDOW else f", this one {size}, by the run's length."
    reading = f"{units(estimate, fields)} {READINGS['estimate']} {note}"
    title = f"Critic's estimate: {label(estimate)}"
    return Figure(title, reading, tuple(series), label(estimate))


def units(estimate: str, fields: dict) -> str:
    """A sentence on the units of the estimate."""
    if estimate != "wasserstein":
        return UNITS.get(estimate, "")
    constraint = fields.get("objective.constraint")
    return UNITS.get(f"wasserstein, {constraint}", UNITS["wasserstein"])


def _slopes(group, quantiles, mean, fields):
    series = []
    if {"slope/q005", "slope/q050", "slope/q095"} <= set(quantiles):
        steps, middle = group.columns("slope/q050")
        edges = [group.columns(f"slope/{q}")[1] for q in ("q005", "q095")]
        if all(e.shape == middle.shape for e in edges):
            bands = [e[0] for e in edges]
            name = "median, 5th to 95th percentile"
            series.append(Series(name, steps, middle[0], *bands, colour=0))
    series += [line(group, n, "mean slope in training", colour=1) for n in mean]
    target = fields.get("objective.gp_target")
    if fields.get("objective.constraint") == "penalty" and isinstance(
        target, (int, float)
    ):
        steps = [s for one in series for s in (min(one.x), max(one.x)) if len(one.x)]
        ends = [min(steps), max(steps)]
        series.append(Series("target", ends, [target] * 2, colour=3, dashed=True))
    reading = READINGS["slopes"]
    return Figure("Slopes of the critic", reading, tuple(series), "gradient norm")


def simple(*groups_and_name) -> Figure:
    """The chart of one metric: a line for each group."""
    *groups, name = groups_and_name
    series = tuple(
        line(g, name, g.name or label(name)) for g in groups if name in g.names()
    )
    reading = READINGS.get(name) or (READINGS["score"] if is_score(name) else "")
    title = TITLES.get(name) or label(name)[:1].upper() + label(name)[1:]
    return Figure(title, reading, series)


def label(name: str) -> str:
    """A metric's name as text."""
    return LABELS.get(name) or re.sub(r"[_/]+", " ", name)


LABELS = {
    "wasserstein": "Wasserstein",
    "jensen_shannon": "Jensen-Shannon",
    "le_cam": "Le Cam",
    "fid": "FID",
    "classifier_frechet": "Frechet distance by a classifier",
}
TITLES = {
    "gradient_norm": "Slopes of the critic",
    "cycles_per_second": "Speed: generator updates per second",
    "gradient_penalty": "Gradient penalty, without its weight",
    "data_wait_fraction": "Share of the time spent waiting for data",
    "step_gradient_cosine": "Cosine of the critic's step and gradient",
    "weights_at_bound": "Share of the critic's weights at the clipping bound",
    "classifier_frechet": "Frechet distance, features of a classifier",
}
UNITS = {
    "wasserstein": "E[critic(real)] - E[critic(fake)].",
    "wasserstein, penalty": (
        "E[critic(real)] - E[critic(fake)], without the penalty: an estimate of the "
        "Wasserstein-1 distance where the critic's slope is 1."
    ),
    "wasserstein, clip": (
        "E[critic(real)] - E[critic(fake)] of a clipped critic: its units depend on "
        "the clipping bound and on the critic's shape, so compare it with itself only."
    ),
    "jensen_shannon": (
        "A lower bound of the Jensen-Shannon divergence in nats, at most 0.69."
    ),
    "le_cam": "A lower bound of Le Cam's distance, at most 1.",
}
READINGS = {
    "estimate": (
        "It rises while the critic learns, then falls while samples improve. A "
        "held-out line that leaves the other one shows a critic that learns the "
        "training samples by heart."
    ),
    "slopes": (
        "Gradient norms of the critic between real and generated samples. With a "
        "penalty they should be near the target; an estimate is too high by about the "
        "factor by which they exceed it."
    ),
    "gradient_norm": (
        "Mean gradient norm of the critic between real and generated samples; with a "
        "penalty it should be near its target."
    ),
    "losses": (
        "The critic's loss is minus the estimate plus the penalty. The generator's "
        "loss moves with the critic's free constant: its level has no meaning."
    ),
    "layers": (
        "Lines that spread over many powers of ten show gradients that vanish or "
        "explode from layer to layer, the known fault of weight clipping."
    ),
    "gradient_penalty": (
        "Mean square distance of the slopes from their target: near zero once the "
        "critic keeps the constraint."
    ),
    "score": (
        "Distance of generated to training images by the features of a network, lower "
        "is better. It falls with the number of images: compare equal numbers only."
    ),
    "cycles_per_second": (
        "A generator update with its critic updates. Dips are samples, checkpoints, or "
        "other programs on the machine."
    ),
    "step_gradient_cosine": (
        "Below zero the optimizer's step makes the critic worse: lower its learning "
        "rate or its momentum."
    ),
    "weights_at_bound": (
        "Near 1 the critic is as steep as clipping allows, and its functions are "
        "simple."
    ),
    "data_wait_fraction": "Above 0.1, more data.workers or packed files pay.",
}
