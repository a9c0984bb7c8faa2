"""Full training cycles of this library against the eager PyTorch loop of tutorials.

A cycle is n_critic critic updates, each on a fresh real batch and fresh noise, then one
generator update. Both sides train the same nets with the same batch size, n_critic,
optimizer, precision and number of threads. PyTorch: an eager loop over a DataLoader.
Ours: `steps.train_chunk`, compiled, with the images on the device. They take turns
(A B A B); the figure is the median over the rounds, with the slowest and the fastest.
"""

import argparse
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from functools import partial
from itertools import chain, pairwise, repeat
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import state, steps
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data import make_draw

try:
    import torch
    from torch import nn
except ImportError:  # main says so in one sentence.
    torch = None

# One row a width. The tiny widths are for the test.
FEATURES = {"fashion_mnist_mlp": (128,), "mnist_dcgan": (64,), "cat_faces": (16, 64)}
TINY_FEATURES = {"fashion_mnist_mlp": (4,), "mnist_dcgan": (4,), "cat_faces": (2, 4)}


def make_config(name, features, batch_size=None, n_critic=None) -> Config:
    """The configuration of a row; None takes the row's own batch size or n_critic."""
    if name == "cat_faces":
        data = Data(batch_size=batch_size or 32, image_size=64, channels=3)
        model = Model(
            features=features,
            generator_widths=(16, 8, 4, 2),
            critic_widths=(1, 2, 4, 8),
            critic_norm="instance",
            init="dcgan",
        )
        # Penalty and Adam(1e-4, (0, 0.9)) are the defaults.
        return Config(data, model, Objective(n_critic=n_critic or 2))
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
        # The run this follows took n_critic 25; the papers' 5 is the usual load.
        objective = Objective(constraint="clip", clip=0.005, n_critic=n_critic or 5)
    return Config(data, model, objective, Optimizer("rmsprop", 5e-5, 5e-5))


# ----------------------------------------------------------------------------- PyTorch


def torch_nets(config):
    """Generator: noise -> images [batch, c, h, w]; critic: those -> scores [batch]."""
    model, (size, _, channels) = config.model, config.data.sample_shape
    pixels = channels * size**2
    up = [model.z_dim, *(m * model.features for m in model.generator_widths)]
    down = [m * model.features for m in model.critic_widths]
    eps, leaky = model.norm_epsilon, partial(nn.LeakyReLU, model.leaky_slope, True)
    if model.kind == "mlp":
        generator, critic = [nn.Linear(up[0], up[1]), leaky()], [nn.Flatten()]
        for a, b in pairwise(up[1:]):
            generator += [nn.Linear(a, b), nn.BatchNorm1d(b, eps), leaky()]
        generator += [nn.Linear(up[-1], pixels), nn.Tanh()]
        generator += [nn.Unflatten(1, (channels, size, size))]
        for a, b in zip([pixels, *down], down):
            critic += [nn.Linear(a, b), leaky()]
        critic.append(nn.Linear(down[-1], 1))
    else:
        generator = [nn.Unflatten(1, (up[0], 1, 1))]
        geometry = (size >> len(up) - 1, 1, 0)
        for a, b in pairwise(up):
            generator.append(nn.ConvTranspose2d(a, b, *geometry, bias=False))
            generator += [nn.BatchNorm2d(b, eps), nn.ReLU(True)]
            geometry = (4, 2, 1)
        generator += [nn.ConvTranspose2d(up[-1], channels, 4, 2, 1), nn.Tanh()]
        critic = [nn.Conv2d(channels, down[0], 4, 2, 1), leaky()]
        for a, b in pairwise(down):
            instance = partial(nn.InstanceNorm2d, affine=True)
            norm = nn.BatchNorm2d if model.critic_norm == "batch" else instance
            critic += [nn.Conv2d(a, b, 4, 2, 1, bias=False), norm(b, eps), leaky()]
        critic.append(nn.Conv2d(down[-1], 1, size >> len(down)))
    return nn.Sequential(*generator), nn.Sequential(*critic, nn.Flatten(0))


