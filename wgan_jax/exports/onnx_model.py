"""A network as an ONNX model; the only file that imports jax2onnx and ONNX."""

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import jax
from jax import export

from wgan_jax.errors import UserError
from wgan_jax.exports.metadata import as_text
from wgan_jax.exports.part import Part
from wgan_jax.nn import conv

SUFFIXES = (".onnx",)
SEVERAL = False
OPSET = 21


def files(path: Path) -> tuple[Path, ...]:
    """All files of an export."""
    return (path,)


def require() -> None:
    """Raises UserError without the extra onnx."""
    for name in ("onnx", "onnxruntime", "jax2onnx"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f'{name} is not installed: pip install "wgan_jax[onnx]"')


def write(path: Path, parts: Sequence[Part], metadata: dict) -> None:
    """Writes the model of one part, for any batch size.

    Raises UserError for an operation that jax2onnx does not know.
    """
    (part,) = parts
    # Both report each of their plugins for other libraries that cannot be loaded.
    for name in ("jax2onnx", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        import jax2onnx
        import onnx

        (count,) = export.symbolic_shape("n")
        try:
            # jax2onnx 0.13 drops the dilation of a convolution without an error.
            # Under JAX 0.12 it knows no functions that are compiled in themselves.
            with conv.use_implementation("subpixel"), jax.disable_jit():
                model = jax2onnx.to_onnx(
                    part.apply,
                    part.inputs(count),
                    model_name=part.name,
                    opset=OPSET,
                    input_names=part.input_names,
                    output_names=[part.output_name],
                )
        except Exception as error:
            line = " ".join(str(error).split())[:300]
            raise UserError(
                f"--format onnx: jax2onnx cannot convert the {part.name} "
                f"({type(error).__name__}: {line}): take --format stablehlo"
            ) from error
    onnx.helper.set_model_props(model, as_text(metadata))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def run(path: Path, part: Part, x, labels=None):
    """Outputs of the model in onnxruntime; UserError where it refuses the model."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, dict(zip(part.input_names, (x, labels))))[0]
    except Exception as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(
            f"--format onnx: onnxruntime cannot run the {part.name} ({line}): take "
            "--format stablehlo"
        ) from error
