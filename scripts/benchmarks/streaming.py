"""Rates of image streams, their cost in training, and memory over an epoch.

The images are synthetic: enlarged 8x8 noise plus a little noise, about as hard to
compress as photographs. A rate is that of draining the stream without training. Stalls
are those of `python -m wgan_jax.train` on a stream and in memory, in turns. Memory is
that of this process and its workers over one epoch.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks import speed
from benchmarks.report import machine, progress, save, table
from provenance import provenance
from wgan_jax.config import Config, Data, Objective, Run
from wgan_jax.data import stream
from wgan_jax.data.dataset import load
from wgan_jax.data.prefetch import Prefetcher
from wgan_jax.data.sources.array_record import encode, write_records
from wgan_jax.distributed.sharding import ONE_DEVICE

ROOT = Path(__file__).resolve().parents[2]
BATCH = 64
# Widths and features of the networks (WGAN-GP, four layers each) by image size.
WIDTHS = {32: ("4 2 1", "1 2 4"), 64: ("8 4 2 1", "1 2 4 8"), 8: ("1", "1")}
FEATURES = {32: 16, 64: 8, 8: 2}


def make_images(size: int, count: int) -> np.ndarray:
    """uint8 [count, size, size, 3]."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    large = [np.asarray(Image.fromarray(r).resize((size, size))) for r in rough]
    noisy = np.stack(large) + rng.normal(0, 4, (count, size, size, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def write_images(out: Path, size: int, format: str, count: int) -> None:
    """Writes `count` images to the folder `out`, at most a thousand different ones."""
    images = make_images(size, min(count, 1000))
    encoded = [encode(image, format) for image in images]
    records = (encoded[i % len(encoded)] for i in range(count))
    write_records(out, records, count, format)


def open_stream(folder: Path, size: int, workers: int, steps: int) -> stream.Stream:
    """The stream of a training run on the folder, `steps` steps of one batch each."""
    data_config = Data(
        source="array_record",
        dir=str(folder),
        image_size=size,
        channels=3,
        batch_size=BATCH,
        heldout=0,
        stream="always",
        workers=workers,
    )
    config = Config(
        data=data_config, objective=Objective(n_critic=1), run=Run(steps=steps)
    )
    return load(config).stream


def rate(folder: Path, size: int, workers: int, seconds: float) -> float:
    """Batches per second of draining a stream, without the first batches."""
    opened = open_stream(folder, size, workers, 1)
    batches = stream.read_batches(opened, jax.random.key(0), range(10**6))
    try:
        # Batches that the workers prepared before the start would inflate the rate.
        for _ in range(10 + 20 * workers):
            next(batches)
        start, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            next(batches)
            count += 1
        return count / elapsed
    finally:
        batches.close()


def train(folder: Path, size: int, workers: int | None, tiny: bool) -> list[dict]:
    """Records of a run that streams with `workers` workers, or in memory for None."""
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
    """Cycles per second and the share of time without data, for each kind of run.

    kinds: numbers of workers, None for images in memory; the kinds run in turns.
    """
    records = {workers: [] for workers in kinds}
    for i in range(rounds):
        for workers in kinds:
            progress(f"stalls: {size}, {workers} workers, turn {i} ...")
            # The first record includes the start of the stream.
            records[workers] += train(folder, size, workers, tiny)[1:]
    rows = []
    for workers in kinds:
        rates = [record["cycles_per_second"] for record in records[workers]]
        waits = [0.0]
        if workers is not None:
            waits = [record["data_wait_fraction"] for record in records[workers]]
        rows.append(
            {
                "size": size,
                "workers": workers,
                "cycles_per_s": statistics.median(rates),
                "slowest": min(rates),
                "fastest": max(rates),
                "data_wait_fraction": statistics.mean(waits),
                "largest_data_wait_fraction": max(waits),
            }
        )
    return rows


def memory(folder: Path, size: int, workers: int, count: int) -> list[dict]:
    """Megabytes of this process and of all workers at every tenth of an epoch."""
    batches = count // BATCH
    opened = open_stream(folder, size, workers, batches)

    @jax.jit
    def consume(seen, samples, count):
        block, _ = samples
        return seen + count, {"mean": block.mean(dtype=jnp.float32)}

    rows, seen = [], jnp.int32(0)
    key = jax.random.key(0)
    with Prefetcher(opened, ONE_DEVICE, key, 0, lambda step: step) as prefetcher:
        for tenth in range(11):
            goal = batches * tenth // 10
            while (done := int(seen)) < goal:
                seen, _ = prefetcher.advance(consume, seen, min(25, goal - done))
            children = [p.pid for p in multiprocessing.active_children()]
            rows.append(
                {
                    "images": goal * BATCH,
                    "process_mb": resident_mb(os.getpid()),
                    "workers_mb": sum(map(resident_mb, children)),
                }
            )
            progress(f"memory: {rows[-1]}")
    return rows


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def markdown(report) -> str:
    """Three tables under a sentence on their origin."""
    rates = [
        [
            f"{row['size']}x{row['size']} colour",
            row["format"],
            str(row["workers"]),
            f"{row['batches_per_s']:.0f}",
            f"{row['batches_per_s'] * BATCH:,.0f}",
        ]
        for row in report["rates"]
    ]
    stalls = [
        [
            f"{row['size']}x{row['size']} colour",
            "memory" if row["workers"] is None else f"{row['workers']} workers",
            f"{row['cycles_per_s']:.3g} ({row['slowest']:.3g}-{row['fastest']:.3g})",
            f"{row['data_wait_fraction']:.1%}",
            f"{row['largest_data_wait_fraction']:.1%}",
        ]
        for row in report["stalls"]
    ]
    memory = [
        [
            f"{row['images']:,}",
            f"{row['process_mb']:.0f}",
            f"{row['workers_mb']:.0f}",
        ]
        for row in report["memory"]
    ]
    tables = [
        table(["images", "format", "workers", "batches/s", "images/s"], rates),
        table(["images", "from", "cycles/s", "without data", "at most"], stalls),
        table(["images read", "this process MB", "workers MB"], memory),
    ]
    return f"Batches of {BATCH}. {machine(report)}\n\n" + "\n".join(tables)


def main(argv) -> int:
    """Measures the parts, prints the tables and writes them where asked."""
    parser = argparse.ArgumentParser(prog="benchmark.py streaming", description=__doc__)
    add, parts = parser.add_argument, ["rates", "stalls", "memory"]
    add("--seconds", type=float, default=8, help="length of each rate (default 8)")
    add("--rounds", type=int, default=2, help="runs of each kind (default 2)")
    add("--epoch", type=int, default=10**6, help="images per epoch (default 1000000)")
    add(
        "--parts",
        nargs="+",
        default=parts,
        choices=parts,
        metavar="PART",
        help=f"parts to run, from {', '.join(parts)} (default all)",
    )
    add("--workers", type=int, default=1, help="workers of the epoch (default 1)")
    add("--tiny", action="store_true", help="small and short, to test")
    add("--out", type=Path, metavar="FILE.json", help="also write all results as JSON")
    options = parser.parse_args(argv)
    tiny, sizes = options.tiny, (8,) if options.tiny else (32, 64)
    if tiny:
        options.seconds, options.rounds, options.epoch = 0.1, 1, 2000
    speed.set_up("float32")
    report = provenance("grain", "array_record", "pillow")
    report |= {"rates": [], "stalls": [], "memory": []}
    with tempfile.TemporaryDirectory() as folder:
        folders = {
            (size, format): Path(folder) / f"{format}{size}"
            for size in sizes
            for format in ("png", "ppm")
        }
        for (size, format), out in folders.items():
            write_images(out, size, format, 64 * BATCH)
        if "rates" in options.parts:
            for (size, format), out in folders.items():
                for workers in (0, 1) if tiny else (0, 1, 2):
                    progress(f"rate: {size} {format}, {workers} workers ...")
                    row = {"size": size, "format": format, "workers": workers}
                    row["batches_per_s"] = rate(out, size, workers, options.seconds)
                    report["rates"].append(row)
                    save(report, options.out)
        if "stalls" in options.parts:
            for size in sizes:
                kinds = (None, 1) if tiny else (None, 0, 1)
                out = folders[size, "png"]
                report["stalls"] += stalls(out, size, kinds, options.rounds, tiny)
                save(report, options.out)
        if "memory" in options.parts:
            progress(f"writing {options.epoch:,} images ...")
            out = Path(folder) / "epoch"
            write_images(out, sizes[0], "ppm", options.epoch)
            report["memory"] = memory(out, sizes[0], options.workers, options.epoch)
            save(report, options.out)
    print(markdown(report), end="")
    return 0
