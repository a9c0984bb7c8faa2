"""What a user waits for: the import of wgan_jax.train, and every configuration's
compilation, each in a process of its own and without the cache of compiled programs.
"""

import argparse
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import benchmark
import jax
import jax.numpy as jnp

from wgan_jax import config
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.data.batches import make_get_batch

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
# As many images as a program of that shape needs; how many changes nothing.
IMAGES = 2048


def compile_seconds(path: Path) -> float:
    """Seconds to trace, lower and compile the training program of a configuration."""
    jax.config.update("jax_enable_compilation_cache", False)
    cfg = config.load(path)
    classes = cfg.model.classes
    spec = make_spec(cfg, make_get_batch(cfg.data, IMAGES, bool(classes)))
    born = jax.eval_shape(partial(init_state, spec=spec), jax.random.key(0))
    samples = jax.ShapeDtypeStruct((IMAGES, *cfg.data.sample_shape), jnp.uint8)
    if classes:
        samples = samples, jax.ShapeDtypeStruct((IMAGES,), jnp.int32)
    start = time.perf_counter()
    chunk = jax.jit(partial(steps.train_chunk, spec=spec), donate_argnums=0)
    chunk.lower(born, samples, jnp.int32(1)).compile()
    return time.perf_counter() - start


def import_seconds(rounds: int) -> list[float]:
    """Seconds of whole processes that import wgan_jax.train, less those of empty ones.

    In turns, after one of each that fills the system's cache of files.
    """
    words = {"empty": "pass", "import": "import wgan_jax.train"}
    found = {name: [] for name in words}
    for _ in range(rounds + 1):
        for name, code in words.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            found[name].append(time.perf_counter() - start)
    pairs = zip(found["import"], found["empty"], strict=True)
    return [a - b for a, b in pairs][1:]


def markdown(report) -> str:
    """A table of all configurations under the sentence of what it is."""
    seconds = report["import_s"]
    lines = [
        f"`import wgan_jax.train`: {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f}-{max(seconds):.2f}, {len(seconds)} processes). "
        f"{report['device']}; {report['cpu']}, {report['cores']} cores; jax "
        f"{report['versions']['jax']}; commit {report['commit']}; {report['date']}.\n",
        "| configuration | compilation s |",
        "|---|---|",
    ]
    for name, taken in report["compile_s"].items():
        lines.append(f"| {name} | {taken:.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--config", nargs="+", metavar="NAME", help="configurations (default: all)")
    add("--rounds", type=int, default=5, help="imports that are timed (default 5)")
    add("--out", type=Path, metavar="FILE.json", help="write all figures here too")
    add("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(compile_seconds(options.one))
        return 0
    known = sorted(p.stem for p in CONFIGS.glob("[!_]*.py"))
    names = options.config or known
    for name in names:
        if name not in known:
            parser.error(f"--config {name} is none of {', '.join(known)}")
    report = benchmark.machine(*benchmark.prepare("float32"))
    report |= {"import_s": import_seconds(options.rounds), "compile_s": {}}
    for name in names:
        benchmark.progress(f"{name} ...")
        command = [sys.executable, __file__, "--one", str(CONFIGS / f"{name}.py")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        report["compile_s"][name] = float(done.stdout.split()[-1])
        benchmark.keep(report, options.out)
    print(markdown(report), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
