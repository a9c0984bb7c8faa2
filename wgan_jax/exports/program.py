"""A network as one StableHLO program, which needs JAX alone."""

from collections.abc import Sequence
from pathlib import Path

import jax
from jax import export

from wgan_jax.exports.part import Part
from wgan_jax.files import write_json
from wgan_jax.nn import conv

SUFFIXES = (".stablehlo",)
SEVERAL = False
PLATFORMS = ("cpu", "cuda", "tpu")


def files(path: Path) -> tuple[Path, ...]:
    """All files of an export: the program and its metadata."""
    return (path, path.with_name(f"{path.name}.json"))


def require() -> None:
    """Nothing is missing."""


def write(path: Path, parts: Sequence[Part], metadata: dict) -> None:
    """Writes the program of one part, for any batch size and all of PLATFORMS."""
    (part,) = parts
    (count,) = export.symbolic_shape("n")
    # The same on each platform: convolutions that XLA knows as such.
    with conv.use_implementation("library"):
        exported = export.export(jax.jit(part.apply), platforms=PLATFORMS)(
            *part.inputs(count)
        )
    program, side = files(path)
    program.write_bytes(exported.serialize())
    write_json(side, metadata | {"platforms": list(PLATFORMS)})


def run(path: Path, part: Part, x, labels=None):
    """Outputs of the program."""
    exported = export.deserialize(bytearray(path.read_bytes()))
    return exported.call(*([x] if labels is None else [x, labels]))
