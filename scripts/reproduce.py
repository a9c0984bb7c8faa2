"""Figures of both papers, made anew: python scripts/reproduce.py NAME.

Each writes NAME.png and NAME.json (every number in the picture) into docs/figures, and
its line in docs/results.md. The quick form takes minutes on two CPU cores; --full has
the papers' lengths and sizes.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import jax
from PIL import Image

from wgan_jax import cli
from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
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


def parse(argv):
    names = "; ".join(f"{name}: {what}" for name, what in FIGURES.items())
    parser = argparse.ArgumentParser(description=__doc__, epilog=names)
    add = parser.add_argument
    add("name", choices=FIGURES, metavar="NAME", help=", ".join(FIGURES))
    add("--full", action="store_true", help="the papers' length and size")
    add("--tiny", action="store_true", help="the whole path in seconds: a test")
    add("--seed", type=int, default=0, help="seed of all chance (default 0)")
    add("--out", type=Path, default=ROOT / "docs" / "figures", metavar="FOLDER",
        help="where NAME.png and NAME.json go")  # fmt: skip
    add("--results", type=Path, default=ROOT / "docs" / "results.md", metavar="FILE",
        help="file whose table of figures gets a line")  # fmt: skip
    add("--tfds-dir", default="", metavar="FOLDER",
        help="prepared TFDS data sets (all figures of images)")  # fmt: skip
    add("--npz", type=Path, metavar="FILE",
        help="CIFAR-10 as train_images, train_labels, test_images, test_labels "
        "instead of TFDS (cifar-*)")  # fmt: skip
    add("--runs", type=Path, default=ROOT / "runs", metavar="FOLDER",
        help="run directories that are gone on with (cifar-*)")  # fmt: skip
    options = parser.parse_args(argv)
    if options.full and options.tiny:
        parser.error("--full and --tiny exclude each other: give one of them")
    return options


def main(argv=None) -> int:
    """Computes, draws and records one figure."""
    options = parse(sys.argv[1:] if argv is None else argv)
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UserError(
            "figures need matplotlib: pip install matplotlib, or wgan-jax[figures]"
        ) from error
    mpl.use("Agg")
    size = "full" if options.full else "tiny" if options.tiny else "quick"
    options.out.mkdir(parents=True, exist_ok=True)
    figure = importlib.import_module(f"figures.{options.name.replace('-', '_')}")
    # Before the training: a commit made during it has no part in the numbers.
    facts = provenance(options)
    start = time.perf_counter()
    numbers = figure.compute(size, options.seed, options)
    facts["seconds"] = round(time.perf_counter() - start, 1)
    picture = options.out / f"{options.name}.png"
    figure.draw(numbers).savefig(picture, dpi=120)
    # 256 colours are enough for plots, at a third of the size.
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)
    whole = facts | {"numbers": numbers}
    text = json.dumps(whole, allow_nan=False, separators=(",", ":")) + "\n"
    (options.out / f"{options.name}.json").write_text(text)
    sentence = figure.finding(numbers)
    print(sentence)
    record(options.results, options.name, facts, sentence)
    print(f"{options.name} in {duration(facts['seconds'])}: {picture}")
    return 0


def provenance(options) -> dict:
    """What stands beside every number: command, commit, machine, date."""
    environment = directory.environment(Config())
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    command = f"python scripts/reproduce.py {options.name}"
    for flag in ("full", "tiny"):
        command += f" --{flag}" if getattr(options, flag) else ""
    return {
        "command": command + (f" --seed {options.seed}" if options.seed else ""),
        "commit": environment["git_commit"],
        "device": environment["device"],
        "machine": f"{platform.machine()}, {cores} core{'s' if cores > 1 else ''}",
        "jax": jax.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def record(results: Path, name, facts, sentence) -> None:
    """Puts a figure's line into the table between the markers, over its old one."""
    text = results.read_text() if results.exists() else ""
    if BEGIN not in text:
        text += (
            f"\n## Figures of the papers\n\n{BEGIN}\n| figure | what came out | "
            f"command, commit, machine, time, date |\n|---|---|---|\n{END}\n"
        )
    head, rest = text.split(BEGIN)
    table, tail = rest.split(END)
    old = [line for line in table.strip().splitlines() if f"[{name}]" not in line]
    where = (
        f"`{facts['command']}`, {facts['commit']}, {facts['device']} "
        f"({facts['machine']}), jax {facts['jax']}, {duration(facts['seconds'])}, "
        f"{facts['date']}"
    )
    link = f"[{name}](figures/{name}.png): {FIGURES[name]}"
    rows = sorted([*old[2:], f"| {link} | {sentence} | {where} |"])
    table = "\n".join([*old[:2], *rows])
    results.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    cli.run(main)
