"""Figures of both papers: python scripts/reproduce.py NAME.

Each figure writes NAME.png and NAME.json (every number in the picture) to docs/figures,
and a line to the table in docs/results.md. The quick form takes minutes on two CPU
cores; --full uses the lengths and sizes of the papers.
"""

import argparse
import importlib
import json
import platform
import sys
import time
from pathlib import Path

from PIL import Image

from provenance import provenance
from wgan_jax import cli
from wgan_jax.errors import UserError
from wgan_jax.files import write_text
from wgan_jax.runs.log import duration

ROOT = Path(__file__).parents[1]
FIGURES = {
    "lines": "parallel lines: distances against theta (WGAN, Fig. 1)",
    "gaussians": "two Gaussians: best discriminator and critic (WGAN, Fig. 2)",
    "surfaces": "value surfaces of toy critics (WGAN-GP, Fig. 1a)",
    "gradients": "gradients by layer and weights (WGAN-GP, Fig. 1b)",
    "curves": "estimate against sample quality (WGAN, Figs. 3 and 4)",
    "overfitting": "the critic on 1,000 MNIST images (WGAN-GP, Fig. 5b)",
    "cifar-curves": "CIFAR-10 by four methods (WGAN-GP, Fig. 3)",
    "cifar-resnet": "CIFAR-10 by ResNets, without and with labels (WGAN-GP, Table 3)",
    "generators": "WGAN against GAN on three generators (WGAN, Figs. 5-7)",
}
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def parse(argv) -> argparse.Namespace:
    """Options of the command. Exits 2 for a mistake."""
    names = "; ".join(f"{name}: {title}" for name, title in FIGURES.items())
    parser = argparse.ArgumentParser(description=__doc__, epilog=names)
    add = parser.add_argument
    add("name", choices=FIGURES, metavar="NAME", help=", ".join(FIGURES))
    add("--full", action="store_true", help="lengths and sizes of the papers")
    add("--tiny", action="store_true", help="every part in seconds, to test")
    add("--seed", type=int, default=0, help="seed of all random numbers (default 0)")
    add(
        "--out",
        type=Path,
        default=ROOT / "docs" / "figures",
        metavar="FOLDER",
        help="folder of NAME.png and NAME.json (default docs/figures)",
    )
    add(
        "--results",
        type=Path,
        default=ROOT / "docs" / "results.md",
        metavar="FILE",
        help="file with the table of figures (default docs/results.md)",
    )
    add(
        "--tfds-dir",
        default="",
        metavar="FOLDER",
        help="prepared TFDS data sets (figures of images)",
    )
    add(
        "--npz",
        type=Path,
        metavar="FILE",
        help="CIFAR-10 as train_images, train_labels, test_images and test_labels "
        "instead of TFDS (cifar-curves, cifar-resnet)",
    )
    add(
        "--runs",
        type=Path,
        default=ROOT / "runs",
        metavar="FOLDER",
        help="run directories, which are resumed (cifar-curves, cifar-resnet)",
    )
    options = parser.parse_args(argv)
    if options.full and options.tiny:
        parser.error("--full and --tiny exclude each other: give one of them")
    return options


def main(argv=None) -> int:
    """Computes, draws and records one figure."""
    options = parse(sys.argv[1:] if argv is None else argv)
    figure = load(options.name)
    size = "full" if options.full else "tiny" if options.tiny else "quick"
    options.out.mkdir(parents=True, exist_ok=True)
    # Before the training: a commit made during it does not affect the numbers.
    facts = describe(options)
    start = time.perf_counter()
    numbers = figure.compute(size, options.seed, options)
    facts["seconds"] = round(time.perf_counter() - start, 1)
    picture = options.out / f"{options.name}.png"
    draw(figure, numbers, picture)
    text = json.dumps(
        facts | {"numbers": numbers}, allow_nan=False, separators=(",", ":")
    )
    write_text(options.out / f"{options.name}.json", text + "\n")
    finding = figure.finding(numbers)
    print(finding)
    record(options.results, options.name, facts, finding)
    print(f"{options.name} in {duration(facts['seconds'])}: {picture}")
    return 0


def load(name):
    """The module of a figure. Raises UserError where matplotlib is missing."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UserError(
            "figures need matplotlib: pip install matplotlib, or wgan-jax[figures]"
        ) from error
    mpl.use("Agg")
    return importlib.import_module(f"figures.{name.replace('-', '_')}")


def draw(figure, numbers, picture: Path) -> None:
    """Writes the PNG file of a figure."""
    figure.draw(numbers).savefig(picture, dpi=120)
    # 256 colours are enough for plots, at a third of the size.
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)


def describe(options) -> dict:
    """Provenance of a figure: command, commit, machine, date."""
    facts = provenance()
    command = f"python scripts/reproduce.py {options.name}"
    for flag in ("full", "tiny"):
        command += f" --{flag}" if getattr(options, flag) else ""
    cores = f"{facts['cores']} core{'s' if facts['cores'] > 1 else ''}"
    return {
        "command": command + (f" --seed {options.seed}" if options.seed else ""),
        "commit": facts["commit"],
        "device": facts["device"],
        "machine": f"{platform.machine()}, {cores}",
        "jax": facts["versions"]["jax"],
        "date": facts["date"].partition("T")[0],
    }


def record(results: Path, name, facts, finding) -> None:
    """Writes a figure's line to the table between the markers, replacing an old one."""
    text = results.read_text() if results.exists() else ""
    if BEGIN not in text:
        text += (
            f"\n## Figures of the papers\n\n{BEGIN}\n| figure | result | "
            f"command, commit, machine, time, date |\n|---|---|---|\n{END}\n"
        )
    head, rest = text.split(BEGIN)
    table, tail = rest.split(END)
    header, rule, *lines = table.strip().splitlines()
    origin = (
        f"`{facts['command']}`, {facts['commit']}, {facts['device']} "
        f"({facts['machine']}), jax {facts['jax']}, {duration(facts['seconds'])}, "
        f"{facts['date']}"
    )
    link = f"[{name}](figures/{name}.png): {FIGURES[name]}"
    lines = [line for line in lines if f"[{name}]" not in line]
    lines = sorted([*lines, f"| {link} | {finding} | {origin} |"])
    table = "\n".join([header, rule, *lines])
    write_text(results, f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    cli.run(main)
