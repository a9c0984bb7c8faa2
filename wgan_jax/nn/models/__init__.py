"""Generator and critic of a configuration.

An architecture is a module of this folder, or a class of yours, with two functions that
return lists of layers:

generator(model, sample_shape, rngs): from [n, model.z_dim] to [n, *sample_shape].
critic(model, sample_shape, rngs, outputs=1): from [n, *sample_shape] to `outputs`
numbers per sample; with model.classes the last layer is `layers.Heads`.
"""

import dataclasses
import math
from functools import partial
from typing import Any

from wgan_jax.config import Model
from wgan_jax.errors import UserError
from wgan_jax.nn import layers
from wgan_jax.nn.models import dcgan, mlp, resnet
from wgan_jax.nn.network import Network, build_network
from wgan_jax.references import lookup

ARCHITECTURES: dict[str, Any] = {"mlp": mlp, "dcgan": dcgan, "resnet": resnet}


def build(model: Model, sample_shape: tuple[int, ...]) -> tuple[Network, Network]:
    """Generator [n, z_dim] -> [n, *sample_shape] and critic [n, *sample_shape] -> [n].

    Raises UserError where the configuration names no architecture, or one whose
    networks do not fit.
    """
    architecture, _ = architectures(model)
    make = partial(architecture.generator, model, sample_shape)
    generator = build_network(make, (model.z_dim,), model.dtype)
    shape = generator.summary[-1].shape
    if shape != sample_shape:
        raise UserError(
            f"model.kind={model.kind} generates samples of shape {shape} and the data "
            f"have {sample_shape}: change the last layer of its generator"
        )
    critic = _build_critic(model, sample_shape)
    if model.classes and critic.classify is None:
        raise UserError(
            f"model.classes={model.classes} needs a critic that predicts classes: end "
            f"the critic of {model.critic_is} in layers.Heads, or take model.classes=0"
        )
    return generator, critic


def build_encoder(model: Model, sample_shape: tuple[int, ...]) -> Network:
    """[n, *sample_shape] -> [n, z_dim]: the critic's layers, without norms."""
    plain = dataclasses.replace(model, critic_norm="none", classes=0)
    return _build_critic(plain, sample_shape, (model.z_dim,))


def architectures(model: Model) -> tuple[Any, Any]:
    """The architectures of generator and critic. Raises UserError for unknown ones."""
    field = "kind" if model.critic_kind == "same" else "critic_kind"
    return (
        _architecture(model.kind, "model.kind", "generator"),
        _architecture(model.critic_is, f"model.{field}", "critic"),
    )


def _architecture(value, field, function):
    architecture = lookup(ARCHITECTURES, value, field)
    if not callable(getattr(architecture, function, None)):
        raise UserError(f"{field}={value} has no function {function}")
    return architecture


def _build_critic(model, sample_shape, output_shape=()):
    _, architecture = architectures(model)
    outputs = math.prod(output_shape)

    def make(rngs):
        stack = architecture.critic(model, sample_shape, rngs, outputs)
        if isinstance(stack[-1], layers.Heads):
            return stack
        return [*stack, layers.reshape(*output_shape)]

    return build_network(make, sample_shape, model.dtype)
