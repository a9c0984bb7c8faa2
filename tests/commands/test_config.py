import ast
import dataclasses
import json
import re
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from wgan_jax import config
from wgan_jax.algorithm import steps
from wgan_jax.config import Config, Data, Model, Objective, Run
from wgan_jax.errors import UserError
from wgan_jax.validation import critic_update_count, nearest_sizes, validate

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(p for p in (ROOT / "configs").glob("*.py") if p.stem != "__init__")
MLP_TOY = {"data.source": "8gaussians", "model.kind": "mlp", "model.output": "linear"}


@pytest.fixture(autouse=True)
def own_import_path(monkeypatch):
    # config.load appends to it.
    monkeypatch.setattr(sys, "path", list(sys.path))


def config_with(changes, base=None):
    """A Config in which {"section.field": value} differ from the defaults."""
    made = base or Config()
    for name, value in changes.items():
        section, field = name.split(".")
        changed = dataclasses.replace(getattr(made, section), **{field: value})
        made = dataclasses.replace(made, **{section: changed})
    return made


def field_of(made, name):
    section, field = name.split(".")
    return getattr(getattr(made, section), field)


def complaint(made):
    with pytest.raises(UserError) as error:
        validate(made)
    return str(error.value)


# ------------------------------------------------------------------- the shipped files


def test_there_are_configs():
    # A glob that finds nothing would pass every test below.
    assert len(FILES) >= 12


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_config_loads_is_valid_and_survives_json(path):
    made = config.load(path)
    validate(made)
    again = config.from_json(config.to_json(made))
    assert again == made
    assert config.differences(made, again) == []
    assert type(again.model.generator_widths) is tuple


# Numbers of the notebooks that the configurations follow, independent of them.
SEEDS = {
    "fashion_mnist_mlp": {
        "data.name": "fashion_mnist",
        "data.batch_size": 64,
        "data.image_size": 32,
        "model.kind": "mlp",
        "model.z_dim": 100,
        "objective.constraint": "clip",
        "objective.clip": 0.005,
        "objective.n_critic": 25,
        "optimizer.kind": "rmsprop",
        "optimizer.critic_lr": 5e-5,
        "optimizer.generator_lr": 5e-5,
        "run.steps": 200 * 38,
    },
    "mnist_dcgan": {
        "data.name": "mnist",
        "data.batch_size": 128,
        "objective.constraint": "clip",
        "objective.clip": 0.005,
        "objective.n_critic": 5,
        "run.steps": 30 * 94,
    },
    "mnist_dcgan_anogan": {
        "data.name": "mnist",
        "data.image_size": 28,
        "objective.constraint": "clip",
        "model.generator_norm": "batch",
        "model.critic_norm": "batch",
    },
    "mnist_wgan_gp": {
        "data.name": "mnist",
        "data.image_size": 28,
        "data.batch_size": 128,
        "model.z_dim": 128,
        "objective.constraint": "penalty",
        "objective.gp_weight": 10.0,
    },
    **{
        f"cat_faces_{number}": {
            "data.source": "folder",
            "data.channels": 3,
            "data.image_size": 64,
            "data.batch_size": 32,
            "model.features": 64,
            "objective.constraint": "penalty",
            "objective.gp_weight": 10.0,
            "objective.n_critic": 5,
            "optimizer.kind": "adam",
            "optimizer.critic_lr": rate,
            "optimizer.generator_lr": rate,
            "optimizer.beta1": 0.0,
            "optimizer.beta2": 0.9,
            "run.steps": epochs * 493,
        }
        for number, rate, epochs in ((1, 1e-4, 15), (2, 2e-4, 15), (3, 1e-4, 30))
    },
    **{
        f"toy_{source}": {"data.source": source, "objective.gp_weight": 0.1}
        for source in config.TOYS
    },
}


@pytest.mark.parametrize("name", SEEDS)
def test_configs_have_the_numbers_of_their_seeds(name):
    made = config.load(ROOT / "configs" / f"{name}.py")
    assert {key: field_of(made, key) for key in SEEDS[name]} == SEEDS[name]


