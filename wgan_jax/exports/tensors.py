"""Parameters and statistics as a safetensors file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save

from wgan_jax.exports.metadata import as_text
from wgan_jax.exports.part import Part

SUFFIXES = (".safetensors",)
SEVERAL = True


def files(path: Path) -> tuple[Path, ...]:
    """All files of an export."""
    return (path,)


def require() -> None:
    """Nothing is missing."""


def write(path: Path, parts: Sequence[Part], metadata: dict) -> None:
    """Writes the arrays of all parts by name, and the metadata as text."""
    arrays = {}
    for part in parts:
        # The format stores the memory of an array, whatever the order of its axes.
        named = part.arrays().items()
        arrays |= {n: np.array(a, np.float32, order="C") for n, a in named}
    path.write_bytes(save(arrays, as_text(metadata)))


def run(path: Path, part: Part, x, labels=None):
    """Outputs of our network with the arrays of the file."""
    arrays = load_file(path)
    structure = jax.tree.structure((part.params, part.stats))
    params, stats = structure.unflatten(
        jnp.array(arrays[name]) for name in part.arrays()
    )
    return jax.jit(dataclasses.replace(part, params=params, stats=stats).apply)(
        x, labels
    )
