"""Plan of a run: its configuration, networks and cost, without data or compilation."""

import contextlib
import math
from functools import partial

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.config import Config, to_json
from wgan_jax.nn import conv
from wgan_jax.nn.models import build
from wgan_jax.nn.network import Network


def cycle_flops(config: Config) -> float:
    """Floating-point operations of n_critic critic updates and one generator update.

    XLA's count for the program before optimisation, with convolutions as plain
    products: the cost of the layers' definition, independent of the machine. Not a
    number where JAX may not use the CPU (JAX_PLATFORMS), since XLA counts none for a
    GPU.
    """
    spec = make_spec(config, get_batch=None)
    key = jax.random.key(0)
    state = jax.eval_shape(partial(init_state, spec=spec), key)
    shape = (spec.batch_size, *config.data.sample_shape)
    real, labels = jax.ShapeDtypeStruct(shape, jnp.float32), None
    if spec.classes:
        labels = jax.ShapeDtypeStruct(shape[:1], jnp.int32)
    critic_step = jax.jit(partial(steps.critic_step, spec=spec))
    generator_step = jax.jit(partial(steps.generator_step, spec=spec))
    with conv.use_implementation("products"), _on_cpu():
        critic = critic_step.lower(state, real, key, labels=labels)
        generator = generator_step.lower(state, key)
        per_critic, per_generator = (
            (step.cost_analysis() or {}).get("flops", math.nan)
            for step in (critic, generator)
        )
    return spec.objective.n_critic * per_critic + per_generator


def _on_cpu():
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:
        return contextlib.nullcontext()


def print_plan(config: Config, environment: dict) -> None:
    """Prints the configuration, both networks, the cost of a cycle and the device.

    environment: see `runs.directory.environment`.
    """
    console = Console()
    generator, critic = build(config.model, config.data.sample_shape)
    console.print_json(to_json(config))
    console.print(_table("generator", generator))
    console.print(_table("critic", critic))
    flops = cycle_flops(config)
    cost = "" if math.isnan(flops) else f", {flops / 1e9:.3g} GFLOP"
    updates = f"{config.objective.n_critic} critic updates and one generator update"
    print(f"one cycle: {updates}{cost}")
    print(f"device: {environment['device']}, {environment['devices']} in total")
    print(f"precision: {environment['precision']}, networks in {environment['dtype']}")


def _table(title, network: Network):
    table = Table(title=title, title_justify="left")
    table.add_column("layer")
    table.add_column("output")
    table.add_column("parameters", justify="right")
    for layer, shape, count in network.summary:
        shape = " x ".join(map(str, shape)) or "scalar"
        table.add_row(str(layer), shape, f"{count:,}" if count else "")
    table.add_section()
    table.add_row("total", "", f"{network.parameters:,}")
    return table
