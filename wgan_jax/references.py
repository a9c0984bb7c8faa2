"""Fields of the configuration that name a function, of a table or of the user's own."""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from wgan_jax.errors import UserError

# Prefix of the module name of a file, before its path.
USER_MODULE = "wgan_jax_user_"

T = TypeVar("T")


def lookup(table: Mapping[str, Any], value: Any, field: str) -> Any:
    """The entry of `table` that a field names, or the object that it refers to.

    value: a key of the table, a reference FILE.py:NAME or MODULE:NAME, or an object
    itself. Raises UserError, which names `field`, for every other string.
    """
    if not isinstance(value, str):
        return value
    if value in table:
        return table[value]
    place, colon, name = value.rpartition(":")
    if not colon:
        near = difflib.get_close_matches(value, table, 1)
        hint = f"did you mean {near[0]}?" if near else f"take {', '.join(table)}"
        raise UserError(
            f"{field}={value} is not known: {hint}; a function of your own is "
            "FILE.py:NAME or MODULE:NAME"
        )
    # SystemExit: a script that was not written to be imported.
    try:
        return getattr(_import(place), name)
    except (Exception, SystemExit) as error:
        reason = describe(error)
        raise UserError(f"{field}={value} cannot be imported ({reason})") from error


def describe(error: BaseException) -> str:
    """Type and message of an error in code of the user, on one line."""
    text = " ".join(str(error).split())
    if len(text) > 300:
        text = f"{text[:297]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def make_named(kind: type[T], table: Mapping[str, Any], field: str, section: Any) -> T:
    """The object of type `kind` that the function of a field makes of its section.

    field: as in objective.constraint; section: the value of objective. Raises UserError
    where the field does not name such a function.
    """
    value = getattr(section, field.split(".")[1])
    function = lookup(table, value, field)
    try:
        made = function(section) if callable(function) else function
    except Exception as error:
        raise UserError(f"{field}={value} failed with {describe(error)}") from error
    if not isinstance(made, kind):
        raise UserError(
            f"{field}={value} must be a function that returns a {kind.__name__}, not "
            f"{type(made).__name__}"
        )
    return made


def is_object(value: Any) -> bool:
    """True for a field whose value is a function or an object, not its name."""
    return callable(value) or type(value).__module__ != "builtins"


def reference(function: Any) -> str:
    """The reference of a function or class at the top level of a file or module.

    Raises UserError for a lambda, a nested function or a function that is not in a
    file, which no other process could import.
    """
    name = getattr(function, "__qualname__", f"{function!r:.60}")
    module = sys.modules.get(getattr(function, "__module__", ""))
    if module and module.__name__ != "__main__" and name.isidentifier():
        return f"{module.__name__.removeprefix(USER_MODULE)}:{name}"
    # A script.
    path = Path(getattr(getattr(function, "__code__", None), "co_filename", ""))
    if not name.isidentifier() or not path.is_file():
        raise UserError(
            f"{name} cannot be named in config.json: define it at the top level of a "
            "file, or in Python train without a run directory (out=None)"
        )
    return f"{path.resolve()}:{name}"


def short_name(value: Any) -> str:
    """A reference FOLDER/FILE.py:NAME without its folder; other values as text."""
    place, colon, function = str(value).rpartition(":")
    return f"{Path(place).name}:{function}" if colon else str(value)


def execute(path: Path) -> ModuleType:
    """The Python file at `path` as a new module. Raises whatever the file raises."""
    name = f"{USER_MODULE}{path.resolve()}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(place):
    if not place.endswith(".py"):
        return importlib.import_module(place)
    # The script that runs: executing it again would train again.
    script = sys.modules["__main__"]
    if Path(getattr(script, "__file__", None) or "").resolve() == Path(place).resolve():
        return script
    # One module for each file: a class must be the same one each time.
    module = sys.modules.get(f"{USER_MODULE}{Path(place).resolve()}")
    return module or execute(Path(place))
