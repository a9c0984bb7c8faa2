"""Networks of a run for other programs: `python -m wgan_jax.export RUN --out FILE`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

from wgan_jax import cli, exports
from wgan_jax.errors import UserError
from wgan_jax.runs.directory import read_data_record
from wgan_jax.runs.restore import restore_run


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes the generator or the critic of a run as a file for other programs."""

    run: Annotated[cli.Positional[str], cli.metavar("RUN")]
    """Directory of the run."""
    format: str = ""
    """Format of the file: safetensors (arrays by name), stablehlo (a program for JAX on
    CPU, CUDA and TPU), torch (a state dict, and the source of its module), onnx; empty
    is that of the suffix in --out."""
    out: str = ""
    """File to write: NAME.safetensors, NAME.stablehlo, NAME.pth or NAME.onnx; empty is
    the name of the network in the run directory."""
    network: Literal["generator", "critic", "both"] = "generator"
    """Network to write; both in one file of safetensors or torch."""
    checkpoint: str = ""
    """Step of the checkpoint; empty or last is the newest, best the best one in
    training (with run.evaluate_every)."""
    raw: bool = False
    """Write the generator of the last step even if the run has an averaged one."""
    average: bool = False
    """Write the averaged generator, or fail if the run has none."""
    overwrite: bool = False
    """Replace what --out names."""


def main(argv=None) -> int:
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    options = cli.parse(Options, argv, "python -m wgan_jax.export")
    cli.refuse_together(options, "raw", "average")
    if options.out:
        out = Path(options.out)
    elif options.format in exports.FORMATS:
        suffix = exports.FORMATS[options.format].SUFFIXES[0]
        name = "networks" if options.network == "both" else options.network
        out = Path(options.run) / f"{name}{suffix}"
    else:
        out = Path("")
    exports.check(out, options.format, options.network, options.overwrite)
    config, spec, state = restore_run(options.run, options.checkpoint)
    if options.average and state.ema is None:
        raise UserError(
            f"--average: {options.run} has no averaged weights (optimizer.ema_decay=0)"
        )
    export = exports.write(
        config,
        spec,
        state,
        out,
        format=options.format,
        network=options.network,
        raw=options.raw,
        record=read_data_record(options.run),
        overwrite=options.overwrite,
    )
    print(export)
    return 0


if __name__ == "__main__":
    cli.run(main)
