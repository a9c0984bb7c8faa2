"""Command lines: typed options, and one sentence for every mistake.

The only file that imports tyro.
"""

import contextlib
import dataclasses
import difflib
import errno
import io
import logging
import os
import re
import sys
import traceback

import tyro

from wgan_jax import config
from wgan_jax.distributed import launcher, processes
from wgan_jax.errors import UserError
from wgan_jax.files import enable_compilation_cache

Positional = tyro.conf.Positional


def run(command) -> None:
    """Runs command(), and exits 2 with one sentence where the user made a mistake."""
    # TFDS and Orbax tell absl of all that they do not find, and of every error, with a
    # traceback, before they raise it.
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
            # Told here, for the interpreter would wait for the others before it does.
            traceback.print_exc()
            code = 1
        else:
            raise
    launcher.exit_failed(code)
    sys.stdout.flush()
    sys.exit(code)


def _unraisable(event):
    # What Orbax could not write tells an event loop that is gone by then; the error
    # itself is raised, and told, elsewhere.
    if "Event loop is closed" not in str(event.exc_value):
        sys.__unraisablehook__(event)


def _complain(sentence):
    print(f"error: {sentence}", file=sys.stderr)
    return 2


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
    remedy = remedies.get(error.errno)
    sentence = f"{where}: {os.strerror(error.errno)}"
    return f"{sentence}; {remedy}" if remedy else sentence


def parse_config(kind, argv: list[str], prog: str, **more):
    """Options of `kind`, a dataclass that extends `Config` by a field `config`.

    The command line stands over the configuration file over the defaults. more: further
    defaults, each a function of the configuration in the file.
    """
    path = ""
    for i, word in enumerate(argv):
        if word == "--config" and i + 1 < len(argv):
            path = argv[i + 1]
        elif word.startswith("--config="):
            path = word.removeprefix("--config=")
    loaded = config.load(path) if path else config.Config()
    sections = {f.name: getattr(loaded, f.name) for f in dataclasses.fields(loaded)}
    more = {name: function(loaded) for name, function in more.items()}
    return loaded, parse(kind, argv, prog, kind(**sections, **more))


def parse(kind, argv: list[str], prog: str, default=None):
    """Options of the dataclass `kind` from argv. Raises UserError for a mistake.

    Help texts are the docstrings under the fields; --help prints them and exits 0.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                kind,
                args=argv,
                prog=prog,
                default=default,
                description=kind.__doc__,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
    raise UserError(_sentence(errors.getvalue(), argv, kind))


def _sentence(box: str, argv, kind) -> str:
    """The first paragraph of a box drawn by tyro, with a near miss where one exists."""
    lines = [line.strip(" │") for line in box.splitlines()]
    lines = [line for line in lines if not line.startswith(("╭", "╰"))]
    first = []
    for line in lines:
        if line.startswith("─"):
            break
        first.append(line)
    text = " ".join(" ".join(first).split()).rstrip(".")
    wrong = re.search(r"parsing (--\S+): (.*?): '?(.*?)'?$", text)
    if wrong:
        name, _, value = wrong.groups()
        return f"{name} {value} cannot be read: it must be {_type_of(kind, name)}"
    known = list(_options(kind))
    for argument in argv:
        name = argument.split("=")[0].replace("_", "-")
        if name.startswith("--") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            # A field given without its section is the likeliest slip of all.
            tail = [k for k in known if re.split(r"\.|--", k)[-1] == name[2:]]
            hint = (
                f"did you mean {(tail or near)[0]}?" if tail or near else "see --help"
            )
            return f"{argument.split('=')[0]} is no option: {hint}"
    return text or "the command line cannot be read; see --help"


def _type_of(kind, option):
    for part in option.removeprefix("--").split("."):
        types = {f.name.replace("_", "-"): f.type for f in dataclasses.fields(kind)}
        kind = types.get(part, str)
    words = {int: "a whole number", float: "a number", str: "text"}
    return words.get(kind, "whole numbers, one after another")


def _options(kind, prefix="--"):
    yield "--help"
    for field in dataclasses.fields(kind):
        name = prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(field.type):
            yield from _options(field.type, f"{name}.")
        else:
            yield name
