"""Settings of a sweep: named changes of a configuration, as typed or in a JSON file."""

import dataclasses
import difflib
import re
import shlex
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from wgan_jax.config import SOURCE_FIELDS, Config, switch_source
from wgan_jax.errors import UserError
from wgan_jax.files import read_json
from wgan_jax.references import short_name

FORM = "'NAME: FIELD=VALUE FIELD=VALUE'"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One configuration of a sweep, for every seed."""

    name: str = ""
    """As in clip; empty for the configuration itself."""
    config: Config = dataclasses.field(default_factory=Config)
    fields: tuple[str, ...] = ()
    """Fields that it sets, as in objective.clip."""
    typed: str = ""
    """Option in messages, as it was typed."""
    file: str = ""
    """Configuration file that it names."""


def read_settings(
    words: tuple[str, ...], configure: Callable[[str], Config]
) -> list[Setting]:
    """The settings of the words of --settings; without words, the configuration alone.

    A word is [NAME:] [FILE.py] [FIELD=VALUE ...], or the path of a JSON file of
    {NAME: {FIELD: VALUE}}, where the field `config` names FILE.py. configure(file): the
    configuration of a file, "" for that of --config, under the command line's options.
    Raises UserError for a mistake in a word, and for equal names or configurations.
    """
    if not words:
        return [Setting(config=configure(""))]
    parts = []
    for word in words:
        parts += _read_file(word) if word.endswith(".json") else [_parse(word)]
    if any(not part.name for part in parts):
        for part in parts:
            if part.name and not (part.file or part.values):
                raise UserError(
                    f"{part.typed} has no fields, and another setting has no name: "
                    f"quote each setting, as in {FORM}"
                )
    settings = []
    for part in parts:
        try:
            config = configure(part.file)
        except UserError as error:
            where = f"{part.typed}: " if part.file else ""
            raise UserError(f"{where}{error}") from error
        config, line = replace_fields(config, part.values)
        if line:
            print(line)
        name = part.name or _label(part)
        fields = tuple(part.values)
        settings.append(Setting(name, config, fields, part.typed, part.file))
    for i, setting in enumerate(settings):
        for earlier in settings[:i]:
            if directory_name(earlier.name) == directory_name(setting.name):
                raise UserError(
                    f"{setting.typed}: two settings are called {setting.name}: give "
                    f"each a name, as in {FORM}"
                )
            if earlier.config == setting.config:
                raise UserError(
                    f"{setting.typed}: {setting.name} and {earlier.name} are the same "
                    "configuration: give each once"
                )
    return settings


def replace_field(config: Config, name: str, value) -> Config:
    """A copy with another value of a field, as in objective.clip."""
    section, field = name.split(".")
    changed = dataclasses.replace(getattr(config, section), **{field: value})
    return dataclasses.replace(config, **{section: changed})


def replace_fields(config: Config, values: Mapping[str, Any]) -> tuple[Config, str]:
    """(copy with other values of fields, line of `config.switch_source`)."""
    line = ""
    if "data.source" in values:
        kept = {
            name: getattr(config.data, name)
            for name in SOURCE_FIELDS
            if f"data.{name}" in values
        }
        data, line = switch_source(config.data, values["data.source"], **kept)
        config = dataclasses.replace(config, data=data)
    for name, value in values.items():
        config = replace_field(config, name, value)
    return config, line


def directory_name(name: str) -> str:
    """The folder of a setting."""
    return name.replace("/", "_")


def field_types() -> dict[str, Any]:
    """{field: type} of every field, as in objective.clip."""
    return {
        f"{section}.{field}": type_
        for section, fields in get_type_hints(Config).items()
        for field, type_ in get_type_hints(fields).items()
    }


def check_field(option: str, name: str) -> str:
    """The field that a name with dashes or underscores means.

    option: that contains it, for messages. Raises UserError where there is none, and
    for the seed.
    """
    known, name = field_types(), name.replace("-", "_")
    if name not in known:
        near = [k for k in known if k.split(".")[1] == name.split(".")[-1]]
        near = near or difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "see --help for all fields"
        raise UserError(f"{option}: {name} is not a field: {hint}")
    if name == "run.seed":
        raise UserError(f"{option}: run.seed is given by --seeds N, for every setting")
    return name


def parse_value(option: str, name: str, text: str) -> Any:
    """The value of a field in its type. Raises UserError for any other text."""
    type_ = field_types()[name]
    if get_origin(type_) is Literal:
        if text not in get_args(type_):
            known = ", ".join(get_args(type_))
            raise UserError(f"{option}: {name}={text} must be one of {known}")
        return text
    if type_ is bool:
        if text not in ("true", "false"):
            raise UserError(f"{option}: {name}={text} must be true or false")
        return text == "true"
    wanted = {int: "a whole number", float: "a number"}.get(type_)
    try:
        if get_origin(type_) is tuple:
            wanted = "whole numbers, as in 1,2"
            return tuple(map(int, text.split(",")))
        if get_origin(type_) is types.UnionType:
            wanted = "a whole number, or HEIGHTxWIDTH"
            height, *width = map(int, text.split("x"))
            return height if width in ([], [height]) else (height, *width)
        return type_(text)
    except ValueError:
        raise UserError(f"{option}: {name}={text} must be {wanted}") from None


def value_label(value) -> str:
    """A value in the name of a setting; a function of the user without its folder."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return short_name(value)


