"""What a run will do, told before it does it."""

from functools import partial

import jax
from rich.console import Console
from rich.table import Table

from wgan_jax.algorithm import steps
from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config, to_json
from wgan_jax.nn import conv
from wgan_jax.nn.network import Network


def cycle_flops(state: TrainState, samples, spec: Spec) -> float:
    """Floating-point operations of one cycle: n_critic critic updates, one generator's.

    As XLA counts them in the program before it optimises it, with convolutions as plain
    products: what the layers' definition needs, whatever the machine then saves.
    """
    key = jax.random.key(0)
    batch = jax.eval_shape(spec.get_batch, samples, key, 0)
    real, labels = batch if spec.classes else (batch, None)
    critic_step = jax.jit(partial(steps.critic_step, spec=spec))
    generator_step = jax.jit(partial(steps.generator_step, spec=spec))
    with conv.use_implementation("products"):
        critic = critic_step.lower(state, real, key, labels=labels)
        generator = generator_step.lower(state, key)
    per_critic, per_generator = (
        step.cost_analysis()["flops"] for step in (critic, generator)
    )
    return spec.objective.n_critic * per_critic + per_generator


def print_plan(config: Config, spec: Spec, environment: dict, flops: float) -> None:
    """Prints the configuration, both networks, the cost of a cycle and the device."""
    console = Console()
    console.print_json(to_json(config))
    console.print(_table("generator", spec.generator))
    console.print(_table("critic", spec.critic))
    print(f"one cycle: {config.objective.n_critic} critic updates and one generator "
          f"update, {flops / 1e9:.3g} GFLOP")  # fmt: skip
    print(f"device: {environment['device']}, {environment['devices']} in all")
    print(f"precision: {environment['precision']}, networks in {environment['dtype']}")


def _table(title, network: Network):
    table = Table(title=title, title_justify="left")
    table.add_column("layer")
    table.add_column("output")
    table.add_column("parameters", justify="right")
    for name, shape, count in network.summary:
        shape = " x ".join(map(str, shape)) or "scalar"
        table.add_row(name, shape, f"{count:,}" if count else "")
    table.add_section()
    table.add_row("total", "", f"{network.parameters:,}")
    return table
