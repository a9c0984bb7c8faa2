"""Layers with numbers, and stacks of them as pure functions. Only here is flax.

A layer is called as layer(x, train, labels); labels are None without classes.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from wgan_jax.nn import conv, norms
from wgan_jax.nn.network import HEADS


class Weighted(nnx.Module):
    """A linear map and its bias, initialised as `init` says.

    torch: PyTorch's default draws both from U(-b, b) with b = 1 / sqrt(fan_in), where
    the fan in of a transposed convolution is that of its output channels. dcgan: N(0,
    0.02). he, glorot: uniform of variance 4 / (ins + outs) and 2 / (ins + outs), with
    no bias at first (tflib of Gulrajani et al.).
    """

    def __init__(self, shape, fan_in, ins, outs, bias, init, rngs):
        bound, key = 1 / math.sqrt(fan_in), rngs.params()
        draw = jax.random.uniform(rngs.params(), (bias,), minval=-1.0)
        if init == "dcgan":
            kernel = 0.02 * jax.random.normal(key, shape)
        elif init == "torch":
            kernel = jax.random.uniform(key, shape, minval=-bound, maxval=bound)
        else:
            variance = {"he": 4, "glorot": 2}[init] / (ins + outs)
            reach = math.sqrt(3 * variance)
            kernel = jax.random.uniform(key, shape, minval=-reach, maxval=reach)
            bound = 0.0
        self.kernel = nnx.Param(kernel)
        self.bias = nnx.Param(bound * draw) if bias else None

    def add_bias(self, y):
        """The bias, where there is one, added to every place of y [n, ..., width]."""
        if self.bias is None:
            return y
        return y + self.bias[...].reshape((1,) * (y.ndim - 1) + (-1,))


class Dense(Weighted):
    """[n, fan_in] to [n, width]. init: torch or glorot."""

    def __init__(self, fan_in, width, bias, init, rngs):
        shape = (fan_in, width)
        super().__init__(shape, fan_in, *shape, width if bias else 0, init, rngs)

    def __call__(self, x, train, labels=None):
        return self.add_bias(x @ self.kernel[...])

    def __str__(self):
        return "dense"


class Conv(Weighted):
    """See `layers.conv`.

    resample: up doubles the image before it, down halves it behind it; then the stride
    is 1.
    """

    def __init__(
        self, channels, width, kernel, stride, padding, bias, init, rngs, resample=""
    ):
        ins, outs = channels * kernel**2, width * kernel**2 / stride**2
        shape = (kernel, kernel, channels, width)
        super().__init__(shape, ins, ins, outs, width if bias else 0, init, rngs)
        self.stride, self.padding, self.size = stride, padding, kernel
        self.resample = resample

    def __call__(self, x, train, labels=None):
        convolve = {
            "": partial(conv.conv, stride=self.stride),
            "up": conv.upsample_conv,
            "down": conv.conv_mean_pool,
        }[self.resample]
        return self.add_bias(convolve(x, self.kernel[...], padding=self.padding))

    def __str__(self):
        return f"conv {self.size}x{self.size} stride {self.stride}"


class ConvTranspose(Weighted):
    """See `layers.conv_transpose`; a stride of 2 doubles the image."""

    def __init__(self, channels, width, kernel, stride, padding, bias, init, rngs):
        ins, outs = channels * kernel**2 / stride**2, width * kernel**2
        shape = (kernel, kernel, width, channels)
        super().__init__(shape, outs, ins, outs, width if bias else 0, init, rngs)
        self.stride, self.padding, self.size = stride, padding, kernel

    def __call__(self, x, train, labels=None):
        # Whatever the kernel leaves out of a doubled image.
        extra = 2 + sum(self.padding) - self.size if self.stride == 2 else 0
        y = conv.conv_transpose(
            x,
            self.kernel[...],
            stride=self.stride,
            padding=self.padding,
            output_padding=extra,
        )
        return self.add_bias(y)

    def __str__(self):
        return f"transposed conv {self.size}x{self.size} stride {self.stride}"


class ResidualBlock(nnx.Module):
    """The sum of what two lists of layers make of the same input."""

    def __init__(self, main, shortcut):
        self.main, self.shortcut = nnx.List(main), nnx.List(shortcut)

    def __call__(self, x, train, labels=None):
        y = x
        for layer in self.main:
            y = layer(y, train, labels)
        for layer in self.shortcut:
            x = layer(x, train, labels)
        return x + y

    def __str__(self):
        changes = (getattr(layer, "resample", "") for layer in self.main)
        return " ".join(["residual block", *filter(None, changes)])


class Heads(nnx.Module):
    """Scores and logits of classes, [n, 1 + classes], each by a dense layer."""

    def __init__(self, fan_in, classes, bias, init, rngs):
        self.score = Dense(fan_in, 1, bias, init, rngs)
        self.classes = Dense(fan_in, classes, bias, init, rngs)

    def __call__(self, x, train, labels=None):
        return jnp.concatenate([self.score(x, train), self.classes(x, train)], 1)

    def __str__(self):
        return HEADS


class BatchNorm(nnx.Module):
    """Norm over the batch, with running statistics for when there is none.

    classes: as many scales and shifts, chosen by each sample's label; 0 is one for all.
    """

    def __init__(self, channels, model, spatial, rngs, classes=0):
        shape = (classes, channels) if classes else (channels,)
        # The DCGAN initialiser names BatchNorm2d only, not the one of dense layers.
        drawn = model.init == "dcgan" and spatial
        noise = jax.random.normal(rngs.params(), shape) if drawn else 0.0
        self.scale = nnx.Param(jnp.ones(shape) + 0.02 * noise)
        self.bias = nnx.Param(jnp.zeros(shape))
        self.mean = nnx.BatchStat(jnp.zeros((channels,)))
        self.variance = nnx.BatchStat(jnp.ones((channels,)))
        self.epsilon, self.momentum = model.norm_epsilon, model.norm_momentum
        self.groups, self.conditional = model.norm_groups, bool(classes)

    def __call__(self, x, train, labels=None):
        scale, bias = self.scale[...], self.bias[...]
        if self.conditional:
            scale, bias = scale[labels], bias[labels]
        if not train:
            stored = self.mean[...], self.variance[...]
            return norms.stored_norm(x, scale, bias, *stored, epsilon=self.epsilon)
        # A lone sample, or what a picture needs, cannot be cut into groups.
        groups = self.groups if len(x) % self.groups == 0 else 1
        y, mean, variance = norms.batch_norm(
            x, scale, bias, epsilon=self.epsilon, groups=groups
        )
        for running, new in ((self.mean, mean), (self.variance, variance)):
            running[...] += self.momentum * (new - running[...])
        return y

    def __str__(self):
        return "conditional batch norm" if self.conditional else "batch norm"


class SampleNorm(nnx.Module):
    """A norm that looks at one sample at a time: it keeps no statistics."""

    def __init__(self, channels, name, epsilon):
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.name, self.epsilon = name, epsilon

    def __call__(self, x, train, labels=None):
        norm = {"instance": norms.instance_norm, "layer": norms.layer_norm}[self.name]
        return norm(x, self.scale[...], self.bias[...], epsilon=self.epsilon)

    def __str__(self):
        return f"{self.name} norm"


class Function(nnx.Module):
    """A layer without parameters."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __call__(self, x, train, labels=None):
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


def upsample():
    """See `layers.upsample`."""
    return Function("upsample", conv.upsample)


def mean_pool():
    """See `layers.mean_pool`."""
    return Function("mean pool", conv.mean_pool)


def global_mean_pool():
    """[n, h, w, c] to [n, c]."""
    return Function("global mean pool", lambda x: x.mean((1, 2)))


def norm(kind, channels, model, spatial, rngs, classes=0):
    """The norm of this kind for [n, channels], or [n, h, w, channels] if spatial."""
    if kind == "batch":
        return BatchNorm(channels, model, spatial, rngs, classes)
    return SampleNorm(channels, kind, model.norm_epsilon)
