"""Generator and critic of a configuration.

An architecture is a module of this folder, or a class of yours, with two functions that
return lists of layers:

generator(model, sample_shape, rngs): from [n, model.z_dim] to [n, *sample_shape].
critic(model, sample_shape, rngs, outputs=1): from [n, *sample_shape] to `outputs`
numbers per sample; with model.classes the last layer is `layers.Heads`.

It can also be a function networks(model, sample_shape) -> (generator, critic) of yours.
Each is a pair of pure functions (init(key) -> params, apply(params, x) -> y), of
whatever library, or a `Network`. Such networks have no named layers, so that `convert`
and the encoder of `anomaly` do not take them.
"""

import dataclasses
import math
from functools import partial
from typing import Any

from wgan_jax.config import Model
from wgan_jax.errors import UserError
from wgan_jax.nn import layers
from wgan_jax.nn.models import (
    bottleneck,
    dcgan,
    mlp,
    resnet,
    resnet1d,
    resnet64,
    resnet128,
)
from wgan_jax.nn.network import Network, build_network, wrap_network
from wgan_jax.references import describe, lookup

ARCHITECTURES: dict[str, Any] = {
    "mlp": mlp,
    "dcgan": dcgan,
    "resnet": resnet,
    "resnet64": resnet64,
    "resnet128": resnet128,
    "bottleneck": bottleneck,
    "resnet1d": resnet1d,
}


def build(model: Model, sample_shape: tuple[int, ...]) -> tuple[Network, Network]:
    """Generator [n, z_dim] -> [n, *sample_shape] and critic [n, *sample_shape] -> [n].

    Raises UserError where the configuration names no architecture, or one whose
    networks do not fit.
    """
    architecture, critic_architecture = architectures(model)
    if _is_function(architecture):
        pair = _call(architecture, "model.kind", model, sample_shape)
        generator = wrap_network(pair[0], (model.z_dim,), "generator of model.kind")
    else:
        make = partial(architecture.generator, model, sample_shape)
        generator = build_network(make, (model.z_dim,), model.dtype)
    shape = generator.summary[-1].shape
    if shape != sample_shape:
        raise UserError(
            f"model.kind={model.kind} generates samples of shape {shape} and the data "
            f"have {sample_shape}: change the last layer of its generator"
        )
    if _is_function(critic_architecture):
        field = f"model.{_critic_field(model)}"
        pair = _call(critic_architecture, field, model, sample_shape)
        critic = wrap_network(pair[1], sample_shape, f"critic of {field}", ())
    else:
        critic = _build_critic(model, sample_shape)
    if model.classes and critic.classify is None:
        raise UserError(
            f"model.classes={model.classes} needs a critic that predicts classes: end "
            f"the critic of {model.critic_is} in layers.Heads, or take model.classes=0"
        )
    return generator, critic


def build_encoder(model: Model, sample_shape: tuple[int, ...]) -> Network:
    """[n, *sample_shape] -> [n, z_dim]: the critic's layers, without norms."""
    if _is_function(architectures(model)[1]):
        raise UserError(
            f"model.{_critic_field(model)}={model.critic_is} has no layers, which the "
            "encoder needs: train with a named architecture"
        )
    plain = dataclasses.replace(model, critic_norm="none", classes=0)
    return _build_critic(plain, sample_shape, (model.z_dim,))


def architectures(model: Model) -> tuple[Any, Any]:
    """The architectures of generator and critic. Raises UserError for unknown ones."""
    field = f"model.{_critic_field(model)}"
    return (
        _architecture(model.kind, "model.kind", "generator"),
        _architecture(model.critic_is, field, "critic"),
    )


def _critic_field(model):
    return "kind" if model.critic_kind == "same" else "critic_kind"


def _is_function(architecture):
    """True for a function that returns both networks."""
    return not (hasattr(architecture, "generator") or hasattr(architecture, "critic"))


def _call(function, field, *arguments):
    try:
        generator, critic = function(*arguments)
    except Exception as error:
        raise UserError(
            f"{field}={function} must return the pair (generator, critic), and failed "
            f"with {describe(error)}"
        ) from error
    return generator, critic


def _architecture(value, field, function):
    architecture = lookup(ARCHITECTURES, value, field)
    if _is_function(architecture) and callable(architecture):
        return architecture
    if not callable(getattr(architecture, function, None)):
        raise UserError(f"{field}={value} has no function {function}")
    return architecture


def _build_critic(model, sample_shape, output_shape=()):
    _, architecture = architectures(model)
    outputs = math.prod(output_shape)
    if model.critic_init != "same":
        model = dataclasses.replace(model, init=model.critic_init)
    if model.critic_bias != "same":
        model = dataclasses.replace(model, bias=model.critic_bias)

    def make(rngs):
        stack = architecture.critic(model, sample_shape, rngs, outputs)
        if isinstance(stack[-1], layers.Heads):
            return stack
        return [*stack, layers.reshape(*output_shape)]

    return build_network(make, sample_shape, model.dtype)
