"""Memory that a configuration needs at least, before it is allocated.

Each size is a lower bound: whatever fits is accepted. XLA aborts at impossible sizes.
"""

import dataclasses
import itertools
import math
import operator

from wgan_jax.config import Config
from wgan_jax.distributed.sharding import require_memory

# Bytes of a parameter and of its moments in the optimizer.
STATE_BYTES = {"adam": 12, "rmsprop": 8, "rmsprop_tf1": 8}


def check_weights(config: Config) -> None:
    """Raises UserError where the weights and moments of a run exceed the memory."""
    _check(
        config,
        "model.features model.generator_widths model.critic_widths model.z_dim "
        "model.kernel model.classes model.generator_extra_depth "
        "model.critic_extra_depth data.image_size data.dimensions data.length "
        "data.vocabulary",
        parameters,
        STATE_BYTES.get(config.optimizer.kind, 4),
        "parameters",
    )


def check_memory(config: Config, devices: int = 1) -> None:
    """Raises UserError where training exceeds the memory of a device.

    devices: that share a batch.
    """
    check_weights(config)
    fields = (
        "data.image_size data.dimensions data.length data.vocabulary model.features "
        "model.generator_widths model.critic_widths model.generator_extra_depth "
        "model.critic_extra_depth"
    )
    batches = "data.batch_size objective.generator_batch"
    _check(
        config,
        f"{batches} {fields}",
        lambda c: max(c.data.batch_size, c.objective.generator_batch) * activations(c),
        4 / devices,
        "numbers in a batch",
    )
    _check(
        config,
        "run.grid_size data.image_size data.dimensions data.length data.vocabulary",
        lambda c: c.run.grid_size * math.prod(c.data.sample_shape),
        4,
        "numbers in a grid",
    )
    if config.data.is_toy:
        _check(
            config,
            "data.heldout",
            lambda c: 2 * c.data.heldout,
            8,
            "held-out numbers",
        )


def _check(config, fields, count, size, noun):
    """Compares count(config) x size with the memory; names the field to lower."""
    number = count(config)

    def without(name):
        section, field = name.split(".")
        values = getattr(config, section)
        changed = dataclasses.replace(values, **{field: getattr(type(values), field)})
        return count(dataclasses.replace(config, **{section: changed}))

    section, field = min(fields.split(), key=without).split(".")
    require_memory(
        f"{section}.{field}={getattr(getattr(config, section), field)}",
        size * number,
        f"{number:,} {noun} x {size:g} bytes",
    )


def training_bytes(config: Config) -> int:
    """Bytes of weights, moments and one batch, at least; without the images."""
    state = STATE_BYTES.get(config.optimizer.kind, 4) * parameters(config)
    batch = max(config.data.batch_size, config.objective.generator_batch)
    return state + 4 * batch * activations(config)


def parameters(config: Config) -> int:
    """Parameters of both networks, at least; 0 for networks of the user."""
    return sum(_network(config, is_critic)[0] for is_critic in (False, True))


def activations(config: Config) -> int:
    """Numbers per sample in training, at least: real, generated, outputs of layers."""
    # bfloat16 halves the outputs of layers.
    share = 2 if config.model.dtype == "bfloat16" else 1
    hidden = max(_network(config, is_critic)[1] for is_critic in (False, True))
    return 2 * math.prod(config.data.sample_shape) + hidden // share


def _network(config, is_critic):
    """(parameters, outputs of the hidden layers for one sample), at least."""
    model, shape = config.model, config.data.sample_shape
    kind = model.critic_is if is_critic else model.kind
    widths = model.critic_widths if is_critic else model.generator_widths
    widths = [width * model.features for width in widths]
    count, numbers = len(widths), range(len(widths))
    if kind == "mlp":
        pixels, kernel = [1] * count, 1
        first = math.prod(shape) if is_critic else model.z_dim
        ends = first * widths[0] + (0 if is_critic else widths[-1] * math.prod(shape))
    elif kind == "bottleneck":
        return _bottlenecks(model, shape, widths, is_critic)
    elif kind == "resnet1d":
        (length, vocabulary), width = shape, model.features
        first = length * width * (1 if is_critic else model.z_dim)
        blocks = 2 * count * model.kernel * width**2
        return first + blocks + vocabulary * width, count * length * width
    elif kind not in ("dcgan", "resnet", "resnet64", "resnet128"):
        return 0, 0
    elif is_critic:
        first_halvings = {"resnet": 0, "resnet128": 1}
        halvings = count
        if kind in first_halvings:
            halvings = model.critic_halvings + first_halvings[kind]
        halved = [min(i + 1, halvings) for i in numbers]
        pixels = [(shape[0] >> n) * (shape[1] >> n) for n in halved]
        kernel = model.kernel**2
        ends = kernel * shape[-1] * widths[0]
        if kind in ("resnet64", "resnet128"):
            # The first convolution of each block, and the last layer.
            ends += sum(kernel * min(p) ** 2 for p in itertools.pairwise(widths))
            ends += pixels[-1] * widths[-1] if kind == "resnet64" else 0
    else:
        doublings = count + (kind == "resnet128")
        base = (shape[0] >> doublings) * (shape[1] >> doublings)
        pixels = [base << 2 * (i + (kind != "dcgan")) for i in numbers]
        kernel = model.kernel**2
        ends = model.z_dim * base * widths[0] + kernel * widths[-1] * shape[-1]
        if kind != "dcgan":
            # The second convolution of each block, and the norms of the classes.
            ends += sum(kernel * width**2 + model.classes * width for width in widths)
    hidden = sum(kernel * a * b for a, b in itertools.pairwise(widths))
    outputs = sum(map(operator.mul, pixels, widths))
    part = "critic" if is_critic else "generator"
    if kind == "dcgan" and (depth := getattr(model, f"{part}_extra_depth")):
        place = -2 if is_critic else 1
        hidden += depth * 9 * widths[place] ** 2
        outputs += depth * pixels[place] * widths[place]
    if getattr(model, f"{part}_activation") == "gated":
        hidden, outputs = 2 * hidden, 2 * outputs
    return ends + hidden, outputs


def _bottlenecks(model, shape, widths, is_critic):
    """As `_network`, of a network of bottlenecks."""
    pairs = list(itertools.pairwise([widths[0], *widths]))
    changes = itertools.accumulate(a != b for a, b in pairs)
    last = sum(a != b for a, b in pairs)
    halvings = [n if is_critic else last - n for n in changes]
    pixels = [(shape[0] >> n) * (shape[1] >> n) for n in halvings]
    # Three convolutions, of which the outer ones are 1x1 to and from half the channels.
    count = sum((a * a + b * b) // 2 + model.kernel**2 * a * b // 4 for a, b in pairs)
    base = (shape[0] >> last) * (shape[1] >> last)
    ends = widths[-1] * base if is_critic else widths[0] * base * model.z_dim
    return count + ends, sum(map(operator.mul, pixels, widths))
