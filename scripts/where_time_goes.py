"""Where the time of a training cycle goes, for the rows of scripts/benchmark.py.

By the profiler's events: the seconds that all cores spent in products of matrices and
in everything else, and the operations that took most. An event is of one thread: what
is left of the cores' time was idle, or other threads of the same product. Beside it the
least time that the arithmetic and the memory traffic of the compiled program would take
at this machine's measured rates.
"""

import argparse
import collections
import re
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
from jax.profiler import ProfileData

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.data.batches import make_get_batch

# What XLA calls its products on a CPU: its own, and those of the YNNPACK library.
PRODUCTS = ("dot", "ynn_fusion")
# The profiler's own names, around the operations.
FRAMES = ("ThunkExecutor", "SlinkyThreadPool", "while", "call", "Thread")


def gigabytes_per_s(megabytes=256, rounds=5):
    """Bytes read and written each second by adding one to a large array."""
    x = jnp.zeros(megabytes * 250_000, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    x, times = add(x).block_until_ready(), []
    for _ in range(rounds):
        start = time.perf_counter()
        x = add(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * 4 * x.size / min(times) / 1e9


def traffic_gb(config):
    """Gigabytes a cycle's operations read and write, as XLA counts them when fused."""
    spec = make_spec(config, make_get_batch(config.data, 2048))
    key = jax.random.key(0)
    now = jax.eval_shape(partial(init_state, spec=spec), key)
    shape = (config.data.batch_size, *config.data.sample_shape)
    real = jax.ShapeDtypeStruct(shape, jnp.float32)

    def moved(step, *arguments):
        program = jax.jit(partial(step, spec=spec)).lower(*arguments).compile()
        return program.cost_analysis()["bytes accessed"]

    critic = moved(steps.critic_step, now, real, key)
    generator = moved(steps.generator_step, now, key)
    return (config.objective.n_critic * critic + generator) / 1e9


def operations(run):
    """Seconds by operation, over all threads, of run(1)."""
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
    """One row: what a cycle took and where."""
    config = benchmark.make_config(name, features, 4 if tiny else None)
    shape = (64 if tiny else 2048, *config.data.sample_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    run = benchmark.our_loop(config, images)
    run(1)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run(1)
        times.append(time.perf_counter() - start)
    found = operations(run)
    products = sum(s for op, s in found.items() if op.startswith(PRODUCTS))
    return {
        "config": name,
        "features": features,
        "s_per_cycle": min(times),
        "gflop": benchmark.gflop_per_cycle(config),
        "gb": traffic_gb(config),
        "products_s": products,
        "others_s": sum(found.values()) - products,
        "most": dict(found.most_common(8)),
    }


def markdown(report) -> str:
    """A line a row, under the sentence of what it is."""
    threads, rate = report["threads"], report["matrix_gflop_per_s"]
    speed = report["gb_per_s"]
    lines = [
        f"{report['cpu']}, {report['cores']} cores; products of matrices "
        f"{rate:.0f} GFLOP/s, memory {speed:.1f} GB/s; jax "
        f"{report['versions']['jax']}; commit {report['commit']}; {report['date']}.\n",
        "| config | features | s/cycle | in products | in all else | in no event "
        "| GFLOP: least s | GB: least s | most of all else |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        total = threads * row["s_per_cycle"]
        shares = [row["products_s"] / total, row["others_s"] / total]
        shares.append(max(0.0, 1 - sum(shares)))
        most = (op for op in row["most"] if not op.startswith(PRODUCTS))
        named = ", ".join(f"{op} {row['most'][op] / total:.0%}" for op in most)
        cells = [
            *(row["config"], str(row["features"]), f"{row['s_per_cycle']:.3g}"),
            *(f"{sharding:.0%}" for sharding in shares),
            f"{row['gflop']:.3g}: {row['gflop'] / rate:.3g}",
            f"{row['gb']:.3g}: {row['gb'] / speed:.3g}",
            named,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*benchmark.FEATURES]
    parser.add_argument("--config", nargs="+", choices=names, default=names)
    parser.add_argument("--tiny", action="store_true", help="minimal nets: a test")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    report = benchmark.machine(*benchmark.prepare("float32"))
    size = 64 if options.tiny else 2048
    report["matrix_gflop_per_s"] = benchmark.matrix_gflop_per_s(size)
    report |= {"gb_per_s": gigabytes_per_s(1 if options.tiny else 256), "rows": []}
    widths = benchmark.TINY_FEATURES if options.tiny else benchmark.FEATURES
    for name in options.config:
        for features in widths[name]:
            benchmark.progress(f"{name}, features {features}")
            report["rows"].append(measure(name, features, options.tiny))
            benchmark.keep(report, options.out)
    print(markdown(report), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
