"""Configurations survive JSON and command lines, whatever their fields are."""

import dataclasses
import re
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st

from wgan_jax import cli
from wgan_jax.config import Config, differences, from_json, to_json
from wgan_jax.train import Options


def fields(integers, floats, text):
    """{section: {field: strategy}} of all fields, by their types."""

    def strategy(kind):
        if get_origin(kind) is Literal:
            return st.sampled_from(get_args(kind))
        if get_origin(kind) is tuple:
            return st.lists(integers, max_size=4).map(tuple)
        if get_origin(kind) is UnionType:
            return st.one_of(integers, st.tuples(integers, integers))
        return {int: integers, float: floats, str: text, bool: st.booleans()}[kind]

    return {
        section: {name: strategy(k) for name, k in get_type_hints(kind).items()}
        for section, kind in get_type_hints(Config).items()
    }


# References to the functions of a file become absolute paths.
TEXTS = st.text().filter(lambda text: not re.fullmatch(r".+\.py:\w+", text))
ANY = fields(st.integers(), st.floats(allow_nan=False), TEXTS)
CONFIGS = st.builds(
    Config,
    **{
        section: st.builds(get_type_hints(Config)[section], **strategies)
        for section, strategies in ANY.items()
    },
)


@settings(max_examples=10)
@given(CONFIGS)
def test_a_configuration_equals_its_json(config):
    assert from_json(to_json(config)) == config
    assert differences(config, from_json(to_json(config))) == []


WORDS = st.text("abcXYZ019 _./:=,*~äß", min_size=1).filter(str.strip)
TYPED = fields(st.integers(0, 2**31 - 1), st.floats(1e-30, 1e30), WORDS)
# data.dir chooses data.source by the files that are there.
ONE = [(s, name) for s, names in TYPED.items() for name in names if name != "dir"]
CHANGES = st.lists(st.sampled_from(ONE), max_size=12, unique=True).flatmap(
    lambda chosen: st.fixed_dictionaries({(s, n): TYPED[s][n] for s, n in chosen})
)


@given(CHANGES)
def test_the_command_line_sets_the_fields_that_it_names(changes):
    words, expected = [], Config()
    for (section, name), value in changes.items():
        option = f"{section}.{name.replace('_', '-')}"
        if isinstance(value, bool):
            default = getattr(getattr(Config(), section), name)
            if value != default:
                words.append(f"--{option}" if value else f"--{_negated(option)}")
        elif isinstance(value, tuple):
            words += [f"--{option}", *map(str, value)]
        else:
            words.append(f"--{option}={value}")
        part = dataclasses.replace(getattr(expected, section), **{name: value})
        expected = dataclasses.replace(expected, **{section: part})
    config, _ = cli.parse_config(Options, words, "test", required=False)
    assert config == expected


def _negated(option):
    section, _, name = option.partition(".")
    return f"{section}.no-{name}"