def test_mnist_dcgan_has_the_widths_of_its_seed():
    model = config.load(ROOT / "configs" / "mnist_dcgan.py").model
    generator = [model.features * width for width in model.generator_widths]
    critic = [model.features * width for width in model.critic_widths]
    assert generator == [1024, 512, 256]
    assert critic == [256, 512, 1024]


def test_cat_faces_docstring_gives_a_valid_128_pixel_variant():
    base = config.load(ROOT / "configs" / "cat_faces_1.py")
    larger = config_with(
        {
            "data.image_size": 128,
            "model.generator_widths": (32, 16, 8, 4, 2),
            "model.critic_widths": (1, 2, 4, 8, 16),
        },
        base,
    )
    validate(larger)


def test_every_field_has_a_help_text():
    tree = ast.parse(Path(config.__file__).read_text())
    checked = 0
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name in ("UserError", "Config"):
            continue
        for field, after in zip(node.body, node.body[1:] + [None]):
            if isinstance(field, ast.AnnAssign):
                text = getattr(getattr(after, "value", None), "value", None)
                name = f"{node.name}.{field.target.id}"
                assert isinstance(text, str), f"{name} has no docstring"
                assert text.endswith("."), f"help of {name} is not a sentence"
                checked += 1
    sections = [f.default for f in dataclasses.fields(Config)]
    assert checked == sum(len(dataclasses.fields(s)) for s in sections)


# ------------------------------------------------------------------------------- load


def test_load_of_a_missing_file_lists_the_others(tmp_path):
    (tmp_path / "b.py").write_text("")
    (tmp_path / "a.py").write_text("")
    with pytest.raises(UserError) as error:
        config.load(tmp_path / "c.py")
    assert str(error.value) == (
        f"--config {tmp_path / 'c.py'} is not a file; {tmp_path} has a.py, b.py"
    )


def test_load_of_a_missing_file_in_a_missing_folder(tmp_path):
    path = tmp_path / "no" / "c.py"
    with pytest.raises(UserError) as error:
        config.load(path)
    assert str(error.value) == f"--config {path} is not a file"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 / 0", "failed with ZeroDivisionError: division by zero"),
        ("def get_config(:", "failed with SyntaxError: "),
        ("import no_such_module", "failed with ModuleNotFoundError: No module named"),
        ("x = 1", "has no get_config(): define it, as configs/digits.py does"),
        ("get_config = 3", "has no get_config()"),
        ("raise SystemExit(0)", "failed with SystemExit: 0"),
        ("def get_config(name):\n    pass", "missing 1 required positional argument"),
        ("def get_config():\n    return get_config()", "failed with RecursionError: "),
        ("raise ValueError('a\\nb ' * 300)", "failed with ValueError: a b a b"),
        (
            "from wgan_jax.config import Config\n"
            "def get_config():\n    return Config(run={'steps': 3})",
            "a Config whose run is of type dict, not wgan_jax.config.Run",
        ),
        (
            "def get_config():\n    raise RuntimeError('no such day')",
            "failed with RuntimeError: no such day",
        ),
        (
            "from wgan_jax.config import Data\n"
            "def get_config():\n    return Data(batchsize=3)",
            "unexpected keyword argument 'batchsize'",
        ),
        (
            "def get_config():\n    return {'data': 1}",
            "returned dict, not a wgan_jax.config.Config",
        ),
        ("def get_config():\n    pass", "returned NoneType, not a wgan_jax.config"),
    ],
)
def test_load_reports_the_error_of_a_file(tmp_path, source, expected):
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(UserError) as error:
        config.load(path)
    assert expected in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["a.yaml", "a"])
def test_a_configuration_that_is_not_python_gets_one_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x00data: 3\xff")
    with pytest.raises(UserError, match="is not a Python file: name one that ends in"):
        config.load(tmp_path / name)


def test_the_config_of_a_run_is_a_configuration(tmp_path):
    wanted = Config(run=Run(steps=7), data=Data(classes=(1, 2)))
    path = tmp_path / "config.json"
    path.write_text(config.to_json(wanted))
    assert config.load(path) == wanted
    path.write_bytes(b"\x00data: 3\xff")
    with pytest.raises(UserError, match=r"^--config .*/config.json: config.json was "):
        config.load(path)


