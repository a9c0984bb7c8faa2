"""Layers with the initialisation, biases, norms and activations of a configuration."""

import dataclasses
from typing import Any

from wgan_jax.config import Model
from wgan_jax.nn import layers


@dataclasses.dataclass(frozen=True)
class Parts:
    """Maker of the layers of one network; a layer draws its weights when it is made."""

    model: Model
    rngs: Any

    def dense(self, fan_in, width, *, normed=False):
        """A dense layer. normed: a norm follows it."""
        init = {"tflib": "glorot", "uniform": "uniform"}.get(self.model.init, "torch")
        return layers.Dense(fan_in, width, **self._options(normed, init))

    def conv(self, kind, channels, width, *, normed=False, tflib="he", **geometry):
        """A Conv or ConvTranspose, by `kind`. tflib: its draw in model.init=tflib."""
        init = tflib if self.model.init == "tflib" else self.model.init
        return kind(channels, width, **geometry, **self._options(normed, init))

    def norm(self, kind, channels, *, spatial=True, classes=0) -> list:
        """[The norm of this kind], for [n, h, w, channels] if spatial; [] for none."""
        model = self.model
        if kind == "none":
            return []
        if kind != "batch":
            return [layers.SampleNorm(channels, kind, epsilon=model.norm_epsilon)]
        norm = layers.BatchNorm(
            channels,
            epsilon=model.norm_epsilon,
            momentum=model.norm_momentum,
            groups=model.norm_groups,
            # The DCGAN initialiser names BatchNorm2d only, not that of dense layers.
            scale_std=0.02 if model.init == "dcgan" and spatial else 0.0,
            classes=classes,
            rngs=self.rngs,
        )
        return [norm]

    def activation(self, name):
        """The activation of this name, with the configuration's slope of leaky_relu."""
        return layers.activation(name, self.model.leaky_slope)

    @staticmethod
    def before(activation, width):
        """Width of the layer before an activation that gives `width` channels."""
        return 2 * width if activation == "gated" else width

    def dense_block(self, fan_in, width, norm, activation) -> list:
        """Dense layer, norm unless it is "none", activation with `width` outputs."""
        units = self.before(activation, width)
        dense = self.dense(fan_in, units, normed=norm != "none")
        norms = self.norm(norm, units, spatial=False)
        return [dense, *norms, self.activation(activation)]

    def conv_block(self, kind, channels, width, norm, activation, **geometry) -> list:
        """As `dense_block` with a Conv or ConvTranspose, by `kind`."""
        units, normed = self.before(activation, width), norm != "none"
        conv = self.conv(kind, channels, units, normed=normed, **geometry)
        return [conv, *self.norm(norm, units), self.activation(activation)]

    def extra_blocks(self, count, width, norm, activation) -> list:
        """`count` blocks of a 3x3 convolution that preserves size and width."""
        blocks = []
        for _ in range(count):
            block = layers.Conv, width, width, norm, activation
            blocks += self.conv_block(*block, kernel=3, padding=1)
        return blocks

    def _options(self, normed, init):
        biases = {"all": True, "unnormalised": not normed, "none": False}
        return {"bias": biases[self.model.bias], "init": init, "rngs": self.rngs}
