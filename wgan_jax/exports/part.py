"""A network to export, and its weights."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from wgan_jax.nn.network import Network


@dataclasses.dataclass(frozen=True)
class Part:
    """A network to export, and its weights."""

    name: str
    """generator or critic."""
    network: Network
    params: Any
    stats: Any
    input_shape: tuple[int, ...]
    """Shape of one input: (z_dim,), or that of a sample."""
    output_shape: tuple[int, ...]
    """Shape of one output: that of a sample, or () for scores."""
    classes: int
    """Number of labels that the network takes as a second input; 0 for none."""

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        first = "z" if self.name == "generator" else "x"
        return [first, "labels"] if self.classes else [first]

    @property
    def output_name(self) -> str:
        """Name of the output."""
        return "x" if self.name == "generator" else "score"

    def apply(self, x, labels=None):
        """Samples [n, *sample_shape] or scores [n], by running statistics.

        x: float32 [n, *input_shape]. labels: int32 [n] for a network with classes.
        """
        given = {"labels": labels} if self.classes else {}
        return self.network.apply(self.params, self.stats, x, train=False, **given)[0]

    def inputs(self, count) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of the inputs; count: the batch size, maybe symbolic."""
        inputs = [jax.ShapeDtypeStruct((count, *self.input_shape), jnp.float32)]
        if self.classes:
            inputs.append(jax.ShapeDtypeStruct((count,), jnp.int32))
        return inputs

    def arrays(self) -> dict[str, Any]:
        """All parameters and statistics by name: generator.layers.3.kernel."""
        leaves = jax.tree_util.tree_leaves_with_path((self.params, self.stats))
        return {
            ".".join([self.name, *(str(_key(p)) for p in path[1:])]): leaf
            for path, leaf in leaves
        }


def _key(entry):
    for field in ("key", "idx", "name"):
        if hasattr(entry, field):
            return getattr(entry, field)
    return entry
