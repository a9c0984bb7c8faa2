"""Networks of a run as files for other programs."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.algorithm.state import Spec, TrainState
from wgan_jax.config import Config
from wgan_jax.data.record import NO_DATA, DataRecord
from wgan_jax.errors import UserError
from wgan_jax.exports import onnx_model, program, tensors, torch_module
from wgan_jax.exports.metadata import describe, sentences
from wgan_jax.exports.part import Part
from wgan_jax.files import check_new
from wgan_jax.nn.models import build
from wgan_jax.runs.sampling import weights

# A format is a module with SUFFIXES, the names that its files may have; SEVERAL, which
# is true where one file holds both networks; files(path), all files that it writes;
# write(path, parts, metadata); and run(path, part, x, labels), the outputs of a network
# as the written file computes them.
FORMATS: dict[str, Any] = {
    "safetensors": tensors,
    "stablehlo": program,
    "torch": torch_module,
    "onnx": onnx_model,
}
NETWORKS = ("generator", "critic", "both")


class Export(NamedTuple):
    """Written files and their content."""

    files: tuple[Path, ...]
    metadata: dict
    """See `metadata.describe`; stored in the files too."""
    difference: float
    """Largest difference of the files' outputs to the run's own, which are about 1."""

    def __str__(self):
        return "\n".join(
            [
                *sentences(self.metadata),
                f"largest difference to the run's outputs: {self.difference:.1g}",
                *map(str, self.files),
            ]
        )


def write(
    config: Config,
    spec: Spec,
    state: TrainState,
    path,
    *,
    format: str = "",
    network: str = "generator",
    raw: bool = False,
    record: DataRecord = NO_DATA,
    overwrite: bool = False,
) -> Export:
    """Writes networks of a run, as `restore_run` gives it, into the file `path`.

    format: a key of FORMATS; empty takes the one of the suffix of `path`. network:
    generator, critic or both. raw: weights of the last step instead of averaged ones.
    record: the run's record of its data, for the names of the labels. The files replace
    old ones only with `overwrite`, and only after their outputs have been compared with
    those of the run. Raises UserError for a mistake in these, and where a network
    cannot be written in this format.
    """
    path = Path(path)
    name = check(path, format, network, overwrite)
    form = FORMATS[name]
    if name == "onnx" and config.model.dtype != "float32":
        # ONNX Runtime has no convolutions in bfloat16 on a CPU.
        model = dataclasses.replace(config.model, dtype="float32")
        generator, critic = build(model, config.data.sample_shape)
        spec = dataclasses.replace(spec, generator=generator, critic=critic)
    parts = _parts(config, spec, state, network, raw)
    metadata = describe(config, spec, state, parts, name, raw, record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder,
        jax.default_matmul_precision(config.run.precision),
    ):
        temporary = Path(folder) / path.name
        form.write(temporary, parts, metadata)
        difference = max(_difference(form, temporary, part) for part in parts)
        # The networks' products are rounded by 2^-8 in bfloat16.
        bound = 1e-4 if config.model.dtype == "float32" else 0.1
        if not difference < bound:
            raise UserError(
                f"--format {name}: the outputs of the written file differ by "
                f"{difference:.2g} from those of the run, so it was not kept: take "
                "another --format"
            )
        for file in form.files(path):
            (Path(folder) / file.name).replace(file)
    return Export(form.files(path), metadata, difference)


def check(path: Path, format: str, network: str, overwrite: bool) -> str:
    """The format's name; UserError where `write` would refuse these arguments."""
    suffixes = {s: name for name, f in FORMATS.items() for s in f.SUFFIXES}
    if format and format not in FORMATS:
        raise UserError(f"--format {format} must be one of {', '.join(FORMATS)}")
    name = format or suffixes.get(path.suffix, "")
    if not name:
        raise UserError(
            f"--format is missing: give one of {', '.join(FORMATS)}, or let the name "
            f"in --out end in {', '.join(suffixes)}"
        )
    form = FORMATS[name]
    if path.suffix not in form.SUFFIXES:
        known = " or ".join(form.SUFFIXES)
        raise UserError(f"--out {path} must end in {known} for --format {name}")
    if network not in NETWORKS:
        raise UserError(f"--network {network} must be one of {', '.join(NETWORKS)}")
    if network == "both" and not form.SEVERAL:
        raise UserError(
            f"--network both: a {name} file holds one network; give generator or critic"
        )
    for file in form.files(path):
        if file.is_dir():
            raise UserError(f"--out {file} is a folder: give the name of a file")
        check_new(file, "--out", overwrite)
    form.require()
    return name


def _parts(config, spec, state, network, raw):
    shape = config.data.sample_shape
    params, stats = jax.tree.map(jnp.asarray, weights(state, raw))
    generator = Part(
        "generator", spec.generator, params, stats, (spec.z_dim,), shape, spec.classes
    )
    net = state.critic
    params, stats = jax.tree.map(jnp.asarray, (net.params, net.stats))
    critic = Part("critic", spec.critic, params, stats, shape, (), 0)
    return [part for part in (generator, critic) if network in (part.name, "both")]


def _difference(form, path, part):
    """Largest difference of the written outputs, relative to those above 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, *part.input_shape)).astype(np.float32)
    labels = np.arange(4, dtype=np.int32) % part.classes if part.classes else None
    expected = np.asarray(jax.jit(part.apply)(x, labels))
    written = np.asarray(form.run(path, part, x, labels))
    if written.shape != expected.shape:
        return np.inf
    return float(np.abs(written - expected).max() / max(1, np.abs(expected).max()))
