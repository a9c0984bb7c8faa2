"""Layers with numbers, and stacks of them as pure functions. Only here is flax.

A layer is called as layer(x, train).
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from wgan_jax import layers


@dataclasses.dataclass(frozen=True)
class Network:
    """A network without its numbers: how they are born and what is done with them.

    init(key) -> (params, stats).
    apply(params, stats, x, train) -> (y, stats): with train, norms use this batch's
    statistics and the running ones move; without, they use the running ones. The
    networks of `build` also take offsets, {layer: array}, which are added to what
    these layers give: the gradient with respect to one is the layer's own.
    """

    init: Callable
    apply: Callable
    summary: list[tuple[str, tuple[int, ...], int]]
    """A row (layer, output shape without the batch, number of parameters) a layer."""
    hidden: Callable | None = None
    """hidden(params, stats, x) -> [n, k]: what the last layer with weights is given, by
    running statistics."""

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(row[2] for row in self.summary)


def network(make_layers, input_shape: tuple[int, ...], dtype: str) -> Network:
    """The network of the layers make_layers(rngs), for inputs [batch, *input_shape].

    Parameters are float32, and cast to `dtype` for the computation.
    """

    def make(rngs):
        return _Stack(make_layers(rngs))

    summary = []

    def trace():
        x = jnp.zeros((2, *input_shape))
        for layer in make(nnx.Rngs(0)).layers:
            x = layer(x, train=True)
            counts = map(jnp.size, jax.tree.leaves(nnx.state(layer, nnx.Param)))
            summary.append((str(layer), x.shape[1:], sum(counts)))

    jax.eval_shape(trace)
    graph = nnx.graphdef(nnx.eval_shape(lambda: make(nnx.Rngs(0))))

    def init(key):
        _, params, stats = nnx.split(make(nnx.Rngs(key)), nnx.Param, nnx.BatchStat)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    def merge(params, stats, x):
        if dtype != "float32":
            params, x = jax.tree.map(lambda a: a.astype(dtype), (params, x))
        return nnx.merge(graph, params, stats, copy=True), x

    def apply(params, stats, x, train, offsets=None):
        net, x = merge(params, stats, x)
        y = net(x, train, offsets or {})
        if dtype != "float32":
            y = y.astype(jnp.float32)
        return y, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))

    last = max(i for i, (_, _, count) in enumerate(summary) if count)

    def hidden(params, stats, x):
        net, x = merge(params, stats, x)
        for layer in net.layers[:last]:
            x = layer(x, False)
        return x.reshape(len(x), -1).astype(jnp.float32)

    return Network(init, apply, summary, hidden)


class _Stack(nnx.Module):
    def __init__(self, stack):
        self.layers = nnx.List(stack)

    def __call__(self, x, train, offsets):
        for i, layer in enumerate(self.layers):
            x = layer(x, train)
            if i in offsets:
                x = x + offsets[i].astype(x.dtype)
        return x


# ------------------------------------------------------------------------------ pieces


class Weighted(nnx.Module):
    """A linear map and its bias, initialised as the configuration says.

    PyTorch's default draws weight and bias from U(-b, b) with b = 1 / sqrt(fan in),
    where the fan in of a transposed convolution is that of its output channels.
    """

    def __init__(self, shape, fan_in, width, bias, normal, rngs):
        bound = 1 / math.sqrt(fan_in)
        key = rngs.params()
        if normal:
            kernel = 0.02 * jax.random.normal(key, shape)
        else:
            kernel = jax.random.uniform(key, shape, minval=-bound, maxval=bound)
        self.kernel = nnx.Param(kernel)
        draw = jax.random.uniform(rngs.params(), (width,), minval=-1.0)
        self.bias = nnx.Param(bound * draw) if bias else None

    def add_bias(self, y):
        """The bias, where there is one, added to every place of y [n, ..., width]."""
        if self.bias is None:
            return y
        return y + self.bias[...].reshape((1,) * (y.ndim - 1) + (-1,))


class Dense(Weighted):
    """[n, fan_in] to [n, width]."""

    def __init__(self, fan_in, width, bias, rngs):
        super().__init__((fan_in, width), fan_in, width, bias, False, rngs)

    def __call__(self, x, train):
        return self.add_bias(x @ self.kernel[...])

    def __str__(self):
        return "dense"


class Conv(Weighted):
    """See `layers.conv`."""

    def __init__(self, channels, width, kernel, stride, padding, bias, init, rngs):
        shape, fan_in = (kernel, kernel, channels, width), channels * kernel**2
        super().__init__(shape, fan_in, width, bias, init == "dcgan", rngs)
        self.stride, self.padding, self.size = stride, padding, kernel

    def __call__(self, x, train):
        kernel = self.kernel[...]
        y = layers.conv(x, kernel, stride=self.stride, padding=self.padding)
        return self.add_bias(y)

    def __str__(self):
        return f"conv {self.size}x{self.size} stride {self.stride}"


class ConvTranspose(Weighted):
    """See `layers.conv_transpose`; a stride of 2 doubles the image."""

    def __init__(self, channels, width, kernel, stride, padding, bias, init, rngs):
        shape, fan_in = (kernel, kernel, width, channels), width * kernel**2
        super().__init__(shape, fan_in, width, bias, init == "dcgan", rngs)
        self.stride, self.padding, self.size = stride, padding, kernel

    def __call__(self, x, train):
        y = layers.conv_transpose(
            x,
            self.kernel[...],
            stride=self.stride,
            padding=self.padding,
            # An odd kernel needs it to double the image exactly.
            output_padding=self.size % 2 if self.stride == 2 else 0,
        )
        return self.add_bias(y)

    def __str__(self):
        return f"transposed conv {self.size}x{self.size} stride {self.stride}"


class BatchNorm(nnx.Module):
    """Norm over the batch, with running statistics for when there is none."""

    def __init__(self, channels, model, spatial, rngs):
        # The DCGAN initialiser names BatchNorm2d only, not the one of dense layers.
        drawn = model.init == "dcgan" and spatial
        noise = jax.random.normal(rngs.params(), (channels,)) if drawn else 0.0
        self.scale = nnx.Param(jnp.ones((channels,)) + 0.02 * noise)
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.mean = nnx.BatchStat(jnp.zeros((channels,)))
        self.variance = nnx.BatchStat(jnp.ones((channels,)))
        self.epsilon, self.momentum = model.norm_epsilon, model.norm_momentum

    def __call__(self, x, train):
        scale, bias = self.scale[...], self.bias[...]
        if not train:
            stored = self.mean[...], self.variance[...]
            return layers.stored_norm(x, scale, bias, *stored, epsilon=self.epsilon)
        y, mean, variance = layers.batch_norm(x, scale, bias, epsilon=self.epsilon)
        for running, new in ((self.mean, mean), (self.variance, variance)):
            running[...] += self.momentum * (new - running[...])
        return y

    def __str__(self):
        return "batch norm"


class SampleNorm(nnx.Module):
    """A norm that looks at one sample at a time: it keeps no statistics."""

    def __init__(self, channels, name, epsilon):
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.name, self.epsilon = name, epsilon

    def __call__(self, x, train):
        norm = {"instance": layers.instance_norm, "layer": layers.layer_norm}[self.name]
        return norm(x, self.scale[...], self.bias[...], epsilon=self.epsilon)

    def __str__(self):
        return f"{self.name} norm"


class Function(nnx.Module):
    """A layer without parameters."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __call__(self, x, train):
        return self.function(x)

    def __str__(self):
        return self.name


def activation(name, slope):
    """The activation of this name; slope: that of leaky_relu below zero."""
    functions = {
        "relu": jax.nn.relu,
        "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=slope),
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "linear": lambda x: x,
    }
    return Function(name, functions[name])


def reshape(*shape):
    """[n, ...] to [n, *shape]."""
    return Function("reshape", lambda x: x.reshape(len(x), *shape))


def norm(kind, channels, model, spatial, rngs):
    """The norm of this kind for [n, channels], or [n, h, w, channels] if spatial."""
    if kind == "batch":
        return BatchNorm(channels, model, spatial, rngs)
    return SampleNorm(channels, kind, model.norm_epsilon)
