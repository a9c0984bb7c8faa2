"""A network: pure functions and a summary of a stack of layers."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from wgan_jax.errors import UserError
from wgan_jax.nn.layers import Heads
from wgan_jax.references import describe


class LayerSummary(NamedTuple):
    """A layer of a network."""

    layer: nnx.Module | str
    """Without arrays; its str is its name."""
    shape: tuple[int, ...]
    """Shape of its output, without the batch axis."""
    parameters: int


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as pure functions of its parameters and statistics.

    init(key) -> (params, stats).
    apply(params, stats, x, train) -> (y, stats): with train, norms use the statistics
    of this batch and update the running ones; without, they use the running ones. The
    networks of `build_network` also accept offsets, {layer: array}, which are added to
    the outputs of these layers, so that the gradient with respect to an offset is that
    of the output; and labels, int32 [batch], on which a generator may be conditioned.
    """

    init: Callable
    apply: Callable
    summary: list[LayerSummary]
    classify: Callable | None = None
    """classify(params, stats, x, train) -> ((scores, logits [n, classes]), stats), of a
    critic that also predicts classes."""
    hidden: Callable | None = None
    """hidden(params, stats, x) -> [n, k]: the input of the last layer with parameters,
    by running statistics."""

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(row.parameters for row in self.summary)


def build_network(make_layers, input_shape: tuple[int, ...], dtype: str) -> Network:
    """The network of the layers make_layers(rngs), for inputs [batch, *input_shape].

    Parameters are float32, and cast to `dtype` for the computation. Where the last
    layer is `Heads`, `apply` gives the scores alone.
    """

    def make(rngs):
        return _Stack(make_layers(rngs))

    rows = []

    def trace():
        x, labels = jnp.zeros((2, *input_shape)), jnp.zeros(2, jnp.int32)
        for layer in make(nnx.Rngs(0)).layers:
            x = layer(x, True, labels)
            counts = map(jnp.size, jax.tree.leaves(nnx.state(layer, nnx.Param)))
            rows.append((x.shape[1:], sum(counts)))

    jax.eval_shape(trace)
    abstract = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    graph = nnx.graphdef(abstract)
    summary = [LayerSummary(layer, *row) for layer, row in zip(abstract.layers, rows)]

    def init(key):
        _, params, stats = nnx.split(make(nnx.Rngs(key)), nnx.Param, nnx.BatchStat)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    def merge(params, stats, x):
        if dtype != "float32":
            params, x = jax.tree.map(lambda a: a.astype(dtype), (params, x))
        return nnx.merge(graph, params, stats, copy=True), x

    def outputs(params, stats, x, train, offsets=None, labels=None):
        net, x = merge(params, stats, x)
        y = net(x, train, offsets or {}, labels)
        if dtype != "float32":
            y = y.astype(jnp.float32)
        return y, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))

    def apply_heads(*arguments, **options):
        y, stats = outputs(*arguments, **options)
        return y[:, 0], stats

    def classify(params, stats, x, train):
        y, stats = outputs(params, stats, x, train)
        return (y[:, 0], y[:, 1:]), stats

    last = max((i for i, row in enumerate(summary) if row.parameters), default=0)

    def hidden(params, stats, x):
        net, x = merge(params, stats, x)
        for layer in net.layers[:last]:
            x = layer(x, False, None)
        return x.reshape(len(x), -1).astype(jnp.float32)

    if isinstance(summary[-1].layer, Heads):
        return Network(init, apply_heads, summary, classify, hidden)
    return Network(init, outputs, summary, hidden=hidden)


def wrap_network(
    network, input_shape: tuple[int, ...], name: str, output_shape=None
) -> Network:
    """The `Network` of a pair (init(key) -> params, apply(params, x) -> y).

    It has one layer, whose output is y, and no statistics. output_shape: that y is
    reshaped to, without the batch axis. A `Network` is returned as it is. name: of the
    network in messages. Raises UserError where the pair does not map [n, *input_shape]
    to float32 [n, ...].
    """
    if isinstance(network, Network):
        return network
    try:
        init, function = network
        key, x = jax.random.key(0), jax.ShapeDtypeStruct((2, *input_shape), "float32")
        params = jax.eval_shape(init, key)
        y = jax.eval_shape(function, params, x)
        shape = y.shape[1:]
        if y.shape[0] != 2 or y.dtype != "float32":
            raise ValueError(f"its output is {y.dtype}{list(y.shape)}")
        if output_shape is not None and math.prod(shape) != math.prod(output_shape):
            raise ValueError(f"its output is {list(shape)} for each sample")
    except Exception as error:
        wanted = "..." if output_shape is None else "1"
        raise UserError(
            f"the {name} must be a pair (init(key) -> params, apply(params, x) -> y) "
            f"that maps float32 {['n', *input_shape]} to [n, {wanted}]: "
            f"{describe(error)}"
        ) from error
    shape = shape if output_shape is None else output_shape

    def apply(params, stats, x, train, offsets=None, labels=None):
        y = function(params, x)
        y = y.reshape(len(y), *shape)
        return (y + offsets[0] if offsets else y), stats

    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    summary = [LayerSummary("pure functions", shape, count)]
    return Network(lambda key: (init(key), {}), apply, summary)


class _Stack(nnx.Module):
    def __init__(self, stack):
        self.layers = nnx.List(stack)

    def __call__(self, x, train, offsets, labels):
        for i, layer in enumerate(self.layers):
            x = layer(x, train, labels)
            if i in offsets:
                x = x + offsets[i].astype(x.dtype)
        return x
