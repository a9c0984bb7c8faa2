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
        init = "glorot" if self.model.init == "tflib" else "torch"
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

    def dense_block(self, fan_in, width, norm, activation) -> list:
        """Dense layer, norm unless it is "none", activation."""
        dense = self.dense(fan_in, width, normed=norm != "none")
        norms = self.norm(norm, width, spatial=False)
        return [dense, *norms, self.activation(activation)]

    def _options(self, normed, init):
        biases = {"all": True, "unnormalised": not normed, "none": False}
        return {"bias": biases[self.model.bias], "init": init, "rngs": self.rngs}