def test_a_binary_file_gets_one_sentence(tmp_path):
    (tmp_path / "a.py").write_bytes(b"\x00\xff")
    with pytest.raises(UserError, match=r"^--config .*/a.py failed with .*$"):
        config.load(tmp_path / "a.py")


def test_a_config_elsewhere_can_build_on_its_neighbour(tmp_path):
    folder = tmp_path / "experiments_of_mine"
    folder.mkdir()
    (folder / "base.py").write_text(
        "from wgan_jax.config import Config, Run\n"
        "def get_config():\n    return Config(run=Run(steps=75))\n"
    )
    (folder / "longer.py").write_text(
        "import dataclasses\n"
        "from experiments_of_mine import base\n"
        "def get_config():\n"
        "    made = base.get_config()\n"
        "    run = dataclasses.replace(made.run, steps=2 * made.run.steps)\n"
        "    return dataclasses.replace(made, run=run)\n"
    )
    assert config.load(folder / "longer.py") == Config(run=Run(steps=150))


# ------------------------------------------------------------------------------- JSON


def test_json_keeps_every_field_and_all_types():
    made = config_with(
        {
            "data.dir": 'a "b" \\ ü',
            "model.generator_widths": (7,),
            "model.critic_widths": (1, 2, 3, 4, 5),
            "objective.clip": 0.1 + 0.2,
            "optimizer.critic_lr": 1e-300,
            "run.seed": 2**32 - 1,
        }
    )
    text = config.to_json(made)
    assert config.from_json(text) == made
    sections = {field.name for field in dataclasses.fields(Config)}
    assert set(json.loads(text)) == {"format"} | sections


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"data": {',
        "[]",
        "{}",
        config.to_json(Config()).replace('"clip"', '"klip"'),
    ],
    ids=["empty", "half", "list", "no sections", "unknown field"],
)
def test_from_json_refuses_what_is_no_config(text):
    with pytest.raises(UserError, match="train the run again, or read it with the"):
        config.from_json(text)


@pytest.mark.parametrize("version", [None, 0, config.FORMAT + 1])
def test_from_json_refuses_another_format(version):
    text = config.to_json(Config()).replace(
        f'"format": {config.FORMAT}', f'"format": {json.dumps(version)}'
    )
    with pytest.raises(UserError) as error:
        config.from_json(text)
    assert str(error.value) == (
        "config.json was written by another version of wgan_jax (its format is "
        f"{version}, not {config.FORMAT}): train the run again, or read it with the "
        "version in versions.json"
    )


def test_differences_names_fields_and_both_values():
    a = Config()
    b = config_with({"data.batch_size": 8, "model.critic_widths": (1,), "run.steps": 1})
    assert config.differences(a, a) == []
    assert config.differences(a, b) == [
        "data.batch_size: 64 and 8",
        "model.critic_widths: (1, 2, 4) and (1,)",
        "run.steps: 1000 and 1",
    ]


# --------------------------------------------------------------------------- validate


@pytest.mark.parametrize(
    ("value", "shown"),
    [(10**400, f"1{76 * '0'}..."), (10**9999, "int of 33216 bits")],
    ids=["long", "longest"],
)
def test_a_number_that_python_cannot_convert_or_print_is_refused(value, shown):
    message = complaint(config_with({"optimizer.critic_lr": value}))
    assert message == f"optimizer.critic_lr={shown} must be at most 3.4e+38, {LARGEST}"


