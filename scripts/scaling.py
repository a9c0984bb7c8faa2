"""What devices tell each other in a cycle, and how much of their speed is left.

Sums and bytes are counted in the program that XLA makes for two devices. How fast many
would be is a prediction, from them and the rates given: no such machine is needed.
"""

import argparse
import math
import os
import re
import sys
from functools import partial
from pathlib import Path

import benchmark
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from wgan_jax import config
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.data.batches import make_get_batch
from wgan_jax.distributed.sharding import make_sharding
from wgan_jax.training.plan import cycle_flops

NAMES = ["fashion_mnist_mlp", "mnist_wgan_gp", "cat_faces_3", "cifar10_resnet"]
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BYTES = {
    "f64": 8,
    "f32": 4,
    "s32": 4,
    "u32": 4,
    "bf16": 2,
    "f16": 2,
    "u8": 1,
    "pred": 1,
}
COLLECTIVE = re.compile(
    r" = (.*?) (?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)
NAME = re.compile(r"\s+(?:ROOT )?%([\w.-]+) = ")
USED = re.compile(r"%([\w.-]+)")
SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
# As many images as a program of that shape needs; how many changes nothing.
IMAGES = 2048


def told(text: str) -> tuple[int, int]:
    """(rounds, bytes) of what devices tell each other in a compiled program's text.

    rounds: the longest chain of operations across devices that wait for each other.
    Those that do not, as the gradients of all layers, can be one; XLA makes them one on
    GPU and TPU.
    """
    size, rounds = 0, {}
    for line in text[text.index("ENTRY") :].splitlines():
        name = NAME.match(line)
        if not name:
            continue
        before = max((rounds.get(n, 0) for n in USED.findall(line)), default=0)
        found = COLLECTIVE.search(line)
        rounds[name[1]] = before + (found is not None)
        if found:
            size += sum(_bytes(*shape) for shape in SHAPE.findall(found[1]))
    return max(rounds.values()), size


def _bytes(kind, axes):
    return math.prod(map(int, filter(None, axes.split(",")))) * BYTES[kind]


def measure(name: str) -> dict:
    """Operations and bytes across devices, and FLOPs, of a configuration's cycle."""
    cfg = config.load(CONFIGS / f"{name}.py")
    sharding, classes = make_sharding(cfg, 2), cfg.model.classes
    draw = make_get_batch(cfg.data, IMAGES, bool(classes))
    spec = make_spec(cfg, draw, sharding)
    born = jax.eval_shape(partial(init_state, spec=spec), jax.random.key(0))
    key = jax.eval_shape(jax.random.key, 0)
    shape, kind = cfg.data.sample_shape, jnp.uint8
    samples = jax.ShapeDtypeStruct((IMAGES, *shape), kind)
    if classes:
        samples = samples, jax.ShapeDtypeStruct((IMAGES,), jnp.int32)
    real = jax.eval_shape(spec.get_batch, samples, key, 0)
    real, labels = real if classes else (real, None)
    critic = jax.jit(partial(steps.critic_step, spec=spec))
    generator = jax.jit(partial(steps.generator_step, spec=spec))
    # Whole on each device, as `Share.copy` places it.
    whole = NamedSharding(sharding.mesh, PartitionSpec())
    born = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole), born
    )
    critic_rounds, critic_bytes = told(
        critic.lower(born, real, key, labels=labels).compile().as_text()
    )
    rounds, size = told(generator.lower(born, key).compile().as_text())
    n_critic = cfg.objective.n_critic
    alone = make_spec(cfg, draw)
    return {
        "config": name,
        "batch": cfg.data.batch_size,
        "rounds": n_critic * critic_rounds + rounds,
        "bytes": n_critic * critic_bytes + size,
        "gradient_bytes": 4 * (n_critic * _count(born.critic) + _count(born.generator)),
        # Where processes hold parts of the images, each batch is gathered from all.
        "image_bytes": n_critic * cfg.data.batch_size * math.prod(shape),
        "flops": cycle_flops(born, samples, alone),
    }


def _count(net):
    return sum(leaf.size for leaf in jax.tree.leaves(net.params))


def efficiency(row, devices, *, size, flops, bandwidth, latency, weak) -> float:
    """The share of `devices` times one device's images/s that remains.

    A ring moves 2 (n - 1) / n times the bytes past each device, and each round costs
    `latency` for each doubling of their number; nothing of it is hidden behind
    computing. size: bytes of sums in a cycle; flops: floating-point operations a second
    of a device; bandwidth: bytes/s; weak: each device has the configuration's batch,
    else a part of it.
    """
    one = row["flops"] / flops
    computing = one if weak else one / devices
    images = row["image_bytes"] * (devices if weak else 1)
    moved = 2 * (devices - 1) / devices * (size + images)
    doublings = (devices - 1).bit_length()
    telling = moved / bandwidth + row["rounds"] * latency * doublings
    return computing / (computing + telling)


def markdown(report) -> str:
    """Two tables: what is told in a cycle, and what that predicts."""
    given, counts = report["given"], report["devices"]
    lines = [
        "| configuration | GFLOP a cycle | rounds | MB of gradients | MB of sums "
        "| MB of images |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        lines.append(
            f"| {row['config']} | {row['flops'] / 1e9:.3g} | {row['rounds']} | "
            f"{row['gradient_bytes'] / 1e6:.3g} | {row['bytes'] / 1e6:.3g} | "
            f"{row['image_bytes'] / 1e6:.3g} |"
        )
    lines += [
        "",
        f"Predicted for {given['flops'] / 1e12:g} TFLOP/s a device in use, "
        f"{given['bandwidth'] / 1e9:g} GB/s, {given['latency'] * 1e6:g} us: the share "
        "of n times one device's speed, with the sums as counted and with one for each "
        "gradient.",
        "",
        f"| configuration | batch | {' | '.join(f'{n} devices' for n in counts)} |",
        "|---|---|" + "---|" * len(counts),
    ]
    for row in report["rows"]:
        for weak, kind in ((True, "of each device"), (False, "of all")):
            cells = []
            for n in counts:
                shares = [
                    f"{efficiency(row, n, size=size, weak=weak, **given):.0%}"
                    for size in (row["bytes"], row["gradient_bytes"])
                ]
                whole = weak or row["batch"] % n == 0
                cells.append(" to ".join(shares) if whole else "-")
            lines.append(
                f"| {row['config']} | {row['batch']} {kind} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def main(argv=None) -> int:
    """Counts, predicts, prints the tables and keeps them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", nargs="+", default=NAMES, metavar="NAME")
    parser.add_argument("--devices", nargs="+", type=int, default=[8, 64, 512])
    parser.add_argument(
        "--tflops", type=float, default=20.0, help="in use, of one device (20)"
    )
    parser.add_argument(
        "--bandwidth", type=float, default=50.0, help="GB/s of one device's link (50)"
    )
    parser.add_argument(
        "--latency", type=float, default=10.0, help="us of one step of a sum (10)"
    )
    parser.add_argument("--out", type=Path, help="write all figures here too, as JSON")
    arguments = parser.parse_args(argv)
    # Read when the first device is asked for: the second one here is virtual.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=2"
    rows = []
    for name in arguments.config:
        benchmark.progress(f"{name} ...")
        rows.append(measure(name))
    report = {
        "rows": rows,
        "devices": arguments.devices,
        "given": {
            "flops": arguments.tflops * 1e12,
            "bandwidth": arguments.bandwidth * 1e9,
            "latency": arguments.latency * 1e-6,
        },
    }
    text = markdown(report)
    print(text)
    benchmark.keep(report, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