def torch_side(config, images, device):
    """Trains as tutorials do on uint8 [n, h, w, c]. Returns run(cycles) -> loss."""
    torch.manual_seed(0)
    objective, batch = config.objective, config.data.batch_size
    generator, critic = (net.to(device) for net in torch_nets(config))
    kind, options = torch.optim.RMSprop, {}
    if config.optimizer.kind == "adam":
        kind = torch.optim.Adam
        options = {"betas": (config.optimizer.beta1, config.optimizer.beta2)}
    generator_optimizer = kind(
        generator.parameters(), config.optimizer.generator_lr, **options
    )
    critic_optimizer = kind(critic.parameters(), config.optimizer.critic_lr, **options)
    samples = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    dataset = torch.utils.data.TensorDataset(samples)
    loader = torch.utils.data.DataLoader(dataset, batch, shuffle=True, drop_last=True)
    batches = chain.from_iterable(repeat(loader))

    def noise():
        return torch.randn(batch, config.model.z_dim, device=device)

    def penalty(real, fake):
        epsilon = torch.rand(batch, 1, 1, 1, device=device)
        x = (epsilon * real + (1 - epsilon) * fake).requires_grad_(True)
        score = critic(x)
        ones = torch.ones_like(score)
        (gradient,) = torch.autograd.grad(score, x, ones, create_graph=True)
        return ((gradient.flatten(1).norm(2, dim=1) - objective.gp_target) ** 2).mean()

    def cycle():
        for _ in range(objective.n_critic):
            (real,) = next(batches)
            real = real.to(device).float() / 127.5 - 1
            fake = generator(noise()).detach()
            loss = critic(fake).mean() - critic(real).mean()
            if objective.constraint == "penalty":
                loss = loss + objective.gp_weight * penalty(real, fake)
            critic_optimizer.zero_grad()
            loss.backward()
            critic_optimizer.step()
            if objective.constraint == "clip":
                for parameter in critic.parameters():
                    parameter.data.clamp_(-objective.clip, objective.clip)
        # As in the tutorials, this also computes gradients of the critic, for nothing.
        generator_optimizer.zero_grad()
        (-critic(generator(noise())).mean()).backward()
        generator_optimizer.step()
        return loss

    def run(cycles):
        for _ in range(cycles):
            loss = cycle()
        if device == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    return run


# -------------------------------------------------------------------------------- ours


def our_side(config, images):
    """The same with this library. Returns (run(cycles) -> loss, seconds to compile)."""
    spec = state.make_spec(config, make_draw(config.data, len(images)))
    now = jax.jit(partial(state.init_state, spec=spec))(jax.random.key(0))
    samples = jax.device_put(images)
    chunk = jax.jit(partial(steps.train_chunk, spec=spec), donate_argnums=0)
    start = time.perf_counter()
    program = chunk.lower(now, samples, 1).compile()
    compile_s = time.perf_counter() - start

    def run(cycles):
        nonlocal now
        now, metrics = jax.block_until_ready(program(now, samples, cycles))
        return float(metrics["critic_loss"])

    return run, compile_s


def gflop_per_cycle(config) -> float:
    """10^9 floating-point operations of one cycle, as XLA counts them in our program.

    Of the step functions, because XLA counts the body of a loop once.
    """
    spec = state.make_spec(config, draw=None)
    key = jax.random.key(0)
    now = jax.eval_shape(partial(state.init_state, spec=spec), key)
    shape = (config.data.batch_size, *config.data.sample_shape)
    real = jax.ShapeDtypeStruct(shape, jnp.float32)

    def flops(step, *arguments):
        lowered = jax.jit(partial(step, spec=spec)).lower(*arguments)
        return lowered.cost_analysis()["flops"]

    critic = flops(steps.critic_step, now, real, key)
    generator = flops(steps.generator_step, now, key)
    return (config.objective.n_critic * critic + generator) / 1e9


# ----------------------------------------------------------------------------- measure