def test_the_number_of_critic_updates_fits_int32():
    intervals = {"run.chunk": 1}
    validate(config_with({**intervals, "run.steps": (2**31 - 1) // 5}))
    assert complaint(config_with({**intervals, "run.steps": 2**31 // 5 + 1})) == (
        "run.steps=429496730 makes 2,147,483,650 critic updates with objective.n_critic"
        "=5, and they are counted up to 2,147,483,647: lower one of them"
    )
    warm = {"objective.warmup": True, "objective.n_critic": 1}
    assert "makes 2,396,002,376 critic updates" in complaint(
        config_with({**warm, "run.steps": 2 * 10**9})
    )


def test_the_number_of_critic_updates_is_that_of_training():
    objective = Objective(n_critic=3, warmup=True)
    for count in (1, 2, 25, 26, 500, 501, 502, 1001, 123456):
        expected = int(steps.critic_updates_before(jnp.int32(count), objective))
        assert critic_update_count(count, objective) == expected


def test_defaults_are_valid():
    validate(Config())


RESNET = {"model.kind": "resnet", "model.kernel": 3}


LARGEST = "the largest number of float32"


def number_rules():
    for names, wrong, remedy in (
        ("data.batch_size data.image_size", (0, -1), "greater than 0"),
        ("data.heldout", (-1,), "0 or more"),
        ("data.channels", (0, 2, 4), "1 or 3"),
        ("model.z_dim model.features", (0, -3), "greater than 0"),
        ("model.kernel", (0, -1), "greater than 0"),
        ("model.kernel", (1,), "2 or more, to cover a stride of 2"),
        ("model.norm_epsilon", (0.0, -1e-5), "greater than 0"),
        ("model.norm_momentum", (0.0, 1.5, -0.1), "in (0, 1]"),
        ("model.leaky_slope", (-0.1, 1.0), "at least 0 and less than 1"),
        (
            "model.generator_widths model.critic_widths",
            ((), (0,), (4, -1)),
            "one or more whole numbers greater than 0",
        ),
        ("objective.clip", (0.0, -0.01), "greater than 0"),
        ("objective.n_critic", (0, -5), "greater than 0"),
        ("objective.gp_weight objective.gp_target", (-1.0,), "0 or more"),
        (
            "optimizer.critic_lr optimizer.generator_lr",
            (0.0, -1e-4),
            "greater than 0",
        ),
        (
            "optimizer.beta1 optimizer.beta2 optimizer.ema_decay",
            (-0.1, 1.0, 2.0),
            "at least 0 and less than 1",
        ),
        (
            "run.steps run.chunk run.log_every run.checkpoint_every run.max_to_keep "
            "run.grid_size",
            (0, -1),
            "greater than 0",
        ),
        ("run.sample_every run.keep_every", (-1,), "0 or more"),
        ("model.norm_groups", (0,), "greater than 0"),
        (
            "model.critic_halvings model.classes model.generator_extra_depth "
            "model.critic_extra_depth objective.critic_weight_decay",
            (-1,),
            "0 or more",
        ),
        (
            "objective.generator_batch objective.critic_class_weight "
            "objective.generator_class_weight",
            (-1,),
            "0 or more",
        ),
        (
            "data.classes",
            ((-1,), (3, 3)),
            "different whole numbers of 0 or more",
        ),
        ("run.seed", (-1, 2**32, 10**30), "from 0 to 4294967295"),
        # Counted in int32 and computed in float32.
        ("data.batch_size run.max_to_keep", (2**31, 10**30), f"less than {2**31}"),
        ("data.classes", ((2**31,),), f"less than {2**31}"),
        ("data.workers", (-2, 257), "from -1 to 256"),
        ("data.background", (-1, 256), "from 0 to 255"),
        ("optimizer.critic_lr", (1e39,), f"at most 3.4e+38, {LARGEST}"),
        (
            "optimizer.critic_lr objective.clip model.norm_epsilon",
            (1e-50,),
            "0 or at least 1.18e-38, the smallest number of float32",
        ),
        (
            "optimizer.beta1 optimizer.ema_decay",
            (1 - 1e-9,),
            "at least 0 and less than 1",
        ),
    ):
        for name in names.split():
            for value in wrong:
                yield name, value, f"{name}={value} must be {remedy}"


@pytest.mark.parametrize(("name", "value", "expected"), list(number_rules()))
def test_numbers_out_of_range_are_named_with_the_range(name, value, expected):
    assert complaint(config_with({name: value})) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"data.heldout": 0},
        {"data.channels": 3},
        {"model.kernel": 2},
        {"model.norm_momentum": 1.0},
        {"model.leaky_slope": 0.0},
        {"objective.gp_weight": 0.0, "objective.gp_target": 0.0},
        {"objective.clip": 1},
        {"optimizer.beta1": 0.0, "optimizer.beta2": 0.0},
        {"optimizer.ema_decay": 0.9999},
        {"run.seed": 0},
        {"run.seed": 2**32 - 1},
        {"run.sample_every": 0, "run.keep_every": 0},
        {"run.steps": 1, "run.chunk": 1, "run.log_every": 1},
        {"run.keep_every": 500, "run.checkpoint_every": 250},
        {"data.image_size": 16},
        {"data.image_size": 24},
        {"data.scale": "unit", "model.output": "sigmoid"},
        {"data.scale": "unit", "model.output": "linear"},
        {"model.critic_norm": "batch", "objective.constraint": "clip"},
        {"model.kind": "mlp", "data.image_size": 7},
        {**MLP_TOY, "model.critic_norm": "layer"},
        # Steps need not fill the last chunk.
        {"run.steps": 1001},
    ],
    ids=str,
)
def test_what_is_allowed_passes(changes):
    validate(config_with(changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"run.log_every": 30},
            ["run.log_every=30", "multiple of run.chunk=25", "metrics leave"],
        ),
        (
            {"run.sample_every": 10},
            ["run.sample_every=10", "multiple of run.chunk=25", "between chunks"],
        ),
        (
            {"run.checkpoint_every": 260},
            ["run.checkpoint_every=260", "multiple of run.chunk=25", "between chunks"],
        ),
        (
            {"run.keep_every": 300},
            ["run.keep_every=300", "multiple of run.checkpoint_every=250"],
        ),
        ({"data.source": "tfds"}, ["data.name is empty", "--data.name mnist"]),
        ({"data.source": "folder"}, ["data.dir is empty", "--data.dir PATH"]),
        ({"data.source": "npz"}, ["data.dir is empty", "--data.dir PATH"]),
        (
            {"model.critic_norm": "batch"},
            [
                "model.critic_norm=batch",
                "objective.constraint=penalty",
                "take layer, instance or none",
            ],
        ),
        (
            {"model.classes": 10},
            ["model.classes=10 needs networks", "take model.kind=resnet"],
        ),
        (
            {**RESNET, "model.classes": 10, "model.generator_norm": "none"},
            ["model.classes=10 conditions", "take model.generator_norm=batch"],
        ),
        (
            {**RESNET, "model.kernel": 4},
            ["model.kernel=4 must be odd", "take 3"],
        ),
        (
            {**RESNET, "model.critic_halvings": 4},
            ["model.critic_halvings=4 is more than the 3 blocks"],
        ),
        (
            {**RESNET, "data.image_size": 24, "model.critic_widths": (1, 1, 1, 1)}
            | {"model.critic_halvings": 4},
            [
                "=24 cannot be halved 4 times",
                "take 16 or 32, or model.critic_halvings=3",
            ],
        ),
        (
            {**RESNET, "data.image_size": 12},
            [
                "data.image_size=12 cannot be halved 3 times to 2 or more pixels, as "
                "by model.generator_widths=(4, 2, 1): take 16, or "
                "model.generator_widths=(2, 1)",
            ],
        ),
        (
            {**RESNET, "model.critic_activation": "gated"},
            ["model.critic_activation=gated halves the channels", "model.kind=dcgan"],
        ),
        (
            {**RESNET, "model.critic_extra_depth": 1},
            ["model.critic_extra_depth=1 applies to the dcgan", "kind resnet: take"],
        ),
        (
            {**MLP_TOY, "model.generator_extra_depth": 2},
            ["model.generator_extra_depth=2 applies to the dcgan", "of kind mlp"],
        ),
        (
            {"model.critic_extra_depth": 4, "model.critic_widths": (2,)},
            ["needs two or more model.critic_widths, and they are (2,)"],
        ),
        (
            {"model.norm_groups": 3},
            ["model.norm_groups=3 does not divide data.batch_size=64"],
        ),
        (
            {"model.norm_groups": 2, "objective.generator_batch": 65},
            ["does not divide objective.generator_batch=65"],
        ),
        (
            {**MLP_TOY, "data.flip": True},
            ["data.flip=True needs images", "leave data.flip out"],
        ),
        (
            {**MLP_TOY, "data.classes": (1,)},
            ["data.classes=(1,) needs images", "leave data.classes out"],
        ),
        (
            {"data.source": "25gaussians"},
            ["model.kind=dcgan", "data.source=25gaussians", "take model.kind=mlp"],
        ),
        (
            {"data.source": "swiss_roll", "model.kind": "mlp"},
            ["model.output=tanh", "swiss_roll", "needs model.output=linear"],
        ),
        (
            {"model.kind": "mlp", "model.critic_norm": "instance"},
            ["model.critic_norm=instance", "model.kind=mlp", "take layer or none"],
        ),
        (
            {"model.critic_kind": "mlp", "model.critic_norm": "instance"},
            ["model.critic_norm=instance", "model.critic_kind=mlp"],
        ),
        (
            MLP_TOY | {"model.critic_kind": "dcgan"},
            ["model.critic_kind=dcgan", "data.source=8gaussians", "model.kind=mlp"],
        ),
        (
            {"objective.constraint": "none"},
            ["objective.constraint=none", "objective.kind=wgan", "clip or penalty"],
        ),
        (
            {"data.scale": "unit"},
            ["model.output=tanh", "data.scale=unit", "take model.output=sigmoid"],
        ),
        (
            {"model.output": "sigmoid"},
            ["model.output=sigmoid", "data.scale=symmetric", "take model.output=tanh"],
        ),
        (
            {"data.image_size": 28},
            [
                "data.image_size=28 cannot",
                "take 24 or 32, or model.generator_widths=(2, 1) and "
                "model.critic_widths=(1, 2)",
            ],
        ),
        (
            {"data.image_size": (50, 64)},
            [
                "data.image_size=(50, 64) cannot",
                "take (48, 64) or (56, 64), or model.generator_widths=(1,) and "
                "model.critic_widths=(1,)",
            ],
        ),
        (
            # 8 = 8 * 1: the innermost map would be a single pixel.
            {"data.image_size": 8},
            [
                "=8 cannot be halved 3 times",
                "take 16, or model.generator_widths=(2, 1)",
            ],
        ),
        (
            {"data.image_size": 16, "model.critic_widths": (1, 2, 3, 4)},
            ["=16 cannot", "as by model.critic_widths=(1, 2, 3, 4): take 32, or"],
        ),
    ],
    ids=str,
)
def test_fields_that_do_not_fit_together_are_named(changes, expected):
    message = complaint(config_with(changes))
    for part in expected:
        assert part in message


