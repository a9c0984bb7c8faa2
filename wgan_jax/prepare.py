"""Checks and prepares data: `python -m wgan_jax.prepare check PATH`.

`pack FOLDER OUT` and `tfds NAME` write array_record files.
"""

import contextlib
import dataclasses
import math
import sys
from collections import Counter
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

import numpy as np

from wgan_jax import cli
from wgan_jax.config import Data
from wgan_jax.data.check import contact_sheet, lines, make_report, points_report
from wgan_jax.data.decoding import FIELDS
from wgan_jax.data.memory import in_threads, print_remarks
from wgan_jax.data.sources.array_record import encode, write_records
from wgan_jax.data.sources.folder import ImageFolder
from wgan_jax.data.survey import survey
from wgan_jax.data.tfds import open_builder
from wgan_jax.distributed.sharding import format_bytes, require_memory
from wgan_jax.errors import UserError, printable
from wgan_jax.files import check_new, write_json, write_text
from wgan_jax.pictures import save_png
from wgan_jax.sizes import training_bytes
from wgan_jax.suggest import (
    device,
    facts_of,
    name_source,
    python_file,
    read_facts,
    suggest,
)

PROG = "python -m wgan_jax.prepare"


@dataclasses.dataclass(frozen=True)
class Check:
    """Reports on the data at a path, and suggests a configuration for it."""

    path: Annotated[cli.Positional[str], cli.metavar("PATH")]
    """Folder of images, or any file or folder that a data source reads."""
    source: str = ""
    """Source of the data, as data.source; empty detects it."""
    array: str = ""
    """Array of an .npz file or column of a Parquet file, as data.array."""
    sheet: str = ""
    """NAME.png for a contact sheet: images drawn by --seed, and the most unusual."""
    seed: int = 0
    """Seed of the images on the sheet."""
    json: str = ""
    """NAME.json for the report."""
    write_config: str = ""
    """NAME.py for the suggested configuration, to edit and to give to --config."""
    overwrite: bool = False
    """Replace these files where they exist."""


@dataclasses.dataclass(frozen=True)
class Pack:
    """Writes a folder of images as array_record files, which are fast to stream."""

    folder: Annotated[cli.Positional[str], cli.metavar("FOLDER")]
    """Folder of image files, at any depth."""
    out: Annotated[cli.Positional[str], cli.metavar("OUT")]
    """New folder for the array_record files."""
    image_size: int | tuple[int, int]
    """Height and width in pixels, one number for a square; other images are
    centre-cropped and resized."""
    channels: Literal[1, 3]
    """Colour channels: 1 (grey) or 3 (RGB)."""
    resize: Literal["box", "bilinear", "bicubic", "lanczos"] = Data.resize
    """Resampling filter, as data.resize."""
    background: int = Data.background
    """Grey level under transparent pixels, 0 to 255, as data.background."""
    format: Literal["png", "ppm"] = "png"
    """png takes less space, ppm is decoded faster."""


@dataclasses.dataclass(frozen=True)
class Tfds:
    """Prepares a TensorFlow Datasets name as array_record; needs TensorFlow."""

    name: Annotated[cli.Positional[str], cli.metavar("NAME")]
    """TFDS name, such as mnist."""
    tfds_dir: str = ""
    """Folder of prepared data sets; empty takes TFDS's default."""
    manual_dir: str = ""
    """Folder with the original files, for machines without network."""


def main(argv=None) -> int:
    """Runs the subcommand that the first word names; returns the exit status."""
    name, *words = (sys.argv[1:] if argv is None else argv) or ["--help"]
    commands = {
        "check": (Check, check),
        "pack": (Pack, pack),
        "tfds": (Tfds, prepare_tfds),
    }
    if name in ("-h", "--help"):
        print(f"usage: {PROG} COMMAND ...; COMMAND --help lists the options\n")
        for command, (kind, _) in commands.items():
            print(f"  {command}  {kind.__doc__}")
        return 0
    if name not in commands:
        raise UserError(f"{name} is not a command of prepare: take check, pack or tfds")
    kind, run = commands[name]
    options = cli.parse(kind, words, f"{PROG} {name}")
    try:
        run(options)
    except UserError as error:
        # Here the fields of a configuration are options.
        sentence = str(error).replace("--data.", "--")
        sentence = sentence.replace("data.source=", "--source ")
        for field in ("data.dir=", "data.name="):
            sentence = sentence.replace(field, "")
        raise UserError(sentence) from error
    return 0


