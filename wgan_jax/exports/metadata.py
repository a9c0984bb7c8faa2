"""Description of exported networks, which is stored with them."""

import json

import jax

import wgan_jax
from wgan_jax.config import to_json

VERSION = 1
"""Version of this description and of the names in a file."""


def describe(config, spec, state, parts, format, raw, record) -> dict:
    """What a reader of an export has to know, as values of JSON.

    An empty list stands for what the run does not have: labels, columns' scales.
    """
    data = config.data
    averaged = state.ema is not None and not raw
    uses = "averaged" if averaged and parts[0].name == "generator" else "raw"
    described = {
        "format": f"wgan_jax {format} {VERSION}",
        "wgan_jax": wgan_jax.__version__,
        "jax": jax.__version__,
        "networks": [part.name for part in parts],
        "weights": uses,
        "step": int(state.step),
        "latent_size": spec.z_dim,
        "latents": f"standard normal, float32 [n, {spec.z_dim}]",
        "classes": spec.classes,
        "labels": list(record.labels) if spec.classes else [],
        "label_names": list(getattr(record, "label_names", ())) * bool(spec.classes),
        "sample_shape": list(data.sample_shape),
        "value_range": value_range(config),
        "data_scale": data.scale if data.noun == "images" else "none",
        "vocabulary": record.vocabulary if data.is_text else "",
        "to_data": to_data(config, spec),
        "mean": [],
        "std": [],
        "layers": {
            part.name: [[str(r.layer), list(r.shape)] for r in part.network.summary]
            for part in parts
        },
        "config": json.loads(to_json(config)),
    }
    if spec.scales:
        described["mean"], described["std"] = (list(s) for s in spec.scales)
    return described


def value_range(config) -> list:
    """[low, high] of the values of the networks; [] for points."""
    if config.data.is_points:
        return []
    if config.data.is_text:
        return [0, 1]
    return [-1, 1] if config.data.scale == "symmetric" else [0, 1]


def to_data(config, spec) -> str:
    """The formula from outputs x of a generator to values of the data."""
    if config.data.is_points:
        return "x * std + mean" if spec.scales else "x"
    if config.data.is_text:
        return "vocabulary[argmax(x)]"
    unit = "(x + 1) / 2" if config.data.scale == "symmetric" else "x"
    return f"uint8(clip(round({unit} * 255), 0, 255))"


def as_text(metadata: dict) -> dict[str, str]:
    """The values as text: strings as they are, all others as JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.items()
    }


def sentences(metadata: dict) -> list[str]:
    """The description in lines for people."""
    names = metadata["networks"]
    weights = metadata["weights"]
    lines = [f"{' and '.join(names)} of step {metadata['step']}, {weights} weights"]
    if "generator" not in names:
        return lines
    lines.append(f"input: {metadata['latents']}")
    if metadata["classes"]:
        lines.append(f"labels: int32 [n], 0 to {metadata['classes'] - 1}")
    low_high = metadata["value_range"]
    values = f"in {low_high}" if low_high else "points"
    lines.append(f"output: {values}; in units of the data {metadata['to_data']}")
    return lines
