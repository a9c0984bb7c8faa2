"""Command lines: options from dataclasses, and one sentence for every mistake.

The only file that imports tyro.
"""

import contextlib
import ctypes
import dataclasses
import difflib
import inspect
import io
import itertools
import logging
import os
import re
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

import tyro
from tyro.conf import Positional as Positional

from wgan_jax.config import (
    SOURCE_FIELDS,
    Config,
    differences,
    load,
    switch_source,
)
from wgan_jax.data.sources import source_for
from wgan_jax.data.sources.text import vocabulary_size
from wgan_jax.distributed import launcher, processes
from wgan_jax.errors import UserError, printable
from wgan_jax.files import enable_compilation_cache, explain
from wgan_jax.references import describe
from wgan_jax.runs import directory
from wgan_jax.suggest import automatic
from wgan_jax.training.progress import log_output
from wgan_jax.validation import check_types

Options = TypeVar("Options")

AUTO = "auto"
"""Value of --config that chooses a configuration for the data."""
SIZE = int | tuple[int, int]
"""Type of an option that takes one or two numbers."""
LARGEST = 2**31 - 1
"""Largest whole number of an option: int32, by which the device counts."""
SEEDS = 2**32 - 1
"""Largest seed."""

# tyro begins a new line at a line that does not begin with a letter, which includes
# every indented line of a docstring. A version without this function only wraps worse.
_strings: Any = getattr(tyro, "_strings", None)
if hasattr(_strings, "remove_single_line_breaks"):
    _join = _strings.remove_single_line_breaks
    _strings.remove_single_line_breaks = lambda text: _join(inspect.cleandoc(text))


READER_ENDED = 141
"""Exit status after the reader of stdout has ended: that of an end by SIGPIPE."""


def run(command) -> None:
    """Runs command() and exits with its status; a user's mistake is one sentence, 2.

    For a process that does nothing else: it changes signal handlers, logging and JAX's
    compilation cache.
    """
    # TFDS, Orbax (through asyncio too) and Pillow log errors that they raise as well.
    for name in ("absl", "asyncio", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, _terminate),
    ):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name of any bytes can be printed, as on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    enable_compilation_cache()
    _limit_arenas()
    try:
        try:
            code = command()
        except SystemExit as stop:
            # After --help.
            code = int(stop.code or 0)
        sys.stdout.flush()
    except UserError as error:
        code = _complain(error)
    except KeyboardInterrupt as stop:
        code = _complain(str(stop) or "interrupted")
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_ended():
            code = READER_ENDED
        elif isinstance(error, OSError) and error.errno is not None:
            where = error.filename or "the output"
            code = _complain(f"{where}: {explain(error.errno, 'give another place')}")
        elif isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            code = _complain(
                f"out of memory ({describe(error)}): lower data.batch_size, "
                "model.features or the number of samples"
            )
        elif processes.is_connection_loss(error):
            code = launcher.LOST
        elif processes.is_initialized():
            # The interpreter would wait for the other processes before it prints this.
            traceback.print_exc()
            code = 1
        else:
            raise
    launcher.exit_failed(code)
    sys.exit(code)


