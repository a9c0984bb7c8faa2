"""What devices tell each other in a cycle, and how much of their speed is left.

Sums and bytes are counted in the program that XLA makes for two devices. How fast many
would be is a prediction, from them and the rates given: no such machine is needed.
"""

import argparse
import os
import re
import sys
from functools import partial
from pathlib import Path

# Read when the first device is asked for: the second one of this computer is virtual.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import benchmark
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from wgan_jax import config, describe, state, steps
from wgan_jax.data import make_draw
from wgan_jax.devices import make_share

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
    r" = (?P<shapes>.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|"
    r"collective-permute)(?:-start)?\("
)
SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
# As many images as a program of that shape needs; how many changes nothing.
IMAGES = 2048


def collectives(text: str) -> list[tuple[str, int]]:
    """(kind, bytes) of each operation across devices in a compiled program's text."""
    found = []
    for match in COLLECTIVE.finditer(text):
        size = 0
        for kind, axes in SHAPE.findall(match["shapes"]):
            elements = 1
            for axis in filter(None, axes.split(",")):
                elements *= int(axis)
            size += elements * BYTES[kind]
        found.append((match["kind"], size))
    return found


def measure(name: str) -> dict:
    """Operations and bytes across devices, and FLOPs, of a configuration's cycle."""
    cfg = config.load(CONFIGS / f"{name}.py")
    share, classes = make_share(cfg, 2), cfg.model.classes
    draw = make_draw(cfg.data, IMAGES, bool(classes))
    spec = state.make_spec(cfg, draw, share)
    born = jax.eval_shape(partial(state.init_state, spec=spec), jax.random.key(0))
    key = jax.eval_shape(jax.random.key, 0)
    shape, kind = cfg.data.sample_shape, jnp.uint8
    samples = jax.ShapeDtypeStruct((IMAGES, *shape), kind)
    if classes:
        samples = samples, jax.ShapeDtypeStruct((IMAGES,), jnp.int32)
    real = jax.eval_shape(spec.draw, samples, key, 0)
    real, labels = real if classes else (real, None)
    critic = jax.jit(partial(steps.critic_step, spec=spec))
    generator = jax.jit(partial(steps.generator_step, spec=spec))
    # Whole on each device, as `Share.copy` places it.
    whole = NamedSharding(share.mesh, PartitionSpec())
    born = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole), born
    )
    per_critic = collectives(
        critic.lower(born, real, key, labels=labels).compile().as_text()
    )
    per_generator = collectives(generator.lower(born, key).compile().as_text())
    n_critic = cfg.objective.n_critic
    together = per_critic * n_critic + per_generator
    alone = state.make_spec(cfg, draw)
    return {
        "config": name,
        "batch": cfg.data.batch_size,
        "parameters": {
            net: sum(leaf.size for leaf in jax.tree.leaves(getattr(born, net).params))
            for net in ("critic", "generator")
        },
        "operations": len(together),
        "bytes": sum(size for _, size in together),
        # Where processes hold parts of the images, each batch is gathered from all.
        "gathered_bytes": n_critic * cfg.data.batch_size * _size(shape),
        "flops": describe.cycle_flops(born, samples, alone),
    }


def _size(shape):
    size = 1
    for axis in shape:
        size *= axis
    return size


def efficiency(row, devices, *, flops, bandwidth, latency, weak) -> float:
    """The share of `devices` times one device's images/s that remains.

    A ring moves 2 (n - 1) / n times the bytes past each device, and each operation
    costs `latency` for each doubling of their number; nothing of it is hidden behind
    computing. flops: floating-point operations a second of a device; bandwidth:
    bytes/s; weak: each device has the configuration's batch, else a part of it.
    """
    one = row["flops"] / flops
    computing = one if weak else one / devices
    gathered = row["gathered_bytes"] * (devices if weak else 1)
    moved = 2 * (devices - 1) / devices * (row["bytes"] + gathered)
    doublings = (devices - 1).bit_length()
    telling = moved / bandwidth + row["operations"] * latency * doublings
    return computing / (computing + telling)


def markdown(report) -> str:
    """Two tables: what is told in a cycle, and what that predicts."""
    given = report["given"]
    lines = [
        "| configuration | GFLOP a cycle | operations | MB of sums | MB of images |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        lines.append(
            f"| {row['config']} | {row['flops'] / 1e9:.3g} | {row['operations']} | "
            f"{row['bytes'] / 1e6:.3g} | {row['gathered_bytes'] / 1e6:.3g} |"
        )
    counts = report["devices"]
    lines += [
        "",
        f"Predicted for {given['flops'] / 1e12:g} TFLOP/s a device in use, "
        f"{given['bandwidth'] / 1e9:g} GB/s, {given['latency'] * 1e6:g} us: the share "
        "of n times one device's speed.",
        "",
        "| configuration | batch | "
        + " | ".join(f"{n} devices" for n in counts)
        + " |",
        "|---|---|" + "---|" * len(counts),
    ]
    for row in report["rows"]:
        for kind in ("of each device", "of all"):
            shares = (
                f"{efficiency(row, n, weak=kind == 'of each device', **given):.0%}"
                if kind == "of each device" or row["batch"] % n == 0
                else "-"
                for n in counts
            )
            lines.append(
                f"| {row['config']} | {row['batch']} {kind} | {' | '.join(shares)} |"
            )
    return "\n".join(lines)


def main(argv=None) -> int:
    """Counts, predicts, prints the tables and keeps them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", nargs="+", default=NAMES, help="names in configs/")
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
    parser.add_argument("--json", default="", help="file for the figures")
    arguments = parser.parse_args(argv)
    rows = []
    for name in arguments.configs:
        print(f"{name} ...", file=sys.stderr, flush=True)
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
    if arguments.json:
        benchmark.keep(report, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
