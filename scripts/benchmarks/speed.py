"""Full training cycles of this library against PyTorch.

A cycle is n_critic critic updates, each on a fresh real batch and fresh noise, then one
generator update. All sides train the same networks with the same batch size, n_critic,
optimizer, precision and number of threads. eager: PyTorch as tutorials write it, with a
DataLoader. tuned: PyTorch with the images on the device and without unused gradients.
compiled: the same with torch.compile. ours: `steps.train_chunk`. The sides run in turns
(A B C D A B C D). A result is the median over the rounds, with minimum and maximum.
"""

import argparse
import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import machine, progress, save, table
from provenance import provenance
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data.batches import make_get_batch
from wgan_jax.data.stream import usable_cores
from wgan_jax.errors import UserError
from wgan_jax.files import write_text
from wgan_jax.training.plan import cycle_flops

try:
    import torch

    from benchmarks import torch_loops
except ImportError:  # main reports it in one sentence.
    torch = None

# One row per width. A GPU runs the last width only. The tiny widths are for the test.
FEATURES = {
    "fashion_mnist_mlp": (128,),
    "mnist_dcgan": (64,),
    "cat_faces": (16, 64),
    "cifar10_resnet": (16, 64),
}
GPU_FEATURES = {name: widths[-1:] for name, widths in FEATURES.items()}
GPU_FEATURES["cifar10_resnet"] = (128,)
TINY_FEATURES = {
    "fashion_mnist_mlp": (4,),
    "mnist_dcgan": (4,),
    "cat_faces": (2, 4),
    "cifar10_resnet": (4,),
}
SIDES = {
    "eager": "PyTorch eager",
    "tuned": "PyTorch tuned",
    "compiled": "PyTorch compiled",
    "ours": "ours",
}


def make_config(name, features, batch_size=None, n_critic=None) -> Config:
    """The configuration of a row; None stands for the row's batch size or n_critic."""
    if name == "cat_faces":
        data = Data(batch_size=batch_size or 32, image_size=64, channels=3)
        model = Model(
            features=features,
            generator_widths=(16, 8, 4, 2),
            critic_widths=(1, 2, 4, 8),
            critic_norm="instance",
            init="dcgan",
        )
        # The defaults are the penalty and Adam(1e-4, (0, 0.9)).
        objective = Objective(n_critic=n_critic or 2)
        return Config(data=data, model=model, objective=objective)
    if name == "cifar10_resnet":
        data = Data(batch_size=batch_size or 64, image_size=32, channels=3)
        model = Model(
            kind="resnet",
            z_dim=128,
            features=features,
            generator_widths=(1, 1, 1),
            critic_widths=(1, 1, 1, 1),
            kernel=3,
            critic_activation="relu",
            bias="all",
            init="tflib",
        )
        # As in the paper, except for BatchNorm over half batches (from its two GPUs).
        objective = Objective(
            n_critic=n_critic or 5, generator_batch=2 * data.batch_size
        )
        optimizer = Optimizer(kind="adam", critic_lr=2e-4, generator_lr=2e-4)
        return Config(data=data, model=model, objective=objective, optimizer=optimizer)
    data = Data(batch_size=batch_size or 64, image_size=32, channels=1)
    if name == "mnist_dcgan":
        model = Model(features=features, critic_norm="batch", init="dcgan")
        objective = Objective(constraint="clip", clip=0.01, n_critic=n_critic or 5)
    else:
        model = Model(
            kind="mlp",
            features=features,
            generator_widths=(1, 2, 4, 8),
            critic_widths=(4, 2),
            norm_epsilon=0.8,
            generator_activation="leaky_relu",
            bias="all",
        )
        # The configuration has n_critic 25; the papers' 5 is the usual load.
        objective = Objective(constraint="clip", clip=0.005, n_critic=n_critic or 5)
    optimizer = Optimizer(kind="rmsprop", critic_lr=5e-5, generator_lr=5e-5)
    return Config(data=data, model=model, objective=objective, optimizer=optimizer)


# ------------------------------------------------------------------------------ sides