def check(options: Check) -> None:
    """Surveys the data, prints the report and writes the files that are asked for."""
    outputs = {"sheet": ".png", "json": ".json", "write_config": ".py"}
    for name, suffix in outputs.items():
        path, option = getattr(options, name), f"--{name.replace('_', '-')}"
        if path and Path(path).suffix != suffix:
            raise UserError(f"{option} {path} must end in {suffix}")
        if path:
            check_new(Path(path), option, options.overwrite)
    cli.require(options, "seed", 0, cli.SEEDS)
    data, _ = name_source(Data(dir=options.path, array=options.array), options.source)
    if data.is_points and options.sheet:
        raise UserError(f"--sheet shows images, and {options.path} has vectors")
    found = survey(data) if data.noun == "images" else None
    facts = facts_of(found) if found else read_facts(data)
    memory, accelerator = device()
    config, reasons = suggest(facts, memory, accelerator=accelerator)
    command = f"python -m wgan_jax.train --config auto --data.dir {quote(options.path)}"
    for name in ("source", "array"):
        if value := getattr(options, name):
            command += f" --data.{name} {quote(value)}"
    report = make_report(found, config.data) if found else points_report(config.data)
    least = format_bytes(training_bytes(config))
    print(
        f"{printable(options.path)}, data.source={data.source}",
        *lines(report),
        f"training      at least {least} more for weights and a batch",
        "\nsuggested configuration",
        *(f"  {reason}" for reason in reasons),
        f"\nto train it: {command}",
        sep="\n",
    )
    if found and options.sheet:
        save_png(options.sheet, contact_sheet(found, options.seed))
        print(f"contact sheet: {options.sheet}")
    if options.json:
        write_json(
            Path(options.json), report | {"reasons": reasons, "command": command}
        )
        print(f"report: {options.json}")
    if options.write_config:
        write_text(Path(options.write_config), python_file(config, reasons, command))
        print(f"configuration, for --config: {options.write_config}")


def prepare_tfds(options: Tfds) -> None:
    """Prepares a TFDS data set unless that has been done."""
    data = Data(source="tfds", **dataclasses.asdict(options))
    print(f"{options.name} is prepared in {open_builder(data).data_path}")


def pack(options: Pack) -> None:
    """Decodes, fits and encodes every image of a folder, in threads."""
    cli.require(options, "background", 0, 255)
    out = Path(options.out)
    if out.exists():
        raise UserError(f"{out} already exists: give a new folder")
    data = Data(
        source="folder",
        dir=options.folder,
        **{name: getattr(options, name) for name in FIELDS},
    )
    option = f"--image-size {data.size_text}"
    if min(data.height_and_width) < 1:
        raise UserError(f"{option} must be 1 or more")
    require_memory(option, math.prod(data.sample_shape), "bytes of one image")
    reader = ImageFolder(data)
    notes, count, brightest = Counter(), len(reader), 0

    def encoded(number):
        part = reader.read(np.array([number]))
        return encode(part.samples[0], options.format), part

    def records():
        nonlocal brightest
        for record, part in in_threads(encoded, range(count), "packing"):
            notes.update(part.notes)
            brightest = max(brightest, part.samples.max())
            yield record

    with contextlib.closing(records()) as packed:
        write_records(out, packed, count, options.format)
    print_remarks(reader.remarks, notes, count, brightest)
    print(f"{count:,} images of {printable(options.folder)} are in {out}")


if __name__ == "__main__":
    cli.run(main)
