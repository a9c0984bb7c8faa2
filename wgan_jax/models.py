"""Generator and critic as pairs of pure functions. The only file that imports flax.

A network is a list of layers; `build` turns the two lists of a configuration into
`Network`s, whose parameters and statistics are plain nested dicts.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from wgan_jax import layers
from wgan_jax.config import Model


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

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(row[2] for row in self.summary)


def build(model: Model, sample_shape: tuple[int, ...]) -> tuple[Network, Network]:
    """Generator [batch, z_dim] -> [batch, *sample_shape] and critic back to [batch]."""
    generators = {"mlp": _mlp_generator, "dcgan": _generator}
    critics = {"mlp": _mlp_critic, "dcgan": _critic}
    make_generator = partial(generators[model.kind], model, sample_shape)
    make_critic = partial(critics[model.critic_is], model, sample_shape)
    return (
        _network(make_generator, (model.z_dim,), model.dtype),
        _network(make_critic, sample_shape, model.dtype),
    )


def _network(make_layers, input_shape, dtype):
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

    def apply(params, stats, x, train, offsets=None):
        if dtype != "float32":
            params, x = jax.tree.map(lambda a: a.astype(dtype), (params, x))
        net = nnx.merge(graph, params, stats, copy=True)
        y = net(x, train, offsets or {})
        if dtype != "float32":
            y = y.astype(jnp.float32)
        return y, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))

    return Network(init, apply, summary)


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


class _Weighted(nnx.Module):
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
        if self.bias is None:
            return y
        return y + self.bias[...].reshape((1,) * (y.ndim - 1) + (-1,))


class _Dense(_Weighted):
    def __init__(self, fan_in, width, bias, rngs):
        super().__init__((fan_in, width), fan_in, width, bias, False, rngs)

    def __call__(self, x, train):
        return self.add_bias(x @ self.kernel[...])

    def __str__(self):
        return "dense"


class _Conv(_Weighted):
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


class _ConvTranspose(_Weighted):
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


class _BatchNorm(nnx.Module):
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


class _SampleNorm(nnx.Module):
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


class _Function(nnx.Module):
    """A layer without parameters."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __call__(self, x, train):
        return self.function(x)

    def __str__(self):
        return self.name


def _activation(name, slope):
    functions = {
        "relu": jax.nn.relu,
        "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=slope),
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "linear": lambda x: x,
    }
    return _Function(name, functions[name])


def _reshape(*shape):
    return _Function("reshape", lambda x: x.reshape(len(x), *shape))


def _norm(kind, channels, model, spatial, rngs):
    if kind == "batch":
        return _BatchNorm(channels, model, spatial, rngs)
    return _SampleNorm(channels, kind, model.norm_epsilon)


def _has_bias(model, normed):
    return model.bias == "all" or (model.bias == "unnormalised" and not normed)


def _dense_block(model, fan_in, width, norm, activation, rngs):
    normed = norm != "none"
    block = [_Dense(fan_in, width, _has_bias(model, normed), rngs)]
    if normed:
        block.append(_norm(norm, width, model, False, rngs))
    return [*block, _activation(activation, model.leaky_slope)]


# ------------------------------------------------------------------------ the families


def _mlp_generator(model, sample_shape, rngs):
    stack, width = [], model.z_dim
    for i, multiple in enumerate(model.generator_widths):
        fan_in, width = width, multiple * model.features
        norm = "none" if i == 0 else model.generator_norm
        stack += _dense_block(
            model, fan_in, width, norm, model.generator_activation, rngs
        )
    out = math.prod(sample_shape)
    stack.append(_Dense(width, out, _has_bias(model, False), rngs))
    stack.append(_activation(model.output, model.leaky_slope))
    return [*stack, _reshape(*sample_shape)] if len(sample_shape) > 1 else stack


def _mlp_critic(model, sample_shape, rngs):
    stack, width = [_reshape(-1)], math.prod(sample_shape)
    for i, multiple in enumerate(model.critic_widths):
        fan_in, width = width, multiple * model.features
        norm = "none" if i == 0 else model.critic_norm
        stack += _dense_block(model, fan_in, width, norm, model.critic_activation, rngs)
    stack.append(_Dense(width, 1, _has_bias(model, False), rngs))
    return [*stack, _reshape()]


def _generator(model, sample_shape, rngs):
    """DCGAN: one transposed convolution from 1x1, then doublings up to the image."""
    size, _, image_channels = sample_shape
    base = size // 2 ** len(model.generator_widths)
    stack, channels = [_reshape(1, 1, model.z_dim)], model.z_dim
    normed = model.generator_norm != "none"
    geometry = (base, 1, 0)
    for multiple in model.generator_widths:
        before, channels = channels, multiple * model.features
        bias = _has_bias(model, normed)
        stack.append(
            _ConvTranspose(before, channels, *geometry, bias, model.init, rngs)
        )
        if normed:
            stack.append(_norm(model.generator_norm, channels, model, True, rngs))
        stack.append(_activation(model.generator_activation, model.leaky_slope))
        geometry = (model.kernel, 2, (model.kernel - 1) // 2)
    bias = _has_bias(model, False)
    stack.append(
        _ConvTranspose(channels, image_channels, *geometry, bias, model.init, rngs)
    )
    return [*stack, _activation(model.output, model.leaky_slope)]


def _critic(model, sample_shape, rngs):
    """DCGAN: halvings of the image, then one convolution over all that is left."""
    size, _, channels = sample_shape
    base = size // 2 ** len(model.critic_widths)
    geometry = (model.kernel, 2, (model.kernel - 1) // 2)
    stack = []
    for i, multiple in enumerate(model.critic_widths):
        before, channels = channels, multiple * model.features
        normed = i > 0 and model.critic_norm != "none"
        bias = _has_bias(model, normed)
        stack.append(_Conv(before, channels, *geometry, bias, model.init, rngs))
        if normed:
            stack.append(_norm(model.critic_norm, channels, model, True, rngs))
        stack.append(_activation(model.critic_activation, model.leaky_slope))
    bias = _has_bias(model, False)
    stack.append(_Conv(channels, 1, base, 1, 0, bias, model.init, rngs))
    return [*stack, _reshape()]