def our_loop(config, images):
    """Training with this library on uint8 [n, h, w, c]. Returns run(cycles) -> loss."""
    spec = make_spec(config, make_get_batch(config.data, len(images)))
    state = jax.jit(partial(init_state, spec=spec))(jax.random.key(0))
    samples = jax.device_put(images)
    chunk = jax.jit(partial(steps.train_chunk, spec=spec), donate_argnums=0)

    def run(cycles):
        nonlocal state
        state, metrics = jax.block_until_ready(chunk(state, samples, cycles))
        return float(metrics["critic_loss"])

    return run


def serve(pipe, side, config, images, precision):
    """A side in a separate process, with its own memory and threads.

    Answers "start" with the seconds to the end of the first cycle, compilation
    included, a number of cycles with the seconds they took, and "peak" with megabytes.
    """
    device = set_up(precision)
    samples = np.random.default_rng(0).integers(
        0, 256, (images, *config.data.sample_shape), np.uint8
    )
    before = _resident_mb()
    run = None
    while (request := pipe.recv()) != "end":
        start = time.perf_counter()
        if request == "peak":
            pipe.send(_peak_mb(side, device, before))
            continue
        if run is None:
            if side == "ours":
                run = our_loop(config, samples)
            elif side == "eager":
                run = torch_loops.eager_loop(config, samples, device)
            else:
                compiled = side == "compiled"
                run = torch_loops.tuned_loop(config, samples, device, compiled)
            request = 1
        loss = run(request)
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise FloatingPointError(f"critic loss {loss} of side {side} is not finite")
        pipe.send(seconds)


def _resident_mb():
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return 0.0
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _peak_mb(side, device, before):
    """Peak memory of training in MB: of the GPU, or of this process."""
    if device == "cpu":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e6 - before
    if side == "ours":
        return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"] / 1e6
    return torch.cuda.max_memory_allocated() / 1e6


class Side:
    """The other end of `serve`."""

    def __init__(self, name, config, images, precision):
        context = multiprocessing.get_context("spawn")
        self.pipe, remote = context.Pipe()
        arguments = (remote, name, config, images, precision)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        remote.close()

    def ask(self, request):
        """The side's answer. Raises EOFError if its process has died."""
        self.pipe.send(request)
        return self.pipe.recv()

    def end(self):
        """Ends the process."""
        if self.process.is_alive():
            self.pipe.send("end")
        self.process.join()


def gflop_per_cycle(config) -> float:
    """10^9 floating-point operations of one cycle, by the definition of its layers."""
    return cycle_flops(config) / 1e9


def matrix_gflop_per_s(size=2048, rounds=10) -> float:
    """Rate of a large matrix product, by the library that is faster at it."""

    def best(product, a):
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            product(a)
            times.append(time.perf_counter() - start)
        return 2 * size**3 / min(times[1:]) / 1e9

    def torch_product(a):
        a = a @ a
        if a.is_cuda:
            torch.cuda.synchronize()

    product = jax.jit(lambda a: a @ a)
    rate = best(lambda a: product(a).block_until_ready(), jnp.ones((size, size)))
    if torch is None:
        return rate
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    return max(rate, best(torch_product, torch.ones(size, size, device=device)))


# ---------------------------------------------------------------------------- measure


def measure(sides, rounds, seconds):
    """Cycles per second {side: [one per round]} of {name: Side}, which run in turns.

    seconds: intended length of a turn. Everything before the rounds is warm-up.
    """
    cycles = {}
    for name, side in sides.items():
        cycles[name], elapsed = 1, side.ask(1)
        while elapsed < seconds / 4:
            cycles[name] *= 2
            elapsed = side.ask(cycles[name])
        cycles[name] = math.ceil(seconds / elapsed * cycles[name])
    rates = {name: [] for name in sides}
    for i in range(rounds):
        for name, side in sides.items():
            rates[name].append(cycles[name] / side.ask(cycles[name]))
        turns = ", ".join(f"{name} {rates[name][-1]:.3g}" for name in sides)
        progress(f"  round {i + 1} of {rounds}, cycles/s: {turns}")
    return rates


