"""A page for a run, or for several runs: `python -m wgan_jax.report RUN`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

from wgan_jax import cli
from wgan_jax.errors import UserError
from wgan_jax.files import check_new
from wgan_jax.pages.facts import find_runs
from wgan_jax.pages.write import default_out, write_page


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes one HTML file, which needs no network, about a run or several runs."""

    runs: Annotated[cli.Positional[tuple[str, ...]], cli.metavar("RUN")] = ()
    """Run directories, or folders of runs such as that of a sweep. Of several runs the
    page overlays the curves and compares the numbers."""
    out: str = ""
    """NAME.html of the page; empty is report.html in the run, or in the folder of all
    runs."""
    png: str = ""
    """NAME.png of a picture of the curves and the newest samples; empty writes none."""
    overwrite: bool = False
    """Replace the files that --out and --png name."""


def main(argv=None) -> int:
    """Writes the page; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    options = cli.parse(Options, argv, "python -m wgan_jax.report")
    if not options.runs:
        raise UserError("RUN is missing: give a run directory, as in runs/digits")
    runs = find_runs(options.runs)
    for option, suffix in (("out", ".html"), ("png", ".png")):
        path = getattr(options, option)
        if path and Path(path).suffix != suffix:
            raise UserError(f"--{option} {path} must end in {suffix}")
        if path:
            check_new(Path(path), f"--{option}", options.overwrite)
    out = Path(options.out) if options.out else default_out(options.runs)
    png = Path(options.png) if options.png else None
    write_page(options.runs, out, png)
    about = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    print(f"page of {about}: {out}" + (f"; picture: {png}" if png else ""))
    return 0


if __name__ == "__main__":
    cli.run(main)
