"""Command lines: options from dataclasses, and one sentence for every mistake.

The only file that imports tyro.
"""

import contextlib
import dataclasses
import difflib
import errno
import io
import itertools
import logging
import os
import re
import sys
import traceback
from typing import Annotated, Any, TypeVar, get_origin

import tyro
from tyro.conf import Positional as Positional

from wgan_jax.config import Config, load
from wgan_jax.distributed import launcher, processes
from wgan_jax.errors import UserError
from wgan_jax.files import enable_compilation_cache

Options = TypeVar("Options")


def run(command) -> None:
    """Runs command() and exits with its status; a user's mistake is one sentence, 2."""
    # TFDS and Orbax log every error with a traceback before they raise it.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    enable_compilation_cache()
    try:
        code = command()
    except UserError as error:
        code = _complain(error)
    except KeyboardInterrupt:
        code = _complain("interrupted")
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            code = _complain(explain(error))
        elif processes.is_connection_loss(error):
            code = launcher.LOST
        elif processes.is_initialized():
            # The interpreter would wait for the other processes before it prints this.
            traceback.print_exc()
            code = 1
        else:
            raise
    launcher.exit_failed(code)
    sys.stdout.flush()
    sys.exit(code)


def _unraisable(event):
    # A failed write of Orbax also reports to an event loop that is closed by then; the
    # error itself is raised elsewhere.
    if "Event loop is closed" not in str(event.exc_value):
        sys.__unraisablehook__(event)


def _complain(sentence):
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def metavar(name: str):
    """Annotation of a field: the name of its value in --help."""
    return tyro.conf.arg(metavar=name)


def explain(error: OSError) -> str:
    """An operating system's refusal as a sentence with a remedy."""
    where = error.filename or "the output"
    remedies = {
        errno.ENOSPC: "free some space, or give another place with --out",
        errno.EDQUOT: "free some space, or give another place with --out",
        errno.EFBIG: "allow larger files, or give another place with --out",
        errno.EROFS: "give a writable place with --out",
        errno.EACCES: "give a place you may write to with --out",
        errno.EPERM: "give a place you may write to with --out",
    }
    number = error.errno or 0
    remedy = remedies.get(number)
    sentence = f"{where}: {os.strerror(number)}"
    return f"{sentence}; {remedy}" if remedy else sentence


def parse_config(
    kind: type[Options], argv: list[str], prog: str, *, required: bool = True
) -> tuple[Config, Options]:
    """(config, options): the configuration and the fields of the dataclass `kind`.

    kind: has a field `config`, the path of the configuration file. The command line
    overrides the file, which overrides the defaults. required: whether --config must
    be given.
    """
    path = ""
    for i, word in enumerate(argv):
        if word == "--config" and i + 1 < len(argv):
            path = argv[i + 1]
        elif word.startswith("--config="):
            path = word.removeprefix("--config=")
    sections = load(path) if path else Config()
    # An empty name: the options of both have no prefix.
    both = dataclasses.make_dataclass(
        "CommandLine",
        [
            ("options", Annotated[kind, tyro.conf.arg(name="")]),
            ("config", Annotated[Config, tyro.conf.arg(name="")]),
        ],
    )
    types = _option_types(kind) | _option_types(Config)
    default = both(options=kind(), config=sections)
    parsed = _parse(both, argv, prog, kind.__doc__, types, default)
    if required and not parsed.options.config:
        raise UserError("--config is missing: name a file, as in configs/digits.py")
    return parsed.config, parsed.options


def parse(kind: type[Options], argv: list[str], prog: str) -> Options:
    """Options of the dataclass `kind` from argv. Raises UserError for a mistake.

    Help texts are the docstrings under the fields; --help prints them and exits 0.
    """
    return _parse(kind, argv, prog, kind.__doc__, _option_types(kind))


def _parse(kind, argv, prog, description, types, default=None) -> Any:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                kind,
                args=argv,
                prog=prog,
                default=default,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
    raise UserError(_sentence(errors.getvalue(), argv, types))


def _sentence(box: str, argv, types) -> str:
    """The first paragraph of a box drawn by tyro, with a near miss where one exists."""
    lines = [line.strip(" │") for line in box.splitlines()]
    lines = [line for line in lines if not line.startswith(("╭", "╰"))]
    first = itertools.takewhile(lambda line: not line.startswith("─"), lines)
    text = " ".join(" ".join(first).split()).rstrip(".")
    wrong = re.search(r"parsing (--\S+): (.*?): '?(.*?)'?$", text)
    if wrong:
        name, _, value = wrong.groups()
        words = {int: "a whole number", float: "a number", str: "text"}
        wanted = words.get(types.get(name), "whole numbers, one after another")
        return f"{name} {value} cannot be read: it must be {wanted}"
    missing = re.match(r"Missing from .*?: (\S+)", text)
    if missing:
        return f"{missing[1]} is missing: give it, or see --help"
    for argument in argv:
        option = argument.split("=")[0]
        name = option.replace("_", "-")
        if name.startswith("--") and name not in types:
            # A field given without its section is the likeliest slip.
            near = [k for k in types if re.split(r"\.|--", k)[-1] == name[2:]]
            near = near or difflib.get_close_matches(name, types, 1)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            return f"{option} is not an option: {hint}"
    return text or "the command line cannot be read; see --help"


def _option_types(kind, prefix="--"):
    """{option: type} of every field of a dataclass and of its sections."""
    types: dict[str, Any] = {"--help": bool}
    for field in dataclasses.fields(kind):
        if get_origin(field.type) is Annotated:
            # A positional argument.
            continue
        name = prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(field.type):
            types |= _option_types(field.type, f"{name}.")
        else:
            types[name] = field.type
    return types
