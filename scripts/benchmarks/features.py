"""Sensitivity of image features: Frechet distances of disturbed real images.

Real images are compared with other real images, which are disturbed by known amounts.
Each distance is divided by that of the undisturbed ones, so that 1 is nothing seen. The
features that tell a disturbance from none at the smallest amount see it best.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.report import machine, progress, save, table
from provenance import provenance
from wgan_jax.config import Data
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.metrics.features import EXTRACTORS, extract_array
from wgan_jax.metrics.frechet import frechet_distance

FEATURES = ("patches", "classifier")


def disturbances(images, labels, count: int) -> dict[str, list]:
    """{name: [(amount, uint8 images)]} of images [n, h, w, c], n of 2 `count` or more.

    labels: integers [n], or None. The amount of each disturbance grows.
    """
    base, rest = images[:count], images[count:]
    rng = np.random.default_rng(0)
    noise = 255 * rng.normal(size=base.shape)
    middle = base.shape[2] // 2
    spliced = base.copy()
    spliced[:, :, middle:] = base[rng.permutation(count), :, middle:]

    def blurred(sigma):
        return gaussian_filter(base.astype(float), (0, sigma, sigma, 0))

    def pixels(values):
        return np.clip(np.round(values), 0, 255).astype(np.uint8)

    sets = {
        "noise, standard deviation": [
            (s, pixels(base + s * noise)) for s in (0.02, 0.05, 0.1, 0.2)
        ],
        "blur, pixels": [(s, pixels(blurred(s))) for s in (0.4, 0.6, 0.8, 1.2)],
        "darker by": [(f, pixels(base * (1 - f))) for f in (0.02, 0.05, 0.1, 0.3)],
        "distinct images": [
            (n, np.resize(base[:n], base.shape))
            for n in (count // 2, count // 4, count // 40, count // 200)
        ],
        "halves of two images": [("all", spliced)],
        "shifted by, pixels": [(s, np.roll(base, s, 2)) for s in (1, 2, 4)],
        "negatives, share": [
            (f, np.concatenate([base[int(f * count) :], 255 - rest[: int(f * count)]]))
            for f in (0.01, 0.05, 0.1)
        ],
    }
    if labels is not None:
        classes = len(np.unique(labels))
        kept = sorted({classes - 1, classes * 8 // 10, classes // 2, 2}, reverse=True)
        known = np.searchsorted(np.unique(labels), labels)
        sets["classes"] = [(k, images[known < k][:count]) for k in kept]
    return sets


def measure(dataset, name: str, count: int) -> dict:
    """Distances of the disturbed images by the features `name`, over their floor."""
    extractor = EXTRACTORS[name](dataset, "the data")

    def distance(images):
        moments = extract_array(extractor, images).moments
        return frechet_distance(moments, real)

    real = extract_array(extractor, dataset.train[:count]).moments
    floor = distance(dataset.heldout[:count])
    sets = disturbances(dataset.heldout, dataset.heldout_labels, count)
    return {
        "floor": floor,
        "dimension": extractor.dimension,
        "ratios": {
            kind: [(amount, distance(images) / floor) for amount, images in amounts]
            for kind, amounts in sets.items()
        },
    }


def markdown(report: dict) -> str:
    """The report as a Markdown table with a row for each amount."""
    names = list(report["features"])
    rows = []
    for kind, amounts in report["features"][names[0]]["ratios"].items():
        for i, (amount, _) in enumerate(amounts):
            ratios = [report["features"][n]["ratios"][kind][i][1] for n in names]
            rows.append([kind, f"{amount}", *(f"{ratio:.3g}" for ratio in ratios)])
    heading = f"{report['images']} images of {report['data']} on each side.\n\n"
    header = ["disturbance", "amount", *names]
    return heading + table(header, rows) + f"\n{machine(report)}\n"


def main(argv=None) -> int:
    """Measures the features and prints the report."""
    parser = argparse.ArgumentParser(prog="benchmark.py features", description=__doc__)
    add = parser.add_argument
    add("--source", default="digits", help="data.source (default digits)")
    add("--dir", default="", help="data.dir")
    add("--test-split", default="", help="data.test_split; none holds out of training")
    add("--image-size", type=int, default=32, help="data.image_size (default 32)")
    add("--channels", type=int, default=1, help="data.channels (default 1)")
    add("--count", type=int, default=400, help="images on each side (default 400)")
    add("--features", nargs="+", choices=EXTRACTORS, default=FEATURES)
    add("--out", type=Path, metavar="FILE.json", help="also write all results as JSON")
    options = parser.parse_args(argv)
    dataset = load_in_memory(
        Data(
            source=options.source,
            dir=options.dir,
            test_split=options.test_split,
            image_size=options.image_size,
            channels=options.channels,
            heldout=2 * options.count,
        )
    )
    report = {
        "data": options.dir or options.source,
        "images": options.count,
        "features": {},
        **provenance(),
    }
    for name in options.features:
        progress(f"{name} ...")
        report["features"][name] = measure(dataset, name, options.count)
    print(markdown(report))
    save(report, options.out)
    return 0