def _busy_seconds():
    """Core-seconds used by all processes so far; 0 where unknown."""
    if not os.path.exists("/proc/stat"):
        return 0.0
    user, nice, system = Path("/proc/stat").read_text().split(None, 4)[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def _own_seconds(sides):
    """Core-seconds used by this process and its sides so far."""
    total = time.process_time()
    for side in sides.values():
        stat = Path(f"/proc/{side.process.pid}/stat")
        if stat.exists():
            user, system = stat.read_text().rpartition(")")[2].split()[11:13]
            total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def measure_row(name, config, side_names, images, precision, rounds, seconds):
    """The row of one configuration: a dict of its work and its measurements."""
    batch, n_critic = config.data.batch_size, config.objective.n_critic
    shape = "x".join(map(str, config.data.sample_shape))
    work = config.model.kind, shape, config.objective.constraint, config.optimizer.kind
    row = {
        "config": name,
        "work": " ".join(work),
        "features": config.model.features,
        "batch": batch,
        "n_critic": n_critic,
        "gflop_per_cycle": gflop_per_cycle(config),
    }
    sides, starts = {}, {}
    try:
        for side in side_names:
            progress(f"{name}, features {config.model.features}: starting {side}")
            sides[side] = Side(side, config, images, precision)
            starts[side] = sides[side].ask("start")
            progress(f"  first cycle after {starts[side]:.1f} s")
        busy, own, start = _busy_seconds(), _own_seconds(sides), time.perf_counter()
        measured = measure(sides, rounds, seconds)
        # PyTorch's OpenMP threads spin while they wait for each other: a busy neighbour
        # slows them many times more than ours, and the ratio is meaningless.
        elsewhere = _busy_seconds() - busy - (_own_seconds(sides) - own)
        elsewhere /= time.perf_counter() - start
        peaks = {side: sides[side].ask("peak") for side in sides}
    finally:
        for side in sides.values():
            side.end()
    row["cores_busy_elsewhere"] = elsewhere
    if elsewhere > 0.1:
        progress(f"  disturbed: other processes used {elsewhere:.1f} cores")
    for side, rates in measured.items():
        median = statistics.median(rates)
        row[side] = {
            "cycles_per_s": median,
            "min_max": [min(rates), max(rates)],
            "critic_updates_per_s": median * n_critic,
            "images_per_s": median * n_critic * batch,
            "gflop_per_s": median * row["gflop_per_cycle"],
            "start_s": starts[side],
            "peak_mb": peaks[side],
        }
    return row


def times_as_fast(row, other):
    """Our speed over that of the side `other`, or of the best of several."""
    rates = [row[side]["cycles_per_s"] for side in other if side in row]
    return row["ours"]["cycles_per_s"] / max(rates) if rates and "ours" in row else None


# ------------------------------------------------------------------------------ report


def markdown(report) -> str:
    """The report as a table with one line per side, under a sentence on its origin."""
    header = ["config", "work", "features", "batch", "n_critic", "GFLOP/cycle", "side"]
    header += ["cycles/s: median (min-max)", "images/s", "ours / this"]
    header += ["share of matrix rate", "first cycle s", "peak MB"]
    header += ["cores busy elsewhere"]
    rows = []
    for row in report["rows"]:
        work = [str(row[k]) for k in header[:5]] + [f"{row['gflop_per_cycle']:.3g}"]
        for side in filter(row.__contains__, SIDES):
            measured, (low, high) = row[side], row[side]["min_max"]
            ratio = times_as_fast(row, [side])
            cells = [
                f"{measured['cycles_per_s']:.3g} ({low:.3g}-{high:.3g})",
                f"{measured['images_per_s']:.0f}",
                f"{ratio:.2f}" if ratio and side != "ours" else "",
                f"{measured['gflop_per_s'] / report['matrix_gflop_per_s']:.2f}",
                f"{measured['start_s']:.1f}",
                f"{measured['peak_mb']:.0f}",
                f"{row['cores_busy_elsewhere']:.1f}",
            ]
            rows.append([*work, SIDES[side], *cells])
    return (
        f"Training cycles in {report['precision']}, median of {report['rounds']} turns "
        f"of about {report['seconds']:g} s each. A matrix product "
        f"runs at {report['matrix_gflop_per_s']:.0f} GFLOP/s. "
        f"{machine(report)}\n\n{table(header, rows)}"
    )


def add_config(parser) -> None:
    """Adds the option --config, which selects rows."""
    names = list(FEATURES)
    parser.add_argument(
        "--config",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"rows to run, from {', '.join(names)} (default all)",
    )


def parse(argv) -> argparse.Namespace:
    """Options of the speed benchmark. Exits 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="benchmark.py speed",
        description=__doc__,
        epilog="Other benchmarks: benchmark.py breakdown, streaming or scaling.",
    )
    add = parser.add_argument
    add_config(parser)
    add(
        "--side",
        nargs="+",
        choices=SIDES,
        default=[*SIDES],
        metavar="NAME",
        help=f"sides to run, from {', '.join(SIDES)} (default all)",
    )
    add("--features", type=int, help="base width (default: the widths of each row)")
    add("--batch-size", type=int, help="batch size (default: that of each row)")
    add("--n-critic", type=int, help="critic updates per cycle (default: as the row)")
    add("--images", type=int, default=2048, help="training images (default 2048)")
    add("--rounds", type=int, default=5, help="turns of each side (default 5)")
    add("--seconds", type=float, default=3, help="length of a turn (default 3)")
    add(
        "--precision",
        choices=("float32", "tensorfloat32"),
        default="float32",
        help="precision of matrix products on a GPU (default float32)",
    )
    add("--tiny", action="store_true", help="minimal networks and one round, to test")
    add("--out", type=Path, metavar="FILE.json", help="also write all results as JSON")
    add("--markdown", type=Path, metavar="FILE.md", help="also write the table")
    options = parser.parse_args(argv)
    counts = ("features", "batch_size", "n_critic", "images", "rounds", "seconds")
    for name in counts:
        value = getattr(options, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} {value} must be greater than 0")
    return options


def set_up(precision) -> str:
    """Gives all sides the same device, threads and precision. Returns cpu or cuda."""
    if torch is not None and not torch.cuda.is_available():
        jax.config.update("jax_platforms", "cpu")
    # All sides share one GPU. Compilation times must not come from a cache.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    jax.config.update("jax_enable_compilation_cache", False)
    # By default both would round to TensorFloat-32 on a GPU, in different places.
    jax.config.update("jax_default_matmul_precision", precision)
    if torch is not None:
        rough = precision == "tensorfloat32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rough
        # As many as XLA uses. PyTorch would use half of the cores where they come in
        # pairs.
        torch.set_num_threads(usable_cores())
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def main(argv) -> int:
    """Measures the rows, prints the table and writes it where asked."""
    options = parse(argv)
    if torch is None:
        raise UserError(
            "this benchmark needs PyTorch: pip install torch, or wgan-jax[torch]"
        )
    device = set_up(options.precision)
    widths = GPU_FEATURES if device == "cuda" else FEATURES
    batch, images, size = options.batch_size, options.images, 2048
    turns = options.rounds, options.seconds
    if options.tiny:
        widths, batch, images, size = TINY_FEATURES, 4, 64, 64
        turns = (1, 0.02)
    report = provenance("torch") | {
        "precision": options.precision,
        "matrix_gflop_per_s": matrix_gflop_per_s(size),
        "rounds": turns[0],
        "seconds": turns[1],
        "rows": [],
    }
    for name in options.config:
        for features in [options.features] if options.features else widths[name]:
            config = make_config(name, features, batch, options.n_critic)
            row = measure_row(
                name, config, options.side, images, options.precision, *turns
            )
            report["rows"].append(row)
            # After every row, so that an interrupted run keeps its measurements.
            save(report, options.out)
            if options.markdown:
                write_text(options.markdown, markdown(report))
    print(markdown(report), end="")
    return 0
