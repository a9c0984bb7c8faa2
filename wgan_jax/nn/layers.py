"""Layers of a network, as Flax modules; only this file and `network` import Flax.

A layer is called as layer(x, train, labels). train: norms use the statistics of the
batch and update the running ones. labels: int32 [batch], or None without classes.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from wgan_jax.nn import conv, conv_products, norms


class Weighted(nnx.Module):
    """A kernel of the given shape and, unless bias=False, a bias of the given width.

    init="torch": PyTorch's default, both from U(-b, b) with b = 1 / sqrt(torch_fan_in).
    dcgan: kernels from N(0, 0.02), biases as torch. he, glorot, uniform: kernels from a
    uniform distribution of variance 4 / (fan_in + fan_out), 2 / (fan_in + fan_out) or
    0.02^2, times `gain` squared, biases zero (tflib of Gulrajani et al.). The options
    of a layer end in bias, init, gain and rngs.
    """

    def __init__(
        self,
        shape,
        width,
        *,
        fan_in,
        fan_out,
        torch_fan_in,
        bias=True,
        init="torch",
        gain=1.0,
        rngs,
    ):
        bound, key = 1 / math.sqrt(torch_fan_in), rngs.params()
        unit_bias = jax.random.uniform(rngs.params(), (width * bias,), minval=-1.0)
        if init == "dcgan":
            kernel = 0.02 * jax.random.normal(key, shape)
        elif init == "torch":
            kernel = jax.random.uniform(key, shape, minval=-bound, maxval=bound)
        else:
            fans = fan_in + fan_out
            variance = {"he": 4 / fans, "glorot": 2 / fans, "uniform": 0.02**2}[init]
            limit = gain * math.sqrt(3 * variance)
            kernel = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
            bound = 0.0
        self.kernel = nnx.Param(kernel)
        self.bias = nnx.Param(bound * unit_bias) if bias else None

    def add_bias(self, y):
        """Y [n, ..., width] plus the bias [width], if the layer has one."""
        if self.bias is None:
            return y
        return y + self.bias[...].reshape((1,) * (y.ndim - 1) + (-1,))


class Dense(Weighted):
    """[n, fan_in] to [n, width]. init: torch, glorot or uniform."""

    def __init__(self, fan_in, width, **options):
        shape, fans = (fan_in, width), {"fan_in": fan_in, "fan_out": width}
        super().__init__(shape, width, **fans, torch_fan_in=fan_in, **options)

    def __call__(self, x, train, labels=None):
        return self.add_bias(x @ self.kernel[...])

    def __str__(self):
        return "dense"


class Conv(Weighted):
    """`conv.conv`: [n, h, w, channels] to [n, h', w', width].

    kernel: its side, or (height, width).
    resample: "up" doubles the image before the convolution, "down" halves it after the
    convolution; both need stride 1.
    """

    def __init__(
        self, channels, width, *, kernel, stride=1, padding=0, resample="", **options
    ):
        self.kernel_size = conv.pair(kernel)
        taps = math.prod(self.kernel_size)
        super().__init__(
            (*self.kernel_size, channels, width),
            width,
            fan_in=channels * taps,
            fan_out=width * taps / stride**2,
            torch_fan_in=channels * taps,
            **options,
        )
        self.stride = stride
        self.padding = padding
        self.resample = resample

    def __call__(self, x, train, labels=None):
        convolve = {
            "": partial(conv.conv, stride=self.stride),
            "up": conv.upsample_conv,
            "down": conv.conv_mean_pool,
        }[self.resample]
        return self.add_bias(convolve(x, self.kernel[...], padding=self.padding))

    def __str__(self):
        height, width = self.kernel_size
        return f"conv {height}x{width} stride {self.stride}"


class Conv1d(Weighted):
    """A convolution that keeps the length: [n, length, channels] to [n, length, width].

    kernel: its length, odd. Zeros surround a sample. Computed as one matrix product
    over shifted views, on every backend and for every derivative.
    """

    def __init__(self, channels, width, *, kernel, **options):
        super().__init__(
            (kernel, channels, width),
            width,
            fan_in=channels * kernel,
            fan_out=width * kernel,
            torch_fan_in=channels * kernel,
            **options,
        )

    def __call__(self, x, train, labels=None):
        kernel = self.kernel[...]
        size, length = len(kernel), x.shape[1]
        padded = jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))
        views = [padded[:, i : i + length] for i in range(size)]
        y = jnp.concatenate(views, -1) @ kernel.reshape(-1, kernel.shape[-1])
        return self.add_bias(y)

    def __str__(self):
        return f"1-D conv {self.kernel.shape[0]}"


class ConvTranspose(Weighted):
    """`conv.conv_transpose`: [n, h, w, channels] to [n, h', w', width].

    kernel: as of Conv; square where the stride is 2, which doubles the image. PyTorch's
    fan in is that of the output channels.
    """

    def __init__(self, channels, width, *, kernel, stride=1, padding=0, **options):
        self.kernel_size = conv.pair(kernel)
        taps = math.prod(self.kernel_size)
        super().__init__(
            (*self.kernel_size, width, channels),
            width,
            fan_in=channels * taps / stride**2,
            fan_out=width * taps,
            torch_fan_in=width * taps,
            **options,
        )
        self.stride = stride
        self.padding = padding
        # The pixels of a doubled image that the kernel does not cover.
        missing = 2 + sum(conv.pair(padding)) - self.kernel_size[0]
        self.output_padding = missing if stride == 2 else 0

    def __call__(self, x, train, labels=None):
        y = conv.conv_transpose(
            x,
            self.kernel[...],
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
        )
        return self.add_bias(y)

    def __str__(self):
        height, width = self.kernel_size
        return f"transposed conv {height}x{width} stride {self.stride}"


class ResidualBlock(nnx.Module):
    """The sum of the outputs of two lists of layers for the same input."""

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
    """Scores and class logits [n, 1 + classes], each by one of two dense layers."""

    def __init__(self, score, classes):
        self.score, self.classes = score, classes

    def __call__(self, x, train, labels=None):
        return jnp.concatenate([self.score(x, train), self.classes(x, train)], 1)

    def __str__(self):
        return "dense, score and classes"


class BatchNorm(nnx.Module):
    """Norm over the batch in training, by running statistics otherwise.

    scale_std: standard deviation of the initial scales around 1. momentum: weight of
    the newest batch in the running statistics. groups: parts of a batch that are
    normalised separately. classes: number of scales and shifts, selected by the label
    of each sample; 0 uses one for all.
    """

    def __init__(
        self,
        channels,
        *,
        epsilon=1e-5,
        momentum=0.1,
        groups=1,
        scale_std=0.0,
        classes=0,
        rngs,
    ):
        shape = (classes, channels) if classes else (channels,)
        noise = jax.random.normal(rngs.params(), shape) if scale_std else 0.0
        self.scale = nnx.Param(jnp.ones(shape) + scale_std * noise)
        self.bias = nnx.Param(jnp.zeros(shape))
        self.mean = nnx.BatchStat(jnp.zeros((channels,)))
        self.variance = nnx.BatchStat(jnp.ones((channels,)))
        self.epsilon = epsilon
        self.momentum = momentum
        self.groups = groups
        self.conditional = bool(classes)

    def __call__(self, x, train, labels=None):
        scale, bias = self.scale[...], self.bias[...]
        if self.conditional:
            scale, bias = scale[labels], bias[labels]
        if not train:
            running = self.mean[...], self.variance[...]
            return norms.stored_norm(x, scale, bias, *running, epsilon=self.epsilon)
        # A batch of one sample, as in sampling, cannot be divided into groups.
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
    """Norm of each sample separately, without statistics. name: instance or layer."""

    def __init__(self, channels, name, *, epsilon=1e-5):
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.name = name
        self.epsilon = epsilon

    def __call__(self, x, train, labels=None):
        norm = {"instance": norms.instance_norm, "layer": norms.layer_norm}[self.name]
        return norm(x, self.scale[...], self.bias[...], epsilon=self.epsilon)

    def __str__(self):
        return f"{self.name} norm"


class Function(nnx.Module):
    """A layer without parameters: `function` of x."""

    def __init__(self, name, function):
        self.name = name
        self.function = function

    def __call__(self, x, train, labels=None):
        return self.function(x)

    def __str__(self):
        return self.name


def activation(name, slope=0.2):
    """The activation of this name. slope: that of leaky_relu below zero."""
    functions = {
        "relu": jax.nn.relu,
        "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=slope),
        "tanh": jnp.tanh,
        "softplus": lambda x: jax.nn.softplus(2 * x + 2) / 2 - 1,
        "gated": gate,
        "sigmoid": jax.nn.sigmoid,
        "linear": lambda x: x,
        "softmax": jax.nn.softmax,
    }
    return Function(name, functions[name])


def gate(x):
    """[..., 2 c] to [..., c]: sigmoid of even channels times tanh of odd ones.

    Of the PixelCNN (van den Oord et al. 2016), as the code of Gulrajani et al. uses it.
    """
    return jax.nn.sigmoid(x[..., ::2]) * jnp.tanh(x[..., 1::2])


def reshape(*shape):
    """[n, ...] to [n, *shape]."""
    # A symbolic batch size has no len().
    return Function("reshape", lambda x: x.reshape(x.shape[0], *shape))


def scale(factor):
    """X times a constant factor."""
    return Function("scale", partial(jnp.multiply, factor))


def upsample():
    """See `conv.upsample`."""
    return Function("upsample", conv.upsample)


def mean_pool():
    """See `conv.mean_pool`."""
    return Function("mean pool", conv.mean_pool)


def global_mean_pool():
    """[n, h, w, c] to [n, c]."""
    return Function("global mean pool", lambda x: x.mean((1, 2)))


def depth_to_space():
    """[n, h, w, 4 c] to [n, 2 h, 2 w, c], as tf.nn.depth_to_space."""
    return Function("depth to space", partial(conv_products.to_pixels, s=2))