# ----------------------------------------------------------------------------- reading


@dataclasses.dataclass(frozen=True)
class _Part:
    """A setting before its configuration file is read."""

    typed: str
    name: str
    file: str
    values: dict[str, Any]


def _parse(word):
    typed = f"--settings {shlex.quote(word)}"
    name, text = "", word.strip()
    if match := re.match(r"([^=]*?):(?:\s+|$)", text):
        name, text = match[1].strip(), text[match.end() :]
        _check_name(typed, name)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"{typed} cannot be read: {error}") from None
    files = [w for w in words if "=" not in w and w.endswith(".py")]
    values = {}
    for assignment in words:
        field, equals, value = assignment.partition("=")
        if assignment in files:
            continue
        if not (equals and value):
            raise UserError(
                f"{typed}: {assignment} must be FIELD=VALUE, as in "
                "'clip: objective.constraint=clip optimizer.kind=rmsprop'"
            )
        field = check_field(typed, field)
        if field in values:
            raise UserError(f"{typed}: {field} is given twice: give it once")
        values[field] = parse_value(typed, field, value)
    if len(files) > 1:
        raise UserError(f"{typed} names two configuration files: quote each setting")
    if not (name or files or values):
        raise UserError(f"{typed} is empty: give {FORM}")
    return _Part(typed, name, files[0] if files else "", values)


def _read_file(path):
    option = f"--settings {path}"
    if not Path(path).is_file():
        raise UserError(f"{option} is not a file")
    content = read_json(Path(path), "correct it, or give the settings as words")
    if not (
        isinstance(content, dict)
        and content
        and all(isinstance(fields, dict) for fields in content.values())
    ):
        raise UserError(
            f"{option} must contain settings by name, as in "
            '{"clip": {"objective.constraint": "clip"}}'
        )
    parts = []
    for name, fields in content.items():
        _check_name(option, name)
        typed = f"{option}: {name}"
        file = fields.pop("config", "")
        if not isinstance(file, str):
            raise UserError(f"{typed}: config={file} must be the path of a file")
        values = {
            check_field(typed, field): tuple(v) if isinstance(v, list) else v
            for field, v in fields.items()
        }
        parts.append(_Part(typed, name, file, values))
    return parts


def _check_name(option, name):
    # Names are folders, and cells of a Markdown table.
    if not re.fullmatch(r"\w[\w .,+=()-]*", name):
        raise UserError(
            f"{option}: the name {name!r} must begin with a letter or digit, and "
            "consist of letters, digits, spaces and . , + = ( ) - _"
        )


def _label(part):
    """Name of a setting without one: its file and fields."""
    short = [field.split(".")[1] for field in field_types()]
    labels = [Path(part.file).stem] if part.file else []
    for name, value in part.values.items():
        field = name.split(".")[1]
        shown = field if short.count(field) == 1 else name
        labels.append(f"{shown}={value_label(value)}")
    return ",".join(labels)