@pytest.mark.parametrize("kind", ["dcgan", "resnet"])
def test_every_remedy_for_a_size_is_possible(kind):
    model = {"model.kind": kind, "model.kernel": 3, "model.critic_halvings": 3}
    refused = 0
    for size in [*range(4, 70), *((a, b) for a in (12, 50) for b in (9, 28, 64))]:
        made = config_with({**model, "data.image_size": size})
        if nearest_sizes(made) == [made.data.image_size]:
            validate(made)
            continue
        refused += 1
        message = complaint(made)
        assert message.startswith(f"data.image_size={size} cannot be halved")
        sizes, _, widths = message.partition(": take ")[2].partition(", or ")
        for text in sizes.split(" or "):
            validate(config_with({**model, "data.image_size": ast.literal_eval(text)}))
        changes = dict(text.split("=") for text in widths.split(" and ") if text)
        assert bool(changes) == (np.mod(size, 2).max() == 0)
        if changes:
            changes = {field: ast.literal_eval(v) for field, v in changes.items()}
            validate(config_with({**model, "data.image_size": size, **changes}))
    assert refused > 50


def test_the_table_of_sizes_in_the_documentation_is_right():
    page = (ROOT / "docs" / "usage.md").read_text()
    rows = re.findall(r"^\| (\d) \| ([\d, ]*), \.\.\. \|$", page, re.M)
    assert [int(count) for count, _ in rows] == [1, 2, 3, 4, 5]
    for count, sizes in rows:
        widths = (1,) * int(count)
        for kind in ("dcgan", "resnet"):
            model = Model(
                kind=kind,
                kernel=3,
                generator_widths=widths,
                critic_widths=widths,
                critic_halvings=int(count),
            )
            made = Config(model=model)
            possible = [
                size
                for size in range(2, 300)
                if nearest_sizes(config_with({"data.image_size": size}, made)) == [size]
            ]
            listed = [int(size) for size in sizes.split(", ")]
            assert listed == possible[: len(listed)]
    mlp = config_with({"model.kind": "mlp", "data.image_size": (7, 9)})
    assert nearest_sizes(mlp) == [(7, 9)]


