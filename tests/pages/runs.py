"""Directories of runs without training, for the tests of their pages."""

import json

import numpy as np

from wgan_jax import pictures
from wgan_jax.config import Config, Data, Model, Run, to_json
from wgan_jax.pages.drawn import Drawn, Neighbours

RNG = np.random.default_rng(0)


def write_run(path, *, steps=100, seed=0, points=False, name="wasserstein", **sections):
    """A run directory of `steps` of 100 steps: records and pictures, no checkpoint."""
    parts = {"data": Data(heldout=10)}
    if points:
        parts["data"] = Data(source="8gaussians", heldout=10)
        parts["model"] = Model(kind="mlp", generator_norm="none", output="linear")
    parts["run"] = Run(seed=seed, steps=100, grid_size=4)
    config = Config(**parts | sections)
    (path / "samples").mkdir(parents=True)
    (path / "config.json").write_text(to_json(config))
    records = [
        {
            "step": step,
            "critic_loss": -5.0 / step,
            "generator_loss": 1.0,
            "gradient_norm": 1.0 + seed / 10,
            "gradient_penalty": 0.01,
            name: 10.0 / step + seed,
            f"heldout_{name}": 11.0 / step + seed,
            "cycles_per_second": 5.0,
            "seconds": step / 5,
        }
        for step in range(10, steps + 1, 10)
    ]
    write_records(path, records)
    environment = {"device": "cpu: cpu", "cpu_cores": 2, "packages": {"jax": "1.2"}}
    (path / "versions.json").write_text(json.dumps(environment))
    (path / "data.json").write_text(json.dumps({"format": 1, "train": 1234}))
    for step in range(50, steps + 1, 50):
        images = RNG.integers(0, 256, (4, 32, 32, 1), np.uint8)
        grid = pictures.caption(pictures.grid(images), f"step {step}")
        for kind in ("fixed", "fresh"):
            pictures.save_png(path / "samples" / f"{kind}-{step:07}.png", grid)
    return path


def write_records(path, records):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (path / "metrics.jsonl").write_text(lines)


def drawn_images():
    """Samples of a run on images, as from a checkpoint."""
    images = RNG.integers(0, 256, (40, 8, 8, 1), np.uint8)
    distances = np.sort(RNG.uniform(1, 2, 40))
    pair = images[:8], images[8:16]
    return Drawn(
        step=100,
        averaged=True,
        generated=images,
        interpolation=images[:32],
        real=images,
        neighbours=Neighbours(
            distances, distances * 2, 1000, 1000, {"generated": pair, "heldout": pair}
        ),
    )


def drawn_points(dimensions=2):
    """Samples of a run on points."""
    points = RNG.normal(size=(50, dimensions))
    return Drawn(
        step=100,
        averaged=False,
        generated=points,
        interpolation=RNG.normal(size=(6, 5, dimensions)),
        real=points,
        distances={"w1": 0.3, "floor": 0.1, "points": 50.0, "modes": 7.0},
    )
