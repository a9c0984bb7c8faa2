"""The networks of WGAN, and WGAN-GP's residual networks at 64x64 and 128x128.

Claims: the estimate of a WGAN falls as its samples improve, to about 0.12 with a DCGAN
generator and 0.37 with an MLP after 600,000 updates, and stays constant where MLPs
train at a high rate (WGAN, Fig. 3); the Jensen-Shannon estimate of a GAN does not fall
(Fig. 4); without BatchNorm and with a constant width the WGAN still makes samples and
the GAN fails (Fig. 6). WGAN-GP trains residual networks (WGAN-GP, Figs. 2 and 4).

Curves have the paper's median filter of 101 updates. Each record is the mean of the
updates since the one before it. The networks are the tables of configs/lsun_*.py.
quick: a quarter of the width, batches of 32, few updates, clipping at 5e-4 instead of
5e-5, no long critic training. full: the papers' sizes and lengths.
"""

import math
import time

import jax
import matplotlib.pyplot as plt

from figures import bedrooms, training
from figures.curves import smooth

SIZES = bedrooms.sizes(
    tiny={"steps": 4},
    quick={"steps": 300},
    full={"steps": 600_000},
)
# Updates of the paper's median filter.
FILTER = 101
# (table, networks and objective in it, title, the paper's estimate at the end).
RUNS = {
    "dcgan-wgan": ("lsun_wgan", ("dcgan", "wgan"), "DCGAN", "0.12"),
    "mlp-wgan": ("lsun_wgan", ("mlp", "wgan"), "MLP generator", "0.37"),
    "mlps-wgan": ("lsun_wgan", ("mlp both", "wgan"), "MLPs, rate 5e-3", "15"),
    "constant-wgan": ("lsun_wgan", ("constant", "wgan"), "constant width", ""),
    "dcgan-gan": ("lsun_wgan", ("dcgan", "gan"), "DCGAN", ""),
    "mlp-gan": ("lsun_wgan", ("mlp", "gan"), "MLP generator", ""),
    "mlps-gan": ("lsun_wgan", ("mlp both", "gan"), "MLPs", ""),
    "constant-gan": ("lsun_wgan", ("constant", "gan"), "constant width", ""),
    "resnet64": ("lsun_resnet64", (), "ResNet, 64x64", ""),
    "resnet128": ("lsun_resnet128", (), "ResNet, 128x128", ""),
}
GROUPS = {"wgan": "WGAN", "gan": "GAN", "gp": "WGAN-GP"}
ESTIMATES = {"wgan": "Wasserstein", "gan": "Jensen-Shannon", "gp": "Wasserstein"}


def compute(size, seed, options):
    """Trains or resumes the runs, and measures them.

    With options.hours, no run is begun after that time, and runs without measures are
    left out.
    """
    form, start = bedrooms.given(SIZES[size], options), time.monotonic()
    runs, references = {}, {}
    for name, (table, arguments, _, paper) in RUNS.items():
        module = bedrooms.table(table)
        make = module.experiment if arguments else module.get_config
        config = make(*arguments)
        # The residual networks are trained for 200,000 updates.
        length = form | {"steps": min(form["steps"], config.run.steps)}
        config = bedrooms.resized(config, length, size, seed, options)

        def reference(config=config):
            if config.data not in references:
                references[config.data] = bedrooms.Reference(config, form)
            return references[config.data]

        run = options.runs / f"lsun-{size}-{seed}" / name
        late = time.monotonic() - start > 3600 * (options.hours or math.inf)
        found = bedrooms.result(config, run, reference, late)
        if found is not None:
            runs[name] = found | {"paper": paper}
            jax.clear_caches()
    return {"form": form, "runs": runs}


def group(name) -> str:
    """The key of GROUPS that a run belongs to."""
    last = name.rpartition("-")[2]
    return last if last in GROUPS else "gp"


def filtered(run) -> tuple[list, list]:
    """(steps, estimates) of a run after the median filter."""
    steps, values = zip(*run["records"], strict=True)
    every = steps[0]
    return list(steps), smooth(values, FILTER // (2 * every)).tolist()


def draw(numbers):
    """Estimates by group above the samples of every run."""
    runs = numbers["runs"]
    columns = 5
    rows = -(-len(runs) // columns)
    figure = plt.figure(figsize=(17, 4 + 1.5 * rows), layout="constrained")
    panels = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.4, rows))
    top, bottom = panels[:, 0]
    for axes, (key, title) in zip(top.subplots(1, len(GROUPS)), GROUPS.items()):
        for name, run in runs.items():
            if group(name) == key and run["records"]:
                axes.plot(*filtered(run), label=RUNS[name][2])
        axes.set_title(f"{title}: {ESTIMATES[key]} estimate", fontsize=10)
        axes.set_xlabel("generator updates")
        # The failure of the MLPs is a hundred times as large as the others' estimates.
        axes.set_yscale("symlog", linthresh=0.1)
        if axes.lines:
            axes.legend(fontsize=8)
    grid = bottom.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (name, run) in zip(grid.flat, runs.items()):
        if run["png"]:
            training.show(axes, run["png"])
        title = f"{GROUPS[group(name)]}, {RUNS[name][2]}"
        if run["diverged"]:
            title += "\ndiverged"
        elif "distance" in run:
            title += f"\ndistance {run['distance']:.3g}"
            title += f", diversity {run['diversity']:.2f}"
        axes.set_title(title, fontsize=8)
    return figure


def finding(numbers):
    """Sentence for the table."""
    parts = []
    for name, run in numbers["runs"].items():
        text = "diverged"
        if run["records"] and not run["diverged"]:
            _, values = filtered(run)
            text = f"{values[-1]:.3g}"
            text += f" (paper {run['paper']})" if run["paper"] else ""
            if "distance" in run:
                text += f", distance {run['distance']:.3g}"
        parts.append(f"{GROUPS[group(name)]} {RUNS[name][2]} {text}")
    return (
        f"filtered estimate after {numbers['form']['steps']:,} generator updates, base "
        f"width {numbers['form']['width']} instead of 64, and Frechet distance on "
        f"patches: {'; '.join(parts)}"
    )