def measure(sides, rounds, seconds):
    """Cycles per second {side: [one a round]} of {side: run}, the sides taking turns.

    seconds: how long a turn is meant to last. Everything before the rounds is warm-up.
    """
    # In one process, as an idle side does not disturb the other: in the 0.3 s after
    # a turn XLA's threads took 0.1 ms of CPU time in all, PyTorch's 10 ms.
    cycles = {}
    for name, run in sides.items():
        run(1)
        cycles[name], elapsed = 1, _timed(run, 1)
        while elapsed < seconds / 4:
            cycles[name] *= 2
            elapsed = _timed(run, cycles[name])
        cycles[name] = math.ceil(seconds / elapsed * cycles[name])
    rates = {name: [] for name in sides}
    for i in range(rounds):
        for name, run in sides.items():
            rates[name].append(cycles[name] / _timed(run, cycles[name]))
        turns = ", ".join(f"{name} {rates[name][-1]:.3g}" for name in sides)
        progress(f"  round {i + 1} of {rounds}, cycles/s: {turns}")
    return rates


def _timed(run, cycles):
    start = time.perf_counter()
    loss = run(cycles)
    if not math.isfinite(loss):
        raise FloatingPointError(f"critic loss {loss}: such a run measures nothing")
    return time.perf_counter() - start


def _busy_elsewhere():
    """Core-seconds that all other processes have taken so far; 0 where unknown.

    On shared cores PyTorch's OpenMP threads spin while they wait for each other: a busy
    neighbour slows them many times more than ours, and the ratio means nothing.
    """
    if not os.path.exists("/proc/stat"):
        return 0.0
    user, nice, system = Path("/proc/stat").read_text().split(None, 4)[1:4]
    ticks = int(user) + int(nice) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()


def benchmark(name, config, device, images, rounds, seconds):
    """The row of one configuration as a dict of what was run and what was measured."""
    batch, n_critic = config.data.batch_size, config.objective.n_critic
    shape = config.data.sample_shape
    progress(f"{name}, features {config.model.features}: compiling ours")
    samples = np.random.default_rng(0).integers(0, 256, (images, *shape), np.uint8)
    ours, compile_s = our_side(config, samples)
    progress(f"  compiled in {compile_s:.1f} s; warming up both")
    sides = {"pytorch": torch_side(config, samples, device), "ours": ours}
    what = (config.model.kind, "x".join(map(str, shape)))
    row = {
        "config": name,
        "work": " ".join((*what, config.objective.constraint, config.optimizer.kind)),
        "features": config.model.features,
        "batch": batch,
        "n_critic": n_critic,
        "gflop_per_cycle": gflop_per_cycle(config),
        "compile_s": compile_s,
    }
    before, start = _busy_elsewhere(), time.perf_counter()
    measured = measure(sides, rounds, seconds)
    row["cores_busy_elsewhere"] = (_busy_elsewhere() - before) / (
        time.perf_counter() - start
    )
    if (busy := row["cores_busy_elsewhere"]) > 0.1:
        progress(f"  DISTURBED: other processes kept {busy:.1f} cores busy")
    for side, rates in measured.items():
        median = statistics.median(rates)
        row[side] = {
            "cycles_per_s": median,
            "min_max": [min(rates), max(rates)],
            "critic_updates_per_s": median * n_critic,
            "images_per_s": median * n_critic * batch,
        }
    row["ratio"] = row["ours"]["cycles_per_s"] / row["pytorch"]["cycles_per_s"]
    return row


# ------------------------------------------------------------------------------ report