def _limit_arenas():
    """Limits glibc to two memory arenas per core.

    Orbax writes each checkpoint in new threads, and glibc would spread them over eight
    arenas per core, whose free parts grow with the number of checkpoints.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        # -8 is M_ARENA_MAX. Other C libraries have no such function.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").mallopt(-8, 2 * (os.cpu_count() or 1))


def _terminate(number, frame):
    raise KeyboardInterrupt("terminated")


def _reader_ended():
    """Whether stdout has no reader any more; then nothing is written to it again."""
    try:
        os.write(1, b"\n")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return True
    return False


def _unraisable(event):
    if isinstance(event.exc_value, KeyboardInterrupt):
        # A signal in a destructor or a callback, which Python would lose.
        threading.Timer(0.01, signal.raise_signal, [signal.SIGINT]).start()
    # A failed write of Orbax also reports to an event loop that is closed by then; the
    # error itself is raised elsewhere.
    elif "Event loop is closed" not in str(event.exc_value):
        sys.__unraisablehook__(event)


def _complain(sentence):
    # One line, whatever bytes a path or the message of a library has.
    line = printable(str(sentence))
    shown = line if len(line) <= 2000 else f"{line[:1997]}..."
    table = getattr(sentence, "table", "").splitlines()
    print(f"error: {shown}", *map(printable, table), sep="\n", file=sys.stderr)
    return 2


def metavar(name: str):
    """Annotation of a field: the name of its value in --help."""
    return tyro.conf.arg(metavar=name)


def parse_config(
    kind: type[Options],
    argv: list[str],
    prog: str,
    *,
    required: bool = True,
    file: str = "",
    one_run: bool = False,
) -> tuple[Config, Options]:
    """(config, options): the configuration and the fields of the dataclass `kind`.

    kind: has a field `config`, the path of the configuration file, or AUTO, which
    chooses one for the data and prints the reasons. The command line overrides the
    file, which overrides the defaults. required: whether --config must be given. file:
    replaces that of --config. one_run: whether --out is a run, whose configuration AUTO
    takes again.
    """
    types = _option_types(kind) | _option_types(Config)
    _check_given_once(argv, types)
    # Lines on the configuration are part of the output that --log-format formats.
    log_format: Any = "json" if _typed(argv, "--log-format") == "json" else "auto"
    with log_output(log_format):
        return _parse_config(kind, argv, prog, types, required, file, one_run)


def _parse_config(kind, argv, prog, types, required, file, one_run):
    path = file or _typed(argv, "--config")
    sections = load(path) if path not in ("", AUTO) else Config()
    check_types(sections)
    if path != AUTO:
        sections = _switch_source(sections, argv)
    parsed = _parse_both(kind, argv, prog, types, sections)
    if path == AUTO:
        sections = _automatic(parsed.config, parsed.options, argv, one_run)
        parsed = _parse_both(kind, argv, prog, types, sections)
    if required and not parsed.options.config:
        raise UserError(
            "--config is missing: name a file, as in configs/digits.py, or give "
            "--config auto --data.dir PATH for data of your own"
        )
    config = parsed.config
    if config.data.is_text and not given(argv, "--data.vocabulary"):
        config = _fit_vocabulary(config)
    return config, parsed.options


def _fit_vocabulary(config):
    """The configuration with at most as many characters as its text has."""
    data = config.data
    if data.length < 1 or not Path(data.dir).exists():
        return config
    size = vocabulary_size(data)
    if size >= data.vocabulary:
        return config
    if not launcher.is_child():
        print(f"data.vocabulary={size}: the characters of {data.dir}, and two marks")
    return dataclasses.replace(config, data=dataclasses.replace(data, vocabulary=size))


def _parse_both(kind, argv, prog, types, sections):
    # An empty name: the options of both have no prefix.
    both = dataclasses.make_dataclass(
        "CommandLine",
        [
            ("options", Annotated[kind, tyro.conf.arg(name="")]),
            ("config", Annotated[Config, tyro.conf.arg(name="")]),
        ],
    )
    default = both(options=kind(), config=sections)
    return _parse(both, argv, prog, kind.__doc__, types, default)


def _automatic(config, options, argv, one_run):
    """The configuration for the data that a command line names.

    That of the run in --out where the command line gives the same fields, so that the
    same command resumes it although a new choice may differ; else a suggestion.
    """
    if isinstance(options, launcher.DistributedOptions) and options.enabled():
        raise UserError(
            "--config auto is for one process: python -m wgan_jax.prepare check PATH "
            "--write-config FILE.py writes the configuration for several"
        )
    check_types(config)
    given_fields = {
        f"{section}.{field.name}": getattr(getattr(config, section), field.name)
        for section, kind in get_type_hints(Config).items()
        for field in dataclasses.fields(kind)
        if given(argv, f"--{section}.{field.name.replace('_', '-')}")
    }
    out = Path(getattr(options, "out", "") or f"runs/{run_name(AUTO, config)}")
    is_fresh = getattr(options, "fresh", False)
    if one_run and not is_fresh and (out / "config.json").exists():
        saved = directory.read_config(out)
        changed = (line.split(":")[0] for line in differences(saved, config))
        if not {*given_fields} & {*changed} - directory.RESUMABLE:
            print(f"--config auto: the configuration is that of the run in {out}")
            return saved
    suggested, reasons = automatic(config.data, given_fields)
    print("--config auto:", *(f"  {reason}" for reason in reasons), sep="\n")
    return suggested


def run_name(path: str, config: Config) -> str:
    """NAME of runs/NAME: that of the configuration file, or with AUTO of the data."""
    data = config.data
    if path != AUTO:
        return Path(path).stem
    if not data.dir:
        return data.name or data.source
    place = Path(data.dir).resolve()
    return place.name if place.is_dir() else place.stem


def _switch_source(config, argv):
    """The configuration without fields of a source that the command line replaces.

    Without --data.source, the source is that which reads --data.dir.
    """
    source, path = _typed(argv, "--data.source"), _typed(argv, "--data.dir")
    if not source:
        source = source_for(path, config.data.source) if path else config.data.source
        if source != config.data.source and not launcher.is_child():
            print(f"data.source={source}: {path} is of this kind")
    kept = {
        name: getattr(config.data, name)
        for name in SOURCE_FIELDS
        if given(argv, f"--data.{name.replace('_', '-')}")
    }
    data, line = switch_source(config.data, source, **kept)
    if line and not launcher.is_child():
        print(line)
    return dataclasses.replace(config, data=data)


def _typed(argv, option):
    """The value after an option, before tyro reads the command line; empty without."""
    for word, value in zip(argv, [*argv[1:], ""]):
        name, equals, joined = word.partition("=")
        if name == option and (equals or not value.startswith("--")):
            return joined if equals else value
    return ""


def parse(kind: type[Options], argv: list[str], prog: str) -> Options:
    """Options of the dataclass `kind` from argv. Raises UserError for a mistake.

    Help texts are the docstrings under the fields; --help prints them and exits 0.
    """
    types = _option_types(kind)
    _check_given_once(argv, types)
    return _parse(kind, argv, prog, kind.__doc__, types)


def refuse_together(options, *names: str) -> None:
    """Raises UserError where several of these options, which exclude each other, hold.

    options: a dataclass with these fields, which are flags.
    """
    used = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
    if len(used) > 1:
        raise UserError(f"{' and '.join(used)} cannot be combined: give one of them")


def require(options, name: str, least: int, most: int = LARGEST) -> None:
    """Raises UserError where a whole number of the options is out of its range."""
    value = getattr(options, name)
    if not least <= value <= most:
        is_small = value < least and most == LARGEST
        condition = f"{least} or more" if is_small else f"from {least} to {most}"
        option = f"--{name.replace('_', '-')}"
        raise UserError(f"{option} {_short(str(value))} must be {condition}")


def given(argv: list[str], option: str) -> bool:
    """Whether a command line has an option, as in --run.seed."""
    return option in map(_option, argv)


def _option(word):
    """The option that a word of a command line names, in the spelling of --help."""
    return word.partition("=")[0].replace("_", "-")


def _check_given_once(argv, types):
    if "--" in argv:
        raise UserError("-- is not an option: see --help")
    options = [option for option in map(_option, argv) if option in types]
    for option in options:
        if options.count(option) > 1:
            raise UserError(f"{option} is given twice: give it once")


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
        name, value = wrong[1], _value(argv, wrong[1])
        words = {int: "a whole number", float: "a number", str: "text"}
        words[SIZE] = "a whole number, or a height and a width"
        wanted = words.get(types.get(name), "whole numbers, one after another")
        if value == "":
            return f"{name} has no value: give one after it"
        return f"{name} {value} cannot be read: it must be {wanted}"
    choice = re.match(r"invalid choice .* argument '(--\S+)'\. .*?\((.*)\)", text)
    if choice:
        known = choice[2].replace("'", "")
        return f"{choice[1]} {_value(argv, choice[1])} must be one of {known}"
    empty = re.match(r"Missing value for argument '(--\S+)'", text)
    if empty:
        return f"{empty[1]} has no value: give one after it"
    missing = re.match(r"Missing from .*?: (\S+)", text)
    if missing:
        # Words after a size are taken as part of it.
        sizes = [w for w in argv if types.get(w) == SIZE and missing[1][0] != "-"]
        before = f" before {sizes[0]}" if sizes else ""
        return f"{missing[1]} is missing: give it{before}, or see --help"
    for argument in argv:
        option, name = argument.partition("=")[0], _option(argument)
        if name.startswith("--") and name not in types:
            # A field given without its section is the likeliest slip.
            near = [k for k in types if re.split(r"\.|--", k)[-1] == name[2:]]
            near = near or difflib.get_close_matches(name.lower(), types, 1)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            return f"{_short(option)} is not an option: {hint}"
    positional = re.match(r"Missing value for argument '(\w+)'", text)
    if positional:
        return f"{positional[1].upper()} is missing: give it, or see --help"
    stray = re.match(r"Unrecognized options: (.*)$", text)
    if stray:
        return f"{_short(stray[1])} is not an option or its value: see --help"
    return text or "the command line cannot be read; see --help"


def _value(argv, option):
    """The values of an option as they were typed."""
    for i, word in enumerate(argv):
        if _option(word) == option:
            rest = itertools.takewhile(lambda w: not w.startswith("--"), argv[i + 1 :])
            return _short(word.partition("=")[2] if "=" in word else " ".join(rest))
    return ""


def _short(text):
    return text if len(text) <= 80 else f"{text[:77]}..."


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
