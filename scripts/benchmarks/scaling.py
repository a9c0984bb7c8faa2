"""Communication of devices in a cycle, and the share of their speed that remains.

Rounds and bytes are counted in the program that XLA compiles for two devices. The speed
of many devices is predicted from them and from the given rates: no such machine is
needed.
"""

import argparse
import math
import os
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.report import progress, save, table
from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.config import load
from wgan_jax.data.batches import make_get_batch
from wgan_jax.distributed.sharding import make_sharding
from wgan_jax.training.plan import cycle_flops

NAMES = ["fashion_mnist_mlp", "mnist_wgan_gp", "cat_faces_3", "cifar10_resnet"]
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
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
# Number of images in the data set, which does not change the program.
IMAGES = 2048


def communication(text: str) -> tuple[int, int]:
    """(rounds, bytes) of the collective operations in a compiled program's text.

    rounds: length of the longest chain of collectives that depend on each other.
    Independent ones, as the gradients of all layers, can be merged into one; XLA does
    so on GPU and TPU.
    """
    size, rounds = 0, {}
    for line in text[text.index("ENTRY") :].splitlines():
        name = NAME.match(line)
        if not name:
            continue
        before = max((rounds.get(n, 0) for n in USED.findall(line)), default=0)
        collective = COLLECTIVE.search(line)
        rounds[name[1]] = before + (collective is not None)
        if collective:
            size += sum(_bytes(*shape) for shape in SHAPE.findall(collective[1]))
    return max(rounds.values()), size


def _bytes(kind, axes):
    return math.prod(map(int, filter(None, axes.split(",")))) * BYTES[kind]


def measure(name: str) -> dict:
    """Rounds, bytes and FLOPs of a configuration's cycle."""
    config = load(CONFIGS / f"{name}.py")
    sharding, classes = make_sharding(config, 2), config.model.classes
    get_batch = make_get_batch(config.data, IMAGES, bool(classes))
    spec = make_spec(config, get_batch, sharding)
    state = jax.eval_shape(partial(init_state, spec=spec), jax.random.key(0))
    key = jax.eval_shape(jax.random.key, 0)
    shape = config.data.sample_shape
    samples = jax.ShapeDtypeStruct((IMAGES, *shape), jnp.uint8)
    if classes:
        samples = samples, jax.ShapeDtypeStruct((IMAGES,), jnp.int32)
    batch = jax.eval_shape(spec.get_batch, samples, key, 0)
    real, labels = batch if classes else (batch, None)
    critic = jax.jit(partial(steps.critic_step, spec=spec))
    generator = jax.jit(partial(steps.generator_step, spec=spec))
    # Whole on each device, as `BatchSharding.replicate` places it.
    whole = NamedSharding(sharding.mesh, PartitionSpec())
    state = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole), state
    )
    critic_rounds, critic_bytes = communication(
        critic.lower(state, real, key, labels=labels).compile().as_text()
    )
    generator_rounds, generator_bytes = communication(
        generator.lower(state, key).compile().as_text()
    )
    n_critic = config.objective.n_critic
    parameters = n_critic * _count(state.critic) + _count(state.generator)
    return {
        "config": name,
        "batch": config.data.batch_size,
        "rounds": n_critic * critic_rounds + generator_rounds,
        "bytes": n_critic * critic_bytes + generator_bytes,
        "gradient_bytes": 4 * parameters,
        # Where processes hold parts of the images, each batch is gathered from all.
        "image_bytes": n_critic * config.data.batch_size * math.prod(shape),
        "flops": cycle_flops(config),
    }


def _count(net):
    return sum(leaf.size for leaf in jax.tree.leaves(net.params))


def efficiency(row, devices, *, size, flops, bandwidth, latency, weak) -> float:
    """Images/s of `devices` devices over `devices` times the images/s of one.

    A ring moves 2 (n - 1) / n times the bytes past each device, and each round costs
    `latency` for each doubling of n. No communication is hidden behind computation.
    size: bytes of sums in a cycle; flops: floating-point operations per second of a
    device; bandwidth: bytes/s; latency: seconds; weak: each device has the batch of the
    configuration, otherwise an equal part of it.
    """
    one = row["flops"] / flops
    compute = one if weak else one / devices
    images = row["image_bytes"] * (devices if weak else 1)
    moved = 2 * (devices - 1) / devices * (size + images)
    doublings = (devices - 1).bit_length()
    communicate = moved / bandwidth + row["rounds"] * latency * doublings
    return compute / (compute + communicate)


def markdown(report) -> str:
    """Two tables: the communication of a cycle, and the predicted efficiency."""
    given, counts = report["given"], report["devices"]
    costs = [
        [
            row["config"],
            f"{row['flops'] / 1e9:.3g}",
            str(row["rounds"]),
            f"{row['gradient_bytes'] / 1e6:.3g}",
            f"{row['bytes'] / 1e6:.3g}",
            f"{row['image_bytes'] / 1e6:.3g}",
        ]
        for row in report["rows"]
    ]
    predictions = []
    for row in report["rows"]:
        for weak, kind in ((True, "per device"), (False, "in all")):
            cells = [row["config"], f"{row['batch']} {kind}"]
            for n in counts:
                shares = [
                    f"{efficiency(row, n, size=size, weak=weak, **given):.0%}"
                    for size in (row["bytes"], row["gradient_bytes"])
                ]
                divides = weak or row["batch"] % n == 0
                cells.append(" to ".join(shares) if divides else "-")
            predictions.append(cells)
    cost_header = ["configuration", "GFLOP per cycle", "rounds", "MB of gradients"]
    cost_header += ["MB of sums", "MB of images"]
    header = ["configuration", "batch", *(f"{n} devices" for n in counts)]
    return (
        f"{table(cost_header, costs)}\n"
        f"Predicted for {given['flops'] / 1e12:g} TFLOP/s per device, "
        f"{given['bandwidth'] / 1e9:g} GB/s, {given['latency'] * 1e6:g} us: the share "
        "of n times one device's speed, with the sums as counted and with one sum per "
        f"gradient.\n\n{table(header, predictions)}"
    )


def main(argv) -> int:
    """Counts, predicts, prints the tables and writes them where asked."""
    parser = argparse.ArgumentParser(prog="benchmark.py scaling", description=__doc__)
    add = parser.add_argument
    add(
        "--config",
        nargs="+",
        default=NAMES,
        metavar="NAME",
        help=f"configurations (default {' '.join(NAMES)})",
    )
    add(
        "--devices",
        nargs="+",
        type=int,
        default=[8, 64, 512],
        metavar="N",
        help="numbers of devices (default 8 64 512)",
    )
    add(
        "--tflops",
        type=float,
        default=20.0,
        help="achieved TFLOP/s of one device (default 20)",
    )
    add(
        "--bandwidth",
        type=float,
        default=50.0,
        help="GB/s of one device's link (default 50)",
    )
    add(
        "--latency",
        type=float,
        default=10.0,
        help="microseconds of one step of a sum (default 10)",
    )
    add("--out", type=Path, metavar="FILE.json", help="also write all results as JSON")
    options = parser.parse_args(argv)
    # JAX reads the flags with the first device. The second device here is virtual.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=2"
    report = {
        "rows": [],
        "devices": options.devices,
        "given": {
            "flops": options.tflops * 1e12,
            "bandwidth": options.bandwidth * 1e9,
            "latency": options.latency * 1e-6,
        },
    }
    for name in options.config:
        progress(f"{name} ...")
        report["rows"].append(measure(name))
    print(markdown(report))
    save(report, options.out)
    return 0
