"""Experiments of both papers: python scripts/reproduce.py NAME.

Each writes NAME.png and NAME.json (every number in the picture) to docs/figures, and a
line to the table in docs/results.md. The quick form of a figure takes minutes on two
CPU cores; --full uses the lengths and sizes of the papers. seeds [SYSTEM ...] trains
the five systems, each as its document does, and takes hours.
"""

import argparse
import difflib
import importlib
import json
import math
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
    "seeds": "the five systems, each trained as its document does",
    "grid": "seven pairs of networks by four methods (WGAN-GP, Fig. 2)",
    "lsun": "LSUN bedrooms (WGAN, Figs. 3 and 5-7; WGAN-GP, Figs. 4 and 5a)",
    "random-architectures": "random architectures, WGAN-GP and GAN "
    "(WGAN-GP, Tables 1 and 2)",
    "language-model": "a character-level language model (WGAN-GP, section 5.5)",
}
# Configurations of the name `seeds`.
SYSTEMS = {
    "fashion_mnist_mlp": "Fashion-MNIST, fully connected, clipping",
    "mnist_dcgan": "MNIST, convolutions, clipping",
    "cat_faces_1": "cat faces, 15 epochs at 1e-4",
    "cat_faces_2": "cat faces, 15 epochs at 2e-4",
    "cat_faces_3": "cat faces, 30 epochs at 1e-4",
    "mnist_dcgan_anogan": "MNIST, the WGAN of AnoGAN",
    "mnist_wgan_gp": "MNIST, gradient penalty",
}
# Rows of the grid, and all names that may follow a NAME.
ROWS = ("baseline", "constant", "mlp", "no-norm", "gated", "tanh", "resnet101")
PARTS = {"seeds": tuple(SYSTEMS), "grid": ROWS}
CIFAR = ("cifar-curves", "cifar-resnet")
ARCHITECTURES = "random-architectures"
NEW = ("grid", "lsun", ARCHITECTURES, "language-model")
# {option: (names that use it, type, help)}; every other name refuses it.
OPTIONS = {
    "--tfds-dir": (
        (
            *("curves", "overfitting", *CIFAR, "generators", "seeds", "grid", "lsun"),
            ARCHITECTURES,
        ),
        str,
        "FOLDER: prepared TFDS data sets",
    ),
    "--npz": (
        (*CIFAR, ARCHITECTURES),
        Path,
        "FILE: CIFAR-10 as train_images, train_labels, test_images and test_labels "
        "instead of TFDS",
    ),
    "--images": (
        ("seeds", "grid", "lsun"),
        Path,
        "FOLDER: image files (seeds: those of the cat faces; grid, lsun: instead of "
        "TFDS lsun/bedroom)",
    ),
    "--hours": (
        ("grid", "lsun", ARCHITECTURES),
        float,
        "H: begin no run after H hours, and draw what is trained; the same command "
        "continues",
    ),
    "--text": (("language-model",), Path, "FILE: text to train on"),
    "--runs": (
        (*CIFAR, "curves", "seeds", *NEW),
        Path,
        "FOLDER: run directories, which are resumed (default runs; curves: none)",
    ),
    "--seeds": (
        (*CIFAR, "curves", "seeds", "language-model"),
        int,
        "N: number of runs with different seeds",
    ),
    "--architectures": ((ARCHITECTURES,), int, "N: number of architectures"),
    "--steps": ((*CIFAR, "curves", *NEW), int, "N: generator updates"),
    "--width": ((*CIFAR, "curves", "seeds", *NEW), int, "N: base width of networks"),
    "--epochs": (("seeds",), int, "N: epochs, instead of those of the document"),
}
# (title, first and last line) of the tables in docs/results.md.
FIGURE_TABLE = "Figures of the papers", "<!-- figures -->", "<!-- end of figures -->"
SYSTEM_TABLE = "The five systems", "<!-- systems -->", "<!-- end of systems -->"


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one sentence, as the commands do."""

    def error(self, message):
        """Raises UserError."""
        raise UserError(f"{message}: see --help")


def parse(argv) -> argparse.Namespace:
    """Options of the command. Raises UserError for a mistake."""
    names = "; ".join(f"{name}: {title}" for name, title in FIGURES.items())
    systems = "; ".join(f"{name}: {title}" for name, title in SYSTEMS.items())
    parser = Parser(
        description=__doc__,
        epilog=f"{names}. Systems of seeds: {systems}. Rows of grid: {', '.join(ROWS)}",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help=", ".join(FIGURES))
    text = "with seeds: some of its systems; with grid: train these rows only"
    add("systems", nargs="*", metavar="PART", help=text)
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
    for option, (users, kind, text) in OPTIONS.items():
        metavar, _, text = text.partition(": ")
        add(option, type=kind, metavar=metavar, help=f"{text} ({', '.join(users)})")
    add("--no-train", action="store_true", help="measure runs as they are (seeds)")
    options = parser.parse_intermixed_args(argv)
    _check(options)
    options.tfds_dir = options.tfds_dir or ""
    options.typed_runs, options.runs = options.runs, options.runs or ROOT / "runs"
    return options


def _check(options):
    _check_name("NAME", options.name, FIGURES)
    if options.name not in PARTS and options.systems:
        raise UserError(
            f"{options.name} takes no further name: remove {options.systems[0]}, or "
            "give it to another call"
        )
    for i, system in enumerate(options.systems):
        _check_name(options.name, system, PARTS[options.name])
        if system in options.systems[:i]:
            raise UserError(f"{system} is given twice: give it once")
    if options.full and options.tiny:
        raise UserError("--full and --tiny exclude each other: give one of them")
    if options.no_train and options.name != "seeds":
        raise UserError(
            f"--no-train does not apply to {options.name}: it is an option of seeds"
        )
    for option, (users, kind, _) in OPTIONS.items():
        value = getattr(options, option[2:].replace("-", "_"))
        if value is not None and options.name not in users:
            raise UserError(
                f"{option} {value} does not apply to {options.name}: it is an option "
                f"of {', '.join(users)}"
            )
        if kind is int and value is not None and value < 1:
            raise UserError(f"{option} {value} must be 1 or more")
        if kind is float and value is not None and not 0 < value < math.inf:
            raise UserError(f"{option} {value} must be greater than 0")
        if option in ("--images", "--text", "--npz") and value and not value.exists():
            raise UserError(f"{option} {value} does not exist")
    if not 0 <= options.seed <= cli.SEEDS:
        raise UserError(f"--seed {options.seed} must be from 0 to {cli.SEEDS}")


def _check_name(where, name, known):
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.3)
        remedy = (
            f"did you mean {near[0]}" if near else f"give one of {', '.join(known)}"
        )
        raise UserError(f"{where} {name} is not known: {remedy}")


def main(argv=None) -> int:
    """Computes, draws and records one figure, or one for each system."""
    options = parse(sys.argv[1:] if argv is None else argv)
    figure = load(options.name)
    systems = options.systems or list(SYSTEMS)
    if options.name == "seeds":
        figure.check(options, systems)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.name != "seeds":
        reproduce(figure, options, options.name)
    else:
        for system in systems:
            options.system = system
            reproduce(figure, options, system)
    return 0


def reproduce(figure, options, name) -> None:
    """Computes, draws and records the figure `name` with the functions of a module."""
    size = "full" if options.full else "tiny" if options.tiny else "quick"
    # Before the training: a commit made during it does not affect the numbers.
    facts = describe(options, name)
    start = time.perf_counter()
    numbers = figure.compute(size, options.seed, options)
    facts["seconds"] = round(time.perf_counter() - start, 1)
    picture = options.out / f"{name}.png"
    draw(figure, numbers, picture)
    text = json.dumps(
        facts | {"numbers": numbers}, allow_nan=False, separators=(",", ":")
    )
    write_text(options.out / f"{name}.json", text + "\n")
    finding = figure.finding(numbers)
    print(finding)
    record(options.results, name, facts, finding)
    print(f"{name} in {duration(facts['seconds'])}: {picture}")


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


def describe(options, name) -> dict:
    """Provenance of a figure: command, commit, machine, date."""
    facts = provenance()
    words = ["python scripts/reproduce.py", *dict.fromkeys([options.name, name])]
    words += [f"--{flag}" for flag in ("full", "tiny") if getattr(options, flag)]
    words += ["--no-train"] if options.no_train else []
    words += [f"--seed {options.seed}"] if options.seed else []
    for option in OPTIONS:
        value = getattr(options, option[2:].replace("-", "_"))
        # The place of data and runs on one machine says nothing on another.
        if value is not None and option not in ("--tfds-dir", "--runs"):
            words.append(f"{option} {getattr(value, 'name', value)}")
    cores = f"{facts['cores']} core{'s' if facts['cores'] > 1 else ''}"
    return {
        "command": " ".join(words),
        "commit": facts["commit"],
        "device": facts["device"],
        "machine": f"{platform.machine()}, {cores}",
        "jax": facts["versions"]["jax"],
        "date": facts["date"].partition("T")[0],
    }


def record(results: Path, name, facts, finding) -> None:
    """Writes a figure's line to the table between the markers, replacing an old one."""
    text = results.read_text() if results.exists() else ""
    table = SYSTEM_TABLE if name in SYSTEMS else FIGURE_TABLE
    title, begin, end = table
    if begin not in text:
        text += (
            f"\n## {title}\n\n{begin}\n| figure | result | command, commit, "
            f"machine, time, date |\n|---|---|---|\n{end}\n"
        )
    head, rest = text.split(begin)
    rows, tail = rest.split(end)
    header, rule, *lines = rows.strip().splitlines()
    origin = (
        f"`{facts['command']}`, {facts['commit']}, {facts['device']} "
        f"({facts['machine']}), jax {facts['jax']}, {duration(facts['seconds'])}, "
        f"{facts['date']}"
    )
    link = f"[{name}](figures/{name}.png): {(FIGURES | SYSTEMS)[name]}"
    lines = [line for line in lines if f"[{name}]" not in line]
    lines = sorted([*lines, f"| {link} | {finding} | {origin} |"])
    rows = "\n".join([header, rule, *lines])
    write_text(results, f"{head}{begin}\n{rows}\n{end}{tail}")


if __name__ == "__main__":
    cli.run(main)
