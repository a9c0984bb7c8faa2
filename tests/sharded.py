"""Trains one net on one device and on many; tests run it in separate processes.

Arguments: the name of a net and counts of devices in each process; for one of several
processes also HOST:PORT, how many there are and which this one is. Writes {count:
{array: largest difference to one device, over the largest number}} as JSON, and whether
the program sums over the devices.
"""

import json
import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import heldout_estimate, train_chunk
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data.batches import make_get_batch
from wgan_jax.distributed import launcher
from wgan_jax.distributed.launcher import DistributedOptions
from wgan_jax.distributed.sharding import ONE_DEVICE, make_sharding

COUNT = 47
IMAGES = Data(batch_size=16, image_size=8, channels=1)
CLIP = Objective(constraint="clip", clip=0.05, n_critic=2)
PENALTY = Objective(n_critic=2)
DCGAN = Model(features=2, z_dim=5, generator_widths=(2, 1), critic_widths=(1, 2))
MLP = replace(DCGAN, kind="mlp")
RESNET = replace(
    DCGAN, kind="resnet", generator_widths=(1,), critic_widths=(1, 1), kernel=3
)
NETS = {
    "clip, batch norm": (replace(DCGAN, critic_norm="batch"), CLIP),
    "penalty, instance norm": (replace(DCGAN, critic_norm="instance"), PENALTY),
    "penalty, no norm": (replace(MLP, generator_norm="none"), PENALTY),
    "penalty, classes": (
        replace(RESNET, critic_halvings=1, classes=3),
        replace(PENALTY, generator_batch=32),
    ),
}


def train(config, sharding, samples):
    """(final state, metrics) of 3 cycles, and the program's text."""
    draw = make_get_batch(config.data, COUNT, bool(config.model.classes))
    spec = make_spec(config, draw, sharding)
    state = jax.jit(partial(init_state, spec=spec))(jax.random.key(0))
    # In double precision: Adam turns the rounding of tiny gradients into whole steps.
    state = jax.tree.map(
        lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, state
    )
    arguments = sharding.replicate(state), sharding.put_dataset(samples), np.int32(3)
    chunk = jax.jit(partial(train_chunk, spec=spec)).lower(*arguments).compile()
    state, metrics = chunk(*arguments)
    heldout = np.linspace(-1, 1, 40 * 64, dtype=np.float32).reshape(40, 8, 8, 1)
    estimate = jax.jit(partial(heldout_estimate, spec=spec))
    metrics |= {"heldout": estimate(state, heldout, jax.random.key(1))}
    everything = {"metrics": metrics, "generator": state.generator}
    everything |= {"critic": state.critic}
    leaves = jax.tree_util.tree_flatten_with_path(everything)[0]
    arrays = {jax.tree_util.keystr(path): np.asarray(a) for path, a in leaves}
    return arrays, chunk.as_text()


def main(name, counts, coordinator="", processes=1, process=0):
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)
    options = DistributedOptions()
    if coordinator:
        options = DistributedOptions(coordinator, int(processes), int(process))
    with launcher.joined(options):
        report = compare(name, counts, int(processes), int(process))
    print(json.dumps(report))


def compare(name, counts, processes, process):
    """{devices: differences from one device} of a network, in one of the processes."""
    model, objective = NETS[name]
    optimizer = Optimizer(kind="rmsprop" if objective is CLIP else "adam")
    config = Config(IMAGES, model, objective, optimizer)
    rng = np.random.default_rng(0)
    # A number of rows that no number of devices divides.
    samples = rng.integers(0, 256, (COUNT, 8, 8, 1), np.uint8)
    if model.classes:
        samples = samples, rng.integers(0, model.classes, COUNT).astype(np.int32)
    # By the first process only: the others have but to take part in what is shared.
    alone = train(config, ONE_DEVICE, samples)[0] if not process else {}
    report = {}
    for count in map(int, counts.split(",")):
        sharding = make_sharding(config, count)
        assert sharding.count == count * processes
        arrays, text = train(config, sharding, samples)
        if not alone:
            continue
        assert arrays.keys() == alone.keys()
        # Gradients of biases before a norm are nothing but rounding, of 1e-17.
        worst = {
            name: float(np.abs(a - alone[name]).max())
            / max(float(np.abs(alone[name]).max()), 1e-9)
            for name, a in arrays.items()
        }
        report[sharding.count] = {"worst": worst, "sums": "all-reduce" in text}
    return report


if __name__ == "__main__":
    main(*sys.argv[1:])
