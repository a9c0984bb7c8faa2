"""How fast images can be streamed, what that costs training, and whether memory grows.

Of images made up: noise of 8x8 made larger, and a little noise over it, so that they
are about as hard to compress as photographs. A rate is that of draining the stream:
nothing is trained. Stalls are of `python -m wgan_jax.train`, streamed and in memory in
turns. Memory is that of this process and its workers over one epoch.
"""

import argparse
import dataclasses
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
import pack_images
from PIL import Image

from wgan_jax.config import Config, Data, Run
from wgan_jax.data import stream
from wgan_jax.data.prefetch import Prefetcher
from wgan_jax.distributed.sharding import ONE_DEVICE

ROOT = Path(__file__).resolve().parents[1]
BATCH = 64
PACKAGES = ("grain", "array_record", "pillow")
# What is trained: WGAN-GP with two nets of four layers, by the size of the images.
WIDTHS = {32: ("4 2 1", "1 2 4"), 64: ("8 4 2 1", "1 2 4 8"), 8: ("1", "1")}
FEATURES = {32: 16, 64: 8, 8: 2}


def make_images(size: int, count: int) -> np.ndarray:
    """uint8 [count, size, size, 3]."""
    random = np.random.default_rng(0)
    rough = random.integers(0, 256, (count, 8, 8, 3), np.uint8)
    large = [np.asarray(Image.fromarray(r).resize((size, size))) for r in rough]
    noisy = np.stack(large) + random.normal(0, 4, (count, size, size, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def write_images(out: Path, size: int, form: str, count: int) -> None:
    """`count` images, a thousand different ones over and over."""
    some = make_images(size, min(count, 1000))
    encoded = [pack_images.encode(image, form) for image in some]
    every = (encoded[i % len(encoded)] for i in range(count))
    pack_images.write_records(out, every, count, form)


def open_stream(folder: Path, size: int, workers: int, steps: int) -> stream.Stream:
    """What training from the folder would read, for so many steps of one batch."""
    data = Data(
        source="array_record",
        dir=str(folder),
        image_size=size,
        channels=3,
        batch_size=BATCH,
        heldout=0,
        stream="always",
        workers=workers,
    )
    cfg = Config(data=data, run=Run(steps=steps))
    objective = dataclasses.replace(cfg.objective, n_critic=1)
    cfg = dataclasses.replace(cfg, objective=objective)
    return stream.open_dataset(cfg, math.inf).stream


def rate(folder: Path, size: int, workers: int, seconds: float) -> float:
    """Batches a second of draining a stream, the first ones left out."""
    opened = open_stream(folder, size, workers, 1)
    batches = stream.read_batches(opened, jax.random.key(0), range(10**6))
    try:
        # What the workers had ready before the clock began would count twice.
        for _ in range(10 + 20 * workers):
            next(batches)
        start, count = time.perf_counter(), 0
        while (taken := time.perf_counter() - start) < seconds:
            next(batches)
            count += 1
        return count / taken
    finally:
        batches.close()


def train(folder: Path, size: int, workers: int | None, tiny: bool) -> list[dict]:
    """The records of a run, streamed with so many workers or, for None, in memory."""
    generator, critic = WIDTHS[size]
    options = f"""--config {ROOT}/configs/digits.py --data.source array_record
        --data.dir {folder} --data.image-size {size} --data.channels 3
        --data.batch-size {BATCH} --data.heldout 0 --model.features {FEATURES[size]}
        --model.generator-widths {generator} --model.critic-widths {critic}
        --optimizer.decay constant --run.chunk 10 --run.log-every 10
        --run.sample-every 0 --run.checkpoint-every 100000 --run.no-tensorboard
        --run.steps {20 if tiny else 100}"""
    words = options.split()
    words += ["--data.stream", "never" if workers is None else "always"]
    words += [] if workers is None else ["--data.workers", str(workers)]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "wgan_jax.train", *words, "--out", out]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def stalls(folder: Path, size: int, kinds, rounds: int, tiny: bool) -> list[dict]:
    """Cycles a second and the share of time without data, of each kind of run.

    kinds: workers, or None for images in memory; they take turns.
    """
    found = {workers: [] for workers in kinds}
    for turn in range(rounds):
        for workers in kinds:
            benchmark.progress(f"stalls: {size}, {workers} workers, turn {turn} ...")
            # The first record has the start of the stream in it.
            found[workers] += train(folder, size, workers, tiny)[1:]
    rows = []
    for workers, records in found.items():
        rates = [record["cycles_per_second"] for record in records]
        shares = [record.get("data_wait_fraction", 0.0) for record in records]
        row = {"size": size, "workers": workers}
        row |= {"cycles_per_s": statistics.median(rates)}
        row |= {"slowest": min(rates), "fastest": max(rates)}
        row |= {"data_wait_fraction": statistics.mean(shares)}
        rows.append(row | {"largest_data_wait_fraction": max(shares)})
    return rows


def memory(folder: Path, size: int, workers: int, count: int) -> list[dict]:
    """Megabytes of this process and of all workers at every tenth of an epoch."""
    batches = count // BATCH
    opened = open_stream(folder, size, workers, batches)

    @jax.jit
    def look(seen, samples, count):
        block, _ = samples
        return seen + count, {"mean": block.mean(dtype=jnp.float32)}

    found, seen = [], jnp.int32(0)
    key = jax.random.key(0)
    with Prefetcher(opened, ONE_DEVICE, key, 0, lambda step: step) as prefetcher:
        for tenth in range(11):
            goal = batches * tenth // 10
            while (done := int(seen)) < goal:
                seen, _ = prefetcher.advance(look, seen, min(25, goal - done))
            children = [p.pid for p in multiprocessing.active_children()]
            found.append(
                {
                    "images": goal * BATCH,
                    "here_mb": resident(os.getpid()),
                    "workers_mb": sum(map(resident, children)),
                }
            )
            benchmark.progress(f"memory: {found[-1]}")
    return found


def resident(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def markdown(report) -> str:
    """Three tables under the sentence of what they hold for."""
    versions = " ".join(f"{k} {v}" for k, v in report["versions"].items())
    lines = [
        f"{report['device']}; {report['cpu']}, {report['cores']} cores; {versions}; "
        f"commit {report['commit']}; {report['date']}. Batches of {BATCH}.\n",
        "| images | records | workers | batches/s | images/s |",
        "|---|---|---|---|---|",
    ]
    for row in report["rates"]:
        lines.append(
            f"| {row['size']}x{row['size']} colour | {row['form']} | {row['workers']} "
            f"| {row['batches_per_s']:.0f} | {row['batches_per_s'] * BATCH:,.0f} |"
        )
    lines += [
        "",
        "| images | from | cycles/s | without data | at most |",
        "|---|---|---|---|---|",
    ]
    for row in report["stalls"]:
        source = "memory" if row["workers"] is None else f"{row['workers']} workers"
        lines.append(
            f"| {row['size']}x{row['size']} colour | {source} "
            f"| {row['cycles_per_s']:.3g} ({row['slowest']:.3g}-{row['fastest']:.3g}) "
            f"| {row['data_wait_fraction']:.1%} "
            f"| {row['largest_data_wait_fraction']:.1%} |"
        )
    lines += ["", "| images read | this process MB | workers MB |", "|---|---|---|"]
    for row in report["memory"]:
        lines.append(
            f"| {row['images']:,} | {row['here_mb']:.0f} | {row['workers_mb']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=8, help="of each rate (default 8)")
    add("--rounds", type=int, default=2, help="runs of each kind (default 2)")
    add("--epoch", type=int, default=10**6, help="images of the epoch (default 10**6)")
    parts = ["rates", "stalls", "memory"]
    add("--parts", nargs="+", default=parts, choices=parts, help="default: all")
    add("--workers", type=int, default=1, help="of the epoch (default 1)")
    add("--tiny", action="store_true", help="small and short, to test this script")
    add("--out", type=Path, metavar="FILE.json", help="write all figures here too")
    options = parser.parse_args(arguments)
    tiny, sizes = options.tiny, (8,) if options.tiny else (32, 64)
    if tiny:
        options.seconds, options.rounds, options.epoch = 0.1, 1, 2000
    report = benchmark.machine(*benchmark.prepare("float32"))
    report["versions"] = {k: report["versions"][k] for k in ("jax", "python", "numpy")}
    report["versions"] |= {p: metadata.version(p) for p in PACKAGES}
    report |= {"rates": [], "stalls": [], "memory": []}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            for form in ("png", "ppm"):
                write_images(Path(folder) / f"{form}{size}", size, form, 8 * BATCH * 8)
        if "rates" in options.parts:
            for size in sizes:
                for form in ("png", "ppm"):
                    for workers in (0, 1, 2)[: 2 if tiny else 3]:
                        benchmark.progress(f"rate {size} {form} {workers} ...")
                        here = Path(folder) / f"{form}{size}"
                        found = rate(here, size, workers, options.seconds)
                        row = {"size": size, "form": form, "workers": workers}
                        report["rates"].append(row | {"batches_per_s": found})
                        benchmark.keep(report, options.out)
        if "stalls" in options.parts:
            for size in sizes:
                kinds = (None, 1) if tiny else (None, 0, 1)
                here = Path(folder) / f"png{size}"
                report["stalls"] += stalls(here, size, kinds, options.rounds, tiny)
                benchmark.keep(report, options.out)
        if "memory" in options.parts:
            benchmark.progress(f"writing {options.epoch:,} images ...")
            here = Path(folder) / "epoch"
            write_images(here, sizes[0], "ppm", options.epoch)
            report["memory"] = memory(here, sizes[0], options.workers, options.epoch)
            benchmark.keep(report, options.out)
    print(markdown(report), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
