"""How the cost of a training cycle grows with the work, for this library alone.

Cycles as in scripts/benchmark.py, each point in a process of its own: batch size and
number of images on the fully connected nets of Fashion-MNIST, base width and image size
on the convolutional ones of the cat faces with a penalty.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import benchmark

BATCHES = (16, 32, 64, 128, 256, 512, 1024)
IMAGES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
WIDTHS = (8, 16, 32, 64)
SIZES = (32, 64, 128)


def points(tiny):
    """(axis, value, configuration, number of images) of everything that is measured."""
    mlp, few = benchmark.make_config("fashion_mnist_mlp", 4 if tiny else 128), 2048
    cats = benchmark.make_config("cat_faces", 2 if tiny else 16)
    if tiny:
        mlp, few = replace(mlp, data=replace(mlp.data, batch_size=4)), 32
        yield "batch size", 4, mlp, few
        yield "images", 64, mlp, 64
        return
    for batch in BATCHES:
        data = replace(mlp.data, batch_size=batch)
        yield "batch size", batch, replace(mlp, data=data), few
    for images in IMAGES:
        yield "images", images, mlp, images
    for width in WIDTHS:
        yield "base width", width, benchmark.make_config("cat_faces", width), few
    for size in SIZES:
        # A doubling more for each doubling of the image, from and to 4x4.
        up, down = cats.model.generator_widths, cats.model.critic_widths
        depth = {32: 3, 64: 4, 128: 5}[size]
        model = replace(
            cats.model,
            generator_widths=(2 * up[0], *up)[-depth:],
            critic_widths=(*down, 2 * down[-1])[:depth],
        )
        data = replace(cats.data, image_size=size)
        yield "image size", size, replace(cats, model=model, data=data), few


def measure(config, images, rounds, seconds):
    """Cycles per second, their range, megabytes and GFLOP of one point."""
    side = benchmark.Side("ours", config, images, "float32")
    try:
        start = side.ask("start")
        (rates,) = benchmark.measure({"ours": side}, rounds, seconds).values()
        peak = side.ask("peak")
    finally:
        side.end()
    return {
        "cycles_per_s": statistics.median(rates),
        "min_max": [min(rates), max(rates)],
        "start_s": start,
        "peak_mb": peak,
        "gflop_per_cycle": benchmark.gflop_per_cycle(config),
        "batch": config.data.batch_size,
        "n_critic": config.objective.n_critic,
    }


def markdown(report) -> str:
    """A table of all points under the sentence of what it is."""
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    lines = [
        f"Training cycles in float32, median of {report['rounds']} turns of about "
        f"{report['seconds']:g} s. {report['device']}; {report['cpu']}, "
        f"{report['cores']} cores, {report['threads']} threads; {versions}; commit "
        f"{report['commit']}; {report['date']}.\n",
        "| axis | value | cycles/s: median (min-max) | images/s | GFLOP/s | peak MB "
        "| first cycle s |",
        "|---|---|---|---|---|---|---|",
    ]
    for point in report["points"]:
        rate, (low, high) = point["cycles_per_s"], point["min_max"]
        lines.append(
            f"| {point['axis']} | {point['value']:,} "
            f"| {rate:.3g} ({low:.3g}-{high:.3g})"
            f" | {rate * point['batch'] * point['n_critic']:.0f}"
            f" | {rate * point['gflop_per_cycle']:.0f} | {point['peak_mb']:.0f}"
            f" | {point['start_s']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="turns of each point (default 3)")
    add("--seconds", type=float, default=2, help="length of a turn (default 2)")
    add("--tiny", action="store_true", help="two points, one round: a test")
    add("--out", type=Path, metavar="FILE.json", help="write all figures here too")
    options = parser.parse_args(arguments)
    turns = (1, 0.02) if options.tiny else (options.rounds, options.seconds)
    report = benchmark.machine(*benchmark.prepare("float32"))
    report |= {"rounds": turns[0], "seconds": turns[1], "points": []}
    for axis, value, config, images in points(options.tiny):
        benchmark.progress(f"{axis} {value:,}")
        point = {"axis": axis, "value": value} | measure(config, images, *turns)
        report["points"].append(point)
        benchmark.keep(report, options.out)
    print(markdown(report), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