def test_a_toy_critic_with_batch_norm_is_refused_under_the_penalty():
    made = config_with({**MLP_TOY, "model.critic_norm": "batch"})
    assert "model.critic_norm=batch" in complaint(made)


def test_a_toy_critic_with_instance_norm_is_refused():
    # Over a vector without places an instance norm has nothing to average.
    made = config_with({**MLP_TOY, "model.critic_norm": "instance"})
    assert "model.critic_norm=instance" in complaint(made)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "data.source",
            "imagenet",
            "data.source=imagenet is not known: take digits, tfds, ",
        ),
        ("model.kind", "cnn", "model.kind=cnn is not known: "),
        ("optimizer.kind", 1, "optimizer.kind=1 must be of type str"),
        ("data.batch_size", 64.0, "data.batch_size=64.0 must be of type int"),
        ("data.batch_size", "64", "data.batch_size='64' must be of type int"),
        ("data.batch_size", True, "data.batch_size=True must be of type int"),
        ("run.seed", None, "run.seed=None must be of type int"),
        ("data.dequantize", 1, "data.dequantize=1 must be of type bool"),
        ("data.dir", Path("/x"), "must be of type str"),
        (
            "optimizer.critic_lr",
            "1e-4",
            "optimizer.critic_lr='1e-4' must be a finite number",
        ),
        (
            "optimizer.critic_lr",
            True,
            "optimizer.critic_lr=True must be a finite number",
        ),
        (
            "model.generator_widths",
            [4, 2, 1],
            "model.generator_widths=[4, 2, 1] must be a tuple of whole numbers",
        ),
        (
            "model.critic_widths",
            (1, 2.0),
            "model.critic_widths=(1, 2.0) must be a tuple of whole numbers",
        ),
    ],
)
def test_wrong_types_are_named(name, value, expected):
    assert expected in complaint(config_with({name: value}))


def test_one_number_for_widths_is_a_wrong_type():
    # (64) without a comma is the likeliest mistake.
    made = config_with({"model.generator_widths": (64)})
    assert complaint(made) == (
        "model.generator_widths=64 must be a tuple of whole numbers"
    )


@pytest.mark.parametrize("name", ["optimizer.critic_lr", "objective.gp_weight"])
def test_numbers_that_are_not_finite_are_refused(name):
    for value in ("inf", "nan"):
        message = complaint(config_with({name: float(value)}))
        assert message == f"{name}={value} must be a finite number"


def test_sample_shape_of_images_and_points():
    assert Data(image_size=28, channels=3).sample_shape == (28, 28, 3)
    assert Data(image_size=(28, 32), channels=3).sample_shape == (28, 32, 3)
    assert Data(image_size=(28, 28)) == Data(image_size=28)
    for source in config.TOYS:
        assert Data(source=source).is_toy
        assert Data(source=source, channels=3).sample_shape == (2,)
    assert not Data().is_toy


def test_configs_are_values():
    # They are static arguments of compiled functions: equal ones share a program.
    assert hash(Config(model=Model(features=3))) == hash(
        Config(model=Model(features=3))
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        Objective().clip = 1.0