def machine(device, threads):
    """What the figures hold for: hardware, versions, commit and date."""
    info = Path("/proc/cpuinfo")
    cpu = re.search(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    commit = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "cpu": cpu[1] if cpu else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "versions": {
            "jax": jax.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "commit": commit + ("+dirty" if _git("status", "--porcelain") else ""),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _git(*command):
    command = ["git", "-C", Path(__file__).resolve().parent, *command]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def markdown(report) -> str:
    """The report as a table, two lines a row, under the sentence of what it is."""
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    head = ["config", "work", "features", "batch", "n_critic", "GFLOP/cycle", "side"]
    head += ["cycles/s: median (min-max)", "critic updates/s", "images/s"]
    head += ["times PyTorch", "compile s", "cores busy elsewhere"]
    lines = [
        f"Training cycles in float32, median of {report['rounds']} turns of about "
        f"{report['seconds']:g} s each. {report['device']}; {report['cpu']}, "
        f"{report['cores']} cores, {report['threads']} threads; {versions}; commit "
        f"{report['commit']}; {report['date']}.\n",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for row in report["rows"]:
        work = [str(row[k]) for k in head[:5]] + [f"{row['gflop_per_cycle']:.3g}"]
        for side, label in (("pytorch", "PyTorch eager"), ("ours", "ours")):
            rates, (low, high) = row[side], row[side]["min_max"]
            cells = [
                f"{rates['cycles_per_s']:.3g} ({low:.3g}-{high:.3g})",
                f"{rates['critic_updates_per_s']:.3g}",
                f"{rates['images_per_s']:.0f}",
                f"{row['ratio']:.2f}" if side == "ours" else "1",
                f"{row['compile_s']:.1f}" if side == "ours" else "",
                f"{row['cores_busy_elsewhere']:.1f}",
            ]
            lines.append(f"| {' | '.join([*work, label, *cells])} |")
    return "\n".join(lines) + "\n"


def progress(line):
    print(line, file=sys.stderr, flush=True)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    add, names = parser.add_argument, list(FEATURES)
    which = f"rows to run, of {', '.join(names)}; default all"
    add("--config", nargs="+", choices=names, default=names, metavar="NAME", help=which)
    add("--features", type=int, help="base width of every row instead of its own")
    add("--n-critic", type=int, help="critic updates a cycle instead of each row's own")
    add("--rounds", type=int, default=5, help="turns of each side (default 5)")
    add("--seconds", type=float, default=3, help="length of a turn (default 3)")
    add("--tiny", action="store_true", help="minimal nets, batch 4, one round: a test")
    add("--out", type=Path, metavar="FILE.json", help="write all figures here too")
    add("--markdown", type=Path, metavar="FILE.md", help="write the table here too")
    options = parser.parse_args(arguments)
    for name in ("features", "n_critic", "rounds", "seconds"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} {value} must be greater than 0")
    return options


def prepare():
    """Gives both sides the same device, threads and precision: (device, threads)."""
    if not torch.cuda.is_available():
        jax.config.update("jax_platforms", "cpu")
    # Both share one GPU, and a compile time from a cache would not be one.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_enable_compilation_cache", False)
    # Left alone, both would round to TensorFloat-32 on a GPU, and in different places.
    jax.config.update("jax_default_matmul_precision", "float32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    # XLA takes every core this process may use; PyTorch would take half of them where
    # cores come in pairs.
    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))
    torch.set_num_threads(len(affinity(0)))
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    return device, torch.get_num_threads()


def main(arguments=None):
    options = parse(arguments)
    if torch is None:
        progress("The benchmark needs PyTorch: pip install torch, or wgan-jax[torch].")
        return 2
    widths, batch, images = FEATURES, None, 2048
    turns = options.rounds, options.seconds
    if options.tiny:
        widths, batch, images, turns = TINY_FEATURES, 4, 64, (1, 0.02)
    device, threads = prepare()
    report = machine(device, threads)
    report |= {"rounds": turns[0], "seconds": turns[1], "rows": []}
    for name in options.config:
        for features in [options.features] if options.features else widths[name]:
            config = make_config(name, features, batch, options.n_critic)
            row = benchmark(name, config, device, images, *turns)
            report["rows"].append(row)
            # After every row, so that a long run cut short leaves what it measured.
            if options.out:
                options.out.write_text(json.dumps(report, indent=2) + "\n")
            if options.markdown:
                options.markdown.write_text(markdown(report))
    print(markdown(report), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
