"""Seven pairs of networks by four methods on 64x64 photographs (WGAN-GP, Fig. 2).

Claim of the paper, from samples alone: WGAN-GP is the only method that trains all seven
pairs with the same hyperparameters. The cells are the table of configs/lsun_grid.py.

A cell has failed where its training diverged (a metric or a weight is not finite);
where it collapsed (mean distance of two samples, or of a sample to its nearest other,
below a tenth of that of held-out images); or where its samples are no closer to the
training images than noise of the same mean and deviation in each pixel. Distances are
on features by patches of the training images, so a cell that has not failed may still
look bad.

quick: a quarter of the width, batches of 32, few updates, clipping at 5e-4 instead of
5e-5. full: the paper's sizes and 200,000 updates.
"""

import math
import time

import jax
import matplotlib.pyplot as plt

from figures import bedrooms, training

TABLE = bedrooms.table("lsun_grid")
SIZES = bedrooms.sizes(
    tiny={"steps": 2},
    quick={"steps": 300},
    full={"steps": 200_000},
)
NETWORKS = {
    "baseline": "baseline",
    "constant": "G: no norm,\nconstant width",
    "mlp": "G: 4-layer\nReLU MLP",
    "no-norm": "G, D: no norm",
    "gated": "G, D: gated",
    "tanh": "G, D: tanh",
    "resnet101": "G, D: 101-layer\nResNets",
}
METHODS = {
    "dcgan": "DCGAN",
    "lsgan": "LSGAN",
    "wgan": "WGAN (clipping)",
    "wgan-gp": "WGAN-GP",
}
COLLAPSED = 0.1


def compute(size, seed, options):
    """Trains or resumes the cells, and measures them.

    options.systems: rows to train; none are all. With options.hours, no cell is begun
    after that time. The tiny form trains one cell of each row, with the methods in
    turn. The failure of cells without measures is None.
    """
    form, start = bedrooms.given(SIZES[size], options), time.monotonic()
    base = bedrooms.resized(TABLE.get_config(), form, size, seed, options)
    reference = bedrooms.Reference(base, form)
    panels = []
    for i, networks in enumerate(NETWORKS):
        for j, method in enumerate(METHODS):
            panel = {"networks": networks, "method": method, "failure": None}
            panels.append(panel)
            run = options.runs / f"grid-{size}-{seed}" / f"{networks}-{method}"
            late = time.monotonic() - start > 3600 * (options.hours or math.inf)
            late |= networks not in (options.systems or NETWORKS)
            late |= size == "tiny" and j != i % len(METHODS)
            config = TABLE.cell(networks, method)
            config = bedrooms.resized(config, form, size, seed, options)
            found = bedrooms.result(config, run, lambda: reference, late)
            if found is None:
                continue
            panel |= found
            panel["failure"] = failure(panel, reference.noise)
            print(f"{networks}, {method}: {describe(panel)}", flush=True)
            # A process that keeps the programs of 28 cells runs out of memory.
            jax.clear_caches()
    return {
        "form": form,
        "real": reference.real,
        "noise": reference.noise,
        "panels": panels,
    }


def failure(measures, noise) -> str:
    """The name of the failure of a cell, "" without one."""
    if measures["diverged"]:
        return "diverged"
    if min(measures["diversity"], measures["nearest"]) < COLLAPSED:
        return "collapsed"
    if measures["distance"] >= noise["distance"]:
        return "no better than noise"
    return ""


def describe(panel) -> str:
    """Failure and measures of a panel, as text."""
    if panel["failure"] is None:
        return "not trained yet"
    parts = [panel["failure"]] * bool(panel["failure"])
    if "distance" in panel:
        parts.append(f"distance {panel['distance']:.3g}")
        parts.append(f"diversity {panel['diversity']:.2f}")
    return ", ".join(parts)


def draw(numbers):
    """One row per pair of networks and one column per method; failures in red."""
    shape = len(NETWORKS), len(METHODS)
    size = 16, 1.25 * shape[0] + 1.2
    figure, grid = plt.subplots(*shape, figsize=size, squeeze=False)
    figure.subplots_adjust(0.03, 0.01, 0.995, 0.92, 0.03, 0.22)
    for axes, panel in zip(grid.flat, numbers["panels"]):
        if panel.get("png"):
            training.show(axes, panel["png"])
        axes.set(xticks=[], yticks=[])
        color = "C3" if panel["failure"] else "k"
        axes.set_title(describe(panel), fontsize=8, color=color, pad=3)
    for axes, name in zip(grid[:, 0], NETWORKS.values()):
        axes.set_ylabel(name, fontsize=8)
    for i, name in enumerate(METHODS.values()):
        x = grid[0, i].get_position()
        figure.text((x.x0 + x.x1) / 2, 0.95, name, ha="center", weight="bold")
    figure.text(
        0.5,
        0.98,
        f"after {numbers['form']['steps']:,} generator updates; distance of real "
        f"images {numbers['real']['distance']:.3g}, of noise "
        f"{numbers['noise']['distance']:.3g}; diversity of real images 1",
        ha="center",
    )
    return figure


def finding(numbers):
    """Sentence for the table."""
    parts, trained = [], 0
    for method, title in METHODS.items():
        panels = [
            panel
            for panel in numbers["panels"]
            if panel["method"] == method and panel["failure"] is not None
        ]
        trained += len(panels)
        failed = [f"{p['networks']} {p['failure']}" for p in panels if p["failure"]]
        names = f" ({', '.join(failed)})" if failed else ""
        parts.append(f"{title} {len(failed)} of {len(panels)}{names}")
    return (
        f"cells that failed after {numbers['form']['steps']:,} generator updates, base "
        f"width {numbers['form']['width']} instead of 64, {trained} of "
        f"{len(numbers['panels'])} cells trained: {'; '.join(parts)}"
    )
