"""Operations in which a training cycle spends its time, for the rows of `speed`.

From the profiler's events: the seconds that all cores spent in matrix products and in
everything else, and the operations that took most. An event belongs to one thread: the
rest of the cores' time was idle or in other threads of the same product. Next to them
are the least times that the arithmetic and the memory traffic of the compiled program
would take at the measured rates of this machine.
"""

import argparse
import collections
import re
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.profiler import ProfileData

from benchmarks import speed
from benchmarks.report import machine, progress, save, table
from provenance import provenance
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.data.batches import make_get_batch

# Names of products on a CPU: XLA's own, and those of the YNNPACK library.
PRODUCTS = ("dot", "ynn_fusion")
# Names of the profiler's frames around the operations.
FRAMES = ("ThunkExecutor", "SlinkyThreadPool", "while", "call", "Thread")


def gigabytes_per_s(megabytes=256, rounds=5):
    """Memory bandwidth in GB/s, measured by adding one to a large array."""
    x = jnp.zeros(megabytes * 250_000, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    x, times = add(x).block_until_ready(), []
    for _ in range(rounds):
        start = time.perf_counter()
        x = add(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * 4 * x.size / min(times) / 1e9


def traffic_gb(config):
    """Gigabytes that a cycle reads and writes, as XLA counts them after fusion."""
    spec = make_spec(config, make_get_batch(config.data, 2048))
    key = jax.random.key(0)
    state = jax.eval_shape(partial(init_state, spec=spec), key)
    shape = (config.data.batch_size, *config.data.sample_shape)
    real = jax.ShapeDtypeStruct(shape, jnp.float32)

    def accessed(step, *arguments):
        program = jax.jit(partial(step, spec=spec)).lower(*arguments).compile()
        return program.cost_analysis()["bytes accessed"]

    critic = accessed(steps.critic_step, state, real, key)
    generator = accessed(steps.generator_step, state, key)
    return (config.objective.n_critic * critic + generator) / 1e9


def operations(run):
    """Seconds of run(1) by operation, summed over threads."""
    seconds = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run(1)
        (trace,) = Path(folder).rglob("*.xplane.pb")
        for plane in ProfileData.from_file(str(trace)).planes:
            for line in plane.lines:
                if "python" in line.name.lower():
                    continue
                for event in line.events:
                    name = re.sub(r"[.\d]+$", "", event.name)
                    if not name.startswith(FRAMES):
                        seconds[name] += event.duration_ns / 1e9
    return seconds


def measure(name, features, tiny):
    """Row of one configuration: seconds of a cycle and of its operations."""
    config = speed.make_config(name, features, 4 if tiny else None)
    shape = (64 if tiny else 2048, *config.data.sample_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    run = speed.our_loop(config, images)
    run(1)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run(1)
        times.append(time.perf_counter() - start)
    seconds = operations(run)
    products = sum(s for op, s in seconds.items() if op.startswith(PRODUCTS))
    return {
        "config": name,
        "features": features,
        "s_per_cycle": min(times),
        "gflop": speed.gflop_per_cycle(config),
        "gb": traffic_gb(config),
        "products_s": products,
        "others_s": sum(seconds.values()) - products,
        "most": dict(seconds.most_common(8)),
    }


def markdown(report) -> str:
    """A table with one line per row, under a sentence on its origin."""
    rate, bandwidth = report["matrix_gflop_per_s"], report["gb_per_s"]
    header = ["config", "features", "s/cycle", "in products", "in all else"]
    header += ["in no event", "GFLOP: least s", "GB: least s", "most of all else"]
    rows = []
    for row in report["rows"]:
        total = report["cores"] * row["s_per_cycle"]
        shares = [row["products_s"] / total, row["others_s"] / total]
        shares.append(max(0.0, 1 - sum(shares)))
        others = (op for op in row["most"] if not op.startswith(PRODUCTS))
        cells = [row["config"], str(row["features"]), f"{row['s_per_cycle']:.3g}"]
        cells += [f"{share:.0%}" for share in shares]
        cells.append(f"{row['gflop']:.3g}: {row['gflop'] / rate:.3g}")
        cells.append(f"{row['gb']:.3g}: {row['gb'] / bandwidth:.3g}")
        cells.append(", ".join(f"{op} {row['most'][op] / total:.0%}" for op in others))
        rows.append(cells)
    return (
        f"Matrix products run at {rate:.0f} GFLOP/s, memory at {bandwidth:.1f} GB/s. "
        f"{machine(report)}\n\n{table(header, rows)}"
    )


def main(argv) -> int:
    """Measures the rows, prints the table and writes it where asked."""
    parser = argparse.ArgumentParser(prog="benchmark.py breakdown", description=__doc__)
    speed.add_config(parser)
    parser.add_argument("--tiny", action="store_true", help="minimal networks, to test")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="also write all results as JSON"
    )
    options = parser.parse_args(argv)
    speed.set_up("float32")
    report = provenance() | {
        "matrix_gflop_per_s": speed.matrix_gflop_per_s(64 if options.tiny else 2048),
        "gb_per_s": gigabytes_per_s(1 if options.tiny else 256),
        "rows": [],
    }
    widths = speed.TINY_FEATURES if options.tiny else speed.FEATURES
    for name in options.config:
        for features in widths[name]:
            progress(f"{name}, features {features}")
            report["rows"].append(measure(name, features, options.tiny))
            save(report, options.out)
    print(markdown(report), end="")
    return 0
